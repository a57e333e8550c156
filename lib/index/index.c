/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index as a whole: its requests, its states.
 *
 *	serve.c	     requests				each zone on its queue
 *	zone.c	     open chapters			each zone on its queue
 *	sparse.c     sparse cache			main queue, and zones
 *	writer.c     closed chapters			main queue, and zones
 *	opener.c loader.c rebuilder.c formatter.c
 *		     from the disk			main queue
 *	saver.c	     saves				main queue
 *	media.c stream.c page_cache.c
 *		     I/O				whoever needs it
 *
 * Opening, suspending, resuming and closing are flows on the main queue, one at
 * a time. While they read or write what the zones own, these stand still: the
 * messages that stopped them order their work before ours, and those that start
 * them ours before theirs.
 */
#include "build.h"

#include "index/index_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

/* Row, function, where it runs; what it does. */
#define OPEN_ROWS(X)							       \
	/* may it be opened, or resumed? Forget everything */		       \
	X(OPEN_BEGIN, open_begin, ON_MAIN)				       \
	/* opener.c fills it */						       \
	X(OPEN_FILL, open_fill, ON_MAIN)				       \
	/* tell the zones their chapters */				       \
	X(OPEN_FILLED, open_filled, ON_MAIN)				       \
	/* all zones serve requests */					       \
	X(OPEN_ACCEPT, open_accept, ON_MAIN)				       \
	X(OPEN_ONLINE, open_online, ON_MAIN)				       \
	X(OPEN_END, open_end, ON_MAIN)

#define STOP_ROWS(X)							       \
	/* all zones refuse requests and finish those that they have */	       \
	X(STOP_ZONES, stop_zones, ON_MAIN)				       \
	/* the chapter writer is idle */				       \
	X(STOP_WRITER, stop_writer, ON_MAIN)				       \
	/* all zones have had its last messages */			       \
	X(STOP_PASS, stop_pass, ON_MAIN)				       \
	/* save, or make a save that was to blame unusable */		       \
	X(STOP_SAVE, stop_save, ON_MAIN)				       \
	X(STOP_SAVED, stop_saved, ON_MAIN)				       \
	/* suspended, or idle */					       \
	X(STOP_END, stop_end, ON_MAIN)

enum { OPEN_ROWS(FLOW_ROW) };
OPEN_ROWS(FLOW_FUNCTION)
FLOW_TABLE(open_table, OPEN_END, OPEN_ROWS);

enum { STOP_ROWS(FLOW_ROW) };
STOP_ROWS(FLOW_FUNCTION)
FLOW_TABLE(stop_table, STOP_END, STOP_ROWS);

static struct index *index_of(struct flow *f)
{
	return container_of(f, struct index, flow);
}

static void set_state(struct index *index, enum index_state state)
{
	atomic_store_explicit(&index->state, (int)state, memory_order_relaxed);
}

/* ----------------------------------------------------------------- requests */

void index_set_name(const struct index *index, struct index_name *name,
		    const struct hash128 *hash)
{
	index_name_init(name, &index->geometry, index->c.zone_count, hash);
}

static struct index_zone *zone_of(const struct index *index,
				  const struct index_name *name)
{
	VDO_CHECK(name->zone < index->c.zone_count);
	return &index->zones[name->zone];
}

void index_prefetch(const struct index *index, const struct index_name *name)
{
	index_zone_prefetch(zone_of(index, name), name);
}

static void op_init(struct index_op *op)
{
	VDO_CHECK(op->request <= INDEX_DELETE);
	op->looked_up = false;
	op->sampled = false;
}

void index_start(struct index *index, struct index_op *op)
{
	int r = 0;

	if (unlikely(index_state_of(index) != INDEX_ONLINE))
		r = -VDO_EBUSY;
	else if (unlikely(index_failure_get(&index->failure) != 0))
		r = -EIO;
	op_init(op);
	if (unlikely(r != 0)) {
		op->found = false;
		op->region = INDEX_NOWHERE;
		completion_finish(&op->done, r);
		return;
	}
	op->zone = zone_of(index, &op->name);
	completion_init(&op->run, op->zone->c.queue, index_zone_receive);
	completion_post(&op->run);
}

