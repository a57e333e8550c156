/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies within a volume: what they show, what they store, how they end.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/mapping.h"
#include "tests/lib/fixture.h"

#define B    BLOCK_SIZE
#define PAGE MAP_PAGE_ENTRIES

static void expect_copy(struct fixture *f, uint64_t dst, uint64_t src,
			uint64_t count)
{
	memmove(f->expect + dst, f->expect + src, count * sizeof(value_t));
}

static void copy(struct fixture *f, uint64_t dst, uint64_t src, uint64_t count,
		 unsigned flags)
{
	ck_assert_int_eq(vdo_copy_range(f->volume, dst * B, src * B, count * B,
					flags),
			 0);
	expect_copy(f, dst, src, count);
}

static uint64_t used(struct fixture *f)
{
	fixture_flush(f);
	return fixture_stat(f, "dataBlocksUsed");
}

/* ------------------------------------------------------------------ shapes */

static const struct {
	uint64_t dst, src, count;
} shapes[] = {
	{1000, 0, 1},	   {1000, 1, 500},     {PAGE, 0, PAGE},
	{PAGE + 5, 0, 900}, {PAGE - 7, 1200, 14}, {0, 1000, 1000},
	{10, 0, 1500},	   {0, 10, 1500},      {1, 0, 2000},
	{0, 1, 2000},	   {1234, 0, 814},     {0, 500, 136},
	{400, 700, 137},   {0, 0, 2048},       {100, 0, 0},
	{1040, 1000, 41},  {3, PAGE, 2 * 136}, {0, 1900, 100},
};

/* What was written, nothing, zeroes: each range shows the same as the other, and
 * nothing more is stored. */
START_TEST(test_shapes)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		uint64_t before, read;

		fixture_discard(&f, 0, 2048);
		fixture_write(&f, 0, 700, V_UNIQUE(3000 * i + 1), 0);
		fixture_write(&f, PAGE, 300, V_UNIQUE(3000 * i + 1001), 0);
		fixture_repeat(&f, 1800, 100, V_UNIQUE(3000 * i + 2001), 0);
		ck_assert_int_eq(vdo_write_zeroes(f.volume, 60 * B, 750 * B,
						  0),
				 0);
		before = used(&f);
		read = fixture_stat(&f, "biosOut.read") +
		       fixture_stat(&f, "biosOut.write");
		copy(&f, shapes[i].dst, shapes[i].src, shapes[i].count,
		     i % 2 == 0 ? 0 : VDO_IO_FUA);
		ck_assert_uint_eq(fixture_stat(&f, "biosOut.read") +
					  fixture_stat(&f, "biosOut.write"),
				  read);
		ck_assert_uint_le(used(&f), before);
		fixture_verify_all(&f);
	}
	fixture_close(&f);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Holes stay holes, zeroes stay zeroes, and a copy of what is there already makes
 * no entry. */
START_TEST(test_holes)
{
	struct fixture f;
	uint64_t entries;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, 50 * B, 2000 * B - 50 * B,
					  0),
			 0);
	copy(&f, 100, 1850, 150, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 950);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 850);
	copy(&f, 1000, 0, 1000, 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 1800);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 850);
	entries = fixture_stat(&f, "journal.entries.committed");
	copy(&f, 1000, 0, 1000, 0);
	copy(&f, 0, 1000, 1000, VDO_IO_FUA);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "journal.entries.committed"),
			  entries);
	ck_assert_uint_eq(fixture_stat(&f, "path.copiedByReference"), 1050);
	ck_assert_uint_eq(fixture_stat(&f, "path.copiedUnchanged"), 2100);
	ck_assert_uint_eq(fixture_stat(&f, "path.copiedByWriting"), 0);
	fixture_discard(&f, 0, 1000);
	fixture_verify_all(&f);
	ck_assert_uint_eq(used(&f), 850);
	fixture_discard(&f, 0, 2048);
	ck_assert_uint_eq(used(&f), 0);
	fixture_fini(&f);
}
END_TEST

