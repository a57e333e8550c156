/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the depot: slabs, zones, and how its files share them.
 *
 *	depot.c        creation, placement, statistics, upcalls
 *	pbnlock.c      locks on blocks
 *	alloc.c        which slab, which block
 *	refs.c         the counters of one slab and their blocks on disk
 *	counts.c       which slabs have their counters in memory
 *	slabjournal.c  the slab journal of one slab: entries and blocks
 *	slabspace.c    blocks of it on disk: named, let go of, reused
 *	summary.c      the zone's copy of the slab summary
 *	metaio.c       buffers for metadata writes, and who waits for them
 *	load.c loader.c replay.c
 *		       from disk to memory, before service
 *	start.c scrubber.c scrub.c
 *		       what is left of that, in service
 *	reclaim.c      free blocks go back to the storage
 *	drain.c        from memory to disk
 *	fill.c         how full it is
 *	sane.c         walks over all of it
 *
 * Invariants
 *  (1) pending counts all that is under way in a zone: buffers in use, waiters
 *      for buffers, summary writes, syncs. Whoever finishes something starts
 *      what follows from it before it leaves, so pending is 0 only when the
 *      zone is at rest (E trap 16).
 *  (2) zone_leave(), and metaio_release() which ends with it, come last in a
 *      callback: the depot may be gone afterwards.
 *  (3) A slab has a journal in memory from its first use on. Its counters are
 *      there, and complete, in the state SLAB_REBUILT; else they may be there.
 *  (4) A block that is locked, or has a provisional reference, lies in a slab
 *      whose counters are there.
 *  (5) A provisional reference has a lock, but for those of blocks that the
 *      storage is just taking back: reclaim.start, reclaim.count.
 *
 * Runs on: the queue of the zone, without locks.
 */
#ifndef DEPOT_DEPOT_PRIV_H
#define DEPOT_DEPOT_PRIV_H

#include "base/counter.h"
#include "base/intmap.h"
#include "base/list.h"
#include "base/prioq.h"
#include "depot/depot.h"
#include "depot/pbnlock_priv.h"
#include "exec/executor.h"
#include "exec/fanout.h"
#include "exec/flow.h"
#include "format/slab.h"

#define SECTORS_PER_BLOCK  (BLOCK_SIZE / SECTOR_SIZE)
#define COUNT_PROVISIONAL  255u
#define SUMMARY_ZONE_BYTES (SUMMARY_ZONE_BLOCKS * BLOCK_SIZE)

struct depot_zone;
struct slab;

/* ------------------------------------------------------- buffers, metaio.c */

struct meta_io {
	struct mio mio;
	struct sync_op sync;
	struct list_node link; /* free, or the journal's writes under way */
	struct depot_zone *zone;
	struct slab *slab;
	uint8_t *buf;
	seq_t seq;	/* journal: the block; counts: the lock to be dropped */
	uint32_t index; /* counts: which reference block */
};

/* Who waits for a buffer; ready() owns @io. */
struct metaio_wait {
	struct waiter link;
	void (*ready)(struct metaio_wait *w, struct meta_io *io);
};

struct io_pool {
	unsigned count;
	struct meta_io *ios;
	uint8_t *buffers;
	struct list_node free;
	struct waitq waiting;
	bool dispatching;
};

int metaio_init(struct depot_zone *z) MUST_CHECK;
void metaio_fini(struct depot_zone *z);

/* A buffer, or NULL if others wait or none is left. */
struct meta_io *metaio_take(struct depot_zone *z, struct slab *s);
void metaio_wait(struct depot_zone *z, struct metaio_wait *w);
void metaio_release(struct meta_io *io);

/* ------------------------------------------------------ summary, summary.c */

/* One update; fn runs when it is durable up to the device's cache. */
struct summary_op {
	struct waiter link;
	void (*fn)(struct summary_op *op, int result);
};

struct summary_block {
	struct depot_zone *zone;
	unsigned index; /* in the zone's copy */
	bool writing;
	unsigned write_number;
	struct waitq waiting; /* changed since the write began */
	struct waitq covered; /* by the write */
	struct sync_op sync;
	struct mio mio;
	uint8_t *out;
};

