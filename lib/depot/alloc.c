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
 * Memory for the slab that will be opened next is asked for when the one before
 * is opened, in a message of its own [prepare]: a request finds it there. Only
 * when that failed, or all of a small slab was used up meanwhile, does a request
 * ask itself. If there is none, slabs that have memory are as good as any; if no
 * other has a free block the answer is -ENOMEM, for space there is.
 *
 * An op that finds nothing visits the other zones, each once.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <vdo/error.h>

unsigned slab_priority(const struct slab *s)
{
	unsigned reserved = s->zone->depot->priority_pristine;
	unsigned p;

	if (s->free_count == 0)
		return 0;
	if (slab_pristine(s))
		return s->journal == NULL ? reserved : reserved + 1;
	p = 1 + log2_floor(s->free_count);
	return p < reserved ? p : p + 2;
}

void slab_enlist(struct slab *s)
{
	VDO_ASSERT(s->state == SLAB_REBUILT && !s->open);
	prioq_put(&s->zone->slabs, &s->node, slab_priority(s));
}

void slab_reorder(struct slab *s)
{
	unsigned p;

	if (s->open || list_empty(&s->node.link))
		return;
	p = slab_priority(s);
	if (p == s->node.priority)
		return;
	prioq_remove(&s->zone->slabs, &s->node);
	prioq_put(&s->zone->slabs, &s->node, p);
}

/* ------------------------------------------------------------- preparation */

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

	if (s != NULL) {
		r = slab_activate(s);
		slab_reorder(s);
	}
	return r;
}

static void prepare(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, prepare);

	VDO_ASSERT(z->preparing);
	z->preparing = false;
	/* There may be some when it is needed. */
	if (alloc_prepare(z) != 0)
		log_warning(z->depot->log,
			    "depot: no memory for the counts of another slab, "
			    "zone=%u",
			    z->number);
	zone_leave(z);
}

static void prepare_soon(struct depot_zone *z)
{
	if (z->preparing || unprepared(z) == NULL)
		return;
	z->preparing = true;
	zone_enter(z);
	completion_init(&z->prepare, z->queue, prepare);
	completion_post(&z->prepare);
}

/* -------------------------------------------------------------- allocation */

static void close_slab(struct depot_zone *z)
{
	struct slab *s = z->open;

	if (s == NULL)
		return;
	z->open = NULL;
	s->open = false;
	slab_enlist(s);
}

/*
 * The best slab that has free blocks and memory, removed from the table. 0,
 * -ENOSPC, or -ENOMEM where only slabs without memory have free blocks.
 */
static int take_best(struct depot_zone *z, struct slab **best)
{
	struct prioq_node *n = prioq_best(&z->slabs, PRIOQ_LEVELS);
	int r = 0;

	*best = NULL;
	if (n != NULL && slab_activate(container_of(n, struct slab, node)) != 0) {
		/* Others that were never used lack memory as well. */
		r = -ENOMEM;
		n = prioq_best(&z->slabs, z->depot->priority_pristine);
	}
	if (n == NULL || container_of(n, struct slab, node)->free_count == 0)
		return r != 0 ? r : -ENOSPC;
	prioq_remove(&z->slabs, n);
	*best = container_of(n, struct slab, node);
	return 0;
}

static int open_next(struct depot_zone *z)
{
	struct slab *s;
	int r;

	close_slab(z);
	r = take_best(z, &s);
	if (r != 0)
		return r;
	VDO_ASSERT(s->journal != NULL && s->state == SLAB_REBUILT);
	counter_inc(slab_pristine(s) ? &z->stats.slabs_opened
				     : &z->stats.slabs_reopened);
	s->open = true;
	s->cursor = 0;
	z->open = s;
	prepare_soon(z);
	return 0;
}

/* A free block of the open slab, or of the next. */
static int find(struct depot_zone *z, uint32_t *offset)
{
	int r;

	if (likely(z->open != NULL && refs_find(z->open, offset)))
		return 0;
	r = open_next(z);
	if (r != 0)
		return r;
	return refs_find(z->open, offset) ? 0 : -ENOSPC;
}

static int allocate(struct depot_zone *z, struct alloc_op *op)
{
	struct pbn_lock *lock;
	uint32_t offset;
	int r;

	if (unlikely(zone_read_only(z)))
		return -VDO_EREADONLY;
	r = find(z, &offset);
	if (unlikely(r != 0))
		return r;
	lock = pbnlock_get(z, z->open->start + offset, op->type);
	VDO_ASSERT(lock != NULL); /* locks_max is enough for all requests */
	refs_claim(z->open, offset);
	lock->provisional = true;
	op->lock = lock;
	op->zone = z->number;
	return 0;
}

/* Another zone may have what this one has not. */
static bool go_on(struct alloc_op *op, int result)
{
	if (result != -ENOSPC && result != -ENOMEM)
		return false;
	if (result == -ENOMEM)
		op->no_memory = true;
	return ++op->visited < op->depot->zone_count;
}

/* The answer, if it was a refusal, is that of the zone that had space. */
static int answer(const struct alloc_op *op, int result)
{
	return result == -ENOSPC && op->no_memory ? -ENOMEM : result;
}

static void visit(struct completion *c);

static void hop(struct alloc_op *op)
{
	struct depot *d = op->depot;

	op->zone = op->zone + 1 == d->zone_count ? 0 : op->zone + 1;
	completion_init(&op->go, d->zones[op->zone].queue, visit);
	completion_post(&op->go);
}

static void visit(struct completion *c)
{
	struct alloc_op *op = container_of(c, struct alloc_op, go);
	int r = allocate(zone_check(op->depot, op->zone), op);

	if (go_on(op, r))
		hop(op);
	else
		completion_finish(&op->done, answer(op, r));
}

bool depot_allocate(struct depot *d, struct alloc_op *op)
{
	int r;

	VDO_ASSERT(op->type != PBN_LOCK_READ);
	op->lock = NULL;
	r = allocate(zone_check(d, op->zone), op);
	if (likely(r == 0))
		return true;
	op->depot = d;
	op->visited = 0;
	op->no_memory = false;
	if (go_on(op, r)) {
		hop(op);
		return false;
	}
	completion_fail(&op->done, answer(op, r));
	return true;
}
