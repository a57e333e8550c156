/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of user operations through the engine.
 *
 * The front hands calls of the user in, as ios. An io is cut into requests of
 * one block each, and each request follows one table of rows (write.h, read.c)
 * from queue to queue. Discards and zeroes of many blocks are cut page by page
 * (range.c). Requests are a fixed pool: those of the depth, and spare ones while
 * many wait for the journal (requests.c). What does not fit waits in the front.
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
 *      those who write, flush and close (error_is_no_space()).
 *  (4) Each lock that a request takes goes back on every way (I30): the read
 *      lock on a candidate in row "unlock", the hash lock in "hand over", the
 *      own block's in "release", the LBN's in "wake".
 *
 * Runs on: calls of the front on any thread, also inside of queues; they never
 * block. Lifetime: path_create() to path_destroy(), while the front is stopped.
 */
#ifndef PATH_PATH_H
#define PATH_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct dedupe;
struct depot;
struct front;
struct front_engine;
struct journal;
struct log;
struct map;
struct packer;
struct path;
struct queue;
struct readonly;
struct storage;

struct path_config {
	unsigned depth;         /* requests that are worked on */
	unsigned requests;      /* and those that wait for the journal */
	struct front *front;    /* where the calls come from */
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
	/* Calls are parked in the front, or not any more. Any thread, under a
	 * hold. */
	void (*holding)(void *arg);
	void *holding_arg;
};

int path_create(const struct path_config *c, struct path **path) MUST_CHECK;
void path_destroy(struct path *p);

/* What a front asks of a path; front_start(front, &path_engine, path). */
extern const struct front_engine path_engine;

/* Why acknowledged data were lost (invariant 3, second case); 0: none were. */
int path_lost_data(const struct path *p);

/* The volume is being closed: discards and zeroes of many blocks that have begun
 * end with -ECANCELED where they are. Any thread. */
void path_end_ranges(struct path *p);

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
	uint64_t reads, writes, discards, zeroes; /* blocks */
	uint64_t copies, copies_same; /* blocks: mapped; there already */
	uint64_t copies_written;      /* are among the writes */
	uint64_t flushes;
	uint64_t partial, fua;
	uint64_t acknowledged;
	uint64_t fates[FATES];
	uint64_t incompressible; /* LZ4 made it not small enough */
	uint64_t packed_alone;   /* compressed, but found no partner */
	uint64_t no_space, read_only_errors;
	uint64_t in_progress, in_progress_max; /* requests */
};
void path_get_stats(const struct path *p, struct path_stats *stats);

#endif
