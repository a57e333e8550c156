/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rebuilding from the chapters on disk.
 *
 * A chapter counts if all its index pages are whole, say the same, and belong
 * where they are. The newest one that does ends the range. An older one that
 * does not is left out: its records are lost and the rest is not. So is one
 * whose records are not in their order, because they are damaged as well.
 *
 * Two names can look alike in the volume index. If an entry for another chapter
 * is there, that chapter is searched to see whose it is, through a page cache
 * as requests do it; the replay then goes on with the same record. If the entry
 * is for the same chapter, its pages are searched from the first one on. (The
 * reference takes such a record for another name. For fill records that costs
 * an entry, which would also survive a delete.)
 */
#include "build.h"

#include "index/rebuilder.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/counter.h"
#include "index_format/chapter_index.h"
#include "index_format/record_page.h"

#define CACHE_PAGES 64u
#define WAITING	    1 /* of what looks at pages: the same record again */

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define REBUILD_ROWS(X)							       \
	/* memory */							       \
	X(B_BEGIN, rebuild_begin, ON_MAIN)				       \
	/* each slot: which chapter is there, by its first page? */	       \
	X(B_SLOT, rebuild_slot, ON_MAIN)				       \
	X(B_SLOT_READ, rebuild_slot_read, ON_MAIN)			       \
	/* the newest of them, until one is whole: the range */		       \
	X(B_NEWEST, rebuild_newest, ON_MAIN)				       \
	X(B_NEWEST_READ, rebuild_newest_read, ON_MAIN)			       \
	/* each chapter, from the oldest on */				       \
	X(B_CHAPTER, rebuild_chapter, ON_MAIN)				       \
	/* check it; note its lists in the page map */			       \
	X(B_CHAPTER_READ, rebuild_chapter_read, ON_MAIN)		       \
	/* each page: put its records in the volume index */		       \
	X(B_RECORDS, rebuild_records, ON_MAIN)				       \
	X(B_END, rebuild_end, ON_MAIN)

enum { REBUILD_ROWS(FLOW_ROW) };
REBUILD_ROWS(FLOW_FUNCTION)
FLOW_TABLE(rebuild_table, B_END, REBUILD_ROWS);

static struct index_rebuilder *rebuilder_of(struct flow *f)
{
	return container_of(f, struct index_rebuilder, flow);
}

void rebuilder_init(struct index_rebuilder *r,
		    const struct rebuilder_config *c)
{
	VDO_ASSERT(c->queue != NULL && c->pages != NULL);
	*r = (struct index_rebuilder){.c = *c};
	flow_init(&r->flow, &rebuild_table);
	r->flow.queues[ON_MAIN] = c->queue;
}

void rebuilder_start(struct index_rebuilder *r)
{
	VDO_ASSERT(r->vcns == NULL); /* none is under way */
	flow_start(&r->flow);
}

static const struct index_geometry *geometry(const struct index_rebuilder *r)
{
	return r->c.media->geometry;
}

static bool stopped(const struct index_rebuilder *r)
{
	return atomic_load_explicit(r->c.stop, memory_order_relaxed);
}

/* A page of the chapter in memory. */
static const uint8_t *page_at(const struct index_rebuilder *r, uint32_t page)
{
	VDO_ASSERT(page < geometry(r)->chapter_pages);
	return r->c.pages + (size_t)page * PAGE_BYTES;
}

/* Read the first @count pages of the slot at hand, then go on at row @next. */
static int read_pages(struct index_rebuilder *r, uint32_t count, int next)
{
	uint64_t block = r->c.media->volume_block +
			 geometry_page_block(geometry(r), r->slot, 0);

	VDO_ASSERT(count > 0 && count <= geometry(r)->chapter_pages);
	VDO_ASSERT(r->slot < geometry(r)->chapters);
	flow_await_any(&r->flow, &r->io.done, next);
	media_read(r->c.media, &r->io, block, (uint64_t)count * PAGE_BLOCKS,
		   r->c.pages);
	return FLOW_WAIT;
}

