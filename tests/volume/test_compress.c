/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compression: packed blocks read back, and nothing ever waits in the packer
 * that somebody needs. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static uint64_t data_blocks(struct fixture *f)
{
	return fixture_stat(f, "dataBlocksUsed");
}

/* Wait until all is over but what is parked: a flush that comes earlier keeps
 * what it covers from being parked at all. */
static void settle(struct fixture *f)
{
	fixture_until(f, fixture_stat(f, "currentVIOsInProgress") ==
				 fixture_stat(f, "packer.compressedFragments"
						 "InPacker"));
}

/* Where the mapping of @lbn is, after a flush. */
static struct mapping mapping_of(struct fixture *f, uint64_t lbn)
{
	struct mapping m;
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	m = image_lookup(&im, lbn);
	image_close(&im);
	return m;
}

START_TEST(test_packing)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 280, V_SQUEEZE(1, 200), 0);
	settle(&f);
	fixture_flush(&f);
	fixture_verify_all(&f);
	ck_assert_uint_ge(fixture_stat(&f, "path.compressed"), 240);
	ck_assert_uint_le(data_blocks(&f), 60);
	ck_assert_uint_eq(
		fixture_stat(&f, "packer.compressedFragmentsInPacker"), 0);
	ck_assert_uint_eq(
		fixture_stat(&f, "packer.compressedFragmentsWritten"),
		fixture_stat(&f, "path.compressed"));
	fixture_reopen(&f, "");
	fixture_verify_all(&f);
	/* All of it goes away with the last fragment. */
	fixture_discard(&f, 0, 280);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 0);
	fixture_fini(&f);
}
END_TEST

static int compare_pbns(const void *a, const void *b)
{
	pbn_t x = *(const pbn_t *)a, y = *(const pbn_t *)b;

	return x < y ? -1 : x > y;
}

/* Of the blocks that requests had before they were packed, others lie between
 * any two that are used; yet compressed blocks are neighbours. Where there are
 * many zones the slabs of this volume are soon at their end, so not there. */
static const int few_zones[] = {0, 2, 5, 7};

START_TEST(test_neighbours)
{
	enum { COUNT = 90 };
	struct fixture f;
	struct image im;
	pbn_t pbns[COUNT];
	unsigned blocks = 0, runs = 0;

	fixture_init(&f, few_zones[_i], "");
	fixture_open(&f, "");
	fixture_write(&f, 0, COUNT, V_SQUEEZE(1, 1000), 0);
	settle(&f);
	fixture_flush(&f);
	image_open_sim(&im, f.sd, f.block_count);
	image_recover(&im);
	for (unsigned i = 0; i < COUNT; i++)
		pbns[i] = image_lookup(&im, i).pbn;
	image_close(&im);
	qsort(pbns, COUNT, sizeof(*pbns), compare_pbns);
	for (unsigned i = 0; i < COUNT; i++) {
		blocks += i == 0 || pbns[i] != pbns[i - 1];
		runs += i == 0 || pbns[i] > pbns[i - 1] + 1;
	}
	ck_assert_uint_ge(blocks, COUNT / 3);
	ck_assert_uint_le(runs, blocks / 4);
	fixture_fini(&f);
}
END_TEST

/* Sizes around the limits: half of a block, all of it, what LZ4 cannot do. */
static const uint16_t sizes[] = {16,   64,   280,  285,	 290,  1340, 2000,
				 2020, 2030, 2040, 3900, 4030, 4050, 4096};

