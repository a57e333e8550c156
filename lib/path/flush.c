/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flushes: "everything acknowledged before is durable".
 *
 * Writes are counted in their logical zone by the parity of the generation in
 * which they entered. A flush is a round of three phases, on the packer's queue
 * except where it visits the zones:
 *
 *	turn   each zone begins a new generation           [turn_zone]
 *	pack   the packer gives out what is parked          [turned]
 *	wait   each zone says when the old parity is at zero [wait_zone]
 *
 * One round runs at a time; flushes that come meanwhile share the next one, so
 * they complete in the order of their arrival (I39), and two parities are
 * enough. A write leaves only when its journal entry is durable, which implies
 * a device flush after its data was written: the round itself needs none.
 *
 * A packed write of an old generation that reaches the packer later is not
 * parked there; see pack_flush().
 */
#include "build.h"

#include "path/path_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

static void round_start(struct path *p);

void flush_enter(struct logical_zone *z, struct request *r)
{
	VDO_ASSERT(queue_is_current(z->queue) && !r->active);
	r->active = true;
	r->parity = z->generation & 1;
	r->pack.generation = z->generation;
	z->active[r->parity]++;
}

void flush_leave(struct logical_zone *z, struct request *r)
{
	struct fanout_part *part = z->drained;

	if (!r->active)
		return;
	r->active = false;
	VDO_ASSERT(queue_is_current(z->queue));
	VDO_ASSERT(z->active[r->parity] > 0);
	if (--z->active[r->parity] > 0 || part == NULL ||
	    r->parity == (z->generation & 1))
		return;
	z->drained = NULL;
	fanout_part_done(part, 0);
}

static void turn_zone(struct completion *c)
{
	struct fanout_part *part = container_of(c, struct fanout_part, run);
	struct logical_zone *z = part->arg;

	z->generation++;
	VDO_ASSERT(z->active[z->generation & 1] == 0);
	fanout_part_done(part, 0);
}

static void wait_zone(struct completion *c)
{
	struct fanout_part *part = container_of(c, struct fanout_part, run);
	struct logical_zone *z = part->arg;

	VDO_ASSERT(z->drained == NULL); /* one round at a time */
	if (z->active[(z->generation & 1) ^ 1] == 0)
		fanout_part_done(part, 0);
	else
		z->drained = part;
}

static void visit_zones(struct path *p, completion_fn visit, completion_fn then)
{
	struct flusher *f = &p->flusher;
	unsigned i;

	for (i = 0; i < p->zone_count; i++) {
		completion_init(&f->parts[i].run, p->zones[i].queue, visit);
		f->parts[i].arg = &p->zones[i];
	}
	completion_init(&f->fanout.done, p->config.packer_queue, then);
	fanout_start(&f->fanout, f->parts, p->zone_count);
}

static void waited(struct completion *c)
{
	struct path *p = container_of(c, struct path, flusher.fanout.done);
	struct flusher *f = &p->flusher;
	struct waiter *w;
	struct waitq done;
	int result = 0;

	/* What went wrong after its acknowledgement is lost: say so. */
	if (readonly_by_error(p->config.readonly))
		result = -VDO_EREADONLY;
	else if (path_lost_data(p))
		result = -ENOSPC;
	VDO_ASSERT(f->busy && !waitq_empty(&f->covered));
	waitq_take_all(&f->covered, &done);
	counter_add(&f->count, done.count);
	if (waitq_empty(&f->waiting))
		f->busy = false;
	else
		round_start(p);
	while ((w = waitq_pop(&done)) != NULL)
		io_end_block(container_of(w, struct io, link), result);
}

static void turned(struct completion *c)
{
	struct path *p = container_of(c, struct path, flusher.fanout.done);

	pack_flush(p->config.packer, p->flusher.generation);
	visit_zones(p, wait_zone, waited);
}

static void round_start(struct path *p)
{
	struct flusher *f = &p->flusher;

	VDO_ASSERT(queue_is_current(p->config.packer_queue));
	VDO_ASSERT(!waitq_empty(&f->waiting) && waitq_empty(&f->covered));
	f->busy = true;
	f->generation++;
	waitq_take_all(&f->waiting, &f->covered);
	visit_zones(p, turn_zone, turned);
}

static void flush_arrived(struct completion *c)
{
	struct io *io = container_of(c, struct io, go);
	struct path *p = io->engine;
	struct flusher *f = &p->flusher;

	VDO_ASSERT(io->kind == IO_FLUSH);
	waitq_push(&f->waiting, &io->link);
	if (!f->busy)
		round_start(p);
}

void flusher_submit(struct path *p, struct io *io)
{
	io->engine = p;
	completion_init(&io->go, p->config.packer_queue, flush_arrived);
	completion_post(&io->go);
}

int flusher_init(struct path *p)
{
	struct flusher *f = &p->flusher;

	waitq_init(&f->waiting);
	waitq_init(&f->covered);
	f->parts = alloc_zeroed(p->zone_count, sizeof(*f->parts));
	return f->parts == NULL ? -ENOMEM : 0;
}

void flusher_fini(struct path *p)
{
	alloc_free(p->flusher.parts);
}
