/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deduplication index: name -> 16 bytes of data, for as many of the names
 * seen last as its geometry holds (X 1). Byte-compatible on disk with the index
 * of Linux dm-vdo.
 *
 * A library of its own: it knows nothing of volumes. It runs on queues that it
 * is given: one for each zone, where requests are served, and one for all else
 * (chapter writer, sparse cache, opening, saving). No queue ever blocks: what
 * needs a page or room in the open chapter waits, the rest goes on.
 *
 *	      index_open()           index_resume()
 *	IDLE ------------> OPENING     +-------------- SUSPENDED
 *	 ^                    | |      v                  ^  |
 *	 |             failed | +--> ONLINE               |  |
 *	 +--------------------+        |  index_suspend() |  |
 *	 ^                             +--> SUSPENDING ---+  |
 *	 +------- index_close() -------+--------+------------+
 *
 * Requests are answered only while it is ONLINE. Before, a rebuild may be under
 * way for minutes; progress is in the statistics, and index_stop() ends it.
 *
 * Errors of requests
 *	-VDO_EBUSY	not online (yet, any more)
 *	-EIO, -VDO_ECORRUPT, ...: the first error of its kind; all requests that
 *			follow get -EIO until the index was closed and opened
 *			again. What is saved on disk is then not used again if
 *			it was to blame: opening rebuilds.
 *
 * Invariants
 *  (1) Requests for one name are served in the order in which they were
 *      started by one queue in one way, but one that waits may be overtaken.
 *  (2) done runs exactly once.
 *  (3) Whenever power fails, the index opens again: with the newest save if no
 *      chapter was closed since, else by a rebuild from the chapters on disk.
 *
 * Runs on: index_start() and statistics on any thread, index_serve() on a
 * zone's queue; all else from one thread or queue at a time.
 * Lifetime: index_create() to index_destroy(). Destroy it when it is IDLE and
 * no operation of the caller's is out; ops belong to callers.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash128.h"
#include "base/log.h"
#include "exec/completion.h"
#include "exec/waitq.h"
#include "index_format/names.h"
#include "io/mio.h"
#include "io/sync.h"

#define INDEX_DATA_SIZE 16u

struct index;
struct index_zone;

enum index_request {
	INDEX_POST,	       /* the data known for name, else remember ours */
	INDEX_UPDATE,	       /* remember ours whatever is known */
	INDEX_QUERY,	       /* the data known; name counts as seen now */
	INDEX_QUERY_NO_UPDATE, /* the data known; nothing changes */
	INDEX_DELETE,	       /* forget name (until a rebuild) */
};

/* Where a name was found. */
enum index_region {
	INDEX_NOWHERE,
	INDEX_OPEN_CHAPTER, /* in memory */
	INDEX_DENSE,
	INDEX_SPARSE,
};

struct index_op {
	struct completion done; /* home and fn set by the caller */
	enum index_request request;
	struct index_name name; /* from index_set_name() */
	uint8_t data[INDEX_DATA_SIZE]; /* in: post, update; out: if found, what
					* was known (not by delete) */
	bool found;		       /* out */
	enum index_region region;      /* out */

	/* private */
	struct index_zone *zone;
	struct completion run;
	struct waiter link;
	uint64_t chapter;     /* that record_page is of */
	uint32_t record_page; /* PAGE_NONE: the chapter has it not */
	bool looked_up;	      /* the two are valid */
	bool sampled;	      /* has waited for the sparse cache */
};

struct index_config {
	int32_t memory; /* code, see geometry.h */
	bool sparse;
	uint64_t nonce; /* of the volume */

	struct storage *storage;
	struct sync *sync;
	enum mio_kind kind; /* that its I/O counts as */
	pbn_t first_block;
	uint64_t block_count;

	/* Any queues, also the same one several times. */
	struct queue *queue;
	struct queue *zones[INDEX_ZONES_MAX];
	unsigned zone_count;

