/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers by deadline; equal deadlines in the order of arming.
 *
 * Long lists are expected to be armed in about the order of their deadlines:
 * then arming and disarming are cheap.
 *
 * Runs on: whoever owns the list; no locks. Lifetime: part of an executor.
 */
#ifndef EXEC_TIMERS_H
#define EXEC_TIMERS_H

#include <stddef.h>

#include "exec/clock.h"
#include "exec/executor.h"

struct timers {
	struct timer *first;
	struct timer *last;
};

void timers_add(struct timers *ts, struct timer *t);

/* False if @t is not armed. */
bool timers_remove(struct timers *ts, struct timer *t);

/* Take the first timer if its time has come at @now_ns. */
struct timer *timers_take(struct timers *ts, uint64_t now_ns);

/* Post all whose time has come. */
void timers_fire(struct timers *ts);

/* The earliest deadline, or NO_TIMEOUT. */
static inline uint64_t timers_next(const struct timers *ts)
{
	return ts->first == NULL ? NO_TIMEOUT : ts->first->deadline_ns;
}

#endif
