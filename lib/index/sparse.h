/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sparse cache (X 8): the index pages of a few chapters of which the volume
 * index knows the samples only.
 *
 * The cache is the main queue's; its pages are read by all zones. Each zone has
 * a view, which says what is in which slot.
 *
 * Invariant
 *  (1) A slot changes only while no view shows it.
 *
 * Runs on: views on the queues of their zones, the cache on the main queue.
 * Lifetime: of the index; views are parts of zones.
 */
#ifndef INDEX_SPARSE_H
#define INDEX_SPARSE_H

#include "exec/fanout.h"
#include "exec/gate.h"
#include "exec/flow.h"
#include "exec/waitq.h"
#include "index/media.h"
#include "index/range.h"
#include "index_format/page_map.h"

#define SPARSE_SLOTS CACHE_CHAPTERS

struct sparse_cache;

struct sparse_view_config {
	struct sparse_cache *cache;
	struct queue *queue;	/* of the zone, as all that follows */
	const uint64_t *oldest; /* chapter that is alive */
	struct gate *gate;	/* what is wanted is inside */
	void (*wake)(void *arg, struct waiter *w); /* ask again */
	void *arg;
};

struct sparse_view {
	struct sparse_view_config c;
	struct {
		uint64_t vcn; /* CHAPTER_NONE: not in use */
		unsigned misses;
		bool skip; /* until a sample is found in it again */
	} slots[SPARSE_SLOTS];
	uint8_t order[SPARSE_SLOTS]; /* most recently used first */
	unsigned loading;	     /* chapters on their way in */
	struct waitq waiting;	     /* requests */

	/* A chapter that the zone has asked for. */
	bool wanting;
	uint64_t vcn;
	unsigned victim;
	struct completion want;	 /* to the main queue */
	struct completion reply; /* and back */
	struct waiter link;
};

struct sparse_slot {
	uint64_t vcn;
	uint8_t *pages; /* index_pages of them */
};

struct sparse_config {
	const struct index_media *media;
	const struct page_map *page_map;
	const struct chapter_range *range;
	struct queue *queue;
};

struct sparse_cache {
	struct sparse_config c;
	struct sparse_slot slots[SPARSE_SLOTS];
	uint8_t *pages; /* of all slots */
	struct sparse_view *views[INDEX_ZONES_MAX];
	struct queue *queues[INDEX_ZONES_MAX]; /* theirs */
	unsigned view_count;
	struct waitq wants;
	bool busy; /* the flow is under way */
	struct sparse_view *asking; /* whose want is being served */
	struct flow flow;
	struct media_op io;
	struct fanout fanout;
	struct fanout_part parts[INDEX_ZONES_MAX];
};

int sparse_init(struct sparse_cache *s, const struct sparse_config *c)
	MUST_CHECK;
void sparse_fini(struct sparse_cache *s);
/* Nothing is in any slot, nor in any view. */
void sparse_reset(struct sparse_cache *s);

/* After sparse_init(), once for each zone. */
void sparse_view_init(struct sparse_view *v,
		      const struct sparse_view_config *c);

/* The slot of @vcn, or -1. */
int sparse_view_find(const struct sparse_view *v, uint64_t vcn);

/* A page of the chapter that the view shows in @slot. */
const uint8_t *sparse_view_page(const struct sparse_view *v, unsigned slot,
				uint32_t page);

/* The chapter in @slot was searched. @found: it has a name. */
void sparse_view_note(struct sparse_view *v, unsigned slot, bool found);

/* Have @vcn brought in. Who waits is woken then, even if it could not be. */
void sparse_view_want(struct sparse_view *v, uint64_t vcn);

#endif