/* Fragments are shared as they are. */
START_TEST(test_compressed)
{
	struct fixture f;
	uint64_t before;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=on");
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(fixture_try_write(
					 &f, i, V_SQUEEZE(10 * i + 1, 500), 0),
				 0);
	before = used(&f);
	copy(&f, 700, 0, 300, 0);
	copy(&f, 100, 705, 120, 0);
	ck_assert_uint_le(used(&f), before);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Random ranges, often overlapping. */
START_TEST(test_random)
{
	struct fixture f;
	uint64_t random = 1 + (uint64_t)_i;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off depth=64");
	fixture_write(&f, 0, 600, V_UNIQUE(1), 0);
	for (unsigned i = 0; i < 150; i++) {
		uint64_t count = 1 + pattern_random(&random, 1000);
		uint64_t src = pattern_random(&random, 2048 - count + 1);
		uint64_t dst = pattern_random(&random, 2048 - count + 1);

		if (i % 3 == 0) {
			dst = src + pattern_random(&random, 5);
			count = MIN(count, 2048 - dst);
		}
		copy(&f, dst, src, count, 0);
		if (i % 10 == 0)
			fixture_write(&f, pattern_random(&random, 2000), 40,
				      V_UNIQUE(10000 + 100 * i), 0);
		if (i % 25 == 0)
			fixture_verify_all(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* Sectors: parts of blocks at both ends. */
START_TEST(test_partial_ends)
{
	static const struct {
		size_t dst, src, count;
	} parts[] = {
		{B + 512, 20 * B + 512, 5 * B},
		{B + 1024, 20 * B + 1024, 512},
		{30 * B, 20 * B, 2 * B + 512},
		{31 * B - 512, 20 * B - 512, 1024},
		{B + 512, 512, 7 * B},
		{512, B + 512, 7 * B + 1024},
		{3 * B + 512, B + 512, 512},
		{811 * B + 512, 800 * B + 512, 2 * B},
	};
	static uint8_t want[840 * B], got[840 * B];
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512 compression=off");
	memset(f.unknown, 1, 840);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i / 512 * 7 + i / 4096);
	memset(want + 4 * B, 0, 2 * B);
	ck_assert_int_eq(vdo_pwrite(f.volume, want, sizeof(want), 0, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		ck_assert_int_eq(vdo_copy_range(f.volume, parts[i].dst,
						parts[i].src, parts[i].count,
						i % 2 == 0 ? 0 : VDO_IO_FUA),
				 0);
		memmove(want + parts[i].dst, want + parts[i].src,
			parts[i].count);
		ck_assert_int_eq(vdo_pread(f.volume, got, sizeof(got), 0, 0),
				 0);
		ck_assert_int_eq(memcmp(want, got, sizeof(want)), 0);
	}
	ck_assert_int_eq(vdo_copy_range(f.volume, 512, 0, 512, 0), -EINVAL);
	ck_assert_int_eq(vdo_copy_range(f.volume, B, 512, B, 0), -EINVAL);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_refused)
{
	struct vdo_op op = {.kind = VDO_OP_COPY,
			    .count = B,
			    .callback = pending_done};
	struct pending p;
	struct fixture f;
	uint64_t size;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	size = vdo_volume_size(f.volume);
	ck_assert_int_eq(vdo_copy_range(f.volume, size, 0, B, 0), -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, size, B, 0), -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, size - B, 2 * B, 0),
			 -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, size - B, 0, 2 * B, 0),
			 -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, UINT64_MAX - B + 1, B, 0),
			 -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, B, UINT64_MAX - B + 1, 0),
			 -ERANGE);
	ck_assert_int_eq(vdo_copy_range(f.volume, 512, 0, B, 0), -EINVAL);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, 512, B, 0), -EINVAL);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, B, 512, 0), -EINVAL);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, B, B, 1u << 20), -EINVAL);
	ck_assert_int_eq(vdo_copy_range(f.volume, size, size, 0, 0), 0);
	ck_assert_int_eq(vdo_copy_range(f.volume, 0, size - B, B, 0), 0);
	op.offset = B;
	op.source = size;
	op.arg = &p;
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_submit(f.volume, &op, 1), -ERANGE);
	op.buf = &op;
	ck_assert_int_eq(vdo_aio_submit(f.volume, &op, 1), -EINVAL);
	op.buf = NULL;
	op.source = 5 * B;
	fixture_write(&f, 5, 1, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_aio_submit(f.volume, &op, 1), 1);
	ck_assert_int_eq(pending_wait(&p), 0);
	expect_copy(&f, 1, 5, 1);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- limits */

