/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packer: finds fragments that fill a block together.
 *
 *	              [pack_submit]           [give_out]
 *	newcomer -------------------> bin ----------------> LEAD, MEMBERs, ALONE
 *	    |                          |  \ cancelled
 *	    | not allowed, no bin      |   v
 *	    v                          |  cancelled bin
 *	  ALONE <----------------------+---------+
 *	                  [fetch]
 *
 * The bins are kept in ascending order of free bytes, so the first that fits is
 * the best. A bin is given out when it has 14 members or no byte left, when a
 * newcomer needs its place, and by flush, drain and switching off.
 *
 * Giving out a bin races with pack_cancel() on other threads. One compare and
 * exchange per member decides: from PACKING to AFTER, it is out; or it is
 * cancelled already and its canceller's message is on its way here: then it
 * waits in the cancelled bin, which needs to be no more than a count, since
 * the message says who is meant.
 *
 * Trap: the bin is chosen (and emptied, if need be) first, then the stage
 * becomes PACKING, and at once the op is in the bin. Cancellers may look for it
 * from that moment on.
 */
#include "build.h"

#include "pack/pack.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/counter.h"
#include "exec/executor.h"
#include "exec/gate.h"
#include "pack/pack_priv.h"

#define BINS_MAX 16u

struct pack_bin {
	unsigned position; /* in the order */
	unsigned free;	   /* bytes */
	unsigned count;
	struct pack_op *members[FRAGMENTS_MAX]; /* each knows its slot */
};

struct packer {
	struct queue *queue;
	unsigned bin_count;
	struct pack_bin *order[BINS_MAX]; /* fullest first */
	struct pack_bin bins[BINS_MAX];
	struct pack_bin cancelled; /* nothing is in it: its address says who */
	struct gate gate;	   /* around the members of cancelled */
	uint32_t generation;
	atomic_bool enabled;
	struct {
		counter_t fragments_written, blocks_written;
		counter_t fragments_pending;
	} stats;
};

int packer_create(const struct packer_config *c, struct packer **packer)
{
	struct packer *p = alloc_zeroed(1, sizeof(*p));

	VDO_ASSERT(c->bin_count >= 1 && c->bin_count <= BINS_MAX);
	if (p == NULL)
		return -ENOMEM;
	p->queue = c->queue;
	p->bin_count = c->bin_count;
	for (unsigned i = 0; i < c->bin_count; i++) {
		p->bins[i].position = i;
		p->bins[i].free = FRAGMENT_PAYLOAD;
		p->order[i] = &p->bins[i];
	}
	gate_init(&p->gate);
	atomic_init(&p->enabled, c->enabled);
	*packer = p;
	return 0;
}

void packer_destroy(struct packer *p)
{
	if (p == NULL)
		return;
	for (unsigned i = 0; i < p->bin_count; i++)
		VDO_ASSERT(p->bins[i].count == 0);
	VDO_ASSERT(p->gate.inside == 0);
	alloc_free(p);
}

static inline void place(struct packer *p, struct pack_bin *b, unsigned i)
{
	VDO_CHECK(i < p->bin_count);
	p->order[i] = b;
	b->position = i;
}

/* The free bytes of @b changed: move it to where it belongs. */
static void sort(struct packer *p, struct pack_bin *b)
{
	unsigned i = b->position;

	for (; i > 0 && p->order[i - 1]->free > b->free; i--)
		place(p, p->order[i - 1], i);
	for (; i + 1 < p->bin_count && p->order[i + 1]->free < b->free; i++)
		place(p, p->order[i + 1], i);
	place(p, b, i);
}

static void put(struct packer *p, struct pack_bin *b, struct pack_op *op)
{
	VDO_CHECK(b->count < FRAGMENTS_MAX && op->size <= b->free);
	op->bin = b;
	op->slot = (uint8_t)b->count;
	b->members[b->count++] = op;
	b->free -= op->size;
	counter_inc(&p->stats.fragments_pending);
}