bool index_serve(struct index *index, struct index_op *op)
{
	op_init(op);
	return index_zone_serve(zone_of(index, &op->name), op);
}

/* -------------------------------------------------- operations: the callers */

/* @op: the table whose rows it goes through. */
static void begin(struct index *index, const struct flow_table *op,
		  struct completion *done)
{
	VDO_ASSERT(done != NULL);
	VDO_ASSERT(index->done == NULL);
	index->done = done;
	flow_set_table(&index->flow, op);
	flow_start(&index->flow);
}

void index_open(struct index *index, enum index_open how,
		struct completion *done)
{
	atomic_store_explicit(&index->stop, false, memory_order_relaxed);
	index->how = how;
	index->resume = false;
	begin(index, &open_table, done);
}

void index_resume(struct index *index, struct completion *done)
{
	index->resume = true;
	begin(index, &open_table, done);
}

void index_suspend(struct index *index, bool save, struct completion *done)
{
	index->save = save;
	index->then = INDEX_SUSPENDED;
	begin(index, &stop_table, done);
}

void index_close(struct index *index, bool save, struct completion *done)
{
	index->save = save;
	index->then = INDEX_IDLE;
	begin(index, &stop_table, done);
}

void index_stop(struct index *index)
{
	atomic_store_explicit(&index->stop, true, memory_order_relaxed);
}

/* The operation is over. */
static int end_operation(struct index *index)
{
	struct completion *done = index->done;

	VDO_ASSERT(index->done != NULL);
	index->done = NULL;
	completion_finish(done, index->flow.result);
	return FLOW_END;
}

/* Run @fn for each zone on its queue, then go on at row @next. */
static int visit_zones(struct index *index, completion_fn fn, int next)
{
	VDO_ASSERT(queue_is_current(index->c.queue));
	flow_await(&index->flow, &index->fanout.done, next);
	fanout_start(&index->fanout, index->parts, index->c.zones,
		     sizeof(index->c.zones[0]), index->c.zone_count, fn,
		     &index->fanout.done);
	return FLOW_WAIT;
}

static struct index_zone *zone_of_part(const struct fanout_part *part)
{
	struct index *index = container_of(part->fanout, struct index, fanout);

	VDO_ASSERT(queue_is_current(index->c.zones[part->number]));
	return &index->zones[part->number];
}

/* What the zones have now, for those who read or fill it. */
static void gather_contents(struct index *index)
{
	VDO_ASSERT(index->contents.zone_count == index->c.zone_count);
	for (unsigned i = 0; i < index->c.zone_count; i++)
		index->contents.open[i] = index->zones[i].open;
}

/* -------------------------------------------------------- opening, resuming */

static int open_begin(struct flow *f)
{
	struct index *index = index_of(f);
	enum index_state from = index->resume ? INDEX_SUSPENDED : INDEX_IDLE;

	if (index_state_of(index) != from)
		return flow_fail(f, -VDO_EBUSY);
	if (index->resume)
		return OPEN_ACCEPT;
	set_state(index, INDEX_OPENING);
	index_failure_clear(&index->failure);
	page_map_clear(&index->page_map);
	sparse_reset(&index->sparse);
	chapter_range_set(&index->range, 0, 0);
	for (unsigned i = 0; i < index->c.zone_count; i++)
		index_zone_reset(&index->zones[i]);
	gather_contents(index);
	return OPEN_FILL;
}

static int open_fill(struct flow *f)
{
	struct index *index = index_of(f);

	VDO_ASSERT(index_state_of(index) == INDEX_OPENING);
	flow_await_any(f, &index->opener.done, OPEN_FILLED);
	opener_start(&index->opener, index->how);
	return FLOW_WAIT;
}

static int open_filled(struct flow *f)
{
	struct index *index = index_of(f);
	const struct chapter_range *range = &index->range;
	int r = index->opener.done.result;

	VDO_ASSERT(index_state_of(index) == INDEX_OPENING);
	index->unsaved = index->opener.unsaved;
	if (r != 0) {
		set_state(index, INDEX_IDLE);
		return flow_fail(f, r);
	}
	for (unsigned i = 0; i < index->c.zone_count; i++)
		index_zone_set_range(&index->zones[i], range->oldest,
				     range->newest);
	return OPEN_ACCEPT;
}