struct summary {
	uint8_t *entries; /* SUMMARY_ZONE_BYTES, as on disk */
	uint8_t *out;	  /* as much again: images under write */
	struct summary_block blocks[SUMMARY_ZONE_BLOCKS];
};

int summary_init(struct depot_zone *z) MUST_CHECK;
void summary_fini(struct depot_zone *z);

struct summary_entry summary_get(const struct slab *s);

/* The write of the entry of @s that is under way or was the last. */
unsigned summary_write_number(const struct slab *s);

/* Change the entry of @s and write it; @op is told. */
void summary_update(struct slab *s, struct summary_entry e,
		    struct summary_op *op);

/* ------------------------------------------------------------------- slabs */

enum slab_state {
	SLAB_REBUILT, /* normal */
	SLAB_UNLOADED, /* the same, but its counts are on disk, complete but for
			  what the journal has; or on their way there */
	SLAB_REPLAYING,
	SLAB_REQUIRES_SCRUBBING,
	SLAB_REQUIRES_HIGH_PRIORITY_SCRUBBING,
	SLAB_REBUILDING,
};

/* One block of reference counts. */
struct ref_block {
	struct waiter link; /* in slab.dirty if dirty and not writing */
	seq_t lock;	    /* slab journal block it holds; 0: none */
	uint16_t allocated; /* non-zero counters */
	bool dirty;
	bool writing;
};

struct sj_lock {
	seq_t held;	/* recovery journal block held; 0: none */
	seq_t head;	/* in the block's header, when it is written */
	uint16_t count; /* 1 until in the summary, 1 a reference block */
};

/* Why no entry can be made. */
enum {
	STOP_IO = 1u,	   /* the tail waits for a buffer */
	STOP_PARTIAL = 2u, /* a partial block is not in the summary */
	STOP_SCRUB = 4u,   /* the slab is being scrubbed */
};

/* A state of the slab's summary entry: journal blocks before tail, and whether
 * all their entries are in the counts. Tail 0 is what a rebuild leaves: without a
 * journal, but the last of the ring is looked at. */
struct sj_named {
	seq_t tail;
	bool clean;
};

/*
 * Sequence numbers, in order: head <= reap_to <= summarized <= updating_to <=
 * next_commit <= tail.
 */
struct slab_journal {
	struct slab *slab;
	seq_t head;		 /* oldest block that may not be reused */
	seq_t reap_to;		 /* head after the sync under way */
	seq_t summarized;	 /* the summary covers what is before */
	seq_t updating_to;	 /* as summarized, after the update under way */
	seq_t next_commit;	 /* all before are written */
	seq_t tail;		 /* the block being filled */
	seq_t applied_end;	 /* slab UNLOADED: before it the counts that were
				    dropped have all entries */
	seq_t partial;		 /* with STOP_PARTIAL: that block */
	uint64_t last_point;	 /* newest recovery point, packed */
	struct sj_named done;	 /* in the last summary write that is done */
	struct sj_named flushed; /* the oldest that a crash may leave */
	struct sj_named syncing; /* flushed, after the sync under way */
	unsigned done_write;	 /* number of that write */
	unsigned stops;
	uint16_t entries; /* in the tail */
	bool has_map;	  /* the tail has map increments */
	bool updating, reaping;
	bool blocked; /* found full; write the counts as soon as possible */
	uint8_t *block;
	struct sj_lock *locks; /* by seq mod size */
	struct sj_lock *tail_lock;
	seq_t held;		  /* of the tail */
	struct list_node by_held; /* in depot_zone.open_tails */
	struct waitq waiting;	  /* struct refs_op */
	struct list_node writing; /* struct meta_io, oldest first */
	struct metaio_wait metaio_wait;
	struct summary_op update;
	struct sync_op reap_sync;
	struct flow *scrub; /* waits until all of it is on disk; or NULL */
};

