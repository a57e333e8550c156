/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing in a chapter:
 *
 *	zone	want(chapter, victim)
 *	main	the flow below, for one want at a time
 *	zone	reply: who waited goes on
 *
 * Nobody waits for anybody in between but the requests that asked, and names
 * that only the chapter on its way could answer.
 */
#include "build.h"

#include "index/sparse.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "index/page_cache.h"
#include "index_format/chapter_index.h"

#define MISSES_MAX 20000u /* of all zones together */

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define SPARSE_ROWS(X)							       \
	/* the next want, if there is one; all views drop the victim */	       \
	X(C_DROP, sparse_drop, ON_MAIN)					       \
	/* read the index pages of the chapter */			       \
	X(C_READ, sparse_read, ON_MAIN)					       \
	/* check them; all views show the chapter, or an empty slot */	       \
	X(C_SHOW, sparse_show, ON_MAIN)					       \
	/* tell who asked */						       \
	X(C_REPLY, sparse_reply, ON_MAIN)

enum { SPARSE_ROWS(FLOW_ROW) };
SPARSE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(sparse_table, C_REPLY, SPARSE_ROWS);

static void want_arrived(struct completion *c);
static void want_served(struct completion *c);

/* --------------------------------------------------------------------- life */

int sparse_init(struct sparse_cache *s, const struct sparse_config *c)
{
	const struct index_geometry *g = c->media->geometry;
	size_t size = (size_t)g->index_pages * PAGE_BYTES;

	VDO_ASSERT(c->queue != NULL);
	*s = (struct sparse_cache){.c = *c};
	waitq_init(&s->wants);
	flow_init(&s->flow, &sparse_table);
	s->flow.queues[ON_MAIN] = c->queue;
	sparse_reset(s);
	if (!g->sparse)
		return 0;
	s->pages = alloc_spare(BLOCK_SIZE, SPARSE_SLOTS, size);
	if (s->pages == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < SPARSE_SLOTS; i++)
		s->slots[i].pages = s->pages + i * size;
	return 0;
}

void sparse_fini(struct sparse_cache *s)
{
	alloc_free(s->pages);
	s->pages = NULL;
}

static void reset_view(struct sparse_view *v)
{
	VDO_ASSERT(!v->wanting && v->loading == 0);
	for (unsigned k = 0; k < SPARSE_SLOTS; k++) {
		v->slots[k].vcn = CHAPTER_NONE;
		v->slots[k].misses = 0;
		v->slots[k].skip = false;
		v->order[k] = (uint8_t)k;
	}
}

void sparse_reset(struct sparse_cache *s)
{
	VDO_ASSERT(!s->busy && s->asking == NULL);
	for (unsigned i = 0; i < SPARSE_SLOTS; i++)
		s->slots[i].vcn = CHAPTER_NONE;
	for (unsigned i = 0; i < s->view_count; i++)
		reset_view(s->views[i]);
}

void sparse_view_init(struct sparse_view *v,
		      const struct sparse_view_config *c)
{
	struct sparse_cache *s = c->cache;

	VDO_ASSERT(s->view_count < INDEX_ZONES_MAX);
	*v = (struct sparse_view){.c = *c};
	waitq_init(&v->waiting);
	completion_init(&v->want, s->c.queue, want_arrived);
	completion_init(&v->reply, c->queue, want_served);
	reset_view(v);
	s->queues[s->view_count] = c->queue;
	s->views[s->view_count++] = v;
}

/* -------------------------------------------------------------------- views */

int sparse_view_find(const struct sparse_view *v, uint64_t vcn)
{
	for (int i = 0; i < (int)SPARSE_SLOTS; i++)
		if (v->slots[i].vcn == vcn)
			return i;
	return -1;
}

const uint8_t *sparse_view_page(const struct sparse_view *v, unsigned slot,
				uint32_t page)
{
	VDO_ASSERT(v->slots[slot].vcn != CHAPTER_NONE &&
		   v->slots[slot].vcn == v->c.cache->slots[slot].vcn);
	return v->c.cache->slots[slot].pages + (size_t)page * PAGE_BYTES;
}

/* Put @slot first in the order of use. */
static void use_slot(struct sparse_view *v, unsigned slot)
{
	unsigned i = 0;

	VDO_ASSERT(slot < SPARSE_SLOTS);
	while (v->order[i] != slot)
		i++;
	memmove(v->order + 1, v->order, i);
	v->order[0] = (uint8_t)slot;
}

void sparse_view_note(struct sparse_view *v, unsigned slot, bool found)
{
	VDO_ASSERT(queue_is_current(v->c.queue));
	if (found) {
		v->slots[slot].misses = 0;
		v->slots[slot].skip = false;
		use_slot(v, slot);
	} else if (++v->slots[slot].misses >
		   MISSES_MAX / v->c.cache->view_count) {
		v->slots[slot].skip = true;
	}
}

/* The slot to give up: not in use, else skipped, else longest not used. */
static unsigned pick_victim(const struct sparse_view *v)
{
	int skipped = -1;

	for (int i = SPARSE_SLOTS - 1; i >= 0; i--) {
		unsigned slot = v->order[i];

		if (v->slots[slot].vcn == CHAPTER_NONE ||
		    v->slots[slot].vcn < *v->c.oldest)
			return slot;
		if (v->slots[slot].skip && skipped < 0)
			skipped = (int)slot;
	}
	return skipped >= 0 ? (unsigned)skipped : v->order[SPARSE_SLOTS - 1];
}

void sparse_view_want(struct sparse_view *v, uint64_t vcn)
{
	VDO_ASSERT(!v->wanting && queue_is_current(v->c.queue));
	/* Inside until the reply, which comes after all that it causes. */
	gate_enter(v->c.gate);
	v->wanting = true;
	v->vcn = vcn;
	v->victim = pick_victim(v);
	completion_post(&v->want);
}