static void zone_accepts(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	index_zone_accept(zone_of_part(part));
	fanout_part_done(part, 0);
}

static int open_accept(struct flow *f)
{
	struct index *index = index_of(f);
	enum index_state from = index->resume ? INDEX_SUSPENDED : INDEX_OPENING;

	VDO_ASSERT(index_state_of(index) == from);
	return visit_zones(index, zone_accepts, OPEN_ONLINE);
}

static int open_online(struct flow *f)
{
	set_state(index_of(f), INDEX_ONLINE);
	return OPEN_END;
}

static int open_end(struct flow *f)
{
	return end_operation(index_of(f));
}

/* ------------------------------------------------------ suspending, closing */

static void zone_stops(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	index_zone_stop(zone_of_part(part), part);
}

static int stop_zones(struct flow *f)
{
	struct index *index = index_of(f);

	VDO_ASSERT(index->then == INDEX_IDLE || index->then == INDEX_SUSPENDED);
	switch (index_state_of(index)) {
	case INDEX_ONLINE:
		set_state(index, INDEX_SUSPENDING);
		return visit_zones(index, zone_stops, STOP_WRITER);
	case INDEX_SUSPENDED:
		return STOP_SAVE;
	default:
		index->then = index_state_of(index); /* there is nothing to stop */
		return STOP_END;
	}
}

static int stop_writer(struct flow *f)
{
	struct index *index = index_of(f);

	VDO_ASSERT(index_state_of(index) == INDEX_SUSPENDING);
	flow_await(f, &index->idle, STOP_PASS);
	writer_wait_idle(&index->writer, &index->idle);
	return FLOW_WAIT;
}

static void zone_passes(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	VDO_CHECK(index_zone_sane(zone_of_part(part)));
	fanout_part_done(part, 0);
}

static int stop_pass(struct flow *f)
{
	return visit_zones(index_of(f), zone_passes, STOP_SAVE);
}

static int stop_save(struct flow *f)
{
	struct index *index = index_of(f);
	int error = index_failure_get(&index->failure);

	VDO_ASSERT(index->writer.handed_over == 0);
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		index->unsaved |= index->zones[i].touched;
		index->zones[i].touched = false;
	}
	if (error == 0 && index->save && index->unsaved) {
		gather_contents(index);
		flow_await(f, &index->saver.done, STOP_SAVED);
		saver_save(&index->saver);
		return FLOW_WAIT;
	}
	if (error == -VDO_ECORRUPT) {
		flow_await(f, &index->saver.done, STOP_END);
		return flow_over(f, &index->saver.done,
				 saver_discard(&index->saver));
	}
	return STOP_END;
}

static int stop_saved(struct flow *f)
{
	VDO_ASSERT(index_state_of(index_of(f)) != INDEX_ONLINE);
	index_of(f)->unsaved = false;
	return STOP_END;
}

static int stop_end(struct flow *f)
{
	struct index *index = index_of(f);

	VDO_ASSERT(index->then != INDEX_OPENING);
	set_state(index, index->then);
	return end_operation(index);
}

/* ----------------------------------------------------------- looking inside */

const struct index_geometry *index_geometry_of(const struct index *index)
{
	return &index->geometry;
}

const struct index_media *index_media_of(const struct index *index)
{
	return &index->media;
}

struct index_contents *index_contents_of(struct index *index)
{
	VDO_ASSERT(index_state_of(index) != INDEX_OPENING);
	gather_contents(index);
	return &index->contents;
}

const struct chapter_range *index_range_of(const struct index *index)
{
	return &index->range;
}

int index_open_records(const struct index *index, struct index_record **records,
		       uint32_t *count)
{
	uint32_t used = 0;

	VDO_ASSERT(index_state_of(index) != INDEX_OPENING);
	for (unsigned i = 0; i < index->c.zone_count; i++)
		used += open_chapter_used(index->zones[i].open);
	*count = 0;
	*records = alloc_zeroed(used + 1, sizeof(**records));
	if (*records == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		const struct open_chapter *o = index->zones[i].open;

		for (uint32_t n = 1; n <= open_chapter_used(o); n++) {
			const struct index_record *r =
				open_chapter_record(o, n);

			if (r != NULL)
				(*records)[(*count)++] = *r;
		}
	}
	return 0;
}