/* What is kept apart where it is allocated, alloc.c: ops for data, by their
 * stream, those for pages, and compressed blocks. */
#define DATA_STREAMS  4u
#define PAGE_STREAM   DATA_STREAMS
#define PACK_STREAM   (DATA_STREAMS + 1)
#define ALLOC_STREAMS (DATA_STREAMS + 2)

struct slab {
	struct depot_zone *zone;
	struct prioq_node node;
	pbn_t start;
	uint32_t number;
	uint32_t free_count;
	uint32_t cursor; /* of the search */
	uint32_t reserved, reserved_end; /* blocks with storage, for pages */
	enum slab_state state;
	bool open;	  /* the zone allocates from it */
	bool waiting;	  /* counts wait for a buffer */
	bool cleaning;	  /* clean_op is in use */
	bool clean_dirty; /* and leaves the entry dirty */
	bool exact;	  /* free_count is what the counts say */
	bool behind;	  /* UNLOADED: the counts lack entries of the journal */
	bool recent;	  /* used since it was last looked at, to be dropped */
	bool leaving;	  /* the counts go when they are written */
	bool loading;	  /* it is to be loaded, or being loaded */
	bool promising;	  /* the same, and it may have free blocks */
	uint32_t locks;	  /* on its blocks */
	uint32_t provisional; /* references, which count as used */
	struct list_node in_memory; /* in counts_memory.slabs; without counts
				       in none */
	struct waitq lockers; /* struct lock_op, until it is loaded, or scrubbed */
	uint32_t wanted;  /* writes asked for and not begun */
	uint32_t writing; /* reference blocks under write */
	seq_t clean_tail; /* with cleaning: what the entry names */
	uint64_t applied; /* newest slab journal entry in the counts, packed */
	uint8_t *counts;
	struct ref_block *blocks;
	struct waitq dirty;
	struct metaio_wait metaio_wait;
	struct summary_op clean_op;
	struct slab_journal *journal;
	uint8_t *freed; /* a byte a group, reclaim.c; or NULL */
	struct list_node freed_link; /* in reclaim.fresh or reclaim.slabs */
};

/* ------------------------------------------------------------------- zones */

/* Written by the zone, read by anybody. */
struct depot_zone_stats {
	counter_t allocated;
	counter_t slabs_opened, slabs_reopened;
	counter_t journal_disk_full, journal_flush, journal_blocked;
	counter_t journal_blocks_written, journal_tail_busy;
	counter_t summary_blocks_written;
	counter_t reference_blocks_written;
	counter_t slabs_scrubbed, slabs_unscrubbed;
	counter_t slabs_loaded, slabs_dropped;
	counter_t slabs_estimated; /* not exact */
	counter_t slabs_behind;
	counter_t reclaimed, reclaim_operations, reclaim_failed;
};

/* The counts of a zone in memory, counts.c. Sizes are in slabs. */
struct counts_memory {
	uint32_t budget;
	uint32_t used;
	uint32_t leaving;	 /* of these */
	struct list_node slabs;	 /* struct slab with counts, but for those that
				    leave; first who is asked first to go */
	struct list_node wanted; /* slabs to be loaded, by slab.node.link */
	uint32_t promising;	 /* slabs that are, and may have free blocks */
	bool starved; /* no memory: no try until somebody asks for a slab */
};

/* Where the replay of this zone is. */
struct zone_replay {
	struct flow flow;
	struct refs_op op;
	size_t at; /* halves of entries that were looked at */
};

/* What goes back to the storage, reclaim.c. */
struct zone_reclaim {
	struct flow flow;
	struct mio mio;
	struct lock_op ask; /* waits for the counts of a slab */
	bool runs;
	bool all;    /* the volume is closed: whatever was freed */
	bool rested; /* in this drain all of it was tried */
	bool hurry;  /* the user has flushed */
	unsigned least;	 /* of what a group must have */
	uint32_t shorts; /* operations that may be about short runs */
	struct list_node fresh; /* slabs of which something was freed */
	struct list_node slabs; /* those that the pass has still to look at */
	struct slab *slab;	/* where it is, or NULL */
	uint32_t at;	 /* the next block to look at */
	uint32_t group;	 /* that at is in, if it was begun */
	uint32_t end;	 /* of what was given back last of the slab */
	uint32_t start, count; /* on the way back, and claimed; or none */
	counter_t most; /* blocks in use at a time since the pass began */
	/* depot_flushed() */
	struct completion flushed;
	atomic_bool posted;
};

