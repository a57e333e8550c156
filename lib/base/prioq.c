/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each priority has a FIFO list and a bit, which is set while the list has
 * nodes: the highest is found by counting leading zeroes.
 */
#include "build.h"

#include "base/prioq.h"

#include "base/assert.h"
#include "base/bytes.h"

static inline uint64_t bit_of(unsigned priority)
{
	VDO_ASSERT(priority < PRIOQ_LEVELS);
	return UINT64_C(1) << priority;
}

void prioq_init(struct prioq *q)
{
	q->used = 0;
	for (unsigned i = 0; i < PRIOQ_LEVELS; i++)
		list_init(&q->lists[i]);
}

void prioq_node_init(struct prioq_node *n)
{
	list_init(&n->link);
	n->priority = 0;
}

void prioq_put(struct prioq *q, struct prioq_node *n, unsigned priority)
{
	VDO_ASSERT(list_empty(&n->link));
	VDO_CHECK(list_empty(&q->lists[priority]) ==
		  ((q->used & bit_of(priority)) == 0));
	n->priority = priority;
	list_push_back(&q->lists[priority], &n->link);
	q->used |= bit_of(priority);
}

void prioq_put_first(struct prioq *q, struct prioq_node *n, unsigned priority)
{
	VDO_ASSERT(list_empty(&n->link));
	n->priority = priority;
	list_push_front(&q->lists[priority], &n->link);
	q->used |= bit_of(priority);
}

struct prioq_node *prioq_best(const struct prioq *q, unsigned limit)
{
	uint64_t used = q->used;

	VDO_CHECK(limit <= PRIOQ_LEVELS);
	if (limit < PRIOQ_LEVELS)
		used &= bit_of(limit) - 1;
	if (used == 0)
		return NULL;
	VDO_ASSERT(!list_empty(&q->lists[log2_floor(used)]));
	return list_entry(q->lists[log2_floor(used)].next, struct prioq_node,
			  link);
}

void prioq_remove(struct prioq *q, struct prioq_node *n)
{
	if (list_empty(&n->link))
		return;
	VDO_ASSERT(q->used & bit_of(n->priority));
	VDO_CHECK(!list_empty(&q->lists[n->priority]));
	list_remove(&n->link);
	if (list_empty(&q->lists[n->priority]))
		q->used &= ~bit_of(n->priority);
}