/* No block has more than 254 references: others are made. */
START_TEST(test_all_references)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	for (unsigned round = 0; round < 4; round++) {
		bool one = round % 2 == 0;

		fixture_open(&f, round < 2 ? "compression=off"
					   : "compression=off "
					     "deduplication=off");
		fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
		/* Both: each block becomes that before it, by one copy or many. */
		for (unsigned i = 1; one && i < 254; i++)
			copy(&f, i, i - 1, 1, 0);
		for (unsigned n = 1; !one && n < 254; n *= 2)
			copy(&f, n, 0, MIN(n, 254 - n), 0);
		ck_assert_uint_eq(used(&f), 1);
		copy(&f, 500, 0, 254, 0);
		ck_assert_uint_ge(fixture_stat(&f, "path.copiedByWriting"), 1);
		ck_assert_uint_eq(fixture_stat(&f, "path.copiedByReference") +
					  fixture_stat(&f,
						       "path.copiedByWriting"),
				  253 + 254);
		ck_assert_uint_ge(used(&f), 2);
		ck_assert_uint_le(used(&f), round < 2 ? 4 : 255);
		copy(&f, 1000, 500, 254, VDO_IO_FUA);
		copy(&f, 1500, 1499 - 253, 254, 0);
		fixture_verify_all(&f);
		fixture_discard(&f, 0, 2048);
		ck_assert_uint_eq(used(&f), 0);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* Without space what needs no block goes on; what needs one is old. */
START_TEST(test_no_space)
{
	struct fixture f;
	uint64_t lbn = 300;
	int result;

	fixture_init(&f, _i, "logical-size=32M");
	fixture_open(&f, "compression=off deduplication=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	for (unsigned n = 1; n < 254; n *= 2)
		copy(&f, n, 0, MIN(n, 254 - n), 0);
	while ((result = fixture_try_write(&f, lbn, V_UNIQUE(lbn), 0)) == 0)
		lbn++;
	ck_assert_int_eq(result, -ENOSPC);
	fixture_flush(&f);
	ck_assert_int_eq(vdo_copy_range(f.volume, 270 * B, 0, B, 0), -ENOSPC);
	ck_assert_int_eq(vdo_copy_range(f.volume, 400 * B, 0, 2 * B,
					VDO_IO_FUA),
			 -ENOSPC);
	fixture_verify(&f, 0, lbn);
	copy(&f, 300, 301, 500, 0);
	fixture_verify(&f, 0, lbn);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_discard(&f, 0, 254);
	copy(&f, 0, 300, 200, 0);
	fixture_verify(&f, 0, lbn);
	fixture_fini(&f);
}
END_TEST

/* Slabs whose counts are not in memory. */
START_TEST(test_unloaded_counts)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	f.counts_memory = 1;
	fixture_open(&f, "compression=off depth=64");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off depth=64");
	for (unsigned i = 0; i < 30; i++) {
		copy(&f, 1000 + i, i * 31, 900 - i * 20, 0);
		fixture_verify(&f, 0, 2048);
	}
	/* What is estimated counts as used. */
	ck_assert_uint_ge(used(&f), 1000);
	ck_assert(fixture_stat(&f, "path.slabsEstimated") > 0 ||
		  used(&f) == 1000);
	fixture_fini(&f);
}
END_TEST

/* After a crash, while slabs are scrubbed: what is copied is shared. */
START_TEST(test_unscrubbed)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_lose_power(&f);
	fixture_restore_power(&f);
	fixture_open(&f, "compression=off deduplication=off");
	copy(&f, 1000, 0, 1000, 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "path.slabsUnscrubbed") == 0);
	ck_assert_uint_eq(used(&f), 1000);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------- many at once */

static bool is_write(void *arg, const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_WRITE;
}

