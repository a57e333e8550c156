/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wait for a completion, from outside of all queues.
 *
 *	struct wait w;
 *
 *	wait_init(&w, queue);
 *	something_start(x, &w.done);
 *	result = wait_for(&w);
 *
 * Runs on: the thread that waits; wait_done() on the queue.
 */
#ifndef TESTS_WAIT_H
#define TESTS_WAIT_H

#include "base/compiler.h"
#include "exec/executor.h"

struct wait {
	struct completion done;
	struct event event;
};

static inline void wait_done(struct completion *c)
{
	struct wait *w = container_of(c, struct wait, done);

	executor_signal(c->home->executor, &w->event);
}

static inline void wait_init(struct wait *w, struct queue *q)
{
	event_init(&w->event);
	completion_init(&w->done, q, wait_done);
}

static inline int wait_for(struct wait *w)
{
	executor_wait(w->done.home->executor, &w->event);
	return w->done.result;
}

#endif
