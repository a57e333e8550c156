/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discards and zeroes of many blocks: which pages they look at, what others see
 * meanwhile, how they end.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "format/mapping.h"
#include "tests/lib/fixture.h"

#define B    BLOCK_SIZE
#define PAGE MAP_PAGE_ENTRIES
#define TREE ((uint64_t)ROOT_COUNT * PAGE) /* from page to page of a tree */

/* ------------------------------------------------------------------ shapes */

/* First, middle and last blocks of pages; neighbouring trees; a page apart in
 * the same tree; alone, far from anything. */
static const struct {
	uint64_t lbn, count;
} islands[] = {
	{0, 3},		    {PAGE - 2, 4},	{3 * PAGE + 400, 300},
	{TREE - 2, 4},	    {TREE + 5, 1},	{2 * TREE - 1, 2},
	{TREE + 17 * PAGE, 2}, {102390, 10},
};

static void write_islands(struct fixture *f, value_t v)
{
	for (size_t i = 0; i < ARRAY_SIZE(islands); i++)
		fixture_write(f, islands[i].lbn, islands[i].count,
			      v + V_UNIQUE(1000 * i + 1), 0);
}

static void verify_islands(struct fixture *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(islands); i++) {
		uint64_t from = islands[i].lbn - MIN(islands[i].lbn, 20);
		uint64_t to = islands[i].lbn + islands[i].count + 20;

		fixture_verify(f, from, MIN(to, f->logical_blocks) - from);
	}
}

static void zero(struct fixture *f, uint64_t lbn, uint64_t count)
{
	ck_assert_int_eq(vdo_write_zeroes(f->volume, count * B, lbn * B, 0), 0);
	memset(f->expect + lbn, 0, count * sizeof(value_t));
}

static const struct {
	uint64_t lbn, count;
} ranges[] = {
	{0, 2},	       {1, PAGE},	   {PAGE - 1, 2},
	{PAGE, TREE},  {TREE - 1, TREE},   {TREE + 5, 2},
	{0, 102400},   {1, 102398},	   {3 * PAGE + 500, 100},
	{811, 90000},  {102390, 10},	   {TREE, 18 * PAGE},
};

/* Each range of blocks is gone, and no other block. */
START_TEST(test_shapes)
{
	struct fixture f;

	fixture_init(&f, _i, "logical-size=400M");
	fixture_open(&f, "compression=off");
	ck_assert_uint_eq(f.logical_blocks, 102400);
	f.no_check = true; /* would take long */
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		write_islands(&f, 100000 * i);
		fixture_discard(&f, ranges[i].lbn, ranges[i].count);
		verify_islands(&f);
	}
	fixture_discard(&f, 0, f.logical_blocks);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 0);
	fixture_fini(&f);
}
END_TEST

/* The same with zeroes, which map what was not mapped; and partial blocks. */
START_TEST(test_zeroes)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 700, 300, V_UNIQUE(1), 0);
	zero(&f, 600, 300);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 400);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 100);
	/* Again: there is nothing to be changed. */
	zero(&f, 600, 300);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 400);
	zero(&f, 0, f.logical_blocks);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"),
			  f.logical_blocks);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
	fixture_discard(&f, 1, f.logical_blocks - 2);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 2);
	fixture_fini(&f);
}
END_TEST

/* Parts of blocks at both ends stay what they are. */
START_TEST(test_partial_ends)
{
	uint8_t buf[4 * B];
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512");
	for (unsigned round = 0; round < 2; round++) {
		unsigned bad = 0;

		memset(buf, 7, sizeof(buf));
		ck_assert_int_eq(vdo_pwrite(f.volume, buf, 4 * B, 810 * B, 0),
				 0);
		ck_assert_int_eq((round == 0 ? vdo_discard : vdo_write_zeroes)(
					 f.volume, 4 * B - 1024, 810 * B + 512,
					 0),
				 0);
		ck_assert_int_eq(vdo_pread(f.volume, buf, 4 * B, 810 * B, 0),
				 0);
		for (unsigned i = 0; i < 4 * B; i++)
			bad += buf[i] != (i < 512 || i >= 4 * B - 512 ? 7 : 0);
		ck_assert_uint_eq(bad, 0);
	}
	fixture_discard(&f, 810, 4);
	fixture_fini(&f);
}
END_TEST

