/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive queue for many producers and one consumer, nearly lock-free.
 *
 * A singly linked list from oldest to newest. Producers share one pointer,
 * newest; the consumer owns oldest. A stub node keeps both non-null, so a put
 * is one atomic exchange and one store.
 *
 * Synchronisation
 *  - put: the exchange is seq_cst. Release orders the node's content and its
 *    next = NULL before anybody can find it; acquire orders us after the
 *    producer before us, whose next we write afterwards; and the total order
 *    decides, without a fence, the race of "put, then look whether the
 *    consumer sleeps" against "say that I sleep, then mpsc_empty()".
 *  - put: the store of prev->next is release; poll's load of next is acquire:
 *    together they publish the node's content to the consumer.
 *  - A producer stopped between exchange and store hides all later nodes: poll
 *    says "empty" although nodes are there. They show up when that producer
 *    goes on. So "empty" is no proof of quiescence; sleeping protocols must
 *    have the producer wake the consumer after its store.
 *
 * FIFO per producer. A node may be reused as soon as poll returned it. The
 * rules are Q4 to Q6; doc/models/mpsc.pml shows what each of them is for.
 */
#ifndef EXEC_MPSC_H
#define EXEC_MPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/compiler.h"

struct mpsc_node {
	_Atomic(struct mpsc_node *) next;
};

struct mpsc {
	_Alignas(CACHE_LINE) _Atomic(struct mpsc_node *) newest;
	_Alignas(CACHE_LINE) struct mpsc_node *oldest; /* the consumer's */
	struct mpsc_node stub;
};

static inline void mpsc_init(struct mpsc *q)
{
	atomic_init(&q->stub.next, NULL);
	atomic_init(&q->newest, &q->stub);
	q->oldest = &q->stub;
}

/* Any thread. */
static inline void mpsc_put(struct mpsc *q, struct mpsc_node *n)
{
	struct mpsc_node *prev;

	atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
	prev = atomic_exchange_explicit(&q->newest, n, memory_order_seq_cst);
	VDO_CHECK(prev != n); /* it is in there already */
	atomic_store_explicit(&prev->next, n, memory_order_release);
}

/* Any thread: all nodes that are linked from @first to @last, in one step. */
static inline void mpsc_put_all(struct mpsc *q, struct mpsc_node *first,
				struct mpsc_node *last)
{
	struct mpsc_node *prev;

	VDO_CHECK(atomic_load_explicit(&last->next, memory_order_relaxed) ==
		  NULL);
	prev = atomic_exchange_explicit(&q->newest, last, memory_order_seq_cst);
	VDO_CHECK(prev != last);
	atomic_store_explicit(&prev->next, first, memory_order_release);
}

/* The consumer only: the oldest node, removed, or NULL. */
struct mpsc_node *mpsc_poll(struct mpsc *q);

/*
 * The consumer only: would mpsc_poll() find a node now? While a producer stands
 * in the middle of its put the answer is no, if that hides all others: who asks
 * again and again gives it time, and who goes to sleep is woken by it.
 */
static inline bool mpsc_ready(const struct mpsc *q)
{
	const struct mpsc_node *n = q->oldest;

	if (n == &q->stub)
		n = atomic_load_explicit(&n->next, memory_order_acquire);
	return n != NULL &&
	       (atomic_load_explicit(&n->next, memory_order_acquire) != NULL ||
		atomic_load_explicit(&q->newest, memory_order_acquire) == n);
}

/*
 * Any thread: of a queue that was empty, and that nobody polled since: has no
 * producer begun a put? Who gives its part of the consumer up asks this last.
 */
static inline bool mpsc_untouched(const struct mpsc *q)
{
	return atomic_load_explicit(&q->newest, memory_order_seq_cst) ==
	       &q->stub;
}

/*
 * The consumer only: true if no producer has begun a put whose node was not
 * polled. This, not mpsc_poll(), is the question to ask before sleeping.
 */
static inline bool mpsc_empty(const struct mpsc *q)
{
	return q->oldest == &q->stub && mpsc_untouched(q);
}

#endif