START_TEST(test_sizes)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		fixture_write(&f, 100 * i, 60, V_SQUEEZE(1, sizes[i]), 0);
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_reopen(&f, "compression=off");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Flags that keep a block from being packed. */
START_TEST(test_never_packed)
{
	static const unsigned flags[] = {VDO_IO_NO_COMPRESS, VDO_IO_FUA,
					 VDO_IO_FUA | VDO_IO_NO_DEDUPE};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		fixture_write(&f, 100 * i, 40, V_SQUEEZE(100 * i, 100),
			      flags[i]);
		fixture_flush(&f);
		for (unsigned k = 0; k < 40; k++)
			ck_assert_int_eq(mapping_of(&f, 100 * i + k).state,
					 STATE_UNCOMPRESSED);
	}
	ck_assert_uint_eq(fixture_stat(&f, "path.compressed"), 0);
	fixture_fini(&f);
}
END_TEST

/* What is not deduplicated may still be packed. */
START_TEST(test_packed_without_dedupe)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "deduplication=off");
	fixture_repeat(&f, 0, 56, V_SQUEEZE(1, 100), 0);
	settle(&f);
	fixture_flush(&f);
	ck_assert_uint_ge(fixture_stat(&f, "path.compressed"), 28);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A single one is parked: a flush gives it out; so do closing and a switch. */
START_TEST(test_parked)
{
	static const char *const ends[] = {"flush", "close", "off", "abandon"};
	struct fixture f;

	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		fixture_init(&f, _i, "");
		fixture_open(&f, "");
		fixture_write(&f, 3, 1, V_SQUEEZE(1, 100), 0);
		fixture_until(&f,
			      fixture_stat(
				      &f,
				      "packer.compressedFragmentsInPacker") ==
				      1);
		fixture_verify(&f, 3, 1); /* from memory */
		if (i == 0)
			fixture_flush(&f);
		if (i == 2)
			ck_assert_int_eq(vdo_volume_set(f.volume, "compression",
							"off", NULL),
					 0);
		if (i == 3)
			fixture_abandon(&f);
		if (i == 0 || i == 2)
			fixture_until(
				&f, fixture_stat(&f, "currentVIOsInProgress") ==
					    0);
		fixture_fini(&f);
	}
}
END_TEST

/* An overwrite of what is parked needs it out; so does FUA. */
START_TEST(test_overwrite_parked)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (unsigned i = 0; i < 60; i++) {
		fixture_write(&f, 3, 1, V_SQUEEZE(i, 100), 0);
		if (i % 3 == 1)
			fixture_write(&f, 4, 1, V_SQUEEZE(1000 + i, 300), 0);
		if (i % 5 == 1)
			fixture_write(&f, 3, 1, V_SQUEEZE(i, 200), VDO_IO_FUA);
		if (i % 7 == 1)
			fixture_discard(&f, 3, 2);
		fixture_verify(&f, 3, 2);
	}
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A duplicate of what is parked, and of what is packed. */
START_TEST(test_duplicates)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (unsigned i = 0; i < 40; i++) {
		fixture_write(&f, 2 * i, 1, V_SQUEEZE(i, 100), 0);
		fixture_write(&f, 2 * i + 1, 1, V_SQUEEZE(i, 100), 0);
	}
	fixture_flush(&f);
	fixture_verify_all(&f);
	for (unsigned i = 0; i < 40; i++)
		fixture_write(&f, 100 + i, 1, V_SQUEEZE(i, 100), 0);
	fixture_flush(&f);
	ck_assert_uint_le(data_blocks(&f), 40);
	fixture_verify_all(&f);
	/* ... which are overwritten while others share them. */
	for (unsigned i = 0; i < 40; i++)
		fixture_write(&f, 2 * i, 1, V_SQUEEZE(39 - i, 100), 0);
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* References to fragments add up to 254 a block, too. */
START_TEST(test_rollover)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 14, V_SQUEEZE(0, 100), 0);
	settle(&f);
	fixture_flush(&f);
	for (unsigned i = 1; i < 60; i++) {
		fixture_write(&f, 14 * i, 14, V_SQUEEZE(0, 100), 0);
		if (i % 8 == 0)
			fixture_flush(&f);
	}
	fixture_flush(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The compressed block cannot be written. Its lead, which has moved to another
 * block for it, is then written there: so the index is told, and whoever writes
 * the same finds it. */
START_TEST(test_lead_fails)
{
	struct sim_fault fault = {
		.ops = SIM_OP(VDO_DEVICE_WRITE),
		.times = 1,
	};
	struct fixture f;
	struct image im;

	fixture_init(&f, few_zones[_i], "");
	fixture_open(&f, "");
	fixture_write(&f, 500, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	image_open_sim(&im, f.sd, f.block_count);
	fault.first_block = im.sb.partitions[PARTITION_DEPOT].start;
	fault.block_count = im.sb.partitions[PARTITION_DEPOT].count;
	image_close(&im);
	sim_device_fault(f.sd, &fault);
	fixture_write(&f, 0, 14, V_SQUEEZE(1, 100), 0);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "path.unique"), 15);
	fixture_write(&f, 100, 14, V_SQUEEZE(1, 100), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "hashLock.dedupeAdviceStale"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "hashLock.dedupeAdviceValid"), 14);
	ck_assert_uint_eq(data_blocks(&f), 15);
	fixture_fini(&f);
}
END_TEST

