/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash zones and hash locks, for the files of this folder.
 *
 *	hash_zone.c  zones, the pool of locks, the map of keys, the public calls
 *	hash_lock.c  the state machine of one lock
 *	sane.c       walks over whole locks and zones, for checks
 */
#ifndef DEDUPE_DEDUPE_PRIV_H
#define DEDUPE_DEDUPE_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
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

/* As in struct dedupe_stats. */
struct dedupe_counters {
	counter_t advice_valid, advice_stale;
	counter_t concurrent_matches, concurrent_collisions;
	counter_t queries_pending, invalid_advice, rollovers;
};

struct hash_zone {
	_Alignas(CACHE_LINE) struct dedupe *dedupe;
	struct queue *queue;
	struct hash_lock *free;
	struct hash_lock *locks;
	unsigned used; /* locks that ever were */
	struct intmap map;	   /* key -> hash_lock */
	struct dedupe_counters stats;
};

struct dedupe {
	unsigned zone_count;
	unsigned locks_max;
	struct hash_zone *zones;
	struct advice *advice;
	struct packer *packer;
	const struct slab_geometry *slabs; /* the depot's, which may grow */
	atomic_bool enabled;
};

/* Different names may have one key; that is a collision like any other. */
static inline uint64_t key_of(const struct hash128 *name)
{
	return get_u64(name->bytes);
}

/*
 * A lock without members, not registered. One is always left, because each lock
 * in use has a member and there are as many locks as requests.
 */
struct hash_lock *hash_zone_take_lock(struct hash_zone *z, uint64_t key);
void hash_zone_return_lock(struct hash_zone *z, struct hash_lock *l);

/* Make @l the lock of its key, in place of @old (NULL: of nobody). */
void hash_zone_enter(struct hash_lock *l, struct hash_lock *old);
void hash_zone_remove(struct hash_lock *l);

/* ------------------------------------------------------------- hash_lock.c */

/* The first member of a new lock. */
enum dedupe_next hash_lock_start(struct hash_lock *l, struct dedupe_op *op);
/* One more member with the same data. */
enum dedupe_next hash_lock_join(struct hash_lock *l, struct dedupe_op *op);

/* What the agent, or a member, came back with. */
enum dedupe_next hash_lock_verified(struct hash_lock *l, struct dedupe_op *op,
				    bool equal);
enum dedupe_next hash_lock_unlocked(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next hash_lock_written(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next hash_lock_shared(struct hash_lock *l, struct dedupe_op *op);
enum dedupe_next hash_lock_failed(struct hash_lock *l, struct dedupe_op *op);

/* ------------------------------------------------------------------ sane.c */

/* Do the parts of a lock agree with its state? Between calls, on its queue. */
bool hash_lock_sane(const struct hash_lock *l);

/* Are all locks of a zone sane, and do its map and its pool agree with them? */
bool hash_zone_sane(const struct hash_zone *z);

#endif
