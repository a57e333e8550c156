/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which blocks go back to the storage, and what is not done with them meanwhile.
 */
#include "tests/unit/depot_fixture.h"

#include "base/alloc.h"
#include "io/device.h"
#include "tests/lib/unit.h"

#define BLOCKS 600u

static struct fx *f;
static struct slab *slab;
static pbn_t blocks[BLOCKS];
static bool given[1u << 10]; /* by offset */

/* One slab, of which so many blocks are in use. */
static void setup(void)
{
	f = fx_create((struct fx_config){10, 2, 8, 2, 0});
	ck_assert_int_eq(fx_load(f, true), 0);
	/* Chosen when a depot is made; the fixture makes those without it. */
	f->device->flags |= VDO_DEVICE_CAN_DISCARD;
	f->d->free_lasts = storage_free_lasts(&f->storage);
	f->d->reclaim = RECLAIM_ON;
	depot_reclaim(f->d);
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = fx_write(f, 0);
	slab = slab_at(f->d, blocks[0]);
}

static void teardown(void)
{
	fx_destroy(f);
}

static void free_blocks(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		ck_assert_int_eq(fx_adjust(f, slab->start + i, REFS_DECREMENT),
				 0);
}

static void flush(void)
{
	depot_flushed(f->d);
	fx_run(f);
}

/* Note what was given since; how many blocks that is. None is in use. */
static unsigned look(void)
{
	unsigned n = 0;

	memset(given, 0, sizeof(given));
	for (unsigned i = 0; i < f->dev.log_count; i++) {
		const struct fx_log *l = &f->dev.log[i];

		for (uint64_t k = 0; l->op == VDO_DEVICE_DISCARD && k < l->count;
		     k++, n++) {
			uint64_t offset = l->pbn + k - slab->start;

			ck_assert_uint_lt(offset, f->d->geo.data_blocks);
			ck_assert_uint_eq(slab->counts[offset], 0);
			ck_assert(!given[offset]);
			given[offset] = true;
		}
	}
	f->dev.log_count = 0;
	return n;
}

static bool all_given(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (!given[i])
			return false;
	return true;
}

/* While there is other work long runs go back, at the end all of them. */
START_TEST(long_ones_first)
{
	free_blocks(3, 34); /* 31 */
	free_blocks(70, 102); /* 32, in one group */
	free_blocks(112, 144); /* 32, in two */
	free_blocks(200, 400);
	free_blocks(410, 411);
	f->dev.log_count = 0;
	flush();
	look();
	ck_assert(!given[3] && !given[33] && !given[410]);
	ck_assert(all_given(70, 102) && all_given(112, 144));
	ck_assert(all_given(200, 400));
	/* What is free beside them may go along, some of it. */
	for (unsigned i = 0; i < BLOCKS; i++)
		ck_assert(!given[i] || slab->counts[i] == 0);
	/* They are not given twice, but for those of the same group. */
	free_blocks(420, 421);
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_uint_eq(look(), 31 + 1 + 1 + 400 % RECLAIM_GROUP);
	ck_assert(all_given(3, 34) && given[410] && given[420]);
	ck_assert_int_eq(fx_resume(f), 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_uint_eq(look(), 0);
}
END_TEST

/* What was freed too little to be looked at is looked at when more was. */
START_TEST(little_by_little)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 500; i += 2)
		free_blocks(i, i + 1);
	free_blocks(501, 512);
	f->dev.log_count = 0;
	flush();
	ck_assert_uint_eq(look(), 0);
	for (unsigned i = 1; i < 500; i += 2)
		free_blocks(i, i + 1);
	free_blocks(520, 530);
	f->dev.log_count = 0;
	flush();
	n = look();
	ck_assert_uint_ge(n, 500);
	ck_assert(all_given(0, 500));
}
END_TEST

static void unlock(struct fx *fx, void *arg)
{
	(void)fx;
	depot_unlock(f->d, 0, arg);
}

