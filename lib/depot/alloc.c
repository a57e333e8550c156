/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing slabs and blocks (E 7.2).
 *
 * A zone allocates from its open slab, in order of addresses, until nothing is
 * free after the cursor; then from the best of the others. Levels of the table:
 * 0 full; then 1 + log2(free), with two levels kept for slabs that were never
 * used, the higher one for those that have memory for counters and journal:
 *
 *	full < used, less than 3/4 free < never used < used, mostly free
 *
 * The slab that will be opened next is made ready when the one before is opened,
 * in a message of its own [prepare]: it gets memory for its counts and journal,
 * and storage for both on disk; or its counts are loaded, if they were dropped
 * (counts.c). A request never does that itself. If it needs a slab that is not
 * ready, as all of a small one was used up meanwhile, or as preparing failed the
 * last time, it waits for another try. After a failure slabs that are ready are
 * as good as any; if none has a free block the answer says what was missing, for
 * blocks there are.
 *
 * What is free of a slab that was not loaded yet is a guess. It is not taken for
 * full before it was loaded and asked. A slab that was loaded is the first among
 * equals, so that an op that waits for it finds it: else each that is loaded
 * could send it to the next one.
 *
 * What is written together is to lie together, so that it becomes one operation
 * of the storage. Blocks that go through one hash zone come to be stored at about
 * the same time, those of two do not. So ops name a stream, and each stream takes
 * a run of RUN_BLOCKS at a time from the cursor; pages have one of their own. So
 * have compressed blocks, of which one takes the data of several requests with a
 * block each: the one that writes it exchanges its own for the next of that run,
 * if there is one at hand [depot_move]. What is left of all runs when the cursor
 * is at the end serves any stream, down to the last block. A run is two numbers
 * in memory: its blocks are free, on disk and in all counts, until an op takes
 * one.
 *
 * A page of the block map is written when the volume is closed, so its block
 * must have storage by then [reserve_page]. That is a system call on the queue
 * of the zone, for all blocks of a run of pages at once.
 *
 * An op that finds nothing visits the other zones, each once. If slabs of one
 * are still to be scrubbed, or blocks are on their way back to the storage
 * (reclaim.c), it waits there for one of them after the other, and then begins
 * again: without space is who found all of them scrubbed.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <string.h>
#include <vdo/error.h>

#include "base/error.h"
#include "io/blockcache.h"

/* Blocks that a stream takes at a time. */
#define RUN_BLOCKS 64u

/* Blocks that get storage with that of a page. */
#define PAGES_RESERVED RUN_BLOCKS

unsigned alloc_priority(const struct slab *s)
{
	unsigned reserved = s->zone->depot->priority_pristine;
	unsigned p;

	VDO_CHECK(s->free_count <= s->zone->depot->geo.data_blocks);
	if (s->free_count == 0)
		return s->exact ? 0 : 1;
	if (slab_pristine(s))
		return s->journal == NULL ? reserved : reserved + 1;
	p = 1 + log2_floor(s->free_count);
	return p < reserved ? p : p + 2;
}

void alloc_enlist(struct slab *s)
{
	VDO_ASSERT(s->state <= SLAB_UNLOADED && !s->open && !s->loading);
	prioq_put(&s->zone->slabs, &s->node, alloc_priority(s));
}

void alloc_enlist_loaded(struct slab *s)
{
	VDO_ASSERT(s->state <= SLAB_UNLOADED && !s->open && !s->loading);
	prioq_put_first(&s->zone->slabs, &s->node, alloc_priority(s));
}

void alloc_reorder(struct slab *s)
{
	unsigned p;

	VDO_CHECK(s->open == (s->zone->open == s));
	if (s->open || list_empty(&s->node.link))
		return;
	p = alloc_priority(s);
	if (p == s->node.priority)
		return;
	prioq_remove(&s->zone->slabs, &s->node);
	prioq_put(&s->zone->slabs, &s->node, p);
}

/* ------------------------------------------------------------- preparation */

static struct slab *slab_of_node(struct prioq_node *n)
{
	return n != NULL ? container_of(n, struct slab, node) : NULL;
}

/* The slab that was never used and is the next to get memory; NULL: none needs
 * it now. */
static struct slab *unprepared(const struct depot_zone *z)
{
	unsigned reserved = z->depot->priority_pristine;
	struct prioq_node *n = prioq_best(&z->slabs, reserved + 2);

	return n != NULL && n->priority == reserved
		       ? container_of(n, struct slab, node)
		       : NULL;
}

int alloc_prepare(struct depot_zone *z)
{
	struct slab *s = unprepared(z);
	int r = 0;

	VDO_ASSERT(queue_is_current(z->queue));
	if (s != NULL) {
		r = depot_activate_slab(s, true);
		alloc_reorder(s);
		counts_trim(z);
	}
	return r;
}

