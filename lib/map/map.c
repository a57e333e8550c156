/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block map as a whole: life, drains, statistics.
 *
 * A drain visits each zone:
 *
 *	[drain_zone] save: write all that is dirty --> gate closed
 *	     ^                                             | empty
 *	     '---- dirty again (a page was created) ---- [zone_drained] --> part
 *
 * The gate counts operations that wait and pages queued for or under I/O, so
 * it does not matter which of them ends last. In read-only mode pages stay
 * dirty; they are in no bucket then and do not keep the drain going.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* ------------------------------------------------------------------ life */

static void tail_arrived(struct completion *c);
static void drain_zone(struct completion *c);
static void zone_drained(struct completion *c);

static int map_zone_init(struct map *m, unsigned number,
			 const struct map_config *c)
{
	struct map_zone *z = &m->zones[number];
	int r;

	z->map = m;
	z->number = number;
	z->queue = c->queues[number];
	VDO_ASSERT(z->queue != NULL);
	gate_init(&z->gate);
	completion_init(&z->tail_moved, z->queue, tail_arrived);
	atomic_init(&z->tail_posted, false);
	leaves_init(z);
	r = tree_init(z);
	if (r == 0)
		r = create_init(z);
	if (r == 0)
		r = eras_init(z, c->journal_tail);
	if (r == 0)
		r = pageio_init(z);
	return r;
}

static void zone_fini(struct map_zone *z)
{
	pageio_fini(z);
	eras_fini(z);
	create_fini(z);
	tree_fini(z);
	leaves_fini(z);
}

int map_create(const struct map_config *c, struct map **map)
{
	struct map *m = alloc_zeroed(1, sizeof(*m));
	int r = -ENOMEM;

	VDO_ASSERT(c->zone_count > 0 && c->zone_count <= LOGICAL_ZONES_MAX);
	VDO_ASSERT(c->maximum_age > 0 && c->sb->root_count > 0);
	if (m == NULL)
		return r;
	m->zone_count = c->zone_count;
	m->journal_queue = c->journal_queue;
	m->storage = c->storage;
	m->sync = c->sync;
	m->readonly = c->readonly;
	m->journal = c->journal;
	m->depot = c->depot;
	m->slabs = depot_geometry(c->depot);
	m->nonce = c->sb->nonce;
	m->root_origin = c->sb->root_origin;
	m->maximum_age = c->maximum_age;
	if (c->log != NULL)
		m->log = *c->log;
	atomic_init(&m->tail, c->journal_tail);
	m->parts = alloc_zeroed(c->zone_count, sizeof(*m->parts));
	m->zones = alloc_aligned(CACHE_LINE, c->zone_count, sizeof(*m->zones));
	if (m->parts == NULL || m->zones == NULL)
		goto fail;
	r = forest_init(&m->forest, c->sb->logical_blocks,
			(unsigned)c->sb->root_count);
	for (unsigned i = 0; r == 0 && i < c->zone_count; i++)
		r = map_zone_init(m, i, c);
	if (r == 0 && c->cache_pages != 0)
		r = map_make_cache(m, c->cache_pages);
	if (r != 0)
		goto fail;
	*map = m;
	return 0;
fail:
	map_destroy(m);
	return r;
}

void map_destroy(struct map *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; m->zones != NULL && i < m->zone_count; i++)
		zone_fini(&m->zones[i]);
	map_drop_room(m);
	forest_fini(&m->forest);
	alloc_free(m->zones);
	alloc_free(m->parts);
	alloc_free(m);
}

int map_make_cache(struct map *m, uint64_t pages)
{
	int r = 0;

	VDO_ASSERT(pages > 0 && m->zone_count > 0);
	for (unsigned i = 0; r == 0 && i < m->zone_count; i++)
		r = leaves_make_cache(&m->zones[i], pages / m->zone_count);
	return r;
}

