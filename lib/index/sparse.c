/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sparse cache (X 8): the index pages of a few chapters of which the volume
 * index knows the samples only.
 *
 * Slots belong to the main queue, their pages are read by all zones, and each
 * zone has a view that says what is in which slot. A slot changes only while no
 * view shows it:
 *
 *	zone	want(chapter, victim)
 *	main	all views: drop the victim	[views_drop]
 *	main	read the index pages		[pages_read]
 *	main	all views: show the chapter	[views_show]
 *	zone	reply: who waited goes on
 *
 * Nobody waits for anybody in between but the requests that asked, and names
 * that only the chapter on its way could answer. Wants are served one by one.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "index/index_priv.h"

#define MISSES_MAX 20000u

static void want_arrived(struct completion *c);
static void want_served(struct completion *c);

int sparse_init(struct index *index)
{
	struct sparse_cache *s = &index->sparse;
	size_t size = (size_t)index->geometry.index_pages * PAGE_BYTES;

	waitq_init(&s->wants);
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		struct index_zone *z = &index->zones[i];

		waitq_init(&z->sparse.waiting);
		completion_init(&z->sparse.want, index->c.queue, want_arrived);
		completion_init(&z->sparse.reply, z->queue, want_served);
	}
	sparse_reset(index);
	if (!index->geometry.sparse)
		return 0;
	s->pages = alloc_aligned(BLOCK_SIZE, SPARSE_SLOTS, size);
	if (s->pages == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < SPARSE_SLOTS; i++)
		s->slots[i].pages = s->pages + i * size;
	return 0;
}

void sparse_fini(struct index *index)
{
	alloc_free(index->sparse.pages);
	index->sparse.pages = NULL;
}

void sparse_reset(struct index *index)
{
	for (unsigned i = 0; i < SPARSE_SLOTS; i++)
		index->sparse.slots[i].vcn = CHAPTER_NONE;
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		struct sparse_view *v = &index->zones[i].sparse;

		for (unsigned k = 0; k < SPARSE_SLOTS; k++) {
			v->slots[k].vcn = CHAPTER_NONE;
			v->slots[k].misses = 0;
			v->slots[k].skip = false;
			v->order[k] = (uint8_t)k;
		}
	}
}

int sparse_slot_of(const struct index_zone *z, uint64_t vcn)
{
	for (int i = 0; i < (int)SPARSE_SLOTS; i++)
		if (z->sparse.slots[i].vcn == vcn)
			return i;
	return -1;
}

const uint8_t *sparse_page(const struct index_zone *z, unsigned slot,
			   uint32_t page)
{
	return z->index->sparse.slots[slot].pages + (size_t)page * PAGE_BYTES;
}

/* Put @slot first in the order of use. */
static void use_slot(struct sparse_view *v, unsigned slot)
{
	unsigned i = 0;

	while (v->order[i] != slot)
		i++;
	memmove(v->order + 1, v->order, i);
	v->order[0] = (uint8_t)slot;
}

void sparse_note(struct index_zone *z, unsigned slot, bool found)
{
	struct sparse_view *v = &z->sparse;

	if (found) {
		v->slots[slot].misses = 0;
		v->slots[slot].skip = false;
		use_slot(v, slot);
	} else if (++v->slots[slot].misses >
		   MISSES_MAX / z->index->c.zone_count) {
		v->slots[slot].skip = true;
	}
}

/* The slot to give up: not in use, else skipped, else longest not used. */
static unsigned pick_victim(const struct index_zone *z)
{
	const struct sparse_view *v = &z->sparse;
	int skipped = -1;

	for (int i = SPARSE_SLOTS - 1; i >= 0; i--) {
		unsigned slot = v->order[i];

		if (v->slots[slot].vcn == CHAPTER_NONE ||
		    v->slots[slot].vcn < z->oldest)
			return slot;
		if (v->slots[slot].skip && skipped < 0)
			skipped = (int)slot;
	}
	return skipped >= 0 ? (unsigned)skipped : v->order[SPARSE_SLOTS - 1];
}

void sparse_want(struct index_zone *z, uint64_t vcn)
{
	struct sparse_view *v = &z->sparse;

	VDO_ASSERT(!v->wanting);
	/* Inside until the reply, which comes after all that it causes. */
	gate_enter(&z->gate);
	v->wanting = true;
	v->vcn = vcn;
	v->victim = pick_victim(z);
	completion_post(&v->want);
}

static void want_served(struct completion *c)
{
	struct sparse_view *v = container_of(c, struct sparse_view, reply);
	struct index_zone *z = container_of(v, struct index_zone, sparse);

	v->wanting = false;
	zone_go_on(&v->waiting, z);
	gate_leave(&z->gate);
}

