/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zones to queues.
 *
 * shard     one queue a thread; queue i runs logical, physical, hash and index
 *           zone i, so that most hops of a request stay on their queue. The
 *           journal is on the first, the packer on the last.
 * classic   a queue for each zone, one for the journal, one for the packer.
 *
 * What of the index is no zone has a queue of its own, on the last thread: it
 * takes its time now and then, and others are to get their turns in between.
 *
 * Zone counts may be set one by one; zone i of a kind then goes to queue i
 * modulo the number of queues (shard). There are never more physical zones than
 * slabs.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "exec/system.h"

/* More threads are made only if somebody asks for them. */
#define DEFAULT_THREADS_MAX 64

static unsigned or_default(unsigned wanted, unsigned by_default, unsigned max)
{
	unsigned n = wanted != 0 ? wanted : by_default;

	VDO_ASSERT(max > 0);
	return MIN(n, max);
}

unsigned volume_thread_count(const struct settings *s)
{
	const struct open_settings *o = &s->open;
	unsigned index;

	if (o->threads != 0)
		return o->threads;
	if (o->topology == TOPOLOGY_SHARD)
		return MIN(system_cores(), DEFAULT_THREADS_MAX);
	index = o->index == INDEX_MEMORY
			? 0
			: 1 + or_default(o->index_zones, 1, INDEX_ZONES_MAX);
	return 2 + index +
	       or_default(o->logical_zones, 1, LOGICAL_ZONES_MAX) +
	       or_default(o->physical_zones, 1, PHYSICAL_ZONES_MAX) +
	       or_default(o->hash_zones, 1, HASH_ZONES_MAX);
}

static int add_queue_on(struct topology *t, struct executor *x,
			unsigned thread, const char *kind, unsigned number,
			struct queue **queue)
{
	char name[16];
	int result;

	snprintf(name, sizeof(name), "%s%u", kind, number % 1000);
	result = executor_queue(x, name, thread, queue);
	if (result != 0)
		return result;
	VDO_ASSERT(t->queues[t->queue_count] == NULL);
	(*queue)->number = t->queue_count;
	t->queues[t->queue_count++] = *queue;
	return 0;
}

/* Add a queue, each on the next thread. */
static int add_queue(struct topology *t, struct executor *x, const char *kind,
		     unsigned number, struct queue **queue)
{
	return add_queue_on(t, x, t->queue_count, kind, number, queue);
}

static int create_shards(struct topology *t, struct executor *x,
			 unsigned count)
{
	struct queue *q;
	unsigned i;
	int result;

	VDO_ASSERT(count > 0);
	for (i = 0; i < count; i++) {
		result = add_queue(t, x, "shard", i, &q);
		if (result != 0)
			return result;
	}
	VDO_ASSERT(t->queue_count == count);
	for (i = 0; i < t->logical_zones; i++)
		t->logical[i] = t->queues[i % count];
	for (i = 0; i < t->physical_zones; i++)
		t->physical[i] = t->queues[i % count];
	for (i = 0; i < t->hash_zones; i++)
		t->hash[i] = t->queues[i % count];
	for (i = 0; i < t->index_zones; i++)
		t->index_zone[i] = t->queues[i % count];
	t->journal = t->queues[0];
	t->packer = t->queues[count - 1];
	return t->index_zones == 0 ? 0
				   : add_queue_on(t, x, count - 1, "main", 0,
						  &t->index);
}

static int create_classic(struct topology *t, struct executor *x)
{
	int result = add_queue(t, x, "journal", 0, &t->journal);
	unsigned i;

	if (result == 0)
		result = add_queue(t, x, "packer", 0, &t->packer);
	for (i = 0; result == 0 && i < t->logical_zones; i++)
		result = add_queue(t, x, "logical", i, &t->logical[i]);
	for (i = 0; result == 0 && i < t->physical_zones; i++)
		result = add_queue(t, x, "physical", i, &t->physical[i]);
	for (i = 0; result == 0 && i < t->hash_zones; i++)
		result = add_queue(t, x, "hash", i, &t->hash[i]);
	for (i = 0; result == 0 && i < t->index_zones; i++)
		result = add_queue(t, x, "index", i, &t->index_zone[i]);
	if (result == 0 && t->index_zones > 0)
		result = add_queue(t, x, "main", 0, &t->index);
	VDO_ASSERT(result != 0 ||
		   t->queue_count == 2 + t->logical_zones + t->physical_zones +
					     t->hash_zones + t->index_zones +
					     (t->index_zones > 0));
	return result;
}

int topology_create(struct topology *t, struct executor *x,
		    const struct open_settings *s, uint64_t slab_count,
		    bool has_index)
{
	bool shards = s->topology == TOPOLOGY_SHARD;
	unsigned count = MAX(x->thread_count, 1);
	unsigned zones, i;

	VDO_ASSERT(t->queues == NULL && slab_count > 0);
	/* More queues than threads gain nothing, fewer leave threads idle. */
	if (s->executor_width != 0)
		count = s->executor_width;
	else if (s->threads != 0 && s->executor != EXECUTOR_NATIVE)
		count = s->threads;
	zones = shards ? count : 1;
	t->logical_zones = or_default(s->logical_zones, zones,
				      LOGICAL_ZONES_MAX);
	t->physical_zones = or_default(s->physical_zones, zones,
				       (unsigned)MIN(PHYSICAL_ZONES_MAX,
						     slab_count));
	t->hash_zones = or_default(s->hash_zones, zones, HASH_ZONES_MAX);
	VDO_ASSERT(t->logical_zones > 0 && t->physical_zones > 0);
	VDO_ASSERT(t->hash_zones > 0);
	if (has_index)
		t->index_zones = or_default(s->index_zones, zones,
					    INDEX_ZONES_MAX);
	i = t->logical_zones + t->physical_zones + t->hash_zones +
	    t->index_zones;
	t->queues = alloc_zeroed(i + 3 + (shards ? count : i),
				 sizeof(struct queue *));
	if (t->queues == NULL)
		return -ENOMEM;
	t->logical = t->queues + 3 + (shards ? count : i);
	t->physical = t->logical + t->logical_zones;
	t->hash = t->physical + t->physical_zones;
	t->index_zone = t->hash + t->hash_zones;
	return shards ? create_shards(t, x, count) : create_classic(t, x);
}

void topology_destroy(struct topology *t)
{
	alloc_free(t->queues); /* the queues are the executor's */
	t->queues = NULL;
}