/* Writes that were acknowledged and are not stored yet are what is copied. */
START_TEST(test_after_acknowledged)
{
	enum { COUNT = 40 };
	struct pending p[COUNT], c[2];
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_write(&f, 900, 100, V_UNIQUE(100), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		pending_write(&p[i], &f, 20 + 17 * i, V_UNIQUE(1000 + i), 0);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	pending_init(&c[0], &f);
	pending_init(&c[1], &f);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 1000 * B, 0, 700 * B,
					    pending_done, &c[0], 0),
			 0);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 300 * B, 0, 300 * B,
					    pending_done, &c[1], 0),
			 0);
	for (unsigned i = 0; i < 200; i++)
		fixture_poll(&f);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	ck_assert_int_eq(pending_wait(&c[0]), 0);
	ck_assert_int_eq(pending_wait(&c[1]), 0);
	fixture_verify(&f, 0, 300);
	expect_copy(&f, 1000, 0, 300);
	expect_copy(&f, 300, 0, 300);
	fixture_verify(&f, 0, 600);
	fixture_verify(&f, 1000, 300);
	memset(f.unknown + 1300, 1, 400);
	ck_assert_uint_le(used(&f), 141);
	fixture_fini(&f);
}
END_TEST

/* Without threads no request is waited for: all of them are there, or none. */
START_TEST(test_nowait)
{
	struct pending p[3];
	struct fixture f;
	int result;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off depth=64");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < 3; i++)
		pending_init(&p[i], &f);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 200 * B, 0, 65 * B,
					    pending_done, &p[0],
					    VDO_IO_NOWAIT),
			 -EAGAIN);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 200 * B, 0, 60 * B,
					    pending_done, &p[1],
					    VDO_IO_NOWAIT),
			 0);
	ck_assert_int_eq(pending_wait(&p[1]), 0);
	expect_copy(&f, 200, 0, 60);
	fixture_until(&f, (result = vdo_aio_copy_range(
				   f.volume, 3 * B, 0, 60 * B, pending_done,
				   &p[2], VDO_IO_NOWAIT | VDO_IO_FUA)) !=
				  -EAGAIN);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(pending_wait(&p[2]), 0);
	expect_copy(&f, 3, 0, 60);
	fixture_verify_all(&f);
	ck_assert_uint_eq(used(&f), 97); /* three were overwritten */
	/* All were given back. */
	fixture_until(&f, (result = vdo_aio_copy_range(
				   f.volume, 300 * B, 0, 64 * B, pending_done,
				   &p[0], VDO_IO_NOWAIT)) != -EAGAIN);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(pending_wait(&p[0]), 0);
	expect_copy(&f, 300, 0, 64);
	fixture_fini(&f);
}
END_TEST

/* Copies, discards, writes and reads of the same blocks, all at once: each ends, and
 * the counts agree. */
START_TEST(test_all_at_once)
{
	static const char *const options[] = {
		"compression=off depth=16", "compression=off depth=2048"};
	enum { COUNT = 300 };
	struct pending *p = calloc(COUNT, sizeof(*p));
	uint8_t *bufs = malloc(COUNT * B);
	struct fixture f;

	fixture_init(&f, _i, "");
	for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
		fixture_open(&f, options[k]);
		fixture_write(&f, 0, 1500, V_UNIQUE(1), 0);
		for (unsigned i = 0; i < COUNT; i++) {
			uint64_t lbn = i * 97 % 1800;
			uint64_t other = (i * 61 + 7) % 1800;
			uint8_t *buf = bufs + i * B;
			int result;

			pending_init(&p[i], &f);
			memset(buf, (int)i, B);
			if (i % 16 == 0)
				result = vdo_aio_discard(f.volume, 100 * B,
							 lbn * B, pending_done,
							 &p[i], 0);
			else if (i % 4 == 1)
				result = vdo_aio_pread(f.volume, buf, B,
						       lbn * B, pending_done,
						       &p[i], 0);
			else if (i % 4 == 2)
				result = vdo_aio_pwrite(f.volume, buf, B,
							lbn * B, pending_done,
							&p[i], 0);
			else
				result = vdo_aio_copy_range(
					f.volume, lbn * B,
					(i % 8 == 3 ? lbn + 3 : other) * B,
					200 * B, pending_done, &p[i],
					i % 32 == 7 ? VDO_IO_FUA : 0);
			ck_assert_int_eq(result, 0);
		}
		for (unsigned i = 0; i < COUNT; i++)
			ck_assert_int_eq(pending_wait(&p[i]), 0);
		memset(f.unknown, 1, 2048);
		fixture_flush(&f);
		fixture_close(&f);
		memset(f.unknown, 0, 2048);
		fixture_open(&f, options[k]);
		fixture_discard(&f, 0, 2048);
		ck_assert_uint_eq(used(&f), 0);
		fixture_close(&f);
	}
	fixture_fini(&f);
	free(bufs);
	free(p);
}
END_TEST