/* A block that is locked gets free without its count being looked at again. */
START_TEST(locked_for_a_while)
{
	struct pbn_lock *lock;

	lock = fx_lock_read(f, slab->start + 100);
	ck_assert_ptr_nonnull(lock);
	free_blocks(0, 300);
	f->dev.log_count = 0;
	flush();
	look();
	ck_assert(all_given(0, 100) && !given[100] && all_given(101, 300));
	fx_on(f, 0, unlock, lock);
	ck_assert_uint_eq(slab->counts[100], 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	look();
	ck_assert(given[100]);
}
END_TEST

/* Blocks on their way back are in use by nobody, and free in the statistics. */
START_TEST(claimed_meanwhile)
{
	struct depot_stats before, now;

	free_blocks(0, 300);
	depot_get_stats(f->d, &before);
	f->dev.log_count = 0;
	f->dev.hold_discards = true;
	flush();
	ck_assert_uint_eq(f->dev.held_count, 1);
	depot_get_stats(f->d, &now);
	ck_assert_uint_eq(now.allocated, before.allocated);
	ck_assert_ptr_null(fx_lock_read(f, slab->start + 100));
	for (unsigned i = 0; i < 300; i++)
		ck_assert_uint_eq(slab->counts[i], COUNT_PROVISIONAL);
	ck_assert(depot_sane(f->d));
	fx_release(f);
	ck_assert_uint_eq(slab->counts[100], 0);
	depot_get_stats(f->d, &now);
	ck_assert_uint_eq(now.allocated, before.allocated);
	ck_assert_uint_ge(now.reclaimed, 300);
	/* Nor is it shared: what reads find there is of no meaning. */
	ck_assert_ptr_null(fx_lock_read(f, slab->start + 100));
}
END_TEST

/* An entry about one says that counts are wrong: nobody may have referred to it. */
START_TEST(entries_about_them)
{
	static const enum refs_kind kinds[] = {
		REFS_INCREMENT, REFS_DECREMENT, REFS_MAP_INCREMENT};

	free_blocks(0, 300);
	f->dev.hold_discards = true;
	flush();
	ck_assert_uint_eq(f->dev.held_count, 1);
	f->by_hand = true;
	ck_assert_int_eq(fx_adjust(f, slab->start + 100, kinds[_i]),
			 -VDO_ECORRUPT);
	ck_assert(readonly_entered(&f->ro));
	ck_assert_uint_eq(slab->counts[100], COUNT_PROVISIONAL);
	fx_release(f);
	ck_assert(!f->d->zones[0].reclaim.runs);
	ck_assert_uint_eq(slab->counts[100], 0);
}
END_TEST

static void allocate_page(struct fx *fx, void *arg)
{
	struct alloc_op *op = arg;

	(void)fx;
	op->type = PBN_LOCK_MAP_WRITE;
	op->zone = 0;
	completion_init(&op->done, f->queues[0], NULL);
	ck_assert(depot_allocate(f->d, op));
	ck_assert_int_eq(op->done.result, 0);
}

/* Storage that was set aside for pages may have gone as well. */
START_TEST(reserved_storage)
{
	struct alloc_op page = {0}, next = {0};
	uint32_t from, end;

	fx_on(f, 0, allocate_page, &page);
	ck_assert_uint_gt(slab->reserved_end, slab->reserved + 1);
	end = slab->reserved_end;
	/* There is no page after all. */
	fx_unlock(f, page.lock);
	/* Far from it nothing changes. */
	free_blocks(0, 300);
	flush();
	ck_assert_uint_eq(slab->reserved_end, end);
	/* Beside it. */
	free_blocks(300, BLOCKS);
	flush();
	ck_assert_uint_eq(slab->reserved_end, 0);
	fx_on(f, 0, allocate_page, &next);
	ck_assert_uint_eq(slab->reserved, next.lock->pbn - slab->start);
	ck_assert_int_eq(fx_adjust(f, next.lock->pbn, REFS_MAP_INCREMENT), 0);
	fx_unlock(f, next.lock);
	/* What is not used of it goes back at the end. */
	from = slab->reserved + 1;
	end = slab->reserved_end;
	f->dev.log_count = 0;
	ck_assert_int_eq(fx_drain(f, true), 0);
	look();
	ck_assert(all_given(from, end) && !given[from - 1]);
	ck_assert_uint_eq(slab->reserved_end, 0);
}
END_TEST

START_TEST(no_memory)
{
	free_blocks(0, 1);
	ck_assert_ptr_nonnull(slab->freed);
	alloc_free(slab->freed);
	list_remove(&slab->freed_link);
	slab->freed = NULL;
	alloc_fail_at(1);
	free_blocks(1, 2);
	alloc_fail_at(0);
	ck_assert_ptr_null(slab->freed);
	flush();
	free_blocks(2, 300);
	f->dev.log_count = 0;
	flush();
	look();
	ck_assert(all_given(2, 300));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("depot_reclaim");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, long_ones_first);
	tcase_add_test(tc, little_by_little);
	tcase_add_test(tc, locked_for_a_while);
	tcase_add_test(tc, claimed_meanwhile);
	tcase_add_loop_test(tc, entries_about_them, 0, 3);
	tcase_add_test(tc, reserved_storage);
	tcase_add_test(tc, no_memory);
	return unit_run();
}
