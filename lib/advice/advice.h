/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Advice: where data with a given name might be stored already.
 *
 * The engine's view of the deduplication index. Advice is never trusted: who
 * gets it compares all bytes (I20), so wrong, stale, lost and late answers only
 * cost space (I21). Nothing outside of index/ depends on where it is kept:
 *
 *	in the index of the volume (index.h), which a restart does not lose
 *	in memory (recent.h), if the volume has no index or shall not use it
 *
 * While the index is being rebuilt, or after an error of it, nothing is known
 * and nothing is remembered. No request fails.
 *
 *	advice_open -> served .. -> advice_close	(index only)
 *
 * Runs on: advice_start() on the hash zone's queue, an op that is not over at
 * once finishes on done.home; opening and closing on the index's main queue.
 * Lifetime: advice_create() to advice_destroy(), which needs advice_close()
 * first if advice_open() was called; ops belong to callers.
 */
#ifndef ADVICE_ADVICE_H
#define ADVICE_ADVICE_H

#include <stdatomic.h>

#include "base/hash128.h"
#include "exec/completion.h"
#include "format/types.h"
#include "index/index.h"

struct advice;

enum advice_request {
	ADVICE_POST,   /* the location known for name; if none, remember ours */
	ADVICE_QUERY,  /* the location known for name */
	ADVICE_UPDATE, /* remember ours whatever is known */
};

struct advice_op {
	struct completion done; /* home: the hash zone's queue */
	enum advice_request request;
	const struct index_name *name; /* stays until it is over */
	struct mapping location; /* in: post, update; out: post, query if found */
	/* Out. With -VDO_EVERSION in done there is one, but not in a version
	 * that is known; location is as it was. */
	bool found;
};

struct advice_config {
	unsigned zone_count;   /* hash zones */
	struct queue **queues; /* theirs; used until advice_create() returns */
	const struct index_config *index; /* the same; NULL: in memory */
	unsigned asks_max;    /* index: questions a zone may have out (E 8) */
	uint64_t entries_max; /* in memory: all zones together; 0: none */
};

/* -ENOMEM; as index_create(). */
int advice_create(const struct advice_config *c, struct advice **advice)
	MUST_CHECK;
void advice_destroy(struct advice *a);

/*
 * Load the index, make one where there is none, or rebuild it. @done finishes,
 * always with 0, at once or, with @wait, when nothing but a rebuild is under
 * way any more. Errors are logged, and there is no advice then.
 */
void advice_open(struct advice *a, bool wait, struct completion *done);

/* Wait for questions that are out, then save the index (with @save), or leave
 * it as after a crash. For those that ended all others. */
void advice_close(struct advice *a, bool save, struct completion *done);

/*
 * Any thread: take @hash apart, once for all questions about it. Returns its
 * hash zone: that of the index, if it has as many, so that questions stay on
 * their queue.
 */
unsigned advice_set_name(const struct advice *a, struct index_name *name,
			 const struct hash128 *hash);

/* True: over at once. */
bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
	MUST_CHECK;

/* A request for @name will come soon: have its memory in cache by then. Any
 * thread; changes nothing. */
void advice_prefetch(const struct advice *a, unsigned zone,
		     const struct index_name *name);

/* Any thread. */
struct advice_stats {
	const char *state; /* "online", "rebuilding", ..., "memory" */
	/* E 10.10 (index.*) */
	uint64_t entries_indexed;
	uint64_t posts_found, posts_not_found;
	uint64_t queries_found, queries_not_found;
	uint64_t updates_found, updates_not_found;
	uint64_t entries_discarded;
	/* Of the index only. */
	uint64_t timeouts; /* questions given up, or not asked */
	uint64_t collisions, memory_used;
	uint64_t posts_in_memory, posts_dense, posts_sparse;
	uint64_t page_reads, chapters_written;
	uint64_t rebuild_done, rebuild_total; /* chapters; 0: none under way */
};
void advice_get_stats(const struct advice *a, struct advice_stats *stats);

#endif
