/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FIFO of waiting operations; intrusive, one owner.
 *
 * Trap: "wake all" must detach the list first (waitq_take_all()), otherwise an
 * operation that waits again is woken again, for ever.
 */
#ifndef EXEC_WAITQ_H
#define EXEC_WAITQ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct waiter {
	struct waiter *next;
};

struct waitq {
	struct waiter *first;
	struct waiter **last; /* the next pointer of the last, or &first */
	size_t count;
};

static inline void waitq_init(struct waitq *q)
{
	q->first = NULL;
	q->last = &q->first;
	q->count = 0;
}

static inline bool waitq_empty(const struct waitq *q)
{
	VDO_CHECK((q->first == NULL) == (q->count == 0));
	return q->first == NULL;
}

static inline void waitq_push(struct waitq *q, struct waiter *w)
{
	VDO_CHECK((q->count == 0) == (q->last == &q->first));
	w->next = NULL;
	*q->last = w;
	q->last = &w->next;
	q->count++;
}

/* Have @w be the next. */
static inline void waitq_push_front(struct waitq *q, struct waiter *w)
{
	VDO_CHECK((q->count == 0) == (q->last == &q->first));
	w->next = q->first;
	if (q->first == NULL)
		q->last = &w->next;
	q->first = w;
	q->count++;
}

static inline struct waiter *waitq_pop(struct waitq *q)
{
	struct waiter *w = q->first;

	if (w == NULL)
		return NULL;
	VDO_CHECK(q->count > 0);
	q->first = w->next;
	if (q->first == NULL)
		q->last = &q->first;
	q->count--;
	return w;
}

/* Move all of @from to the end of @to. */
static inline void waitq_splice(struct waitq *to, struct waitq *from)
{
	VDO_CHECK(to != from);
	if (from->first == NULL)
		return;
	*to->last = from->first;
	to->last = from->last;
	to->count += from->count;
	waitq_init(from);
}

/* Detach all: @taken gets them, @q is empty afterwards. */
static inline void waitq_take_all(struct waitq *q, struct waitq *taken)
{
	VDO_CHECK(taken != q);
	waitq_init(taken);
	waitq_splice(taken, q);
}

#endif
