/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests in a zone (X 9.3).
 *
 *	received --[serve]--> done
 *	             |  ^
 *	             |  | served again, from the start
 *	             v  |
 *	          waiting for a page, a chapter in the sparse cache, or room in
 *	          the open chapter
 *
 * Nothing is changed before all that a request needs is at hand, so serving it
 * again is harmless. What it found on an index page is kept in the op, with the
 * chapter; so each page that is read brings it forward, however small the
 * cache. To go on in the middle would take a state for each place where it can
 * wait; few requests wait, so beginning anew costs next to nothing.
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
#include "index_format/chapter_index.h"
#include "index_format/record_page.h"

#define WAITING 1 /* a result: the op waits, and will be served again */

static void op_wake(void *arg, struct waiter *w);
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
		.wake = op_wake,
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
		.wake = op_wake,
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

static void chapter_full(struct index_zone *z)
{
	VDO_ASSERT(open_chapter_full(z->open));
	if (z->writing_busy)
		z->close_pending = true;
	else
		chapter_close(z);
}

/* Is there room for one more record? */
static bool chapter_has_room(const struct index_zone *z,
			     const struct index_name *name)
{
	VDO_CHECK(name->zone == z->c.number);
	return !open_chapter_full(z->open) ||
	       open_chapter_find(z->open, name) != NULL;
}

/* The page of a chapter, or NULL; *r is then WAITING or an error. */
static const uint8_t *get_page(struct index_zone *z, struct index_op *op,
			       uint64_t vcn, uint32_t page, int *r)
{
	const uint8_t *data =
		page_cache_get(&z->cache, vcn, page, &op->link, r);

	VDO_CHECK(vcn >= z->oldest && vcn < z->newest);
	if (data == NULL && *r == 0)
		*r = WAITING;
	return data;
}

/* Find the record page of @vcn that would have the name, and keep it in @op. */
static int look_up_page(struct index_zone *z, struct index_op *op, uint64_t vcn)
{
	const struct index_geometry *g = z->geometry;
	uint32_t page = page_map_find(z->c.page_map, geometry_physical(g, vcn),
				      op->name.chapter.list);
	int slot = sparse_view_find(&z->sparse, vcn);
	const uint8_t *data;
	int r;

	VDO_CHECK(vcn >= z->oldest && vcn < z->newest);
	if (op->looked_up && op->chapter == vcn)
		return 0;
	if (slot >= 0) {
		data = sparse_view_page(&z->sparse, (unsigned)slot, page);
	} else {
		data = get_page(z, op, vcn, page, &r);
		if (data == NULL)
			return r;
	}
	r = index_page_search(data, g, &op->name, &op->record_page);
	if (slot >= 0 && r == 0)
		sparse_view_note(&z->sparse, (unsigned)slot,
				 op->record_page != PAGE_NONE);
	op->chapter = vcn;
	op->looked_up = r == 0;
	return r;
}

/*
 * Find the record of the name in chapter @vcn. *record is NULL if it has none.
 */
static int look_in_chapter(struct index_zone *z, struct index_op *op,
			   uint64_t vcn, const struct index_record **record)
{
	const uint8_t *page;
	int r;

	VDO_CHECK(vcn <= z->newest);
	*record = NULL;
	if (vcn == z->newest) {
		*record = open_chapter_find(z->open, &op->name);
		return 0;
	}
	if (vcn + 1 == z->newest && z->writing_valid) {
		*record = open_chapter_find(z->writing, &op->name);
		return 0;
	}
	if (vcn < z->oldest)
		return 0;
	r = look_up_page(z, op, vcn);
	if (r != 0 || op->record_page == PAGE_NONE)
		return r;
	page = get_page(z, op, vcn, z->geometry->index_pages + op->record_page,
			&r);
	if (page != NULL)
		*record = record_page_find(page, &op->name.hash);
	return r;
}

static bool is_sparse(const struct index_zone *z, uint64_t vcn)
{
	return geometry_is_sparse(z->geometry, z->oldest, z->newest,
				  vcn);
}