/* ------------------------------------------------------------------- memory */

/* A page came. An error of it is known only now, as the cache forgets it. */
static void wake(void *arg, struct waiter *w)
{
	struct index_rebuilder *r = arg;
	const uint8_t *data = page_cache_get(&r->cache, r->wanted_vcn,
					     r->wanted_page, w,
					     &r->page_result);

	VDO_ASSERT(queue_is_current(r->c.queue));
	VDO_ASSERT(data != NULL || r->page_result != 0);
	flow_go(&r->flow);
}

static int rebuild_begin(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);
	const struct index_geometry *g = geometry(r);
	struct page_cache_config c = {
		.media = r->c.media,
		.oldest = &r->oldest,
		.queue = r->c.queue,
		.page_count = MIN(g->cache_pages + 4, CACHE_PAGES),
		.wake = wake,
		.arg = r,
	};

	VDO_ASSERT(r->vcns == NULL);
	r->slot = 0;
	r->oldest = 0;
	r->page_result = 0;
	r->vcns = alloc_zeroed(g->chapters, sizeof(*r->vcns));
	if (r->vcns == NULL)
		return flow_fail(f, -ENOMEM);
	return flow_next(f, page_cache_init(&r->cache, &c), B_SLOT);
}

static int rebuild_end(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);

	VDO_ASSERT(queue_is_current(r->c.queue));
	page_cache_fini(&r->cache);
	alloc_free(r->vcns);
	r->vcns = NULL;
	counter_set(&r->chapters_done, 0);
	counter_set(&r->chapters_total, 0);
	completion_finish(&r->done, f->result);
	return FLOW_END;
}

/* ----------------------------------------------------------- which chapters */

/* The chapter that an index page in memory is of, if it can be in this slot. */
static uint64_t open_page(const struct index_rebuilder *r, uint32_t page,
			  struct index_page *p)
{
	VDO_ASSERT(r->slot < geometry(r)->chapters);
	if (index_page_open(page_at(r, page), geometry(r),
			    r->c.media->layout.volume_nonce, p) != 0 ||
	    p->vcn >= CHAPTERS_END ||
	    geometry_physical(geometry(r), p->vcn) != r->slot)
		return CHAPTER_NONE;
	return p->vcn;
}

/* Are the index pages in memory all of the chapter at hand? */
static bool chapter_whole(const struct index_rebuilder *r)
{
	const struct index_geometry *g = geometry(r);
	uint32_t next = 0;

	VDO_ASSERT(r->vcn != CHAPTER_NONE);
	for (uint32_t i = 0; i < g->index_pages; i++) {
		struct index_page p;

		if (open_page(r, i, &p) != r->vcn || p.first_list != next ||
		    index_page_verify(page_at(r, i), g, &p) != 0)
			return false;
		next += p.list_count;
	}
	return next == g->lists;
}

/* With all pages of the chapter in memory. */
static bool records_whole(const struct index_rebuilder *r)
{
	const struct index_geometry *g = geometry(r);

	for (uint32_t i = g->index_pages; i < g->chapter_pages; i++)
		if (!record_page_in_order(page_at(r, i)))
			return false;
	return true;
}

static int rebuild_slot(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);

	VDO_ASSERT(r->slot <= geometry(r)->chapters);
	if (stopped(r))
		return flow_fail(f, -ECANCELED);
	if (r->slot == geometry(r)->chapters)
		return B_NEWEST;
	return read_pages(r, 1, B_SLOT_READ);
}

static int rebuild_slot_read(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);
	struct index_page p;

	VDO_ASSERT(r->slot < geometry(r)->chapters);
	/* A slot that cannot be read is as good as empty. */
	r->vcns[r->slot] = r->io.done.result == 0 ? open_page(r, 0, &p)
						  : CHAPTER_NONE;
	r->slot++;
	return B_SLOT;
}

