/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The durability service: "call me when all that completed before now is
 * durable".
 *
 * One device flush satisfies everyone who asked before it began; who asks
 * while it runs is satisfied by the next one.
 *
 * Invariants
 *  (1) An op finishes only after a flush that began after sync_request() was
 *      called for it.
 *  (2) A failed flush is reported to every op that waits for it, and to every
 *      later one: nothing since the last good flush may be taken as durable.
 *      It is never retried. The service calls its failed() upcall once, and
 *      the volume goes read-only.
 *  (3) On a device without a volatile cache an op finishes without any I/O.
 *  (4) Who announced an op with sync_expect() requests it, or takes that back
 *      with sync_unexpect(): until then no flush begins.
 *  (5) wanted is true if an op is in waiting. Who takes an announcement back looks
 *      at it after that, and who waits looks for an announcement after he has set
 *      it: so one of them begins the flush.
 *
 * Runs on: sync_request() on any thread; the service itself on one queue.
 * Lifetime: ops belong to their callers.
 */
#ifndef IO_SYNC_H
#define IO_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>

#include "exec/completion.h"
#include "exec/waitq.h"
#include "io/mio.h"

struct sync_op {
	struct completion done; /* home and fn set by the caller */
	struct waiter link;     /* private */
	struct completion go;   /* private: travels to the service's queue */
	struct sync *sync;      /* private */
	bool expected;          /* private: it ends the wait for it */
};

struct sync {
	struct queue *queue;
	struct storage *storage;
	struct waitq waiting; /* asked, and not covered by the running flush */
	struct waitq covered; /* asked before the running flush began */
	struct mio flush;
	bool busy;
	int failed; /* sticky */
	atomic_bool expected; /* an op that all who wait are to share */
	atomic_bool wanted;   /* somebody waits */
	bool looking;	      /* look is on its way */
	struct completion look;
	struct completion unexpected;
	void (*on_failure)(void *arg, int result);
	void *arg;
};

void sync_init(struct sync *s, struct queue *queue, struct storage *storage,
	       void (*on_failure)(void *arg, int result), void *arg);

void sync_request(struct sync *s, struct sync_op *op);

/* Does somebody wait for a flush that has not begun? On any thread, a guess. */
static inline bool sync_is_wanted(const struct sync *s)
{
	return atomic_load_explicit(&s->wanted, memory_order_relaxed);
}

/*
 * An op may come soon: who asks meanwhile shares its flush, so that it need not
 * wait for one of theirs to end. One op at a time, by one thread, which calls
 * sync_request_expected() or sync_unexpect() next.
 */
static inline void sync_expect(struct sync *s)
{
	if (s->storage->volatile_cache &&
	    !atomic_load_explicit(&s->expected, memory_order_relaxed))
		atomic_store_explicit(&s->expected, true, memory_order_relaxed);
}

/* The op, expected or not. */
void sync_request_expected(struct sync *s, struct sync_op *op);
/* It does not come, if it was expected at all. */
void sync_unexpect(struct sync *s);

#endif
