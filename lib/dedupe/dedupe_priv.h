/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash zones and hash locks from the inside: zone.c owns zones, the pool of
 * locks and the map of keys; lock.c is the state machine of one lock.
 */
#ifndef DEDUPE_DEDUPE_PRIV_H
#define DEDUPE_DEDUPE_PRIV_H

#include <stdatomic.h>

#include "base/intmap.h"
#include "dedupe/dedupe.h"

enum lock_state {
	LOCK_FREE,
	LOCK_QUERYING,
	LOCK_VERIFYING, /* locking the candidate, reading, comparing */
	LOCK_WRITING,
	LOCK_DEDUPING,
	LOCK_UPDATING,
	LOCK_UNLOCKING,
	LOCK_BYPASSING, /* unregistered; ends with its last member */
};

enum zone_counter {
	ADVICE_VALID,
	ADVICE_STALE,
	MATCHES,
	COLLISIONS,
	PENDING,
	INVALID_ADVICE,
	ROLLOVERS,
	ZONE_COUNTERS,
};

struct hash_lock {
	enum lock_state state;
	bool registered; /* it is the one in the map */
	bool advised;	 /* the index is asked and told */
	bool verified;	 /* the data is at duplicate */
	bool verification_counted;
	bool update_advice; /* the index must be told duplicate */
	unsigned member_count;
	uint64_t key;
	struct hash_zone *zone;
	struct dedupe_op *agent;
	struct list_node members; /* all ops, agent and waiters included */
	struct waitq waiters;	  /* by dedupe_op.link */
	struct mapping duplicate;
	struct pbn_lock *duplicate_lock; /* held by the hash lock */
	struct hash_lock *next_free;
};

struct hash_zone {
	_Alignas(CACHE_LINE) struct dedupe *dedupe;
	struct queue *queue;
	struct hash_lock *free;
	struct hash_lock *locks;
	struct intmap map; /* key -> hash_lock */
	_Atomic(uint64_t) counters[ZONE_COUNTERS];
};

struct dedupe {
	unsigned zone_count;
	unsigned locks_max;
	struct hash_zone *zones;
	struct advice *advice;
	struct packer *packer;
	struct slab_geometry slabs;
	atomic_bool enabled;
};

/* Only the zone's queue writes its counters. */
static inline void zone_count(struct hash_zone *z, enum zone_counter c,
			      int64_t n)
{
	uint64_t v =
		atomic_load_explicit(&z->counters[c], memory_order_relaxed);

	atomic_store_explicit(&z->counters[c], v + (uint64_t)n,
			      memory_order_relaxed);
}

/* Different names may have one key; that is a collision like any other. */
static inline uint64_t key_of(const struct hash128 *name)
{
	return get_u64(name->bytes);
}

/* A lock without members, not registered; one is always left, because each
 * lock in use has a member. */
struct hash_lock *lock_acquire(struct hash_zone *z, uint64_t key);
void lock_release(struct hash_zone *z, struct hash_lock *l);

/* Make @l the lock of its key, in place of @old (NULL: of nobody). */
void lock_register(struct hash_lock *l, struct hash_lock *old);
void lock_unregister(struct hash_lock *l);

/* ------------------------------------------------------------------ lock.c */

/* The first member of a new lock. */
enum dedupe_next lock_start(struct hash_lock *l, struct dedupe_op *op);
/* One more member with the same data. */
enum dedupe_next lock_join(struct hash_lock *l, struct dedupe_op *op);

/* What the agent, or a member, came back with. */
enum dedupe_next lock_verified(struct hash_lock *l, struct dedupe_op *op,
			       bool equal);
enum dedupe_next lock_unlocked(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next lock_written(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next lock_shared(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next lock_failed(struct hash_lock *l, struct dedupe_op *op);

#endif
