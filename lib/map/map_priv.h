/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the block map: pages, zones, and what its files offer each other.
 *
 *	map.c     create, destroy, drains, statistics
 *	forest.c  where interior pages are found in memory
 *	tree.c    from LBN to leaf page: find and load tree pages
 *	create.c  how a page comes into being
 *	leaves.c  the cache of leaf pages: get, put, eviction
 *	eras.c    which page must be written by when
 *	pageio.c  reading and writing pages of both kinds
 *	sane.c    a walk over all of it
 *
 * Invariants
 *  (1) page.link is in an era bucket, or in zone.pending (page.queued), or in
 *      no list.
 *  (2) page.era is 0 exactly if memory holds no change that is not in an image
 *      on its way to disk.
 *  (3) The gate of a zone counts operations that wait, pages that are queued
 *      for I/O or under I/O, and the message that refills the spare pages.
 *  (4) Buffers that are free and operations that wait for one never exist at
 *      the same time.
 *
 * Runs on: everything of a zone on its queue.
 */
#ifndef MAP_MAP_PRIV_H
#define MAP_MAP_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
#include "base/intmap.h"
#include "base/list.h"
#include "exec/executor.h"
#include "exec/fanout.h"
#include "exec/gate.h"
#include "map/map.h"

/* Reads and writes of pages that a zone has under way at most. */
#define PAGE_IOS_MAX 128u

/* Tree pages that a zone creates at the same time; more wait. */
#define CREATING_MAX 512u

/* Tree pages that a zone has ready for those that it meets next. */
#define SPARES_MAX 8u

/*
 * Leaf pages per zone, at least. Operations never pin a page, so any number
 * above 0 would make progress; below some dozen a cache is none.
 */
#define CACHE_PAGES_MIN 16u

enum page_state {
	PAGE_FREE,     /* a buffer without content; a tree page not loaded */
	PAGE_INCOMING, /* to be read, or being read */
	PAGE_FAILED,   /* it could not be read; free in a moment */
	/* Content is valid from here. */
	PAGE_RESIDENT, /* as on disk */
	PAGE_DIRTY,
	PAGE_OUTGOING, /* a copy of it is being written */
	PAGE_STATES,
};

/* A page in memory, leaf or interior. */
struct page {
	struct list_node link;
	uint8_t *bytes;
	pbn_t pbn;
	seq_t era;  /* oldest change that is not on disk or on its way; 0 */
	seq_t hold; /* journal block held for such changes; 0 */
	uint8_t state;
	uint8_t level;   /* 0: leaf */
	bool queued;     /* in zone.pending */
	bool again;      /* write once more when the write has ended */
	bool referenced; /* leaf: used since the clock hand passed */
	bool evict;      /* leaf: its buffer is wanted when it is written */
	struct list_node lru;  /* leaf: in zone.lru or zone.free */
	struct waitq waiters; /* operations that wait for INCOMING */
};

struct tree_page {
	struct page page;
	uint8_t bytes[BLOCK_SIZE];
};

/* One read or write under way. */
struct page_io {
	struct map_zone *zone;
	struct page *page;
	struct page_io *next_free;
	struct mio mio;
	struct sync_op sync;
	seq_t era; /* of the image: what the page had when it was copied */
	seq_t hold;
	uint8_t *buffer; /* one block, aligned */
};

/*
 * The directories of the forest. The page of number p of tree r in level h is
 * pages[h][p * roots + r]; NULL until somebody needs it. A directory costs
 * memory only where it was touched, 8 bytes for 2.5 GB of logical space.
 * Growing replaces the directories and keeps the pages.
 */
struct forest {
	unsigned root_count;
	uint64_t logical_blocks;
	uint64_t page_count[MAP_LEVELS]; /* of one tree; levels 1 to 4 */
	struct page **pages[MAP_LEVELS];
};