	const struct log *log;
	/* Milliseconds since 1970, for the time of a save; may be NULL. */
	uint64_t (*wall_ms)(void *arg);
	void *wall_arg;
};

/* -ENOMEM; -EINVAL: no such code; -ENOSPC: too few blocks. */
int index_create(const struct index_config *c, struct index **index) MUST_CHECK;
void index_destroy(struct index *index);

/* The shape it got. */
const struct index_geometry *index_geometry_of(const struct index *index);

enum index_open {
	INDEX_FORMAT,	  /* make a new one, whatever is there */
	INDEX_LOAD,	  /* the newest save, else rebuild */
	INDEX_LOAD_SAVED, /* the newest save, else -VDO_EDIRTY */
	INDEX_REBUILD,	  /* from the chapters, even if there is a save */
};

/*
 * Something that takes its time; @done is the caller's, set up, and finishes
 * once it is over. One at a time.
 *
 * open: -VDO_ENOINDEX: there is none, or of another volume or geometry, or
 * damaged beyond a rebuild: format one. -VDO_EVERSION: do not touch it.
 * -ECANCELED after index_stop(). Others: -EIO ...
 */
void index_open(struct index *index, enum index_open how,
		struct completion *done);

/* Refuse requests, wait for those that are out, and save if anything was asked
 * since (with @save). Online again with index_resume(). */
void index_suspend(struct index *index, bool save, struct completion *done);
void index_resume(struct index *index, struct completion *done);

/* The same and then IDLE. Also after an error: a save on disk that was to blame
 * is then marked as not to be used. Nothing to do if it is not open. */
void index_close(struct index *index, bool save, struct completion *done);

/*
 * A copy of the records of the open chapter, which a rebuild does not know of;
 * freed with alloc_free(). Only while no request is out. -ENOMEM
 */
struct index_record;
int index_open_records(const struct index *index, struct index_record **records,
		       uint32_t *count) MUST_CHECK;

/* Any thread: let an index_open() that is under way end soon. */
void index_stop(struct index *index);

/* Always finishes op->done. */
void index_start(struct index *index, struct index_op *op);

/*
 * Any thread: take @hash apart, which each request needs. name->zone is the zone
 * that serves requests for it.
 */
void index_set_name(const struct index *index, struct index_name *name,
		    const struct hash128 *hash);

/* The same on the queue of the name's zone, without a message: true if it is
 * over at once (done is not run). */
bool index_serve(struct index *index, struct index_op *op) MUST_CHECK;

/*
 * Any thread: a request for @name will soon be made. Brings what it will touch
 * into the processor's cache; changes nothing.
 */
void index_prefetch(const struct index *index, const struct index_name *name);

enum index_state {
	INDEX_IDLE,
	INDEX_OPENING,
	INDEX_ONLINE,
	INDEX_SUSPENDING,
	INDEX_SUSPENDED,
};

/* X 1.4. Counters of requests are of this opening. */
struct index_stats {
	enum index_state state;
	int error; /* that made it refuse requests; 0: none */
	uint64_t entries_indexed, collisions, entries_discarded;
	uint64_t early_flushes;
	uint64_t memory_used; /* bytes */
	uint64_t posts_found, posts_not_found;
	uint64_t in_memory_posts_found, dense_posts_found, sparse_posts_found;
	uint64_t updates_found, updates_not_found;
	uint64_t deletions_found, deletions_not_found;
	uint64_t queries_found, queries_not_found;
	uint64_t requests;
	uint64_t page_reads, chapters_written;
	uint64_t oldest_chapter, newest_chapter; /* newest: the open one */
	/* Chapters of a rebuild that is under way; both 0 otherwise. */
	uint64_t rebuild_done, rebuild_total;
	uint64_t left_out; /* by the rebuild of this opening: damaged */
};

void index_get_stats(const struct index *index, struct index_stats *stats);

#endif
