/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a volume in service: what it remembers over restarts, and that
 * it can be slow, broken or full of lies without any harm to data (I21).
 */
#include "build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "advice/ask.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "exec/executor.h"
#include "index_format/layout.h"
#include "tests/lib/fixture.h"
#include "tests/unit/index_rig.h"

#define B	 BLOCK_SIZE
#define CHAPTER	 1024 /* names, with one record page */
#define ELSEWHERE 1024

static bool has_state(struct fixture *f, const char *state)
{
	struct vdo_stats *s;
	bool found = false;

	ck_assert_int_eq(vdo_stats_get(f->volume, &s), 0);
	for (size_t i = 0; i < vdo_stats_count(s); i++) {
		const struct vdo_stat *at = vdo_stats_at(s, i);

		if (strcmp(at->name, "path.index") == 0)
			found = strcmp(at->text, state) == 0;
	}
	vdo_stats_free(s);
	return found;
}

static void inspect(struct fixture *f, struct vdo_info *info)
{
	struct vdo_device *device = sim_device_open(f->sd, NULL);

	ck_assert_int_eq(vdo_inspect_device(device, info, sizeof(*info), NULL),
			 0);
	vdo_device_close(device);
}

/* Failures in the blocks of the index. */
static void fail_index(struct fixture *f, unsigned ops, uint64_t skip)
{
	struct vdo_info info;
	struct sim_fault fault = {.ops = ops, .skip = skip};

	inspect(f, &info);
	fault.first_block = info.index_start;
	fault.block_count = info.data_start - info.index_start;
	sim_device_fault(f->sd, &fault);
}

/* Write 100 blocks that are stored already; how many were shared? */
static uint64_t shared(struct fixture *f, uint64_t lbn, value_t v)
{
	uint64_t before = fixture_stat(f, "path.duplicate");

	fixture_write(f, lbn, 100, v, 0);
	fixture_flush(f);
	return fixture_stat(f, "path.duplicate") - before;
}

/* ------------------------------------------------------------- over restarts */

START_TEST(test_remembered)
{
	static const char *const zones[] = {"index-zones=1", "index-zones=3",
					    "index-zones=2 index-wait=on", ""};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	ck_assert(has_state(&f, "online"));
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_write(&f, 100, 100, V_SQUEEZE(1, 1000), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(zones); i++) {
		fixture_reopen(&f, zones[i]);
		ck_assert(has_state(&f, "online"));
		ck_assert_uint_eq(shared(&f, ELSEWHERE + 200 * i, V_UNIQUE(1)),
				  100);
		ck_assert_uint_eq(shared(&f, ELSEWHERE + 200 * i + 100,
					 V_SQUEEZE(1, 1000)),
				  100);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Without an index, names last until the volume is closed. */
START_TEST(test_in_memory)
{
	struct fixture f;

	fixture_init(&f, _i, _i % 2 == 0 ? "index-memory=none" : "");
	fixture_open(&f, _i % 2 == 0 ? "" : "index=memory");
	ck_assert(has_state(&f, "memory"));
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(shared(&f, ELSEWHERE, V_UNIQUE(1)), 100);
	fixture_reopen(&f, "index=memory");
	ck_assert_uint_eq(shared(&f, ELSEWHERE + 100, V_UNIQUE(1)), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_offline)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "deduplication=off");
	ck_assert(has_state(&f, "offline"));
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_volume_set(f.volume, "deduplication", "on", NULL),
			 0);
	ck_assert(has_state(&f, "online"));
	ck_assert_uint_eq(shared(&f, ELSEWHERE, V_UNIQUE(1)), 0);
	ck_assert_uint_eq(shared(&f, ELSEWHERE, V_UNIQUE(1)), 100);
	fixture_reopen(&f, "read-only=on");
	ck_assert(has_state(&f, "closed"));
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- damage */

/* Not saved at the end: what was in chapters comes back while the volume is
 * in use, what was not is lost. */
START_TEST(test_rebuilt)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, CHAPTER + 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "path.indexChaptersWritten") == 1);
	fail_index(&f, SIM_OP(VDO_DEVICE_WRITE), 0);
	fixture_close(&f);
	sim_device_clear_faults(f.sd);
	fixture_open(&f, "");
	fixture_until(&f, has_state(&f, "online"));
	ck_assert_uint_eq(fixture_stat(&f, "path.indexRebuildTotal"), 0);
	ck_assert_uint_eq(shared(&f, 1900, V_UNIQUE(1)), 100);
	/* And is saved again. */
	fixture_reopen(&f, "");
	ck_assert(has_state(&f, "online"));
	ck_assert_uint_eq(shared(&f, 1800, V_UNIQUE(101)), 100);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static bool is_index_read(void *arg, const struct vdo_device_io *io)
{
	const struct vdo_info *info = arg;

	return io->op == VDO_DEVICE_READ &&
	       io->offset >= info->index_start * B &&
	       io->offset < info->data_start * B;
}

