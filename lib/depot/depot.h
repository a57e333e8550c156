/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slab depot: free space, reference counts, and locks on physical blocks.
 *
 * All blocks that hold data lie in slabs (V 7). Slab n belongs to physical zone
 * n mod P. A zone allocates, counts references, writes the slab journals,
 * reference blocks and its copy of the summary, and knows who has locked which
 * block.
 *
 * Invariants
 *  (1) A counter changes only after its slab journal entry exists in memory,
 *      and that only for a durable recovery journal entry (I2, I4).
 *  (2) Slab journal entries of one slab are in recovery journal order,
 *      increment before decrement; recovery points strictly grow (I11).
 *  (3) Slab journal positions are reproducible (E 7.5): block boundaries depend
 *      on the entries alone, or are on disk; no entry is made after a partial
 *      commit until the summary that covers it is durable (I10).
 *  (4) D4 D5 D6: journal block, flush, summary; entry durable, flush, reference
 *      block; reference blocks, flush, slab journal head (I7, I8, I9).
 *  (5) free = data blocks - non-zero counters, for each slab (I27).
 *  (6) A read-locked block is never free; a write-locked one is never shared or
 *      handed out again (I19). Claims never exceed the limit (I18).
 *  (7) Provisional references are the lock's: confirmed by an increment, or
 *      dropped with the lock (I26).
 *
 * Runs on: each zone on its queue; pbnlock_claim() on any thread.
 * Lifetime: depot_create() to depot_destroy(); ops belong to callers.
 */
#ifndef DEPOT_DEPOT_H
#define DEPOT_DEPOT_H

#include "base/log.h"
#include "exec/completion.h"
#include "exec/waitq.h"
#include "format/layout.h"
#include "format/superblock.h"
#include "io/mio.h"
#include "io/readonly.h"
#include "io/sync.h"
#include "journal/journal.h"
#include "replay/entries.h"

struct depot;

#define DEPOT_BUFFERS 128u

/* Who hears when the blocks in use are not within bounds. */
struct depot_fill {
	struct queue *queue; /* where; NULL: nobody does */
	/* @freed: something became free. False: not now; it is asked again, in a
	 * message of its own. */
	bool (*told)(void *arg, bool freed);
	void *arg;
};

/* When do blocks that were freed go back to the storage? */
enum depot_reclaim {
	RECLAIM_OFF,
	RECLAIM_ON,	  /* all the time */
	RECLAIM_AT_CLOSE, /* when all is saved */
};

struct depot_config {
	unsigned zone_count;
	struct queue **queues; /* of the zones; copied */
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	const struct log *log;
	struct journal *journal;
	const struct superblock *sb; /* copied */
	unsigned locks_max; /* per zone: two per request that can exist */
	uint64_t counts_memory; /* as depot_set_counts_memory() */
	unsigned buffers; /* for writes, of each zone; 0: DEPOT_BUFFERS */
	enum depot_reclaim reclaim; /* not OFF: the storage can discard */
	unsigned reclaim_blocks; /* less in use in a zone, that go back soon, also few
				    side by side; 0: choose */
	const atomic_bool *stop; /* true: a load shall end soon; or NULL */
	struct depot_fill fill;
};

int depot_create(const struct depot_config *c, struct depot **depot)
	MUST_CHECK;
void depot_destroy(struct depot *d);

/* Before the load: bytes of counts in all zones; 0: no limit. */
void depot_set_counts_memory(struct depot *d, uint64_t bytes);

/* What memory it takes beside what it was made with. */
struct depot_memory {
	uint64_t reserved; /* of that: for slabs that are not there */
	uint64_t growth;   /* journals of all slabs, what was freed of them, and what
			      scrubs them */
	uint64_t idle;	   /* of that, when nothing was written yet */
	uint64_t counts;   /* of a slab; what all slabs have: */
	uint64_t counts_max;
	uint64_t counts_least; /* for the slabs that are written to */
};
void depot_get_memory(const struct depot *d, struct depot_memory *memory);