/* Threads: copies forth and back between halves, and writers. Each block read is
 * one that was written. */
struct worker {
	pthread_t thread;
	struct vdo_volume *volume;
	unsigned number;
};

#define WORKERS 4u
#define ROUNDS	60u

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t *buf = malloc(32 * B);

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t at = (round * 61 + w->number * 11) % 900 * B;
		int result;

		if (w->number < 2) {
			result = vdo_copy_range(w->volume,
						w->number * 1000 * B + at,
						(1 - w->number) * 1000 * B,
						100 * B, 0);
			ck_assert_int_eq(result, 0);
			continue;
		}
		memset(buf, (int)w->number, 32 * B);
		result = vdo_pwrite(w->volume, buf, 32 * B, at, 0);
		ck_assert_int_eq(result, 0);
		result = vdo_pread(w->volume, buf, 32 * B, at + 1000 * B, 0);
		ck_assert_int_eq(result, 0);
		for (unsigned i = 0; i < 32; i++) {
			uint8_t *block = buf + i * B;

			ck_assert_uint_lt(block[0], WORKERS);
			ck_assert_int_eq(memcmp(block, block + 1, B - 1), 0);
		}
	}
	free(buf);
	return NULL;
}

START_TEST(test_threads)
{
	struct worker w[WORKERS];
	struct fixture f;

	fixture_init(&f, KIND_NATIVE, "");
	fixture_open(&f, "compression=off");
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i].volume = f.volume;
		w[i].number = i;
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(w[i].thread, NULL);
	fixture_discard(&f, 0, 2048);
	ck_assert_uint_eq(used(&f), 0);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------- durability */

