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
	z->lock_pool = alloc_spare(CACHE_LINE, locks_max,
				   sizeof(*z->lock_pool));
	if (z->lock_pool == NULL)
		return -ENOMEM;
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

	if (likely(lock != NULL))
		z->locks_free = lock->next_free;
	else if (z->locks_used < z->depot->locks_max)
		lock = &z->lock_pool[z->locks_used++];
	else
		return NULL;
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
	if (count >= REFS_MAX || (count == 0 && !s->zone->depot->free_lasts))
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

/* What is known of @pbn, or will be said of it. */
static unsigned count(struct slab *s, pbn_t pbn)
{
	unsigned n;

	if (s->state != SLAB_REBUILT || slab_pristine(s))
		return 0;
	s->recent = true;
	n = s->counts[pbn - s->start];
	return n <= REFS_MAX ? n : 0;
}

static void answer(struct slab *s, struct lock_op *op)
{
	if (op->counts)
		op->references = count(s, op->pbn);
	else
		op->lock = lock_read(s, op->pbn);
}

/* The slab of @op is not being scrubbed, or nobody waits for that. */
static bool ask(struct slab *s, struct lock_op *op)
{
	if (unlikely(s->loading || s->state == SLAB_UNLOADED)) {
		s->zone->counts.starved = false;
		if (counts_load(s) == COUNTS_COMING) {
			waitq_push(&s->lockers, &op->link);
			return false;
		}
	}
	answer(s, op);
	return true;
}

bool depot_lock_read(struct depot *d, unsigned zone, struct lock_op *op)
{
	struct depot_zone *z = zone_check(d, zone);
	struct slab *s;

	op->lock = NULL;
	op->counts = false;
	/* Advice may say anything (E trap 8). */
	if (!is_data_block(&d->geo, op->pbn))
		return true;
	s = slab_at(d, op->pbn);
	return s->zone != z || ask(s, op);
}

static bool ask_mapped(struct depot_zone *z, struct lock_op *op)
{
	struct slab *s = slab_at(z->depot, op->pbn);

	VDO_CHECK(is_data_block(&z->depot->geo, op->pbn) && s->zone == z);
	op->lock = NULL;
	op->references = 0;
	if (likely(s->state <= SLAB_UNLOADED || s->loading) ||
	    !scrubber_runs(z) || zone_read_only(z))
		return ask(s, op);
	scrubber_want(s);
	waitq_push(&s->lockers, &op->link);
	return false;
}

bool depot_lock_mapped(struct depot *d, unsigned zone, struct lock_op *op)
{
	op->counts = false;
	return ask_mapped(zone_check(d, zone), op);
}

bool depot_count(struct depot *d, unsigned zone, struct lock_op *op)
{
	op->counts = true;
	return ask_mapped(zone_check(d, zone), op);
}

void pbnlock_answer(struct slab *s)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(queue_is_current(s->zone->queue));
	waitq_take_all(&s->lockers, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct lock_op *op = container_of(w, struct lock_op, link);

		answer(s, op);
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