/* Reading the index takes its time: the volume is in use long before, and may
 * be closed again. */
START_TEST(test_open_late)
{
	struct vdo_info info;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_close(&f);
	inspect(&f, &info);
	for (unsigned i = 0; i < 2; i++) {
		sim_device_hold(f.sd, is_index_read, &info);
		fixture_open(&f, "index-wait=off");
		fixture_until(&f, has_state(&f, "opening"));
		ck_assert_uint_eq(shared(&f, 100 + 100 * i, V_UNIQUE(1)), 0);
		sim_device_hold(f.sd, NULL, NULL);
		sim_device_release(f.sd);
		if (i == 0)
			fixture_close(&f);
	}
	fixture_until(&f, has_state(&f, "online"));
	ck_assert_uint_eq(shared(&f, 300, V_UNIQUE(1)), 100);
	fixture_fini(&f);
}
END_TEST

/* Headers of the saves, of which there are one or two. */
struct headers {
	unsigned saves;
	uint64_t block[VDO_INDEX_SAVES]; /* of the device */
	unsigned newest;
	uint64_t chapters, chapters_end; /* bytes: where chapters are */
};

static void find_headers(struct fixture *f, struct headers *h)
{
	struct vdo_device *device = sim_device_open(f->sd, NULL);
	struct vdo_index_info info;
	struct index_geometry shape;
	struct index_layout layout;
	uint8_t block[B];

	ck_assert_int_eq(
		vdo_index_inspect_device(device, &info, sizeof(info), NULL), 0);
	vdo_device_close(device);
	ck_assert_int_eq(index_geometry_init(&shape, info.memory, info.sparse,
					     info.region_blocks),
			 0);
	sim_device_peek(f->sd, info.first_block, block);
	ck_assert_int_eq(index_super_decode(&layout, &shape, info.first_block, block),
			 0);
	for (unsigned i = 0; i < VDO_INDEX_SAVES; i++)
		h->block[i] =
			layout_save_part(&layout, i, SAVE_HEADER, 0, 1).start;
	h->saves = info.saves[0].valid + info.saves[1].valid;
	h->newest = info.saves[1].newest_save;
	h->chapters = layout_volume_block(&layout) * B;
	h->chapters_end = h->chapters + info.volume_blocks * B;
}

static bool is_chapter_read(void *arg, const struct vdo_device_io *io)
{
	const struct headers *h = arg;

	return io->op == VDO_DEVICE_READ && io->offset >= h->chapters &&
	       io->offset < h->chapters_end;
}

static atomic_uint lines_rebuilding, lines_other;

/* Of the index: that it is being rebuilt, or anything else. */
static void count_lines(void *arg, enum vdo_log_level level, const char *text)
{
	atomic_uint *lines = strstr(text, "is being rebuilt") != NULL
				     ? &lines_rebuilding
				     : &lines_other;

	if (strncmp(text, "index: ", 7) == 0)
		atomic_fetch_add(lines, 1);
}

