/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is right: the storage as the image reader of tests/lib sees it, which
 * knows nothing of the engine, and each block as the model allows.
 *
 * FUA that lies promises nothing: only what a flush of the storage covers
 * counts. A flush of the volume is such a promise from the next flush on that
 * the engine makes. What was written since may be lost, and so may what it
 * took the place of, as the engine used that block again; but all metadata must
 * agree even then.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <string.h>

#include "replay/scan.h"
#include "volume/volume_priv.h"

/* A crash is looked at with other blocks lost, too: that costs less than another
 * crash. */
#define OTHER_ENDS	 4u
#define OTHER_END_PARTS	 4u /* of the blocks; one is read */

/* ------------------------------------------------------------------ flushes */

static void keep_promises(struct run *r)
{
	uint64_t settled = sim_device_settled(r->sd);
	unsigned n = 0;

	while (n < r->promise_count && r->promises[n].written <= settled)
		model_flushed(r->model, r->promises[n++].since);
	r->promise_count -= n;
	memmove(r->promises, r->promises + n,
		r->promise_count * sizeof(r->promises[0]));
}

void check_note_flush(struct run *r, uint64_t since)
{
	if (!r->fua_lies) {
		model_flushed(r->model, since);
		return;
	}
	keep_promises(r);
	if (r->promise_count < PROMISES_MAX)
		r->promises[r->promise_count++] = (struct promise){
			since, sim_device_written(r->sd)};
}

/* ------------------------------------------------------------------- blocks */

typedef bool (*allowed_fn)(struct model *m, uint64_t lbn, uint64_t number);

/* Most blocks were never written, and have no mapping; and what most others hold
 * was looked at before. */
static bool is_known(struct run *r, struct image *im, uint64_t lbn,
		     allowed_fn allowed)
{
	struct mapping m = image_lookup(im, place_of(r, lbn));
	uint64_t number = MODEL_ZEROES;

	if (m.pbn != ZERO_BLOCK && !is_data_block(&im->slabs, m.pbn))
		return false;
	if (m.pbn != ZERO_BLOCK)
		number = image_seen_of(im, m)->number[m.state];
	return number != MODEL_UNKNOWN && allowed(r->model, lbn, number);
}

/* Read what @lbn has, and remember its number. False: it cannot be read. */
static bool read_block(struct run *r, struct image *im, uint64_t lbn,
		       uint8_t *block, uint64_t *number)
{
	struct mapping m = image_lookup(im, place_of(r, lbn));

	if (!image_read(im, place_of(r, lbn), block))
		return false;
	*number = model_number(r->model, block);
	if (m.pbn != ZERO_BLOCK && is_data_block(&im->slabs, m.pbn))
		image_seen_of(im, m)->number[m.state] = *number;
	return true;
}

static void check_block(struct run *r, uint64_t lbn, const char *when,
			allowed_fn allowed)
{
	bool adopt = r->fua_lies && r->v == NULL &&
		     !model_settled(r->model, lbn);
	uint8_t block[BLOCK_SIZE];
	uint64_t number;
	bool readable;

	if (!adopt && is_known(r, &r->found, lbn, allowed))
		return;
	readable = read_block(r, &r->found, lbn, block, &number);
	if (adopt) {
		if (!readable)
			memset(block, 0, sizeof(block));
		model_adopt(r->model, lbn, block);
		r->useless = r->useless || !readable;
		return;
	}
	if (!readable)
		die(r, "lbn %" PRIu64 " cannot be read %s", lbn, when);
	if (allowed(r->model, lbn, number))
		return;
	model_print(r->model, lbn, block);
	die(r, "lbn %" PRIu64 " is wrong %s", lbn, when);
}

/* Entries of a leaf page, or none of no page, are the same. */
static bool same_leaf(const uint8_t *a, const uint8_t *b)
{
	return a == b ||
	       (a != NULL && b != NULL &&
		memcmp(a + MAP_PAGE_HEADER, b + MAP_PAGE_HEADER,
		       BLOCK_SIZE - MAP_PAGE_HEADER) == 0);
}

