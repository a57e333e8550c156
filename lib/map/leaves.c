/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of leaf pages.
 *
 *	FREE --[leaves_pump]--> INCOMING --[leaves_load_done]--> RESIDENT
 *	  |                        \--> FAILED --> FREE             |  ^
 *	  |                             (volume read-only)  [eras_add] |
 *	  |                                                         v  |
 *	  +--[make_page]----------------------------------------> DIRTY |
 *	                                              [pageio.c]    v   |
 *	                                                       OUTGOING-+
 *
 * Who misses waits for the page if it is on its way, else in line for a buffer:
 * a free one, or that of the first page which was not used since the clock hand
 * passed it (second chance: a hit costs one store). A clean page is given up at
 * once, a dirty one is written first; if it was used meanwhile it stays
 * (reclaimed) and another one is sought.
 *
 * Operations never keep a page between calls, and puts do not wait for writes
 * (the image is a copy), so pages are never busy. Each end of an I/O looks
 * after those in line [leaves_pump]: while any page is INCOMING or OUTGOING that
 * will happen, and else there is a page to evict; only in read-only mode all
 * can be dirty for good, and then who waits is sent away.
 *
 * A page that was never on disk has its flag off. A new page gets a buffer
 * without being read, and is dirty, so that the garbage in its block is
 * overwritten before anybody reads it: it might look like a page of this
 * volume. So it holds the entry that made it, of which replay makes an empty
 * page, until it is written.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

void leaves_init(struct map_zone *z)
{
	list_init(&z->free);
	list_init(&z->lru);
	waitq_init(&z->wanting);
}

int leaves_make_cache(struct map_zone *z, uint64_t cache_size)
{
	int r;

	VDO_ASSERT(z->cache == NULL && z->cache_size == 0);
	z->cache_size = MAX(cache_size, CACHE_PAGES_MIN);
	counter_add(&z->stats.states[PAGE_FREE], z->cache_size);
	r = intmap_init(&z->leaves, z->cache_size);
	if (r != 0)
		return r;
	z->cache = alloc_spare(CACHE_LINE, z->cache_size, sizeof(*z->cache));
	z->cache_buffers = alloc_spare(BLOCK_SIZE, z->cache_size, BLOCK_SIZE);
	if (z->cache == NULL || z->cache_buffers == NULL)
		return -ENOMEM;
	/* The first page has the first buffer; others get one at first use. */
	z->cache[0].bytes = z->cache_buffers;
	return 0;
}

void leaves_fini(struct map_zone *z)
{
	alloc_free(z->cache);
	alloc_free(z->cache_buffers);
	intmap_fini(&z->leaves);
}

static struct page *free_buffer(struct map_zone *z)
{
	struct list_node *n = list_pop(&z->free);
	struct page *p;

	VDO_ASSERT(z->cache_used <= z->cache_size);
	if (n != NULL)
		return list_entry(n, struct page, lru);
	if (z->cache_used == z->cache_size)
		return NULL;
	p = &z->cache[z->cache_used];
	p->bytes = z->cache[0].bytes + z->cache_used * BLOCK_SIZE;
	z->cache_used++;
	list_init(&p->link);
	list_init(&p->lru);
	waitq_init(&p->waiters);
	return p;
}

/* Give up @p, which nobody needs. */
static void release_buffer(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(p->era == 0 && p->hold == 0 && waitq_empty(&p->waiters));
	page_set_state(z, p, PAGE_FREE);
	(void)intmap_remove(&z->leaves, p->pbn);
	list_push_front(&z->free, &p->lru);
}

static void lru_add(struct map_zone *z, struct page *p)
{
	VDO_CHECK(list_empty(&p->lru) && p->level == 0);
	list_push_back(&z->lru, &p->lru);
	z->lru_count++;
	p->referenced = true;
}

static void lru_remove(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(z->lru_count > 0);
	list_remove(&p->lru);
	z->lru_count--;
}

static void begin_eviction(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(p->state == PAGE_DIRTY && !p->evict);
	p->evict = true;
	z->evicting++;
	pageio_write(z, p);
}

/*
 * Go round the clock: true when a clean page was given up; false when there is
 * none, or enough dirty ones are being written for those who wait.
 */
