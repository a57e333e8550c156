/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash zones: the map from keys to hash locks, the pool of locks, and the way
 * of an op to its lock.
 *
 * The key is the first 8 bytes of the name. A lock under the key whose data is
 * not ours byte by byte is a collision: the op then writes on its own, for a
 * key has one lock at most.
 */
#include "build.h"

#include "dedupe/dedupe.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "dedupe/dedupe_priv.h"
#include "exec/executor.h"

static int hash_zone_init(struct hash_zone *z, struct dedupe *d,
			  struct queue *queue)
{
	z->dedupe = d;
	z->queue = queue;
	z->locks = alloc_spare(CACHE_LINE, d->locks_max,
			       sizeof(struct hash_lock));
	if (z->locks == NULL)
		return -ENOMEM;
	return intmap_init(&z->map, d->locks_max);
}

static void zone_fini(struct hash_zone *z)
{
	VDO_ASSERT(z->map.count == 0);
	VDO_CHECK(z->locks == NULL || hash_zone_sane(z));
	intmap_fini(&z->map);
	alloc_free(z->locks);
}

int dedupe_create(const struct dedupe_config *c, struct dedupe **dedupe)
{
	struct dedupe *d = alloc_zeroed(1, sizeof(*d));

	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= HASH_ZONES_MAX);
	VDO_ASSERT(c->locks_max >= 1);
	if (d == NULL)
		return -ENOMEM;
	d->zone_count = c->zone_count;
	d->locks_max = c->locks_max;
	d->advice = c->advice;
	d->packer = c->packer;
	d->slabs = c->slabs;
	atomic_init(&d->enabled, c->enabled);
	d->zones = alloc_aligned(CACHE_LINE, c->zone_count,
				 sizeof(struct hash_zone));
	if (d->zones == NULL)
		goto fail;
	for (unsigned i = 0; i < c->zone_count; i++)
		if (hash_zone_init(&d->zones[i], d, c->queues[i]) != 0)
			goto fail;
	*dedupe = d;
	return 0;
fail:
	dedupe_destroy(d);
	return -ENOMEM;
}

void dedupe_destroy(struct dedupe *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; d->zones != NULL && i < d->zone_count; i++)
		zone_fini(&d->zones[i]);
	alloc_free(d->zones);
	alloc_free(d);
}

unsigned dedupe_set_name(const struct dedupe *d, struct dedupe_op *op,
			 const struct hash128 *hash)
{
	return advice_set_name(d->advice, &op->name, hash);
}

void dedupe_prefetch(const struct dedupe *d, unsigned zone,
		     const struct dedupe_op *op)
{
	advice_prefetch(d->advice, zone, &op->name);
}

/* ------------------------------------------------------------------- locks */

struct hash_lock *hash_zone_take_lock(struct hash_zone *z, uint64_t key)
{
	struct hash_lock *l = z->free;

	/* The last that was freed is the next, so what is in use stays in cache;
	 * and what never was is no memory. */
	if (l != NULL) {
		z->free = l->next_free;
	} else {
		VDO_ASSERT(z->used < z->dedupe->locks_max);
		l = &z->locks[z->used++];
	}
	VDO_CHECK(l->state == LOCK_FREE);
	*l = (struct hash_lock){.zone = z, .key = key};
	list_init(&l->members);
	waitq_init(&l->waiters);
	return l;
}

void hash_zone_return_lock(struct hash_zone *z, struct hash_lock *l)
{
	VDO_CHECK(l->member_count == 0 && !l->registered);
	VDO_CHECK(l->duplicate_lock == NULL && waitq_empty(&l->waiters));
	l->state = LOCK_FREE;
	l->next_free = z->free;
	z->free = l;
}

void hash_zone_enter(struct hash_lock *l, struct hash_lock *old)
{
	void *replaced = intmap_put(&l->zone->map, l->key, l);

	VDO_ASSERT(replaced == old && !l->registered);
	if (old != NULL)
		old->registered = false;
	l->registered = true;
}

void hash_zone_remove(struct hash_lock *l)
{
	void *removed;

	if (!l->registered)
		return;
	removed = intmap_remove(&l->zone->map, l->key);
	VDO_CHECK(removed == l);
	l->registered = false;
}

/* --------------------------------------------------------------------- ops */

