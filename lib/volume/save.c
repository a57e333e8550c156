/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspending a volume (V 10.2, E 10.5; the order is a must): calls wait in the
 * front, all components come to rest, and what they know is saved. The storage
 * then holds the whole volume, and says so: a copy of it can be opened.
 *
 * What cannot be saved, because something fails on the way or the volume is in
 * read-only mode, is not; but whatever happens, everything is at rest at the
 * end. So a row that fails leads to the rows that drain once more, without
 * saving; components at rest have nothing to do in these.
 *
 * In read-only mode nothing can be saved. If that is for want of space, also
 * at the last moment, the volume stays DIRTY.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include <vdo/error.h>

/* Row, function, where it runs; what it does. */
#define SUSPEND_ROWS(X)							       \
	/* calls wait from now on */					       \
	X(SUSPEND_STOP, suspend_stop, ON_JOURNAL)			       \
	/* nothing is parked any more */				       \
	X(SUSPEND_PACKER, suspend_packer, ON_PACKER)			       \
	/* all requests are over, also the acknowledged ones */		       \
	X(SUSPEND_REQUESTS, suspend_requests, ON_JOURNAL)		       \
	/* can anything be saved, and is it the same storage? */	       \
	X(SUSPEND_LOOK, suspend_look, ON_JOURNAL)			       \
	/* what requests wrote is durable */				       \
	X(SUSPEND_SYNC, suspend_sync, ON_JOURNAL)			       \
	/* all pages are written */					       \
	X(SUSPEND_MAP, suspend_map, ON_JOURNAL)				       \
	/* the open block is closed */					       \
	X(SUSPEND_JOURNAL, suspend_journal, ON_JOURNAL)			       \
	/* slab journals, reference counts, summary */			       \
	X(SUSPEND_DEPOT, suspend_depot, ON_JOURNAL)			       \
	/* the index is saved; else it is rebuilt later */		       \
	X(SUSPEND_INDEX, suspend_index, ON_INDEX)			       \
	/* is it still the same storage? */				       \
	X(SUSPEND_LOOK_TWICE, suspend_look_twice, ON_JOURNAL)		       \
	/* the super block says CLEAN, or RECOVERING (V 10.2) */	       \
	X(SUSPEND_CLEAN, suspend_clean, ON_JOURNAL)			       \
	/* wait until read-only mode, if that is why, is entered */	       \
	X(SUSPEND_SETTLE, suspend_settle, ON_JOURNAL)			       \
	X(SUSPEND_END, suspend_end, ON_JOURNAL)				       \
	/* errors: once more from "map", without saving */		       \
	X(SUSPEND_FAILED, suspend_failed, ON_JOURNAL)

enum { SUSPEND_ROWS(FLOW_ROW) };
SUSPEND_ROWS(FLOW_FUNCTION)
FLOW_TABLE(suspend_table, SUSPEND_FAILED, SUSPEND_ROWS);

/* Without saving no result matters, since nothing is kept. */
static struct completion *await_drain(struct life *l, int next)
{
	VDO_ASSERT(l->volume->service == SERVICE_STOPPED);
	if (l->volume->save)
		flow_await(&l->flow, &l->step, next);
	else
		flow_await_any(&l->flow, &l->step, next);
	return &l->step;
}

static int suspend_stop(struct flow *f)
{
	struct volume *v = life_of(f)->volume;

	VDO_ASSERT(!v->save || v->service == SERVICE_ON);
	if (v->service == SERVICE_ON)
		front_stop(v->front);
	v->service = SERVICE_STOPPED;
	return SUSPEND_PACKER;
}

static int suspend_packer(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_STOPPED);
	life_does(l, "emptying the packer");
	packer_drain(l->volume->packer, life_await(l, SUSPEND_REQUESTS));
	return FLOW_WAIT;
}

static int suspend_requests(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_STOPPED);
	life_does(l, "waiting for requests");
	front_drain(l->volume->front, life_await(l, SUSPEND_LOOK));
	return FLOW_WAIT;
}

static int suspend_look(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (!v->save)
		return SUSPEND_MAP;
	if (readonly_entered(&v->readonly)) {
		life_does(l, NULL); /* the log says why */
		return flow_fail(f, -VDO_EREADONLY);
	}
	life_does(l, "looking after the storage");
	still_there(v, life_await(l, SUSPEND_SYNC));
	return FLOW_WAIT;
}

static int suspend_sync(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->save && !v->opened_read_only);
	life_does(l, "flushing the storage");
	flow_await(f, &v->sync_op.done, SUSPEND_MAP);
	sync_request(&v->sync, &v->sync_op);
	return FLOW_WAIT;
}

static int suspend_map(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (v->save)
		life_does(l, "saving the block map");
	map_drain(v->map, v->save, await_drain(l, SUSPEND_JOURNAL));
	return FLOW_WAIT;
}

static int suspend_journal(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (v->save)
		life_does(l, "closing the recovery journal");
	journal_drain(v->journal, v->save, await_drain(l, SUSPEND_DEPOT));
	return FLOW_WAIT;
}

static int suspend_depot(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (v->save)
		life_does(l, "saving the slab depot");
	depot_drain(v->depot, v->save, await_drain(l, SUSPEND_INDEX));
	return FLOW_WAIT;
}

static int suspend_index(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (!v->has_index || volume_grows(v))
		return SUSPEND_LOOK_TWICE;
	VDO_ASSERT(v->topology.index != NULL && !v->opened_read_only);
	if (v->save)
		life_does(l, "saving the index");
	/* No error of the index is one of the volume, and it is logged. */
	flow_await_any(f, &l->step, SUSPEND_LOOK_TWICE);
	advice_drain(v->advice, v->save, &l->step);
	return FLOW_WAIT;
}

static int suspend_look_twice(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (!v->save)
		return SUSPEND_SETTLE;
	/* A flush for the index may have failed: an error of the volume. */
	if (readonly_entered(&v->readonly))
		return flow_fail(f, -VDO_EREADONLY);
	life_does(l, "looking after the storage once more");
	still_there(v, life_await(l, SUSPEND_CLEAN));
	return FLOW_WAIT;
}

static int suspend_clean(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->save);
	life_does(l, "marking the volume as clean");
	flow_await(f, &v->mark.done, SUSPEND_SETTLE);
	super_mark_clean(v);
	return FLOW_WAIT;
}

static int suspend_settle(struct flow *f)
{
	struct life *l = life_of(f);

	read_only_wait(l->volume, life_await(l, SUSPEND_END));
	return FLOW_WAIT;
}

static int suspend_end(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->service == SERVICE_STOPPED);
	VDO_ASSERT(!v->save || f->result == 0);
	VDO_ASSERT(!v->save ||
		   super_writer_get(&v->super)->state != VOLUME_DIRTY);
	return life_end(l);
}

static int suspend_failed(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->save); /* and so this happens once */
	life_log(l);
	l->volume->save = false;
	return SUSPEND_MAP;
}

void life_init_suspend(struct volume *v)
{
	life_init(&v->suspending, v, &suspend_table);
}

void volume_start_suspend(struct volume *v, bool save, struct completion *done)
{
	VDO_ASSERT(v->suspending.done == NULL && v->resuming.done == NULL);
	v->save = save && !v->opened_read_only;
	life_start(&v->suspending, done);
}

int volume_suspend(struct volume *v, bool save)
{
	struct await a;

	VDO_ASSERT(queue_running == NULL);
	volume_start_suspend(v, save, await_on(&a, v->topology.journal));
	return await_end(&a);
}