void map_get_memory(const struct map *m, struct map_memory *memory)
{
	const struct forest *f = &m->forest;
	uint64_t pages = 0;

	for (unsigned level = 1; level < MAP_LEVELS; level++)
		pages += f->page_count[level] * f->root_count;
	VDO_ASSERT(pages > 0);
	*memory = (struct map_memory){
		.growth = pages * alloc_bytes(16, 1, sizeof(struct tree_page)),
		/* Two or three slots of the table lead to it. */
		.cache_page = BLOCK_SIZE + sizeof(struct page) +
			      4 * sizeof(struct intmap_slot),
		.cache_more = m->zone_count * 2 * BLOCK_SIZE,
		.cache_least = m->zone_count * CACHE_PAGES_MIN,
		.leaves = div_up(f->logical_blocks, MAP_PAGE_ENTRIES),
	};
}

void map_set_overlay(struct map *m, const struct replay_table *t)
{
	VDO_ASSERT(m->overlay == NULL && t != NULL);
	m->overlay = t;
}

void map_restart(struct map *m, seq_t tail)
{
	VDO_ASSERT(tail >= atomic_load(&m->tail));
	atomic_store(&m->tail, tail);
	for (unsigned i = 0; i < m->zone_count; i++)
		eras_restart(&m->zones[i], tail);
}

unsigned map_tree_count(const struct map *m)
{
	VDO_ASSERT(m->forest.root_count <= ROOT_COUNT);
	return m->forest.root_count;
}

int map_make_room(struct map *m, uint64_t logical_blocks)
{
	VDO_ASSERT(m->larger.root_count == 0);
	return forest_init(&m->larger, logical_blocks, m->forest.root_count);
}

void map_grow(struct map *m)
{
	VDO_ASSERT(m->larger.root_count == m->forest.root_count);
	forest_grow(&m->forest, &m->larger);
}

void map_drop_room(struct map *m)
{
	if (m->larger.root_count != 0)
		forest_fini(&m->larger);
	memset(&m->larger, 0, sizeof(m->larger));
}

uint64_t map_leaf_count(const struct map *m)
{
	VDO_ASSERT(m->forest.root_count > 0);
	return m->forest.logical_blocks / MAP_PAGE_ENTRIES;
}

unsigned map_zone_of(const struct map *m, lbn_t lbn)
{
	uint64_t leaf = lbn / MAP_PAGE_ENTRIES;
	uint64_t root = likely(m->forest.root_count == ROOT_COUNT)
				? leaf % ROOT_COUNT
				: leaf % m->forest.root_count;

	VDO_CHECK(lbn < m->forest.logical_blocks);
	return (unsigned)root % m->zone_count;
}

lbn_t map_walk_tree(const struct map *m, lbn_t lbn, lbn_t first, lbn_t end)
{
	uint64_t begin = first / MAP_PAGE_ENTRIES;
	uint64_t tree = (lbn / MAP_PAGE_ENTRIES - begin) % m->forest.root_count;

	VDO_CHECK(first <= lbn && lbn < end);
	if (tree + 1 == m->forest.root_count)
		return end;
	return MIN((begin + tree + 1) * MAP_PAGE_ENTRIES, end);
}

lbn_t map_walk_leaf(const struct map *m, lbn_t lbn, lbn_t first, lbn_t end)
{
	uint64_t leaf = lbn / MAP_PAGE_ENTRIES;
	lbn_t next = (leaf + m->forest.root_count) * MAP_PAGE_ENTRIES;

	VDO_CHECK(first <= lbn && lbn < end);
	return next < end ? next : map_walk_tree(m, lbn, first, end);
}

/* ------------------------------------------------------------------ tail */

/* One message a zone at most is under way; it reads the newest tail. */
void map_tail_moved(struct map *m, seq_t tail)
{
	VDO_ASSERT(tail > 0);
	atomic_store_explicit(&m->tail, tail, memory_order_relaxed);
	for (unsigned i = 0; i < m->zone_count; i++) {
		struct map_zone *z = &m->zones[i];

		if (!atomic_exchange_explicit(&z->tail_posted, true,
					      memory_order_acq_rel))
			completion_post(&z->tail_moved);
	}
}