static bool evict_page(struct map_zone *z)
{
	bool writable = !readonly_entered(z->map->readonly);

	VDO_CHECK(list_empty(&z->free) && z->cache_used == z->cache_size);
	for (uint64_t n = 2 * z->lru_count; n > 0; n--) {
		struct page *p = list_entry(z->lru.next, struct page, lru);

		if (z->evicting >= z->wanting.count)
			return false;
		list_remove(&p->lru);
		list_push_back(&z->lru, &p->lru);
		if (p->referenced) {
			p->referenced = false;
		} else if (p->state == PAGE_RESIDENT) {
			lru_remove(z, p);
			release_buffer(z, p);
			return true;
		} else if (p->state == PAGE_DIRTY && !p->evict && writable) {
			begin_eviction(z, p);
		}
	}
	if (z->evicting == 0)
		counter_inc(&z->stats.cache_pressure);
	return false;
}

static struct page *take_buffer(struct map_zone *z)
{
	struct page *p = free_buffer(z);

	VDO_CHECK(!waitq_empty(&z->wanting));
	if (p == NULL && evict_page(z))
		p = free_buffer(z);
	return p;
}

static int read_entry(struct map_zone *z, struct page *p, struct map_op *op)
{
	VDO_CHECK(p->pbn == op->page && p->level == 0);
	p->referenced = true;
	if (p->state == PAGE_OUTGOING)
		counter_inc(&z->stats.read_outgoing);
	op->value = mapping_page_get(p->bytes, op->slot);
	return likely(mapping_plausible(z->map->slabs, op->value))
		       ? 0
		       : -VDO_EMAPPING;
}

static void write_entry(struct map_zone *z, struct page *p, struct map_op *op)
{
	VDO_CHECK(p->pbn == op->page && p->level == 0);
	p->referenced = true;
	mapping_page_put(p->bytes, op->slot, op->value);
	eras_add_entry(z, p, op->seq);
}

static void collect(struct map_zone *z, struct page *p, struct map_op *op)
{
	struct map_run *run = &op->run;
	unsigned max = run->count;
	unsigned slot = op->slot;

	VDO_CHECK(p->pbn == op->page && p->level == 0);
	p->referenced = true;
	if (p->state == PAGE_OUTGOING)
		counter_inc(&z->stats.read_outgoing);
	run->count = 0;
	while ((slot = mapping_page_skip(p->bytes, slot, run->end,
					 op->value)) < run->end &&
	       run->count < max) {
		struct mapping old = mapping_page_get(p->bytes, slot);

		if (unlikely(!mapping_plausible(z->map->slabs, old)))
			break;
		run->changes[run->count++] = (struct journal_change){
			.old = old, .slot = (uint16_t)slot++};
	}
	op->slot = (uint16_t)slot;
}

static void copy(struct map_zone *z, const struct page *p,
		 const struct map_op *op)
{
	VDO_CHECK(p->pbn == op->page && p->level == 0);
	if (p->state == PAGE_OUTGOING)
		counter_inc(&z->stats.read_outgoing);
	memcpy(op->copy, p->bytes, BLOCK_SIZE);
}

static void read_run(struct map_zone *z, struct page *p, struct map_op *op)
{
	struct map_run *run = &op->run;

	VDO_CHECK(p->pbn == op->page && p->level == 0);
	p->referenced = true;
	if (p->state == PAGE_OUTGOING)
		counter_inc(&z->stats.read_outgoing);
	run->count = 0;
	for (unsigned slot = op->slot; slot < run->end; slot++)
		run->changes[run->count++] = (struct journal_change){
			.old = mapping_page_get(p->bytes, slot),
			.slot = (uint16_t)slot};
}

static void write_run(struct map_zone *z, struct page *p, struct map_op *op)
{
	const struct map_run *run = &op->run;

	VDO_CHECK(p->pbn == op->page && p->level == 0 && run->count > 0);
	p->referenced = true;
	for (unsigned i = 0; i < run->count; i++)
		mapping_page_put(p->bytes, run->changes[i].slot,
				 run->news != NULL ? run->news[i] : op->value);
	if (run->count > 1)
		journal_release_entries(z->map->journal, op->seq,
					run->count - 1);
	eras_add_entry(z, p, op->seq);
}

