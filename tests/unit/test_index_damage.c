/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Indexes that are damaged, truncated or of others: opening says what the
 * caller is to do, or rebuilds; whatever is met later ends in an error code,
 * and the next opening rebuilds. Nothing crashes or hangs.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "exec/executor.h"
#include "index_format/layout.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"

#define BLOCKS 190u
#define NONCE  4711u
#define POSTS  3500u

static struct vdo_device *device;
static struct rig rig;
static uint8_t *image;
static struct index_layout layout;

static void start(unsigned zones, uint64_t nonce)
{
	struct executor *x;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, device, -2, false, zones, nonce, 0);
}

/* A saved index with closed chapters, in @image. */
static void setup(void)
{
	ck_assert_int_eq(vdo_device_open_memory(BLOCKS * BLOCK_SIZE, &device),
			 0);
	start(2, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_post_range(&rig, 0, POSTS, 16), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	image = malloc(BLOCKS * BLOCK_SIZE);
	ck_assert_int_eq(device_read(device, 0, image, BLOCKS * BLOCK_SIZE), 0);
	ck_assert_int_eq(index_super_decode(&layout, index_geometry_of(rig.index), 0,
				      image), 0);
	rig_fini(&rig);
}

static void teardown(void)
{
	free(image);
	vdo_device_close(device);
}

static void restore(void)
{
	ck_assert_int_eq(device_write(device, 0, image, BLOCKS * BLOCK_SIZE),
			 0);
}

static uint64_t at_part(enum save_part part, unsigned zone)
{
	return layout_save_part(&layout, 0, part, zone, 2).start * BLOCK_SIZE;
}

/* Change bytes of the device; whole blocks are written. */
static void damage(uint64_t at, const void *bytes, size_t n)
{
	uint8_t block[2 * BLOCK_SIZE];
	uint64_t first = at / BLOCK_SIZE * BLOCK_SIZE;

	ck_assert_int_eq(device_read(device, first, block, sizeof(block)), 0);
	memcpy(block + (at - first), bytes, n);
	ck_assert_int_eq(device_write(device, first, block, sizeof(block)), 0);
}

/* Ask for all names; how many are found. An error ends it. */
static unsigned ask_all(bool intact, int *error)
{
	unsigned found = 0;

	*error = 0;
	for (unsigned i = 0; i < POSTS && *error == 0; i++) {
		struct index_op op = {.request = INDEX_QUERY_NO_UPDATE,
				      .name.hash = golden_name(i)};
		uint8_t want[16];

		*error = rig_ask(&rig, &op);
		if (*error != 0 || !op.found)
			continue;
		golden_data(i, 0, want);
		/* Nothing guards the data itself. */
		if (intact)
			ck_assert_mem_eq(op.data, want, 16);
		found++;
	}
	return found;
}

static const struct {
	const char *what;
	uint64_t nonce;
	uint64_t block; /* to be zeroed; UINT64_MAX: none */
	int error;
} opens[] = {
	{"nonce of another volume", 1, UINT64_MAX, -VDO_ENOINDEX},
	{"no super block", NONCE, 0, -VDO_ENOINDEX},
	{"no config", NONCE, 1, -VDO_ENOINDEX},
	{"all well", NONCE, UINT64_MAX, 0},
};

START_TEST(what_opening_says)
{
	static const uint8_t zeros[BLOCK_SIZE];

	if (opens[_i].block != UINT64_MAX)
		damage(opens[_i].block * BLOCK_SIZE, zeros, BLOCK_SIZE);
	start(1, opens[_i].nonce);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), opens[_i].error);
	rig_fini(&rig);
}
END_TEST

START_TEST(other_version)
{
	damage(264, "\x04", 1);
	start(1, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), -VDO_EVERSION);
	/* Formatting makes it good again. */
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}
END_TEST

/* Saves that are larger than they need be are fine, but not if they reach
 * beyond the region: what is there is not ours. */
START_TEST(saves_beyond_the_region)
{
	struct index_layout l = layout;
	uint8_t block[BLOCK_SIZE];

	l.save_blocks = (BLOCKS - 2 - l.volume_blocks) / 2 + (unsigned)_i;
	index_super_encode(&l, block);
	damage(0, block, BLOCK_SIZE);
	start(2, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), _i ? -VDO_ENOINDEX : 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(too_small)
{
	start(1, NONCE);
	rig.config.memory = -1;
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), -ENOSPC);
	rig.config.memory = -257;
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), -EINVAL);
	rig_fini(&rig);
}
END_TEST

