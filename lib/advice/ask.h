/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions of the hash zones to the index, which may take too long (E 8).
 *
 * A question outlives whoever asked it and gave up, so it is memory of the zone
 * and in use until the index has answered. If all are in use, no question is
 * asked, and nothing is known.
 *
 * Invariants
 *  (1) Whoever asks hears exactly once: the answer or, after ASK_TIMEOUT_NS,
 *      that nothing is known.
 *  (2) At most asks_max questions of a zone are out.
 *
 * Runs on: each zone on its queue; asks_drain() anywhere.
 * Lifetime: asks_create() to asks_destroy(), drained before.
 */
#ifndef ADVICE_ASK_H
#define ADVICE_ASK_H

#include "advice/advice.h"

#define ASK_TIMEOUT_NS	    UINT64_C(5000000000)
#define ASK_TIMER_MIN_NS    UINT64_C(100000000)
#define ASK_VERSION	    2 /* byte 0 of what is remembered (X 11) */

struct asks;

int asks_create(struct index *index, unsigned zone_count, struct queue **queues,
		bool local, unsigned asks_max, struct asks **asks) MUST_CHECK;
void asks_destroy(struct asks *a);

/* Returns true if the question is over at once; done is not run then. */
bool asks_start(struct asks *a, unsigned zone, struct advice_op *op) MUST_CHECK;

/* Finish @done when no question is out and no timer runs. Nobody may ask any
 * more. */
void asks_drain(struct asks *a, struct completion *done);

/* Any thread: how many questions were given up, or not asked. */
uint64_t asks_timeouts(const struct asks *a);

#endif
