/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of user operations through the engine.
 *
 * One io is one call of the user; it is cut into requests of one block each,
 * and each request follows one table of steps (write.c, read.c) from queue to
 * queue. Requests are a fixed pool (the depth); what does not fit waits.
 *
 * Invariants
 *  (1) Two requests never work on the same LBN at once; they follow each other
 *      in the order in which they asked for the lock (I22).
 *  (2) A write is acknowledged early only with a block in hand (I25), and
 *      counts as active for flushes until its changes are durable and in the
 *      map (I14).
 *  (3) An error after the acknowledgement puts the volume into read-only mode;
 *      but if it was the storage that had no space for the data, metadata are
 *      as good as before: the volume only takes no more writes, and says so to
 *      those who write, flush and close (-ENOSPC).
 *  (4) Each lock that a request takes is released by the rows "release" and
 *      "wake", on every way (I30).
 *
 * Runs on: submission on any thread, also inside of queues; it never blocks.
 * Lifetime: path_create() to path_destroy(), drained in between.
 */
#ifndef PATH_PATH_H
#define PATH_PATH_H

#include <sys/uio.h>

#include "base/log.h"
#include "dedupe/dedupe.h"
#include "depot/depot.h"
#include "exec/executor.h"
#include "index/advice.h"
#include "io/mio.h"
#include "io/readonly.h"
#include "journal/journal.h"
#include "map/map.h"
#include "pack/pack.h"

struct path;

struct path_config {
	unsigned depth;         /* requests */
	unsigned logical_zones;
	struct queue **logical_queues; /* copied */
	unsigned hash_zones;
	struct queue **hash_queues;    /* copied */
	struct queue *journal_queue;
	struct queue *packer_queue;    /* also runs the flusher */
	struct storage *storage;
	struct readonly *readonly;
	const struct log *log;
	struct journal *journal;
	struct depot *depot;
	struct map *map;
	struct packer *packer;
	struct dedupe *dedupe;
	bool deduplication;
};

int path_create(const struct path_config *c, struct path **path) MUST_CHECK;
void path_destroy(struct path *p);

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_DISCARD,
	IO_ZERO,
	IO_FLUSH,
};

/* Runs once, on some queue of the volume. */
typedef void (*io_callback)(void *arg, int result);

struct io_request {
	enum io_kind kind;
	unsigned flags;  /* VDO_IO_* */
	uint64_t offset; /* bytes */
	uint64_t length; /* bytes; reads and writes: of all iov together */
	const struct iovec *iov;
	unsigned iov_count;
	io_callback callback;
	void *arg;
};

/* 0: the callback will run. -ENOMEM, -EAGAIN (NOWAIT): it will not. The range
 * has been checked by the caller. */
int path_submit(struct path *p, const struct io_request *q) MUST_CHECK;

/*
 * Wait until every operation is over, also those that were acknowledged: first
 * packer_drain(), then this. Nothing may be submitted any more. Any queue.
 */
void path_drain(struct path *p, struct completion *done);

/*
 * After that: wait for calls of path_submit() in other threads that have not
 * returned, though their operations are over. They still touch the path and its
 * queues, and are about to return. Outside of the queues.
 */
void path_join(struct path *p);

/* Were data lost after their acknowledgement (invariant 3, second case)? */
bool path_lost_data(const struct path *p);

/* New writes use advice and names, or do not. Any thread. */
void path_set_deduplication(struct path *p, bool on);
bool path_deduplication(const struct path *p);

/* What became of each block of a write. */
enum write_fate {
	FATE_ZERO,        /* nothing but zeroes, or discarded */
	FATE_DUPLICATE,   /* shared with a block that was there */
	FATE_IN_FLIGHT,   /* shared with a write under way */
	FATE_UNIQUE,      /* stored as it is */
	FATE_COMPRESSED,  /* stored in a compressed block */
	FATE_FAILED,
	FATES,
};

struct path_stats {
	uint64_t reads, writes, discards, zeroes, flushes; /* blocks; flushes */
	uint64_t partial, fua;
	uint64_t acknowledged;
	uint64_t fates[FATES];
	uint64_t incompressible; /* LZ4 made it no smaller */
	uint64_t packed_alone;   /* compressed, but found no partner */
	uint64_t no_space, read_only_errors;
	uint64_t in_progress, in_progress_max; /* requests */
};
void path_get_stats(const struct path *p, struct path_stats *stats);

#endif
