/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deduplication: equal blocks are stored once, different ones never are, and
 * nothing that the index says can do harm. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static uint64_t data_blocks(struct fixture *f)
{
	return fixture_stat(f, "dataBlocksUsed");
}

START_TEST(test_sharing)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_write(&f, 100, 50, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_write(&f, 200, 50, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 50);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 150);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 100);
	ck_assert_uint_eq(fixture_stat(&f, "hashLock.dedupeAdviceValid"), 100);
	/* The block lives as long as anyone wants it. */
	fixture_discard(&f, 0, 50);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 50);
	fixture_verify_all(&f);
	fixture_discard(&f, 100, 50);
	fixture_write(&f, 200, 50, V_ZERO, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 0);
	fixture_fini(&f);
}
END_TEST

/*
 * What a duplicate was compared with is not read again for the next one; and what
 * is kept of a block is forgotten when the block is used for other data: it is not
 * taken for what advice says is there.
 */
static const int cached_kinds[] = {KIND_NATIVE, KIND_INLINE, KIND_SIM};

#define KEPT 40u

/* The same data once more, with no read at all if @kept. */
static void write_again(struct fixture *f, uint64_t lbn, bool kept)
{
	uint64_t reads = fixture_stat(f, "biosOut.read");
	uint64_t hits = fixture_stat(f, "path.blockCacheHits");

	fixture_write(f, lbn, KEPT, V_UNIQUE(1), 0);
	fixture_flush(f);
	ck_assert_uint_eq(fixture_stat(f, "biosOut.read") - reads,
			  kept ? 0 : KEPT);
	ck_assert_uint_eq(fixture_stat(f, "path.blockCacheHits") - hits,
			  kept ? KEPT : 0);
}

START_TEST(test_kept_candidates)
{
	struct fixture f;
	unsigned n = 0;

	fixture_init(&f, cached_kinds[_i % 3], "size=32M");
	fixture_open(&f, _i < 3 ? "compression=off"
				: "compression=off block-cache=0");
	fixture_write(&f, 0, KEPT, V_UNIQUE(1), 0);
	fixture_flush(&f);
	write_again(&f, 100, false);
	write_again(&f, 200, _i < 3);
	write_again(&f, 300, _i < 3);
	fixture_discard(&f, 0, 400);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 0);
	while (fixture_try_write(&f, 400 + n, V_UNIQUE(100000 + n), 0) == 0)
		n++;
	ck_assert_uint_gt(n, 1000);
	fixture_discard(&f, 400, 2 * KEPT);
	fixture_flush(&f);
	fixture_write(&f, 0, KEPT, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_gt(fixture_stat(&f, "hashLock.dedupeAdviceStale"), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Data from before the opening is found, too, though its counts are not in memory
 * then, and hardly any may be. */
START_TEST(test_old_data)
{
	struct fixture f;

	fixture_init(&f, KIND_SIM, "size=64M index-memory=2M");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 900, V_UNIQUE(1), 0);
	fixture_close(&f);
	f.counts_memory = 1;
	fixture_open(&f, "compression=off");
	ck_assert_uint_gt(fixture_stat(&f, "path.slabsEstimated"), 3);
	fixture_write(&f, 1000, 900, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 900);
	ck_assert_uint_eq(fixture_stat(&f, "path.slabsEstimated"), 0);
	ck_assert_uint_gt(fixture_stat(&f, "path.slabsDropped"), 0);
	ck_assert_uint_eq(data_blocks(&f), 900);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Written at the same time: one block for each content, exactly. */
START_TEST(test_at_once)
{
	struct fixture f;
	struct pending *p = calloc(400, sizeof(*p));

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	for (unsigned i = 0; i < 400; i++)
		pending_write(&p[i], &f, i, V_UNIQUE(i % 2), 0);
	for (unsigned i = 0; i < 400; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 2);
	fixture_verify_all(&f);
	fixture_fini(&f);
	free(p);
}
END_TEST

/*
 * Blocks that come together are named together: each gets its own name, whatever
 * comes between them that has none. Written again one after another, each of
 * them is found.
 */
#define MIXED	    96u
#define HAS_NAME(i) ((i) % 6 >= 3)

static void begin_mixed(struct pending *p, struct fixture *f, unsigned i)
{
	static uint8_t zeroes[512], somewhere[B];
	int result;

	switch (i % 6) {
	case 0: pending_write(p, f, i, V_ZERO, 0); break;
	case 1:
		pending_init(p, f);
		result = i % 4 < 2 ? vdo_aio_pread(f->volume, somewhere, B,
						   (500 + i) * B, pending_done,
						   p, 0)
				   : vdo_aio_pwrite(f->volume, zeroes, 512,
						    (500 + i) * B, pending_done,
						    p, 0);
		ck_assert_int_eq(result, 0);
		break;
	case 2:
		pending_write(p, f, i, V_UNIQUE(i), VDO_IO_NO_DEDUPE);
		break;
	default: pending_write(p, f, i, V_UNIQUE(i), 0); break;
	}
}

START_TEST(test_named_together)
{
	struct fixture f;
	struct pending *p = calloc(MIXED, sizeof(*p));

	ck_assert_ptr_nonnull(p);
	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off alignment=512");
	for (unsigned i = 0; i < MIXED; i++)
		begin_mixed(&p[i], &f, i);
	for (unsigned i = 0; i < MIXED; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), MIXED / 6 * 4);
	for (unsigned i = 0; i < MIXED; i++) {
		if (HAS_NAME(i))
			fixture_write(&f, 1000 + i, 1, V_UNIQUE(i), 0);
	}
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), MIXED / 6 * 4);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), MIXED / 6 * 3);
	fixture_verify_all(&f);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* More than 254 of one content: another block for each 254. */