/* Where the volume that is loaded comes from. */
enum depot_origin {
	DEPOT_NEW,	  /* it was never used */
	DEPOT_SAVED,	  /* closed in good order: CLEAN */
	DEPOT_UNSCRUBBED, /* the same, with slabs left to scrub: RECOVERING */
	DEPOT_CRASHED,	  /* DIRTY, REPLAYING */
};

/*
 * Load: NEW writes an initial summary; otherwise the summary copies are merged
 * and written back, and the newest block of each slab journal is read (V 7.4,
 * 7.5, 10.1). What slabs are in use and what entries they have is known then;
 * depot_start() follows. -ECANCELED if the configuration's stop became true
 * meanwhile. To be called from outside of the zones or on any queue.
 */
void depot_load(struct depot *d, enum depot_origin origin,
		struct completion *done);

/*
 * Before depot_load() of a depot that crashed: where the recovery journal ends.
 * A slab journal with an entry of point @end (packed) or a later one says that a
 * part of the recovery journal is lost.
 */
void depot_set_points_end(struct depot *d, uint64_t end);

/*
 * After depot_load() of a depot that crashed: append to the slab journals those
 * of the @count @entries that they lack (V 10.3 D). Any number of times, one at a
 * time, in the order of the recovery journal; @entries stay until @done runs. An
 * entry of no data block is damage; other errors than that and those of I/O:
 * -ENOMEM and those of storage_reserve(), for a slab that was never used.
 */
void depot_replay(struct depot *d, const struct replay_entry *entries,
		  size_t count, struct completion *done);

/* After the last of them, or none, and before depot_start(): make the slab
 * journals and the summary durable. */
void depot_replayed(struct depot *d, struct completion *done);

/*
 * Begin service. If the counts of all slabs in use fit into a part of the memory
 * for counts, a depot that was saved reads them first; else those that are clean
 * are loaded when they are needed, and dropped when others need the memory.
 * After a crash other slabs are scrubbed in the background from now on (V 7.5),
 * those that somebody waits for first. An error of that is one of the volume.
 * Errors of this, and where to call it: as depot_load().
 */
void depot_start(struct depot *d, struct completion *done);

/*
 * After depot_start(): has a slab journal so little room that, after another
 * crash, it could not take all entries that may have been waiting for it then?
 * Then all slabs of its zone are scrubbed, and before the first entry
 * depot_drain() must write what there is.
 */
bool depot_is_tight(const struct depot *d);

/* After depot_drain(): scrubbing goes on. @done->result 0 or -ENOMEM */
void depot_resume(struct depot *d, struct completion *done);

/* Are slabs left to be scrubbed, or, for want of memory, counts left that lack
 * entries? Exact when the depot is drained; any thread. */
bool depot_unscrubbed(const struct depot *d);

/* The volume is in use, and its storage says so: from now on what is freed may go
 * back. Any thread. */
void depot_reclaim(struct depot *d);

/* The user has flushed: what was freed goes back soon, if it is much. Any queue. */
void depot_flushed(struct depot *d);

/* How far loading and starting are, in bytes that were read and are to be read;
 * 0 of 0: not known yet. Any thread. */
void depot_load_progress(const struct depot *d, uint64_t *done,
			 uint64_t *total);

/*
 * Drain all zones. With @save, everything is written: tails, counts, summary
 * clean. Without, only I/O under way is waited for. @done->result as sticky.
 */
void depot_drain(struct depot *d, bool save, struct completion *done);

/*
 * Growing, of a depot that is drained; on any queue. First have all that is
 * needed for so many slabs: -ENOMEM, or -VDO_ECORRUPT if the summary has
 * something of those to come. Then they are there, and the summary elsewhere.
 */
int depot_make_room(struct depot *d, uint64_t slab_count) MUST_CHECK;
void depot_grow(struct depot *d, uint64_t slab_count, pbn_t summary_start);

/* Read-only mode was entered: release whatever waits in zone @zone with
 * -VDO_EREADONLY. On the zone's queue. */
void depot_read_only(struct depot *d, unsigned zone);

/* The holders upcall of the journal: commit tails that hold blocks <= @head.
 * Any queue; coalesced. */
