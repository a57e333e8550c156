/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block map: where each logical block is.
 *
 * A forest of 60 trees (V 5). Leaf page i belongs to tree i mod 60; tree t to
 * logical zone t mod L. Interior pages stay in memory once loaded, leaf pages
 * live in a cache of bounded size per zone, written back by age (eras counted in
 * blocks of the recovery journal) or when their buffer is needed.
 *
 * Invariants
 *  (1) A page on disk contains only effects of durable journal entries (I5).
 *  (2) A dirty page holds exactly one block of the recovery journal: the oldest
 *      one with a change that is not on disk (I36). It takes that hold before
 *      the entry's own hold is returned.
 *  (3) The first write of a page is done twice, flag off, a barrier, flag on
 *      (D9).
 *  (4) Tree pages are never freed, moved, or decremented (I17).
 *
 * Runs on: each zone on its queue. Lifetime: map_create() to map_destroy();
 * ops belong to callers.
 */
#ifndef MAP_MAP_H
#define MAP_MAP_H

#include "base/log.h"
#include "depot/depot.h"
#include "exec/completion.h"
#include "exec/waitq.h"
#include "format/mapping.h"
#include "io/mio.h"
#include "io/readonly.h"
#include "io/sync.h"
#include "journal/journal.h"

struct map;

struct map_config {
	unsigned zone_count;
	struct queue **queues; /* of the logical zones; copied */
	struct queue *journal_queue;
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	const struct log *log;
	struct journal *journal;
	struct depot *depot;
	const struct superblock *sb; /* copied */
	uint64_t cache_pages;  /* as map_make_cache(); 0: that follows */
	uint64_t maximum_age;  /* journal blocks until a changed page is
				* written; 1 or more */
	seq_t journal_tail;    /* where eras begin */
};

int map_create(const struct map_config *c, struct map **map) MUST_CHECK;
void map_destroy(struct map *m);

/* Before anything else, once: so many leaf pages in memory, of all zones
 * together; a zone gets 16 at least. */
int map_make_cache(struct map *m, uint64_t pages) MUST_CHECK;

/* What memory it takes beside what it was made with. */
struct map_memory {
	uint64_t growth;     /* interior pages, all there can be */
	uint64_t cache_page; /* of a page of the cache, at most */
	uint64_t cache_more; /* of a cache beside that, at most */
	uint64_t cache_least; /* pages */
	uint64_t leaves;     /* pages that there can be */
};
void map_get_memory(const struct map *m, struct map_memory *memory);

/*
 * For a volume that is opened read-only: apply @t, which is sorted, to each page
 * that is read, so that the map is as replaying the journal would make it (V
 * 10.3). Once, before the first operation; @t outlives the map.
 */
struct replay_table;
void map_set_overlay(struct map *m, const struct replay_table *t);

/* Eras begin at block @tail of the journal, as a recovery left it. Before the
 * first operation; any queue. */
void map_restart(struct map *m, seq_t tail);

/*
 * Growing: have memory for a map of so many blocks, or -ENOMEM; outside of any
 * queue. Then the map, which is drained, has them; or the memory is dropped. Any
 * queue.
 */
int map_make_room(struct map *m, uint64_t logical_blocks) MUST_CHECK;
void map_grow(struct map *m);
void map_drop_room(struct map *m);

unsigned map_zone_of(const struct map *m, lbn_t lbn);

/* Trees; leaf page n is in tree n modulo this. ROOT_COUNT at most. */
unsigned map_tree_count(const struct map *m);

/* Leaf pages of which all blocks exist. */
uint64_t map_leaf_count(const struct map *m);

/*
 * A range of logical blocks is walked through tree by tree, each tree from its
 * first leaf to its last. From @lbn in the range that begins at @first: the next
 * leaf of its tree, or else the next tree; and the next tree. @end: that was all.
 */
lbn_t map_walk_leaf(const struct map *m, lbn_t lbn, lbn_t first, lbn_t end);
lbn_t map_walk_tree(const struct map *m, lbn_t lbn, lbn_t first, lbn_t end);

/* Slots of one leaf page. */
struct map_run {
	struct journal_change *changes; /* slots, and what they lead to */
	unsigned count; /* collect: in, how many at most; out. put: in */
	uint16_t end;	/* collect, get: before which slot */
	const struct mapping *news; /* put: where each leads; NULL: to value */
};