static void serve_next(struct index *index);

/* The want that was being served is over. */
static void reply(struct index *index)
{
	struct index_zone *z = index->sparse.asking;

	index->sparse.asking = NULL;
	serve_next(index);
	completion_post(&z->sparse.reply);
}

/* Run @fn for each zone on its queue, then @then on the main queue. */
static void visit_zones(struct index *index, completion_fn fn,
			completion_fn then)
{
	struct sparse_cache *s = &index->sparse;

	completion_init(&s->fanout.done, index->c.queue, then);
	fanout_zones(&s->fanout, s->parts, index->zones, index->c.zone_count,
		     fn, &s->fanout.done);
}

static struct index_zone *zone_of(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct sparse_cache *s =
		container_of(part->fanout, struct sparse_cache, fanout);

	return &container_of(s, struct index, sparse)->zones[part->number];
}

static void view_shows(struct completion *c)
{
	struct index_zone *z = zone_of(c);
	struct sparse_cache *s = &z->index->sparse;
	struct sparse_view *v = &z->sparse;
	unsigned slot = s->asking->sparse.victim;

	v->slots[slot].vcn = s->slots[slot].vcn;
	v->slots[slot].misses = 0;
	v->slots[slot].skip = false;
	use_slot(v, slot);
	if (--v->loading == 0)
		zone_go_on(&v->waiting, z);
	fanout_part_done(fanout_part_of(c), 0);
}

static void all_show(struct completion *c)
{
	struct sparse_cache *s =
		container_of(c, struct sparse_cache, fanout.done);

	reply(container_of(s, struct index, sparse));
}

static void pages_read(struct completion *c)
{
	struct sparse_cache *s = container_of(c, struct sparse_cache, mio.done);
	struct index *index = container_of(s, struct index, sparse);
	const struct sparse_view *want = &s->asking->sparse;
	struct sparse_slot *slot = &s->slots[want->victim];
	int r = c->result;

	for (uint32_t i = 0; r == 0 && i < index->geometry.index_pages; i++)
		r = page_cache_check(&index->zones[0].cache.c,
				     slot->pages + (size_t)i * PAGE_BYTES,
				     want->vcn, i);
	if (r == 0)
		slot->vcn = want->vcn;
	else
		log_warning(index->c.log,
			    "index: cannot use sparse chapter, vcn=%llu, "
			    "error=%d",
			    (unsigned long long)want->vcn, r);
	visit_zones(index, view_shows, all_show);
}

static void all_dropped(struct completion *c)
{
	struct sparse_cache *s =
		container_of(c, struct sparse_cache, fanout.done);
	struct index *index = container_of(s, struct index, sparse);
	const struct sparse_view *want = &s->asking->sparse;
	const struct index_geometry *g = &index->geometry;
	uint64_t block = geometry_page_block(
		g, geometry_physical(g, want->vcn), 0);

	completion_init(&s->mio.done, index->c.queue, pages_read);
	mio_read(&s->mio, index->c.storage, index->c.kind,
		 index->volume_block + block, g->index_pages * PAGE_BLOCKS,
		 s->slots[want->victim].pages);
}

static void view_drops(struct completion *c)
{
	struct index_zone *z = zone_of(c);
	struct sparse_view *v = &z->sparse;

	v->slots[z->index->sparse.asking->sparse.victim].vcn = CHAPTER_NONE;
	v->loading++;
	fanout_part_done(fanout_part_of(c), 0);
}

static void serve_next(struct index *index)
{
	struct sparse_cache *s = &index->sparse;
	struct waiter *w;

	while (s->asking == NULL && (w = waitq_pop(&s->wants)) != NULL) {
		struct sparse_view *v =
			container_of(w, struct sparse_view, link);
		bool there = v->vcn < index->oldest;

		for (unsigned i = 0; i < SPARSE_SLOTS; i++)
			there |= s->slots[i].vcn == v->vcn;
		if (there) {
			completion_post(&v->reply);
			continue;
		}
		s->asking = container_of(v, struct index_zone, sparse);
		s->slots[v->victim].vcn = CHAPTER_NONE;
		visit_zones(index, view_drops, all_dropped);
	}
}

static void want_arrived(struct completion *c)
{
	struct sparse_view *v = container_of(c, struct sparse_view, want);
	struct index_zone *z = container_of(v, struct index_zone, sparse);

	waitq_push(&z->index->sparse.wants, &v->link);
	serve_next(z->index);
}
