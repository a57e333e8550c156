/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing slabs and blocks (E 7.2).
 *
 * A zone allocates from its open slab, in order of addresses, until nothing is
 * free behind the cursor; then from the best of the others. Levels of the
 * table: 0 full; then 1 + log2(free), with one level kept for slabs that were
 * never used:
 *
 *	full < used, less than 3/4 free < never used < used, mostly free
 *
 * An op that finds nothing visits the other zones, each once.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <vdo/error.h>

static unsigned priority_of(const struct slab *s)
{
	unsigned reserved = s->zone->depot->priority_pristine;
	unsigned p;

	if (s->free_count == 0)
		return 0;
	if (slab_pristine(s))
		return reserved;
	p = 1 + log2_floor(s->free_count);
	return p < reserved ? p : p + 1;
}

void slab_enlist(struct slab *s)
{
	VDO_ASSERT(s->state == SLAB_REBUILT && !s->open);
	prioq_put(&s->zone->slabs, &s->node, priority_of(s));
}

void slab_reorder(struct slab *s)
{
	unsigned p;

	if (s->open || list_empty(&s->node.link))
		return;
	p = priority_of(s);
	if (p == s->node.priority)
		return;
	prioq_remove(&s->zone->slabs, &s->node);
	prioq_put(&s->zone->slabs, &s->node, p);
}

/* Open the best slab; false if no block is free in any. */
static bool open_next(struct depot_zone *z)
{
	struct slab *s = z->open;
	struct prioq_node *n;

	if (s != NULL) {
		z->open = NULL;
		s->open = false;
		slab_enlist(s);
	}
	n = prioq_pop(&z->slabs);
	if (n == NULL)
		return false;
	s = container_of(n, struct slab, node);
	if (s->free_count == 0 || slab_activate(s) != 0) {
		slab_enlist(s);
		return false;
	}
	stat_add(slab_pristine(s) ? &z->stats.slabs_opened
				  : &z->stats.slabs_reopened,
		 1);
	s->open = true;
	s->cursor = 0;
	z->open = s;
	return true;
}

static int allocate(struct depot_zone *z, struct alloc_op *op)
{
	struct pbn_lock *lock;
	uint32_t offset;

	if (unlikely(zone_read_only(z)))
		return -VDO_EREADONLY;
	if (unlikely(z->open == NULL || !refs_find(z->open, &offset)) &&
	    (!open_next(z) || !refs_find(z->open, &offset)))
		return -ENOSPC;
	lock = pbnlock_get(z, z->open->start + offset, op->type);
	VDO_ASSERT(lock != NULL); /* locks_max is enough for all requests */
	refs_claim(z->open, offset);
	lock->provisional = true;
	op->lock = lock;
	op->zone = z->number;
	return 0;
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
	struct depot *d = op->depot;
	int r = allocate(zone_check(d, op->zone), op);

	if (r == -ENOSPC && ++op->visited < d->zone_count)
		hop(op);
	else
		completion_finish(&op->done, r);
}

bool depot_allocate(struct depot *d, struct alloc_op *op)
{
	int r;

	VDO_ASSERT(op->type != PBN_LOCK_READ);
	op->lock = NULL;
	r = allocate(zone_check(d, op->zone), op);
	if (likely(r == 0))
		return true;
	if (r != -ENOSPC || d->zone_count == 1) {
		completion_fail(&op->done, r);
		return true;
	}
	op->depot = d;
	op->visited = 1;
	hop(op);
	return false;
}
