/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making and dropping the path: its zones, requests and buffers.
 */
#include "build.h"

#include "path/path_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "io/device.h"

/* Two blocks for each request. */
static size_t buffer_bytes(const struct path *p)
{
	return 2 * (size_t)p->config.requests * BLOCK_SIZE;
}

static int make_requests(struct path *p)
{
	unsigned count = p->config.requests, depth = p->config.depth;
	unsigned i;

	p->requests = alloc_spare(CACHE_LINE, count, sizeof(*p->requests));
	p->buffers = alloc_table(buffer_bytes(p));
	if (p->requests == NULL || p->buffers == NULL ||
	    freelist_init(&p->free_requests, count, depth) != 0 ||
	    freelist_init(&p->spare_requests, count, 0) != 0)
		return -ENOMEM;
	for (i = count; i > depth; i--)
		freelist_push(&p->spare_requests, i - 1);
	return 0;
}

void request_init(struct path *p, uint32_t number)
{
	struct request *r = &p->requests[number];

	VDO_ASSERT(r->path == NULL && number < p->config.requests);
	r->path = p;
	r->number = number;
	flow_init(&r->flow, NULL);
	r->flow.queues[ON_PACKER] = p->config.packer_queue;
	r->flow.queues[ON_JOURNAL] = p->config.journal_queue;
	r->data = (uint8_t *)p->buffers + 2 * (size_t)number * BLOCK_SIZE;
	r->block = r->data + BLOCK_SIZE;
	r->pack.block = r->block;
	r->dedupe.data = r->data;
#ifdef VDO_DEBUG
	request_init_stages(r);
#endif
}

static int make_zone(struct path *p, unsigned n)
{
	struct logical_zone *z = &p->zones[n];
	unsigned chains = 64;

	z->path = p;
	z->queue = p->config.logical_queues[n];
	VDO_ASSERT(z->queue != NULL);
	z->number = n;
	arrivals_init(z);
	z->alloc_zone = n % depot_zone_count(p->config.depot);
	while (chains < 2 * p->config.requests)
		chains *= 2;
	z->locks_mask = chains - 1;
	z->locks = alloc_spare(CACHE_LINE, chains, sizeof(struct request *));
	return z->locks == NULL ? -ENOMEM : 0;
}

static int make_compressors(struct path *p)
{
	unsigned i;

	p->compressors = alloc_zeroed(p->config.hash_zones,
				      sizeof(struct compressor *));
	for (i = 0; p->compressors != NULL && i < p->config.hash_zones; i++) {
		p->compressors[i] = compressor_create();
		if (p->compressors[i] == NULL)
			return -ENOMEM;
	}
	return p->compressors == NULL ? -ENOMEM : 0;
}

/* The queues of the logical zones, then those of the hash zones. */
static int copy_queues(struct path *p, unsigned hash_zones)
{
	struct path_config *c = &p->config;
	struct queue **q = alloc_zeroed(p->zone_count + hash_zones, sizeof(*q));

	VDO_ASSERT(p->queues == NULL);
	if (q == NULL)
		return -ENOMEM;
	memcpy(q, c->logical_queues, p->zone_count * sizeof(*q));
	memcpy(q + p->zone_count, c->hash_queues, hash_zones * sizeof(*q));
	p->queues = q;
	c->logical_queues = q;
	c->hash_queues = q + p->zone_count;
	return 0;
}

int path_create(const struct path_config *c, struct path **path)
{
	struct path *p = alloc_aligned(CACHE_LINE, 1, sizeof(*p));
	unsigned i;

	VDO_ASSERT(c->depth > 0 && c->requests >= c->depth);
	VDO_ASSERT(c->logical_zones > 0 && c->hash_zones > 0);
	VDO_ASSERT(c->journal_queue != NULL && c->packer_queue != NULL);
	VDO_ASSERT(c->front != NULL);
	if (p == NULL)
		return -ENOMEM;
	p->config = *c;
	p->zone_count = c->logical_zones;
	atomic_init(&p->deduplication, c->deduplication);
	atomic_init(&p->closing, false);
	atomic_init(&p->full, 0);
	p->zones = alloc_aligned(CACHE_LINE, p->zone_count, sizeof(*p->zones));
	if (p->zones == NULL || copy_queues(p, c->hash_zones) != 0 ||
	    make_requests(p) != 0 || make_compressors(p) != 0 ||
	    flush_init(p) != 0)
		goto fail;
	for (i = 0; i < p->zone_count; i++)
		if (make_zone(p, i) != 0)
			goto fail;
	*path = p;
	return 0;
fail:
	path_destroy(p);
	return -ENOMEM;
}

void path_destroy(struct path *p)
{
	unsigned i;

	if (p == NULL)
		return;
	for (i = 0; p->zones != NULL && i < p->zone_count; i++)
		alloc_free(p->zones[i].locks);
	for (i = 0; p->compressors != NULL && i < p->config.hash_zones; i++)
		compressor_destroy(p->compressors[i]);
	alloc_free(p->compressors);
	flush_fini(p);
	freelist_fini(&p->free_requests);
	freelist_fini(&p->spare_requests);
	alloc_free(p->queues);
	alloc_free(p->zones);
	alloc_free(p->requests);
	alloc_table_free(p->buffers, buffer_bytes(p));
	alloc_free(p);
}

void path_set_deduplication(struct path *p, bool on)
{
	atomic_store_explicit(&p->deduplication, on, memory_order_relaxed);
}

void path_end_ranges(struct path *p)
{
	atomic_store_explicit(&p->closing, true, memory_order_relaxed);
}

int path_lost_data(const struct path *p)
{
	return atomic_load(&p->full);
}

void path_note_error(struct path *p, int result)
{
	VDO_ASSERT(result < 0);
	if (result == -EIO && device_is_cut(p->config.storage->device))
		readonly_enter(p->config.readonly, result,
			       "data not read or written");
}

bool path_deduplication(const struct path *p)
{
	return atomic_load_explicit(&p->deduplication, memory_order_relaxed);
}

void path_get_stats(const struct path *p, struct path_stats *stats)
{
	unsigned i, k;

	memset(stats, 0, sizeof(*stats));
	for (i = 0; i < p->zone_count; i++) {
		const struct path_counters *z = &p->zones[i].stats;

		stats->reads += counter_get(&z->reads);
		stats->writes += counter_get(&z->writes);
		stats->discards += counter_get(&z->discards);
		stats->zeroes += counter_get(&z->zeroes);
		stats->copies += counter_get(&z->copies);
		stats->copies_same += counter_get(&z->copies_same);
		stats->copies_written += counter_get(&z->copies_written);
		stats->partial += counter_get(&z->partial);
		stats->fua += counter_get(&z->fua);
		stats->incompressible += counter_get(&z->incompressible);
		stats->packed_alone += counter_get(&z->packed_alone);
		stats->no_space += counter_get(&z->no_space);
		stats->read_only_errors += counter_get(&z->read_only_errors);
		for (k = 0; k < FATES; k++)
			stats->fates[k] += counter_get(&z->fates[k]);
	}
	stats->flushes = counter_get(&p->flusher.count);
	stats->in_progress =
		MIN(front_holds(p->config.front), p->config.requests);
	stats->in_progress_max =
		MIN(front_holds_max(p->config.front), p->config.requests);
	/* What has not begun is in progress, but not counted by kind yet. */
	stats->acknowledged = stats->reads + stats->writes + stats->discards +
			      stats->zeroes + stats->copies + stats->copies_same;
	stats->acknowledged -= MIN(stats->in_progress, stats->acknowledged);
}
