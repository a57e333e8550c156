/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A futex of three states: setting an event makes a system call only if somebody
 * has said before that they sleep.
 */
#include "build.h"

#include "exec/event.h"

#include <limits.h>

#include "exec/clock.h"
#include "exec/futex.h"

void event_wait(struct event *e)
{
	unsigned v;

	while (!event_is_set(e)) {
		v = EVENT_CLEAR;
		atomic_compare_exchange_strong(&e->set, &v, EVENT_AWAITED);
		if (v == EVENT_SET)
			break;
		futex_wait(&e->set, EVENT_AWAITED, NO_TIMEOUT);
	}
}

void event_set(struct event *e)
{
	/* The waiter may be gone, and the event with it, before we wake. */
	if (atomic_exchange(&e->set, EVENT_SET) == EVENT_AWAITED)
		futex_wake(&e->set, INT_MAX);
}
