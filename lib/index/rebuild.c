/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rebuilding from the chapters on disk (X 10.3).
 *
 *	[scan]	   *	the first page of each slot: which chapter is there?
 *	[check]	   *	the newest of them, all index pages, until one is whole
 *	[replay]   *	from the oldest on: read a chapter, check it,
 *	[replay_page] *	put its records in the volume index
 *
 * A chapter counts if all its index pages are whole, say the same, and belong
 * where they are. One that does not, with newer ones behind it, is left out:
 * its records are lost and the rest is not. The same goes for one whose records
 * are not in their order: they are damaged, too.
 *
 * Two names can look alike in the volume index. If an entry for another chapter
 * is there, that chapter is searched to see whose it is, through a page cache
 * as requests do; the replay then goes on with the same record. If it is for
 * the same chapter, the pages before are searched. (The reference takes such a
 * record for another name; for fill records that costs an entry, which would
 * also survive a delete.)
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/counter.h"
#include "index/index_priv.h"

#define CACHE_PAGES 64u

struct rebuild_state {
	uint64_t *vcns; /* by slot; CHAPTER_NONE: nothing of use */
	uint64_t vcn;	/* that is being checked or replayed */
	uint64_t slot;
	uint32_t record; /* next of the chapter */
	struct page_cache cache;
	struct waiter waiter;	  /* for that page: */
	uint64_t wanted_vcn;
	uint32_t wanted_page;
	int page_result; /* its error, met while replaying this record */
	uint64_t oldest; /* for the cache: all are alive */
};

static void scan(struct index *index, int result);
static void replay(struct index *index, int result);
static void replay_page(struct index *index, int result);

/* An error of the page is known only now; the cache forgets it. */
static void wake(void *arg, struct waiter *w)
{
	struct index *index = arg;
	struct rebuild_state *s = index->rebuild;
	const uint8_t *data;

	data = page_cache_get(&s->cache, s->wanted_vcn, s->wanted_page, w,
			      &s->page_result);

	VDO_ASSERT(data != NULL || s->page_result != 0);
	index_again(index, replay_page);
}

/* 0: *data is there; 1: wait, then again; else an error. */
static int get_page(struct rebuild_state *s, uint64_t vcn, uint32_t page,
		    const uint8_t **data)
{
	int r = s->page_result;

	if (r != 0)
		return r;
	s->wanted_vcn = vcn;
	s->wanted_page = page;
	*data = page_cache_get(&s->cache, vcn, page, &s->waiter, &r);
	return *data == NULL && r == 0 ? 1 : r;
}

static int state_create(struct index *index)
{
	struct rebuild_state *s = alloc_zeroed(1, sizeof(*s));
	struct page_cache_config c = {
		.geometry = &index->geometry,
		.nonce = &index->layout.volume_nonce,
		.storage = index->c.storage,
		.kind = index->c.kind,
		.volume_block = &index->volume_block,
		.queue = index->c.queue,
		.page_count = MIN(index->geometry.cache_pages + 4,
				  CACHE_PAGES),
		.wake = wake,
		.arg = index,
	};

	index->rebuild = s;
	if (s == NULL)
		return -ENOMEM;
	c.oldest = &s->oldest;
	s->vcns = alloc_zeroed(index->geometry.chapters, sizeof(*s->vcns));
	if (s->vcns == NULL)
		return -ENOMEM;
	return page_cache_init(&s->cache, &c);
}

static void finish(struct index *index, int result)
{
	struct rebuild_state *s = index->rebuild;

	if (s != NULL) {
		page_cache_fini(&s->cache);
		alloc_free(s->vcns);
		alloc_free(s);
	}
	index->rebuild = NULL;
	index->outer(index, result);
}

/* Read pages of a slot into the chapter writer's memory. */
static void read_pages(struct index *index, uint64_t slot, uint32_t count,
		       completion_fn then)
{
	uint64_t block = geometry_page_block(&index->geometry, slot, 0);

	completion_init(&index->mio.done, index->c.queue, then);
	mio_read(&index->mio, index->c.storage, index->c.kind,
		 index->volume_block + block, (uint64_t)count * PAGE_BLOCKS,
		 index->writer.pages);
}

static struct index *index_of(struct completion *c)
{
	return container_of(c, struct index, mio.done);
}

/* The chapter that a page is of, if it can be in @slot. */
static uint64_t chapter_of_page(const struct index *index, const uint8_t *page,
				uint64_t slot, struct index_page *p)
{
	if (index_page_open(page, &index->geometry, index->layout.volume_nonce,
			    p) != 0 ||
	    p->vcn >= CHAPTERS_END ||
	    geometry_physical(&index->geometry, p->vcn) != slot)
		return CHAPTER_NONE;
	return p->vcn;
}

