/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts that are loaded when they are needed, and dropped within a budget.
 */
#include "tests/unit/depot_fixture.h"

#include "base/alloc.h"
#include "tests/lib/unit.h"

#define SLABS 12u

static struct fx *f;
static pbn_t used[SLABS]; /* a block of each slab that has a reference */
static uint8_t want[SLABS << 10];

static void teardown(void)
{
	fx_destroy(f);
}

static struct slab *slab(unsigned n)
{
	return &f->d->slabs[n];
}

static uint8_t *want_of(pbn_t pbn)
{
	return &want[pbn - FX_FIRST];
}

static struct depot_stats stats(void)
{
	struct depot_stats s;

	depot_get_stats(f->d, &s);
	return s;
}

/* Close in good order and open with @bytes for counts; 0: without a limit. */
static void reopen_with(unsigned zones, uint64_t bytes)
{
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert(!depot_unscrubbed(f->d));
	f->sb.state = VOLUME_CLEAN;
	f->sb.journal_start = ++f->seq;
	f->entry = 0;
	f->counts_memory = bytes;
	fx_reopen(f, zones);
	ck_assert_int_eq(fx_load(f, false), 0);
}

/* With memory for @slabs slabs a zone, without a limit if there are as many. */
static void reopen(unsigned zones, unsigned slabs)
{
	reopen_with(zones, slabs == SLABS ? 0
					  : slabs * zones * f->d->counts_bytes +
						    1);
}

/* @blocks blocks of each slab are in use. */
static void create(unsigned ring, unsigned blocks)
{
	memset(want, 0, sizeof(want));
	f = fx_create((struct fx_config){10, SLABS, ring, SLABS, 0});
	ck_assert_int_eq(fx_load(f, true), 0);
	f->by_hand = true; /* one walk in the end */
	for (unsigned n = 0; n < SLABS; n++)
		for (unsigned i = 0; i < blocks; i++) {
			used[n] = fx_write(f, n);
			*want_of(used[n]) = 1;
			ck_assert_uint_eq(slab_of(&f->d->geo, used[n]), n);
		}
	f->by_hand = false;
	fx_run(f);
}

/* All counts, when the volume was closed and opened with all in memory. */
static void compare(void)
{
	uint64_t sum = 0;

	reopen(1, SLABS);
	for (unsigned i = 0; i < SLABS << 10; i++) {
		const struct slab *s = slab(i >> 10);
		uint32_t offset = i & 1023;

		if (offset >= f->d->geo.data_blocks)
			continue;
		ck_assert_uint_eq(s->counts == NULL ? 0 : s->counts[offset],
				  want[i]);
		sum += want[i] != 0;
	}
	ck_assert_uint_eq(stats().allocated, sum);
	ck_assert_uint_eq(stats().slabs_estimated, 0);
}

static void hold_reads(unsigned from, unsigned to)
{
	f->dev.read_from = slab_start(&f->d->geo, from);
	f->dev.read_to = slab_start(&f->d->geo, to);
}

static unsigned reads_of_counts(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->dev.log_count; i++) {
		const struct fx_log *l = &f->dev.log[i];

		for (unsigned k = 0; k < SLABS; k++)
			n += l->op == VDO_DEVICE_READ &&
			     l->pbn == slab_start(&f->d->geo, k) +
					       f->d->slab.data_blocks;
	}
	return n;
}

static unsigned in_memory(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLABS; i++)
		n += slab(i)->counts != NULL;
	return n;
}

static void lock_and_unlock(pbn_t pbn)
{
	struct pbn_lock *lock = fx_lock_read(f, pbn);

	ck_assert_ptr_nonnull(lock);
	fx_unlock(f, lock);
}

static void change(pbn_t pbn, enum refs_kind kind)
{
	ck_assert_int_eq(fx_adjust(f, pbn, kind), 0);
	*want_of(pbn) += (uint8_t)(kind == REFS_DECREMENT ? -1 : 1);
}

/* ----------------------------------------------------------------- opening */

/* With too many counts none is read; what is free is a guess until all were
 * asked, and exact from then on, in memory or not. */