struct zone_load;
struct zone_scrub;

struct depot_zone {
	_Alignas(CACHE_LINE) struct depot *depot;
	struct queue *queue;
	unsigned number;
	size_t pending;			    /* invariant 1 */
	void (*idle)(struct depot_zone *z); /* when pending is 0; or NULL */

	struct slab *open;
	struct alloc_run {
		uint32_t at, end;
	} runs[ALLOC_STREAMS]; /* what each stream has of it */
	struct prioq slabs; /* all that may be opened */
	struct completion prepare;
	bool preparing; /* prepare is on its way */
	bool short_of_something; /* memory or storage; the log says so */
	struct waitq waiting; /* struct alloc_op, for a slab that is ready */
	struct waitq patient; /* the same, for one that is scrubbed or loaded */
	struct counts_memory counts;
	struct prioq unscrubbed; /* slabs that no scrubber has taken yet */
	struct zone_scrub *scrub;
	bool draining; /* scrubbers are to stop */
	bool tight;    /* at the start: see depot_is_tight() */
	uint64_t fill_mask; /* looked at when the count has none of these bits */

	struct intmap locks;
	struct pbn_lock *lock_pool;
	struct pbn_lock *locks_free;
	uint32_t locks_used; /* of the pool: that ever were */

	struct list_node open_tails; /* journals, by what they hold */
	struct io_pool pool;
	struct summary summary;
	struct depot_zone_stats stats;

	/* depot_commit_tails() */
	struct completion commit;
	atomic_bool commit_posted;
	_Atomic(uint64_t) commit_head;

	/* fill.c */
	struct completion fill_go; /* to the owner, and back */
	struct completion fill_ask;
	atomic_bool fill_asked; /* fill_ask is on its way */
	bool fill_posted;	/* fill_go is */
	bool fill_freed;	/* and says that something became free */
	bool fill_more;		/* so it did since then */

	struct zone_reclaim reclaim;
	struct zone_replay replay;
	struct zone_load *load;
	counter_t loaded; /* blocks of the load that are done */
};

struct depot_load;

/* What a drain writes before it is over. */
enum drain_kind {
	DRAIN_NOTHING,
	DRAIN_TAILS,	  /* slab journals and the summary */
	DRAIN_EVERYTHING, /* also the counts */
};

struct depot {
	struct depot_zone *zones;
	unsigned zone_count;
	struct slab *slabs;
	/* Of the zones. Other threads read these, so they lie where no zone
	 * writes. */
	struct queue *queues[PHYSICAL_ZONES_MAX];
	struct slab_geometry geo;
	struct slab_config slab;
	uint32_t ref_blocks; /* really used, of a slab */
	uint64_t deadline; /* journal length at which all counts are written */
	unsigned priority_pristine;
	struct depot_fill fill;
	_Atomic(uint64_t) fill_low, fill_high; /* bounds */
	atomic_bool want_free; /* what becomes free is told */
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	const struct log *log;
	struct journal *journal;
	uint64_t nonce;
	enum depot_origin origin; /* of what is loaded */
	uint64_t points_end; /* no slab journal has this point, or a later one */
	pbn_t summary_start;
	unsigned old_zone_count;
	unsigned locks_max;
	struct fanout fanout;			      /* of a load or drain */
	struct fanout_part parts[PHYSICAL_ZONES_MAX]; /* one a zone */
	struct completion *done;
	struct depot_load *load;
	const atomic_bool *stop; /* or NULL */
	counter_t load_total;	 /* blocks, of all zones; 0: not known yet */
	uint64_t counts_bytes; /* of the counts of a slab in memory */
	uint64_t counts_memory; /* for all of them; 0: no limit */
	unsigned buffers;	/* of each zone */
	bool preload;		/* all counts are read before service */
	/* What was free once is found again until something else is written
	 * there. */
	bool free_lasts;
	enum depot_reclaim reclaim;
	atomic_bool reclaiming; /* it has begun, and did not fail */
	struct {
		uint32_t freed;	  /* so many less in use begin a pass */
		uint32_t flushed; /* or so many, when the user flushes */
		uint32_t run;	  /* so many side by side go back */
	} reclaim_least;
	enum drain_kind drain; /* what the drain under way writes */
	const struct replay_entry *entries; /* of the batch under way */
	size_t entry_count;
	struct sync_op zones_sync; /* after something in all zones */
};