static const struct {
	unsigned copies, at_a_time, blocks;
} rollovers[] = {
	{253, 1, 1},  {254, 1, 1},    {255, 1, 2},   {600, 1, 3},
	{254, 64, 1}, {1024, 512, 5}, {2000, 64, 8},
};

START_TEST(test_rollover)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	for (size_t k = 0; k < ARRAY_SIZE(rollovers); k++) {
		unsigned step = rollovers[k].at_a_time;

		fixture_open(&f, "compression=off");
		for (unsigned i = 0; i < rollovers[k].copies; i += step)
			fixture_repeat(&f, i,
				       MIN(step, rollovers[k].copies - i),
				       V_UNIQUE(k + 1), 0);
		fixture_flush(&f);
		/* Concurrent ones may give up on a block that is not full. */
		if (step == 1)
			ck_assert_uint_eq(data_blocks(&f),
					  rollovers[k].blocks);
		else
			ck_assert_uint_le(data_blocks(&f),
					  2 * rollovers[k].blocks);
		ck_assert_uint_ge(data_blocks(&f), rollovers[k].blocks);
		fixture_verify(&f, 0, rollovers[k].copies);
		fixture_discard(&f, 0, f.logical_blocks);
		fixture_flush(&f);
		ck_assert_uint_eq(data_blocks(&f), 0);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* What the index remembers is gone, or something else is there by now. */
START_TEST(test_stale_advice)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 30, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_discard(&f, 0, 30);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 0);
	/* Free blocks. */
	fixture_write(&f, 100, 10, V_UNIQUE(1), 0);
	/* Blocks that hold other things now. */
	for (unsigned i = 0; i < 20; i++)
		fixture_write(&f, 200 + 100 * (i % 10), 100,
			      V_UNIQUE(10000 + 100 * i), VDO_IO_NO_DEDUPE);
	fixture_flush(&f);
	fixture_write(&f, 120, 20, V_UNIQUE(11), 0);
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Data on the storage changes behind our back: the bytes are compared, so the
 * write gets a block of its own. */
