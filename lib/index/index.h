/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deduplication index: name -> 16 bytes of data, for as many of the names
 * seen last as its geometry holds (X 1). On disk it is the index of Linux's
 * dm-vdo, byte for byte.
 *
 * It is a library of its own and knows nothing of volumes. It runs on queues
 * that it is given: one for each zone, where requests are served, and a main
 * queue for all else (chapter writer, sparse cache, opening, saving). No queue
 * ever blocks: a request that needs a page, or room in the open chapter, waits,
 * and the others go on.
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
 *	-VDO_EBUSY	it is not online (yet, or any more)
 *	-EIO, -VDO_ECORRUPT, ...: the first error. All requests after it get
 *			-EIO until the index was closed and opened again. If a
 *			save was to blame, it is not used again: opening
 *			rebuilds.
 *
 * Invariants
 *  (1) Requests for one name are served in the order in which they were
 *      started by one queue in one way, but one that waits may be overtaken.
 *  (2) The completion done of a request runs exactly once, unless
 *      index_serve() said that the request is over.
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
	INDEX_POST,	       /* tell the data of name; none: keep ours */
	INDEX_UPDATE,	       /* keep ours, whatever is known */
	INDEX_QUERY,	       /* tell the data; name counts as seen now */
	INDEX_QUERY_NO_UPDATE, /* tell the data; nothing changes */
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
	uint8_t data[INDEX_DATA_SIZE]; /* in: of post and update; out: what was
					* known, if found (not by delete) */
	bool found;		       /* out */
	enum index_region region;      /* out */

	/* private */
	struct index_zone *zone;
	struct completion run;
	struct waiter link;
	uint64_t chapter;     /* that record_page is of */
	uint32_t record_page; /* PAGE_NONE: the chapter does not have it */
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

/* -ENOMEM. -EINVAL: there is no such memory code. -ENOSPC: too few blocks. */
int index_create(const struct index_config *c, struct index **index) MUST_CHECK;
void index_destroy(struct index *index);

/* The shape of the index. */
const struct index_geometry *index_geometry_of(const struct index *index);

enum index_open {
	INDEX_FORMAT,	  /* make a new one, whatever is there */
	INDEX_LOAD,	  /* the newest save, else rebuild */
	INDEX_LOAD_SAVED, /* the newest save, else -VDO_EDIRTY */
	INDEX_REBUILD,	  /* from the chapters, even if there is a save */
};

/*
 * The four operations that follow take their time. @done is the caller's, set
 * up, and finishes once the operation is over. There is one at a time.
 *
 * Opening fails with
 *	-VDO_ENOINDEX	there is none, or it is of another volume or geometry,
 *			or damaged beyond a rebuild: format one
 *	-VDO_EVERSION	do not touch it
 *	-VDO_EBUSY	it is open
 *	-ECANCELED	after index_stop()
 *	-EIO, ...
 */
void index_open(struct index *index, enum index_open how,
		struct completion *done);

/* Refuse requests, wait for those that are out and, with @save, save what was
 * asked since the last save. index_resume() brings it online again. */
void index_suspend(struct index *index, bool save, struct completion *done);
void index_resume(struct index *index, struct completion *done);

/*
 * Suspend it, and then have it IDLE. This works also after an error: if a save
 * on disk was to blame, it becomes unusable. An index that is not open stays
 * so.
 */
void index_close(struct index *index, bool save, struct completion *done);

/*
 * A copy of the records of the open chapter, which a rebuild does not know of.
 * The caller frees it with alloc_free(). No request may be out. -ENOMEM
 */
struct index_record;
int index_open_records(const struct index *index, struct index_record **records,
		       uint32_t *count) MUST_CHECK;

/* Any thread: let an index_open() that is under way end soon. */
void index_stop(struct index *index);

/* Any thread: start a request. It always finishes op->done. */
void index_start(struct index *index, struct index_op *op);

/*
 * Any thread: take @hash apart, which each request needs. Requests for it are
 * served by zone name->zone.
 */
void index_set_name(const struct index *index, struct index_name *name,
		    const struct hash128 *hash);

/* Start a request on the queue of the name's zone, without a message. Returns
 * true if it is over at once; done is not run then. */
bool index_serve(struct index *index, struct index_op *op) MUST_CHECK;

/*
 * Any thread: a request for @name will soon be made. This brings what it will
 * touch into the processor's cache, and changes nothing.
 */
void index_prefetch(const struct index *index, const struct index_name *name);

enum index_state {
	INDEX_IDLE,
	INDEX_OPENING,
	INDEX_ONLINE,
	INDEX_SUSPENDING,
	INDEX_SUSPENDED,
};

/* See X 1.4. Requests are counted since the index was opened. */
struct index_stats {
	enum index_state state;
	int error; /* why it refuses requests, or 0 */
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
	/* Chapters of a rebuild that is under way, both 0 without one. */
	uint64_t rebuild_done, rebuild_total;
	uint64_t left_out; /* damaged chapters, at this opening's rebuild */
};

void index_get_stats(const struct index *index, struct index_stats *stats);

#endif