static const struct {
	const char *name;
	unsigned saves;
	bool newest, other; /* which of them */
	bool rots;	    /* else it cannot be read */
} bad_headers[] = {
	{"the only one cannot be read", 1, true, false, false},
	{"the only one is damaged", 1, true, false, true},
	{"the newer one cannot be read", 2, true, false, false},
	{"the older one cannot be read: it may be the newer", 2, false, true,
	 false},
	{"both are damaged", 2, true, true, true},
};

static void spoil_headers(struct fixture *f, const struct headers *h,
			  unsigned n)
{
	for (unsigned i = 0; i < VDO_INDEX_SAVES; i++) {
		struct sim_fault fault = {
			.ops = SIM_OP(VDO_DEVICE_READ),
			.first_block = h->block[i],
			.block_count = 1,
		};

		if (i == h->newest ? !bad_headers[n].newest
				   : !bad_headers[n].other)
			continue;
		if (bad_headers[n].rots)
			sim_device_rot(f->sd, h->block[i] * B, 1, 0xff);
		else
			sim_device_fault(f->sd, &fault);
	}
}

/* The header of a save cannot be read or is damaged: the index is rebuilt while
 * the volume is in use, the log says so once, and what was in chapters is known
 * again. */
static void bad_header(int kind, unsigned n)
{
	struct headers h;
	struct fixture f;

	fixture_init(&f, kind, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, CHAPTER + 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "path.indexChaptersWritten") == 1);
	fixture_close(&f);
	if (bad_headers[n].saves == 2) {
		fixture_open(&f, "");
		fixture_write(&f, 1200, 100, V_UNIQUE(5000), 0);
		fixture_close(&f);
	}
	find_headers(&f, &h);
	ck_assert_uint_eq(h.saves, bad_headers[n].saves);
	spoil_headers(&f, &h, n);
	atomic_init(&lines_rebuilding, 0);
	atomic_init(&lines_other, 0);
	f.log = count_lines;
	sim_device_hold(f.sd, is_chapter_read, &h);
	fixture_open(&f, "");
	ck_assert_msg(!has_state(&f, "online"), "%s", bad_headers[n].name);
	fixture_until(&f, sim_device_held(f.sd) > 0);
	fixture_verify(&f, 1000, 300);
	ck_assert_uint_eq(shared(&f, 1400, V_UNIQUE(101)), 0);
	ck_assert_uint_eq(lines_rebuilding, 1);
	ck_assert_uint_eq(lines_other, 0);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	fixture_until(&f, has_state(&f, "online"));
	ck_assert_uint_eq(shared(&f, 1500, V_UNIQUE(1)), 100);
	sim_device_clear_faults(f.sd);
	fixture_reopen(&f, "");
	ck_assert(has_state(&f, "online"));
	ck_assert_uint_eq(lines_rebuilding, 1);
	ck_assert_uint_eq(shared(&f, 1600, V_UNIQUE(301)), 100);
	fixture_verify_all(&f);
	fixture_fini(&f);
}

START_TEST(test_bad_header)
{
	for (unsigned n = 0; n < ARRAY_SIZE(bad_headers); n++)
		bad_header(_i, n);
}
END_TEST