/* Pages without mappings are looked at, and no entry is made. */
START_TEST(test_empty_pages)
{
	struct fixture f;
	uint64_t entries, blocks;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	blocks = fixture_stat(&f, "biosIn.discard");
	fixture_discard(&f, 0, 2000);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "biosIn.discard") - blocks, 2000);
	entries = fixture_stat(&f, "journal.entries.committed");
	fixture_discard(&f, 0, 2048);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "journal.entries.committed"),
			  entries);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------- many at once */

static bool is_write(void *arg, const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_WRITE;
}

/* Writes that were acknowledged and are not stored yet come before a discard,
 * although no page knows of them. */
START_TEST(test_after_acknowledged)
{
	enum { COUNT = 40 };
	struct pending p[COUNT], d;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_write(&f, 900, 100, V_UNIQUE(100), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		pending_write(&p[i], &f, 20 + 37 * i, V_UNIQUE(1000 + i), 0);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	pending_init(&d, &f);
	ck_assert_int_eq(vdo_aio_discard(f.volume, 2000 * B, 0, pending_done,
					 &d, 0),
			 0);
	for (unsigned i = 0; i < 200; i++)
		fixture_poll(&f);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	ck_assert_int_eq(pending_wait(&d), 0);
	memset(f.expect, 0, 2000 * sizeof(value_t));
	fixture_verify_all(&f);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 0);
	fixture_fini(&f);
}
END_TEST

/* Discards, zeroes, writes and reads of the same blocks, all at once: each ends,
 * and each block is zeroes or what was written. With few requests and with many. */
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
		fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
		for (unsigned i = 0; i < COUNT; i++) {
			uint64_t lbn = i * 97 % 1800;
			uint8_t *buf = bufs + i * B;

			pending_init(&p[i], &f);
			memset(buf, (int)i, B);
			ck_assert_int_eq(
				i % 4 == 0
					? vdo_aio_discard(f.volume, 200 * B,
							  lbn * B, pending_done,
							  &p[i], 0)
				: i % 16 == 1
					? vdo_aio_write_zeroes(
						  f.volume, 150 * B, lbn * B,
						  pending_done, &p[i], 0)
				: i % 4 == 2
					? vdo_aio_pread(f.volume, buf, B,
							lbn * B, pending_done,
							&p[i], 0)
					: vdo_aio_pwrite(f.volume, buf, B,
							 lbn * B, pending_done,
							 &p[i], 0),
				0);
		}
		for (unsigned i = 0; i < COUNT; i++)
			ck_assert_int_eq(pending_wait(&p[i]), 0);
		memset(f.unknown, 1, 2000);
		fixture_flush(&f);
		fixture_close(&f);
		memset(f.unknown, 0, 2000);
		fixture_open(&f, options[k]);
		fixture_discard(&f, 0, 2000);
		fixture_flush(&f);
		ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
		fixture_close(&f);
	}
	fixture_fini(&f);
	free(bufs);
	free(p);
}
END_TEST

/* Threads: writers of blocks of their own, who read back what they wrote, while
 * others discard all of it, over and over. */
struct worker {
	pthread_t thread;
	struct vdo_volume *volume;
	unsigned number;
};