/*
 * One operation on the map. find: lbn, allocate -> page, slot. next: lbn, end ->
 * lbn, page, slot. get: page, slot -> value. put: page, slot, value, seq.
 * collect: page, slot, value, run -> slot, run. get run: page, slot, run -> run.
 * put run: page, value, seq, run. copy: page, copy.
 */
struct map_op {
	struct completion done;
	/* in */
	lbn_t lbn;
	bool allocate;  /* find: create missing pages */
	unsigned alloc_zone; /* find: physical zone to begin with */
	/* find: out; get and put: in */
	pbn_t page;     /* the leaf page; 0: there is none */
	uint16_t slot;
	struct mapping value; /* get: out; put: in */
	seq_t seq;      /* put: journal block whose entry hold is taken over;
			 * find: private */
	lbn_t end;      /* next: where to stop */

	/* private: waiting for a page; climbing and descending the tree */
	struct waiter link;
	struct map_zone *zone;
	union {
		struct tree_place place;
		struct map_run run; /* those with runs: not private */
		uint8_t *copy;	    /* copy: not private */
	};
	unsigned level;
	unsigned operation;
};

/*
 * Find the leaf page and slot of op->lbn. Without allocate, page is 0 when the
 * leaf does not exist. Result 0, as depot_allocate(), -VDO_EREADONLY,
 * -VDO_EMAPPING, -EIO, -ENOMEM (no memory for a tree page; only this operation
 * fails). On the zone's queue. True: over at once.
 */
bool map_find(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/*
 * Find the next leaf page at op->lbn or later in the tree of op->lbn, before
 * op->end; op->lbn becomes its first block that was asked for. page 0: there is
 * none. What does not exist is skipped at the highest page that tells. Results as
 * map_find().
 */
bool map_next(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/*
 * Collect slots from op->slot on, before run.end, that lead to something other
 * than op->value, up to run.count of them, and set op->slot to the first slot that
 * was not looked at. It stops at a damaged entry: at once (count 0 before the
 * end), if that is the first. Results as map_get().
 */
bool map_collect(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/*
 * Read the entry. A damaged entry gives -VDO_EMAPPING (value as it is). A page
 * that cannot be had gives -EIO, -VDO_ECORRUPT or, when the volume is read-only
 * and no buffer can become free any more, -VDO_EREADONLY.
 */
bool map_get(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/* Read the slots from op->slot on, before run.end, into run.changes: as they are,
 * also those that are damaged. Other results as map_get(). */
bool map_get_run(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/*
 * Copy all of the page, as it is at one moment, to op->copy. It is not taken for a
 * use of the page, which so is no reason to keep it in memory. Results as
 * map_get(), but that nothing is said of its entries.
 */
bool map_copy(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/*
 * Store an entry that is durable in journal block op->seq. The page takes over
 * (or returns) the entry's hold.
 */
bool map_put(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/* The same for all slots of op->run, whose entries are in one block. */
bool map_put_run(struct map *m, unsigned zone, struct map_op *op) MUST_CHECK;

/* The holders upcall of the journal. On the journal's queue; coalesced. */
void map_tail_moved(struct map *m, seq_t tail);

/*
 * Write everything dirty (@save), and wait for all I/O and all operations. Any
 * queue; one drain at a time, as often as wanted. @done gets -VDO_EREADONLY
 * when something could not be saved. Afterwards no hold is left (@save).
 */
void map_drain(struct map *m, bool save, struct completion *done);

/* Read-only mode was entered: release who waits. On the zone's queue. */
void map_read_only(struct map *m, unsigned zone);

/* Counters of E 10.10 (blockMap.*); any thread. */
struct map_stats {
	uint64_t dirty_pages, clean_pages, free_pages, failed_pages;
	uint64_t incoming_pages, outgoing_pages;
	uint64_t cache_pressure, read_count, write_count;
	uint64_t failed_reads, failed_writes, reclaimed, read_outgoing;
	uint64_t found_in_cache, discard_required, wait_for_page;
	uint64_t fetch_required, pages_loaded, pages_saved, flush_count;
};
void map_get_stats(const struct map *m, struct map_stats *stats);

/* A walk over all zones: do they agree with themselves? When no queue runs. */
bool map_sane(const struct map *m);

#endif
