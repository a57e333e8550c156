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
		index_zone_chapter_full(z);
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
void index_zone_serve_again(void *arg, struct waiter *w)
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
