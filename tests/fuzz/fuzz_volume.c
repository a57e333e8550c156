/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole volume: damage to a small good one, then all that can be done with
 * it. Input: volume_host.h.
 *
 * The volume is inspected, opened read-only, opened and written, closed, and
 * opened again. At each step it either refuses, with an error that says
 * something, or serves. Read-only volumes write nothing. What was written is
 * read back at once, unless the counters of references may be wrong, which
 * nothing guards. A volume without damage, or with damage to its index alone,
 * holds what was stored, also if it was not closed: all was flushed.
 */
#include "build.h"

#include "tests/fuzz/volume_host.h"

#include "base/bytes.h"

const unsigned fuzz_replays = 150;

static void read_all(struct vdo_volume *v, bool intact)
{
	uint64_t size = vdo_volume_size(v);
	uint8_t block[BLOCK_SIZE], want[BLOCK_SIZE];

	for (unsigned i = 0; i < LBNS; i++) {
		uint64_t lbn = host_lbn(i);
		int r;

		if ((lbn + 1) * BLOCK_SIZE > size)
			continue;
		r = vdo_pread(v, block, BLOCK_SIZE, lbn * BLOCK_SIZE, 0);
		FUZZ_CHECK(r <= 0);
		if (!intact)
			continue;
		host_stored(lbn, want);
		FUZZ_CHECK(r == 0 && memcmp(block, want, BLOCK_SIZE) == 0);
	}
	if (size >= BLOCK_SIZE)
		FUZZ_CHECK(vdo_pread(v, block, BLOCK_SIZE, size - BLOCK_SIZE,
				     0) <= 0);
	FUZZ_CHECK(vdo_pread(v, block, BLOCK_SIZE, size, 0) < 0);
}

/* An index is only a memory of hints. */
static bool data_is_intact(unsigned damaged)
{
	return (damaged & ~(1u << INDEX)) == 0;
}

/* With counters as they were nothing is allocated that is in use. */
static bool counters_are_right(unsigned damaged)
{
	return (damaged & ~(1u << INDEX | 1u << ROOTS | 1u << PAGES |
			    1u << DATA)) == 0;
}

static void use_read_only(struct golden *g, unsigned flags, bool intact,
			  const struct vdo_info *info)
{
	struct vdo_volume *v;
	int r;

	g->overlay.read_only = true;
	v = host_open(g, flags, true, &r);
	if (v != NULL) {
		uint8_t block[BLOCK_SIZE] = {1};

		FUZZ_CHECK(info != NULL && vdo_volume_is_read_only(v));
		FUZZ_CHECK(vdo_volume_size(v) ==
			   info->logical_blocks * BLOCK_SIZE);
		read_all(v, intact);
		FUZZ_CHECK(vdo_pwrite(v, block, BLOCK_SIZE, 0, 0) < 0);
		FUZZ_CHECK(vdo_close(v) <= 0);
	}
	g->overlay.read_only = false;
}

static void use(struct golden *g, unsigned flags, unsigned damaged)
{
	bool intact = data_is_intact(damaged);
	struct vdo_volume *v;
	bool good;
	int r;

	v = host_open(g, flags, false, &r);
	FUZZ_CHECK(!intact || v != NULL);
	if (v == NULL)
		return;
	read_all(v, intact);
	host_write_some(v, counters_are_right(damaged));
	good = !vdo_volume_is_read_only(v);
	r = vdo_close(v);
	FUZZ_CHECK(r <= 0 && (!intact || (good && r == 0)));
	good = good && r == 0;
	v = host_open(g, flags ^ 2, false, &r);
	/* What was closed in good order opens. */
	FUZZ_CHECK(!good || v != NULL);
	if (v == NULL)
		return;
	read_all(v, false);
	if (intact)
		FUZZ_CHECK(vdo_close(v) == 0);
	else
		vdo_abandon(v);
}

/* It tells sums that add up, or an error that says something. */
static void use_usage(struct golden *g)
{
	struct vdo_config *c;
	struct vdo_error error = {0};
	struct vdo_usage u;
	struct vdo_job *job;
	int r;

	FUZZ_CHECK(vdo_config_new(&c) == 0 &&
		   vdo_config_set(c, "executor", "inline", NULL) == 0);
	r = vdo_usage_count_device(g->overlay.device, c, VDO_USAGE_MAP, &job,
				   &error);
	if (r == 0)
		r = vdo_job_wait(job, -1, &error);
	FUZZ_CHECK(r == 0 || (r < 0 && error.message[0] != '\0'));
	if (r == 0) {
		FUZZ_CHECK(vdo_usage_get(job, &u, sizeof(u)) == 0);
		FUZZ_CHECK(u.level < VDO_USAGE_ESTIMATED ||
			   u.overhead_blocks + u.block_map_blocks +
					   u.data_blocks + u.free_blocks ==
				   u.physical_blocks);
		FUZZ_CHECK(u.level < VDO_USAGE_MAPPED ||
			   u.unmapped + u.zero + u.uncompressed +
					   u.compressed ==
				   u.logical_blocks);
	}
	vdo_job_free(job);
	vdo_config_free(c);
}

