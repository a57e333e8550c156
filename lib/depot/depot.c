/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The depot as a whole: made, found in, counted, taken apart.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* ---------------------------------------------------------------- creation */

static void init_slab(struct depot *d, uint32_t number)
{
	struct slab *s = &d->slabs[number];

	s->zone = &d->zones[number % d->zone_count];
	VDO_ASSERT(s->zone->depot == d); /* the zones come first */
	s->number = number;
	s->start = slab_start(&d->geo, number);
	s->free_count = (uint32_t)d->geo.data_blocks;
	s->state = SLAB_REBUILT;
	s->exact = true;
	prioq_node_init(&s->node);
	list_init(&s->in_memory);
	list_init(&s->freed_link);
	waitq_init(&s->dirty);
	waitq_init(&s->lockers);
}

/* Reserve storage for the counts and the journal of @s, which lie together. */
static int reserve_slab(const struct slab *s)
{
	const struct depot *d = s->zone->depot;

	VDO_ASSERT(s->journal != NULL);
	return storage_reserve(d->storage, s->start + d->slab.data_blocks,
			       d->slab.reference_count_blocks +
				       d->slab.slab_journal_blocks);
}

int depot_activate_slab(struct slab *s, bool counts)
{
	int r;

	if (s->journal != NULL)
		return 0;
	VDO_ASSERT(s->free_count == s->zone->depot->geo.data_blocks);
	r = slabjournal_create(s);
	if (r == 0)
		r = reserve_slab(s);
	if (r == 0 && counts)
		r = counts_alloc(s);
	if (r != 0) {
		slabjournal_destroy(s->journal);
		s->journal = NULL;
	}
	return r;
}

static void commit_tails(struct completion *c);

/* Of a zone, in slabs. If there is enough for all, each zone keeps all it has. */
static uint32_t counts_budget(const struct depot *d)
{
	uint64_t slabs = d->counts_memory / d->counts_bytes;
	uint64_t budget = slabs / d->zone_count;

	VDO_ASSERT(d->counts_bytes > 0);
	if (slabs >= d->geo.slab_count)
		budget = MAX(budget,
			     div_up(d->geo.slab_count, d->zone_count));
	return d->counts_memory == 0 ? UINT32_MAX
				     : (uint32_t)MIN(budget, UINT32_MAX);
}

void depot_set_counts_memory(struct depot *d, uint64_t bytes)
{
	VDO_ASSERT(d->load == NULL && d->done == NULL);
	d->counts_memory = bytes;
	for (unsigned i = 0; i < d->zone_count; i++)
		d->zones[i].counts.budget = counts_budget(d);
}

void depot_get_memory(const struct depot *d, struct depot_memory *memory)
{
	uint64_t slabs = d->geo.slab_count;
	uint64_t counts = alloc_bytes(16, d->geo.data_blocks, 1) +
			  alloc_bytes(16, d->ref_blocks,
				      sizeof(struct ref_block));
	uint64_t journal = slabjournal_bytes(d);
	uint64_t first = MIN(d->zone_count, slabs);

	VDO_ASSERT(slabs > 0 && slabs <= SLABS_MAX);
	*memory = (struct depot_memory){
		.reserved = (SLABS_MAX - slabs) * sizeof(struct slab),
		.growth = slabs * (journal + reclaim_bytes(d)) +
			  scrubber_bytes(d),
		.idle = first * journal,
		.counts = counts,
		.counts_max = slabs * counts,
		.counts_least = MIN(2 * first, slabs) * counts,
	};
}

static int init_zone(struct depot *d, unsigned number, struct queue *queue)
{
	struct depot_zone *z = &d->zones[number];
	int r;

	VDO_ASSERT(queue != NULL);
	z->depot = d;
	z->number = number;
	z->queue = queue;
	d->queues[number] = queue;
	prioq_init(&z->slabs);
	waitq_init(&z->waiting);
	waitq_init(&z->patient);
	list_init(&z->counts.slabs);
	list_init(&z->counts.wanted);
	z->counts.budget = counts_budget(d);
	prioq_init(&z->unscrubbed);
	list_init(&z->open_tails);
	reclaim_init(z);
	completion_init(&z->commit, queue, commit_tails);
	atomic_init(&z->commit_posted, false);
	atomic_init(&z->commit_head, 0);
	fill_init(z);
	r = metaio_init(z);
	if (r == 0)
		r = summary_init(z);
	if (r == 0)
		r = pbnlock_init(z, d->locks_max);
	return r;
}

