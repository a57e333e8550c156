/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sorted list. A heap would be no faster for the lists there are: nearly all
 * timers of a queue have the same delay, and so are added at the end.
 */
#include "build.h"

#include "exec/timers.h"

#include "base/assert.h"

void timers_add(struct timers *ts, struct timer *t)
{
	struct timer **p = &ts->first;

	VDO_ASSERT(!t->armed);
	if (ts->first != NULL && ts->last->deadline_ns <= t->deadline_ns)
		p = &ts->last->next;
	while (*p != NULL && (*p)->deadline_ns <= t->deadline_ns)
		p = &(*p)->next;
	VDO_ASSERT(t->done.fn != NULL && t->done.home != NULL);
	t->armed = true;
	t->next = *p;
	*p = t;
	if (t->next == NULL)
		ts->last = t;
	VDO_CHECK(ts->last->next == NULL &&
		  ts->last->deadline_ns >= ts->first->deadline_ns);
}

bool timers_remove(struct timers *ts, struct timer *t)
{
	struct timer *prev = NULL;

	if (!t->armed)
		return false;
	VDO_ASSERT(ts->first != NULL && ts->last != NULL);
	if (ts->first == t) {
		ts->first = t->next;
	} else {
		for (prev = ts->first; prev->next != t; prev = prev->next)
			VDO_ASSERT(prev->next != NULL);
		prev->next = t->next;
	}
	if (ts->last == t)
		ts->last = prev;
	t->armed = false;
	return true;
}

struct timer *timers_take(struct timers *ts, uint64_t now_ns)
{
	struct timer *t = ts->first;

	if (t == NULL || t->deadline_ns > now_ns)
		return NULL;
	VDO_ASSERT(t->armed);
	VDO_ASSERT(t->next == NULL || t->next->deadline_ns >= t->deadline_ns);
	ts->first = t->next;
	t->armed = false;
	return t;
}

void timers_fire(struct timers *ts)
{
	struct timer *t;
	uint64_t now;

	if (likely(ts->first == NULL))
		return;
	now = clock_ns();
	while ((t = timers_take(ts, now)) != NULL)
		completion_post(&t->done);
}