/* The slab that is the next to be opened, if it is to be loaded; or NULL. */
static struct slab *unloaded(const struct depot_zone *z)
{
	struct slab *s = slab_of_node(prioq_best(&z->slabs, PRIOQ_LEVELS));

	return s != NULL && s->state == SLAB_UNLOADED && alloc_priority(s) > 0
		       ? s
		       : NULL;
}

static bool attempt(struct depot_zone *z, struct alloc_op *op, int failed);

/* Log once until preparing goes well again: each request that needs a slab
 * tries it. */
static void log_shortage(struct depot_zone *z, int result, const char *what)
{
	const char *advice = error_space_advice(result);

	VDO_ASSERT(result < 0);
	if (!z->short_of_something)
		log_warning(z->depot->log, "depot: no %s for %s, zone=%u%s%s",
			    result == -ENOMEM ? "memory" : "storage", what,
			    z->number, *advice != '\0' ? "; " : "", advice);
	z->short_of_something = true;
}

static void prepare(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, prepare);
	struct waitq taken;
	struct waiter *w;
	int r;

	struct slab *next = unloaded(z);

	VDO_ASSERT(z->preparing);
	z->preparing = false;
	if (next != NULL)
		(void)counts_load(next);
	r = alloc_prepare(z);
	if (r != 0)
		log_shortage(z, r, "the counts of another slab");
	else
		z->short_of_something = false;
	waitq_take_all(&z->waiting, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct alloc_op *op = container_of(w, struct alloc_op, link);

		if (attempt(z, op, r))
			completion_post(&op->done);
	}
	zone_leave(z);
}

static void prepare_soon(struct depot_zone *z)
{
	VDO_CHECK(queue_is_current(z->queue));
	if (z->preparing || (unprepared(z) == NULL && unloaded(z) == NULL))
		return;
	z->preparing = true;
	zone_enter(z);
	completion_init(&z->prepare, z->queue, prepare);
	completion_post(&z->prepare);
}

/* -------------------------------------------------------------- allocation */

/* The best slab is not ready: wait for [prepare], or until it is loaded. */
#define UNPREPARED 1
#define UNLOADED   2

static void close_slab(struct depot_zone *z)
{
	struct slab *s = z->open;

	VDO_ASSERT(s == NULL || (s->open && s->journal != NULL));
	if (s == NULL)
		return;
	z->open = NULL;
	s->open = false;
	alloc_enlist(s);
}

/* Is it in memory, with free blocks? */
static bool is_ready(const struct slab *s)
{
	return s->state == SLAB_REBUILT && s->journal != NULL &&
	       s->free_count > 0;
}

/* The best slab of those that are ready, after a failure. It is looked for among
 * all, as this is rare. */
static struct slab *best_ready(const struct depot_zone *z)
{
	struct slab *best = NULL;

	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		if (is_ready(s) && !list_empty(&s->node.link) &&
		    (best == NULL || s->node.priority > best->node.priority))
			best = s;
	return best;
}

/* Slabs that may have free blocks are being loaded, and none has them for sure:
 * wait for one. */
static int await_loading(struct depot_zone *z, int failed)
{
	if (z->counts.promising == 0)
		return -ENOSPC;
	if (failed != 0)
		return failed;
	if (!scrubber_runs(z))
		counts_hurry(z);
	return scrubber_runs(z) ? UNLOADED : -ENOSPC;
}

/*
 * The best slab that has free blocks and is ready, removed from the table;
 * @failed is why the last try to prepare or load one failed, or 0. 0,
 * UNPREPARED, UNLOADED, -ENOSPC, or @failed where only slabs that are not ready
 * have free blocks.
 */
static int take_best(struct depot_zone *z, int failed, struct slab **best)
{
	struct slab *s = slab_of_node(prioq_best(&z->slabs, PRIOQ_LEVELS));
	int r = 0;

	VDO_ASSERT(z->open == NULL); /* it would have to be in the table */
	*best = NULL;
	if (s == NULL || alloc_priority(s) == 0)
		return await_loading(z, failed);
	if (failed == 0 && s->journal == NULL)
		return UNPREPARED;
	if (failed == 0 && s->state == SLAB_UNLOADED) {
		z->counts.starved = false;
		switch (counts_load(s)) {
		case COUNTS_COMING:
			return UNLOADED;
		case COUNTS_NEVER:
			r = -ENOSPC;
			break;
		case COUNTS_READY:
			break;
		}
	}
	if (!is_ready(s)) {
		r = failed != 0 ? failed : r;
		s = best_ready(z);
	}
	if (s == NULL)
		return r;
	prioq_remove(&z->slabs, &s->node);
	*best = s;
	return 0;
}

