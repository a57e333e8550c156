/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A damaged volume is checked, repaired or rebuilt. Input: volume_host.h, with
 * these further bits of byte 0:
 *
 *	32, 64	0: repair; 32: repair at any loss; 64: read-only, and rebuilt;
 *		both: a rebuild is forced
 *	128	without data and index
 *
 * Whatever the damage is, each job succeeds or says what is wrong, and
 *
 *	a check writes nothing, and finds the same each time;
 *	a repair that is undone leaves no trace; done again, it does the same;
 *	after it nothing is found that it could mend;
 *	what was readable reads the same after a repair that loses nothing, and
 *	after the others, where no finding has named it;
 *	a volume in which nothing serious is found opens, reads as before, is
 *	written, keeps all else, closes, and again has nothing serious.
 *
 * What a block of data holds is nobody's knowledge: it reads as something else,
 * which is no fault. With FUZZ_VERBOSE in the environment it tells all.
 */
#include "build.h"

#include "tests/fuzz/volume_host.h"

#include <errno.h>

#include <vdo/check.h>
#include <vdo/rebuild.h>

#include "base/bytes.h"

const unsigned fuzz_replays = 150;

#define UNDO_BLOCKS 9000u /* all of a volume, and what leads to it */

enum mode { REPAIR, LOSE, REBUILD, FORCE };

/* What an LBN reads as; wrong: an error. */
struct view {
	bool known; /* the volume could be opened */
	bool wrong[LBNS];
	uint8_t blocks[LBNS][BLOCK_SIZE];
};

/* What a check has found. */
struct looked {
	int result;
	struct vdo_check_report report;
	bool unnamed;	    /* not all blocks that are touched are named */
	bool touched[LBNS]; /* by what loses data, or may */
};

struct run {
	struct golden *g;
	unsigned flags, check_flags;
	bool torn; /* of a journal a rebuild may take more than a recovery */
	enum mode mode;
	struct overlay *undo;
	struct view before, after;
	struct looked first, again;
};

static struct run run;

#define say(...)                                            \
	do {                                                \
		if (getenv("FUZZ_VERBOSE") != NULL) {       \
			fprintf(stderr, __VA_ARGS__);       \
			fprintf(stderr, "\n");              \
		}                                           \
	} while (0)

/* -------------------------------------------------------------------- views
 */

static void look_through(struct vdo_volume *v, struct view *view)
{
	uint64_t size = vdo_volume_size(v);

	for (unsigned i = 0; i < LBNS; i++) {
		uint64_t at = host_lbn(i) * BLOCK_SIZE;
		int result = -EINVAL;

		memset(view->blocks[i], 0, BLOCK_SIZE);
		if (at + BLOCK_SIZE <= size)
			result = vdo_pread(v, view->blocks[i], BLOCK_SIZE, at,
					   0);
		FUZZ_CHECK(result <= 0);
		view->wrong[i] = result != 0;
	}
	view->known = true;
}

static void look(struct run *r, struct view *view)
{
	struct vdo_volume *v;
	int result;

	view->known = false;
	r->g->overlay.read_only = true;
	v = host_open(r->g, r->flags, true, &result);
	if (v != NULL) {
		look_through(v, view);
		FUZZ_CHECK(vdo_close(v) <= 0);
	}
	r->g->overlay.read_only = false;
}

static bool is_same(const struct view *a, const struct view *b, unsigned i)
{
	return !b->wrong[i] &&
	       memcmp(a->blocks[i], b->blocks[i], BLOCK_SIZE) == 0;
}

/* All that was readable is; but for what @lost (NULL: nothing) has. */
static void compare(const struct view *a, const struct view *b,
		    const bool *lost)
{
	if (!a->known)
		return;
	FUZZ_CHECK(b->known);
	for (unsigned i = 0; i < LBNS; i++) {
		if (a->wrong[i] || (lost != NULL && lost[i]) ||
		    is_same(a, b, i))
			continue;
		say("lbn %llu: %d", (unsigned long long)host_lbn(i),
		    b->wrong[i]);
		FUZZ_CHECK(!"it reads as before");
	}
}

/* --------------------------------------------------------------------- jobs
 */

static bool is_in(const struct vdo_blocks *b, uint64_t lbn)
{
	if (lbn < b->first)
		return false;
	lbn -= b->first;
	if (b->repeats <= 1)
		return lbn < b->count;
	return lbn / b->stride < b->repeats && lbn % b->stride < b->count;
}

static void mark_touched(bool *touched, const struct vdo_blocks *b, size_t n)
{
	for (size_t k = 0; k < n; k++)
		for (unsigned i = 0; i < LBNS; i++)
			touched[i] |= is_in(&b[k], host_lbn(i));
}