/* Few requests, all of which could park, and nobody who flushes: no hang. */
START_TEST(test_never_hangs)
{
	struct fixture f;
	struct pending *p = calloc(500, sizeof(*p));

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	for (unsigned i = 0; i < 500; i++)
		pending_write(&p[i], &f, i,
			      V_SQUEEZE(i, 100 + i * 701 % 3900), 0);
	for (unsigned i = 0; i < 500; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_verify_all(&f);
	/* The same from one block to the next. */
	for (unsigned i = 0; i < 100; i++) {
		fixture_write(&f, 600 + i, 1, V_SQUEEZE(1000 + i, 100), 0);
		fixture_write(&f, 700, 1, V_SQUEEZE(2000 + i, 3000), 0);
	}
	fixture_fini(&f);
	free(p);
}
END_TEST

/* A damaged compressed block is the reader's trouble, not the volume's. */
START_TEST(test_damaged)
{
	struct fixture f;
	struct mapping m;
	uint8_t buf[B];
	int result;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 14, V_SQUEEZE(1, 100), 0);
	settle(&f);
	fixture_flush(&f);
	m = mapping_of(&f, 0);
	ck_assert_int_ge(m.state, STATE_FRAGMENT_0);
	fixture_reopen(&f, "");
	sim_device_rot(f.sd, m.pbn * B, 4, 0xff);
	result = vdo_pread(f.volume, buf, B, 0, 0);
	ck_assert_int_eq(result, -VDO_EFRAGMENT);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_write(&f, 20, 20, V_SQUEEZE(1, 100), 0);
	fixture_flush(&f);
	fixture_verify(&f, 20, 20);
	sim_device_rot(f.sd, m.pbn * B, 4, 0xff);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Switched to and fro under load. */
START_TEST(test_switching)
{
	struct fixture f;
	struct pending *p = calloc(600, sizeof(*p));

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=64");
	for (unsigned i = 0; i < 600; i++) {
		pending_write(&p[i], &f, i, V_SQUEEZE(i / 2, 150), 0);
		if (i % 40 == 39)
			ck_assert_int_eq(vdo_volume_set(f.volume, "compression",
							i / 40 % 2 == 0 ? "off"
									: "on",
							NULL),
					 0);
	}
	for (unsigned i = 0; i < 600; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
	free(p);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("compress");

	tcase_add_loop_test(tc, test_packing, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_neighbours, 0, ARRAY_SIZE(few_zones));
	tcase_add_loop_test(tc, test_sizes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_never_packed, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_packed_without_dedupe, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_parked, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_overwrite_parked, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_duplicates, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_rollover, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_lead_fails, 0, ARRAY_SIZE(few_zones));
	tcase_add_loop_test(tc, test_never_hangs, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_damaged, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_switching, 0, FIXTURE_KINDS);
	return unit_run();
}
