/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes that were not closed: power is lost, and what was flushed is there
 * when the volume is opened again, whoever opens it, and however often that is
 * interrupted.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/journal.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* Power is lost while @f is open, and comes back. */
static void lose_power(struct fixture *f)
{
	sim_device_crash(f->sd);
	fixture_abandon(f);
	vdo_device_close(sim_device_reopen(f->sd, NULL));
	ck_assert_int_eq(fixture_state(f), VOLUME_DIRTY);
}

/* Nobody knows what blocks hold whose last write was not flushed. */
static void forget(struct fixture *f, uint64_t lbn, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		f->unknown[lbn + i] = true;
}

/* Some of everything, by a seed; flushed, but for the last part. */
static void live(struct fixture *f, uint64_t seed)
{
	uint64_t random = seed;

	for (unsigned i = 0; i < 60; i++) {
		uint64_t lbn = pattern_random(&random, f->logical_blocks - 80);
		uint64_t n = 1 + pattern_random(&random, 20);

		switch (pattern_random(&random, 6)) {
		case 0:
			fixture_write(f, lbn, n, V_SQUEEZE(random, 900), 0);
			break;
		case 1:
			fixture_repeat(f, lbn, n, V_UNIQUE(seed), 0);
			break;
		case 2:
			fixture_discard(f, lbn, n);
			break;
		case 3:
			fixture_write(f, lbn, n, V_ZERO, 0);
			break;
		default:
			fixture_write(f, lbn, n, V_UNIQUE(random >> 8 << 1), 0);
			break;
		}
	}
	fixture_flush(f);
	fixture_write(f, f->logical_blocks - 50, 40, V_UNIQUE(random >> 8 << 1), 0);
	forget(f, f->logical_blocks - 50, 40);
}