/* Whatever of it cannot be read or written: no write fails. */
START_TEST(test_broken)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_WRITE)};
	struct fixture f;

	fixture_init(&f, _i, "");
	for (unsigned i = 0; i < 12; i++) {
		value_t v = V_UNIQUE(10000 * (i + 1));

		sim_device_clear_faults(f.sd);
		if (i % 2 == 0)
			fail_index(&f, ops[i / 2 % 2], i);
		fixture_open(&f, "");
		if (i % 2 == 1)
			fail_index(&f, ops[i / 2 % 2], i / 4);
		fixture_write(&f, 0, CHAPTER + 100, v, 0);
		fixture_flush(&f);
		fixture_write(&f, ELSEWHERE + 100, 100, v, 0);
		fixture_flush(&f);
		ck_assert(!vdo_volume_is_read_only(f.volume));
		fixture_close(&f);
	}
	sim_device_clear_faults(f.sd);
	fixture_open(&f, "");
	fixture_until(&f, has_state(&f, "online"));
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_reopen(&f, "");
	ck_assert_uint_eq(shared(&f, ELSEWHERE, V_UNIQUE(1)), 100);
	fixture_fini(&f);
}
END_TEST

/* All that an index consists of, or a part, is overwritten. */
START_TEST(test_overwritten)
{
	struct vdo_info info;
	struct fixture f;
	uint64_t seed = 1;

	fixture_init(&f, _i, "");
	inspect(&f, &info);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t blocks = info.data_start - info.index_start;
		uint64_t from = pattern_random(&seed, blocks);
		uint64_t n = 1 + pattern_random(&seed, i < 4 ? blocks : 4);
		uint8_t junk[B];

		fixture_open(&f, "");
		fixture_until(&f, has_state(&f, "online"));
		fixture_write(&f, 0, CHAPTER + 50, V_UNIQUE(2000 * i), 0);
		fixture_write(&f, ELSEWHERE + 100, 100,
			      V_UNIQUE(2000 * (i / 2)), 0);
		fixture_close(&f);
		for (uint64_t b = from; b < MIN(from + n, blocks); b++) {
			pattern_fill(i % 2 == 0 ? V_UNIQUE(seed + b) : V_ZERO,
				     junk);
			sim_device_poke(f.sd, info.index_start + b, junk);
		}
	}
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------------------------- lies */

struct lies {
	struct vdo_info info;
	uint64_t seed;
	pbn_t used[16]; /* blocks with other data */
	bool versions;	/* nothing but other versions */
};

/* What the index says about value @i. */
static void lie(struct lies *l, unsigned i, uint8_t data[INDEX_DATA_SIZE])
{
	const struct vdo_info *info = &l->info;
	pbn_t pbn = l->used[i % 16];
	uint8_t state = 1;

	for (unsigned j = 0; j < INDEX_DATA_SIZE; j++)
		data[j] = (uint8_t)pattern_random(&l->seed, 256);
	switch (i % 12) {
	case 0: return; /* anything */
	case 1: pbn = 0; break;
	case 2: pbn = UINT64_MAX; break;
	case 3: pbn = info->physical_blocks; break;
	case 4: pbn = info->index_start + 1; break;
	case 5: pbn = info->data_start; break;
	case 6: pbn = info->depot_start + info->slab_blocks - 1; break;
	case 7: state = 0; break;
	case 8: state = (uint8_t)(2 + i % 14); break;
	case 9: state = (uint8_t)(16 + i % 200); break;
	case 10: pbn = info->depot_start +
		       pattern_random(&l->seed, info->depot_count); break;
	default: break; /* a block, with other data */
	}
	data[0] = i % 24 == 23 ? 3 : 2;
	data[1] = state;
	put_u64(data + 2, pbn);
}

static void tell_lies(struct fixture *f, struct lies *l, value_t v,
		      unsigned count)
{
	struct executor *x;
	struct rig r;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&r, x, sim_device_open(f->sd, NULL), l->info.index_memory,
		 l->info.index_sparse, 1, l->info.nonce, l->info.index_start);
	r.config.block_count = l->info.data_start - l->info.index_start;
	ck_assert_int_eq(rig_open(&r, INDEX_LOAD), 0);
	for (unsigned i = 0; i < count; i++) {
		struct index_op op = {.request = INDEX_UPDATE};
		uint8_t block[B];

		pattern_fill(v + i, block);
		op.name.hash = hash128(block, B, BLOCK_NAME_SEED);
		lie(l, i, op.data);
		if (l->versions && op.data[0] == ASK_VERSION)
			op.data[0] = (uint8_t)(3 + i % 250);
		ck_assert_int_eq(rig_ask(&r, &op), 0);
	}
	ck_assert_int_eq(rig_close(&r, true), 0);
	rig_fini(&r);
	vdo_device_close(r.device);
}