static enum index_region region_of(const struct index_zone *z, uint64_t vcn)
{
	VDO_CHECK(vcn <= z->newest);
	if (vcn == z->newest)
		return INDEX_OPEN_CHAPTER;
	return is_sparse(z, vcn) ? INDEX_SPARSE : INDEX_DENSE;
}

/*
 * Who asks for a sample of a sparse chapter has that brought in first (X 8.2).
 */
static int wait_for_sparse(struct index_zone *z, struct index_op *op,
			   uint64_t vcn)
{
	int slot;

	VDO_CHECK(vcn <= z->newest);
	if (!is_sparse(z, vcn) ||
	    !index_name_is_sample(&op->name))
		return 0;
	slot = sparse_view_find(&z->sparse, vcn);
	if (slot >= 0) {
		sparse_view_note(&z->sparse, (unsigned)slot, true);
		return 0;
	}
	if (op->sampled)
		return 0;
	if (!z->sparse.wanting) {
		op->sampled = true;
		sparse_view_want(&z->sparse, vcn);
	}
	waitq_push(&z->sparse.waiting, &op->link);
	return WAITING;
}

/* Search the chapters in the sparse cache for a name that no index has. */
static int look_in_sparse(struct index_zone *z, struct index_op *op,
			  const struct index_record **record)
{
	VDO_CHECK(op->request != INDEX_DELETE);
	if (!z->geometry->sparse || index_name_is_sample(&op->name))
		return 0;
	if ((z->sparse.wanting || z->sparse.loading != 0) && !op->sampled) {
		op->sampled = true;
		waitq_push(&z->sparse.waiting, &op->link);
		return WAITING;
	}
	for (unsigned i = 0; i < SPARSE_SLOTS; i++) {
		unsigned slot = z->sparse.order[i];
		uint64_t vcn = z->sparse.slots[slot].vcn;
		int r;

		if (z->sparse.slots[slot].skip || vcn == CHAPTER_NONE ||
		    vcn < z->oldest)
			continue;
		r = look_up_page(z, op, vcn);
		if (r != 0)
			return r;
		if (op->record_page != PAGE_NONE)
			return look_in_chapter(z, op, vcn, record);
	}
	return 0;
}

/* Tell @op what was known, and @data what the open chapter is to have. */
static void answer(struct index_op *op, const struct index_record *record,
		   uint8_t *data)
{
	VDO_CHECK(op->request != INDEX_DELETE);
	memcpy(data, op->data, INDEX_DATA_SIZE);
	op->found = record != NULL;
	if (record == NULL)
		return;
	if (op->request != INDEX_UPDATE)
		memcpy(data, record->data, INDEX_DATA_SIZE);
	memcpy(op->data, record->data, INDEX_DATA_SIZE);
}

static int serve_delete(struct index_zone *z, struct index_op *op,
			struct volume_hint *h,
			const struct index_record *record)
{
	VDO_ASSERT(op->request == INDEX_DELETE);
	if (record == NULL && !h->collision)
		return 0;
	op->found = true;
	op->region = region_of(z, h->chapter);
	if (h->chapter == z->newest)
		open_chapter_remove(z->open, &op->name);
	return volume_index_remove(h);
}

/* Have the name in the open chapter. */
static int refresh(struct index_zone *z, struct index_op *op,
		   struct volume_hint *h, const struct index_record *record,
		   bool known)
{
	uint8_t data[INDEX_DATA_SIZE];
	int r = 0;

	VDO_CHECK(op->request != INDEX_DELETE &&
		  op->request != INDEX_QUERY_NO_UPDATE);
	if (!chapter_has_room(z, &op->name)) {
		waitq_push(&z->full, &op->link);
		return WAITING;
	}
	if (known)
		volume_index_set(h, z->newest);
	else
		r = volume_index_put(h, &op->name, z->newest);
	answer(op, record, data);
	if (r != 0)
		return r == -ENOSPC ? 0 : r; /* it is not remembered */
	open_chapter_put(z->open, &op->name, data);
	if (open_chapter_full(z->open) && !z->close_pending)
		chapter_full(z);
	return 0;
}

