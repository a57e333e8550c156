/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A question of a zone:
 *
 *	free --[asks_start]--> out --[answered]--> free
 *	                        |
 *	                        | [expire]: who asked goes on
 *	                        v
 *	                    abandoned --[answered]--> free
 *
 * Questions that are out are in the order in which they were asked, so the
 * timer looks at the first only. It runs only while there are any: what the
 * index answers at once, which is nearly everything, never needs it.
 */
#include "build.h"

#include "advice/ask.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/counter.h"
#include "base/list.h"
#include "exec/executor.h"
#include "exec/fanout.h"
#include "exec/gate.h"

struct ask {
	struct index_op op;
	struct ask_zone *zone;
	struct advice_op *asker; /* NULL: gave up, or free */
	struct list_node link;	 /* out, in order */
	struct ask *next_free;
	uint64_t deadline_ns;
};

struct ask_zone {
	_Alignas(CACHE_LINE) struct asks *asks;
	struct queue *queue;
	struct ask *free;
	struct ask *all;
	unsigned used, count; /* of all: that ever were, that can be */
	struct list_node out;
	struct timer timer;
	bool ticking;
	struct gate gate; /* questions out, and the timer */
	counter_t timeouts;
	struct completion drained;
};

struct asks {
	struct index *index;
	bool local; /* hash zone n and index zone n share a queue and names */
	unsigned zone_count;
	struct ask_zone *zones;
	struct fanout fanout;
	struct fanout_part *parts; /* one a zone */
};

static const enum index_request requests[] = {
	[ADVICE_POST] = INDEX_POST,
	[ADVICE_QUERY] = INDEX_QUERY,
	[ADVICE_UPDATE] = INDEX_UPDATE,
};

/* ------------------------------------------------------------------ answers */

static void location_encode(uint8_t *data, struct mapping m)
{
	VDO_CHECK(m.pbn < PHYSICAL_BLOCKS_MAX);
	memset(data, 0, INDEX_DATA_SIZE);
	data[0] = ASK_VERSION;
	data[1] = m.state;
	put_u64(data + 2, m.pbn);
}

static struct mapping location_decode(const uint8_t *data)
{
	return (struct mapping){
		.state = data[1],
		.pbn = get_u64(data + 2),
	};
}

/* Tell what the index said. Others judge whether the location is any good. */
static void answer(struct advice_op *op, const struct index_op *from)
{
	VDO_CHECK(op->request <= ADVICE_UPDATE);
	op->found = from->done.result == 0 && from->found;
	if (!op->found || op->request == ADVICE_UPDATE)
		return;
	if (likely(from->data[0] == ASK_VERSION))
		op->location = location_decode(from->data);
	else
		completion_fail(&op->done, -VDO_EVERSION);
}

static void release(struct ask *ask)
{
	VDO_ASSERT(ask->asker == NULL);
	ask->next_free = ask->zone->free;
	ask->zone->free = ask;
}

/* The index has answered. */
static void answered(struct completion *c)
{
	struct ask *ask = container_of(c, struct ask, op.done);
	struct ask_zone *z = ask->zone;

	VDO_ASSERT(queue_is_current(z->queue));
	if (ask->asker != NULL) {
		list_remove(&ask->link);
		answer(ask->asker, &ask->op);
		completion_post(&ask->asker->done);
		ask->asker = NULL;
	}
	release(ask);
	gate_leave(&z->gate);
}

/* ----------------------------------------------------------------- timeouts */

static struct ask *oldest(struct ask_zone *z)
{
	return list_empty(&z->out)
		       ? NULL
		       : list_entry(z->out.next, struct ask, link);
}

static void arm(struct ask_zone *z, uint64_t deadline_ns)
{
	struct executor *x = z->queue->executor;

	VDO_ASSERT(!z->ticking);
	z->ticking = true;
	gate_enter(&z->gate);
	z->timer.deadline_ns = deadline_ns;
	x->ops->timer_arm(x, &z->timer);
}

/* Whoever has waited for too long goes on without an answer. */
static void expire(struct completion *c)
{
	struct ask_zone *z = container_of(c, struct ask_zone, timer.done);
	uint64_t now = executor_now(z->queue->executor);
	struct ask *ask;

	VDO_ASSERT(z->ticking && queue_is_current(z->queue));
	z->ticking = false;
	while ((ask = oldest(z)) != NULL && ask->deadline_ns <= now) {
		list_remove(&ask->link);
		ask->asker->found = false;
		completion_post(&ask->asker->done);
		ask->asker = NULL;
		counter_inc(&z->timeouts);
	}
	if (ask != NULL && !gate_closed(&z->gate))
		arm(z, MAX(ask->deadline_ns, now + ASK_TIMER_MIN_NS));
	gate_leave(&z->gate);
}

