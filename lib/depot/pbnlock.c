/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks on physical blocks (E 3.6): a pool and a map a zone.
 *
 *	           [depot_allocate]        [depot_lock_downgrade]
 *	free block ----------------> WRITE ----------------------> READ
 *	any block  ----------------------[depot_lock_read]-------> READ
 *
 * A lock that owns the provisional reference of its block drops it at its end.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include "base/alloc.h"

int pbnlock_init(struct depot_zone *z, unsigned locks_max)
{
	VDO_ASSERT(locks_max > 0);
	z->lock_pool = alloc_zeroed(locks_max, sizeof(*z->lock_pool));
	if (z->lock_pool == NULL)
		return -ENOMEM;
	for (unsigned i = locks_max; i-- > 0;) {
		z->lock_pool[i].next_free = z->locks_free;
		z->locks_free = &z->lock_pool[i];
	}
	return intmap_init(&z->locks, locks_max);
}

void pbnlock_fini(struct depot_zone *z)
{
	intmap_fini(&z->locks);
	alloc_free(z->lock_pool);
}

/* A new lock; the block has none. NULL if the pool is exhausted. */
struct pbn_lock *pbnlock_get(struct slab *s, pbn_t pbn, enum pbn_lock_type type)
{
	struct depot_zone *z = s->zone;
	struct pbn_lock *lock = z->locks_free;
	struct pbn_lock *other;

	if (unlikely(lock == NULL))
		return NULL;
	z->locks_free = lock->next_free;
	lock->pbn = pbn;
	lock->type = type;
	lock->holders = 1;
	lock->provisional = false;
	lock->limit = 0;
	atomic_init(&lock->claims, 0);
	lock->slab = s;
	other = intmap_put_new(&z->locks, pbn, lock);
	VDO_CHECK(other == NULL && s->state == SLAB_REBUILT);
	s->locks++;
	return lock;
}

bool pbnlock_is_read(const struct pbn_lock *lock)
{
	return lock->type == PBN_LOCK_READ;
}

bool pbnlock_claim(struct pbn_lock *lock)
{
	unsigned n = atomic_load_explicit(&lock->claims, memory_order_relaxed);

	VDO_CHECK(lock->limit == 0 || lock->type == PBN_LOCK_READ);
	/* This is a count of tickets; nothing else is ordered by it. */
	do {
		if (n >= lock->limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&lock->claims, &n, n + 1, memory_order_relaxed,
		memory_order_relaxed));
	return true;
}

static struct pbn_lock *lock_again(struct pbn_lock *lock)
{
	VDO_CHECK(lock->holders > 0);
	if (lock->type != PBN_LOCK_READ ||
	    atomic_load_explicit(&lock->claims, memory_order_relaxed) >=
		    lock->limit)
		return NULL;
	lock->holders++;
	return lock;
}

/* A read lock on @pbn, which lies in @s, or NULL. */
static struct pbn_lock *lock_read(struct slab *s, pbn_t pbn)
{
	struct pbn_lock *lock = pbnlock_find(s->zone, pbn);
	uint32_t offset;
	uint8_t count;

	if (lock != NULL)
		return lock_again(lock);
	if (s->state != SLAB_REBUILT || slab_pristine(s))
		return NULL;
	offset = (uint32_t)(pbn - s->start);
	count = s->counts[offset];
	if (count >= REFS_MAX)
		return NULL;
	s->recent = true;
	lock = pbnlock_get(s, pbn, PBN_LOCK_READ);
	if (unlikely(lock == NULL))
		return NULL;
	if (count == 0) {
		refs_claim(s, offset);
		lock->provisional = true;
	}
	lock->limit = (uint8_t)(REFS_MAX - count);
	return lock;
}

bool depot_lock_read(struct depot *d, unsigned zone, struct lock_op *op)
{
	struct depot_zone *z = zone_check(d, zone);
	struct slab *s;

	op->lock = NULL;
	/* Advice may say anything (E trap 8). */
	if (!is_data_block(&d->geo, op->pbn))
		return true;
	s = slab_at(d, op->pbn);
	if (s->zone != z)
		return true;
	if (unlikely(s->loading || s->state == SLAB_UNLOADED)) {
		z->counts.starved = false;
		if (counts_load(s) == COUNTS_COMING) {
			waitq_push(&s->lockers, &op->link);
			return false;
		}
	}
	op->lock = lock_read(s, op->pbn);
	return true;
}

bool depot_lock_mapped(struct depot *d, unsigned zone, struct lock_op *op)
{
	struct depot_zone *z = zone_check(d, zone);
	struct slab *s = slab_at(d, op->pbn);

	VDO_CHECK(is_data_block(&d->geo, op->pbn) && s->zone == z);
	if (likely(s->state <= SLAB_UNLOADED || s->loading) ||
	    !scrubber_runs(z) || zone_read_only(z))
		return depot_lock_read(d, zone, op);
	op->lock = NULL;
	scrubber_want(s);
	waitq_push(&s->lockers, &op->link);
	return false;
}

void pbnlock_answer(struct slab *s)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(queue_is_current(s->zone->queue));
	waitq_take_all(&s->lockers, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct lock_op *op = container_of(w, struct lock_op, link);

		op->lock = lock_read(s, op->pbn);
		completion_post(&op->done);
	}
}

void depot_lock_share(struct depot *d, unsigned zone, struct pbn_lock *lock)
{
	zone_check(d, zone);
	VDO_CHECK(lock->holders > 0);
	lock->holders++;
}

void depot_lock_downgrade(struct depot *d, unsigned zone, struct pbn_lock *lock,
			  bool compressed)
{
	zone_check(d, zone);
	VDO_CHECK(lock->holders > 0);
	VDO_CHECK(lock->type == PBN_LOCK_WRITE);
	lock->type = PBN_LOCK_READ;
	lock->limit = compressed ? REFS_MAX : REFS_MAX - 1;
	atomic_store_explicit(&lock->claims, 0, memory_order_relaxed);
}

void depot_unlock(struct depot *d, unsigned zone, struct pbn_lock *lock)
{
	struct depot_zone *z = zone_check(d, zone);
	struct pbn_lock *removed;
	struct slab *s;

	VDO_ASSERT(lock->holders > 0);
	if (--lock->holders > 0)
		return;
	removed = intmap_remove(&z->locks, lock->pbn);
	VDO_CHECK(removed == lock);
	s = lock->slab;
	VDO_CHECK(s == slab_at(d, lock->pbn) && s->locks > 0);
	s->locks--;
	if (lock->provisional) {
		refs_unclaim(s, (uint32_t)(lock->pbn - s->start));
		lock->provisional = false;
	}
	lock->next_free = z->locks_free;
	z->locks_free = lock;
}
