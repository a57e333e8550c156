/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scrubbing in the background: the volume serves, who needs an unscrubbed slab
 * waits for it alone, and everything comes to an end.
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;
static pbn_t used[16]; /* a block of each slab that has a reference */
static uint8_t want[16];

static void teardown(void)
{
	fx_destroy(f);
}

static pbn_t counts_of(unsigned slab)
{
	return slab_start(&f->d->geo, slab) + f->d->slab.data_blocks;
}

/* Reads of the metadata of slabs @from to @to are held back. */
static void hold_reads(unsigned from, unsigned to)
{
	f->dev.read_from = slab_start(&f->d->geo, from);
	f->dev.read_to = slab_start(&f->d->geo, to);
}

/* @slabs slabs that are dirty, with a block or all blocks in use, in a depot
 * that is loaded and has not begun to serve. */
static void crashed(unsigned slabs, unsigned ring, unsigned zones, bool full)
{
	f = fx_create((struct fx_config){10, slabs, ring, slabs, 0});
	ck_assert_int_eq(fx_load(f, true), 0);
	for (unsigned n = 0; n < slabs; n++) {
		used[n] = fx_write(f, n);
		want[n] = 1;
		ck_assert_uint_eq(slab_of(&f->d->geo, used[n]), n);
	}
	f->by_hand = true;
	for (uint64_t i = 1; full && i < slabs * f->d->geo.data_blocks; i++)
		if (i < slabs * (f->d->geo.data_blocks - 1) + 1)
			fx_write(f, (unsigned)i % slabs);
	f->by_hand = false;
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	fx_crash(f, zones, &(unsigned){1});
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
}

static void begin(unsigned slabs)
{
	hold_reads(0, slabs);
	ck_assert_int_eq(fx_start(f), 0);
	ck_assert(depot_unscrubbed(f->d));
}

static void compare(unsigned slabs)
{
	for (unsigned n = 0; n < slabs; n++) {
		const struct slab *s = &f->d->slabs[n];

		ck_assert_int_eq(s->state, SLAB_REBUILT);
		ck_assert_uint_eq(s->counts[used[n] - s->start], want[n]);
	}
	ck_assert(!depot_unscrubbed(f->d));
}

/* Entries are taken, but for the slab that a scrubber has; nobody shares, nobody
 * allocates (I45); then all of it has been done. */
START_TEST(serves_meanwhile)
{
	struct fx_adjust *ops[12];
	struct fx_allocation *a;
	struct depot_stats s;
	unsigned waiting = 0;

	crashed(12, 8, 1, false);
	begin(12);
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.slabs_unscrubbed, 12);
	ck_assert_uint_gt(s.allocated, 0);
	a = fx_allocate_start(f, 0);
	ck_assert(!a->over);
	for (unsigned n = 0; n < 12; n++) {
		ck_assert_ptr_null(fx_lock_read(f, used[n]));
		ops[n] = fx_adjust_start(f, used[n], REFS_INCREMENT);
		want[n]++;
		waiting += !ops[n]->over;
	}
	/* So many scrubbers has one zone. */
	ck_assert_uint_eq(waiting, 8);
	fx_release(f);
	ck_assert(a->over && a->op.done.result == 0);
	for (unsigned n = 0; n < 12; n++) {
		ck_assert(ops[n]->over && ops[n]->op.done.result == 0);
		free(ops[n]);
	}
	fx_unlock(f, a->op.lock);
	free(a);
	compare(12);
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.slabs_scrubbed, 12);
	ck_assert_uint_eq(s.allocated, 12);
	for (unsigned n = 0; n < 12; n++)
		fx_unlock(f, fx_lock_read(f, used[n]));
}
END_TEST

/* Space in another zone is better than to wait. */
START_TEST(another_zone)
{
	struct fx_allocation *a;

	crashed(2, 8, 2, false);
	hold_reads(0, 1);
	ck_assert_int_eq(fx_start(f), 0);
	a = fx_allocate_start(f, 0);
	ck_assert(a->over && a->op.done.result == 0);
	ck_assert_uint_eq(slab_of(&f->d->geo, pbnlock_pbn(a->op.lock)), 1);
	fx_unlock(f, a->op.lock);
	free(a);
	fx_release(f);
	compare(2);
}
END_TEST

