/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue that a test runs by hand: what is posted stays until it is told to
 * run, one thread, no executor.
 */
#ifndef TESTS_HAND_QUEUE_H
#define TESTS_HAND_QUEUE_H

#include "exec/executor.h"

struct hand_queue {
	struct queue queue;
	struct completion *posted[4096]; /* a ring; more is a bug */
	unsigned first, count;
};

static void hand_post(struct queue *q, struct completion *c)
{
	struct hand_queue *h = container_of(q, struct hand_queue, queue);

	VDO_ASSERT(h->count < ARRAY_SIZE(h->posted));
	h->posted[(h->first + h->count++) % ARRAY_SIZE(h->posted)] = c;
}

/* The test itself runs on @h from here on. */
static inline void hand_init(struct hand_queue *h)
{
	*h = (struct hand_queue){.queue = {.post = hand_post, .name = "hand"}};
	queue_running = &h->queue;
}

/* Run the oldest; false if there is none. */
static inline bool hand_run_one(struct hand_queue *h)
{
	struct completion *c = h->posted[h->first];

	if (h->count == 0)
		return false;
	h->first = (h->first + 1) % ARRAY_SIZE(h->posted);
	h->count--;
	c->fn(c);
	return true;
}

static inline void hand_run(struct hand_queue *h)
{
	while (hand_run_one(h))
		;
}

#endif