static void tail_arrived(struct completion *c)
{
	struct map_zone *z = container_of(c, struct map_zone, tail_moved);

	VDO_ASSERT(queue_is_current(z->queue));
	/* First the flag: whoever stores a tail from now on posts again. */
	(void)atomic_exchange_explicit(&z->tail_posted, false,
				       memory_order_acq_rel);
	eras_advance(z,
		     atomic_load_explicit(&z->map->tail, memory_order_relaxed));
}

void map_read_only(struct map *m, unsigned zone)
{
	struct map_zone *z = &m->zones[zone];

	VDO_ASSERT(queue_is_current(z->queue));
	/* I/O, allocation and journal end by themselves; waiting for a buffer
	 * may not. */
	leaves_pump(z);
}

/* ----------------------------------------------------------------- drain */

static void close_gate(struct map_zone *z)
{
	completion_init(&z->drained, z->queue, zone_drained);
	gate_close(&z->gate, &z->drained);
}

static void drain_zone(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct map *m = container_of(part->fanout, struct map, fanout);
	struct map_zone *z = &m->zones[part->number];

	VDO_ASSERT(!gate_closed(&z->gate));
	if (m->drain_save)
		(void)eras_expire_all(z);
	close_gate(z);
}

static void zone_drained(struct completion *c)
{
	struct map_zone *z = container_of(c, struct map_zone, drained);
	struct map *m = z->map;
	int r = 0;

	gate_open(&z->gate);
	/* What waited when the drain began may have changed pages since, and
	 * somebody may have come while this was on its way. */
	if ((m->drain_save && eras_expire_all(z)) || z->gate.inside != 0) {
		close_gate(z);
		return;
	}
	VDO_CHECK(map_zone_sane(z));
	if (m->drain_save && readonly_entered(m->readonly))
		r = -VDO_EREADONLY;
	fanout_part_done(&m->parts[z->number], r);
}

void map_drain(struct map *m, bool save, struct completion *done)
{
	m->drain_save = save;
	fanout_zones(&m->fanout, m->parts, m->zones, m->zone_count, drain_zone,
		     done);
}

/* ------------------------------------------------------------ statistics */

static void add_zone(const struct map_zone_stats *z, struct map_stats *s)
{
	s->dirty_pages += counter_get(&z->states[PAGE_DIRTY]);
	s->clean_pages += counter_get(&z->states[PAGE_RESIDENT]);
	s->free_pages += counter_get(&z->states[PAGE_FREE]);
	s->failed_pages += counter_get(&z->states[PAGE_FAILED]);
	s->incoming_pages += counter_get(&z->states[PAGE_INCOMING]);
	s->outgoing_pages += counter_get(&z->states[PAGE_OUTGOING]);
	s->cache_pressure += counter_get(&z->cache_pressure);
	s->read_count += counter_get(&z->read_count);
	s->write_count += counter_get(&z->write_count);
	s->failed_reads += counter_get(&z->failed_reads);
	s->failed_writes += counter_get(&z->failed_writes);
	s->reclaimed += counter_get(&z->reclaimed);
	s->read_outgoing += counter_get(&z->read_outgoing);
	s->discard_required += counter_get(&z->discard_required);
	s->wait_for_page += counter_get(&z->wait_for_page);
	s->fetch_required += counter_get(&z->fetch_required);
	s->pages_loaded += counter_get(&z->pages_loaded);
	s->pages_saved += counter_get(&z->pages_saved);
	s->flush_count += counter_get(&z->flush_count);
}

void map_get_stats(const struct map *m, struct map_stats *stats)
{
	uint64_t missed;

	memset(stats, 0, sizeof(*stats));
	for (unsigned i = 0; i < m->zone_count; i++)
		add_zone(&m->zones[i].stats, stats);
	/* Hits are not counted where they happen, and a miss may be seen before
	 * its get. */
	missed = stats->wait_for_page + stats->fetch_required +
		 stats->discard_required;
	stats->found_in_cache = stats->read_count + stats->write_count;
	stats->found_in_cache -= MIN(missed, stats->found_in_cache);
}