static void copy_config(struct depot *d, const struct depot_config *c)
{
	const struct superblock *sb = c->sb;
	const struct slab_config *slab = &sb->slab;

	VDO_ASSERT(slab->slab_journal_blocks >= SLAB_JOURNAL_BLOCKS_MIN);
	VDO_ASSERT(sb->depot_first_block < sb->depot_last_block);
	layout_slab_geometry_init(&d->geo, sb);
	d->slab = *slab;
	d->nonce = sb->nonce;
	d->points_end = points_of_block(sb->journal_start);
	d->summary_start = sb->partitions[PARTITION_SUMMARY].start;
	d->old_zone_count = MIN(sb->zone_count, PHYSICAL_ZONES_MAX);
	d->ref_blocks = (uint32_t)div_up(d->geo.data_blocks, COUNTS_PER_BLOCK);
	d->counts_bytes = d->geo.data_blocks +
			  d->ref_blocks * sizeof(struct ref_block);
	d->counts_memory = c->counts_memory;
	d->buffers = c->buffers != 0 ? c->buffers : DEPOT_BUFFERS;
	d->deadline = slab->flushing_threshold;
	if (slab->blocking_threshold > slab->flushing_threshold + 5)
		d->deadline = slab->blocking_threshold - 5;
	d->priority_pristine =
		1 + log2_floor(MAX(d->geo.data_blocks * 3 / 4, 1));
	d->zone_count = c->zone_count;
	d->locks_max = c->locks_max;
	d->stop = c->stop;
	d->fill = c->fill;
	atomic_init(&d->want_free, false);
	atomic_init(&d->fill_low, 0);
	atomic_init(&d->fill_high, UINT64_MAX);
	d->storage = c->storage;
	d->sync = c->sync;
	d->readonly = c->readonly;
	d->log = c->log;
	d->journal = c->journal;
	d->free_lasts = storage_free_lasts(d->storage);
	reclaim_choose(d, c);
}

int depot_create(const struct depot_config *c, struct depot **depot)
{
	struct depot *d = alloc_zeroed(1, sizeof(*d));
	int r = -ENOMEM;

	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= PHYSICAL_ZONES_MAX);
	*depot = NULL;
	if (d == NULL)
		return -ENOMEM;
	copy_config(d, c);
	d->zones = alloc_aligned(CACHE_LINE, d->zone_count, sizeof(*d->zones));
	/* Lists lead to slabs, so there is space for those that growing adds;
	 * it is no memory until it is used. */
	d->slabs = alloc_spare(CACHE_LINE, SLABS_MAX, sizeof(*d->slabs));
	if (d->zones == NULL || d->slabs == NULL)
		goto fail;
	for (unsigned i = 0; i < d->zone_count; i++) {
		r = init_zone(d, i, c->queues[i]);
		if (r != 0)
			goto fail;
	}
	for (uint32_t i = 0; i < d->geo.slab_count; i++)
		init_slab(d, i);
	*depot = d;
	return 0;
fail:
	depot_destroy(d);
	return r;
}

void depot_destroy(struct depot *d)
{
	if (d == NULL)
		return;
	VDO_ASSERT(d->done == NULL); /* no load, no drain */
	for (unsigned i = 0; d->zones != NULL && i < d->zone_count; i++) {
		scrubber_destroy(&d->zones[i]);
		metaio_fini(&d->zones[i]);
		summary_fini(&d->zones[i]);
		pbnlock_fini(&d->zones[i]);
	}
	for (uint64_t i = 0; d->slabs != NULL && i < d->geo.slab_count; i++) {
		alloc_free(d->slabs[i].counts);
		alloc_free(d->slabs[i].blocks);
		alloc_free(d->slabs[i].freed);
		slabjournal_destroy(d->slabs[i].journal);
	}
	alloc_free(d->zones);
	alloc_free(d->slabs);
	alloc_free(d);
}

/* --------------------------------------------------------------- placement */

const struct slab_geometry *depot_geometry(const struct depot *d)
{
	return &d->geo;
}

unsigned depot_zone_count(const struct depot *d)
{
	return d->zone_count;
}

unsigned depot_zone_of(const struct depot *d, pbn_t pbn)
{
	unsigned number = (unsigned)slab_of(&d->geo, pbn);

	VDO_ASSERT(is_data_block(&d->geo, pbn));
	VDO_CHECK(d->slabs[number].zone->number == number % d->zone_count);
	return number % d->zone_count;
}

struct queue *depot_queue(const struct depot *d, unsigned zone)
{
	VDO_CHECK(zone < d->zone_count);
	return d->queues[zone];
}