/* What a flush covered, or FUA, is there after a crash. */
START_TEST(test_durable)
{
	for (unsigned round = 0; round < 4; round++) {
		unsigned flags = round % 2 == 0 ? 0 : VDO_IO_FUA;
		struct fixture f;
		struct image im;
		uint8_t buf[B];

		fixture_init(&f, _i, "");
		fixture_open(&f, "compression=off");
		fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
		fixture_flush(&f);
		if (round < 2)
			copy(&f, 1000, 0, 1000, flags);
		else
			copy(&f, 500, 0, 1000, flags);
		/* The source is free meanwhile. */
		fixture_discard(&f, 10, 300);
		fixture_write(&f, 400, 50, V_UNIQUE(5000), 0);
		fixture_flush(&f);
		sim_device_crash(f.sd);
		image_open_sim(&im, f.sd, f.block_count);
		image_recover(&im);
		image_check(&im);
		ck_assert_uint_eq(im.problems, 0);
		for (uint64_t i = 0; i < 2000; i++) {
			ck_assert(image_read(&im, i, buf));
			ck_assert(pattern_is(f.expect[i], buf));
		}
		image_close(&im);
		fixture_abandon(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* FUA alone makes it durable. */
START_TEST(test_fua)
{
	struct fixture f;
	struct image im;
	uint8_t buf[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	copy(&f, 1000, 0, 1000, VDO_IO_FUA);
	sim_device_crash(f.sd);
	image_open_sim(&im, f.sd, f.block_count);
	image_recover(&im);
	image_check(&im);
	ck_assert_uint_eq(im.problems, 0);
	for (uint64_t i = 0; i < 2000; i++) {
		ck_assert(image_read(&im, i, buf));
		ck_assert(pattern_is(f.expect[i], buf));
	}
	image_close(&im);
	fixture_abandon(&f);
	fixture_fini(&f);
}
END_TEST

/* Journals as short as can be: all wait for space, and get it. */
START_TEST(test_short_journals)
{
	static const char *const options[] = {"compression=off depth=2048",
					      "compression=off depth=16"};
	struct fixture f;

	for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
		fixture_init(&f, _i, "journal-blocks=4 slab-journal-blocks=3");
		fixture_open(&f, options[k]);
		for (unsigned round = 0; round < 3; round++) {
			fixture_write(&f, 0, 900, V_UNIQUE(5000 * round + 1),
				      0);
			copy(&f, 1000, 0, 900, 0);
			copy(&f, 5, 1000, 800, 0);
			copy(&f, 7, 3, 1900, 0);
			fixture_verify_all(&f);
		}
		fixture_discard(&f, 0, 2048);
		ck_assert_uint_eq(used(&f), 0);
		fixture_fini(&f);
	}
}
END_TEST

/* ----------------------------------------------------------------- errors */

static void fault(struct fixture *f, enum vdo_device_op op, uint64_t block,
		  uint64_t count)
{
	const struct sim_fault fault = {
		.ops = SIM_OP(op), .first_block = block, .block_count = count};

	sim_device_fault(f->sd, &fault);
}

static struct mapping find(struct fixture *f, uint64_t lbn, pbn_t *leaf)
{
	struct mapping m;
	struct image im;
	uint8_t page[B];

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	*leaf = image_page_of(&im, lbn, 0);
	image_close(&im);
	sim_device_peek(f->sd, *leaf, page);
	m = mapping_page_get(page, (unsigned)(lbn % PAGE));
	return m;
}

/* A page that cannot be read ends it; what comes after it stays. */
START_TEST(test_unreadable_page)
{
	struct fixture f;
	pbn_t leaf;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off");
	(void)find(&f, PAGE, &leaf);
	fault(&f, VDO_DEVICE_READ, leaf, 1);
	ck_assert_int_lt(vdo_copy_range(f.volume, 0, 700 * B, 300 * B,
					VDO_IO_FUA),
			 0);
	fixture_verify(&f, 2 * PAGE, 2000 - 2 * PAGE);
	f.no_check = true;
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

/* The data of a copy is not looked at, unless it must be written again. */
START_TEST(test_unreadable_data)
{
	struct fixture f;
	struct mapping m;
	pbn_t leaf;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off");
	m = find(&f, 0, &leaf);
	ck_assert_uint_ne(m.pbn, ZERO_BLOCK);
	fault(&f, VDO_DEVICE_READ, m.pbn, 1);
	for (unsigned n = 1; n < 254; n *= 2)
		copy(&f, n, 0, MIN(n, 254 - n), 0);
	ck_assert_int_eq(vdo_copy_range(f.volume, 300 * B, 0, 5 * B, 0), -EIO);
	sim_device_clear_faults(f.sd);
	fixture_verify_all(&f);
	copy(&f, 300, 0, 5, 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A damaged entry is overwritten; it cannot be copied. */
START_TEST(test_damaged_entry)
{
	uint8_t page[B];
	struct fixture f;
	pbn_t leaf;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_close(&f);
	(void)find(&f, 0, &leaf);
	sim_device_peek(f.sd, leaf, page);
	mapping_page_put(page, 30, (struct mapping){1, STATE_UNCOMPRESSED});
	mapping_page_put(page, 31, (struct mapping){2, STATE_UNCOMPRESSED});
	mapping_page_put(page, 200, (struct mapping){2, STATE_UNCOMPRESSED});
	sim_device_poke(f.sd, leaf, page);
	f.no_check = true; /* two blocks are lost */
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_copy_range(f.volume, 500 * B, 20 * B, 20 * B, 0),
			 -VDO_EMAPPING);
	expect_copy(&f, 500, 20, 10);
	fixture_verify(&f, 500, 30);
	ck_assert_int_eq(vdo_copy_range(f.volume, 35 * B, 25 * B, 20 * B, 0),
			 -VDO_EMAPPING);
	expect_copy(&f, 42, 32, 13);
	expect_copy(&f, 35, 25, 5);
	fixture_verify(&f, 32, 60);
	copy(&f, 20, 50, 40, 0);
	copy(&f, 150, 300, 100, 0);
	fixture_verify_all(&f);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	ck_assert_int_eq(fixture_try_close(&f), 0);
	fixture_fini(&f);
}
END_TEST

/* The journal fails in the middle: the call fails, or was acknowledged, and the
 * next flush fails; nothing waits for ever. */
START_TEST(test_journal_fails)
{
	for (unsigned skip = 0; skip < 6; skip++) {
		struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_FLUSH),
					  .skip = skip};
		struct fixture f;
		uint8_t buf[B];
		int result;

		fixture_init(&f, _i, "");
		fixture_open(&f, "compression=off depth=64");
		fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
		fixture_flush(&f);
		sim_device_fault(f.sd, &fault);
		result = vdo_copy_range(f.volume, 1000 * B, 0, 1000 * B,
					skip % 2 == 0 ? VDO_IO_FUA : 0);
		ck_assert(result == -VDO_EREADONLY ||
			  (result == 0 && skip % 2 != 0));
		ck_assert_int_eq(vdo_flush(f.volume, 0), -VDO_EREADONLY);
		ck_assert_int_eq(vdo_copy_range(f.volume, 0, 10 * B, B, 0),
				 -VDO_EREADONLY);
		ck_assert_int_eq(vdo_pread(f.volume, buf, B, 1500 * B, 0), 0);
		f.no_check = true;
		(void)fixture_try_close(&f);
		sim_device_clear_faults(f.sd);
		fixture_fini(&f);
	}
}
END_TEST

/* Who waits for a write that is lost does not take the old content for it. */
START_TEST(test_after_lost)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE)};
	struct pending w, c;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	pending_write(&w, &f, 0, V_UNIQUE(2), 0);
	ck_assert_int_eq(pending_wait(&w), 0);
	pending_init(&c, &f);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 0, 900 * B, B,
					    pending_done, &c, VDO_IO_FUA),
			 0);
	for (unsigned i = 0; i < 200; i++)
		fixture_poll(&f);
	sim_device_fault(f.sd, &fault);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	ck_assert_int_eq(pending_wait(&c), -VDO_EREADONLY);
	f.no_check = true;
	(void)fixture_try_close(&f);
	sim_device_clear_faults(f.sd);
	fixture_fini(&f);
}
END_TEST