/* Shall a load or start end soon? */
static inline bool depot_is_stopped(const struct depot *d)
{
	return d->stop != NULL &&
	       atomic_load_explicit(d->stop, memory_order_relaxed);
}

/* Was the volume closed in good order? Then each entry that a slab can have is
 * named by the summary. */
static inline bool depot_was_saved(const struct depot *d)
{
	return d->origin == DEPOT_SAVED || d->origin == DEPOT_UNSCRUBBED;
}

static inline struct fanout_part *zone_part(struct depot_zone *z)
{
	VDO_ASSERT(z->number < z->depot->zone_count);
	return &z->depot->parts[z->number];
}

static inline struct depot_zone *zone_of_part(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	VDO_ASSERT(part->number < PHYSICAL_ZONES_MAX);
	return &container_of(part->fanout, struct depot, fanout)
			->zones[part->number];
}

static inline void zone_enter(struct depot_zone *z)
{
	z->pending++;
}

static inline void zone_leave(struct depot_zone *z)
{
	VDO_ASSERT(z->pending > 0);
	if (--z->pending == 0 && unlikely(z->idle != NULL))
		z->idle(z);
}

static inline bool zone_read_only(const struct depot_zone *z)
{
	return readonly_entered(z->depot->readonly);
}

static inline struct depot_zone *zone_check(struct depot *d, unsigned zone)
{
	VDO_CHECK(zone < d->zone_count);
	VDO_CHECK(queue_is_current(d->zones[zone].queue));
	return &d->zones[zone];
}

/* The slab of a data block. */
static inline struct slab *slab_at(const struct depot *d, pbn_t pbn)
{
	VDO_CHECK(is_data_block(&d->geo, pbn));
	return &d->slabs[slab_of(&d->geo, pbn)];
}

/* Next slab of the same zone, or NULL; begin with @s NULL. */
struct slab *depot_next_slab(const struct depot_zone *z, const struct slab *s);

/* start.c: with so many slabs, can there be more counts than are kept? */
bool depot_may_drop(const struct depot_zone *z, uint64_t slab_count) MUST_CHECK;

/*
 * Give @s memory for its journal, with @counts for its counters, too, and storage
 * for both, so that closing can write them in a full file system. 0, -ENOMEM,
 * -ENOSPC, -EDQUOT, -EFBIG
 */
int depot_activate_slab(struct slab *s, bool counts) MUST_CHECK;

/* Bring all zones to rest, when @kind is written. */
void drain_start(struct depot *d, enum drain_kind kind,
		 struct completion *done);

/* ------------------------------------------------------ alloc.c, pbnlock.c */

/* The level of the table where @s belongs. */
unsigned alloc_priority(const struct slab *s);

/* Put a slab that is ready, or can be loaded, into the table; one that was loaded
 * before its equals. */
void alloc_enlist(struct slab *s);
void alloc_enlist_loaded(struct slab *s);

/* free_count has changed: move it in the table. */
void alloc_reorder(struct slab *s);

/* A slab has been scrubbed or loaded, or that has ended: who waits for it tries
 * again; with @failed, why there is no memory for counts, or 0. */
void alloc_scrubbed(struct depot_zone *z, int failed);

