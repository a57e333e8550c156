/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A zone's chapters: the open one, the one that is being written, and the range
 * of those that there are; starting and stopping. What is asked of them is in
 * serve.c.
 *
 * When the open chapter is full it is handed over at once, unless the one
 * before is still being written. Until it is, requests that would add to the
 * open chapter wait, and others go on.
 */
#include "build.h"

#include "index/zone.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/counter.h"

static void chapter_written(struct completion *c);
static void chapter_announced(struct completion *c);

/* --------------------------------------------------------------------- life */

static void init_source(struct index_zone *z)
{
	struct chapter_source *s = &z->source;

	VDO_ASSERT(z->c.writer != NULL);
	completion_init(&s->written, z->c.queue, chapter_written);
	s->written.owner = z;
	for (unsigned i = 0; i < ARRAY_SIZE(s->announces); i++) {
		completion_init(&s->announces[i].go, z->c.queue,
				chapter_announced);
		s->announces[i].go.owner = z;
	}
	writer_add_source(z->c.writer, s, z->c.number);
}

int index_zone_init(struct index_zone *z, const struct zone_config *c)
{
	const struct index_geometry *g = c->media->geometry;
	struct page_cache_config cache = {
		.media = c->media,
		.page_map = c->page_map,
		.oldest = &z->oldest,
		.queue = c->queue,
		.page_count = MAX(g->cache_pages / c->zone_count, 4u),
		.wake = index_zone_serve_again,
		.arg = z,
	};
	int r;

	VDO_ASSERT(c->number < c->zone_count);
	z->c = *c;
	z->geometry = g;
	gate_init(&z->gate);
	waitq_init(&z->full);
	init_source(z);
	sparse_view_init(&z->sparse, &(struct sparse_view_config){
		.cache = c->sparse,
		.queue = c->queue,
		.oldest = &z->oldest,
		.gate = &z->gate,
		.wake = index_zone_serve_again,
		.arg = z,
	});
	r = volume_index_init(&z->volume, g, c->number, c->zone_count);
	for (unsigned i = 0; i < 2 && r == 0; i++)
		r = open_chapter_init(&z->chapters[i],
				      g->records / c->zone_count);
	if (r == 0)
		r = page_cache_init(&z->cache, &cache);
	if (r == 0)
		index_zone_reset(z);
	return r;
}

void index_zone_fini(struct index_zone *z)
{
	volume_index_fini(&z->volume);
	open_chapter_fini(&z->chapters[0]);
	open_chapter_fini(&z->chapters[1]);
	page_cache_fini(&z->cache);
}

/* Other threads may read the counts. */
static void reset_counts(struct zone_counts *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(c->found); i++) {
		counter_set(&c->found[i], 0);
		counter_set(&c->not_found[i], 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(c->posts_in); i++)
		counter_set(&c->posts_in[i], 0);
}

void index_zone_reset(struct index_zone *z)
{
	VDO_ASSERT(!z->accepting && z->gate.inside == 0 && !z->writing_busy);
	z->open = &z->chapters[0];
	z->writing = &z->chapters[1];
	atomic_store_explicit(&z->source.filling, z->open,
			      memory_order_relaxed);
	z->writing_valid = z->close_pending = z->touched = false;
	z->oldest = z->newest = 0;
	reset_counts(&z->counts);
	volume_index_clear(&z->volume);
	open_chapter_clear(&z->chapters[0]);
	open_chapter_clear(&z->chapters[1]);
	page_cache_clear(&z->cache);
}

void index_zone_set_range(struct index_zone *z, uint64_t oldest,
			  uint64_t newest)
{
	VDO_ASSERT(!z->accepting && oldest <= newest);
	z->oldest = oldest;
	z->newest = newest;
}

/* --------------------------------------------------------- the open chapter */

static void chapter_close(struct index_zone *z)
{
	struct open_chapter *full = z->open;

	VDO_ASSERT(!z->writing_busy && queue_is_current(z->c.queue));
	z->open = z->writing;
	z->writing = full;
	z->writing_valid = z->writing_busy = true;
	z->close_pending = false;
	open_chapter_clear(z->open);
	z->newest++;
	z->oldest += geometry_expires(z->geometry, z->newest);
	volume_index_open(&z->volume, z->newest);
	writer_hand_over(&z->source, full, z->open);
}

void index_zone_chapter_full(struct index_zone *z)
{
	VDO_ASSERT(open_chapter_full(z->open));
	if (z->writing_busy)
		z->close_pending = true;
	else
		chapter_close(z);
}

/* ---------------------------------------------------- the writer's messages */

/* Serve again all ops that wait for room. */
static void wake_full(struct index_zone *z)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(!z->close_pending);
	waitq_take_all(&z->full, &taken);
	while ((w = waitq_pop(&taken)) != NULL)
		index_zone_serve_again(z, w);
}

static void tell_drained(struct index_zone *z)
{
	VDO_ASSERT(queue_is_current(z->c.queue));
	/* A full chapter must be handed over first, when the writer's message
	 * comes. */
	if (!z->gate_empty || z->close_pending)
		return;
	z->gate_empty = false;
	fanout_part_done(z->stopping, 0);
}

static void chapter_written(struct completion *c)
{
	struct index_zone *z = c->owner;

	VDO_ASSERT(z->writing_busy);
	z->writing_busy = false;
	if (z->close_pending && index_failure_get(z->c.failure) == 0)
		chapter_close(z);
	z->close_pending = false;
	wake_full(z);
	tell_drained(z);
}

static void chapter_announced(struct completion *c)
{
	struct chapter_announce *a =
		container_of(c, struct chapter_announce, go);
	struct index_zone *z = c->owner;

	VDO_ASSERT(a->vcn <= z->newest);
	if (z->newest != a->vcn)
		return;
	chapter_close(z);
	wake_full(z);
}

/* ------------------------------------------------------- starting, stopping */

void index_zone_accept(struct index_zone *z)
{
	VDO_ASSERT(!z->accepting && waitq_empty(&z->full));
	VDO_CHECK(index_zone_sane(z));
	z->accepting = true;
	gate_open(&z->gate);
}

static void gate_drained(struct completion *c)
{
	struct index_zone *z = container_of(c, struct index_zone, drained);

	VDO_ASSERT(!z->accepting);
	z->gate_empty = true;
	tell_drained(z);
}

void index_zone_stop(struct index_zone *z, struct fanout_part *part)
{
	VDO_ASSERT(z->accepting && queue_is_current(z->c.queue));
	z->accepting = false;
	z->stopping = part;
	completion_init(&z->drained, z->c.queue, gate_drained);
	gate_close(&z->gate, &z->drained);
}