/* The result is 0 if the request is done, else WAITING or an error. */
static int serve(struct index_zone *z, struct index_op *op)
{
	const struct index_record *record = NULL;
	uint8_t data[INDEX_DATA_SIZE];
	struct volume_hint h;
	bool known, changes;
	int r;

	op->found = false;
	op->region = INDEX_NOWHERE;
	r = volume_index_get(&z->volume, &op->name, &h);
	if (r != 0)
		return r;
	if (h.found) {
		r = wait_for_sparse(z, op, h.chapter);
		if (r == 0)
			r = look_in_chapter(z, op, h.chapter, &record);
		if (r != 0)
			return r;
	}
	if (op->request == INDEX_DELETE)
		return serve_delete(z, op, &h, record);
	/* An entry with the whole name is of this name, even if its chapter
	 * has lost the record. */
	known = record != NULL || h.collision;
	if (record != NULL)
		op->region = region_of(z, h.chapter);
	if (!known) {
		r = look_in_sparse(z, op, &record);
		if (r != 0)
			return r;
		if (record != NULL)
			op->region = INDEX_SPARSE;
	}
	changes = op->request != INDEX_QUERY_NO_UPDATE &&
		  (record != NULL || op->request != INDEX_QUERY);
	if (known && h.chapter == z->newest && op->request != INDEX_UPDATE)
		changes = false;
	if (changes)
		return refresh(z, op, &h, record, known);
	answer(op, record, data);
	return 0;
}

static void count(struct index_zone *z, const struct index_op *op)
{
	struct zone_counts *c = &z->counts;

	counter_inc(op->found ? &c->found[op->request]
			      : &c->not_found[op->request]);
	if (op->request == INDEX_POST)
		counter_inc(&c->posts_in[op->region]);
}

/* Serve @op, which is inside of the gate. Returns false if it waits. */
static bool serve_inside(struct index_zone *z, struct index_op *op)
{
	int r = index_failure_get(z->c.failure) != 0 ? -EIO : serve(z, op);

	VDO_CHECK(z->gate.inside > 0);
	if (r == WAITING)
		return false;
	if (likely(r == 0))
		count(z, op);
	else if (r != -EIO || index_failure_get(z->c.failure) == 0)
		index_failure_note(z->c.failure, r, "a request failed");
	completion_fail(&op->done, r);
	gate_leave(&z->gate);
	return true;
}

bool index_zone_serve(struct index_zone *z, struct index_op *op)
{
	VDO_ASSERT(queue_is_current(z->c.queue));
	VDO_CHECK(op->name.zone == z->c.number);
	if (unlikely(!z->accepting)) {
		op->found = false;
		op->region = INDEX_NOWHERE;
		completion_fail(&op->done, -VDO_EBUSY);
		return true;
	}
	z->touched = true;
	gate_enter(&z->gate);
	return serve_inside(z, op);
}

void index_zone_receive(struct completion *c)
{
	struct index_op *op = container_of(c, struct index_op, run);

	VDO_CHECK(op->zone->c.queue == op->run.home);
	if (index_zone_serve(op->zone, op))
		completion_post(&op->done);
}

/* What an op waited for may be there: serve it from the start. */
static void op_wake(void *arg, struct waiter *w)
{
	struct index_zone *z = arg;
	struct index_op *op = container_of(w, struct index_op, link);

	VDO_ASSERT(queue_is_current(z->c.queue));
	if (serve_inside(z, op))
		completion_post(&op->done);
}

void index_zone_prefetch(const struct index_zone *z,
			 const struct index_name *name)
{
	VDO_CHECK(name->zone == z->c.number);
	volume_index_prefetch(&z->volume, name);
	open_chapter_prefetch(atomic_load_explicit(&z->source.filling,
						   memory_order_relaxed),
			      name);
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
		op_wake(z, w);
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