/* Are the index pages in memory all of a chapter? */
static bool chapter_whole(const struct index *index, uint64_t slot,
			  uint64_t vcn)
{
	const struct index_geometry *g = &index->geometry;
	uint32_t next = 0;

	for (uint32_t i = 0; i < g->index_pages; i++) {
		const uint8_t *page =
			index->writer.pages + (size_t)i * PAGE_BYTES;
		struct index_page p;

		if (chapter_of_page(index, page, slot, &p) != vcn ||
		    p.first_list != next || index_page_verify(page, g, &p) != 0)
			return false;
		next += p.list_count;
	}
	return next == g->lists;
}

/* With all pages of a chapter in memory. */
static bool records_whole(const struct index *index)
{
	const struct index_geometry *g = &index->geometry;

	for (uint32_t i = g->index_pages; i < g->chapter_pages; i++)
		if (!record_page_in_order(index->writer.pages +
					  (size_t)i * PAGE_BYTES))
			return false;
	return true;
}

static void slot_read(struct completion *c)
{
	struct index *index = index_of(c);
	struct rebuild_state *s = index->rebuild;
	struct index_page p;

	/* A slot that cannot be read is as good as empty. */
	s->vcns[s->slot] = CHAPTER_NONE;
	if (c->result == 0)
		s->vcns[s->slot] = chapter_of_page(
			index, index->writer.pages, s->slot, &p);
	s->slot++;
	scan(index, 0);
}

/* The newest chapter there is, or CHAPTER_NONE. */
static uint64_t newest_of(const struct index *index)
{
	uint64_t newest = CHAPTER_NONE;

	for (uint32_t i = 0; i < index->geometry.chapters; i++) {
		uint64_t vcn = index->rebuild->vcns[i];

		if (vcn != CHAPTER_NONE &&
		    (newest == CHAPTER_NONE || vcn > newest))
			newest = vcn;
	}
	return newest;
}

/* The range is known: forget chapters outside, prepare to replay. */
static void set_range(struct index *index, uint64_t newest)
{
	const struct index_geometry *g = &index->geometry;
	struct rebuild_state *s = index->rebuild;
	uint64_t oldest = newest;

	for (uint32_t i = 0; i < g->chapters; i++) {
		uint64_t vcn = s->vcns[i];

		if (vcn == CHAPTER_NONE)
			continue;
		if (vcn + g->chapters <= newest ||
		    geometry_physical(g, newest) == i)
			s->vcns[i] = CHAPTER_NONE;
		else if (vcn < oldest)
			oldest = vcn;
	}
	index_set_chapters(index, oldest, newest);
	__atomic_store_n(&index->rebuild_total, newest - oldest,
			 __ATOMIC_RELAXED);
	s->vcn = oldest;
	replay(index, 0);
}

static void check(struct index *index);

static void newest_read(struct completion *c)
{
	struct index *index = index_of(c);
	struct rebuild_state *s = index->rebuild;

	if (c->result == 0 && chapter_whole(index, s->slot, s->vcn)) {
		set_range(index, s->vcn + 1);
		return;
	}
	s->vcns[s->slot] = CHAPTER_NONE;
	check(index);
}

/* Is the newest chapter whole? Else it does not count. */
static void check(struct index *index)
{
	struct rebuild_state *s = index->rebuild;

	s->vcn = newest_of(index);
	if (s->vcn == CHAPTER_NONE) {
		set_range(index, 0);
		return;
	}
	s->slot = geometry_physical(&index->geometry, s->vcn);
	read_pages(index, s->slot, index->geometry.index_pages, newest_read);
}

static bool stopped(const struct index *index)
{
	return atomic_load_explicit(&index->stop, memory_order_relaxed);
}

static void scan(struct index *index, int result)
{
	struct rebuild_state *s = index->rebuild;

	if (result == 0 && stopped(index))
		result = -ECANCELED;
	if (result != 0)
		finish(index, result);
	else if (s->slot < index->geometry.chapters)
		read_pages(index, s->slot, 1, slot_read);
	else
		check(index);
}

static void open_chapter(struct index *index, uint64_t vcn)
{
	for (unsigned i = 0; i < index->c.zone_count; i++)
		volume_index_open(&index->zones[i].volume, vcn);
}

/* Whose is the entry that @h found in another chapter? 1: wait for a page. */
static int search_chapter(struct index *index, const struct index_name *name,
			  uint64_t vcn, bool *present)
{
	const struct index_geometry *g = &index->geometry;
	struct rebuild_state *s = index->rebuild;
	uint32_t page = page_map_find(&index->page_map,
				      geometry_physical(g, vcn),
				      name->chapter.list);
	const uint8_t *data;
	int r;

	*present = false;
	r = get_page(s, vcn, page, &data);
	if (r == 0)
		r = index_page_search(data, g, name, &page);
	if (r == 0 && page != PAGE_NONE) {
		r = get_page(s, vcn, g->index_pages + page, &data);
		if (r == 0)
			*present = record_page_find(data, &name->hash) != NULL;
	}
	/* What a damaged chapter had is lost. */
	return r == -VDO_ECORRUPT ? 0 : r;
}

