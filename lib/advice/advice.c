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
 * Draining ends that, waits for questions, then suspends the index; resuming
 * takes up either.
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

	/* Loading, draining and resuming, on queue. */
	struct completion step;
	struct completion *loading; /* who waits for that */
	struct completion *draining;
	struct completion *resuming;
	bool busy;   /* index_open() is under way */
	bool online; /* it has succeeded */
	bool again;  /* it was cut short by a drain */
	bool save;
	atomic_bool stopped;
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

/* ------------------------------------------------------------------ loading */

static void opened(struct completion *c);

static bool is_stopped(const struct advice *a)
{
	return atomic_load(&a->stopped);
}

static void start_opening(struct advice *a, enum index_open how)
{
	VDO_ASSERT(!a->busy && !a->online);
	a->busy = true;
	completion_init(&a->step, a->queue, opened);
	index_open(a->index, how, &a->step);
	/* The index forgets what came before: advice_stop() says it first to
	 * us, then to the index, so one of the two is not too early. */
	if (is_stopped(a))
		index_stop(a->index);
}

/* Whoever waits for the index need not wait any longer. */
static void settle(struct advice *a, int result)
{
	struct completion *done = a->loading;

	VDO_ASSERT(queue_is_current(a->queue));
	a->loading = NULL;
	if (done != NULL)
		completion_finish(done, result);
}

static void drain_index(struct advice *a);

/* Opening has come to an end that is for good, or to one that is not. */
static bool go_on(struct advice *a, int result)
{
	switch (result) {
	case -VDO_EDIRTY:
		log_info(a->log, "index: was not saved, is being rebuilt");
		settle(a, 0);
		start_opening(a, INDEX_REBUILD);
		return true;
	case -VDO_ENOINDEX:
		log_info(a->log, "index: there is none, making one");
		start_opening(a, INDEX_FORMAT);
		return true;
	case 0:
		a->online = true;
		return false;
	default:
		log_error(a->log,
			  "index: cannot be used, nothing is deduplicated "
			  "against what is stored, error=%d", result);
		atomic_store_explicit(&a->failed, result, memory_order_relaxed);
		return false;
	}
}

static bool is_cut_short(const struct advice *a, int result)
{
	return (a->draining != NULL || is_stopped(a)) &&
	       (result == -ECANCELED || result == -VDO_EDIRTY ||
		result == -VDO_ENOINDEX);
}

static void opened(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);
	int result = c->result;

	VDO_ASSERT(a->busy && queue_is_current(a->queue));
	a->busy = false;
	a->again = is_cut_short(a, result);
	if (a->again)
		settle(a, -ECANCELED);
	else if (go_on(a, result))
		return;
	settle(a, 0);
	if (a->draining != NULL)
		drain_index(a);
}

void advice_load(struct advice *a, bool wait, struct completion *done)
{
	VDO_ASSERT(a->index != NULL && done != NULL);
	VDO_ASSERT(queue_is_current(a->queue) && a->loading == NULL);
	a->loading = done;
	if (!wait)
		settle(a, 0);
	start_opening(a, INDEX_LOAD_SAVED);
}

void advice_stop(struct advice *a)
{
	VDO_ASSERT(a->index != NULL);
	atomic_store(&a->stopped, true);
	index_stop(a->index);
}

/* ------------------------------------------------------ draining, resuming */

static void suspended(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);
	struct completion *done = a->draining;

	VDO_ASSERT(a->draining != NULL && a->loading == NULL);
	if (c->result != 0)
		log_error(a->log,
			  "index: not saved, will be rebuilt, error=%d",
			  c->result);
	a->draining = NULL;
	completion_finish(done, c->result);
}

static void drained(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);

	VDO_ASSERT(a->draining != NULL && !a->busy);
	completion_init(&a->step, a->queue, suspended);
	index_suspend(a->index, a->save, &a->step);
}

static void drain_index(struct advice *a)
{
	VDO_ASSERT(!a->busy && a->loading == NULL);
	completion_init(&a->step, a->queue, drained);
	asks_drain(a->asks, &a->step);
}

void advice_drain(struct advice *a, bool save, struct completion *done)
{
	VDO_ASSERT(a->draining == NULL && done != NULL);
	VDO_ASSERT(a->index != NULL && queue_is_current(a->queue));
	a->save = save;
	a->draining = done;
	if (a->busy)
		index_stop(a->index); /* opened() goes on */
	else
		drain_index(a);
}

static void resumed(struct completion *c)
{
	struct advice *a = container_of(c, struct advice, step);

	struct completion *done = a->resuming;

	VDO_ASSERT(c->result == 0 && done != NULL);
	a->resuming = NULL;
	completion_finish(done, 0);
}

void advice_resume(struct advice *a, struct completion *done)
{
	VDO_ASSERT(queue_is_current(a->queue) && !a->busy);
	VDO_ASSERT(a->draining == NULL && a->loading == NULL);
	if (a->online) {
		a->resuming = done;
		completion_init(&a->step, a->queue, resumed);
		index_resume(a->index, &a->step);
		return;
	}
	if (a->again)
		start_opening(a, INDEX_LOAD_SAVED);
	a->again = false;
	completion_finish(done, 0); /* or nothing is known, as before */
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