static void wait_for_answer(struct ask_zone *z, struct ask *ask)
{
	VDO_ASSERT(ask->asker != NULL);
	ask->deadline_ns = executor_now(z->queue->executor) + ASK_TIMEOUT_NS;
	list_push_back(&z->out, &ask->link);
	if (!z->ticking)
		arm(z, ask->deadline_ns);
}

/* ------------------------------------------------------------------- asking */

static bool start(struct asks *a, struct index_op *op)
{
	if (a->local)
		return index_serve(a->index, op);
	index_start(a->index, op);
	return false;
}

/* The one that was freed last is the next to be used, so that few of them are in
 * use and these stay in cache; those that never were are no memory. NULL: all are
 * in use. */
static struct ask *next_ask(struct ask_zone *z)
{
	struct ask *ask = z->free;

	VDO_ASSERT(z->used <= z->count);
	if (ask != NULL || z->used == z->count)
		return ask;
	ask = &z->all[z->used++];
	ask->zone = z;
	completion_init(&ask->op.done, z->queue, answered);
	release(ask);
	return ask;
}

bool asks_start(struct asks *a, unsigned zone, struct advice_op *op)
{
	struct ask_zone *z = &a->zones[zone];
	struct ask *ask = next_ask(z);

	VDO_ASSERT(zone < a->zone_count && queue_is_current(z->queue));
	op->found = false;
	if (unlikely(ask == NULL)) {
		counter_inc(&z->timeouts);
		return true;
	}
	ask->op.done.result = 0;
	ask->op.request = requests[op->request];
	ask->op.name = *op->name;
	if (op->request != ADVICE_QUERY)
		location_encode(ask->op.data, op->location);
	if (start(a, &ask->op)) {
		answer(op, &ask->op);
		return true;
	}
	z->free = ask->next_free;
	ask->asker = op;
	gate_enter(&z->gate);
	wait_for_answer(z, ask);
	return false;
}

/* ----------------------------------------------------------------- draining */

static struct fanout_part *part_of(struct ask_zone *z)
{
	VDO_ASSERT(z >= z->asks->zones &&
		   z < z->asks->zones + z->asks->zone_count);
	return &z->asks->parts[z - z->asks->zones];
}

static void zone_drained(struct completion *c)
{
	struct ask_zone *z = container_of(c, struct ask_zone, drained);

	VDO_ASSERT(list_empty(&z->out));
	fanout_part_done(part_of(z), 0);
}

static void drain_zone(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct asks *a = container_of(part->fanout, struct asks, fanout);
	struct ask_zone *z = &a->zones[part->number];
	struct executor *x = z->queue->executor;

	VDO_ASSERT(queue_is_current(z->queue));
	if (z->ticking && x->ops->timer_disarm(x, &z->timer)) {
		z->ticking = false;
		gate_leave(&z->gate);
	}
	completion_init(&z->drained, z->queue, zone_drained);
	gate_close(&z->gate, &z->drained);
}

void asks_drain(struct asks *a, struct completion *done)
{
	VDO_ASSERT(done != NULL);
	fanout_zones(&a->fanout, a->parts, a->zones, a->zone_count, drain_zone,
		     done);
}

/* --------------------------------------------------------------------- life */

static int ask_zone_init(struct ask_zone *z, struct asks *a,
			 struct queue *queue, unsigned asks_max)
{
	VDO_ASSERT(asks_max > 0);
	z->asks = a;
	z->queue = queue;
	list_init(&z->out);
	gate_init(&z->gate);
	completion_init(&z->timer.done, queue, expire);
	z->count = asks_max;
	z->all = alloc_spare(CACHE_LINE, asks_max, sizeof(*z->all));
	return z->all == NULL ? -ENOMEM : 0;
}

int asks_create(struct index *index, unsigned zone_count, struct queue **queues,
		bool local, unsigned asks_max, struct asks **asks)
{
	struct asks *a = alloc_zeroed(1, sizeof(*a));

	VDO_ASSERT(zone_count >= 1 && zone_count <= HASH_ZONES_MAX);
	if (a == NULL)
		return -ENOMEM;
	a->index = index;
	a->local = local;
	a->zone_count = zone_count;
	a->zones = alloc_aligned(CACHE_LINE, zone_count,
				 sizeof(struct ask_zone));
	a->parts = alloc_zeroed(zone_count, sizeof(*a->parts));
	if (a->zones == NULL || a->parts == NULL)
		goto fail;
	for (unsigned i = 0; i < zone_count; i++)
		if (ask_zone_init(&a->zones[i], a, queues[i], asks_max) != 0)
			goto fail;
	*asks = a;
	return 0;
fail:
	asks_destroy(a);
	return -ENOMEM;
}

void asks_destroy(struct asks *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; a->zones != NULL && i < a->zone_count; i++)
		alloc_free(a->zones[i].all);
	alloc_free(a->zones);
	alloc_free(a->parts);
	alloc_free(a);
}

uint64_t asks_timeouts(const struct asks *a)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < a->zone_count; i++)
		n += counter_get(&a->zones[i].timeouts);
	return n;
}