START_TEST(test_advice_that_lies)
{
	struct fixture f;
	struct image im;
	struct mapping m;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	image_open_sim(&im, f.sd, f.block_count);
	image_recover(&im);
	m = image_lookup(&im, 0);
	image_close(&im);
	sim_device_rot(f.sd, m.pbn * B + 4000, 1, 0x10);
	f.unknown[0] = true;
	fixture_write(&f, 1, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_verify(&f, 1, 1);
	ck_assert_uint_eq(data_blocks(&f), 2);
	ck_assert_uint_eq(fixture_stat(&f, "hashLock.dedupeAdviceStale"), 1);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_no_dedupe)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_repeat(&f, 0, 20, V_UNIQUE(1), VDO_IO_NO_DEDUPE);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 20);
	ck_assert_int_eq(vdo_volume_set(f.volume, "deduplication", "off", NULL),
			 0);
	fixture_repeat(&f, 20, 20, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 40);
	ck_assert_uint_eq(fixture_stat(&f, "path.deduplication"), 0);
	ck_assert_int_eq(vdo_volume_set(f.volume, "deduplication", "on", NULL),
			 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.deduplication"), 1);
	fixture_repeat(&f, 40, 1, V_UNIQUE(2), 0);
	fixture_flush(&f);
	fixture_repeat(&f, 41, 9, V_UNIQUE(2), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 41);
	fixture_reopen(&f, "deduplication=off compression=off");
	fixture_repeat(&f, 60, 2, V_UNIQUE(2), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 43);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Data written again to where it is; and equal data between two blocks that
 * change all the time. */
START_TEST(test_onto_itself)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < 5; i++)
		fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 10);
	for (unsigned i = 0; i < 100; i++)
		fixture_write(&f, i % 3, 2, V_UNIQUE(i / 5), 0);
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The candidate is discarded while it is being compared. */
static bool is_read(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_READ;
}

START_TEST(test_candidate_goes)
{
	struct fixture f;
	struct pending p, q;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_write(&f, 5, 1, V_UNIQUE(9), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_read, NULL);
	pending_write(&p, &f, 5, V_UNIQUE(1), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_until(&f, sim_device_held(f.sd) == 1);
	pending_init(&q, &f);
	ck_assert_int_eq(vdo_aio_discard(f.volume, B, 0, pending_done, &q,
					 VDO_IO_FUA),
			 0);
	f.expect[0] = V_ZERO;
	ck_assert_int_eq(pending_wait(&q), 0);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 1);
	fixture_verify_all(&f);
	
	fixture_fini(&f);
}
END_TEST

/* The names of blocks survive a clean restart, or not: data does anyway. */
START_TEST(test_after_restart)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off");
	fixture_write(&f, 100, 50, V_UNIQUE(1), 0);
	fixture_write(&f, 200, 50, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_le(data_blocks(&f), 100);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Zone counts may change from one opening to the next (I44). */
START_TEST(test_zones)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	for (unsigned n = 0; n < 12; n++) {
		char options[160];

		snprintf(options, sizeof(options),
			 "topology=%s threads=1 logical-zones=%u "
			 "physical-zones=%u hash-zones=%u",
			 n % 3 == 0 ? "shard" : "classic", n % 4 + 1,
			 n / 4 + 1 + n % 2, 4 - n % 4);
		fixture_open(&f, options);
		fixture_verify_all(&f);
		fixture_write(&f, 100 * n, 130, V_UNIQUE(40 * n), 0);
		fixture_write(&f, 50 * n, 20, V_SQUEEZE(40 * n, 300), 0);
		fixture_discard(&f, 60 * n, 30);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* So may executors. */
START_TEST(test_executors)
{
	struct fixture f[FIXTURE_KINDS];
	struct fixture g;

	fixture_init(&g, 0, "");
	for (int n = 0; n < FIXTURE_KINDS; n++) {
		/* The same device and expectations under another kind. */
		struct sim_device_config none = {.block_count = 1};

		fixture_init_raw(&f[n], n, &none);
		sim_device_destroy(f[n].sd);
		f[n].sd = g.sd;
		f[n].block_count = g.block_count;
		f[n].logical_blocks = g.logical_blocks;
		f[n].expect = g.expect;
		f[n].unknown = g.unknown;
		fixture_open(&f[n], "");
		fixture_verify_all(&f[n]);
		fixture_write(&f[n], 100 * (uint64_t)n, 150, V_UNIQUE(60 * n),
			      0);
		fixture_close(&f[n]);
		if (f[n].pool != NULL)
			test_pool_destroy(f[n].pool);
	}
	fixture_fini(&g);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("dedupe");
	TCase *kept = unit_case("kept");

	tcase_add_loop_test(kept, test_kept_candidates, 0, 6);
	tcase_add_loop_test(tc, test_sharing, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_old_data);
	tcase_add_loop_test(tc, test_at_once, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_named_together, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_rollover, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_stale_advice, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_advice_that_lies, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_no_dedupe, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_onto_itself, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_candidate_goes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_after_restart, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_zones, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_executors);
	return unit_run();
}
