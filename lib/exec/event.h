/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A one-shot flag that somebody waits for.
 *
 * Users go through their executor (executor_wait(), executor_signal()), which
 * may have to run queues meanwhile; event_wait() and event_set() are for the
 * executors whose threads do that.
 *
 * Runs on: any thread. Lifetime: whoever waits may free it as soon as it is set.
 */
#ifndef EXEC_EVENT_H
#define EXEC_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>

struct event {
	atomic_uint set; /* an enum event_state */
};

enum event_state {
	EVENT_CLEAR,
	EVENT_SET,
	EVENT_AWAITED, /* clear, and somebody sleeps until this changes */
};

static inline void event_init(struct event *e)
{
	atomic_init(&e->set, EVENT_CLEAR);
}

static inline bool event_is_set(const struct event *e)
{
	return atomic_load_explicit(&e->set, memory_order_acquire) ==
	       EVENT_SET;
}

/* Sleep until @e is set. */
void event_wait(struct event *e);

/* Set @e and wake whoever sleeps. */
void event_set(struct event *e);

#endif