static void take_finding(void *arg, const struct vdo_check_finding *f)
{
	struct looked *l = arg;
	uint64_t named = 0;

	FUZZ_CHECK(vdo_check_name(f->code) != NULL);
	say("  %s: block %lld, slot %lld, found %s, expected %s, lbns %llu%s",
	    vdo_check_name(f->code), (long long)f->block, (long long)f->slot,
	    f->found, f->expected, (unsigned long long)f->logical_blocks,
	    f->mended ? ", mended" : "");
	FUZZ_CHECK(f->block_count <= VDO_CHECK_BLOCKS_MAX);
	for (size_t i = 0; i < f->block_count; i++)
		named += f->blocks[i].count * f->blocks[i].repeats;
	FUZZ_CHECK(named <= f->logical_blocks);
	if (f->severity < VDO_CHECK_WASTES)
		return;
	l->unnamed |= named != f->logical_blocks;
	mark_touched(l->touched, f->blocks, f->block_count);
}

/* The result of a job that was started with @result. */
static int wait_for(int result, struct vdo_job *job, struct vdo_error *error)
{
	if (result == 0)
		result = vdo_job_wait(job, -1, error);
	FUZZ_CHECK(result == 0 || (result < 0 && error->message[0] != '\0'));
	say("  result %d %s", result, error->message);
	return result;
}

static void check_report(const struct vdo_check_report *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < VDO_CHECK_CODES; i++)
		sum += p->by_code[i];
	FUZZ_CHECK(sum == p->findings);
	FUZZ_CHECK(p->mended + p->mendable + p->losing <= p->findings);
}

static void check(struct run *r, unsigned flags, struct looked *l)
{
	struct vdo_config *c = host_config(r->flags, false);
	struct vdo_error error = {0};
	struct vdo_job *job = NULL;
	bool repairs = (flags & VDO_CHECK_REPAIR) != 0;

	say("check %x", r->check_flags | flags);
	*l = (struct looked){0};
	r->g->overlay.read_only = !repairs;
	if (repairs)
		overlay_reset(r->undo);
	l->result = vdo_check_device(r->g->overlay.device, c,
				     r->check_flags | flags,
				     repairs ? r->undo->device : NULL,
				     take_finding, l, &job, &error);
	l->result = wait_for(l->result, job, &error);
	if (l->result == 0) {
		FUZZ_CHECK(vdo_check_report_get(job, &l->report,
						sizeof(l->report)) == 0);
		check_report(&l->report);
		for (unsigned i = 0; i < VDO_CHECK_CODES; i++)
			l->unnamed |= l->report.by_code[i] > 100;
	}
	vdo_job_free(job);
	vdo_config_free(c);
	r->g->overlay.read_only = false;
}

static bool is_sound(const struct looked *l)
{
	return l->result == 0 &&
	       l->report.by_severity[VDO_CHECK_LOSES] == 0 &&
	       l->report.by_severity[VDO_CHECK_FATAL] == 0;
}

static int rebuild(struct run *r, struct looked *l)
{
	struct vdo_config *c = host_config(r->flags, false);
	struct vdo_error error = {0};
	struct vdo_job *job = NULL;
	struct vdo_rebuilt b;
	uint64_t named = 0;
	int result;

	say("rebuild");
	result = vdo_rebuild_device(r->g->overlay.device, c,
				    r->mode == FORCE ? VDO_REBUILD_FORCE : 0,
				    &job, &error);
	result = wait_for(result, job, &error);
	if (result == 0) {
		FUZZ_CHECK(vdo_rebuilt_get(job, &b, sizeof(b)) == 0);
		for (size_t i = 0; i < b.lost_count; i++) {
			mark_touched(l->touched, &b.lost[i].blocks, 1);
			named += b.lost[i].blocks.count *
				 b.lost[i].blocks.repeats;
		}
		l->unnamed = named != b.lost_blocks;
	}
	vdo_job_free(job);
	vdo_config_free(c);
	return result;
}

/* ---------------------------------------------------------------- afterwards
 */

/* Nothing serious was found: it is used as any other volume. */
static void use(struct run *r, const struct view *before)
{
	struct vdo_volume *v;
	int result;

	v = host_open(r->g, r->flags, false, &result);
	FUZZ_CHECK(v != NULL && before->known);
	look_through(v, &r->after);
	compare(before, &r->after, NULL);
	host_write_some(v, true);
	/* A super block may say that the journal is near the end of its numbers, where
	 * no volume gets: it can be read, and not written. */
	if (vdo_volume_read_only_reason(v, NULL) == -EOVERFLOW) {
		FUZZ_CHECK(vdo_close(v) <= 0);
		return;
	}
	look_through(v, &r->after);
	for (unsigned i = 0; i < LBNS; i++)
		FUZZ_CHECK(before->wrong[i] || host_is_written(host_lbn(i)) ||
			   is_same(before, &r->after, i));
	FUZZ_CHECK(!vdo_volume_is_read_only(v));
	FUZZ_CHECK(vdo_close(v) == 0);
	check(r, 0, &r->again);
	FUZZ_CHECK(is_sound(&r->again));
}