static void compare_mappings(struct run *r, struct image *a, struct image *b,
			     const char *when)
{
	uint64_t in_leaf = r->sparse ? LEAF_USED : MAP_PAGE_ENTRIES;

	for (uint64_t i = 0; i < r->lbns; i++) {
		lbn_t lbn = place_of(r, i);
		struct mapping m, n;

		if (i % in_leaf == 0 &&
		    same_leaf(image_leaf(a, lbn), image_leaf(b, lbn))) {
			i += in_leaf - 1;
			continue;
		}
		m = image_lookup(a, lbn);
		n = image_lookup(b, lbn);
		if (!mapping_equal(m, n))
			die(r,
			    "%s: lbn %" PRIu64 " is at %" PRIu64 ", state %u, "
			    "not at %" PRIu64 ", state %u",
			    when, i, n.pbn, n.state, m.pbn, m.state);
	}
}

/* Mappings, counts and totals of two images are the same. */
static void compare_images(struct run *r, struct image *a, struct image *b,
			   const char *when)
{
	uint64_t counts = a->slabs.slab_count * a->slabs.data_blocks;

	compare_mappings(r, a, b, when);
	if (a->logical_blocks_used != b->logical_blocks_used ||
	    a->block_map_data_blocks != b->block_map_data_blocks)
		die(r,
		    "%s: %" PRIu64 " blocks and %" PRIu64 " pages are in use, "
		    "not %" PRIu64 " and %" PRIu64,
		    when, b->logical_blocks_used, b->block_map_data_blocks,
		    a->logical_blocks_used, a->block_map_data_blocks);
	for (uint64_t i = 0; i < counts; i++)
		if (a->counts[i] != b->counts[i])
			die(r,
			    "%s: count of offset %" PRIu64 " in slab %" PRIu64
			    " is %u, not %u",
			    when, i % a->slabs.data_blocks,
			    i / a->slabs.data_blocks, b->counts[i],
			    a->counts[i]);
}

static void scan_ring(struct run *r, const struct image *im,
		      struct replay_scan *scan)
{
	pbn_t first = im->sb.partitions[PARTITION_JOURNAL].start -
		      im->geometry.bio_offset;

	for (uint64_t i = 0; i < im->sb.recovery_journal_size; i++)
		replay_scan_block(scan, i,
				  sim_device_look(r->sd, first + i, NULL));
}

/* What the engine would replay of the journal is what the tests did. */
static void check_bounds(struct run *r, const struct image *im,
			 const char *when)
{
	struct replay_facts facts;
	struct replay_scan *scan;
	struct replay_bounds b;
	const char *wrong;
	uint64_t entries = 0;

	replay_facts_init(&facts, &im->sb);
	if (replay_scan_create(&facts, &scan) != 0)
		abort();
	scan_ring(r, im, scan);
	if (replay_scan_end(scan, &b, &wrong) != 0)
		die(r, "%s: the journal is refused: %s", when, wrong);
	for (seq_t q = b.first; b.found && q <= b.last; q++)
		entries += replay_entries(scan, q);
	replay_scan_destroy(scan);
	if (entries != im->entries || (b.found && b.last != im->last))
		die(r,
		    "%s: the engine takes %" PRIu64 " entries up to block "
		    "%" PRIu64 ", not %" PRIu64 " up to %" PRIu64,
		    when, entries, b.last, im->entries, im->last);
}

/* What is there, recovered by the tests themselves. */
static void read_image(struct run *r, struct image *im, const char *when)
{
	image_open_seen(im, r->sd, r->block_count, r->seen);
	im->lost_data = r->fua_lies;
	im->made_pages = r->old_pages;
	image_recover(im);
	image_check(im);
	if (im->problems != 0)
		die(r, "%u problems %s, state %u", im->problems, when,
		    im->sb.state);
	if (im->sb.state == VOLUME_DIRTY)
		check_bounds(r, im, when);
	say(r, "  %s: state %u, replayed %" PRIu64 " entries of %" PRIu64
	       "..%" PRIu64,
	    when, im->sb.state, im->entries, im->first, im->last);
}