/* The newest chapter there is, or CHAPTER_NONE. */
static uint64_t newest_of(const struct index_rebuilder *r)
{
	uint64_t newest = CHAPTER_NONE;

	VDO_ASSERT(r->vcns != NULL);
	for (uint32_t i = 0; i < geometry(r)->chapters; i++) {
		uint64_t vcn = r->vcns[i];

		if (vcn != CHAPTER_NONE &&
		    (newest == CHAPTER_NONE || vcn > newest))
			newest = vcn;
	}
	return newest;
}

/* @newest will be the open chapter. Forget chapters that do not go with it. */
static int set_range(struct index_rebuilder *r, uint64_t newest)
{
	const struct index_geometry *g = geometry(r);
	uint64_t oldest = newest;

	VDO_ASSERT(newest == 0 || newest - 1 < CHAPTERS_END);
	for (uint32_t i = 0; i < g->chapters; i++) {
		uint64_t vcn = r->vcns[i];

		if (vcn == CHAPTER_NONE)
			continue;
		if (vcn + g->chapters <= newest ||
		    geometry_physical(g, newest) == i)
			r->vcns[i] = CHAPTER_NONE;
		else if (vcn < oldest)
			oldest = vcn;
	}
	chapter_range_set(r->c.range, oldest, newest);
	counter_set(&r->chapters_total, newest - oldest);
	r->vcn = oldest;
	return B_CHAPTER;
}

static int rebuild_newest(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);

	r->vcn = newest_of(r);
	if (r->vcn == CHAPTER_NONE)
		return set_range(r, 0);
	r->slot = geometry_physical(geometry(r), r->vcn);
	return read_pages(r, geometry(r)->index_pages, B_NEWEST_READ);
}

/* A chapter that is not whole was being written when power failed. */
static int rebuild_newest_read(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);

	VDO_ASSERT(r->vcns[r->slot] == r->vcn);
	if (r->io.done.result == 0 && chapter_whole(r))
		return set_range(r, r->vcn + 1);
	r->vcns[r->slot] = CHAPTER_NONE;
	return B_NEWEST;
}

/* ----------------------------------------------------------------- chapters */

static int rebuild_chapter(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);
	const struct chapter_range *range = r->c.range;

	if (stopped(r))
		return flow_fail(f, -ECANCELED);
	VDO_ASSERT(r->vcn >= range->oldest && r->vcn <= range->newest);
	counter_set(&r->chapters_done, r->vcn - range->oldest);
	contents_open_chapter(r->c.contents, r->vcn);
	if (r->vcn == range->newest)
		return B_END;
	r->slot = geometry_physical(geometry(r), r->vcn);
	if (r->vcns[r->slot] == r->vcn)
		return read_pages(r, geometry(r)->chapter_pages,
				  B_CHAPTER_READ);
	counter_inc(&r->left_out);
	r->vcn++;
	return flow_turn(f, B_CHAPTER);
}

/* Note on which of the pages in memory each list is. */
static void map_pages(struct index_rebuilder *r)
{
	uint32_t next = 0;

	VDO_ASSERT(r->c.contents->page_map != NULL);
	for (uint32_t i = 0; i < geometry(r)->index_pages; i++) {
		struct index_page p;

		if (open_page(r, i, &p) == r->vcn)
			next += p.list_count;
		page_map_set(r->c.contents->page_map, r->vcn, i, next - 1);
	}
}

static int rebuild_chapter_read(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);

	VDO_ASSERT(r->vcns[r->slot] == r->vcn);
	if (r->io.done.result == 0 && chapter_whole(r) && records_whole(r)) {
		map_pages(r);
		r->record = 0;
		return B_RECORDS;
	}
	log_warning(r->c.media->log,
		    "index: left out a damaged chapter, vcn=%llu",
		    (unsigned long long)r->vcn);
	counter_inc(&r->left_out);
	r->vcn++;
	return B_CHAPTER;
}

/* ------------------------------------------------------------------ records */