START_TEST(left_on_disk)
{
	uint64_t sum = SLABS * 5;

	create(16, 5);
	f->dev.log_count = 0;
	reopen(1, 2);
	ck_assert_uint_eq(reads_of_counts(), 0);
	ck_assert_uint_eq(in_memory(), 0);
	ck_assert_uint_eq(stats().slabs_estimated, SLABS);
	ck_assert_uint_ge(stats().allocated, sum);
	ck_assert_uint_lt(stats().allocated, sum + SLABS * 16);
	for (unsigned n = 0; n < SLABS; n++) {
		ck_assert_int_eq(slab(n)->state, SLAB_UNLOADED);
		lock_and_unlock(used[n]);
		ck_assert_uint_eq(in_memory(), MIN(n + 1, 2));
	}
	ck_assert_uint_eq(stats().slabs_loaded, SLABS);
	ck_assert_uint_eq(stats().slabs_dropped, SLABS - 2);
	ck_assert_uint_eq(stats().slabs_estimated, 0);
	ck_assert_uint_eq(stats().allocated, sum);
	ck_assert_uint_eq(reads_of_counts(), SLABS);
	compare();
}
END_TEST

/* If they fit they are there from the start. */
START_TEST(few_are_read)
{
	create(16, 5);
	reopen(1 + (unsigned)_i, SLABS / (1 + (unsigned)_i));
	ck_assert_uint_eq(stats().slabs_estimated, 0);
	ck_assert_uint_eq(stats().allocated, SLABS * 5);
	ck_assert_uint_eq(in_memory(), SLABS);
	ck_assert_uint_eq(stats().slabs_loaded, 0);
	compare();
}
END_TEST

/* Zones do not have the same number of slabs; memory for all is used by all. */
START_TEST(memory_for_all)
{
	create(64, 1);
	for (unsigned less = 0; less < 2; less++) {
		reopen_with(5, SLABS * f->d->counts_bytes - less);
		for (unsigned i = 0; i < 3 * SLABS; i++)
			lock_and_unlock(used[i % SLABS]);
		if (less)
			ck_assert_uint_gt(stats().slabs_dropped, 0);
		else
			ck_assert_uint_eq(stats().slabs_dropped, 0);
	}
	compare();
}
END_TEST

/* ------------------------------------------------------------ who needs them */

/* A lock waits for its slab, and all who want one of the same together. */
START_TEST(lock_waits)
{
	struct fx_locking *l[3];

	create(16, 5);
	reopen(1, 0);
	hold_reads(0, SLABS);
	for (unsigned i = 0; i < 3; i++) {
		l[i] = fx_lock_start(f, i == 2 ? used[3] - 1 : used[3]);
		ck_assert(!l[i]->over);
	}
	ck_assert_uint_eq(f->dev.held_count, 1);
	fx_release(f);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(l[i]->over);
		ck_assert_ptr_nonnull(l[i]->op.lock);
	}
	ck_assert_ptr_eq(l[0]->op.lock, l[1]->op.lock);
	ck_assert_uint_eq(in_memory(), 1);
	for (unsigned i = 0; i < 3; i++) {
		fx_unlock(f, l[i]->op.lock);
		free(l[i]);
	}
	compare();
}
END_TEST

/* What is locked stays, whatever the budget says; and goes after that. */
START_TEST(locked_stays)
{
	struct pbn_lock *lock;

	create(16, 5);
	reopen(1, 0);
	lock = fx_lock_read(f, used[0]);
	ck_assert_ptr_nonnull(lock);
	for (unsigned n = 1; n < SLABS; n++)
		lock_and_unlock(used[n]);
	ck_assert_ptr_nonnull(slab(0)->counts);
	ck_assert_uint_le(in_memory(), 2);
	/* The lock keeps the block when its last reference goes. */
	change(used[0], REFS_DECREMENT);
	ck_assert(lock->provisional);
	for (unsigned n = 1; n < SLABS; n++)
		lock_and_unlock(used[n]);
	ck_assert_uint_eq(slab(0)->counts[used[0] - slab(0)->start],
			  COUNT_PROVISIONAL);
	fx_unlock(f, lock);
	for (unsigned n = 1; n < 4; n++)
		lock_and_unlock(used[n]);
	ck_assert_ptr_null(slab(0)->counts);
	ck_assert_uint_eq(stats().allocated, SLABS * 5 - 1);
	compare();
}
END_TEST

/* An allocation waits for one slab. The next is loaded before it is needed. */
START_TEST(allocation_waits)
{
	struct fx_allocation *a;

	create(16, 5);
	reopen(1, 4);
	hold_reads(0, SLABS);
	a = fx_allocate_start(f, 0);
	ck_assert(!a->over);
	ck_assert_uint_eq(f->dev.held_count, 1);
	fx_release(f);
	ck_assert(a->over && a->op.done.result == 0);
	ck_assert_uint_eq(in_memory(), 2);
	ck_assert_uint_eq(stats().slabs_loaded, 2);
	fx_unlock(f, a->op.lock);
	free(a);
	compare();
}
END_TEST

