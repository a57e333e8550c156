/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing: sizes, offsets, vectors, partial blocks, and all that
 * must be refused. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

START_TEST(test_empty_volume)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_verify(&f, 0, f.logical_blocks);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
	fixture_reopen(&f, "");
	fixture_verify(&f, 0, 10);
	fixture_fini(&f);
}
END_TEST

/* Lengths around what fits into a turn, a leaf page, and the depth. */
static const struct {
	uint64_t lbn, count;
} extents[] = {
	{0, 1},	    {1, 1},   {5, 2},	 {100, 31}, {200, 32},	{300, 33},
	{810, 4},   {811, 1}, {812, 1},	 {900, 64}, {1000, 65}, {1200, 300},
	{1623, 2}, {0, 1},   {1600, 30}, {3, 1},
};

START_TEST(test_extents)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=64");
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		fixture_write(&f, extents[i].lbn, extents[i].count,
			      V_UNIQUE(1000 * (i + 1)), 0);
		fixture_verify(&f, extents[i].lbn, extents[i].count);
	}
	fixture_write(&f, f.logical_blocks - 3, 3, V_UNIQUE(7), 0);
	fixture_verify_all(&f);
	fixture_reopen(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* An overwrite replaces; the old block is free again. */
START_TEST(test_overwrite)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	for (unsigned round = 0; round < 20; round++) {
		fixture_write(&f, 7, 40, V_UNIQUE(1000 * round), 0);
		if (round % 4 == 0)
			fixture_flush(&f);
	}
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 40);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 40);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Vectors of odd shapes, also empty ones, for reading and writing. */
static const struct {
	const char *name;
	size_t lengths[8];
} shapes[] = {
	{"one", {8 * B}},
	{"blocks", {B, B, B, B, B, B, B, B}},
	{"empty ones", {0, 3 * B, 0, 0, 4 * B, 0, B, 0}},
	{"odd", {1, B - 1, B + 7, 2 * B - 7, 100, B - 100, 3 * B}},
	{"tiny", {1, 1, 1, 1, 1, 1, 1, 8 * B - 7}},
};

static void cut(struct iovec *iov, int shape, uint8_t *buf)
{
	for (int i = 0; i < 8; i++) {
		iov[i].iov_base = buf;
		iov[i].iov_len = shapes[shape].lengths[i];
		buf += iov[i].iov_len;
	}
}

START_TEST(test_vectors)
{
	struct fixture f;
	uint8_t *in = pattern_blocks(V_UNIQUE(1), 8);
	uint8_t *out = malloc(8 * B);
	struct iovec iov[8];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (size_t w = 0; w < ARRAY_SIZE(shapes); w++) {
		for (size_t r = 0; r < ARRAY_SIZE(shapes); r++) {
			in[w + 100 * r]++;
			cut(iov, (int)w, in);
			ck_assert_int_eq(vdo_pwritev(f.volume, iov, 8, 808 * B,
						     0),
					 0);
			memset(out, 0xee, 8 * B);
			cut(iov, (int)r, out);
			ck_assert_int_eq(vdo_preadv(f.volume, iov, 8, 808 * B,
						    0),
					 0);
			ck_assert_msg(memcmp(in, out, 8 * B) == 0,
				      "written as %s, read as %s",
				      shapes[w].name, shapes[r].name);
		}
	}
	memset(f.unknown + 808, 1, 8);
	fixture_fini(&f);
	free(in);
	free(out);
}
END_TEST

/* Vectors of @each bytes, all over @bytes; their number. */
static int shred(struct iovec *iov, uint8_t *memory, size_t bytes,
		 size_t each)
{
	int n = 0;

	for (size_t i = 0; i < bytes; i += each)
		iov[n++] = (struct iovec){memory + i, MIN(each, bytes - i)};
	return n;
}

/* Many more than the system takes at a time, across the ends of blocks. */
START_TEST(test_many_vectors)
{
	struct fixture f;
	static struct iovec iov[4 * B];
	uint8_t *in = pattern_blocks(V_UNIQUE(1), 4);
	uint8_t out[4 * B];
	int count = shred(iov, in, sizeof(out), 3);

	ck_assert_int_gt(count, 5 * IOV_MAX);
	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_pwritev(f.volume, iov, count, 0, 0), 0);
	ck_assert_int_eq(vdo_pread(f.volume, out, sizeof(out), 0, 0), 0);
	ck_assert_int_eq(memcmp(in, out, sizeof(out)), 0);
	memset(out, 0, sizeof(out));
	count = shred(iov, out, sizeof(out), 1);
	ck_assert_int_eq(vdo_preadv(f.volume, iov, count, 0, 0), 0);
	ck_assert_int_eq(memcmp(in, out, sizeof(out)), 0);
	memset(f.unknown, 1, 4);
	fixture_fini(&f);
	free(in);
}
END_TEST

