/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page cache: pages of closed chapters, for one zone or for a rebuild.
 *
 * Each zone has its own share, so that nothing is shared between queues. A page
 * that several zones want is read by each. Pages are known by their virtual
 * chapter, so nothing has to be invalidated when a chapter expires: nobody asks
 * for its pages any more.
 *
 *	       [start_read]           [read_done]
 *	FREE ---------------> READING ------------> READY, in lru
 *	  ^                      |                    | oldest, when another
 *	  +----------------------+ failed, or         | page is wanted
 *	                           expired meanwhile  v
 *	                                            READING
 *
 * Invariants
 *  (1) A page that is READY is what its chapter has there: index pages were
 *      checked (X 6.4), and the chapter had not expired when the read was over,
 *      so the slot was not being overwritten.
 *  (2) Who waits for a page is woken before the page can be evicted.
 *
 * Runs on: its owner's queue. There may be as many waiters as ops.
 */
#ifndef INDEX_PAGE_CACHE_H
#define INDEX_PAGE_CACHE_H

#include "base/counter.h"
#include "base/intmap.h"
#include "base/list.h"
#include "exec/waitq.h"
#include "index/media.h"
#include "index_format/page_map.h"

enum cached_state { PAGE_FREE, PAGE_READING, PAGE_READY, PAGE_FAILED };

struct page_cache;

struct cached_page {
	struct media_op io;
	struct page_cache *cache;
	struct list_node lru;
	struct waitq waiting;
	uint8_t *data;
	uint64_t vcn;
	uint32_t page;
	enum cached_state state;
	bool pinned; /* its waiters are being woken */
	int result;
};

struct page_cache_config {
	const struct index_media *media;
	const struct page_map *page_map; /* NULL: do not compare with it */
	const uint64_t *oldest; /* chapter that is alive, for the owner */
	struct queue *queue;
	uint32_t page_count;
	void (*wake)(void *arg, struct waiter *w); /* ask again */
	void *arg;
};

struct page_cache {
	struct page_cache_config c;
	struct intmap map;
	struct cached_page *pages;
	uint8_t *data; /* of all pages */
	struct list_node lru;  /* READY and FREE; oldest first */
	struct waitq starving; /* all pages are being read */
	counter_t reads;
};

int page_cache_init(struct page_cache *p, const struct page_cache_config *c)
	MUST_CHECK;
void page_cache_fini(struct page_cache *p);

/* Forget all pages. None may be on its way. */
void page_cache_clear(struct page_cache *p);

/*
 * The page, if it is there, else NULL. If *result is 0, @w waits then and will
 * be woken to ask again; otherwise *result says what is wrong with the page.
 */
const uint8_t *page_cache_get(struct page_cache *p, uint64_t vcn, uint32_t page,
			      struct waiter *w, int *result) MUST_CHECK;

/* Is @data index page @page of chapter @vcn? @map: NULL, or to agree with. */
int page_cache_check(const struct index_media *m, const struct page_map *map,
		     const uint8_t *data, uint64_t vcn,
		     uint32_t page) MUST_CHECK;

#endif
