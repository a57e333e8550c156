/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on physical blocks.
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;

static void setup(void)
{
	f = fx_create((struct fx_config){13, 2, 224, 1, 8});
	ck_assert_int_eq(fx_load(f, true), 0);
}

static void teardown(void)
{
	fx_destroy(f);
}

static uint8_t count_of(pbn_t pbn)
{
	struct slab *s = slab_at(f->d, pbn);

	return s->counts[pbn - s->start];
}

static uint64_t allocated(void)
{
	struct depot_stats s;

	depot_get_stats(f->d, &s);
	return s.allocated;
}

/* Claims never exceed the limit and are never returned. */
START_TEST(claims)
{
	for (unsigned limit = 0; limit < 255; limit++) {
		struct pbn_lock lock = {.limit = (uint8_t)limit};

		for (unsigned i = 0; i < limit; i++)
			ck_assert(pbnlock_claim(&lock));
		ck_assert(!pbnlock_claim(&lock));
		ck_assert(!pbnlock_claim(&lock));
		ck_assert_uint_eq(lock.claims, limit);
	}
}
END_TEST

/* Invariant 7: an allocation that nobody wants gives its block back. */
START_TEST(unused_allocation)
{
	struct pbn_lock *lock = fx_allocate(f, 0, NULL);
	pbn_t pbn = lock->pbn;

	ck_assert(lock->provisional);
	ck_assert_int_eq(lock->type, PBN_LOCK_WRITE);
	ck_assert_uint_eq(count_of(pbn), COUNT_PROVISIONAL);
	ck_assert_uint_eq(allocated(), 1);
	ck_assert_ptr_null(fx_lock_read(f, pbn));
	fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(pbn), 0);
	ck_assert_uint_eq(allocated(), 0);
}
END_TEST

static void downgrade(struct fx *fx, void *arg)
{
	depot_lock_downgrade(fx->d, 0, arg, false);
}

static void downgrade_compressed(struct fx *fx, void *arg)
{
	depot_lock_downgrade(fx->d, 0, arg, true);
}

static void share(struct fx *fx, void *arg)
{
	depot_lock_share(fx->d, 0, arg);
}

START_TEST(downgraded)
{
	struct pbn_lock *lock = fx_allocate(f, 0, NULL);
	pbn_t pbn = lock->pbn;

	fx_on(f, 0, _i ? downgrade_compressed : downgrade, lock);
	ck_assert_int_eq(lock->type, PBN_LOCK_READ);
	ck_assert_uint_eq(lock->limit, _i ? 254 : 253);
	ck_assert_ptr_eq(fx_lock_read(f, pbn), lock);
	fx_on(f, 0, share, lock);
	ck_assert_uint_eq(lock->holders, 3);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
	ck_assert(!lock->provisional);
	for (int i = 0; i < 3; i++)
		fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(pbn), 1);
	/* A fresh lock has as much to give as the counter leaves. */
	lock = fx_lock_read(f, pbn);
	ck_assert_uint_eq(lock->limit, 253);
	fx_unlock(f, lock);
}
END_TEST

/* Advice may name anything; none of it is an error. */
START_TEST(bad_advice)
{
	const struct slab_geometry *g = depot_geometry(f->d);
	pbn_t page = fx_allocate(f, 0, NULL)->pbn;
	struct pbn_lock *lock = pbnlock_find(&f->d->zones[0], page);

	ck_assert_int_eq(fx_adjust(f, page, REFS_MAP_INCREMENT), 0);
	fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(page), 254);
	ck_assert_ptr_null(fx_lock_read(f, page));
	ck_assert_ptr_null(fx_lock_read(f, 0));
	ck_assert_ptr_null(fx_lock_read(f, FX_FIRST - 1));
	ck_assert_ptr_null(fx_lock_read(f, FX_FIRST + g->data_blocks));
	ck_assert_ptr_null(fx_lock_read(f, slab_start(g, 2)));
	ck_assert_ptr_null(fx_lock_read(f, UINT64_MAX));
	/* A slab that was never used. */
	ck_assert_ptr_null(fx_lock_read(f, slab_start(g, 1)));
	ck_assert(!readonly_entered(&f->ro));
}
END_TEST

/* Data that was freed can come back while nobody has overwritten it. */
START_TEST(resurrected)
{
	pbn_t pbn = fx_write(f, 0);
	struct pbn_lock *lock;

	ck_assert_int_eq(fx_adjust(f, pbn, REFS_DECREMENT), 0);
	ck_assert_uint_eq(allocated(), 0);
	lock = fx_lock_read(f, pbn);
	ck_assert(lock->provisional);
	ck_assert_uint_eq(lock->limit, 254);
	ck_assert_uint_eq(allocated(), 1);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
	fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(pbn), 1);
}
END_TEST

/* Trap 6: the last reference of a locked block passes to the lock. */
START_TEST(decrement_while_locked)
{
	pbn_t pbn = fx_write(f, 0);
	struct pbn_lock *lock = fx_lock_read(f, pbn);

	ck_assert(!lock->provisional);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_DECREMENT), 0);
	ck_assert(lock->provisional);
	ck_assert_uint_eq(count_of(pbn), COUNT_PROVISIONAL);
	ck_assert_uint_eq(allocated(), 1);
	fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(pbn), 0);
	ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(pool_exhausted)
{
	struct pbn_lock *locks[8];
	pbn_t pbns[9];

	for (int i = 0; i < 9; i++)
		pbns[i] = fx_write(f, 0);
	for (int i = 0; i < 8; i++)
		ck_assert_ptr_nonnull(locks[i] = fx_lock_read(f, pbns[i]));
	ck_assert_ptr_null(fx_lock_read(f, pbns[8]));
	fx_unlock(f, locks[3]);
	locks[3] = fx_lock_read(f, pbns[8]);
	ck_assert_uint_eq(locks[3]->holders, 1);
	ck_assert_uint_eq(locks[3]->pbn, pbns[8]);
	for (int i = 0; i < 8; i++)
		fx_unlock(f, locks[i]);
}
END_TEST

/* In read-only mode memory is still put in order. */
START_TEST(unlock_read_only)
{
	struct pbn_lock *lock = fx_allocate(f, 0, NULL);
	pbn_t pbn = lock->pbn;
	int r;

	readonly_enter(&f->ro, -EIO, "test");
	fx_run(f);
	fx_unlock(f, lock);
	ck_assert_uint_eq(count_of(pbn), 0);
	ck_assert_ptr_null(fx_allocate(f, 0, &r));
	ck_assert_int_eq(r, -VDO_EREADONLY);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("pbnlock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, claims);
	tcase_add_test(tc, unused_allocation);
	tcase_add_loop_test(tc, downgraded, 0, 2);
	tcase_add_test(tc, bad_advice);
	tcase_add_test(tc, resurrected);
	tcase_add_test(tc, decrement_while_locked);
	tcase_add_test(tc, pool_exhausted);
	tcase_add_test(tc, unlock_read_only);
	return unit_run();
}
