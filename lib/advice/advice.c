/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the index is opened, so that opening a volume does not wait for a rebuild
 * and no error of the index is one of the volume:
 *
 *	load the save --ok-----------------------------> online
 *	 |   |  \ not saved: tell who waits, rebuild --> online
 *	 |   | no index: make one ---------------------> online
 *	 | anything else, also of the latter two
 *	 v
 *	failed: nothing is known until the volume is opened again
 *
 * Closing ends a rebuild, waits for questions, then closes the index.
 */
#include "build.h"

#include "advice/advice.h"

#include <errno.h>

#include <vdo/error.h>

#include "advice/ask.h"
#include "advice/recent.h"
#include "base/alloc.h"
#include "base/assert.h"

struct advice {
	unsigned zone_count;
	struct recent *recent; /* in memory, or NULL */
	struct index *index;   /* or NULL, and then so are asks and queue */
	struct asks *asks;
	struct queue *queue; /* the index's main queue */
	const struct log *log;
	bool local; /* hash zones are the index's zones */
	atomic_int failed; /* why the index could not be opened */

	/* Opening and closing, on queue. */
	struct completion step;
	struct completion *opening; /* who waits for advice_open() */
	struct completion *closing;
	bool busy; /* index_open() is under way */
	bool save;
};

/* Does each hash zone run on the queue of the index zone with its number? */
static bool is_local(const struct advice_config *c)
{
	VDO_ASSERT(c->index != NULL);
	if (c->zone_count != c->index->zone_count)
		return false;
	for (unsigned i = 0; i < c->zone_count; i++)
		if (c->queues[i] != c->index->zones[i])
			return false;
	return true;
}

static int create_index(struct advice *a, const struct advice_config *c)
{
	int result = index_create(c->index, &a->index);

	VDO_ASSERT(a->recent == NULL);
	if (result != 0)
		return result;
	a->queue = c->index->queue;
	a->log = c->index->log;
	a->local = is_local(c);
	return asks_create(a->index, c->zone_count, c->queues, a->local,
			   c->asks_max, &a->asks);
}

int advice_create(const struct advice_config *c, struct advice **advice)
{
	struct advice *a = alloc_zeroed(1, sizeof(*a));
	int result;

	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= HASH_ZONES_MAX);
	if (a == NULL)
		return -ENOMEM;
	a->zone_count = c->zone_count;
	result = c->index != NULL ? create_index(a, c)
				  : recent_create(c->zone_count, c->entries_max,
						  &a->recent);
	if (result != 0) {
		advice_destroy(a);
		return result;
	}
	*advice = a;
	return 0;
}

void advice_destroy(struct advice *a)
{
	if (a == NULL)
		return;
	asks_destroy(a->asks);
	index_destroy(a->index);
	recent_destroy(a->recent);
	alloc_free(a);
}

/* ------------------------------------------------------------------ opening */

static void opened(struct completion *c);

static void start_opening(struct advice *a, enum index_open how)
{
	VDO_ASSERT(!a->busy);
	a->busy = true;
	completion_init(&a->step, a->queue, opened);
	index_open(a->index, how, &a->step);
}

/* Whoever waits for the index need not wait any longer. */
static void settle(struct advice *a)
{
	struct completion *done = a->opening;

	VDO_ASSERT(queue_is_current(a->queue));
	a->opening = NULL;
	if (done != NULL)
		completion_finish(done, 0);
}

static void close_index(struct advice *a);

static void opened(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);
	int result = c->result;

	VDO_ASSERT(a->busy && queue_is_current(a->queue));
	a->busy = false;
	if (a->closing != NULL) {
		settle(a);
		close_index(a);
		return;
	}
	switch (result) {
	case -VDO_EDIRTY:
		log_info(a->log, "index: was not saved, is being rebuilt");
		settle(a);
		start_opening(a, INDEX_REBUILD);
		return;
	case -VDO_ENOINDEX:
		log_info(a->log, "index: there is none, making one");
		start_opening(a, INDEX_FORMAT);
		return;
	case 0:
		break;
	default:
		log_error(a->log,
			  "index: cannot be used, nothing is deduplicated "
			  "against what is stored, error=%d", result);
		atomic_store_explicit(&a->failed, result, memory_order_relaxed);
		break;
	}
	settle(a);
}

