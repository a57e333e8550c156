/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How pages are read and given up.
 *
 * Waiters are woken one after the other and ask again at once. Meanwhile the
 * page is pinned, so that what they ask for next cannot evict it. Without that
 * a small cache would read the same page again and again.
 */
#include "build.h"

#include "index/page_cache.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "index_format/chapter_index.h"

int page_cache_init(struct page_cache *p, const struct page_cache_config *c)
{
	VDO_ASSERT(c->page_count > 0);
	*p = (struct page_cache){.c = *c};
	list_init(&p->lru);
	waitq_init(&p->starving);
	/* Pages that are never read into cost nothing. */
	p->data = alloc_spare(BLOCK_SIZE, c->page_count, PAGE_BYTES);
	p->pages = alloc_zeroed(c->page_count, sizeof(*p->pages));
	if (p->data == NULL || p->pages == NULL ||
	    intmap_init(&p->map, c->page_count) != 0) {
		page_cache_fini(p);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->page_count; i++) {
		struct cached_page *g = &p->pages[i];

		g->cache = p;
		g->data = p->data + (size_t)i * PAGE_BYTES;
		waitq_init(&g->waiting);
		list_init(&g->lru);
		list_push_back(&p->lru, &g->lru);
	}
	return 0;
}

void page_cache_fini(struct page_cache *p)
{
	intmap_fini(&p->map);
	alloc_free(p->pages);
	alloc_free(p->data);
	p->pages = NULL;
	p->data = NULL;
}

static uint64_t key_of(const struct page_cache *p, uint64_t vcn, uint32_t page)
{
	VDO_CHECK(page < p->c.media->geometry->chapter_pages);
	return vcn * p->c.media->geometry->chapter_pages + page;
}

static void forget(struct cached_page *g)
{
	struct page_cache *p = g->cache;

	VDO_ASSERT(!g->pinned);
	if (g->state != PAGE_FREE)
		intmap_remove(&p->map, key_of(p, g->vcn, g->page));
	g->state = PAGE_FREE;
}

void page_cache_clear(struct page_cache *p)
{
	for (uint32_t i = 0; i < p->c.page_count; i++) {
		VDO_ASSERT(p->pages[i].state != PAGE_READING);
		forget(&p->pages[i]);
	}
}

int page_cache_check(const struct index_media *m, const struct page_map *map,
		     const uint8_t *data, uint64_t vcn, uint32_t page)
{
	struct list_range lists;
	struct index_page found;
	int r = index_page_open(data, m->geometry, m->layout.volume_nonce,
				&found);

	VDO_ASSERT(page < m->geometry->index_pages);
	if (r != 0 || found.vcn != vcn)
		return -VDO_ECORRUPT;
	if (map == NULL)
		return 0;
	lists = page_map_lists(map, geometry_physical(m->geometry, vcn), page);
	if (found.first_list != lists.first ||
	    found.first_list + found.list_count != lists.last + 1)
		return -VDO_ECORRUPT;
	return 0;
}

/* Let all who wait for @g ask again. */
static void wake_waiting(struct cached_page *g)
{
	struct page_cache *p = g->cache;
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(!g->pinned);
	waitq_take_all(&g->waiting, &taken);
	g->pinned = true;
	while ((w = waitq_pop(&taken)) != NULL)
		p->c.wake(p->c.arg, w);
	g->pinned = false;
}

/* Wake who waits for any page to become free. Each of them takes one, or needs
 * none any more. */
static void wake_starving(struct page_cache *p)
{
	while (!waitq_empty(&p->starving) && !list_empty(&p->lru))
		p->c.wake(p->c.arg, waitq_pop(&p->starving));
}

static void read_done(struct completion *c)
{
	struct cached_page *g = container_of(c, struct cached_page, io.done);
	struct page_cache *p = g->cache;
	int r = c->result;

	VDO_ASSERT(g->state == PAGE_READING);
	if (g->vcn < *p->c.oldest) {
		/* It may be half overwritten, and nobody needs it. */
		forget(g);
	} else {
		if (r == 0 && g->page < p->c.media->geometry->index_pages)
			r = page_cache_check(p->c.media, p->c.page_map,
					     g->data, g->vcn, g->page);
		g->state = r == 0 ? PAGE_READY : PAGE_FAILED;
		g->result = r;
	}
	wake_waiting(g);
	if (g->state == PAGE_READY) {
		list_push_back(&p->lru, &g->lru);
	} else {
		forget(g);
		list_push_front(&p->lru, &g->lru);
	}
	wake_starving(p);
}

static void start_read(struct cached_page *g, uint64_t vcn, uint32_t page)
{
	struct page_cache *p = g->cache;
	const struct index_media *m = p->c.media;

	VDO_ASSERT(waitq_empty(&g->waiting));
	VDO_ASSERT(g->state == PAGE_FREE && !g->pinned);
	g->vcn = vcn;
	g->page = page;
	g->state = PAGE_READING;
	intmap_put(&p->map, key_of(p, vcn, page), g);
	counter_inc(&p->reads);
	completion_init(&g->io.done, p->c.queue, read_done);
	media_read(m, &g->io, media_page_block(m, vcn, page), PAGE_BLOCKS,
		   g->data);
}

const uint8_t *page_cache_get(struct page_cache *p, uint64_t vcn, uint32_t page,
			      struct waiter *w, int *result)
{
	struct cached_page *g = intmap_get(&p->map, key_of(p, vcn, page));
	struct list_node *oldest;

	VDO_CHECK(queue_is_current(p->c.queue));
	*result = 0;
	if (g != NULL && g->state == PAGE_READY) {
		if (!g->pinned && p->lru.prev != &g->lru) {
			list_remove(&g->lru);
			list_push_back(&p->lru, &g->lru);
		}
		return g->data;
	}
	if (g != NULL && g->state == PAGE_FAILED) {
		*result = g->result;
		return NULL;
	}
	if (g == NULL) {
		oldest = list_pop(&p->lru);
		if (oldest == NULL) {
			waitq_push(&p->starving, w);
			return NULL;
		}
		g = list_entry(oldest, struct cached_page, lru);
		forget(g);
		start_read(g, vcn, page);
	}
	waitq_push(&g->waiting, w);
	return NULL;
}