/* Have the next slab that was never used ready; as depot_activate_slab(). */
int alloc_prepare(struct depot_zone *z) MUST_CHECK;

int pbnlock_init(struct depot_zone *z, unsigned locks_max) MUST_CHECK;
void pbnlock_fini(struct depot_zone *z);
struct pbn_lock *pbnlock_get(struct slab *s, pbn_t pbn,
			     enum pbn_lock_type type);

/* Answer those who wait for a lock in @s: it was loaded or scrubbed, or cannot be. */
void pbnlock_answer(struct slab *s);

static inline struct pbn_lock *pbnlock_find(struct depot_zone *z, pbn_t pbn)
{
	return intmap_get(&z->locks, pbn);
}

/* ------------------------------------------------------------------ fill.c */

void fill_init(struct depot_zone *z);

/* Tell the owner if the depot is out of bounds. */
void fill_look(struct depot_zone *z);

/* Something became free. */
void fill_tell_free(struct depot_zone *z);

static inline void fill_freed(struct depot_zone *z)
{
	if (unlikely(atomic_load_explicit(&z->depot->want_free,
					  memory_order_relaxed)))
		fill_tell_free(z);
}

/* ---------------------------------------------------------------- counts.c */

/* Memory for the counts of @s, all 0. 0 or -ENOMEM, then also without it */
int counts_alloc(struct slab *s) MUST_CHECK;
void counts_free(struct slab *s);

/* Does its free_count say what its counts say? */
void counts_set_exact(struct slab *s, bool exact);

/* The journal of @s, which is unloaded, has got an entry. */
void counts_fall_behind(struct slab *s);

enum counts_answer {
	COUNTS_READY,  /* they are there */
	COUNTS_COMING, /* a scrubber loads them */
	COUNTS_NEVER,  /* not in this life: read-only, or being drained */
};

/* The counts of @s, which is UNLOADED, are needed. */
enum counts_answer counts_load(struct slab *s);

/* There may be memory again, or somebody asks: go on with what is wanted. */
void counts_hurry(struct depot_zone *z);

/* Load those that lack entries, for a drain. False: there are none. */
bool counts_catch_up(struct depot_zone *z);

/* @s is loaded or, with @failed, cannot be now: it is UNLOADED then. */
void counts_loaded(struct slab *s, int failed);

/* Drop counts until they keep within the budget, as far as can be now. */
void counts_trim(struct depot_zone *z);

/* Reference blocks of @s were written: if it leaves and is done, it goes. */
void counts_written(struct slab *s);

/* Is more in memory than may be, and something about to go? */
static inline bool counts_crowded(const struct depot_zone *z)
{
	return z->counts.used > z->counts.budget && z->counts.leaving > 0;
}

/* ------------------------------------------------------------------ refs.c */

int refs_init(struct slab *s) MUST_CHECK;

/* Find a free block, from the cursor on. */
bool refs_find(struct slab *s, uint32_t *offset);

/* 0 -> provisional, and back. */
void refs_claim(struct slab *s, uint32_t offset);
void refs_unclaim(struct slab *s, uint32_t offset);

/* The same of @n blocks, without a lock, of which statistics say nothing. */
void refs_claim_run(struct slab *s, uint32_t offset, uint32_t n);
void refs_unclaim_run(struct slab *s, uint32_t offset, uint32_t n);

/* Change a counter for the entry that the journal's tail has just got. */
int refs_adjust(struct slab *s, uint32_t offset, enum refs_kind kind,
		struct journal_point at) MUST_CHECK;

/* Mark all blocks dirty, for the first entry ever: each must be written. */
void refs_dirty_all(struct slab *s);

/* Mark a block dirty without a hold on the journal, after scrubbing. */
void refs_dirty_block(struct slab *s, uint32_t index);

/* Begin writes of @n more dirty blocks, the oldest first. */
void refs_write(struct slab *s, size_t n);

static inline void refs_write_all(struct slab *s)
{
	refs_write(s, s->dirty.count);
}

/* If all counts are written, have the summary say so. */
void refs_check_clean(struct slab *s);

