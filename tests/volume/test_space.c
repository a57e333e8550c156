/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space: discards and zeroes, full volumes, map pages. On all executors.
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

/* ---------------------------------------------------------------- discards */

START_TEST(test_discard)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_discard(&f, 30, 40);
	fixture_verify_all(&f);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 60);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 60);
	/* Zeroes count as used, but need no space. */
	ck_assert_int_eq(vdo_write_zeroes(f.volume, 10 * B, 0, 0), 0);
	memset(f.expect, 0, 10 * sizeof(value_t));
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 50);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 60);
	fixture_write(&f, 200, 5, V_ZERO, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 50);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 65);
	/* Again, over what is gone already. */
	fixture_discard(&f, 0, 300);
	fixture_discard(&f, 0, 300);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), 0);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 0);
	fixture_fini(&f);
}
END_TEST

/* A discard of what was never written costs little, and makes no map pages,
 * however large it is; zeroes need pages. */
START_TEST(test_huge_discard)
{
	struct fixture f;
	uint64_t reads, writes;

	fixture_init(&f, _i, "logical-size=4G");
	fixture_open(&f, "");
	fixture_write(&f, 500000, 3, V_UNIQUE(1), 0);
	fixture_flush(&f);
	reads = sim_device_count(f.sd, VDO_DEVICE_READ);
	writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
	f.no_check = true; /* would take long */
	ck_assert_int_eq(vdo_discard(f.volume, vdo_volume_size(f.volume), 0,
				     0),
			 0);
	f.expect[500000] = f.expect[500001] = f.expect[500002] = V_ZERO;
	fixture_flush(&f);
	ck_assert_uint_lt(sim_device_count(f.sd, VDO_DEVICE_READ) - reads,
			  100);
	ck_assert_uint_lt(sim_device_count(f.sd, VDO_DEVICE_WRITE) - writes,
			  100);
	/* Only what has a leaf page was looked at. */
	ck_assert_uint_le(fixture_stat(&f, "biosIn.discard"), 812);
	ck_assert_uint_eq(data_blocks(&f), 0);
	fixture_verify(&f, 499990, 30);
	fixture_fini(&f);
}
END_TEST

/* Ranges that begin and end within leaf pages, with holes. */
START_TEST(test_discard_ranges)
{
	static const struct {
		uint64_t lbn, count;
	} ranges[] = {{0, 1},	 {811, 1},  {812, 1},  {811, 2},
		      {700, 300}, {0, 812},  {1, 811},	{812, 812},
		      {5, 1700},  {1624, 424}, {0, 2048}};
	struct fixture f;

	fixture_init(&f, _i, "");
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		fixture_open(&f, "depth=16 compression=off");
		fixture_write(&f, 0, 30, V_UNIQUE(1), 0);
		fixture_write(&f, 790, 50, V_UNIQUE(100), 0);
		if (i % 2 == 0)
			fixture_write(&f, 1600, 50, V_UNIQUE(200), 0);
		fixture_discard(&f, ranges[i].lbn, ranges[i].count);
		fixture_verify_all(&f);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* Reads and discards of what was never written allocate nothing. */
START_TEST(test_no_pages_for_nothing)
{
	struct fixture f;
	uint64_t overhead;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	overhead = fixture_stat(&f, "overheadBlocksUsed");
	fixture_verify_all(&f);
	fixture_discard(&f, 0, f.logical_blocks);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "overheadBlocksUsed"), overhead);
	fixture_write(&f, 0, 1, V_ZERO, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "overheadBlocksUsed"),
			  overhead + 4);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------------- full */

/* Write until there is no more space; the LBN that did not fit. */
static uint64_t fill(struct fixture *f, value_t v)
{
	uint64_t lbn;

	for (lbn = 0; lbn < f->logical_blocks; lbn++) {
		int result = fixture_try_write(f, lbn, v + lbn, 0);

		if (result == -ENOSPC) {
			/* Old blocks may still be on their way back. */
			fixture_flush(f);
			result = fixture_try_write(f, lbn, v + lbn, 0);
		}
		if (result == -ENOSPC)
			break;
		ck_assert_int_eq(result, 0);
	}
	ck_assert_uint_lt(lbn, f->logical_blocks);
	return lbn;
}