/* Written by the zone, read by anybody. */
struct map_zone_stats {
	counter_t states[PAGE_STATES]; /* of leaf pages */
	counter_t read_count, write_count;
	counter_t cache_pressure, failed_reads, failed_writes;
	counter_t reclaimed, read_outgoing;
	counter_t discard_required, wait_for_page, fetch_required;
	counter_t pages_loaded, pages_saved, flush_count;
};

struct map_zone {
	_Alignas(CACHE_LINE) struct map *map;
	struct queue *queue;
	unsigned number;
	struct gate gate;

	/* leaf pages */
	struct intmap leaves; /* by PBN */
	struct page *cache;
	uint64_t cache_size;
	uint64_t cache_used; /* buffers that were ever used */
	uint8_t *cache_buffers;
	struct list_node free;
	struct list_node lru; /* those with content; oldest first */
	uint64_t lru_count;
	struct waitq wanting; /* operations that wait for a buffer */
	uint64_t evicting;    /* pages with evict set */

	/* memory for tree pages */
	struct list_node spares;
	unsigned spare_count;
	struct completion refill;
	bool refilling;		/* refill is on its way; the gate counts it */
	struct waitq spareless; /* operations that wait for refill */

	/* pages being created: (level, page) -> creation */
	struct intmap creating;
	struct creation *creations;
	struct creation *free_creation;
	unsigned creations_used; /* of the array, so far */
	struct waitq creators; /* beyond CREATING_MAX */

	/* eras: a ring of buckets by journal block */
	struct list_node *eras;
	uint64_t era_count;
	seq_t era_low; /* the oldest block that is not too old */
	seq_t era_now;

	/* I/O */
	struct page_io *ios;
	struct page_io *free_io;
	uint8_t *io_buffers;
	struct list_node pending; /* pages that wait for a page_io */

	struct completion tail_moved;
	atomic_bool tail_posted;
	struct completion drained;

	struct map_zone_stats stats;
};

struct map {
	unsigned zone_count;
	struct queue *journal_queue;
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	struct log log;
	struct journal *journal;
	struct depot *depot;
	const struct slab_geometry *slabs;
	uint64_t nonce;
	pbn_t root_origin;
	uint64_t maximum_age;
	const struct replay_table *overlay; /* or NULL */
	struct forest forest;
	struct forest larger; /* map_make_room() */
	atomic_ullong tail;
	/* the drain */
	struct fanout fanout;
	struct fanout_part *parts;
	bool drain_save;
	struct map_zone *zones;
};

enum map_operation {
	MAP_FIND,
	MAP_NEXT,
	MAP_MAKE, /* the end of a find that created the leaf */
	MAP_GET,
	MAP_COLLECT,
	MAP_COPY,
	MAP_PUT,
	MAP_PUT_RUN,
	MAP_GET_RUN,
};

static inline bool page_loaded(const struct page *p)
{
	return p->state >= PAGE_RESIDENT;
}

static inline void page_set_state(struct map_zone *z, struct page *p,
				  enum page_state state)
{
	VDO_CHECK(state < PAGE_STATES && p->state != state);
	if (p->level == 0) {
		counter_dec(&z->stats.states[p->state]);
		counter_inc(&z->stats.states[state]);
	}
	p->state = (uint8_t)state;
}

/* An operation begins to wait; it ends with op_finish(). */
static inline void op_wait(struct map_zone *z, struct map_op *op,
			   enum map_operation operation)
{
	VDO_CHECK(queue_is_current(z->queue));
	op->zone = z;
	op->operation = operation;
	gate_enter(&z->gate);
}

static inline void op_finish(struct map_op *op, int result)
{
	struct map_zone *z = op->zone;

	VDO_CHECK(queue_is_current(z->queue));
	completion_finish(&op->done, result);
	gate_leave(&z->gate);
}

/* forest.c */
int forest_init(struct forest *f, uint64_t logical_blocks, unsigned root_count)
	MUST_CHECK;