/*
 * Was the name of this record met before in the same chapter? Fill records are
 * there many times. On one page the copy in the lowest slot is found first.
 */
static bool met_before(const struct index *index,
		       const struct index_record *record)
{
	const uint8_t *page = index->writer.pages +
			      (size_t)index->geometry.index_pages * PAGE_BYTES;

	for (;; page += PAGE_BYTES) {
		const struct index_record *first =
			record_page_find(page, &record->name);

		if (first == record)
			return false;
		if (first != NULL || (const uint8_t *)record < page)
			return true;
	}
}

/* 1: wait for a page, then again. */
static int replay_record(struct index *index, const struct index_record *record)
{
	const struct index_geometry *g = &index->geometry;
	struct rebuild_state *s = index->rebuild;
	struct index_name name;
	struct volume_hint h;
	bool present;
	int r;

	index_set_name(index, &name, &record->name);
	if (geometry_is_sparse(g, index->oldest, index->newest, s->vcn) &&
	    !index_name_is_sample(&name))
		return 0;
	r = volume_index_get(&index->zones[name.zone].volume, &name, &h);
	if (r != 0)
		return r;
	present = h.collision;
	if (h.found && !h.collision && h.chapter == s->vcn) {
		present = met_before(index, record);
	} else if (h.found && !h.collision) {
		r = search_chapter(index, &name, h.chapter, &present);
		if (r != 0)
			return r;
	}
	if (present) {
		volume_index_set(&h, s->vcn);
		return 0;
	}
	r = volume_index_put(&h, &name, s->vcn);
	return r == -ENOSPC || r == -EEXIST ? 0 : r;
}

static void replay_page(struct index *index, int result)
{
	const struct index_geometry *g = &index->geometry;
	struct rebuild_state *s = index->rebuild;
	const struct index_record *records =
		(const void *)(index->writer.pages +
			       (size_t)g->index_pages * PAGE_BYTES);

	do {
		result = replay_record(index, &records[s->record]);
		if (result != 0)
			break;
		s->record++;
		s->page_result = 0;
	} while (s->record % RECORDS_PER_PAGE != 0);
	if (result == 1)
		return;
	if (result != 0) {
		finish(index, result);
	} else if (s->record < g->records) {
		index_again(index, replay_page);
	} else {
		s->vcn++;
		replay(index, 0);
	}
}

static void leave_out(struct index *index)
{
	counter_inc(&index->left_out);
	index->rebuild->vcn++;
}

static void chapter_read(struct completion *c)
{
	struct index *index = index_of(c);
	struct rebuild_state *s = index->rebuild;
	uint32_t next = 0;

	if (c->result != 0 || !chapter_whole(index, s->slot, s->vcn) ||
	    !records_whole(index)) {
		log_warning(index->c.log,
			    "index: left out a damaged chapter, vcn=%llu",
			    (unsigned long long)s->vcn);
		leave_out(index);
		replay(index, 0);
		return;
	}
	for (uint32_t i = 0; i < index->geometry.index_pages; i++) {
		const uint8_t *page =
			index->writer.pages + (size_t)i * PAGE_BYTES;
		struct index_page p;

		if (chapter_of_page(index, page, s->slot, &p) == s->vcn)
			next += p.list_count;
		page_map_set(&index->page_map, s->vcn, i, next - 1);
	}
	s->record = 0;
	replay_page(index, 0);
}

/* Replay chapter s->vcn, or end. */
static void replay(struct index *index, int result)
{
	struct rebuild_state *s = index->rebuild;

	if (result == 0 && stopped(index))
		result = -ECANCELED;
	__atomic_store_n(&index->rebuild_done, s->vcn - index->oldest,
			 __ATOMIC_RELAXED);
	open_chapter(index, s->vcn);
	if (result != 0 || s->vcn == index->newest) {
		finish(index, result);
		return;
	}
	s->slot = geometry_physical(&index->geometry, s->vcn);
	if (s->vcns[s->slot] == s->vcn) {
		read_pages(index, s->slot, index->geometry.chapter_pages,
			   chapter_read);
	} else {
		leave_out(index);
		index_again(index, replay);
	}
}

void index_rebuild(struct index *index, index_then then)
{
	int r;

	index->outer = then;
	r = state_create(index);
	if (r != 0)
		finish(index, r);
	else
		scan(index, 0);
}
