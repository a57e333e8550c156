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
 *
 * Runs on: sync_request() on any thread; the service itself on one queue.
 * Lifetime: ops belong to their callers.
 */
#ifndef IO_SYNC_H
#define IO_SYNC_H

#include <stdbool.h>

#include "exec/completion.h"
#include "exec/waitq.h"
#include "io/mio.h"

struct sync_op {
	struct completion done; /* home and fn set by the caller */
	struct waiter link;     /* private */
	struct completion go;   /* private: travels to the service's queue */
	struct sync *sync;      /* private */
};

struct sync {
	struct queue *queue;
	struct storage *storage;
	struct waitq waiting; /* asked, and not covered by the running flush */
	struct waitq covered; /* asked before the running flush began */
	struct mio flush;
	bool busy;
	int failed; /* sticky */
	void (*on_failure)(void *arg, int result);
	void *arg;
};

void sync_init(struct sync *s, struct queue *queue, struct storage *storage,
	       void (*on_failure)(void *arg, int result), void *arg);

void sync_request(struct sync *s, struct sync_op *op);

#endif
