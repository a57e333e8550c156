/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A futex of three states: setting an event makes a system call only if somebody
 * has said before that they sleep. doc/models/event.pml goes through all orders
 * in which the two can meet (Q3, Q7, Q8).
 */
#include "build.h"

#include "exec/event.h"

#include <limits.h>

#include "base/assert.h"
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
	VDO_CHECK(atomic_load(&e->set) == EVENT_SET);
}

void event_set(struct event *e)
{
	unsigned before = atomic_exchange(&e->set, EVENT_SET);

	VDO_CHECK(before <= EVENT_AWAITED);
	/* Whoever waited may be gone by now, and the event with them. */
	if (before == EVENT_AWAITED)
		futex_wake(&e->set, INT_MAX);
}
