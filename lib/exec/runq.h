/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run queue of whoever runs completions: an inbox for everybody and a run
 * list for its one runner.
 *
 * The runner moves what came in to the end of the list, a bounded number at a
 * time, and runs a bounded number from its head, so neither the others nor its
 * own posts can starve.
 *
 * Runs on: any thread puts into the inbox; the runner alone does the rest.
 * Lifetime: part of an executor.
 */
#ifndef EXEC_RUNQ_H
#define EXEC_RUNQ_H

#include <stdint.h>

#include "exec/executor.h"
#include "exec/turn.h"

/* How many completions are taken in or run before looking at other things. */
#define RUN_BATCH 64

struct runq {
	struct mpsc inbox;	 /* any thread puts, the runner polls */
	struct mpsc_node *first; /* the rest is the runner's */
	struct mpsc_node *last;
	uint64_t ran; /* how many ever, each counted before it runs */
	struct turn turn;
};

static inline void runq_init(struct runq *r)
{
	mpsc_init(&r->inbox);
	r->first = NULL;
	r->last = NULL;
	r->ran = 0;
	turn_init(&r->turn);
}

/* The runner only. */
static inline void runq_push(struct runq *r, struct mpsc_node *n)
{
	VDO_CHECK(r->first == NULL || r->last != n);
	atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
	if (r->first == NULL)
		r->first = n;
	else
		atomic_store_explicit(&r->last->next, n, memory_order_relaxed);
	r->last = n;
}

/* The runner only: all that are linked from @first to @last. */
static inline void runq_push_all(struct runq *r, struct mpsc_node *first,
				 struct mpsc_node *last)
{
	VDO_CHECK(r->first == NULL || r->last != last);
	if (r->first == NULL)
		r->first = first;
	else
		atomic_store_explicit(&r->last->next, first,
				      memory_order_relaxed);
	r->last = last;
}

/* The runner only; NULL if there is none. */
static inline struct completion *runq_pop(struct runq *r)
{
	struct mpsc_node *n = r->first;

	if (n == NULL)
		return NULL;
	r->first = atomic_load_explicit(&n->next, memory_order_relaxed);
	return container_of(n, struct completion, link);
}

/* Nothing here, and no put begun; see mpsc_empty(). */
static inline bool runq_empty(const struct runq *r)
{
	return r->first == NULL && mpsc_empty(&r->inbox);
}

/* The runner only: take in up to @max; returns how many came. */
unsigned runq_take_in(struct runq *r, size_t max);

/* Take in and run one batch on the targets; returns how many ran. If none did,
 * the turn is over. */
unsigned runq_run(struct runq *r);

/* The same for whoever runs for a while only: each that runs lowers *left, and
 * may set it to 0; none runs then. The turn may be open when this returns. */
unsigned runq_run_some(struct runq *r, unsigned *left);

#endif
