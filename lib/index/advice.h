/*
 * Advice: where data with a given name might be stored already.
 *
 * The engine's view of the deduplication index. Advice is never trusted: who
 * gets it compares all bytes (I20), so wrong, stale, lost and late answers only
 * cost space (I21). Nothing outside of index/ depends on where it is kept.
 *
 * Runs on: advice_start() on the hash zone's queue; an op that is not over at
 * once finishes on done.home.
 * Lifetime: advice_create() to advice_destroy(); ops belong to callers.
 */
#ifndef INDEX_ADVICE_H
#define INDEX_ADVICE_H

#include <stdatomic.h>

#include "base/hash128.h"
#include "exec/completion.h"
#include "format/types.h"

struct advice;

enum advice_request {
	ADVICE_POST,   /* the location known for name; if none, remember ours */
	ADVICE_QUERY,  /* the location known for name */
	ADVICE_UPDATE, /* remember ours whatever is known */
};

struct advice_op {
	struct completion done;
	enum advice_request request;
	struct hash128 name;
	struct mapping location; /* in: post, update; out: post, query if found */
	bool found;              /* out */
};

struct advice_config {
	unsigned zone_count;  /* hash zones */
	uint64_t entries_max; /* all zones together; 0: no advice at all */
};

int advice_create(const struct advice_config *c, struct advice **advice)
	MUST_CHECK;
void advice_destroy(struct advice *a);

/* True: over at once. */
bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
	MUST_CHECK;

/* A request for @name will come soon: have its memory in cache by then. Any
 * thread; changes nothing. */
void advice_prefetch(const struct advice *a, unsigned zone,
		     const struct hash128 *name);

/* Counters of E 10.10 (index.*); any thread. */
struct advice_stats {
	uint64_t entries_indexed;
	uint64_t posts_found, posts_not_found;
	uint64_t queries_found, queries_not_found;
	uint64_t updates_found, updates_not_found;
	uint64_t entries_discarded;
};
void advice_get_stats(const struct advice *a, struct advice_stats *stats);

#endif