/* Entries are made without counts, which are not read for them until the journal
 * is long. Closing brings them up. */
START_TEST(entries_wait_for_nothing)
{
	unsigned n = 0;

	create(16, 600);
	reopen(1, 2);
	f->dev.log_count = 0;
	hold_reads(0, SLABS);
	for (unsigned k = 0; k < SLABS; k++)
		for (unsigned i = 0; i < 3; i++)
			change(used[k] - i, REFS_DECREMENT);
	ck_assert_uint_eq(reads_of_counts(), 0);
	ck_assert_uint_eq(stats().slabs_estimated, SLABS);
	fx_release(f);
	/* Many blocks of one entry. */
	for (; reads_of_counts() == 0; n++) {
		ck_assert_uint_lt(n, 16);
		change(used[5] - 10 - n, REFS_DECREMENT);
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
	}
	ck_assert_uint_ge(n, f->d->slab.flushing_threshold);
	ck_assert_uint_eq(stats().slabs_loaded, 1);
	if (_i == 0)
		compare();
}
END_TEST

/* Each free block is found before there is no space, also where the hint says
 * that there is none. */
START_TEST(all_is_found)
{
	unsigned zones = 1 + (unsigned)_i;
	unsigned freed = 0;
	int r;

	create(16, 0);
	f->by_hand = true;
	for (uint64_t i = 0; i < SLABS * f->d->geo.data_blocks; i++)
		*want_of(fx_write(f, (unsigned)i % SLABS)) = 1;
	for (unsigned n = 1; n < SLABS; n += 2)
		for (unsigned i = 0; i < n; i++, freed++)
			change(slab_start(&f->d->geo, n) + 7 * i,
			       REFS_DECREMENT);
	f->by_hand = false;
	reopen(zones, 1);
	ck_assert_int_eq(fx_drain(f, true), 0);
	for (unsigned n = 0; n < SLABS; n++)
		for (unsigned i = 0; i < zones; i++)
			fx_entry(f, i, n)[1] &= 0xc0;
	fx_reopen(f, zones);
	ck_assert_int_eq(fx_load(f, false), 0);
	ck_assert_uint_eq(stats().allocated, SLABS * f->d->geo.data_blocks);
	for (unsigned i = 0; i < freed; i++)
		*want_of(fx_write(f, i % zones)) = 1;
	for (unsigned i = 0; i < zones; i++) {
		ck_assert_ptr_null(fx_allocate(f, i, &r));
		ck_assert_int_eq(r, -ENOSPC);
	}
	/* What has no entry that is not counted is known to be full. */
	ck_assert_uint_eq(stats().slabs_estimated, 0);
	f->dev.log_count = 0;
	ck_assert_ptr_null(fx_allocate(f, 0, &r));
	ck_assert_uint_eq(reads_of_counts(), 0);
	/* And what gets one is asked again. */
	change(slab_start(&f->d->geo, 2) + 3, REFS_DECREMENT);
	ck_assert_uint_eq(fx_write(f, 0), slab_start(&f->d->geo, 2) + 3);
	*want_of(slab_start(&f->d->geo, 2) + 3) = 1;
	compare();
}
END_TEST

/* ---------------------------------------------------------------- dropping */

static void hold_counts(unsigned n)
{
	f->dev.hold_from = slab(n)->start + f->d->slab.data_blocks;
	f->dev.hold_to = f->dev.hold_from + f->d->ref_blocks;
}

/* A slab that is written to be dropped stays if it is wanted before that, or
 * comes back, if it got an entry meanwhile: with what it had, and the entry. */
START_TEST(wanted_while_leaving)
{
	bool entry = _i & 1;
	struct fx_locking *l;

	create(16, 5);
	reopen(1, 1);
	lock_and_unlock(used[0]);
	change(used[0], REFS_INCREMENT);
	hold_counts(0);
	lock_and_unlock(used[1]);
	ck_assert(slab(0)->leaving);
	ck_assert_int_eq(slab(0)->state, SLAB_UNLOADED);
	if (entry)
		change(used[0], REFS_DECREMENT);
	l = fx_lock_start(f, used[0]);
	ck_assert_int_eq(l->over, !entry);
	fx_release(f);
	ck_assert(l->over);
	ck_assert_ptr_nonnull(l->op.lock);
	ck_assert_uint_eq(slab(0)->counts[used[0] - slab(0)->start],
			  *want_of(used[0]));
	fx_unlock(f, l->op.lock);
	free(l);
	compare();
}
END_TEST