#define WORKERS 3u
#define ROUNDS	60u

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t *buf = malloc(32 * B);

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t at = (round * 61 + w->number * 11) % 1700 * B;
		uint8_t mark = (uint8_t)(1 + w->number);
		int result;

		if (w->number == WORKERS) {
			result = vdo_discard(w->volume, 2000 * B, 0, 0);
			ck_assert_int_eq(result, 0);
			continue;
		}
		memset(buf, mark, 32 * B);
		result = vdo_pwrite(w->volume, buf, 32 * B, at,
				    VDO_IO_NO_DEDUPE);
		ck_assert_int_eq(result, 0);
		result = vdo_pread(w->volume, buf, 32 * B, at, 0);
		ck_assert_int_eq(result, 0);
		for (unsigned i = 0; i < 32; i++) {
			uint8_t *block = buf + i * B;

			ck_assert_uint_le(block[0], WORKERS);
			ck_assert_int_eq(memcmp(block, block + 1, B - 1), 0);
		}
	}
	free(buf);
	return NULL;
}

START_TEST(test_threads)
{
	struct worker w[WORKERS + 1];
	struct fixture f;

	fixture_init(&f, KIND_NATIVE, "");
	fixture_open(&f, "compression=off");
	for (unsigned i = 0; i <= WORKERS; i++) {
		w[i].volume = f.volume;
		w[i].number = i;
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i <= WORKERS; i++)
		pthread_join(w[i].thread, NULL);
	fixture_discard(&f, 0, 2000);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 0);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------- durability */

/* What a flush covered, or FUA, is gone after a crash. */
START_TEST(test_durable)
{
	for (unsigned round = 0; round < 4; round++) {
		unsigned flags = round % 2 == 0 ? 0 : VDO_IO_FUA;
		uint64_t count = 1500;
		struct fixture f;
		struct image im;
		uint8_t buf[B];

		fixture_init(&f, _i, "");
		fixture_open(&f, "compression=off");
		fixture_write(&f, 100, 1700, V_UNIQUE(1), 0);
		fixture_flush(&f);
		ck_assert_int_eq((round < 2 ? vdo_discard : vdo_write_zeroes)(
					 f.volume, count * B, 200 * B, flags),
				 0);
		memset(f.expect + 200, 0, count * sizeof(value_t));
		if (flags == 0)
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

/* Journals as short as can be, and little else: all wait for space, and get
 * it. */
START_TEST(test_short_journals)
{
	static const char *const options[] = {"compression=off depth=2048",
					      "compression=off depth=16"};
	struct fixture f;

	for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
		fixture_init(&f, _i, "journal-blocks=4 slab-journal-blocks=3");
		fixture_open(&f, options[k]);
		for (unsigned round = 0; round < 3; round++) {
			fixture_write(&f, 0, 1500, V_UNIQUE(5000 * round + 1),
				      0);
			if (round == 1)
				zero(&f, 100, 1300);
			fixture_discard(&f, 3, 1490);
			fixture_flush(&f);
			ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"),
					  10);
		}
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

static pbn_t leaf_of(struct fixture *f, uint64_t lbn)
{
	struct image im;
	pbn_t pbn;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	pbn = image_page_of(&im, lbn, 0);
	image_close(&im);
	return pbn;
}

/* A page that cannot be read ends it; what comes after it stays. */
START_TEST(test_unreadable_page)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off");
	fault(&f, VDO_DEVICE_READ, leaf_of(&f, PAGE), 1);
	ck_assert_int_lt(vdo_discard(f.volume, 2000 * B, 0, VDO_IO_FUA), 0);
	ck_assert(vdo_volume_is_read_only(f.volume));
	ck_assert_int_eq(vdo_discard(f.volume, 2000 * B, 0, 0),
			 -VDO_EREADONLY);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, 2000 * B, 0, 0),
			 -VDO_EREADONLY);
	fixture_verify(&f, 2 * PAGE, 2000 - 2 * PAGE);
	f.no_check = true;
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