void depot_commit_tails(struct depot *d, seq_t head);

/* --------------------------------------------------------------- placement */

const struct slab_geometry *depot_geometry(const struct depot *d);
unsigned depot_zone_count(const struct depot *d);
/* @pbn must be a data block. */
unsigned depot_zone_of(const struct depot *d, pbn_t pbn);
struct queue *depot_queue(const struct depot *d, unsigned zone);

/* ---------------------------------------------------- locks on PBNs, E 3.6 */

enum pbn_lock_type {
	PBN_LOCK_READ,
	PBN_LOCK_WRITE,
	PBN_LOCK_MAP_WRITE,
};

/* What is in one is the depot's, in pbnlock_priv.h. */
struct pbn_lock;

/* The block that is locked. A lock begins with it, so reading it is no call. Any
 * thread that shares the lock. */
static inline pbn_t pbnlock_pbn(const struct pbn_lock *lock)
{
	return *(const pbn_t *)(const void *)lock;
}

/* May the block be shared? Whoever holds the lock. */
bool pbnlock_is_read(const struct pbn_lock *lock);

/* Claim one more reference to a read-locked block: false if there is none left.
 * Claims are never returned. Any thread that shares the lock. */
bool pbnlock_claim(struct pbn_lock *lock);

/* ------------------------------------------- on the zone of the block only */

struct lock_op {
	struct completion done; /* home and fn set by the caller */
	pbn_t pbn;              /* in */
	struct pbn_lock *lock;  /* out */
	unsigned references;	/* out, of depot_count() */
	bool counts;		/* private: no lock is wanted */
	struct waiter link;     /* private */
};

/*
 * Lock an existing block for comparing and sharing: op->lock is NULL when it
 * cannot be shared (write-locked, a map page, no reference left, unscrubbed slab,
 * no memory for the counts of its slab). True: over at once. False: the counts
 * are being loaded; done runs at the end, with result 0.
 */
bool depot_lock_read(struct depot *d, unsigned zone, struct lock_op *op)
	MUST_CHECK;

/* The same of a block that a mapping leads to, which stays meanwhile: if its slab is
 * being scrubbed, done runs when that is over. */
bool depot_lock_mapped(struct depot *d, unsigned zone, struct lock_op *op)
	MUST_CHECK;

/* How many references has the block, which a mapping leads to? 0: it is not known, as
 * the counts could not be loaded or scrubbed. As depot_lock_mapped(). */
bool depot_count(struct depot *d, unsigned zone, struct lock_op *op) MUST_CHECK;

/* One more holder of a lock that the caller's group already holds. */
void depot_lock_share(struct depot *d, unsigned zone, struct pbn_lock *lock);

/*
 * Turn a write lock into a read lock, exactly once. With @compressed each
 * fragment claims its own reference (limit 254); without, the writer's own is
 * one of them (limit 253).
 */
void depot_lock_downgrade(struct depot *d, unsigned zone,
			  struct pbn_lock *lock, bool compressed);

/* One holder less; the last one frees the lock and, if the lock owns a
 * provisional reference, the block. */
void depot_unlock(struct depot *d, unsigned zone, struct pbn_lock *lock);

/* ------------------------------------------------------- allocation, E 3.5 */

struct alloc_op {
	struct completion done;  /* home and fn set by the caller */
	enum pbn_lock_type type; /* in: WRITE or MAP_WRITE */
	struct pbn_lock *lock;   /* out: of the block */
	unsigned zone;           /* in: where to begin; out: the block's */
	unsigned stream;         /* in: WRITE: ops of one lie together */
	struct waiter link;      /* private */
	struct completion go;    /* private */
	struct depot *depot;     /* private */
	unsigned visited;        /* private */
	unsigned scrubbing;      /* private: 1 + such a zone, or 0 */
	bool patient;            /* private */
	int refusal;             /* private */
};