/* Counts that changed while they were written are written again before they go. */
START_TEST(dirty_again)
{
	create(16, 5);
	reopen(1, 1);
	lock_and_unlock(used[0]);
	change(used[0], REFS_INCREMENT);
	hold_counts(0);
	refs_write_all(slab(0));
	fx_run(f);
	ck_assert_uint_eq(slab(0)->writing, 1);
	change(used[0], REFS_INCREMENT);
	lock_and_unlock(used[1]);
	ck_assert(slab(0)->leaving);
	fx_release(f);
	ck_assert_ptr_null(slab(0)->counts);
	compare();
}
END_TEST

/* Nothing more is read while memory is on its way back. */
START_TEST(waits_for_memory)
{
	struct fx_locking *l;

	create(16, 5);
	reopen(1, 0);
	lock_and_unlock(used[0]);
	change(used[0], REFS_INCREMENT);
	hold_counts(0);
	lock_and_unlock(used[1]);
	ck_assert(slab(0)->leaving);
	l = fx_lock_start(f, used[3]);
	ck_assert(!l->over);
	ck_assert_uint_le(in_memory(), 2);
	if (_i == 0)
		fx_release(f);
	else /* it does not leave after all */
		lock_and_unlock(used[0]);
	ck_assert(l->over);
	ck_assert_ptr_nonnull(l->op.lock);
	fx_unlock(f, l->op.lock);
	free(l);
	fx_release(f);
	compare();
}
END_TEST

/* ------------------------------------------------------------------- random */

/* Blocks by their numbers in want. */
static void one_step(unsigned *seed, struct pbn_lock **locks)
{
	pbn_t pbn = FX_FIRST + (unsigned)rand_r(seed) % (SLABS << 10);
	struct pbn_lock **lock = &locks[rand_r(seed) % 4];

	if (rand_r(seed) % 64 == 0)
		depot_commit_tails(f->d, f->seq);
	if (*lock != NULL) {
		fx_unlock(f, *lock);
		*lock = NULL;
	}
	if (!is_data_block(&f->d->geo, pbn) || rand_r(seed) % 4 == 0)
		*want_of(fx_write(f, (unsigned)rand_r(seed) % f->zones)) = 1;
	else if (*want_of(pbn) > 0 && rand_r(seed) % 2)
		change(pbn, REFS_DECREMENT);
	else if (*want_of(pbn) > 0 && *want_of(pbn) < 100)
		*lock = fx_lock_read(f, pbn);
	if (*lock != NULL && pbnlock_claim(*lock))
		change(pbnlock_pbn(*lock), REFS_INCREMENT);
}

/* Any work, with hardly any memory, gives what it gives with all of it. */
START_TEST(at_random)
{
	static const unsigned rings[] = {3, 4, 8, 224};
	struct pbn_lock *locks[4] = {NULL};
	unsigned seed = (unsigned)_i + 1;

	create(rings[_i % 4], 20);
	for (unsigned round = 0; round < 4; round++) {
		reopen(1 + round % 3, round);
		for (unsigned i = 0; i < 1000; i++)
			one_step(&seed, locks);
		for (unsigned i = 0; i < 4; i++) {
			if (locks[i] != NULL)
				fx_unlock(f, locks[i]);
			locks[i] = NULL;
		}
		ck_assert_uint_gt(stats().slabs_dropped, 0);
	}
	compare();
}
END_TEST

/* ------------------------------------------------------------------ failures */

static void start_some(struct fx_locking **l, struct fx_allocation **a,
		       struct fx_adjust **e)
{
	for (unsigned n = 0; n < SLABS; n++) {
		l[n] = fx_lock_start(f, used[n]);
		e[n] = fx_adjust_start(f, used[(n + 5) % SLABS] - 1,
				       REFS_DECREMENT);
		a[n] = fx_allocate_start(f, n % f->zones);
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
	}
}

/* All are over, in whatever way; the locks are given back. How many got none. */
static unsigned end_all(struct fx_locking **l, struct fx_allocation **a,
			struct fx_adjust **e)
{
	unsigned refused = 0;