START_TEST(test_lies)
{
	struct lies l = {.seed = (uint64_t)_i + 1};
	struct fixture f;
	struct image im;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 16, V_UNIQUE(1), 0);
	fixture_write(&f, 16, 64, V_SQUEEZE(1, 500), 0);
	fixture_close(&f);
	inspect(&f, &l.info);
	image_open_sim(&im, f.sd, f.block_count);
	for (unsigned i = 0; i < 16; i++)
		l.used[i] = image_lookup(&im, i).pbn;
	image_close(&im);
	for (unsigned round = 0; round < 3; round++) {
		value_t v = V_UNIQUE(1000 * (round + 1));

		tell_lies(&f, &l, v, 600);
		fixture_open(&f, "");
		ck_assert(has_state(&f, "online"));
		fixture_write(&f, 100, 600, v, 0);
		fixture_flush(&f);
		ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 0);
		ck_assert_uint_gt(
			fixture_stat(&f, "errors.invalidAdvicePBNCount"), 200);
		ck_assert_uint_gt(
			fixture_stat(&f, "hashLock.dedupeAdviceStale"), 50);
		/* The lies were corrected. */
		ck_assert_uint_eq(shared(&f, 800, v), 100);
		ck_assert_uint_eq(shared(&f, 900, v + 500), 100);
		fixture_verify_all(&f);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* Locations of a version to come: not known, not counted as invalid (E 3.9),
 * and replaced. */
START_TEST(test_other_versions)
{
	struct lies l = {.seed = 1, .versions = true};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_close(&f);
	inspect(&f, &l.info);
	tell_lies(&f, &l, V_UNIQUE(1), 200);
	fixture_open(&f, "");
	fixture_write(&f, 100, 200, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "index.postsFound"), 200);
	ck_assert_uint_eq(fixture_stat(&f, "errors.invalidAdvicePBNCount"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "hashLock.dedupeAdviceStale"), 0);
	ck_assert_uint_eq(shared(&f, 800, V_UNIQUE(1)), 100);
	ck_assert_uint_eq(shared(&f, 900, V_UNIQUE(101)), 100);
	fixture_fini(&f);
}
END_TEST

/* ----------------------------------------------------------------- slowness */

/* Questions that need a page which does not come are given up (E 8); each of
 * them occupies its place until it does. */
START_TEST(test_slow)
{
	struct vdo_info info;
	struct fixture f;
	uint64_t timeouts;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, CHAPTER + 600, V_UNIQUE(1), 0);
	fixture_reopen(&f, "depth=16");
	inspect(&f, &info);
	sim_device_hold(f.sd, is_index_read, &info);
	ck_assert_uint_eq(shared(&f, 1700, V_UNIQUE(1)), 0);
	timeouts = fixture_stat(&f, "dedupeAdviceTimeouts");
	ck_assert_uint_ge(timeouts, 90);
	ck_assert_uint_gt(sim_device_held(f.sd), 0);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	fixture_reopen(&f, "");
	ck_assert_uint_eq(shared(&f, 1800, V_UNIQUE(1)), 100);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("advice");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, test_remembered, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_in_memory, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_offline, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_rebuilt, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_open_late, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_bad_header, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_broken, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_overwritten, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_lies, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_other_versions, 0, FIXTURE_KINDS);
	/* In virtual time only: else it would take five seconds. */
	tcase_add_loop_test(tc, test_slow, KIND_SIM, FIXTURE_KINDS);
	return unit_run();
}