/*
 * Take a free block: provisional reference and write lock. Called on the queue
 * of zone op->zone. True: over at once, the block is in this very zone. False:
 * a slab is made ready or scrubbed, or other zones are being asked; done runs at
 * the end.
 * Result 0, -ENOSPC, -ENOMEM (there are free blocks, but no memory for the
 * counts of their slab), -ENOSPC, -EDQUOT or -EFBIG (but no storage for these,
 * or for the page of a map), -VDO_EREADONLY.
 */
bool depot_allocate(struct depot *d, struct alloc_op *op) MUST_CHECK;

/*
 * Exchange the block of write lock @lock, nothing of which was written or made
 * known, for one that lies beside other compressed blocks. Returns the lock of that
 * one; @lock itself if there is none at hand. On the zone of the block.
 */
struct pbn_lock *depot_move(struct depot *d, unsigned zone,
			    struct pbn_lock *lock) MUST_CHECK;

/* --------------------------------------------------- reference counts, E 7 */

enum refs_kind {
	REFS_INCREMENT,
	REFS_DECREMENT,
	REFS_MAP_INCREMENT, /* the block becomes a block map page: 254 */
};

/*
 * One block; or those of a run of entries, of which all old blocks are in one
 * slab: @pbn and @point are of the first, @more and @more_count the others. With
 * @news a run of entries with new and old blocks, of which this slab's are
 * counted, in order: @pbn and @point are of its first one, @more and @news those
 * of the entry of that, and @more_count is how many blocks follow.
 */
struct refs_op {
	struct completion done;
	enum refs_kind kind;
	unsigned more_count;
	pbn_t pbn;
	struct journal_point point; /* of the recovery journal entry */
	struct waiter link;         /* private */
	const struct journal_change *more;
	const struct mapping *news; /* NULL: only old ones are counted */
};

/*
 * Make the slab journal entry and change the counter; of each block of a run,
 * in order. On the queue of the block's zone, in recovery journal order. True:
 * over at once.
 */
bool depot_adjust(struct depot *d, struct refs_op *op) MUST_CHECK;

/* The last block of the summary partition; NULL if it changes while in use. */
const uint8_t *depot_summary_end(const struct depot *d);

/* -------------------------------------------------------- how full it is */

/* Blocks that are in use, and all there are; any thread. The first is a sum over
 * zones that go on, and of slabs that are estimated about right. */
uint64_t depot_used(const struct depot *d);
uint64_t depot_size(const struct depot *d);

/* From now on depot_fill.told is called about fewer blocks than @low in use, or
 * @high and more, again and again until the bounds are others. On that queue. */
void depot_set_bounds(struct depot *d, uint64_t low, uint64_t high);
bool depot_out_of_bounds(const struct depot *d);

/* Shall depot_fill.told be called when something becomes free? Any thread. What is
 * asked of a zone afterwards and finds no space is told of it. */
void depot_want_free(struct depot *d, bool on);

/* Look now, in a message. On the queue that drains the depot. */
void depot_look(struct depot *d);

/* -------------------------------------------------------------- statistics */

struct depot_stats {
	uint64_t slab_count;      /* the depot's, not a zone's */
	uint64_t data_blocks;     /* of all slabs */
	uint64_t allocated;       /* non-zero counters; of slabs that are
				     estimated about so many */
	uint64_t slabs_opened, slabs_reopened;
	uint64_t journal_disk_full, journal_flush, journal_blocked;
	uint64_t journal_blocks_written, journal_tail_busy;
	uint64_t summary_blocks_written;
	uint64_t reference_blocks_written;
	uint64_t slabs_scrubbed;   /* since the depot was made */
	uint64_t slabs_unscrubbed; /* that are left */
	uint64_t slabs_loaded;     /* whose counts were read in service */
	uint64_t slabs_dropped;    /* whose counts were dropped */
	uint64_t slabs_estimated;  /* whose counts were not asked yet, or lack
				      entries of the journal */
	uint64_t reclaimed;	   /* blocks given back to the storage */
	uint64_t reclaim_operations, reclaim_failed;
};

/* Sum over the zones; any thread. */
void depot_get_stats(const struct depot *d, struct depot_stats *stats);

/* A walk over all zones: do they agree with themselves? When no queue runs. */
bool depot_sane(const struct depot *d);

#endif