/* Counters of block @index to and from the form on disk. */
void refs_encode(const struct slab *s, uint32_t index, uint8_t *block);
void refs_decode(struct slab *s, uint32_t index, const uint8_t *block,
		 uint64_t *points);

static inline uint32_t refs_block_size(const struct slab *s, uint32_t index)
{
	uint64_t rest = s->zone->depot->geo.data_blocks -
			(uint64_t)index * COUNTS_PER_BLOCK;

	VDO_CHECK(index < s->zone->depot->ref_blocks);
	return (uint32_t)MIN(rest, COUNTS_PER_BLOCK);
}

/* ----------------------------------------------------------- slabjournal.c */

/* What the journal of a slab takes in memory. */
uint64_t slabjournal_bytes(const struct depot *d);
int slabjournal_create(struct slab *s) MUST_CHECK;
void slabjournal_destroy(struct slab_journal *sj);

/* Where the journal of @s stands after loading, and whether the counts have all
 * of it. */
void slabjournal_set(struct slab_journal *sj, seq_t head, seq_t tail,
		     uint64_t last_point, bool clean);

/* Write the tail, which has entries. */
void slabjournal_commit(struct slab_journal *sj);

/* Make the entries that wait. */
void slabjournal_run(struct slab_journal *sj);

/* Finish all that waits with -VDO_EREADONLY. */
void slabjournal_abort(struct slab_journal *sj);

/* The place in the recovery journal, counting both halves of each entry. */
static inline uint64_t slabjournal_expand(const struct refs_op *op)
{
	struct journal_point p = op->point;

	VDO_CHECK(p.entry < JOURNAL_ENTRIES_PER_BLOCK);
	p.entry = (uint16_t)(2 * p.entry + (op->kind == REFS_DECREMENT));
	return point_pack(p);
}

/* Is the entry of @op in the journal already, or out of order? */
static inline bool slabjournal_has(const struct slab_journal *sj,
				   const struct refs_op *op)
{
	return slabjournal_expand(op) <= sj->last_point;
}

static inline uint64_t slabjournal_ring(const struct slab_journal *sj)
{
	return sj->slab->zone->depot->slab.slab_journal_blocks;
}

static inline struct sj_lock *slabjournal_lock(struct slab_journal *sj,
					       seq_t seq)
{
	VDO_CHECK(seq > 0 && seq <= sj->tail);
	return &sj->locks[seq % slabjournal_ring(sj)];
}

static inline pbn_t slabjournal_start(const struct slab *s)
{
	const struct slab_config *c = &s->zone->depot->slab;

	return s->start + c->data_blocks + c->reference_count_blocks;
}

/* Was it never used? A slab without a journal that has counts was rebuilt. */
static inline bool slab_pristine(const struct slab *s)
{
	const struct slab_journal *sj = s->journal;

	VDO_CHECK(sj == NULL || sj->slab == s);
	return sj == NULL ||
	       (sj->tail == 1 && sj->entries == 0 &&
		s->free_count == s->zone->depot->geo.data_blocks);
}

/* ------------------------------------------------------------- slabspace.c */

/* Have the summary name all blocks that are written (D5: it syncs first). */
void slabspace_summarize(struct slab_journal *sj);

/* Let go of the oldest blocks; not before their counts are durable (D6). */
void slabspace_reap(struct slab_journal *sj);

/* A reference block has let go of block @seq. */
void slabspace_release(struct slab_journal *sj, seq_t seq);

/* The summary entry is written that says that the counts are written and, if
 * @clean, have all entries of blocks before @tail. */
void slabspace_clean(struct slab_journal *sj, seq_t tail, bool clean);

/* In replay, if the ring is full: let go of its oldest block (V 10.3 D). */
void slabspace_forget(struct slab_journal *sj);

/* Is all of it on disk, named by the summary, and nothing under way? */
bool slabspace_rests(const struct slab_journal *sj);

/* Let the scrubber that waits for that go on, if it is so. */
void slabspace_wake(struct slab_journal *sj);

