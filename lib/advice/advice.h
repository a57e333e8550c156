/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Advice: where data with a given name might be stored already.
 *
 * This is the engine's view of the deduplication index. Advice is never
 * trusted: who gets it compares all bytes (I20), so wrong, stale, lost and late
 * answers only cost space (I21). Nobody else depends on where it is kept:
 *
 *	in the index of the volume (index/index.h), which a restart keeps
 *	in memory (recent.h), if the volume has no index or shall not use it
 *
 * While the index is being rebuilt, or after an error of it, nothing is known
 * and nothing is remembered. No request fails.
 *
 *	advice_load -> served .. -> advice_drain		(index only)
 *	                 ^               |
 *	                 '-- advice_resume
 *
 * Runs on: advice_start() on the hash zone's queue, an op that is not over at
 * once finishes on done.home; loading, draining and resuming on the index's main
 * queue. Lifetime: advice_create() to advice_destroy(), which needs
 * advice_drain() first if advice_load() was called; ops belong to callers.
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
	ADVICE_POST,   /* tell the location of name; none: keep ours */
	ADVICE_QUERY,  /* tell the location of name */
	ADVICE_UPDATE, /* keep ours, whatever is known */
};

struct advice_op {
	struct completion done; /* home: the hash zone's queue */
	enum advice_request request;
	const struct index_name *name; /* stays until it is over */
	struct mapping location; /* in: of post and update; out: if found */
	/* Out. If done has -VDO_EVERSION, a location is known, but in an
	 * unknown version; location is as it was then. */
	bool found;
};

struct advice_config {
	unsigned zone_count;   /* hash zones */
	struct queue **queues; /* theirs; used until advice_create() returns */
	const struct index_config *index; /* until then; NULL: in memory */
	unsigned asks_max;    /* index: questions a zone may have out (E 8) */
	uint64_t entries_max; /* in memory: all zones together; 0: none */
};

/* -ENOMEM; as index_create(). */
int advice_create(const struct advice_config *c, struct advice **advice)
	MUST_CHECK;
void advice_destroy(struct advice *a);

/*
 * Load the index, make one where there is none, or rebuild it. @done finishes
 * with 0 at once or, with @wait, when it is open or all that is left is a
 * rebuild. Errors are logged, and there is no advice then. -ECANCELED, with
 * @wait: after advice_stop().
 */
void advice_load(struct advice *a, bool wait, struct completion *done);

/* Let loading, now or later, end soon, for good. Any thread. */
void advice_stop(struct advice *a);

/*
 * Wait for questions that are out, then save the index or, without @save, leave
 * it as after a crash. Nobody may ask until advice_resume(). Loading ends, and
 * begins anew then. This may be done again, and changes nothing then. The error,
 * which is logged, says that the index was not saved.
 */
void advice_drain(struct advice *a, bool save, struct completion *done);

/* Answer again, after a drain. @done finishes with 0. */
void advice_resume(struct advice *a, struct completion *done);

/*
 * Any thread: take @hash apart, once for all questions about it. Returns its
 * hash zone. Where the index has as many zones on the same queues, it has the
 * names of the hash zone, so that questions stay on their queue.
 */
unsigned advice_set_name(const struct advice *a, struct index_name *name,
			 const struct hash128 *hash);

/* Returns true if the question is over at once; done is not run then. */
bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
	MUST_CHECK;

/* Any thread: a question about @name will come soon. This brings what it will
 * touch into the processor's cache, and changes nothing. */
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
	/* The index alone has these. */
	uint64_t timeouts; /* questions given up, or not asked */
	uint64_t collisions, memory_used;
	uint64_t posts_in_memory, posts_dense, posts_sparse;
	uint64_t page_reads, chapters_written;
	uint64_t rebuild_done, rebuild_total; /* chapters; 0: none under way */
};
void advice_get_stats(const struct advice *a, struct advice_stats *stats);

#endif