/* The array of vectors is the caller's again when the call returns. */
START_TEST(test_vectors_are_copied)
{
	struct fixture f;
	struct pending p;
	uint8_t *in = pattern_blocks(V_UNIQUE(1), 64);
	struct iovec iov[64];

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	for (int i = 0; i < 64; i++)
		iov[i] = (struct iovec){in + i * B, B};
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_pwritev(f.volume, iov, 64, 0, pending_done,
					 &p, 0),
			 0);
	memset(iov, 0xff, sizeof(iov));
	ck_assert_int_eq(pending_wait(&p), 0);
	for (int i = 0; i < 64; i++)
		f.expect[i] = V_UNIQUE(1) + (value_t)i;
	fixture_verify(&f, 0, 64);
	fixture_fini(&f);
	free(in);
}
END_TEST

/* 512-byte access: each run of sectors over a few blocks, of each content. */
START_TEST(test_sectors)
{
	struct fixture f;
	uint8_t shadow[6 * B], buf[6 * B];
	uint64_t random = (uint64_t)_i + 1;

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512");
	ck_assert_uint_eq(vdo_volume_alignment(f.volume), 512);
	memset(shadow, 0, sizeof(shadow));
	for (unsigned round = 0; round < 150; round++) {
		size_t first = pattern_random(&random, 48);
		size_t n = 1 + pattern_random(&random, MIN(48 - first, 20));
		unsigned what = (unsigned)pattern_random(&random, 5);
		uint8_t *at = shadow + first * 512;
		uint64_t offset = 809 * B + first * 512;
		int result;

		if (what == 0) {
			memset(at, 0, n * 512);
			result = vdo_discard(f.volume, n * 512, offset, 0);
		} else if (what == 1) {
			memset(at, 0, n * 512);
			result = vdo_write_zeroes(f.volume, n * 512, offset, 0);
		} else {
			for (size_t i = 0; i < n * 512; i++)
				at[i] = what == 2 ? (uint8_t)round
						  : (uint8_t)pattern_random(
							    &random, 256);
			result = vdo_pwrite(f.volume, at, n * 512, offset, 0);
		}
		ck_assert_int_eq(result, 0);
		first = pattern_random(&random, 48);
		n = 1 + pattern_random(&random, 48 - first);
		ck_assert_int_eq(vdo_pread(f.volume, buf, n * 512,
					   809 * B + first * 512, 0),
				 0);
		ck_assert_int_eq(memcmp(buf, shadow + first * 512, n * 512), 0);
	}
	memset(f.unknown + 809, 1, 6);
	fixture_reopen(&f, "");
	ck_assert_int_eq(vdo_pread(f.volume, buf, sizeof(buf), 809 * B, 0), 0);
	ck_assert_int_eq(memcmp(buf, shadow, sizeof(buf)), 0);
	fixture_fini(&f);
}
END_TEST

/* Sectors of one block written at once, each by its own operation: none may
 * get lost between the reading and the writing of another. */
START_TEST(test_sectors_at_once)
{
	struct fixture f;
	struct pending p[8];
	uint8_t in[B], out[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512");
	for (unsigned round = 0; round < 20; round++) {
		pattern_fill(V_UNIQUE(round + 1), in);
		for (int i = 0; i < 8; i++) {
			pending_init(&p[i], &f);
			ck_assert_int_eq(vdo_aio_pwrite(f.volume, in + 512 * i,
							512, 5 * B + 512 * i,
							pending_done, &p[i],
							0),
					 0);
		}
		for (int i = 0; i < 8; i++)
			ck_assert_int_eq(pending_wait(&p[i]), 0);
		ck_assert_int_eq(vdo_pread(f.volume, out, B, 5 * B, 0), 0);
		ck_assert_int_eq(memcmp(in, out, B), 0);
		f.expect[5] = V_UNIQUE(round + 1);
	}
	fixture_fini(&f);
}
END_TEST

static const struct {
	const char *name;
	uint64_t offset, count; /* offset from the end if @behind */
	bool behind;
	unsigned alignment;
	int want;
} ranges[] = {
	{"nothing", 0, 0, false, 4096, 0},
	{"nothing at the end", 0, 0, true, 4096, 0},
	{"nothing behind the end", B, 0, true, 4096, -ERANGE},
	{"the end", 0, B, true, 4096, -ERANGE},
	{"around the end", (uint64_t)-B, 2 * B, true, 4096, -ERANGE},
	{"far away", UINT64_MAX - B + 1, B, false, 4096, -ERANGE},
	{"all there is", B, UINT64_MAX - B + 1, false, 4096, -ERANGE},
	{"offset of a sector", 512, B, false, 4096, -EINVAL},
	{"length of a sector", 0, 512, false, 4096, -EINVAL},
	{"odd offset", 1, B, false, 512, -EINVAL},
	{"odd length", 0, B + 511, false, 512, -EINVAL},
	{"a sector", 512, 512, false, 512, 0},
	{"sector behind the end", 0, 512, true, 512, -ERANGE},
};

static void check_range(struct fixture *f, size_t i, void *buf)
{
	uint64_t offset = ranges[i].offset;
	uint64_t n = ranges[i].count;
	struct iovec iov[2] = {{buf, n / 2}, {buf, n - n / 2}};
	int want = ranges[i].want;

	if (ranges[i].behind)
		offset += vdo_volume_size(f->volume);
	ck_assert_int_eq(vdo_pread(f->volume, buf, n, offset, 0), want);
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, n, offset, 0), want);
	ck_assert_int_eq(vdo_preadv(f->volume, iov, 2, offset, 0), want);
	ck_assert_int_eq(vdo_pwritev(f->volume, iov, 2, offset, 0), want);
	ck_assert_int_eq(vdo_discard(f->volume, n, offset, 0), want);
	ck_assert_int_eq(vdo_write_zeroes(f->volume, n, offset, 0), want);
}

