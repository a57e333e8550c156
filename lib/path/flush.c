/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flushes: "everything acknowledged before is durable".
 *
 * Writes are counted in their logical zone by the parity of the generation in
 * which they entered. A flush is a round of the table below, on the packer's
 * queue except where it visits the zones.
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

void flush_enter(struct logical_zone *z, struct request *r)
{
	VDO_CHECK(queue_is_current(z->queue) && !r->active);
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
	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(z->active[r->parity] > 0);
	if (--z->active[r->parity] > 0 || part == NULL ||
	    r->parity == (z->generation & 1))
		return;
	z->drained = NULL;
	fanout_part_done(part, 0);
}

/* Row, function, where it runs; what it does. */
#define FLUSH_ROWS(X)							       \
	/* each zone begins a new generation */				       \
	X(F_TURN, flush_turn, ON_PACKER)				       \
	/* the packer gives out what is parked */			       \
	X(F_PACK, flush_pack, ON_PACKER)				       \
	/* each zone says when the old parity is at zero */		       \
	X(F_WAIT, flush_wait, ON_PACKER)				       \
	/* the callbacks; the next round, if somebody waits for it */	       \
	X(F_TELL, flush_tell, ON_PACKER)

enum { FLUSH_ROWS(FLOW_ROW) };
FLUSH_ROWS(FLOW_FUNCTION)
FLOW_TABLE(flush_table, F_TELL, FLUSH_ROWS);

static struct path *path_of(struct flow *f)
{
	return container_of(f, struct path, flusher.flow);
}

/* The zone that a part of the flusher's fan-out visits. */
static struct logical_zone *zone_of(struct fanout_part *part)
{
	struct path *p = container_of(part->fanout, struct path,
				      flusher.fanout);

	VDO_ASSERT(part->number < p->zone_count);
	return &p->zones[part->number];
}

static void turn_zone(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct logical_zone *z = zone_of(part);

	z->generation++;
	VDO_ASSERT(z->active[z->generation & 1] == 0);
	fanout_part_done(part, 0);
}

static void wait_zone(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct logical_zone *z = zone_of(part);

	VDO_ASSERT(z->drained == NULL); /* one round at a time */
	if (z->active[(z->generation & 1) ^ 1] == 0)
		fanout_part_done(part, 0);
	else
		z->drained = part;
}

static int visit_zones(struct flow *flow, completion_fn visit, int next)
{
	struct path *p = path_of(flow);
	struct flusher *f = &p->flusher;

	VDO_ASSERT(f->busy);
	flow_await(flow, &f->fanout.done, next);
	fanout_zones(&f->fanout, f->parts, p->zones, p->zone_count, visit,
		     &f->fanout.done);
	return FLOW_WAIT;
}

static int flush_turn(struct flow *flow)
{
	struct flusher *f = &path_of(flow)->flusher;

	VDO_ASSERT(!waitq_empty(&f->waiting) && waitq_empty(&f->covered));
	f->busy = true;
	f->generation++;
	waitq_take_all(&f->waiting, &f->covered);
	return visit_zones(flow, turn_zone, F_PACK);
}

static int flush_pack(struct flow *flow)
{
	struct path *p = path_of(flow);

	VDO_ASSERT(p->flusher.busy && !waitq_empty(&p->flusher.covered));
	pack_flush(p->config.packer, p->flusher.generation);
	return F_WAIT;
}

static int flush_wait(struct flow *flow)
{
	return visit_zones(flow, wait_zone, F_TELL);
}

static int flush_tell(struct flow *flow)
{
	struct path *p = path_of(flow);
	struct flusher *f = &p->flusher;
	struct waiter *w;
	struct waitq done;
	int result = 0;
	bool again;

	/* What went wrong after its acknowledgement is lost: say so. */
	if (readonly_by_error(p->config.readonly))
		result = -VDO_EREADONLY;
	else
		result = path_lost_data(p);
	VDO_ASSERT(f->busy && !waitq_empty(&f->covered));
	waitq_take_all(&f->covered, &done);
	counter_add(&f->count, done.count);
	depot_flushed(p->config.depot);
	/* Unless somebody waits, the path may be gone after the last one. */
	again = !waitq_empty(&f->waiting);
	f->busy = again;
	while ((w = waitq_pop(&done)) != NULL)
		io_end_block(container_of(w, struct io, link), result);
	return again ? F_TURN : FLOW_END;
}

static void flush_arrived(struct completion *c)
{
	struct io *io = container_of(c, struct io, go);
	struct path *p = io->engine;
	struct flusher *f = &p->flusher;

	VDO_ASSERT(io->kind == IO_FLUSH);
	waitq_push(&f->waiting, &io->link);
	if (f->busy)
		return;
	flow_set_table(&f->flow, &flush_table);
	flow_run(&f->flow);
}

void flush_submit(struct path *p, struct io *io)
{
	VDO_ASSERT(io->kind == IO_FLUSH);
	io->engine = p;
	completion_init(&io->go, p->config.packer_queue, flush_arrived);
	completion_post(&io->go);
}

int flush_init(struct path *p)
{
	struct flusher *f = &p->flusher;

	waitq_init(&f->waiting);
	waitq_init(&f->covered);
	flow_init(&f->flow, NULL);
	f->flow.queues[ON_PACKER] = p->config.packer_queue;
	f->parts = alloc_zeroed(p->zone_count, sizeof(*f->parts));
	return f->parts == NULL ? -ENOMEM : 0;
}

void flush_fini(struct path *p)
{
	VDO_ASSERT(!p->flusher.busy);
	alloc_free(p->flusher.parts);
}