struct slab *depot_next_slab(const struct depot_zone *z, const struct slab *s)
{
	const struct depot *d = z->depot;
	uint64_t n = s == NULL ? z->number : s->number + d->zone_count;

	VDO_CHECK(s == NULL || s->zone == z);
	return n < d->geo.slab_count ? &d->slabs[n] : NULL;
}

/* No slab of the volume has an entry there; all copies were made equal. */
const uint8_t *depot_summary_end(const struct depot *d)
{
	uint64_t last = (SUMMARY_ZONE_BLOCKS - 1) * SUMMARY_PER_BLOCK;

	if (d->geo.slab_count > last)
		return NULL;
	return d->zones[0].summary.entries + SUMMARY_ZONE_BYTES - BLOCK_SIZE;
}

/* ----------------------------------------------------------------- growing */

int depot_make_room(struct depot *d, uint64_t slab_count)
{
	int r = 0;

	VDO_ASSERT(d->done == NULL && slab_count <= SLABS_MAX);
	VDO_ASSERT(slab_count > d->geo.slab_count);
	for (uint64_t i = d->geo.slab_count; i < slab_count; i++) {
		const struct depot_zone *z = &d->zones[i % d->zone_count];
		struct summary_entry e = slab_summary_decode(
			z->summary.entries + i * SUMMARY_ENTRY_SIZE);

		if (e.tail_offset != 0 || e.load || e.dirty)
			return -VDO_ECORRUPT;
	}
	for (unsigned i = 0; r == 0 && i < d->zone_count; i++)
		if (depot_may_drop(&d->zones[i], slab_count))
			r = scrubber_create(&d->zones[i]);
	return r;
}

void depot_grow(struct depot *d, uint64_t slab_count, pbn_t summary_start)
{
	uint64_t old = d->geo.slab_count;

	VDO_ASSERT(d->done == NULL && slab_count > old);
	d->geo.slab_count = slab_count;
	d->summary_start = summary_start;
	for (uint64_t i = old; i < slab_count; i++) {
		init_slab(d, (uint32_t)i);
		alloc_enlist(&d->slabs[i]);
	}
}

/* ----------------------------------------------------------------- upcalls */

void depot_read_only(struct depot *d, unsigned zone)
{
	struct depot_zone *z = zone_check(d, zone);

	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		if (s->journal != NULL)
			slabjournal_abort(s->journal);
	scrubber_unpark(z);
}

static void commit_tails(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, commit);
	seq_t head;

	VDO_ASSERT(queue_is_current(z->queue));
	zone_enter(z);
	/* This comes first: who raises the head from here on posts again. */
	atomic_exchange(&z->commit_posted, false);
	head = atomic_load(&z->commit_head);
	list_for_each_safe (n, &z->open_tails) {
		struct slab_journal *sj =
			list_entry(n, struct slab_journal, by_held);

		if (sj->held > head)
			break;
		slabjournal_commit(sj);
	}
	if (unlikely(z->counts.starved))
		counts_hurry(z);
	zone_leave(z);
}

void depot_commit_tails(struct depot *d, seq_t head)
{
	for (unsigned i = 0; i < d->zone_count; i++) {
		struct depot_zone *z = &d->zones[i];
		uint64_t old = atomic_load(&z->commit_head);

		while (old < head && !atomic_compare_exchange_weak(
					     &z->commit_head, &old, head))
			;
		if (!atomic_exchange(&z->commit_posted, true))
			completion_post(&z->commit);
	}
}

/* -------------------------------------------------------------- statistics */

void depot_get_stats(const struct depot *d, struct depot_stats *stats)
{
	*stats = (struct depot_stats){
		.slab_count = d->geo.slab_count,
		.data_blocks = d->geo.slab_count * d->geo.data_blocks,
	};
#define SUM(field)                                                     \
	stats->field += counter_get(&d->zones[i].stats.field)
	for (unsigned i = 0; i < d->zone_count; i++) {
		SUM(allocated);
		SUM(slabs_opened);
		SUM(slabs_reopened);
		SUM(journal_disk_full);
		SUM(journal_flush);
		SUM(journal_blocked);
		SUM(journal_blocks_written);
		SUM(journal_tail_busy);
		SUM(summary_blocks_written);
		SUM(reference_blocks_written);
		SUM(slabs_scrubbed);
		SUM(slabs_unscrubbed);
		SUM(slabs_loaded);
		SUM(slabs_dropped);
		SUM(slabs_estimated);
		SUM(reclaimed);
		SUM(reclaim_operations);
		SUM(reclaim_failed);
	}
#undef SUM
}