static int open_next(struct depot_zone *z, int failed)
{
	struct slab *s;
	int r;

	close_slab(z);
	r = take_best(z, failed, &s);
	if (r != 0)
		return r;
	VDO_ASSERT(s->journal != NULL && s->state == SLAB_REBUILT);
	counter_inc(slab_pristine(s) ? &z->stats.slabs_opened
				     : &z->stats.slabs_reopened);
	s->open = true;
	s->cursor = 0;
	memset(z->runs, 0, sizeof(z->runs));
	z->open = s;
	prepare_soon(z);
	return 0;
}

static unsigned stream_of(const struct alloc_op *op)
{
	return op->type == PBN_LOCK_MAP_WRITE ? PAGE_STREAM
					      : op->stream % DATA_STREAMS;
}

/* The next free block of a run is the one before run->at then. */
static bool take_from(const struct slab *s, struct alloc_run *run)
{
	VDO_CHECK(run->at <= run->end && run->end <= s->cursor);
	while (run->at < run->end)
		if (likely(s->counts[run->at++] == 0))
			return true;
	return false;
}

/*
 * The stream's run of the open slab, or its next one, that has a free block, which
 * is the one before run->at then. NULL: it has none, and none can be had.
 */
static inline struct alloc_run *own_run(struct depot_zone *z, unsigned stream)
{
	struct alloc_run *run = &z->runs[stream];
	struct slab *s = z->open;
	uint32_t offset;

	VDO_CHECK(stream < ALLOC_STREAMS);
	if (likely(take_from(s, run)))
		return run;
	if (!refs_find(s, &offset))
		return NULL;
	run->at = s->cursor;
	run->end = MIN(offset + RUN_BLOCKS,
		       (uint32_t)z->depot->geo.data_blocks);
	s->cursor = run->end;
	return run;
}

/* The same; else any run. NULL: nothing is free after the cursor and in the
 * runs. */
static struct alloc_run *find_in_open(struct depot_zone *z, unsigned stream)
{
	struct alloc_run *run = own_run(z, stream);
	struct slab *s = z->open;

	if (likely(run != NULL))
		return run;
	for (unsigned i = 0; i < ALLOC_STREAMS; i++)
		if (take_from(s, &z->runs[i]))
			return &z->runs[i];
	return NULL;
}

/* The same of the open slab, or of the next. */
static int find(struct depot_zone *z, unsigned stream, int failed,
		struct alloc_run **run)
{
	int r;

	if (likely(z->open != NULL)) {
		*run = find_in_open(z, stream);
		if (likely(*run != NULL))
			return 0;
	}
	r = open_next(z, failed);
	if (r != 0)
		return r;
	*run = find_in_open(z, stream);
	return *run != NULL ? 0 : -ENOSPC;
}

/* Have storage for block @offset of @s, and for some after it if there is. */
static int reserve_page(struct slab *s, uint32_t offset)
{
	const struct depot *d = s->zone->depot;
	uint32_t n = MIN(PAGES_RESERVED, (uint32_t)d->geo.data_blocks - offset);
	int r;

	VDO_ASSERT(offset < d->geo.data_blocks && s->counts[offset] == 0);
	if (offset >= s->reserved && offset < s->reserved_end)
		return 0;
	r = storage_reserve(d->storage, s->start + offset, n);
	if (r != 0 && n > 1) {
		n = 1;
		r = storage_reserve(d->storage, s->start + offset, n);
	}
	if (r != 0) {
		log_shortage(s->zone, r, "a page of the block map");
		return r;
	}
	s->zone->short_of_something = false;
	s->reserved = offset;
	s->reserved_end = offset + n;
	reclaim_leave(s, offset, n);
	return 0;
}

/* Lock free block @offset of the open slab, whose old content is nothing to
 * anybody from now on. NULL: no lock is left. */
static inline struct pbn_lock *take_block(struct depot_zone *z, uint32_t offset,
					  enum pbn_lock_type type)
{
	struct pbn_lock *lock =
		pbnlock_get(z->open, z->open->start + offset, type);
	struct blockcache *cache = z->depot->storage->cache;

	VDO_CHECK(offset < z->depot->geo.data_blocks);
	if (unlikely(lock == NULL))
		return NULL;
	if (cache != NULL)
		blockcache_drop(cache, z->open->start + offset);
	refs_claim(z->open, offset);
	lock->provisional = true;
	return lock;
}