static struct hash_zone *zone_of(struct dedupe *d, unsigned zone)
{
	VDO_CHECK(zone < d->zone_count);
	VDO_ASSERT(queue_is_current(d->zones[zone].queue));
	return &d->zones[zone];
}

static struct hash_lock *lock_of(struct dedupe *d, unsigned zone,
				 const struct dedupe_op *op)
{
	struct hash_lock *l = op->hash_lock;

	VDO_CHECK(l != NULL && l->zone == zone_of(d, zone));
	VDO_CHECK(hash_lock_sane(l));
	return l;
}

static bool same_data(const struct hash_lock *l, const struct dedupe_op *op)
{
	const struct dedupe_op *m =
		list_entry(l->members.next, struct dedupe_op, member);

	VDO_ASSERT(l->member_count > 0);
	return memcmp(&m->name.hash, &op->name.hash, sizeof(m->name.hash)) == 0 &&
	       memcmp(m->data, op->data, BLOCK_SIZE) == 0;
}

static enum dedupe_next enter_private(struct hash_zone *z, struct dedupe_op *op)
{
	VDO_ASSERT(op->private);
	return hash_lock_start(hash_zone_take_lock(z, key_of(&op->name.hash)), op);
}

enum dedupe_next dedupe_enter(struct dedupe *d, unsigned zone,
			      struct dedupe_op *op)
{
	struct hash_zone *z = zone_of(d, zone);
	struct hash_lock *l, *present;

	VDO_CHECK(op->data != NULL);
	op->hash_lock = NULL;
	op->lock = NULL;
	if (op->private)
		return enter_private(z, op);
	/* New data is the common case: one look-up tells and puts. */
	l = hash_zone_take_lock(z, key_of(&op->name.hash));
	present = intmap_put_new(&z->map, l->key, l);
	if (present == NULL) {
		l->registered = true;
		l->advised =
			atomic_load_explicit(&d->enabled, memory_order_relaxed);
		return hash_lock_start(l, op);
	}
	hash_zone_return_lock(z, l);
	if (!same_data(present, op)) {
		counter_inc(&z->stats.concurrent_collisions);
		return op->alloc_lock != NULL ? DEDUPE_WRITE_ALONE
					      : DEDUPE_FAIL;
	}
	counter_inc(&z->stats.concurrent_matches);
	return hash_lock_join(present, op);
}

enum dedupe_next dedupe_verified(struct dedupe *d, unsigned zone,
				 struct dedupe_op *op, bool equal)
{
	return hash_lock_verified(lock_of(d, zone, op), op, equal);
}

enum dedupe_next dedupe_unlocked(struct dedupe *d, unsigned zone,
				 struct dedupe_op *op)
{
	return hash_lock_unlocked(lock_of(d, zone, op), op);
}

enum dedupe_next dedupe_written(struct dedupe *d, unsigned zone,
				struct dedupe_op *op)
{
	return hash_lock_written(lock_of(d, zone, op), op);
}

enum dedupe_next dedupe_shared(struct dedupe *d, unsigned zone,
			       struct dedupe_op *op)
{
	return hash_lock_shared(lock_of(d, zone, op), op);
}

enum dedupe_next dedupe_failed(struct dedupe *d, unsigned zone,
			       struct dedupe_op *op)
{
	return hash_lock_failed(lock_of(d, zone, op), op);
}

void dedupe_enable(struct dedupe *d, bool enabled)
{
	atomic_store_explicit(&d->enabled, enabled, memory_order_relaxed);
}

static void add_stats(const struct hash_zone *z, struct dedupe_stats *sum)
{
	const struct dedupe_counters *s = &z->stats;

	sum->advice_valid += counter_get(&s->advice_valid);
	sum->advice_stale += counter_get(&s->advice_stale);
	sum->concurrent_matches += counter_get(&s->concurrent_matches);
	sum->concurrent_collisions += counter_get(&s->concurrent_collisions);
	sum->queries_pending += counter_get(&s->queries_pending);
	sum->invalid_advice += counter_get(&s->invalid_advice);
	sum->rollovers += counter_get(&s->rollovers);
}

void dedupe_get_stats(const struct dedupe *d, struct dedupe_stats *stats)
{
	*stats = (struct dedupe_stats){0};
	for (unsigned i = 0; i < d->zone_count; i++)
		add_stats(&d->zones[i], stats);
}