/* The last member takes the place of @op. */
static void take(struct packer *p, struct pack_bin *b, struct pack_op *op)
{
	struct pack_op *last = b->members[b->count - 1];

	VDO_CHECK(b->count > 0 && op->bin == b);
	b->count--;
	VDO_CHECK(b->members[op->slot] == op || last == op);
	last->slot = op->slot;
	b->members[op->slot] = last;
	b->free += op->size;
	op->bin = NULL;
	counter_dec(&p->stats.fragments_pending);
}

static void alone(struct pack_op *op)
{
	VDO_ASSERT(op->bin == NULL && !pack_allowed(op));
	op->verdict = PACK_ALONE;
	op->slot = 0;
	completion_post(&op->done);
}

/* Take out the last member: true if it goes with the others. */
static bool take_last(struct packer *p, struct pack_bin *b, struct pack_op **op)
{
	unsigned expected = STAGE_PACKING;

	*op = b->members[b->count - 1];
	take(p, b, *op);
	if (likely(atomic_compare_exchange_strong_explicit(
		    &(*op)->status, &expected, STAGE_AFTER,
		    memory_order_acq_rel, memory_order_acquire)))
		return true;
	VDO_ASSERT(expected == (STAGE_PACKING | STATUS_CANCELLED));
	(*op)->bin = &p->cancelled;
	gate_enter(&p->gate);
	return false;
}

/* Empty a bin; its order is up to the caller. */
static void give_out(struct packer *p, struct pack_bin *b)
{
	struct pack_op *lead = NULL;
	struct pack_op **last = NULL;
	struct pack_op *op;
	unsigned n = 0;

	while (b->count > 0) {
		if (!take_last(p, b, &op))
			continue;
		op->verdict = PACK_MEMBER;
		op->slot = (uint8_t)n++;
		if (lead == NULL) {
			lead = op;
			last = &op->members;
		} else {
			*last = op;
			last = &op->next;
		}
	}
	VDO_CHECK(b->free == FRAGMENT_PAYLOAD);
	if (n < 2) {
		if (lead != NULL)
			alone(lead);
		return;
	}
	*last = NULL;
	counter_add(&p->stats.fragments_written, n);
	counter_inc(&p->stats.blocks_written);
	lead->verdict = PACK_LEAD;
	completion_post(&lead->done);
}

static void give_all_out(struct packer *p)
{
	for (unsigned i = 0; i < p->bin_count; i++) {
		give_out(p, &p->bins[i]);
		place(p, &p->bins[i], i);
	}
	VDO_ASSERT(counter_get(&p->stats.fragments_pending) == 0);
	VDO_CHECK(packer_sane(p));
}

/*
 * The fullest bin that fits. If there is none, the fullest of all is given out
 * for the newcomer, unless the newcomer fills as much as it; then NULL.
 */
static struct pack_bin *choose(struct packer *p, unsigned size)
{
	struct pack_bin *fullest = p->order[0];

	for (unsigned i = 0; i < p->bin_count; i++)
		if (p->order[i]->free >= size)
			return p->order[i];
	VDO_CHECK(fullest->count > 0);
	if (size >= FRAGMENT_PAYLOAD - fullest->free)
		return NULL;
	give_out(p, fullest);
	return fullest;
}

static bool admitted(const struct packer *p, const struct pack_op *op)
{
	return pack_enabled(p) && pack_allowed(op) && !gate_closed(&p->gate) &&
	       (int32_t)(op->generation - p->generation) >= 0;
}