static void wake_all(struct sparse_view *v)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(queue_is_current(v->c.queue));
	waitq_take_all(&v->waiting, &taken);
	while ((w = waitq_pop(&taken)) != NULL)
		v->c.wake(v->c.arg, w);
}

static void want_served(struct completion *c)
{
	struct sparse_view *v = container_of(c, struct sparse_view, reply);

	VDO_ASSERT(queue_is_current(v->c.queue));
	VDO_ASSERT(v->wanting);
	v->wanting = false;
	wake_all(v);
	gate_leave(v->c.gate);
}

/* ---------------------------------------------------------------- the cache */

static struct sparse_cache *cache_of(struct flow *f)
{
	return container_of(f, struct sparse_cache, flow);
}

static void want_arrived(struct completion *c)
{
	struct sparse_view *v = container_of(c, struct sparse_view, want);
	struct sparse_cache *s = v->c.cache;

	VDO_ASSERT(queue_is_current(s->c.queue) && v->wanting);
	waitq_push(&s->wants, &v->link);
	if (s->busy)
		return;
	s->busy = true;
	flow_start(&s->flow);
}

/* Is there nothing to bring in for @v, because it is there or expired? */
static bool is_settled(const struct sparse_cache *s,
		       const struct sparse_view *v)
{
	VDO_ASSERT(v->wanting);
	if (v->vcn < s->c.range->oldest)
		return true;
	for (unsigned i = 0; i < SPARSE_SLOTS; i++)
		if (s->slots[i].vcn == v->vcn)
			return true;
	return false;
}

/* Run @fn for each view on its queue, then go on at row @next. */
static int visit_views(struct sparse_cache *s, completion_fn fn, int next)
{
	VDO_ASSERT(queue_is_current(s->c.queue));
	flow_await(&s->flow, &s->fanout.done, next);
	fanout_start(&s->fanout, s->parts, s->queues, sizeof(s->queues[0]),
		     s->view_count, fn, &s->fanout.done);
	return FLOW_WAIT;
}

static struct sparse_view *view_of_part(const struct fanout_part *part)
{
	struct sparse_cache *s =
		container_of(part->fanout, struct sparse_cache, fanout);

	VDO_ASSERT(queue_is_current(s->queues[part->number]));
	return s->views[part->number];
}

static void view_drops(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct sparse_view *v = view_of_part(part);

	v->slots[v->c.cache->asking->victim].vcn = CHAPTER_NONE;
	v->loading++;
	fanout_part_done(part, 0);
}

static int sparse_drop(struct flow *f)
{
	struct sparse_cache *s = cache_of(f);
	struct waiter *w = waitq_pop(&s->wants);

	VDO_ASSERT(s->busy && s->asking == NULL);
	if (w == NULL) {
		s->busy = false;
		return FLOW_END;
	}
	s->asking = container_of(w, struct sparse_view, link);
	if (is_settled(s, s->asking))
		return C_REPLY;
	return visit_views(s, view_drops, C_READ);
}

static int sparse_read(struct flow *f)
{
	struct sparse_cache *s = cache_of(f);
	const struct index_media *m = s->c.media;

	VDO_ASSERT(s->asking != NULL);
	s->slots[s->asking->victim].vcn = CHAPTER_NONE;
	flow_await_any(f, &s->io.done, C_SHOW);
	media_read(m, &s->io, media_page_block(m, s->asking->vcn, 0),
		   (uint64_t)m->geometry->index_pages * PAGE_BLOCKS,
		   s->slots[s->asking->victim].pages);
	return FLOW_WAIT;
}

static void view_shows(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct sparse_view *v = view_of_part(part);
	const struct sparse_cache *s = v->c.cache;
	unsigned slot = s->asking->victim;

	VDO_ASSERT(v->loading > 0 && v->slots[slot].vcn == CHAPTER_NONE);
	v->slots[slot].vcn = s->slots[slot].vcn;
	v->slots[slot].misses = 0;
	v->slots[slot].skip = false;
	use_slot(v, slot);
	if (--v->loading == 0)
		wake_all(v);
	fanout_part_done(part, 0);
}

static int check_pages(const struct sparse_cache *s, uint64_t vcn,
		       const uint8_t *pages)
{
	int r = 0;

	VDO_ASSERT(vcn != CHAPTER_NONE);
	for (uint32_t i = 0; r == 0 && i < s->c.media->geometry->index_pages;
	     i++)
		r = page_cache_check(s->c.media, s->c.page_map,
				     pages + (size_t)i * PAGE_BYTES, vcn, i);
	return r;
}

static int sparse_show(struct flow *f)
{
	struct sparse_cache *s = cache_of(f);
	uint64_t vcn = s->asking->vcn;
	struct sparse_slot *slot = &s->slots[s->asking->victim];
	int r = s->io.done.result;

	VDO_ASSERT(s->asking != NULL &&
		   s->slots[s->asking->victim].vcn == CHAPTER_NONE);
	if (r == 0)
		r = check_pages(s, vcn, slot->pages);
	if (r == 0)
		slot->vcn = vcn;
	else
		log_warning(s->c.media->log,
			    "index: cannot use sparse chapter, vcn=%llu, "
			    "error=%d",
			    (unsigned long long)vcn, r);
	return visit_views(s, view_shows, C_REPLY);
}

static int sparse_reply(struct flow *f)
{
	struct sparse_cache *s = cache_of(f);
	struct sparse_view *v = s->asking;

	VDO_ASSERT(s->asking != NULL && s->asking->wanting);
	s->asking = NULL;
	completion_post(&v->reply);
	return C_DROP;
}