/* ---------------------------------------------------------- the Nth failure */

#define SMALL                                                                  \
	"profile=small index-memory=none slab-bits=9 slab-journal-blocks=4 "   \
	"journal-blocks=8 logical-size=8M force=on"
/* What is merged and fails once is done again, and nobody hears of it. */
#define EACH_ALONE "depth=16 io-merge=0 era=1"

/* Apart from each other: data, zeroes and holes over the end of a page; what is
 * packed; a block with all its references. The first is with FUA. */
static const struct {
	uint64_t dst, src, count;
} lives[] = {
	{PAGE + 90, PAGE - 30, 100},
	{1200, 300, 40},
	{1300, 400, 4},
	{1999, 1500, 1},
};

static void make_life(struct fixture *f, int kind)
{
	const struct sim_device_config config = {
		.block_count = 2000, .seed = 1, .volatile_cache = true};

	fixture_init_raw(f, kind, &config);
	ck_assert_int_eq(fixture_format(f, SMALL), 0);
	fixture_open(f, "depth=16");
	fixture_write(f, PAGE - 30, 30, V_UNIQUE(1), 0);
	fixture_write(f, PAGE, 30, V_UNIQUE(31), 0);
	ck_assert_int_eq(vdo_write_zeroes(f->volume, 20 * B, (PAGE + 30) * B,
					  0),
			 0);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(fixture_try_write(f, 300 + i,
						   V_SQUEEZE(i + 1, 500), 0),
				 0);
	fixture_write(f, 400, 1, V_UNIQUE(100), 0);
	for (unsigned n = 1; n < 254; n *= 2)
		copy(f, 400 + n, 400, MIN(n, 254 - n), 0);
	fixture_write(f, 1500, 1, V_UNIQUE(101), 0);
	fixture_write(f, 1200, 10, V_UNIQUE(102), 0);
	fixture_flush(f);
}

/* @result: of the last flush. @fua: of the first copy. */
static int live(struct fixture *f, int *fua)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
		int r = vdo_copy_range(f->volume, lives[i].dst * B,
				       lives[i].src * B, lives[i].count * B,
				       i == 0 ? VDO_IO_FUA : 0);

		if (i == 0)
			*fua = r;
		result |= r;
	}
	return result | vdo_flush(f->volume, 0);
}