void advice_open(struct advice *a, bool wait, struct completion *done)
{
	VDO_ASSERT(a->opening == NULL);
	VDO_ASSERT(a->index != NULL);
	a->opening = done;
	if (!wait)
		settle(a);
	start_opening(a, INDEX_LOAD_SAVED);
}

/* ------------------------------------------------------------------ closing */

static void closed(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);
	struct completion *done = a->closing;

	VDO_ASSERT(a->closing != NULL);
	if (c->result != 0)
		log_error(a->log,
			  "index: not saved, will be rebuilt, error=%d",
			  c->result);
	a->closing = NULL;
	completion_finish(done, c->result);
}

static void drained(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);

	VDO_ASSERT(a->closing != NULL && !a->busy);
	completion_init(&a->step, a->queue, closed);
	index_close(a->index, a->save, &a->step);
}

static void close_index(struct advice *a)
{
	VDO_ASSERT(!a->busy && a->opening == NULL);
	completion_init(&a->step, a->queue, drained);
	asks_drain(a->asks, &a->step);
}

void advice_close(struct advice *a, bool save, struct completion *done)
{
	VDO_ASSERT(a->closing == NULL && done != NULL);
	VDO_ASSERT(a->index != NULL);
	a->save = save;
	a->closing = done;
	if (a->busy)
		index_stop(a->index); /* opened() goes on */
	else
		close_index(a);
}

/* ----------------------------------------------------------------- requests */

unsigned advice_set_name(const struct advice *a, struct index_name *name,
			 const struct hash128 *hash)
{
	if (a->index != NULL)
		index_set_name(a->index, name, hash);
	else
		name->hash = *hash;
	return a->local ? name->zone : hash->bytes[0] * a->zone_count >> 8;
}

bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
{
	VDO_CHECK(zone < a->zone_count && op->name != NULL);
	if (a->index != NULL)
		return asks_start(a->asks, zone, op);
	recent_serve(a->recent, zone, op);
	return true;
}

void advice_prefetch(const struct advice *a, unsigned zone,
		     const struct index_name *name)
{
	VDO_CHECK(zone < a->zone_count);
	if (a->index != NULL)
		index_prefetch(a->index, name);
	else
		recent_prefetch(a->recent, zone, &name->hash);
}

/* --------------------------------------------------------------- statistics */

static const char *state_name(const struct advice *a,
			      const struct index_stats *s)
{
	if (atomic_load_explicit(&a->failed, memory_order_relaxed) != 0 ||
	    s->error != 0)
		return "error";
	switch (s->state) {
	case INDEX_OPENING:
		return s->rebuild_total != 0 ? "rebuilding" : "opening";
	case INDEX_ONLINE:
		return "online";
	case INDEX_SUSPENDING:
		return "closing";
	case INDEX_SUSPENDED:
		return "suspended";
	case INDEX_IDLE:
		break;
	}
	return "closed";
}

static void index_part(const struct advice *a, struct advice_stats *stats)
{
	struct index_stats s;

	VDO_ASSERT(a->index != NULL && a->asks != NULL);
	index_get_stats(a->index, &s);
	*stats = (struct advice_stats){
		.state = state_name(a, &s),
		.entries_indexed = s.entries_indexed,
		.posts_found = s.posts_found,
		.posts_not_found = s.posts_not_found,
		.queries_found = s.queries_found,
		.queries_not_found = s.queries_not_found,
		.updates_found = s.updates_found,
		.updates_not_found = s.updates_not_found,
		.entries_discarded = s.entries_discarded,
		.timeouts = asks_timeouts(a->asks),
		.collisions = s.collisions,
		.memory_used = s.memory_used,
		.posts_in_memory = s.in_memory_posts_found,
		.posts_dense = s.dense_posts_found,
		.posts_sparse = s.sparse_posts_found,
		.page_reads = s.page_reads,
		.chapters_written = s.chapters_written,
		.rebuild_done = s.rebuild_done,
		.rebuild_total = s.rebuild_total,
	};
}

void advice_get_stats(const struct advice *a, struct advice_stats *stats)
{
	if (a->index != NULL) {
		index_part(a, stats);
		return;
	}
	*stats = (struct advice_stats){.state = "memory"};
	recent_get_stats(a->recent, stats);
}