START_TEST(test_full)
{
	struct fixture f;
	uint64_t n;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "compression=off");
	n = fill(&f, V_UNIQUE(1));
	ck_assert_uint_gt(n, 100);
	fixture_flush(&f);
	/* All that was acknowledged is there, and nothing of what was not. */
	fixture_verify_all(&f);
	ck_assert_uint_ge(fixture_stat(&f, "errors.noSpaceErrorCount"), 2);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	/* Duplicates, zeroes and discards still fit. */
	fixture_write(&f, n - 1, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_write(&f, n - 2, 1, V_UNIQUE(1), 0);
	fixture_write(&f, n - 3, 1, V_ZERO, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(data_blocks(&f), n - 3);
	/* An overwrite that found no space loses nothing. */
	fixture_write(&f, n - 2, 1, V_UNIQUE(90000), 0);
	fixture_write(&f, n - 3, 1, V_UNIQUE(90001), 0);
	fixture_write(&f, n - 1, 1, V_UNIQUE(90002), 0);
	fixture_flush(&f);
	ck_assert_int_eq(fixture_try_write(&f, 5, V_UNIQUE(90003), 0),
			 -ENOSPC);
	fixture_verify_all(&f);
	fixture_reopen(&f, "compression=off");
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_write(&f, 5, V_UNIQUE(90003), 0),
			 -ENOSPC);
	/* Freed space is used again, down to the last block. */
	fixture_discard(&f, 20, 50);
	fixture_flush(&f);
	fixture_write(&f, 20, 50, V_UNIQUE(70000), 0);
	fixture_flush(&f);
	ck_assert_int_eq(fixture_try_write(&f, 5, V_UNIQUE(90003), 0),
			 -ENOSPC);
	fixture_fini(&f);
}
END_TEST

/* Many at once, on a volume that gets full: each either fits or does not. */
START_TEST(test_full_at_once)
{
	struct fixture f;
	struct pending *p;
	unsigned failed = 0;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "depth=64");
	p = calloc(2000, sizeof(*p));
	for (unsigned i = 0; i < 2000; i++)
		pending_write(&p[i], &f, i,
			      i % 5 == 0   ? V_UNIQUE(1)
			      : i % 7 == 0 ? V_SQUEEZE(i, 1000)
					   : V_UNIQUE(1000 + i),
			      i % 11 == 0 ? VDO_IO_FUA : 0);
	for (unsigned i = 0; i < 2000; i++) {
		int result = pending_wait(&p[i]);

		ck_assert(result == 0 || result == -ENOSPC);
		failed += result != 0;
		if (result != 0)
			f.expect[i] = V_ZERO;
	}
	ck_assert_uint_gt(failed, 0);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_verify_all(&f);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* No space for a map page: the write fails, also of zeroes; no harm done. */
START_TEST(test_full_pages)
{
	struct fixture f;
	uint64_t n;

	fixture_init(&f, _i, "size=6M logical-size=100M");
	fixture_open(&f, "compression=off");
	n = fill(&f, V_UNIQUE(1));
	ck_assert_int_eq(fixture_try_write(&f, 20000, V_UNIQUE(1), 0),
			 -ENOSPC);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, B, 21000 * B, 0), -ENOSPC);
	ck_assert_int_eq(vdo_discard(f.volume, B, 21000 * B, 0), 0);
	fixture_verify(&f, 20000, 1);
	fixture_verify(&f, 0, n + 1);
	fixture_discard(&f, 0, 10);
	fixture_flush(&f);
	fixture_write(&f, 20000, 1, V_UNIQUE(50000), 0);
	fixture_verify(&f, 20000, 1);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_fini(&f);
}
END_TEST

