/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash zones and hash locks: N concurrent writes of the same data cost one
 * query and one data write, and known data costs none.
 *
 * A state machine (E 3.8) that only decides. Each call says what the caller is
 * to do next; the caller does it in the right zone and comes back with the
 * outcome:
 *
 *	dedupe_enter      the op has data and a name
 *	VERIFY            lock op->candidate in its physical zone, read, compare;
 *	                  put the read lock into op->lock (or NULL)
 *	                  -> dedupe_verified(equal)
 *	WRITE             store the data at the own allocation (or in a
 *	                  compressed block; op->lock is then a share of that
 *	                  block's lock), do journal, counts and map; set
 *	                  op->location -> dedupe_written()
 *	SHARE             op->location is where the data is, one reference is
 *	                  claimed; journal, counts, map -> dedupe_shared()
 *	UNLOCK            release op->lock in its zone -> dedupe_unlocked()
 *	WRITE_ALONE       store, without a hash lock, uncompressed; do not come
 *	                  back
 *	LEAVE             the op is no member any more; clean up
 *	FAIL              no block for the data: the op has left; -ENOSPC
 *	PARKED            wait: done runs later with op->next set
 *
 * Invariants
 *  (1) A registered lock is the only one under its key; each lock has exactly
 *      one agent outside of DEDUPING and BYPASSING and is freed when its last
 *      member leaves (I33).
 *  (2) Sharing happens only at a location that was verified under a lock held
 *      all the time, or that this hash lock wrote itself (I20).
 *  (3) Each SHARE was claimed (I18).
 *  (4) At most one index update is outstanding per lock; a replaced lock sends
 *      none (I34).
 *  (5) An agent with waiters does not park in the packer (I31).
 *
 * Runs on: each zone on its queue. Lifetime: dedupe_create() to
 * dedupe_destroy(); ops belong to callers and are members until LEAVE or FAIL.
 */
#ifndef DEDUPE_DEDUPE_H
#define DEDUPE_DEDUPE_H

#include "advice/advice.h"
#include "base/hash128.h"
#include "base/list.h"
#include "depot/depot.h"
#include "exec/completion.h"
#include "exec/waitq.h"
#include "pack/pack.h"

struct dedupe;
struct hash_lock;

enum dedupe_next {
	DEDUPE_PARKED,
	DEDUPE_VERIFY,
	DEDUPE_WRITE,
	DEDUPE_WRITE_ALONE,
	DEDUPE_SHARE,
	DEDUPE_UNLOCK,
	DEDUPE_LEAVE,
	DEDUPE_FAIL,
};

struct dedupe_op {
	struct completion done; /* home: the hash zone's queue */
	enum dedupe_next next;  /* valid when done runs */

	/* in */
	struct index_name name; /* from dedupe_set_name() */
	const uint8_t *data; /* 4096 bytes, stable while a member */
	bool private;        /* no query, no sharing with others (NO_DEDUPE):
				a hash lock of its own that nobody finds */
	struct pack_op *pack; /* to be cancelled when others wait */
	struct mapping allocation;   /* own block, if alloc_lock is set */
	struct pbn_lock *alloc_lock; /* in: NULL without one. dedupe_written()
					sets it to NULL when the hash lock took
					it over */
	/* in and out, see above */
	struct mapping candidate;
	struct mapping location;
	struct pbn_lock *lock;

	/* private */
	struct hash_lock *hash_lock; /* NULL: not a member */
	struct list_node member;
	struct waiter link;
	struct advice_op advice;
	struct pack_fetch fetch;
};

struct dedupe_config {
	unsigned zone_count;
	struct queue **queues; /* of the hash zones; copied */
	struct advice *advice;
	struct packer *packer;
	const struct slab_geometry *slabs;
	unsigned locks_max; /* per zone: the number of requests */
	bool enabled;       /* use advice */
};

int dedupe_create(const struct dedupe_config *c, struct dedupe **dedupe)
	MUST_CHECK;
void dedupe_destroy(struct dedupe *d);

/* Any thread: make op->name of @hash. Returns its zone. */
unsigned dedupe_set_name(const struct dedupe *d, struct dedupe_op *op,
			 const struct hash128 *hash);

/* Any thread: @op will enter soon. Changes nothing. */
void dedupe_prefetch(const struct dedupe *d, unsigned zone,
		     const struct dedupe_op *op);

/* On the queue of @zone, the name's. */
enum dedupe_next dedupe_enter(struct dedupe *d, unsigned zone,
			      struct dedupe_op *op);
enum dedupe_next dedupe_verified(struct dedupe *d, unsigned zone,
				 struct dedupe_op *op, bool equal);
enum dedupe_next dedupe_unlocked(struct dedupe *d, unsigned zone,
				 struct dedupe_op *op);
enum dedupe_next dedupe_written(struct dedupe *d, unsigned zone,
				struct dedupe_op *op);
enum dedupe_next dedupe_shared(struct dedupe *d, unsigned zone,
			       struct dedupe_op *op);
/*
 * The op failed while it did what VERIFY, WRITE or SHARE told it (E 3.8.7):
 * UNLOCK or LEAVE. op->lock, if not NULL, is held and is what to release.
 */
enum dedupe_next dedupe_failed(struct dedupe *d, unsigned zone,
			       struct dedupe_op *op);

/* Use advice or not, from now on. Any thread. */
void dedupe_enable(struct dedupe *d, bool enabled);

struct dedupe_stats {
	uint64_t advice_valid, advice_stale;
	uint64_t concurrent_matches, concurrent_collisions;
	uint64_t queries_pending;  /* now */
	uint64_t invalid_advice;
	uint64_t rollovers;        /* reference count full */
};
void dedupe_get_stats(const struct dedupe *d, struct dedupe_stats *stats);

/* A walk over all zones: do they agree with themselves? When no queue runs. */
bool dedupe_sane(const struct dedupe *d);

#endif