/* Ten crashes in a row; the last one is closed well. */
START_TEST(test_what_was_flushed_is_there)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (uint64_t n = 1; n <= 10; n++) {
		live(&f, n);
		lose_power(&f);
		fixture_open(&f, "");
		ck_assert_uint_gt(fixture_stat(&f, "path.recoveredEntries"), 0);
		ck_assert_uint_eq(fixture_stat(&f, "completeRecoveries"), n);
		fixture_verify_all(&f);
	}
	fixture_close(&f);
	fixture_open(&f, "");
	ck_assert_uint_eq(fixture_stat(&f, "path.recoveredEntries"), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The whole storage, as it is. */
static uint8_t *copy_storage(struct fixture *f)
{
	uint8_t *all = malloc(f->block_count * B);

	ck_assert_ptr_nonnull(all);
	for (uint64_t i = 0; i < f->block_count; i++)
		sim_device_peek_durable(f->sd, i, all + i * B);
	return all;
}

static void restore_storage(struct fixture *f, const uint8_t *all)
{
	for (uint64_t i = 0; i < f->block_count; i++)
		sim_device_poke(f->sd, i, all + i * B);
}

/* What all logical blocks read as. */
static uint8_t *read_all(struct fixture *f)
{
	uint8_t *all = malloc(f->logical_blocks * B);

	ck_assert_ptr_nonnull(all);
	ck_assert_int_eq(vdo_pread(f->volume, all, f->logical_blocks * B, 0, 0),
			 0);
	return all;
}

static void expect_all(struct fixture *f, const uint8_t *want)
{
	uint8_t *found = read_all(f);

	for (uint64_t i = 0; i < f->logical_blocks; i++)
		ck_assert_msg(memcmp(found + i * B, want + i * B, B) == 0,
			      "lbn %llu differs", (unsigned long long)i);
	free(found);
}

/* A small volume that lost power; its journal has wrapped. */
#define SMALL                                                                  \
	"profile=small index-memory=none slab-bits=9 slab-journal-blocks=4 "   \
	"journal-blocks=16 logical-size=4M force=on"

static void make_crashed_of(struct fixture *f, int kind, const char *format)
{
	struct sim_device_config config = {.block_count = 4000, .seed = 1,
					   .volatile_cache = true};

	fixture_init_raw(f, kind, &config);
	ck_assert_int_eq(fixture_format(f, format), 0);
	fixture_open(f, "depth=64");
	for (uint64_t n = 1; n <= 3; n++)
		live(f, n);
	lose_power(f);
	memset(f->unknown, true, f->logical_blocks * sizeof(bool));
}

static void make_crashed(struct fixture *f, int kind)
{
	make_crashed_of(f, kind, SMALL);
}

/* Power is lost at each operation of a recovery in turn, and of the one that
 * follows: in the end there is what one recovery alone makes (I43). */
START_TEST(test_interrupted_anywhere)
{
	struct fixture f;
	uint8_t *crashed, *want;
	bool over = false;
	uint64_t n;

	make_crashed(&f, _i);
	crashed = copy_storage(&f);
	fixture_open(&f, "");
	want = read_all(&f);
	fixture_close(&f);
	for (n = 1; !over; n++) {
		restore_storage(&f, crashed);
		for (unsigned again = 0; again < 3; again++) {
			sim_device_crash_at(f.sd, MAX(n >> again, 1));
			if (fixture_try_open(&f, "") == 0)
				fixture_abandon(&f);
			over = !sim_device_crashed(f.sd);
			sim_device_crash_at(f.sd, 0);
			if (over)
				break;
			vdo_device_close(sim_device_reopen(f.sd, NULL));
			ck_assert_uint_eq(fixture_check_image(&f), 0);
		}
		fixture_open(&f, "");
		expect_all(&f, want);
		fixture_close(&f);
	}
	ck_assert_uint_gt(n, 20);
	free(want);
	free(crashed);
	fixture_fini(&f);
}
END_TEST

/* Other zones, another executor, another cache than before the crash (I44). */
START_TEST(test_other_zones)
{
	static const char *const options[] = {
		"topology=classic logical-zones=1 physical-zones=1 hash-zones=1",
		"topology=classic logical-zones=5 physical-zones=4 hash-zones=2",
		"topology=classic logical-zones=2 physical-zones=7 hash-zones=3",
		"cache=1M era=1 depth=16",
	};
	static const int kinds[] = {KIND_NATIVE, KIND_INLINE, KIND_SIM};
	uint8_t *crashed, *want;
	struct fixture f;

	make_crashed(&f, _i);
	crashed = copy_storage(&f);
	fixture_open(&f, "");
	want = read_all(&f);
	fixture_close(&f);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		restore_storage(&f, crashed);
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			f.kind = &fixture_kinds[kinds[k]];
			fixture_open(&f, options[i]);
			expect_all(&f, want);
			fixture_abandon(&f);
			ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
		}
		f.kind = &fixture_kinds[_i];
		fixture_open(&f, "");
		expect_all(&f, want);
		fixture_close(&f);
	}
	free(want);
	free(crashed);
	fixture_fini(&f);
}
END_TEST

struct journals {
	struct sim_device *sd;
	struct image im; /* as it crashed */
	unsigned zones, written;
};

static bool is_slab_journal(const struct image *im, pbn_t pbn)
{
	uint64_t at = (pbn - im->slabs.first_block) % im->sb.slab.slab_blocks;

	return pbn >= im->slabs.first_block && pbn < im->sb.depot_last_block &&
	       at >= im->slabs.data_blocks +
			       im->sb.slab.reference_count_blocks;
}

static bool check_zones(void *arg, const struct vdo_device_io *io)
{
	struct journals *j = arg;
	struct superblock sb;
	uint8_t block[B];

	if (io->op != VDO_DEVICE_WRITE ||
	    !is_slab_journal(&j->im, io->offset / B))
		return false;
	sim_device_peek_durable(j->sd, j->im.geometry.data_start, block);
	ck_assert_int_eq(
		superblock_decode(block, j->im.geometry.data_start, &sb), 0);
	ck_assert_uint_eq(sb.zone_count, j->zones);
	j->written++;
	return false;
}

/* Each zone has its own copy of the summary, and the super block says how many
 * are in use. Slab journals grow only when those are named that say so: with
 * few blocks an older copy would soon lead to a block of a later round. */