void pack_submit(struct packer *p, struct pack_op *op)
{
	struct pack_bin *b;

	VDO_CHECK(queue_is_current(p->queue));
	VDO_CHECK(op->size > 0 && op->size <= FRAGMENT_SIZE_MAX);
	b = admitted(p, op) ? choose(p, op->size) : NULL;
	if (b == NULL) {
		pack_status_end(op);
		alone(op);
		return;
	}
	if (pack_status_advance(op, STAGE_PACKING)) {
		put(p, b, op);
		if (b->count == FRAGMENTS_MAX || b->free == 0)
			give_out(p, b);
	} else {
		alone(op);
	}
	sort(p, b);
}

static void fetch(struct completion *c)
{
	struct pack_fetch *f = container_of(c, struct pack_fetch, go);
	struct packer *p = f->packer;
	struct pack_op *op = f->op;
	struct pack_bin *b = op->bin;

	VDO_ASSERT(queue_is_current(p->queue));
	VDO_ASSERT(b != NULL);
	VDO_ASSERT(atomic_load_explicit(&op->status, memory_order_relaxed) ==
		   (STAGE_PACKING | STATUS_CANCELLED));
	pack_status_end(op);
	if (b == &p->cancelled) {
		op->bin = NULL;
		alone(op);
		gate_leave(&p->gate);
		return;
	}
	take(p, b, op);
	sort(p, b);
	alone(op);
	/* @f may be gone from here on. */
}

void pack_send_fetch(struct packer *p, struct pack_fetch *f, struct pack_op *op)
{
	VDO_ASSERT((atomic_load_explicit(&op->status, memory_order_relaxed) &
		    STATUS_CANCELLED) != 0);
	f->packer = p;
	f->op = op;
	completion_init(&f->go, p->queue, fetch);
	completion_post(&f->go);
}

void pack_flush(struct packer *p, uint32_t generation)
{
	VDO_ASSERT(queue_is_current(p->queue));
	p->generation = generation;
	give_all_out(p);
}

void pack_enable(struct packer *p, bool enabled)
{
	VDO_ASSERT(queue_is_current(p->queue));
	atomic_store_explicit(&p->enabled, enabled, memory_order_relaxed);
	if (!enabled)
		give_all_out(p);
}

bool pack_enabled(const struct packer *p)
{
	return atomic_load_explicit(&p->enabled, memory_order_relaxed);
}

void packer_drain(struct packer *p, struct completion *done)
{
	VDO_ASSERT(queue_is_current(p->queue));
	give_all_out(p);
	gate_close(&p->gate, done);
}

void packer_resume(struct packer *p)
{
	VDO_ASSERT(queue_is_current(p->queue));
	gate_open(&p->gate);
}

void pack_get_stats(const struct packer *p, struct pack_stats *stats)
{
	*stats = (struct pack_stats){
		.fragments_written = counter_get(&p->stats.fragments_written),
		.blocks_written = counter_get(&p->stats.blocks_written),
		.fragments_pending = counter_get(&p->stats.fragments_pending),
	};
}

/* ------------------------------------------------------------------ checks */

static bool bin_sane(const struct pack_bin *b)
{
	unsigned bytes = 0;

	for (unsigned i = 0; i < b->count; i++) {
		const struct pack_op *op = b->members[i];
		unsigned status =
			atomic_load_explicit(&op->status, memory_order_relaxed);

		if (op->bin != b || op->slot != i ||
		    (status & STAGE_MASK) != STAGE_PACKING)
			return false;
		bytes += op->size;
	}
	/* A full bin would have been given out. */
	return b->count < FRAGMENTS_MAX && bytes < FRAGMENT_PAYLOAD &&
	       bytes + b->free == FRAGMENT_PAYLOAD;
}

bool packer_sane(const struct packer *p)
{
	uint64_t parked = 0;

	for (unsigned i = 0; i < p->bin_count; i++) {
		const struct pack_bin *b = p->order[i];

		if (b->position != i || !bin_sane(b))
			return false;
		if (i > 0 && p->order[i - 1]->free > b->free)
			return false;
		parked += b->count;
	}
	return parked == counter_get(&p->stats.fragments_pending);
}