/* Damage in the save: bytes there, and what opening makes of it. */
static const struct {
	const char *what;
	enum save_part part;
	unsigned zone;
	unsigned at;
	const char *bytes;
	unsigned n;
} saves[] = {
	{"header magic", SAVE_HEADER, 0, 0, "\0", 1},
	{"save nonce", SAVE_HEADER, 0, 24 + 5 * 24 + 8, "\0\1", 2},
	{"page map magic", SAVE_PAGE_MAP, 0, 0, "B", 1},
	{"page map: newer than all", SAVE_PAGE_MAP, 0, 15, "\x7f", 1},
	{"open chapter magic", SAVE_OPEN_CHAPTER, 0, 9, "1", 1},
	{"open chapter count", SAVE_OPEN_CHAPTER, 0, 10, "\xff\xff", 2},
	{"sub-index magic", SAVE_ZONE, 0, 3, "6", 1},
	{"volume nonce", SAVE_ZONE, 1, 8, "\1\2\3", 3},
	{"low above high", SAVE_ZONE, 1, 16, "\x7f", 1},
	{"high", SAVE_ZONE, 1, 24, "\x7f", 1},
	{"high, impossible", SAVE_ZONE, 0, 31, "\xff", 1},
	{"first list", SAVE_ZONE, 1, 32, "\x7f", 1},
	{"number of lists", SAVE_ZONE, 0, 36, "\xff", 1},
	{"flush chapter beyond", SAVE_ZONE, 0, 40, "\x7f", 1},
	{"delta magic", SAVE_ZONE, 0, 40 + 8 * 128, "X", 1},
	{"zone number", SAVE_ZONE, 0, 40 + 8 * 128 + 8, "\1", 1},
	{"zones", SAVE_ZONE, 0, 40 + 8 * 128 + 12, "\3", 1},
	{"lists of zone", SAVE_ZONE, 0, 40 + 8 * 128 + 20, "\3", 1},
	{"more records than bits", SAVE_ZONE, 0, 40 + 8 * 128 + 27, "\x7f", 1},
	{"records, impossible", SAVE_ZONE, 0, 40 + 8 * 128 + 31, "\xff", 1},
	{"more collisions than records", SAVE_ZONE, 1, 40 + 8 * 128 + 39,
	 "\xff", 1},
	{"size of a list", SAVE_ZONE, 0, 80 + 8 * 128, "\xff\xff", 2},
	{"sizes too large for all", SAVE_ZONE, 0, 80 + 8 * 128,
	 "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	 "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	 32},
	{"tag", SAVE_ZONE, 0, 80 + 10 * 128, "z", 1},
	{"bit offset", SAVE_ZONE, 1, 80 + 10 * 128 + 1, "\x8", 1},
	{"byte count", SAVE_ZONE, 1, 80 + 10 * 128 + 2, "\xff\xff", 2},
	{"list number", SAVE_ZONE, 1, 80 + 10 * 128 + 4, "\xff", 1},
};