/* A damaged entry goes with the others. */
START_TEST(test_damaged_entry)
{
	uint8_t page[B];
	struct fixture f;
	pbn_t leaf;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_close(&f);
	leaf = leaf_of(&f, 0);
	sim_device_peek(f.sd, leaf, page);
	mapping_page_put(page, 30, (struct mapping){1, STATE_UNCOMPRESSED});
	mapping_page_put(page, 31, (struct mapping){2, STATE_UNCOMPRESSED});
	mapping_page_put(page, 200, (struct mapping){2, STATE_UNCOMPRESSED});
	sim_device_poke(f.sd, leaf, page);
	f.no_check = true; /* two blocks are lost */
	fixture_open(&f, "");
	fixture_discard(&f, 0, 1000);
	fixture_verify_all(&f);
	ck_assert(!vdo_volume_is_read_only(f.volume));
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
		fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
		fixture_flush(&f);
		sim_device_fault(f.sd, &fault);
		result = vdo_discard(f.volume, 2000 * B, 0,
				     skip % 2 == 0 ? VDO_IO_FUA : 0);
		ck_assert(result == -VDO_EREADONLY ||
			  (result == 0 && skip % 2 != 0));
		ck_assert_int_eq(vdo_flush(f.volume, 0), -VDO_EREADONLY);
		ck_assert_int_eq(vdo_pread(f.volume, buf, B, 1000 * B, 0), 0);
		f.no_check = true;
		(void)fixture_try_close(&f);
		sim_device_clear_faults(f.sd);
		fixture_fini(&f);
	}
}
END_TEST

/* ------------------------------------------------------------------- close */

/* 4 PB, with a block here and there. */
static struct vdo_volume *huge_volume(struct vdo_device **device)
{
	struct vdo_config *config = fixture_config(
		"size=256M logical-size=4503599626321920 index=memory");
	struct vdo_volume *v;
	struct vdo_device *d;
	uint8_t buf[B] = {1};

	ck_assert_int_eq(vdo_device_open_memory(256 << 20, &d), 0);
	ck_assert_int_eq(vdo_format_device(d, config, NULL), 0);
	ck_assert_int_eq(vdo_open_device(d, config, &v, NULL), 0);
	for (uint64_t i = 0; i < 300; i++)
		ck_assert_int_eq(vdo_pwrite(v, buf, B,
					    i * 15012001 * (uint64_t)1000000 /
						    B * B,
					    0),
				 0);
	vdo_config_free(config);
	*device = d;
	return v;
}

static void told(void *arg, int result)
{
	*(int *)arg = result;
}

/* A discard of everything ends when the volume is closed or dropped. */
START_TEST(test_close_in_the_middle)
{
	struct vdo_device *d;
	struct vdo_volume *v = huge_volume(&d);
	int result = 1;

	ck_assert_int_eq(vdo_aio_discard(v, vdo_volume_size(v), 0, told,
					 &result, 0),
			 0);
	if (_i == 0)
		ck_assert_int_eq(vdo_close(v), 0);
	else
		vdo_abandon(v);
	ck_assert(result == 0 || result == -ECANCELED);
	vdo_device_close(d);
}
END_TEST

/* Without threads nothing has happened before the volume is closed, so the
 * first step is all. */
START_TEST(test_close_ends_it)
{
	struct pending d;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "compression=off depth=16");
	fixture_write(&f, 0, 2000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	pending_init(&d, &f);
	ck_assert_int_eq(vdo_aio_discard(f.volume, 2000 * B, 0, pending_done,
					 &d, 0),
			 0);
	memset(f.unknown, 1, 2000);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	ck_assert_uint_eq(d.calls, 1);
	ck_assert_int_eq(d.result, -ECANCELED);
	fixture_open(&f, "compression=off");
	ck_assert_uint_gt(fixture_stat(&f, "logicalBlocksUsed"), 1000);
	fixture_discard(&f, 0, 2000);
	memset(f.unknown, 0, 2000);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("range");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_shapes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_zeroes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_partial_ends, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_empty_pages, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_after_acknowledged, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_all_at_once, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_threads);
	tcase_add_loop_test(tc, test_durable, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_short_journals, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_unreadable_page, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_damaged_entry, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_journal_fails, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_close_in_the_middle, 0, 2);
	tcase_add_test(tc, test_close_ends_it);
	return unit_run();
}