/* May the tail take the place of what was there a trip around the ring ago? */
bool slabspace_is_free(struct slab_journal *sj);

/* ----------------------------------------------------------------- scrub.c */

/*
 * Apply the journal of @s, whose whole ring is in @ring, to its counters, each
 * with the commit point of its sector in @points (8 a block). Changed blocks
 * are marked dirty. 0 or -VDO_ECORRUPT.
 */
int scrub_apply(struct slab *s, const uint8_t *ring,
		const uint64_t *points) MUST_CHECK;

/* Something read for @s cannot be, near journal block @seq: -VDO_ECORRUPT. */
int scrub_damaged(const struct slab *s, seq_t seq, const char *what);

/* -------------------------------------------------------------- scrubber.c */

/* Put a slab whose counts are not known into the table. */
void scrubber_put(struct slab *s);

/* Somebody waits for @s: it comes first, if it is in the table. Or its counts are
 * loaded, if they were dropped. */
void scrubber_want(struct slab *s);

/* One more scrubber, if there is one: slabs are to be loaded. */
void scrubber_kick(struct depot_zone *z);

/* Those that wait for memory look again: some was given back, or the volume is
 * read-only. */
void scrubber_unpark(struct depot_zone *z);

/*
 * Scrub all slabs of the table; with @await the zone's part of a fan-out is done
 * at the end, if scrubber_runs() afterwards. 0 or -ENOMEM
 */
int scrubber_start(struct depot_zone *z, bool await) MUST_CHECK;

/* What the scrubbers of all zones take, when there are any. */
uint64_t scrubber_bytes(const struct depot *d);
/* Memory for them, if there is none yet; 0 or -ENOMEM. */
int scrubber_create(struct depot_zone *z) MUST_CHECK;
bool scrubber_runs(const struct depot_zone *z);
void scrubber_destroy(struct depot_zone *z);

/* Is @s, whose counts are not known, where it belongs? */
bool scrubber_place_sane(const struct slab *s);

/* --------------------------------------------------------------- reclaim.c */

/* What slab.freed has for so many blocks: how many were freed since they were
 * looked at, about, and whether something is left. */
#define RECLAIM_GROUP 64u
#define RECLAIM_FRESH 0x3fu
#define RECLAIM_LEFT  0x80u

void reclaim_choose(struct depot *d, const struct depot_config *c);
void reclaim_init(struct depot_zone *z);

/* What slab.freed takes. */
uint64_t reclaim_bytes(const struct depot *d);

/* Memory for slab.freed; false: there is none. */
bool reclaim_begin(struct slab *s) MUST_CHECK;

/* One more block of @s was freed. */
void reclaim_freed(struct slab *s);

/* Block @offset of @s, which was in use, is free or will be soon. */
static inline void reclaim_note(struct slab *s, uint32_t offset)
{
	uint8_t *group;

	if (likely(s->zone->depot->reclaim == RECLAIM_OFF) ||
	    (unlikely(s->freed == NULL) && !reclaim_begin(s)))
		return;
	group = &s->freed[offset / RECLAIM_GROUP];
	*group += (*group & RECLAIM_FRESH) != RECLAIM_FRESH;
	reclaim_freed(s);
}

/* @n free blocks of @s have storage, which goes back at the end. */
void reclaim_leave(struct slab *s, uint32_t offset, uint32_t n);

/* Is the storage taking it back just now? */
static inline bool reclaim_has(const struct slab *s, uint32_t offset)
{
	const struct zone_reclaim *r = &s->zone->reclaim;

	return r->slab == s && offset - r->start < r->count;
}

/* In a drain: what was freed goes back now. False: nothing is left to be done. */
bool reclaim_rest(struct depot_zone *z);

/* ------------------------------------------------------------------ sane.c */

/* Walks: does the slab, its journal alone, or all of a zone agree with itself?
 * On the zone's queue. */
bool slab_sane(const struct slab *s);
bool slabjournal_sane(const struct slab_journal *sj);
bool depot_zone_sane(const struct depot_zone *z);

#endif