static int allocate(struct depot_zone *z, struct alloc_op *op, int failed)
{
	struct alloc_run *run = NULL;
	uint32_t offset;
	int r;

	if (unlikely(zone_read_only(z)))
		return -VDO_EREADONLY;
	r = find(z, stream_of(op), failed, &run);
	if (unlikely(r != 0))
		return r;
	offset = run->at - 1;
	if (op->type == PBN_LOCK_MAP_WRITE) {
		r = reserve_page(z->open, offset);
		if (unlikely(r != 0)) {
			run->at = offset; /* it stays free */
			return r;
		}
	}
	op->lock = take_block(z, offset, op->type);
	VDO_CHECK(op->lock != NULL); /* locks_max is enough for all requests */
	op->zone = z->number;
	return 0;
}

static void visit(struct completion *c);

static void hop(struct alloc_op *op, unsigned zone)
{
	VDO_CHECK(zone < op->depot->zone_count && op->lock == NULL);
	op->zone = zone;
	completion_init(&op->go, op->depot->zones[zone].queue, visit);
	completion_post(&op->go);
}

/* Another zone may have what @z has not, or a slab that is being scrubbed. */
static bool go_on(struct depot_zone *z, struct alloc_op *op, int result)
{
	unsigned next = op->zone + 1 == op->depot->zone_count ? 0
							      : op->zone + 1;

	VDO_CHECK(result <= 0 && op->visited < op->depot->zone_count);
	if (result != -ENOMEM && !error_is_no_space(result))
		return false;
	if (op->refusal == 0 || op->refusal == -ENOSPC)
		op->refusal = result;
	if (z->reclaim.count > 0 ||
	    (scrubber_runs(z) &&
	     (z->counts.promising > 0 ||
	      counter_get(&z->stats.slabs_unscrubbed) > 0))) {
		if (op->patient) {
			waitq_push(&z->patient, &op->link);
			return true;
		}
		op->scrubbing = z->number + 1;
	}
	op->patient = false;
	if (++op->visited == op->depot->zone_count) {
		if (op->scrubbing == 0)
			return false;
		/* All were asked: wait in one, and then ask all again. */
		op->patient = true;
		next = op->scrubbing - 1;
		op->scrubbing = 0;
		op->visited = 0;
		op->refusal = 0;
	}
	hop(op, next);
	return true;
}

/* The answer, if it was a refusal, is that of a zone that had blocks. */
static int answer(const struct alloc_op *op, int result)
{
	VDO_CHECK(result <= 0 && (result != -ENOSPC || op->refusal != 0));
	return result == -ENOSPC ? op->refusal : result;
}

/* Try it in @z. True: over; the result is set, and the caller says so. */
static bool attempt(struct depot_zone *z, struct alloc_op *op, int failed)
{
	int r = allocate(z, op, failed);

	VDO_CHECK((r == 0) == (op->lock != NULL));
	if (r == UNPREPARED) {
		waitq_push(&z->waiting, &op->link);
		prepare_soon(z);
		return false;
	}
	if (r == UNLOADED) {
		waitq_push(&z->patient, &op->link);
		return false;
	}
	if (r != 0 && go_on(z, op, r))
		return false;
	completion_fail(&op->done, answer(op, r));
	return true;
}

static void visit(struct completion *c)
{
	struct alloc_op *op = container_of(c, struct alloc_op, go);

	VDO_CHECK(op->lock == NULL);
	if (attempt(zone_check(op->depot, op->zone), op, 0))
		completion_post(&op->done);
}

void alloc_scrubbed(struct depot_zone *z, int failed)
{
	struct waitq taken;
	struct waiter *w;

	waitq_take_all(&z->patient, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct alloc_op *op = container_of(w, struct alloc_op, link);

		if (attempt(z, op, failed))
			completion_post(&op->done);
	}
}

bool depot_allocate(struct depot *d, struct alloc_op *op)
{
	VDO_ASSERT(op->type != PBN_LOCK_READ);
	op->depot = d;
	op->lock = NULL;
	op->visited = 0;
	op->scrubbing = 0;
	op->patient = false;
	op->refusal = 0;
	return attempt(zone_check(d, op->zone), op, 0);
}

struct pbn_lock *depot_move(struct depot *d, unsigned zone,
			    struct pbn_lock *lock)
{
	struct depot_zone *z = zone_check(d, zone);
	struct alloc_run *run;
	struct pbn_lock *moved;

	VDO_CHECK(lock->type == PBN_LOCK_WRITE && lock->provisional);
	if (z->open == NULL || zone_read_only(z))
		return lock;
	run = own_run(z, PACK_STREAM);
	if (run == NULL)
		return lock;
	moved = take_block(z, run->at - 1, PBN_LOCK_WRITE);
	if (moved == NULL) {
		run->at--; /* it stays free */
		return lock;
	}
	depot_unlock(d, zone, lock);
	return moved;
}