/* Carry out an operation that had to wait. */
static void resume(struct map_zone *z, struct page *p, struct map_op *op)
{
	int r = 0;

	VDO_CHECK(page_loaded(p) && op->zone == z);
	if (op->operation == MAP_GET)
		r = read_entry(z, p, op);
	else if (op->operation == MAP_PUT)
		write_entry(z, p, op);
	else if (op->operation == MAP_COLLECT)
		collect(z, p, op);
	else if (op->operation == MAP_GET_RUN)
		read_run(z, p, op);
	else if (op->operation == MAP_PUT_RUN)
		write_run(z, p, op);
	else if (op->operation == MAP_COPY) {
		copy(z, p, op);
		p->referenced = false; /* it goes first, if that was all */
	}
	op_finish(op, r);
}

/* Make @p the new page of @op, without reading. */
static void make_page(struct map_zone *z, struct page *p, struct map_op *op)
{
	VDO_ASSERT(p->state == PAGE_FREE && p->era == 0 && p->hold == 0);
	p->pbn = op->page;
	(void)intmap_put_new(&z->leaves, p->pbn, p);
	mapping_page_format(p->bytes, z->map->nonce, p->pbn, false);
	page_set_state(z, p, PAGE_RESIDENT);
	lru_add(z, p);
	p->hold = op->seq;
	eras_add(z, p, op->seq);
	op_finish(op, 0);
}

static void load(struct map_zone *z, struct page *p, struct map_op *op)
{
	VDO_ASSERT(p->state == PAGE_FREE && op->page != 0);
	p->pbn = op->page;
	(void)intmap_put_new(&z->leaves, p->pbn, p);
	waitq_push(&p->waiters, &op->link);
	pageio_read(z, p);
}

/* Nobody can free a buffer any more. */
static bool stuck(const struct map_zone *z)
{
	const counter_t *states = z->stats.states;

	return readonly_entered(z->map->readonly) && z->evicting == 0 &&
	       counter_get(&states[PAGE_INCOMING]) == 0 &&
	       counter_get(&states[PAGE_OUTGOING]) == 0;
}

void leaves_pump(struct map_zone *z)
{
	VDO_ASSERT(queue_is_current(z->queue));
	while (z->wanting.first != NULL) {
		struct map_op *op =
			container_of(z->wanting.first, struct map_op, link);
		struct page *p = intmap_get(&z->leaves, op->page);

		if (p == NULL) {
			struct page *buffer = take_buffer(z);

			if (buffer == NULL)
				break;
			(void)waitq_pop(&z->wanting);
			if (op->operation == MAP_MAKE)
				make_page(z, buffer, op);
			else
				load(z, buffer, op);
			continue;
		}
		(void)waitq_pop(&z->wanting);
		if (page_loaded(p))
			resume(z, p, op);
		else
			waitq_push(&p->waiters, &op->link);
	}
	if (waitq_empty(&z->wanting)) {
		/* Nobody waits for a buffer any more. */
		counter_add(&z->stats.cache_pressure,
			    0 - counter_get(&z->stats.cache_pressure));
	} else if (stuck(z)) {
		struct waiter *w;

		while ((w = waitq_pop(&z->wanting)) != NULL)
			op_finish(container_of(w, struct map_op, link),
				  -VDO_EREADONLY);
	}
}

/* A miss: @op waits for its page, or for a buffer. */
static void fetch(struct map_zone *z, struct map_op *op, struct page *p)
{
	bool in_line = !waitq_empty(&z->wanting);

	VDO_CHECK(p == NULL || p->state == PAGE_INCOMING);
	if (p != NULL) {
		counter_inc(&z->stats.wait_for_page);
		waitq_push(&p->waiters, &op->link);
		return;
	}
	waitq_push(&z->wanting, &op->link);
	leaves_pump(z);
	if (in_line || !waitq_empty(&z->wanting))
		counter_inc(&z->stats.discard_required);
	else
		counter_inc(&z->stats.fetch_required);
}

void leaves_make(struct map_zone *z, struct map_op *op)
{
	VDO_ASSERT(op->page != 0 && op->zone == z);
	/* Who finds the page from now on comes after @op in the line. */
	op->operation = MAP_MAKE;
	waitq_push(&z->wanting, &op->link);
	leaves_pump(z);
}