static void repair(struct run *r)
{
	unsigned flags = r->mode == LOSE ? VDO_CHECK_REPAIR | VDO_CHECK_LOSE
					 : VDO_CHECK_REPAIR;
	uint64_t index = r->g->geometry.data_start - 1;
	struct overlay_mark *mark = overlay_mark(&r->g->overlay);
	struct looked *l = &r->again;
	uint64_t mended, blocks;
	bool unknown;

	check(r, flags, l);
	mended = l->report.mended;
	/* As long as pages may be missing nobody knows how much is free. */
	unknown = l->report.by_code[VDO_CHECK_MAP_PAGES] > 0;
	if (l->result == 0) {
		struct vdo_error error = {0};
		int result = vdo_check_undo_device(r->g->overlay.device,
						   r->undo->device, &blocks,
						   &error);

		FUZZ_CHECK(result == 0 || l->report.blocks_changed == 0);
		FUZZ_CHECK(result != 0 || blocks >= l->report.blocks_changed);
	}
	FUZZ_CHECK(overlay_is_as_marked(&r->g->overlay, mark, 1, index));
	if (l->result != 0)
		return;
	check(r, flags, l);
	FUZZ_CHECK(l->result == 0);
	FUZZ_CHECK(l->report.mended == mended || (r->flags & 1));
	look(r, &r->after);
	compare(&r->before, &r->after,
		r->mode == REPAIR ? NULL : r->first.touched);
	check(r, 0, l);
	FUZZ_CHECK(l->result == 0);
	FUZZ_CHECK(l->report.mendable ==
		   (unknown ? l->report.by_code[VDO_CHECK_SUMMARY_HINT] : 0));
	FUZZ_CHECK(r->mode == REPAIR || l->report.losing == 0);
}

static void rebuild_it(struct run *r)
{
	struct vdo_error error = {0};
	struct looked *l = &r->first;
	/* The super block may lie: what is new, or closed, has nothing in its
	 * journal, but gets what is there when it is marked. */
	bool lies = l->report.by_code[VDO_CHECK_JOURNAL_AHEAD] > 0 ||
		    (l->report.state_name != NULL &&
		     strcmp(l->report.state_name, "new") == 0);
	int result = 0;

	if (r->mode == REBUILD) {
		result = vdo_mark_read_only_device(r->g->overlay.device,
						   &error);
		FUZZ_CHECK(result == 0 || error.message[0] != '\0');
		FUZZ_CHECK(result == 0 || !r->before.known);
		look(r, &r->after);
		if (!lies)
			compare(&r->before, &r->after, NULL);
	}
	*l = (struct looked){0};
	if (rebuild(r, l) != 0)
		return;
	check(r, 0, &r->again);
	look(r, &r->after);
	if (!l->unnamed && !r->torn && !lies)
		compare(&r->before, &r->after, l->touched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct overlay undo;
	struct fuzz f = {data, size};
	struct run *r = &run;

	if (undo.image == NULL)
		overlay_init(&undo, UNDO_BLOCKS);
	r->undo = &undo;
	r->flags = (unsigned)fuzz_take(&f, 1);
	r->mode = (enum mode)(r->flags >> 5 & 3);
	r->check_flags = r->flags & 128 ? VDO_CHECK_NO_INDEX : VDO_CHECK_DATA;
	r->g = host_golden(r->flags);
	r->torn = (host_damage(r->g, &f, r->flags) & 1u << JOURNAL) &&
		  (r->flags & 16);
	look(r, &r->before);
	check(r, 0, &r->first);
	check(r, 0, &r->again);
	FUZZ_CHECK(memcmp(&r->first, &r->again, sizeof(r->first)) == 0);
	if (r->mode < REBUILD && !is_sound(&r->first))
		repair(r);
	else if (r->mode >= REBUILD)
		rebuild_it(r);
	if (is_sound(&r->again)) {
		if (r->mode < REBUILD)
			look(r, &r->after);
		use(r, &r->after);
	}
	return 0;
}

/* Each volume in each mode, undamaged; then lies in each field. */
size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const uint8_t values[][2] = {{0, 0}, {1, 1}, {1, 255}, {0, 3}};
	const struct golden *g = host_golden(0);
	unsigned field = (i - 16) / 2, k = i % 4;

	input[0] = (uint8_t)((i & 3) << 5 | (i & 4 ? 1 : 0) | (i & 8) << 1);
	if (i < 16)
		return 1;
	input[0] = (uint8_t)((i & 1) << 4 | (field & 3) << 5);
	for (unsigned part = 0; part < PARTS; part++) {
		if (field < g->parts[part].field_count)
			return 1 + overlay_put_lie(input + 1, part, k, field, k,
						   values[k][0], &values[k][1],
						   1);
		field -= g->parts[part].field_count;
	}
	return 0;
}