void forest_fini(struct forest *f);
/* All pages of @f are in @larger from now on, which takes its place. */
void forest_grow(struct forest *f, struct forest *larger);

static inline struct page *forest_get(const struct forest *f, unsigned root,
				      unsigned level, uint64_t page)
{
	VDO_CHECK(level > 0 && level < MAP_LEVELS && root < f->root_count);
	VDO_CHECK(page < f->page_count[level]);
	return f->pages[level][page * f->root_count + root];
}

/* A page without content, that is nowhere; NULL when memory is short. */
struct tree_page *forest_page(void) MUST_CHECK;

/* Put page @p where there is none. */
void forest_put(struct forest *f, unsigned root, unsigned level, uint64_t page,
		struct page *p);

/* tree.c */
int tree_init(struct map_zone *z) MUST_CHECK;
void tree_fini(struct map_zone *z);
/* A tree page was read; wakes who waits for it. */
void tree_load_done(struct map_zone *z, struct page *p, const uint8_t *image,
		    int result);
/* Go on with a find or a next that waited; finishes @op. */
void tree_resume(struct map_zone *z, struct map_op *op);

/* create.c */
int create_init(struct map_zone *z) MUST_CHECK;
void create_fini(struct map_zone *z);
/*
 * Create the page below @parent that op->place leads to: @child, or a leaf. @op
 * waits for it.
 */
void create_page(struct map_zone *z, struct map_op *op, struct page *parent,
		 struct page *child);
/* Are creations as they should be? Adds the operations that wait. */
bool create_sane(const struct map_zone *z, uint64_t *waiting);

/* leaves.c */
void leaves_init(struct map_zone *z);
int leaves_make_cache(struct map_zone *z, uint64_t cache_size) MUST_CHECK;
void leaves_fini(struct map_zone *z);
void leaves_load_done(struct map_zone *z, struct page *p, int result);
void leaves_write_done(struct map_zone *z, struct page *p);
/* Have op->page, just created by an entry of op->seq, in memory as an empty page,
 * which takes over the hold on that; finishes @op. */
void leaves_make(struct map_zone *z, struct map_op *op);
/* Give buffers to those who wait for them, as far as possible. */
void leaves_pump(struct map_zone *z);

/* eras.c */
int eras_init(struct map_zone *z, seq_t tail) MUST_CHECK;
void eras_fini(struct map_zone *z);
/* Begin at @tail, while no page was ever changed. */
void eras_restart(struct map_zone *z, seq_t tail);
/* @p was changed by the durable journal block @seq. */
void eras_add(struct map_zone *z, struct page *p, seq_t seq);
/* @p was changed by an entry of @seq, whose hold it takes over or returns. */
void eras_add_entry(struct map_zone *z, struct page *p, seq_t seq);
void eras_advance(struct map_zone *z, seq_t tail);
/* Write everything dirty; true if there was anything. */
bool eras_expire_all(struct map_zone *z);

/* pageio.c */
int pageio_init(struct map_zone *z) MUST_CHECK;
void pageio_fini(struct map_zone *z);
/* Read @p, whose pbn is set; *_load_done() is called at the end. */
void pageio_read(struct map_zone *z, struct page *p);
/* Write @p, which is in no list or in an era bucket. */
void pageio_write(struct map_zone *z, struct page *p);
/* Did the journal make @p? Then what was read for it is not used. */
bool pageio_is_made(const struct map_zone *z, const struct page *p);
/* Add to @bytes, which were read for @p, what the journal has beyond them. */
void pageio_overlay(const struct map_zone *z, const struct page *p,
		    uint8_t *bytes);
/* What was read for @p is damaged, or of another place: -VDO_ECORRUPT. */
int pageio_damaged(struct map_zone *z, const struct page *p,
		   const uint8_t *image);

/* sane.c */
/* Does the zone agree with itself? On its queue. */
bool map_zone_sane(const struct map_zone *z);

#endif