	for (unsigned n = 0; n < SLABS; n++) {
		ck_assert(l[n]->over && a[n]->over && e[n]->over);
		ck_assert_int_eq(a[n]->op.lock == NULL,
				 a[n]->op.done.result != 0);
		refused += l[n]->op.lock == NULL;
		refused += a[n]->op.lock == NULL;
		if (l[n]->op.lock != NULL)
			fx_unlock(f, l[n]->op.lock);
		if (a[n]->op.lock != NULL)
			fx_unlock(f, a[n]->op.lock);
		if (e[n]->op.done.result == 0)
			*want_of(e[n]->op.pbn) -= 1;
		free(l[n]);
		free(a[n]);
		free(e[n]);
	}
	return refused;
}

/* The Nth I/O fails: read-only, or it was a read that went well the next time. */
START_TEST(nth_io_fails)
{
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct fx_locking *l[SLABS];
		struct fx_allocation *a[SLABS];
		struct fx_adjust *e[SLABS];
		int r;

		ck_assert_int_lt(n, 2000);
		create(4, 5);
		reopen(2, 0);
		f->dev.fail_in = n;
		start_some(l, a, e);
		end_all(l, a, e);
		r = fx_drain(f, true);
		ck_assert_int_eq(r, readonly_entered(&f->ro) ? -VDO_EREADONLY
							     : 0);
		failed = f->dev.fail_in == 0;
		f->dev.fail_in = 0;
		if (!readonly_entered(&f->ro))
			compare();
		fx_destroy(f);
	}
	create(4, 1);
}
END_TEST

/* The Nth allocation fails: what can be dropped is, and all goes on. */
START_TEST(nth_allocation_fails)
{
	for (unsigned long n = 1; n < 40; n++) {
		struct fx_locking *l[SLABS];
		struct fx_allocation *a[SLABS];
		struct fx_adjust *e[SLABS];

		create(4, 5);
		reopen(2, 1);
		alloc_fail_at(n);
		start_some(l, a, e);
		alloc_fail_at(0);
		end_all(l, a, e);
		ck_assert(!readonly_entered(&f->ro));
		compare();
		fx_destroy(f);
	}
	create(4, 1);
}
END_TEST

/* Without any memory who asks is refused, and entries wait, until there is some;
 * or a drain leaves them for scrubbing. */
START_TEST(no_memory)
{
	struct fx_adjust *ops[16];
	unsigned count = 0;
	int r;

	create(4, 40);
	reopen(1, 0);
	alloc_fail_from(1);
	ck_assert_ptr_null(fx_lock_read(f, used[1]));
	ck_assert_ptr_null(fx_allocate(f, 0, &r));
	ck_assert_int_eq(r, -ENOMEM);
	do {
		ck_assert_uint_lt(count, 16);
		ops[count] = fx_adjust_start(f, used[2] - count,
					     REFS_DECREMENT);
		*want_of(used[2] - count) -= 1;
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
	} while (ops[count++]->over);
	ck_assert(!readonly_entered(&f->ro));
	ck_assert_ptr_null(fx_lock_read(f, used[2]));
	if (_i == 0) {
		ck_assert_int_eq(fx_drain(f, false), 0);
		ck_assert(depot_unscrubbed(f->d));
		ck_assert_int_eq(fx_resume(f), 0);
	}
	alloc_fail_from(0);
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	for (unsigned i = 0; i < count; i++) {
		ck_assert(ops[i]->over && ops[i]->op.done.result == 0);
		free(ops[i]);
	}
	lock_and_unlock(used[1]);
	compare();
}
END_TEST

/* A volume that is closed without memory is left to be scrubbed. */
START_TEST(closed_without_memory)
{
	create(16, 40);
	reopen(1, 0);
	for (unsigned n = 0; n < SLABS; n++)
		change(used[n], REFS_DECREMENT);
	alloc_fail_from(1);
	ck_assert_int_eq(fx_drain(f, true), 0);
	alloc_fail_from(0);
	ck_assert(depot_unscrubbed(f->d));
	f->sb.state = VOLUME_RECOVERING;
	f->sb.journal_start = ++f->seq;
	fx_reopen(f, 3);
	ck_assert_int_eq(fx_load(f, false), 0);
	ck_assert(!depot_unscrubbed(f->d));
	compare();
}
END_TEST

/* A drain waits for what is being loaded; the rest is refused, and loaded when
 * service goes on. */