START_TEST(damaged_save)
{
	int error;

	damage(at_part(saves[_i].part, saves[_i].zone) + saves[_i].at,
	       saves[_i].bytes, saves[_i].n);
	start(2, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	/* The chapters are there; the open one is lost. */
	ck_assert_uint_gt(ask_all(true, &error), 1024);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	rig_fini(&rig);
}
END_TEST

/* The page map of an index with several index pages names a list that no
 * chapter has. */
START_TEST(page_map_without_end)
{
	struct index_layout l;
	uint8_t block[BLOCK_SIZE];

	vdo_device_close(device);
	ck_assert_int_eq(vdo_device_open_memory(2000 * BLOCK_SIZE, &device), 0);
	start(1, NONCE);
	rig.config.memory = -1;
	rig.config.block_count = 2000;
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	ck_assert_int_eq(device_read(device, 0, block, sizeof(block)), 0);
	ck_assert_int_eq(index_super_decode(&l, index_geometry_of(rig.index), 0,
				      block), 0);
	for (unsigned slot = 0; slot < SAVES; slot++)
		damage(layout_save_part(&l, slot, SAVE_PAGE_MAP, 0, 1).start *
				       BLOCK_SIZE + 17, "\xff", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	rig_fini(&rig);
}
END_TEST

/* Random bytes anywhere in lists, page map and chapters: met sooner or later.
 * What is corrupt must be rebuilt the next time. */
START_TEST(rot_anywhere)
{
	uint64_t seed = 5;

	for (unsigned n = 0; n < 60; n++) {
		uint8_t rubbish[64];
		uint64_t at;
		int r, error = 0;

		restore();
		for (unsigned i = 0; i < sizeof(rubbish); i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			rubbish[i] = (uint8_t)(seed >> 56);
		}
		at = (seed >> 20) % ((BLOCKS - 3) * BLOCK_SIZE);
		damage(at, rubbish, 1 + n % sizeof(rubbish));
		start(1 + n % 4, NONCE);
		r = rig_open(&rig, INDEX_LOAD);
		if (r != 0) {
			ck_assert(at < 2 * BLOCK_SIZE);
			rig_fini(&rig);
			continue;
		}
		ask_all(false, &error);
		if (error == 0 &&
		    rig_post_range(&rig, POSTS, POSTS + 3000, 20) < 0)
			error = rig_stats(&rig).error;
		ck_assert_int_eq(rig_close(&rig, true), 0);
		ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
		if (error != 0) {
			ask_all(false, &error);
			ck_assert_int_eq(error, 0);
		}
		ck_assert_int_eq(rig_close(&rig, true), 0);
		rig_fini(&rig);
	}
}
END_TEST

/* A chapter with a number that cannot be. */
START_TEST(impossible_chapters)
{
	static const uint8_t numbers[][8] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{1},
	};
	uint64_t volume = layout_volume_block(&layout) * BLOCK_SIZE;
	int error;

	damage(volume + PAGE_BYTES + 8, numbers[_i], 8);
	damage(at_part(SAVE_HEADER, 0), "\0", 1);
	start(2, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	ck_assert_uint_le(rig_stats(&rig).newest_chapter, 4);
	ck_assert_uint_gt(ask_all(true, &error), 500);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}
END_TEST

START_TEST(states)
{
	struct index_op op = {.request = INDEX_POST};

	damage(at_part(SAVE_HEADER, 0), "\0", 1);
	start(1, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	ck_assert_int_eq(rig_stats(&rig).state, INDEX_IDLE);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	ck_assert_int_eq(rig_suspend(&rig, false), 0);
	ck_assert_int_eq(rig_stats(&rig).state, INDEX_SUSPENDED);
	ck_assert_int_eq(rig_ask(&rig, &op), -VDO_EBUSY);
	ck_assert(!op.found);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}
END_TEST

/* The nth allocation fails: an error, and nothing is left behind. */
START_TEST(memory_is_short)
{
	unsigned long n;
	int r = -ENOMEM;

	start(3, NONCE);
	rig.config.sparse = _i != 0;
	rig.config.block_count = _i != 0 ? 800 : BLOCKS;
	for (n = 1; r != 0; n++) {
		alloc_fail_at(n);
		r = index_create(&rig.config, &rig.index);
		alloc_fail_at(0);
		if (r != 0) {
			ck_assert_int_eq(r, -ENOMEM);
			rig.index = NULL;
		}
	}
	ck_assert_uint_gt(n, 20);
	rig_fini(&rig);
}
END_TEST

START_TEST(rebuild_without_memory)
{
	unsigned long n;
	int r = -ENOMEM;

	damage(at_part(SAVE_HEADER, 0), "\0", 1);
	start(1, NONCE);
	ck_assert_int_eq(index_create(&rig.config, &rig.index), 0);
	for (n = 1; r != 0; n++) {
		alloc_fail_at(n);
		r = rig_open(&rig, INDEX_LOAD);
		alloc_fail_at(0);
		ck_assert(r == 0 || r == -ENOMEM);
	}
	ck_assert_uint_gt(n, 4);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	rig_fini(&rig);
}
END_TEST

/* A rebuild that is told to stop does, and can be begun again. */
static void stop_soon(struct completion *c)
{
	(void)c;
	index_stop(rig.index);
}

START_TEST(stopped_rebuild)
{
	struct completion stop;
	int error;

	damage(at_part(SAVE_HEADER, 0), "\0", 1);
	start(1, NONCE);
	ck_assert_int_eq(index_create(&rig.config, &rig.index), 0);
	completion_init(&stop, rig.config.queue, stop_soon);
	/* Behind the message that begins to open. */
	rig.before_wait = &stop;
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), -ECANCELED);
	ck_assert_int_eq(rig_stats(&rig).state, INDEX_IDLE);
	rig.before_wait = NULL;
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	ck_assert_uint_gt(ask_all(true, &error), 1024);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("damage");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_opening_says, 0, ARRAY_SIZE(opens));
	tcase_add_test(tc, other_version);
	tcase_add_loop_test(tc, saves_beyond_the_region, 0, 2);
	tcase_add_test(tc, too_small);
	tcase_add_test(tc, page_map_without_end);
	tcase_add_loop_test(tc, damaged_save, 0, ARRAY_SIZE(saves));
	tcase_add_test(tc, rot_anywhere);
	tcase_add_loop_test(tc, impossible_chapters, 0, 3);
	tcase_add_test(tc, states);
	tcase_add_loop_test(tc, memory_is_short, 0, 2);
	tcase_add_test(tc, rebuild_without_memory);
	tcase_add_test(tc, stopped_rebuild);
	return unit_run();
}