START_TEST(test_ranges)
{
	static uint8_t buf[2 * B];
	struct fixture f;

	fixture_init(&f, _i, "");
	for (unsigned alignment = 512; alignment <= 4096; alignment *= 8) {
		fixture_open(&f, alignment == 512 ? "alignment=512" : "");
		for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
			if (ranges[i].alignment == alignment)
				check_range(&f, i, buf);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* What is refused is refused at once; the callback never runs. */
START_TEST(test_bad_arguments)
{
	struct fixture f;
	struct pending p;
	uint8_t buf[B];
	struct iovec iov = {buf, B};
	struct iovec huge[2] = {{buf, SIZE_MAX}, {buf, B + 1}};

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_pread(f.volume, buf, B, 0, 16), -EINVAL);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 0, 1u << 31), -EINVAL);
	ck_assert_int_eq(vdo_flush(f.volume, 0x100), -EINVAL);
	ck_assert_int_eq(vdo_discard(f.volume, B, 0, 0x20), -EINVAL);
	ck_assert_int_eq(vdo_preadv(f.volume, &iov, -1, 0, 0), -EINVAL);
	ck_assert_int_eq(vdo_preadv(f.volume, NULL, 1, 0, 0), -EINVAL);
	ck_assert_int_eq(vdo_preadv(f.volume, huge, 2, 0, 0), -EINVAL);
	ck_assert_int_eq(vdo_preadv(f.volume, NULL, 0, 0, 0), 0);
	ck_assert_int_eq(vdo_pread(NULL, buf, B, 0, 0), -EINVAL);
	ck_assert_int_eq(vdo_aio_pread(f.volume, buf, B, 0, NULL, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(vdo_aio_pread(f.volume, buf, B, 1, pending_done, &p,
				       0),
			 -EINVAL);
	ck_assert_int_eq(vdo_aio_pwrite(f.volume, buf, B, (uint64_t)1 << 60,
					pending_done, &p, 0),
			 -ERANGE);
	ck_assert_int_eq(vdo_aio_flush(f.volume, pending_done, &p, 0x80),
			 -EINVAL);
	fixture_close(&f);
	ck_assert_uint_eq(p.calls, 0);
	fixture_fini(&f);
}
END_TEST

/* Flags that are known are taken by all calls. */
START_TEST(test_flags)
{
	static const unsigned flags[] = {
		VDO_IO_FUA, VDO_IO_NO_DEDUPE, VDO_IO_NO_COMPRESS, VDO_IO_NOWAIT,
		VDO_IO_FUA | VDO_IO_NO_DEDUPE | VDO_IO_NO_COMPRESS |
			VDO_IO_NOWAIT};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		uint8_t buf[B];

		fixture_write(&f, 10 * i, 5, V_SQUEEZE(100 * i, 1000),
			      flags[i]);
		fixture_write(&f, 10 * i + 5, 1, V_SQUEEZE(100 * i, 1000),
			      flags[i]);
		ck_assert_int_eq(vdo_pread(f.volume, buf, B, 0, flags[i]), 0);
		ck_assert_int_eq(vdo_write_zeroes(f.volume, B, 10 * i * B,
						  flags[i]),
				 0);
		ck_assert_int_eq(vdo_discard(f.volume, B, (10 * i + 1) * B,
					     flags[i]),
				 0);
		f.expect[10 * i] = f.expect[10 * i + 1] = V_ZERO;
		ck_assert_int_eq(vdo_flush(f.volume, flags[i]), 0);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Blocks that differ in 16 bytes only, or in one, are different. */
START_TEST(test_almost_equal)
{
	struct fixture f;
	uint8_t buf[B], out[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 200, V_SALT(0), 0);
	memset(buf, 0, sizeof(buf));
	for (unsigned i = 0; i < B; i += 64) {
		buf[i] = 1;
		ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 300 * B, 0), 0);
		ck_assert_int_eq(vdo_pread(f.volume, out, B, 300 * B, 0), 0);
		ck_assert_int_eq(memcmp(buf, out, B), 0);
		buf[i] = 0;
	}
	f.unknown[300] = true;
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Close and open often; change blocks under existing map pages each time. */
START_TEST(test_restarts)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "era=2");
	for (unsigned round = 0; round < 8; round++) {
		fixture_write(&f, 100 * round, 120, V_UNIQUE(1000 * round), 0);
		fixture_write(&f, 1500 + round, 1, V_SQUEEZE(round, 100), 0);
		fixture_discard(&f, 90 * round, 20);
		if (round % 2 == 0)
			fixture_flush(&f);
		fixture_reopen(&f, round % 2 == 0 ? "" : "depth=16 era=1");
		fixture_verify_all(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* More writes than the recovery journal and the slab journals have room for,
 * several times around. */
START_TEST(test_journals_wrap)
{
	struct fixture f;

	fixture_init(&f, _i, "journal-blocks=16 slab-journal-blocks=4");
	fixture_open(&f, "compression=off");
	for (unsigned round = 0; round < 40; round++)
		fixture_write(&f, 37 * round % 1000, 300,
			      V_UNIQUE(1000 * round), VDO_IO_NO_DEDUPE);
	ck_assert_uint_gt(fixture_stat(&f, "journal.blocks.committed"), 32);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Is it a write of journals or counts of a slab? */
static bool is_slab_metadata(void *arg, const struct vdo_device_io *io)
{
	const struct image *im = arg;
	pbn_t pbn = io->offset / B + im->geometry.bio_offset;

	return io->op == VDO_DEVICE_WRITE && pbn >= im->sb.depot_first_block &&
	       pbn < im->sb.depot_last_block &&
	       (pbn - im->sb.depot_first_block) % im->sb.slab.slab_blocks >=
		       im->slabs.data_blocks;
}

/* Writes number 0 to COUNT - 1, of which several were to the same block at the
 * same time: any of these may be the last. */
static void expect_any(struct fixture *f, unsigned count)
{
	for (unsigned lbn = 0; lbn < 1500; lbn++) {
		uint8_t buf[B];
		bool found = false;

		ck_assert_int_eq(vdo_pread(f->volume, buf, B, lbn * B, 0), 0);
		for (unsigned i = 0; i < count && !found; i++) {
			if (i * 7 % 1500 != lbn)
				continue;
			found = pattern_is(V_UNIQUE(10000 + i), buf);
			f->expect[lbn] = V_UNIQUE(10000 + i);
		}
		ck_assert_msg(found, "lbn %u has none of them", lbn);
	}
}

/* I40: as many requests as there can be with the shortest journals, whose depth
 * is limited, all stuck between these. A crash then could be recovered from, and
 * they all go on. */
START_TEST(test_journals_stuck)
{
	enum { COUNT = 5000, DEPTH = 1299 };
	struct pending *p = calloc(COUNT, sizeof(*p));
	struct fixture f;
	struct image layout, crashed;

	fixture_init(&f, _i, "journal-blocks=8 slab-journal-blocks=3");
	fixture_open(&f, "depth=2048 compression=off");
	fixture_write(&f, 0, 1500, V_UNIQUE(1), 0);
	fixture_flush(&f);
	image_open_sim(&layout, f.sd, f.block_count);
	sim_device_hold(f.sd, is_slab_metadata, &layout);
	for (unsigned i = 0; i < COUNT; i++)
		pending_write(&p[i], &f, i * 7 % 1500, V_UNIQUE(10000 + i),
			      VDO_IO_NO_DEDUPE);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == DEPTH &&
				  fixture_stat(&f, "journal.diskFull") > 0 &&
				  sim_device_pending(f.sd) ==
					  sim_device_held(f.sd));
	image_open_sim(&crashed, f.sd, f.block_count);
	image_recover(&crashed);
	image_check(&crashed);
	ck_assert_uint_eq(crashed.problems, 0);
	image_close(&crashed);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	ck_assert_uint_eq(fixture_stat(&f, "maxVIOs"), DEPTH);
	expect_any(&f, COUNT);
	image_close(&layout);
	fixture_fini(&f);
	free(p);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("io");

	tcase_add_loop_test(tc, test_empty_volume, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_extents, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_overwrite, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_vectors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_many_vectors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_vectors_are_copied, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_sectors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_sectors_at_once, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_ranges, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_bad_arguments, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_flags, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_almost_equal, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_restarts, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_journals_wrap, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_journals_stuck, 0, FIXTURE_KINDS);
	return unit_run();
}