/* Without space is who waited for all slabs of all zones. */
START_TEST(nothing_left)
{
	struct fx_allocation *a;

	crashed(2, 8, 1 + (unsigned)_i, true);
	begin(2);
	a = fx_allocate_start(f, 0);
	ck_assert(!a->over);
	fx_release(f);
	ck_assert(a->over);
	ck_assert_int_eq(a->op.done.result, -ENOSPC);
	free(a);
}
END_TEST

/* What is tried again is held again. */
static void fail_held(void)
{
	for (unsigned i = 0; i < f->dev.held_count; i++)
		f->dev.held[i]->complete(f->dev.held[i], -EIO);
	f->dev.held_count = 0;
	fx_run(f);
}

/* What fails once or twice is read again. */
START_TEST(read_again)
{
	crashed(2, 8, 1, false);
	begin(2);
	for (int i = 0; i < _i; i++)
		fail_held();
	fx_release(f);
	ck_assert(!readonly_entered(&f->ro));
	ck_assert(!depot_unscrubbed(f->d));
	compare(2);
	ck_assert_int_eq(fx_drain(f, true), 0);
}
END_TEST

/* An error ends in read-only mode, and whoever waits is told. */
START_TEST(error_ends_it)
{
	struct fx_allocation *a;
	struct fx_adjust *op;

	crashed(2, 8, 1, false);
	begin(2);
	a = fx_allocate_start(f, 0);
	op = fx_adjust_start(f, used[0], REFS_INCREMENT);
	ck_assert(!a->over && !op->over);
	for (unsigned i = 0; _i == 0 && i < 3; i++)
		fail_held();
	if (_i == 1)
		put_u64(fx_block(f, counts_of(0) + 2) + 24, 99);
	fx_release(f);
	ck_assert(readonly_entered(&f->ro));
	ck_assert(a->over && op->over);
	ck_assert_int_eq(a->op.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(op->op.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(fx_drain(f, true), -VDO_EREADONLY);
	free(a);
	free(op);
}
END_TEST

/* A drain stops it between slabs, and it goes on: here, or in another life. */
START_TEST(drained)
{
	crashed(12, 8, 1, false);
	begin(12);
	ck_assert_int_eq(fx_drain(f, _i & 1), -EINPROGRESS);
	/* Once for the counts or journal, once for what follows. */
	fx_release(f);
	ck_assert_int_eq(fx_result(f), 0);
	ck_assert(depot_unscrubbed(f->d));
	if (_i & 2) {
		f->sb.state = VOLUME_RECOVERING;
		f->sb.journal_start = f->seq + 1;
		fx_reopen(f, 3);
		if (_i & 1)
			ck_assert_int_eq(fx_load(f, false), 0);
	} else {
		ck_assert_int_eq(fx_resume(f), 0);
	}
	if (!(_i & 2) || (_i & 1))
		compare(12);
}
END_TEST

/* First whose journal is full, as entries wait for it; then the emptiest. */
START_TEST(order)
{
	unsigned slab = 9;
	struct fx_adjust *op = NULL;
	pbn_t first = 0;

	crashed(12, 8, 1, false);
	begin(12);
	for (unsigned i = 0; op == NULL || op->over; i++) {
		ck_assert_uint_lt(i, 20000);
		free(op);
		op = fx_adjust_start(f, used[slab],
				     i % 2 ? REFS_DECREMENT : REFS_INCREMENT);
		want[slab] += i % 2 ? -1 : 1;
		f->by_hand = true;
	}
	f->by_hand = false;
	ck_assert_int_eq(f->d->slabs[slab].state,
			 SLAB_REQUIRES_HIGH_PRIORITY_SCRUBBING);
	f->dev.log_count = 0;
	fx_release(f);
	ck_assert(op->over && op->op.done.result == 0);
	free(op);
	for (unsigned i = 0; first == 0 && i < f->dev.log_count; i++)
		for (unsigned n = 8; n < 12; n++)
			if (f->dev.log[i].op == VDO_DEVICE_READ &&
			    f->dev.log[i].pbn >= counts_of(n) &&
			    f->dev.log[i].pbn < slab_start(&f->d->geo, n + 1))
				first = n;
	ck_assert_uint_eq(first, slab);
	compare(12);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("depot_scrub");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, serves_meanwhile);
	tcase_add_test(tc, another_zone);
	tcase_add_loop_test(tc, nothing_left, 0, 2);
	tcase_add_loop_test(tc, read_again, 1, 3);
	tcase_add_loop_test(tc, error_ends_it, 0, 2);
	tcase_add_loop_test(tc, drained, 0, 4);
	tcase_add_test(tc, order);
	return unit_run();
}