static void expect_savings(const struct vdo_savings *s)
{
	uint64_t contents = s->untold;

	for (unsigned i = 0; i < VDO_SAVINGS_COPIES; i++)
		for (unsigned k = 0; k < VDO_SAVINGS_FORMS; k++)
			contents += s->why[i][k];
	FUZZ_CHECK(s->overhead_blocks + s->block_map_blocks + s->data_blocks +
			   s->free_blocks ==
		   s->physical_blocks);
	FUZZ_CHECK(s->unmapped + s->zero + s->uncompressed + s->compressed ==
		   s->logical_blocks);
	FUZZ_CHECK(s->saved_by_deduplication + s->saved_by_compression +
			   s->stored_blocks ==
		   s->uncompressed + s->compressed);
	FUZZ_CHECK(contents ==
		   s->distinct_uncompressed + s->distinct_compressed);
}

/* The same of savings, for a range and against all of the volume. */
static void use_savings(struct golden *g)
{
	struct vdo_savings_range range = {4096, 40 * 4096};
	struct vdo_config *c;
	struct vdo_error error = {0};
	struct vdo_savings s;
	struct vdo_job *job;
	int r;

	FUZZ_CHECK(vdo_config_new(&c) == 0 &&
		   vdo_config_set(c, "executor", "inline", NULL) == 0);
	r = vdo_savings_device(g->overlay.device, c, &range,
			       VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE, &job,
			       &error);
	if (r == 0)
		r = vdo_job_wait(job, -1, &error);
	FUZZ_CHECK(r == 0 || (r < 0 && error.message[0] != '\0'));
	if (r == 0) {
		FUZZ_CHECK(vdo_savings_get(job, &s, sizeof(s)) == 0);
		expect_savings(&s);
	}
	vdo_job_free(job);
	vdo_config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct golden *g = host_golden(flags);
	struct vdo_info info;
	struct vdo_error error = {0};
	unsigned damaged;
	int r;

	damaged = host_damage(g, &f, flags);
	r = vdo_inspect_device(g->overlay.device, &info, sizeof(info), &error);
	FUZZ_CHECK(r == 0 || (r < 0 && error.message[0] != '\0'));
	use_usage(g);
	use_savings(g);
	use_read_only(g, flags, data_is_intact(damaged), r == 0 ? &info : NULL);
	use(g, flags, damaged);
	return 0;
}

/* Numbers of the super block, at their limits. */
static size_t put_number(unsigned i, uint8_t *to)
{
	static const struct {
		unsigned offset;
		uint64_t value;
	} numbers[] = {
		{40, 0}, {40, 3}, {40, 4}, {40, 99}, /* state */
		{60, 0}, {60, 1}, {60, UINT64_C(1) << 40}, /* logical */
		{84, 1}, {84, 2}, /* recovery journal */
		{92, 2}, {92, 256}, /* slab journals */
		{265, 0}, {265, SEQ_MAX - 1}, {265, UINT64_MAX}, /* sequence */
		{273, UINT64_MAX}, {281, UINT64_MAX}, /* blocks used */
		{317, 1}, {317, 100}, {333, 1}, {333, 2}, /* of a slab */
		{341, 0}, {341, 3}, {349, 1}, {357, 0}, /* thresholds */
		{426, 1}, {426, 2}, {426, 59}, /* roots */
	};
	uint8_t value[8];

	if (i >= ARRAY_SIZE(numbers))
		return 0;
	put_u64(value, numbers[i].value);
	return overlay_put_damage(to, SUPER, 0, numbers[i].offset, value,
				  numbers[i].offset == 40 ? 4 : 8);
}

/* Bytes that are there already, a few of each part, and nothing at all. */
size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const struct {
		enum part part;
		unsigned offset;
	} places[] = {
		{GEOMETRY, 32}, {SUPER, 40}, {SUPER, 60}, {SUPER, 240},
		{SUPER, 300}, {SUPER, 340}, {SUPER, 400}, {INDEX, 0},
		{ROOTS, 36}, {PAGES, 36}, {PAGES, 0}, {JOURNAL, 0},
		{JOURNAL, 16}, {JOURNAL, 512}, {JOURNAL, 1024},
		{SUMMARY, 0}, {COUNTS, 0}, {SLAB_JOURNALS, 0}, {DATA, 0},
	};
	struct golden *g;
	unsigned place = i / 4;
	uint64_t block;
	size_t n;

	input[0] = (uint8_t)((i & 1) | (i & 2 ? 16 : 0) | (place & 1 ? 2 : 0));
	if (place == ARRAY_SIZE(places))
		return 1;
	if (place > ARRAY_SIZE(places)) {
		n = put_number(i - 4 * ARRAY_SIZE(places) - 4, input + 1);
		return n == 0 ? 0 : n + 1;
	}
	g = host_golden(input[0]);
	if (g->parts[places[place].part].count == 0)
		return 1;
	block = g->parts[places[place].part].blocks[0];
	return 1 + overlay_put_damage(input + 1, places[place].part, 0,
				      places[place].offset,
				      g->overlay.kept + block * BLOCK_SIZE +
					      places[place].offset,
				      20);
}