/* What was read: 0, or an error; what was never written is an empty page. */
static int check_image(struct map_zone *z, struct page *p)
{
	struct map *m = z->map;

	VDO_ASSERT(p->level == 0 && p->pbn != 0);
	switch (pageio_is_made(z, p)
			? MAP_PAGE_INVALID
			: mapping_page_check(p->bytes, m->nonce, p->pbn)) {
	case MAP_PAGE_VALID:
		break;
	case MAP_PAGE_INVALID:
		mapping_page_format(p->bytes, m->nonce, p->pbn, false);
		break;
	case MAP_PAGE_BAD:
		return pageio_damaged(z, p, p->bytes);
	}
	pageio_overlay(z, p, p->bytes);
	return 0;
}

void leaves_load_done(struct map_zone *z, struct page *p, int result)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(p->state == PAGE_INCOMING);
	if (result == 0)
		result = check_image(z, p);
	waitq_take_all(&p->waiters, &taken);
	if (result == 0) {
		counter_inc(&z->stats.pages_loaded);
		page_set_state(z, p, PAGE_RESIDENT);
		lru_add(z, p);
		while ((w = waitq_pop(&taken)) != NULL)
			resume(z, p, container_of(w, struct map_op, link));
	} else {
		counter_inc(&z->stats.failed_reads);
		page_set_state(z, p, PAGE_FAILED);
		while ((w = waitq_pop(&taken)) != NULL)
			op_finish(container_of(w, struct map_op, link), result);
		release_buffer(z, p);
	}
	leaves_pump(z);
}

void leaves_write_done(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(p->level == 0 && (!p->evict || z->evicting > 0));
	if (p->evict) {
		p->evict = false;
		z->evicting--;
		if (p->state == PAGE_RESIDENT && !p->referenced) {
			lru_remove(z, p);
			release_buffer(z, p);
		} else {
			counter_inc(&z->stats.reclaimed);
		}
	}
	leaves_pump(z);
}

bool map_get(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && op->slot < MAP_PAGE_ENTRIES);
	counter_inc(&z->stats.read_count);
	if (likely(p != NULL && page_loaded(p))) {
		completion_fail(&op->done, read_entry(z, p, op));
		return true;
	}
	op_wait(z, op, MAP_GET);
	fetch(z, op, p);
	return false;
}

bool map_put(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && op->slot < MAP_PAGE_ENTRIES);
	VDO_CHECK(mapping_valid(op->value));
	counter_inc(&z->stats.write_count);
	if (likely(p != NULL && page_loaded(p))) {
		write_entry(z, p, op);
		return true;
	}
	op_wait(z, op, MAP_PUT);
	fetch(z, op, p);
	return false;
}

bool map_collect(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && op->slot < op->run.end);
	counter_inc(&z->stats.read_count);
	if (likely(p != NULL && page_loaded(p))) {
		collect(z, p, op);
		return true;
	}
	op_wait(z, op, MAP_COLLECT);
	fetch(z, op, p);
	return false;
}

bool map_copy(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && op->copy != NULL);
	counter_inc(&z->stats.read_count);
	if (likely(p != NULL && page_loaded(p))) {
		copy(z, p, op);
		return true;
	}
	op_wait(z, op, MAP_COPY);
	fetch(z, op, p);
	return false;
}

bool map_get_run(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && op->slot < op->run.end);
	VDO_CHECK(op->run.end <= MAP_PAGE_ENTRIES);
	counter_inc(&z->stats.read_count);
	if (likely(p != NULL && page_loaded(p))) {
		read_run(z, p, op);
		return true;
	}
	op_wait(z, op, MAP_GET_RUN);
	fetch(z, op, p);
	return false;
}

bool map_put_run(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	struct page *p = intmap_get(&z->leaves, op->page);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->page != 0 && mapping_valid(op->value));
	counter_inc(&z->stats.write_count);
	if (likely(p != NULL && page_loaded(p))) {
		write_run(z, p, op);
		return true;
	}
	op_wait(z, op, MAP_PUT_RUN);
	fetch(z, op, p);
	return false;
}