/* References run out on a full volume: no space, also for those that wait. */
START_TEST(test_full_rollover)
{
	struct fixture f;
	struct pending p[100];
	uint64_t n, failed = 0;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "compression=off");
	fixture_repeat(&f, 1000, 200, V_UNIQUE(77777), 0);
	fixture_flush(&f);
	n = fill(&f, V_UNIQUE(1));
	fixture_flush(&f);
	for (unsigned i = 0; i < 100; i++)
		pending_write(&p[i], &f, 1200 + i, V_UNIQUE(77777), 0);
	for (unsigned i = 0; i < 100; i++) {
		int result = pending_wait(&p[i]);

		ck_assert(result == 0 || result == -ENOSPC);
		failed += result != 0;
		if (result != 0)
			f.expect[1200 + i] = V_ZERO;
	}
	/* 254 in all, if the index was asked in time for all of them. */
	ck_assert_uint_ge(failed, 46);
	fixture_verify(&f, 0, n + 1);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Partial writes and discards need a new block, too. */
START_TEST(test_full_partial)
{
	struct fixture f;
	uint8_t buf[512];

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "compression=off alignment=512");
	fill(&f, V_UNIQUE(1));
	memset(buf, 7, sizeof(buf));
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, 512, 5 * B + 512, 0),
			 -ENOSPC);
	ck_assert_int_eq(vdo_discard(f.volume, 512, 5 * B, 0), -ENOSPC);
	fixture_verify_all(&f);
	fixture_discard(&f, 9, 1);
	fixture_flush(&f);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, 512, 5 * B + 512, 0), 0);
	f.unknown[5] = true;
	fixture_fini(&f);
}
END_TEST

/* All statistics of a known history add up. */
START_TEST(test_statistics)
{
	struct fixture f;
	uint64_t total;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 40, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_write(&f, 40, 40, V_UNIQUE(1), 0);
	fixture_write(&f, 80, 42, V_SQUEEZE(1, 100), 0);
	fixture_write(&f, 130, 10, V_ZERO, 0);
	fixture_flush(&f);
	fixture_verify(&f, 0, 200);
	total = fixture_stat(&f, "path.zero") +
		fixture_stat(&f, "path.duplicate") +
		fixture_stat(&f, "path.inFlightDuplicate") +
		fixture_stat(&f, "path.unique") +
		fixture_stat(&f, "path.compressed") +
		fixture_stat(&f, "path.failed");
	ck_assert_uint_eq(total, 132);
	ck_assert_uint_eq(fixture_stat(&f, "biosIn.write"), 132);
	ck_assert_uint_eq(fixture_stat(&f, "biosIn.read"), 200);
	ck_assert_uint_eq(fixture_stat(&f, "path.zero"), 10);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 40);
	ck_assert_uint_eq(fixture_stat(&f, "path.failed"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 132);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocks"), f.logical_blocks);
	ck_assert_uint_eq(fixture_stat(&f, "physicalBlocks"), f.block_count);
	ck_assert_uint_eq(fixture_stat(&f, "biosOut.write"),
			  fixture_stat(&f, "path.unique") +
				  fixture_stat(
					  &f,
					  "packer.compressedBlocksWritten"));
	ck_assert_uint_eq(data_blocks(&f),
			  fixture_stat(&f, "path.unique") +
				  fixture_stat(
					  &f,
					  "packer.compressedBlocksWritten"));
	ck_assert_uint_eq(fixture_stat(&f, "journal.entries.committed"),
			  132 + 4); /* and the map pages of one leaf */
	ck_assert_uint_eq(fixture_stat(&f, "journal.entries.started"),
			  fixture_stat(&f, "journal.entries.committed"));
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("space");

	tcase_add_loop_test(tc, test_discard, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_huge_discard, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_discard_ranges, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_no_pages_for_nothing, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full_at_once, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full_pages, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full_rollover, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full_partial, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_statistics, 0, FIXTURE_KINDS);
	return unit_run();
}