/* Nothing that was found where only a process had died was durable for certain
 * before a flush was over (D14). */
static bool was_certain(struct run *r)
{
	return !r->unsure || sim_device_settled(r->sd) >= r->unsure_until;
}

static void keep_found(struct run *r, struct image *im)
{
	image_keep(im);
	check_forget(r);
	r->found = *im;
	r->has_found = true;
}

static void check_image(struct run *r, const char *when, allowed_fn allowed)
{
	struct image im;

	read_image(r, &im, when);
	/* A recovery that was interrupted has changed nothing (I43). */
	if (r->reopened && r->has_found && was_certain(r))
		compare_images(r, &r->found, &im, when);
	r->reopened = false;
	r->unsure = false;
	keep_found(r, &im);
	keep_promises(r);
	for (uint64_t i = 0; i < r->lbns; i++)
		check_block(r, i, when, allowed);
	r->promise_count = 0;
}

void check_rebuilt(struct run *r)
{
	struct image im;

	read_image(r, &im, "rebuilt");
	if (im.sb.state != VOLUME_CLEAN)
		die(r, "a volume that was rebuilt is in state %u",
		    im.sb.state);
	compare_mappings(r, &r->found, &im, "rebuilt");
	keep_found(r, &im);
}

void check_recovered(struct run *r)
{
	struct image im;

	if (!r->has_found || r->v == NULL)
		return;
	read_image(r, &im, "opened");
	/* Storage that fails may end it as soon as slabs are scrubbed. */
	if (im.sb.state != VOLUME_DIRTY &&
	    !(im.sb.state == VOLUME_READ_ONLY && r->faulty &&
	      run_read_only(r)))
		die(r, "an open volume is in state %u", im.sb.state);
	if (im.entries != 0)
		die(r, "journal entries are left after recovery");
	if (r->found.sb.state == VOLUME_DIRTY &&
	    im.sb.complete_recoveries != r->found.sb.complete_recoveries + 1)
		die(r, "the recovery was not counted");
	compare_images(r, &r->found, &im, "recovered");
	image_close(&im);
}

/* One of @parts of the blocks. */
static void check_blocks(struct run *r, struct image *im, uint64_t parts,
			 const char *when)
{
	uint8_t block[BLOCK_SIZE];
	uint64_t number;

	for (uint64_t i = dice(r, parts); i < r->lbns; i += parts) {
		if (r->fua_lies &&
		    (r->v != NULL || !model_settled(r->model, i)))
			continue;
		if (is_known(r, im, i, model_may_hold))
			continue;
		if (read_block(r, im, i, block, &number) &&
		    model_may_hold(r->model, i, number))
			continue;
		model_print(r->model, i, block);
		die(r, "lbn %" PRIu64 " is wrong %s", i, when);
	}
}

/* One way in which the same crash might have ended. */
static void check_other_end(struct run *r, const char *when)
{
	struct image im;

	read_image(r, &im, when);
	if ((r->reopened || r->opening) && r->has_found && was_certain(r))
		compare_images(r, &r->found, &im, when);
	keep_promises(r);
	check_blocks(r, &im, OTHER_END_PARTS, when);
	image_close(&im);
}

void check_forced(struct run *r)
{
	struct image im;

	read_image(r, &im, "rebuilt by force");
	if (im.sb.state != VOLUME_CLEAN)
		die(r, "a volume that was rebuilt is in state %u",
		    im.sb.state);
	check_blocks(r, &im, 1, "rebuilt by force");
	image_close(&im);
}

