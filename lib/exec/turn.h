/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: the completions that a runner of queues runs one after another.
 *
 * Who starts something that costs less together with what else the same turn
 * starts puts it off until the end of the turn. A turn ends when nothing is left
 * to run, or after about TURN_MAX completions; so what is alone waits for
 * nothing, and what is among many not for long.
 *
 *	nothing put off --[turn_open]--> open --[turn_close]--> nothing put off
 *
 * Invariants
 *  (1) A runner never sleeps or ends while its turn is open. If somebody else
 *      goes on with its queues, then with the turn, too.
 *  (2) close() runs on the queue that opened the turn. It may put off more.
 *
 * Runs on: the runner's thread. Lifetime: the runner's.
 */
#ifndef EXEC_TURN_H
#define EXEC_TURN_H

#include <stddef.h>

#include "exec/executor.h"

/* As many completions may run while something waits for the end. */
#define TURN_MAX 512u

struct turn {
	void (*close)(struct turn *t); /* NULL: nothing was put off */
	struct queue *queue;
	unsigned ran; /* since it was opened, about */
	/* Of whoever opened it: */
	void *first;
	void *last;
	unsigned count;
};

static inline void turn_init(struct turn *t)
{
	t->close = NULL;
	t->first = NULL;
}

static inline bool turn_is_open(const struct turn *t)
{
	return t->close != NULL;
}

/* Have @close called at the end. On the queue whose turn it is. */
static inline void turn_open(struct turn *t, void (*close)(struct turn *t))
{
	VDO_CHECK(t->close == NULL && queue_running->turn == t);
	t->close = close;
	t->queue = queue_running;
	t->ran = 0;
}

/* For runners, outside of queues: the turn is over. */
static inline void turn_close(struct turn *t)
{
	struct queue *outer = queue_running;
	void (*close)(struct turn *t) = t->close;

	if (likely(close == NULL))
		return;
	t->close = NULL;
	queue_running = t->queue;
	close(t);
	queue_running = outer;
}

#endif