static bool holds(struct fixture *f, uint64_t lbn, value_t v)
{
	uint8_t got[B], want[B];

	ck_assert_int_eq(vdo_pread(f->volume, got, B, lbn * B, 0), 0);
	pattern_fill(v, want);
	return memcmp(got, want, B) == 0;
}

/* Each destination has what it had or what its source has, the latter if that was
 * promised; all else is as it was. */
static void check_life(struct fixture *f, bool first, bool all)
{
	for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
		bool must = all || (first && i == 0);

		for (uint64_t k = 0; k < lives[i].count; k++) {
			uint64_t lbn = lives[i].dst + k;
			value_t v = f->expect[lives[i].src + k];

			if (must || holds(f, lbn, v))
				f->expect[lbn] = v;
		}
	}
	fixture_verify_all(f);
}

/* Each I/O of copies fails in turn. */
START_TEST(test_io)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_WRITE),
				       SIM_OP(VDO_DEVICE_FLUSH)};

	for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
		bool over = false;
		unsigned n;

		for (n = 0; !over; n++) {
			struct sim_fault sf = {
				.ops = ops[k], .skip = n, .times = 1};
			struct fixture f;
			int lived, closed, fua;

			ck_assert_uint_lt(n, 500);
			make_life(&f, _i);
			fixture_reopen(&f, EACH_ALONE);
			sim_device_fault(f.sd, &sf);
			lived = live(&f, &fua);
			closed = fixture_try_close(&f);
			sim_device_clear_faults(f.sd);
			over = lived == 0 && closed == 0;
			ck_assert_uint_eq(fixture_check_image(&f), 0);
			fixture_open(&f, fixture_state(&f) == VOLUME_READ_ONLY
						 ? "read-only=on"
						 : "");
			check_life(&f, fua == 0, lived == 0);
			ck_assert_int_eq(fixture_try_close(&f), 0);
			fixture_fini(&f);
		}
		ck_assert_uint_gt(n, 1);
	}
}
END_TEST

/* Pages of the tree ask for memory, and only they: a copy that gets none says so,
 * and the next one is done. */
START_TEST(test_memory)
{
	struct fixture f;
	int fua, result = -ENOMEM;
	unsigned n;

	make_life(&f, KIND_INLINE);
	for (n = 1; result != 0; n++) {
		fixture_reopen(&f, EACH_ALONE);
		alloc_fail_from(n);
		result = live(&f, &fua);
		alloc_fail_from(0);
		ck_assert(result == 0 || result == -ENOMEM);
		check_life(&f, fua == 0, result == 0);
	}
	ck_assert_uint_gt(n, 2);
	/* They are in memory now. */
	fixture_write(&f, 1200, 40, V_UNIQUE(500), 0);
	alloc_fail_from(1);
	ck_assert_int_eq(live(&f, &fua), 0);
	alloc_fail_from(0);
	check_life(&f, true, true);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- close */

/* Without threads nothing has happened before the volume is closed, so the
 * first step is all. */
START_TEST(test_close_ends_it)
{
	struct pending c;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "compression=off depth=16");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	pending_init(&c, &f);
	ck_assert_int_eq(vdo_aio_copy_range(f.volume, 1000 * B, 0, 1000 * B,
					    pending_done, &c, 0),
			 0);
	memset(f.unknown, 1, 2000);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	ck_assert_uint_eq(c.calls, 1);
	ck_assert_int_eq(c.result, -ECANCELED);
	fixture_open(&f, "compression=off");
	memset(f.unknown, 0, 1000);
	fixture_verify(&f, 0, 1000);
	ck_assert_uint_lt(fixture_stat(&f, "logicalBlocksUsed"), 1500);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("copy");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_shapes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_holes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_compressed, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_random, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_partial_ends, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_all_references, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_no_space, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_unloaded_counts, KIND_SIM, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_unscrubbed, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_after_acknowledged, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_nowait, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_all_at_once, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_threads);
	tcase_add_loop_test(tc, test_durable, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_fua, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_short_journals, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_unreadable_page, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_unreadable_data, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_damaged_entry, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_journal_fails, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_after_lost, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_close_ends_it);
	tc = unit_case("nth");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_io, KIND_INLINE, FIXTURE_KINDS);
	tcase_add_test(tc, test_memory);
	return unit_run();
}