void check_if_crashed(struct run *r, uint64_t block)
{
	sim_device_focus(r->sd, block);
	sim_device_pretend_crash(r->sd);
	for (unsigned i = 0; i < OTHER_ENDS; i++) {
		check_other_end(r, "if power failed now");
		sim_device_crash_otherwise(r->sd);
	}
	sim_device_did_not_crash(r->sd);
	sim_device_focus(r->sd, SIM_NO_FOCUS);
	totals.probes++;
}

void check_survivors(struct run *r, const char *when)
{
	if (!r->killed) {
		for (unsigned i = 0;
		     i < OTHER_ENDS && sim_device_crashed(r->sd); i++) {
			check_other_end(r, when);
			sim_device_crash_otherwise(r->sd);
		}
		if (sim_device_crashed(r->sd) && percent(r, 2))
			mend_by_force(r);
		check_image(r, when, model_may_survive);
		return;
	}
	check_image(r, when, model_may_hold);
	r->unsure = true;
	r->unsure_until = sim_device_written(r->sd);
}

void check_is_certain(struct run *r)
{
	for (uint64_t i = 0; r->unsure && i < r->lbns; i++)
		check_block(r, i, "opened", model_may_survive);
	r->unsure = false;
}

void check_at_rest(struct run *r)
{
	model_flushed(r->model, model_now(r->model));
	check_image(r, "suspended", model_may_hold);
}

void check_forget(struct run *r)
{
	if (r->has_found)
		image_close(&r->found);
	r->has_found = false;
}

/* --------------------------------------------------------------- the engine */

void check_walk(struct run *r)
{
	const char *what = volume_insane(r->v->volume);

	if (what != NULL)
		die(r, "%s: its parts do not agree", what);
}

#define CHUNK	   UINT64_C(32)
#define CHUNKS_MAX 40

static bool is_simulated(const struct run *r)
{
	return r->how == OPEN_SIM || r->how == OPEN_READ_ONLY;
}

struct read_wait {
	bool done;
	int result;
};

static void read_done(void *arg, int result)
{
	struct read_wait *w = arg;

	w->done = true;
	w->result = result;
}

static int read_chunk(struct run *r, uint64_t lbn, uint64_t count, void *buf)
{
	struct read_wait w = {0};

	uint64_t at = place_of(r, lbn) * BLOCK_SIZE;

	if (!is_simulated(r))
		return vdo_pread(r->v, buf, count * BLOCK_SIZE, at, 0);
	if (vdo_aio_pread(r->v, buf, count * BLOCK_SIZE, at, read_done, &w,
			  0) != 0)
		die(r, "submission");
	while (!w.done)
		if (sim_executor_run(r->v->executor, 1) == 0)
			die(r, "a read hangs");
	return w.result;
}

static void check_chunk(struct run *r, uint64_t lbn, uint64_t count)
{
	uint64_t since = model_now(r->model);
	_Alignas(BLOCK_SIZE) uint8_t memory[CHUNK * BLOCK_SIZE + UNALIGNED];
	uint8_t *buf = memory + UNALIGNED;
	int result = read_chunk(r, lbn, count, buf);

	if (result != 0 && (r->rotten || sim_device_crashed(r->sd)))
		return;
	if (result != 0)
		die(r, "lbn %" PRIu64 " is not read: %s", lbn,
		    vdo_error_name(result));
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *block = buf + i * BLOCK_SIZE;

		if (model_may_read(r->model, lbn + i, since,
				   model_number(r->model, block)))
			continue;
		model_print(r->model, lbn + i, block);
		die(r, "lbn %" PRIu64 " is read wrongly", lbn + i);
	}
}

void check_reads(struct run *r)
{
	uint64_t step = MAX(CHUNK, r->lbns / CHUNKS_MAX);

	for (uint64_t i = 0; i < r->lbns; i += step)
		check_chunk(r, i, MIN(CHUNK, in_a_row(r, i)));
	maps_look(r);
}
