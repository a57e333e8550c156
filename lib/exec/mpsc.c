/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Polling. The stub is put in again whenever the last node is to go, since a
 * node that is newest cannot be given away: a producer would write its next.
 */
#include "build.h"

#include "exec/mpsc.h"

#include "base/assert.h"

static struct mpsc_node *next_of(struct mpsc_node *n)
{
	return atomic_load_explicit(&n->next, memory_order_acquire);
}

struct mpsc_node *mpsc_poll(struct mpsc *q)
{
	struct mpsc_node *n = q->oldest;
	struct mpsc_node *next = next_of(n);

	if (n == &q->stub) {
		if (next == NULL)
			return NULL;
		q->oldest = next;
		n = next;
		next = next_of(n);
	}
	if (next == NULL) {
		/* The last one goes only when the stub stands after it. */
		if (atomic_load_explicit(&q->newest, memory_order_acquire) != n)
			return NULL;
		mpsc_put(q, &q->stub);
		next = next_of(n);
		if (next == NULL)
			return NULL;
	}
	VDO_ASSERT(n != &q->stub);
	q->oldest = next;
	return n;
}