START_TEST(test_zones_are_named_first)
{
	struct journals j = {.zones = 4};
	struct fixture f;

	make_crashed(&f, KIND_INLINE);
	j.sd = f.sd;
	image_open_sim(&j.im, f.sd, f.block_count);
	ck_assert_uint_ne(j.im.sb.zone_count, j.zones);
	sim_device_hold(f.sd, check_zones, &j);
	fixture_open(&f, "topology=classic logical-zones=1 physical-zones=4 "
			 "hash-zones=1");
	sim_device_hold(f.sd, NULL, NULL);
	ck_assert_uint_gt(j.written, 0);
	image_close(&j.im);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

/* With memory for one journal block at a time all is as with memory for all. */
START_TEST(test_small_batches)
{
	uint8_t *crashed, *want;
	uint64_t entries, pages;
	struct fixture f;

	make_crashed_of(&f, KIND_SIM, SMALL " journal-blocks=64");
	crashed = copy_storage(&f);
	fixture_open(&f, "");
	entries = fixture_stat(&f, "path.recoveredEntries");
	pages = fixture_stat(&f, "path.recoveredPages");
	ck_assert_uint_gt(entries, 3 * JOURNAL_ENTRIES_PER_BLOCK);
	want = read_all(&f);
	fixture_close(&f);
	for (uint64_t batch = 1; batch < 1000; batch += 300) {
		restore_storage(&f, crashed);
		f.recovery_batch = batch;
		fixture_open(&f, "");
		ck_assert_uint_eq(fixture_stat(&f, "path.recoveredEntries"),
				  entries);
		if (batch < entries / 2)
			ck_assert_uint_gt(
				fixture_stat(&f, "path.recoveredPages"), pages);
		expect_all(&f, want);
		fixture_close(&f);
	}
	free(want);
	free(crashed);
	fixture_fini(&f);
}
END_TEST

/* Watches the order of operations. */
struct watch {
	unsigned flushes, writes_before_flush;
};

static bool watch(void *arg, const struct vdo_device_io *io)
{
	struct watch *w = arg;

	if (io->op == VDO_DEVICE_FLUSH)
		w->flushes++;
	else if (io->op != VDO_DEVICE_READ && w->flushes == 0)
		w->writes_before_flush++;
	return false;
}

/* A process that was killed may leave a journal that is not durable yet, so
 * nothing is written before that is (D14). */
START_TEST(test_flush_comes_first)
{
	struct watch w = {0};
	struct fixture f;

	make_crashed(&f, _i);
	sim_device_hold(f.sd, watch, &w);
	fixture_open(&f, "");
	sim_device_hold(f.sd, NULL, NULL);
	ck_assert_uint_gt(w.flushes, 0);
	ck_assert_uint_eq(w.writes_before_flush, 0);
	fixture_fini(&f);
}
END_TEST

/* Watches pages that are written for the first time. */
struct first_images {
	uint64_t nonce, flushes, pages;
	uint64_t off[4000]; /* by block: flushes before its image, plus 1 */
	bool written[4000]; /* it was a page before */
	bool too_early;
};

static bool is_page(const struct first_images *w, const uint8_t *bytes,
		    uint64_t block)
{
	return get_u32(bytes) == 4 && get_u32(bytes + 4) == 1 &&
	       get_u64(bytes + 8) == w->nonce && get_u64(bytes + 16) == block;
}

static void watch_page(struct first_images *w, const uint8_t *bytes,
		       uint64_t block)
{
	if (!is_page(w, bytes, block) || w->written[block])
		return;
	if (!mapping_page_initialised(bytes)) {
		w->off[block] = w->flushes + 1;
		return;
	}
	w->pages++;
	w->written[block] = true;
	w->too_early |= w->off[block] == 0 || w->flushes < w->off[block];
}

/* Neighbours may be written in one operation. */
static bool watch_pages(void *arg, const struct vdo_device_io *io)
{
	struct first_images *w = arg;
	uint64_t block = io->offset / B;

	w->flushes += io->op == VDO_DEVICE_FLUSH;
	if (io->op != VDO_DEVICE_WRITE)
		return false;
	for (unsigned i = 0; i < io->iov_count; i++) {
		const uint8_t *bytes = io->iov[i].iov_base;

		for (size_t at = 0; at + B <= io->iov[i].iov_len; at += B)
			watch_page(w, bytes + at, block++);
	}
	return false;
}

/* Recovery is no exception to D9. */
START_TEST(test_first_images_of_pages)
{
	static struct first_images w;
	struct fixture f;
	struct image im;
	uint8_t block[B];

	make_crashed_of(&f, KIND_INLINE, SMALL " journal-blocks=64");
	image_open_sim(&im, f.sd, f.block_count);
	memset(&w, 0, sizeof(w));
	w.nonce = im.sb.nonce;
	image_close(&im);
	for (uint64_t i = 0; i < f.block_count; i++) {
		sim_device_peek(f.sd, i, block);
		w.written[i] = is_page(&w, block, i) &&
			       mapping_page_initialised(block);
	}
	sim_device_hold(f.sd, watch_pages, &w);
	fixture_open(&f, "");
	sim_device_hold(f.sd, NULL, NULL);
	ck_assert_uint_gt(w.pages, 0);
	ck_assert(!w.too_early);
	fixture_fini(&f);
}
END_TEST

/* Every data block of @f, a new volume, holds what looks like a page in its place,
 * as those do that a rebuild took out of their tree. Its mappings make sense. */
static void plant_pages(struct fixture *f)
{
	uint8_t page[B];
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	for (pbn_t pbn = im.slabs.first_block; pbn < f->block_count; pbn++) {
		if (!is_data_block(&im.slabs, pbn))
			continue;
		mapping_page_format(page, im.sb.nonce, pbn, true);
		for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
			mapping_page_put(page, i, (struct mapping){
				im.slabs.first_block + i % 100,
				STATE_UNCOMPRESSED});
		sim_device_poke(f->sd, pbn - im.geometry.bio_offset, page);
	}
	image_close(&im);
}

/* A page that the journal makes is empty, also if nothing else is known of it,
 * whatever its block holds; for who only reads, too. */
START_TEST(test_new_pages_are_empty)
{
	struct sim_device_config config = {.block_count = 4000, .seed = 7,
					   .volatile_cache = true};

	for (uint64_t n = 1; n < 200; n += 7) {
		struct fixture f;

		fixture_init_raw(&f, _i, &config);
		ck_assert_int_eq(fixture_format(&f, SMALL), 0);
		plant_pages(&f);
		fixture_open(&f, "depth=64");
		memset(f.unknown, true, 300 * sizeof(bool));
		sim_device_crash_at(f.sd, n);
		for (uint64_t lbn = 0; lbn < 200; lbn++)
			(void)fixture_try_write(&f, lbn, V_UNIQUE(lbn), 0);
		fixture_lose_power(&f);
		f.recovery_batch = 1;
		fixture_open(&f, "read-only=on");
		fixture_verify_all(&f);
		ck_assert_int_eq(fixture_try_close(&f), 0);
		fixture_open(&f, "");
		fixture_verify_all(&f);
		fixture_close(&f);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_fini(&f);
	}
}
END_TEST

/* A process was killed, and power is lost while its journal, of which nothing is
 * durable, is being replayed: pages and counts go no further than the journal
 * that is left. */
START_TEST(test_killed_and_power_lost)
{
	bool over = false;
	uint64_t n;

	for (n = 1; !over; n++) {
		struct sim_device_config config = {.block_count = 4000,
						   .seed = n,
						   .volatile_cache = true,
						   .fua_lies = true};
		struct fixture f;

		fixture_init_raw(&f, _i, &config);
		ck_assert_int_eq(fixture_format(&f, SMALL), 0);
		fixture_open(&f, "depth=64");
		live(&f, n);
		fixture_abandon(&f);
		sim_device_crash_at(f.sd, n);
		if (fixture_try_open(&f, "") == 0)
			fixture_abandon(&f);
		over = !sim_device_crashed(f.sd);
		sim_device_crash_at(f.sd, 0);
		if (!over)
			vdo_device_close(sim_device_reopen(f.sd, NULL));
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_open(&f, "");
		ck_assert_int_eq(fixture_try_close(&f), 0);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_fini(&f);
	}
	ck_assert_uint_gt(n, 20);
}
END_TEST

/* Who does not want it gets what there was before, and nothing is touched. */
START_TEST(test_not_wanted)
{
	uint8_t *before, *after;
	struct fixture f;

	make_crashed(&f, _i);
	before = copy_storage(&f);
	ck_assert_int_eq(fixture_try_open(&f, "recover=off"), -VDO_EDIRTY);
	ck_assert_ptr_nonnull(strstr(f.error.message, "recover=on"));
	after = copy_storage(&f);
	ck_assert_mem_eq(before, after, f.block_count * B);
	free(after);
	free(before);
	fixture_open(&f, "recover=on");
	fixture_close(&f);
	/* One that was closed has no need of it. */
	fixture_open(&f, "recover=off");
	fixture_fini(&f);
}
END_TEST

/* Closed before all slabs are scrubbed: it says so, and scrubbing goes on where
 * it was, with no other recovery (V 10.2). */
START_TEST(test_closed_while_scrubbing)
{
	uint8_t *want;
	struct fixture f;

	make_crashed(&f, _i);
	fixture_open(&f, "");
	want = read_all(&f);
	fixture_abandon(&f);
	for (unsigned again = 0; again < 2; again++) {
		uint64_t left;

		fixture_open(&f, "");
		left = fixture_stat(&f, "path.slabsUnscrubbed");
		if (again == 0)
			ck_assert_uint_gt(left, 0);
		ck_assert_int_eq(fixture_try_close(&f), 0);
		ck_assert(left > 0 || fixture_state(&f) == VOLUME_CLEAN);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
	}
	fixture_open(&f, "");
	expect_all(&f, want);
	fixture_until(&f, fixture_stat(&f, "path.slabsUnscrubbed") == 0);
	ck_assert_uint_eq(fixture_stat(&f, "completeRecoveries"), 2);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	free(want);
	fixture_fini(&f);
}
END_TEST

/* Slab journals that cannot be written: the error is that of the storage, and
 * nothing is called damaged. When it can be written the volume recovers. */
START_TEST(test_slabs_not_written)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE)};
	struct fixture f;
	struct image im;
	uint8_t *want;

	make_crashed(&f, _i);
	image_open_sim(&im, f.sd, f.block_count);
	fault.block_count =
		im.sb.slab.slab_blocks - im.slabs.data_blocks;
	for (uint64_t i = 0; i < im.slabs.slab_count; i++) {
		fault.first_block =
			slab_start(&im.slabs, i) + im.slabs.data_blocks;
		sim_device_fault(f.sd, &fault);
	}
	image_close(&im);
	ck_assert_int_eq(fixture_try_open(&f, ""), -EIO);
	ck_assert_ptr_null(strstr(f.error.message, "damaged"));
	sim_device_clear_faults(f.sd);
	fixture_open(&f, "");
	want = read_all(&f);
	fixture_reopen(&f, "");
	expect_all(&f, want);
	free(want);
	fixture_fini(&f);
}
END_TEST

/* The line in the log. */
START_TEST(test_is_logged)
{
	struct fixture f;

	make_crashed(&f, KIND_INLINE);
	f.log = fixture_keep_line;
	fixture_log[0] = '\0';
	fixture_open(&f, "");
	ck_assert_ptr_nonnull(strstr(fixture_log, "volume: recovered, entries="));
	fixture_reopen(&f, "");
	f.log = NULL;
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("recovery");

	tcase_add_loop_test(tc, test_what_was_flushed_is_there, 0,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_interrupted_anywhere, KIND_INLINE,
			    FIXTURE_KINDS);
	tcase_add_test(tc, test_zones_are_named_first);
	tcase_add_loop_test(tc, test_other_zones, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_small_batches);
	tcase_add_loop_test(tc, test_flush_comes_first, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_first_images_of_pages);
	tcase_add_loop_test(tc, test_new_pages_are_empty, KIND_INLINE,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_killed_and_power_lost, KIND_INLINE,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_not_wanted, KIND_INLINE, KIND_INLINE + 1);
	tcase_add_loop_test(tc, test_closed_while_scrubbing, KIND_SIM,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_slabs_not_written, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_is_logged);
	return unit_run();
}