static const struct index_record *records_of(const struct index_rebuilder *r,
					     uint32_t page)
{
	VDO_ASSERT(page < geometry(r)->record_pages);
	return (const void *)page_at(r, geometry(r)->index_pages + page);
}

/* 0: *data is there. WAITING: it will be. Else an error. */
static int get_page(struct index_rebuilder *r, uint64_t vcn, uint32_t page,
		    const uint8_t **data)
{
	int result = r->page_result;

	VDO_ASSERT(page < geometry(r)->chapter_pages);
	if (result != 0)
		return result;
	r->wanted_vcn = vcn;
	r->wanted_page = page;
	*data = page_cache_get(&r->cache, vcn, page, &r->waiter, &result);
	return *data == NULL && result == 0 ? WAITING : result;
}

/* Is @name in another chapter, for which the volume index has an entry? */
static int search_chapter(struct index_rebuilder *r,
			  const struct index_name *name, uint64_t vcn,
			  bool *present)
{
	const struct index_geometry *g = geometry(r);
	uint32_t page = page_map_find(r->c.contents->page_map,
				      geometry_physical(g, vcn),
				      name->chapter.list);
	const uint8_t *data;
	int result;

	VDO_ASSERT(vcn != r->vcn);
	*present = false;
	result = get_page(r, vcn, page, &data);
	if (result == 0)
		result = index_page_search(data, g, name, &page);
	if (result == 0 && page != PAGE_NONE) {
		result = get_page(r, vcn, g->index_pages + page, &data);
		if (result == 0)
			*present = record_page_find(data, &name->hash) != NULL;
	}
	/* What a damaged chapter had is lost. */
	return result == -VDO_ECORRUPT ? 0 : result;
}

/*
 * Was the name of this record met before in the same chapter? Fill records are
 * there many times. On one page the copy in the lowest slot is found first.
 */
static bool met_before(const struct index_rebuilder *r,
		       const struct index_record *record)
{
	for (uint32_t page = 0;; page++) {
		const struct index_record *records = records_of(r, page);
		const struct index_record *first = record_page_find(
			(const uint8_t *)records, &record->name);

		if (first == record)
			return false;
		if (first != NULL || record < records)
			return true;
	}
}

static int replay_record(struct index_rebuilder *r,
			 const struct index_record *record)
{
	const struct index_geometry *g = geometry(r);
	const struct index_contents *c = r->c.contents;
	const struct chapter_range *range = r->c.range;
	struct index_name name;
	struct volume_hint h;
	bool present;
	int result;

	VDO_ASSERT(r->record < g->records);
	index_name_init(&name, g, c->zone_count, &record->name);
	if (geometry_is_sparse(g, range->oldest, range->newest, r->vcn) &&
	    !index_name_is_sample(&name))
		return 0;
	result = volume_index_get(c->volumes[name.zone], &name, &h);
	if (result != 0)
		return result;
	present = h.collision;
	if (h.found && !h.collision && h.chapter == r->vcn) {
		present = met_before(r, record);
	} else if (h.found && !h.collision) {
		result = search_chapter(r, &name, h.chapter, &present);
		if (result != 0)
			return result;
	}
	if (present) {
		volume_index_set(&h, r->vcn);
		return 0;
	}
	result = volume_index_put(&h, &name, r->vcn);
	return result == -ENOSPC || result == -EEXIST ? 0 : result;
}

static int rebuild_records(struct flow *f)
{
	struct index_rebuilder *r = rebuilder_of(f);
	const struct index_record *records = records_of(r, 0);

	VDO_ASSERT(r->record < geometry(r)->records);
	do {
		int result = replay_record(r, &records[r->record]);

		if (result == WAITING) {
			flow_park(f, B_RECORDS);
			return FLOW_WAIT;
		}
		if (result != 0)
			return flow_fail(f, result);
		r->record++;
		r->page_result = 0;
	} while (r->record % RECORDS_PER_PAGE != 0);
	if (r->record < geometry(r)->records)
		return flow_turn(f, B_RECORDS);
	r->vcn++;
	return B_CHAPTER;
}