START_TEST(drained)
{
	struct fx_locking *l[SLABS];
	unsigned got = 0;

	create(16, 5);
	reopen(1, SLABS - 1);
	hold_reads(0, SLABS);
	for (unsigned n = 0; n < SLABS; n++)
		l[n] = fx_lock_start(f, used[n]);
	ck_assert_int_eq(fx_drain(f, false), -EINPROGRESS);
	fx_release(f);
	ck_assert_int_eq(fx_result(f), 0);
	for (unsigned n = 0; n < SLABS; n++) {
		ck_assert(l[n]->over);
		if (l[n]->op.lock == NULL)
			continue;
		got++;
		fx_unlock(f, l[n]->op.lock);
	}
	ck_assert_uint_eq(got, 8); /* so many scrubbers has one zone */
	ck_assert_ptr_null(fx_lock_read(f, used[SLABS - 1]));
	ck_assert_int_eq(fx_resume(f), 0);
	ck_assert_uint_eq(stats().slabs_loaded, SLABS);
	for (unsigned n = 0; n < SLABS; n++) {
		lock_and_unlock(used[n]);
		free(l[n]);
	}
	compare();
}
END_TEST

/* A read that fails for good is an error of the volume, and all are told. */
START_TEST(read_fails)
{
	struct fx_locking *l;
	struct fx_allocation *a;

	create(16, 5);
	reopen(1, 0);
	hold_reads(0, SLABS);
	l = fx_lock_start(f, used[3]);
	a = fx_allocate_start(f, 0);
	ck_assert(!l->over && !a->over);
	for (unsigned i = 0; i < 3; i++) {
		unsigned n = f->dev.held_count;

		f->dev.held_count = 0;
		for (unsigned k = 0; k < n; k++)
			f->dev.held[k]->complete(f->dev.held[k], -EIO);
		fx_run(f);
	}
	ck_assert(readonly_entered(&f->ro));
	ck_assert(l->over && a->over);
	ck_assert_ptr_null(l->op.lock);
	ck_assert_int_eq(a->op.done.result, -VDO_EREADONLY);
	ck_assert_ptr_null(fx_lock_read(f, used[3]));
	ck_assert_ptr_null(fx_lock_read(f, used[4]));
	ck_assert_int_eq(fx_drain(f, true), -VDO_EREADONLY);
	free(l);
	free(a);
}
END_TEST

/* Who asks for a slab that failed, while another one is still being loaded, is
 * told when that is over. */
START_TEST(read_fails_in_turn)
{
	struct fx_locking *l[2], *late;

	create(16, 5);
	reopen(1, 0);
	hold_reads(0, SLABS);
	for (unsigned i = 0; i < 2; i++)
		l[i] = fx_lock_start(f, used[3 + i]);
	ck_assert_uint_eq(f->dev.held_count, 2);
	for (unsigned i = 0; i < 3; i++) {
		struct vdo_device_io *io = f->dev.held[i == 0 ? 0 : 1];

		f->dev.held[0] = f->dev.held[i == 0 ? 1 : 0];
		f->dev.held_count = 1;
		io->complete(io, -EIO);
		fx_run(f);
	}
	ck_assert(readonly_entered(&f->ro));
	ck_assert_uint_eq(f->dev.held_count, 1);
	late = fx_lock_start(f, used[3]);
	fx_release(f);
	ck_assert(l[0]->over && l[1]->over && late->over);
	ck_assert_ptr_null(late->op.lock);
	ck_assert_int_eq(fx_drain(f, true), -VDO_EREADONLY);
	free(l[0]);
	free(l[1]);
	free(late);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("depot_counts");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, left_on_disk);
	tcase_add_loop_test(tc, few_are_read, 0, 2);
	tcase_add_test(tc, memory_for_all);
	tcase_add_test(tc, lock_waits);
	tcase_add_test(tc, locked_stays);
	tcase_add_test(tc, allocation_waits);
	tcase_add_test(tc, entries_wait_for_nothing);
	tcase_add_loop_test(tc, all_is_found, 0, 3);
	tcase_add_loop_test(tc, wanted_while_leaving, 0, 2);
	tcase_add_test(tc, dirty_again);
	tcase_add_loop_test(tc, waits_for_memory, 0, 2);
	tcase_add_loop_test(tc, at_random, 0, 8);
	tcase_add_test(tc, nth_io_fails);
	tcase_add_test(tc, nth_allocation_fails);
	tcase_add_loop_test(tc, no_memory, 0, 2);
	tcase_add_test(tc, closed_without_memory);
	tcase_add_test(tc, drained);
	tcase_add_test(tc, read_fails);
	tcase_add_test(tc, read_fails_in_turn);
	return unit_run();
}
