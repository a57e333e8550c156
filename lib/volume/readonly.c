/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entering read-only mode: each zone lets go of who waits, and the super block
 * says so. Where only space is missing it goes on saying DIRTY: nothing is
 * damaged, the storage is as after a crash, and recovery loses nothing that was
 * flushed. READ_ONLY would be until a rebuild.
 *
 * The upcall may come from any thread, so it only starts the flow; that it comes
 * once is for io/readonly.c to see to. The record goes to the one writer of the
 * super block, which lets nothing else out after it. If the storage does not say
 * DIRTY there is nothing to record: the volume has not changed. Nor is there
 * while the volume is being opened: what a recovery met is told to whoever opens
 * the volume, and is met again by the next one, from the same journal.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include "base/alloc.h"

/* Row, function, where it runs; what it does. */
#define ENTER_ROWS(X)							       \
	/* a volume that is growing does that first */			       \
	X(ENTER_TURN, enter_turn, ON_JOURNAL)				       \
	/* the journal lets go of who waits */				       \
	X(ENTER_JOURNAL, enter_journal, ON_JOURNAL)			       \
	/* each zone lets go of who waits */				       \
	X(ENTER_ZONES, enter_zones, ON_JOURNAL)				       \
	/* the super block says so, unless space or storage is missing */      \
	X(ENTER_RECORD, enter_record, ON_JOURNAL)			       \
	/* whoever waits for read-only mode goes on */			       \
	X(ENTER_END, enter_end, ON_JOURNAL)

enum { ENTER_ROWS(FLOW_ROW) };
ENTER_ROWS(FLOW_FUNCTION)
FLOW_TABLE(enter_table, ENTER_END, ENTER_ROWS);

static struct volume *volume_of(struct flow *f)
{
	struct volume *v = container_of(f, struct volume, entering.flow);

	VDO_ASSERT(queue_is_current(v->topology.journal));
	VDO_ASSERT(readonly_by_error(&v->readonly) && !v->entering.over);
	return v;
}

static int enter_turn(struct flow *f)
{
	struct growing *g = &volume_of(f)->growing;

	if (!g->alone)
		return ENTER_JOURNAL;
	VDO_ASSERT(!g->delayed);
	g->delayed = true;
	flow_await(f, &g->over, ENTER_JOURNAL);
	return FLOW_WAIT;
}

static int enter_journal(struct flow *f)
{
	journal_read_only(volume_of(f)->journal);
	front_wake(volume_of(f)->front, true); /* calls that are held end */
	return ENTER_ZONES;
}

static void visit(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);
	struct volume *v = container_of(part->fanout, struct volume,
					entering.fanout);
	unsigned logical = v->topology.logical_zones;

	VDO_ASSERT(part->number < logical + v->topology.physical_zones);
	if (part->number < logical)
		map_read_only(v->map, part->number);
	else
		depot_read_only(v->depot, part->number - logical);
	fanout_part_done(part, 0);
}

static int enter_zones(struct flow *f)
{
	struct volume *v = volume_of(f);
	const struct topology *t = &v->topology;
	struct entering *e = &v->entering;

	/* Their queues follow each other in one array. */
	VDO_ASSERT(t->physical == t->logical + t->logical_zones);
	flow_await(f, &e->fanout.done, ENTER_RECORD);
	fanout_start(&e->fanout, e->parts, t->logical, sizeof(*t->logical),
		     t->logical_zones + t->physical_zones, visit,
		     &e->fanout.done);
	return FLOW_WAIT;
}

static bool record(struct super_op *op, struct superblock *sb)
{
	struct volume *v = container_of(op, struct volume, entering.record);
	struct journal_state state;

	if (sb->state != VOLUME_DIRTY || !v->has_served)
		return false;
	journal_get_state(v->journal, &state);
	VDO_ASSERT(state.map_head <= state.tail);
	VDO_ASSERT(state.slab_head <= state.tail);
	sb->state = VOLUME_READ_ONLY;
	sb->journal_start = MIN(state.map_head, state.slab_head);
	sb->logical_blocks_used = state.logical_blocks_used;
	sb->block_map_data_blocks = state.block_map_data_blocks;
	return true;
}

static int enter_record(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct entering *e = &v->entering;

	VDO_ASSERT(e->record.change == record);
	/* In storage that was cut short there may be no volume to write to. */
	if (readonly_for_space(&v->readonly) || device_is_cut(v->device))
		return ENTER_END;
	flow_await(f, &e->record.done, ENTER_END);
	super_writer_write(&v->super, &e->record);
	return FLOW_WAIT;
}

static int enter_end(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct completion *waiter = v->entering.waiter;

	if (f->result != 0)
		log_error(&v->log,
			  "volume: read-only state not recorded, result=%d",
			  f->result);
	v->entering.over = true;
	v->entering.waiter = NULL;
	if (waiter != NULL)
		completion_finish(waiter, 0);
	return FLOW_END;
}

/* The upcall of struct readonly. Any thread. */
static void enter(void *arg)
{
	struct volume *v = arg;

	flow_start(&v->entering.flow);
}

int read_only_init(struct volume *v)
{
	const struct topology *t = &v->topology;
	struct entering *e = &v->entering;

	VDO_ASSERT(t->journal != NULL && e->parts == NULL);
	e->parts = alloc_zeroed(t->physical_zones + t->logical_zones,
				sizeof(*e->parts));
	if (e->parts == NULL)
		return -ENOMEM;
	e->record.change = record;
	flow_init(&e->flow, &enter_table);
	e->flow.queues[ON_JOURNAL] = t->journal;
	readonly_init(&v->readonly, &v->storage, &v->log, enter, v);
	return 0;
}

void read_only_fini(struct volume *v)
{
	VDO_ASSERT(v->entering.waiter == NULL);
	alloc_free(v->entering.parts);
	v->entering.parts = NULL;
}

void read_only_wait(struct volume *v, struct completion *done)
{
	struct entering *e = &v->entering;

	VDO_ASSERT(queue_is_current(v->topology.journal));
	VDO_ASSERT(e->waiter == NULL && done != NULL);
	if (readonly_by_error(&v->readonly) && !e->over)
		e->waiter = done;
	else
		completion_finish(done, 0);
}
