/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replay: entries of the recovery journal that slab journals lack (V 10.3 D).
 *
 * Each zone goes through all entries, and takes what concerns its slabs. A slab
 * has an entry if the newest recovery point of its journal is not before it. All
 * others are made by depot_adjust(), as while the volume is in use, so that they
 * get the places that they had before the crash (I10). Slabs are in the state
 * SLAB_REPLAYING meanwhile: no counter is changed, no block of the recovery
 * journal held, no threshold minded, and a full ring lets go of its oldest block
 * (slabspace.c).
 *
 * Nothing on disk but slab journals and the summary is changed, and what these
 * have they have for good: a crash on the way only leaves less to do (I43).
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <vdo/error.h>

/* Row, function, where it runs; what it does. */
#define REPLAY_ROWS(X)                             \
	/* the next entry, until none is left */   \
	X(R_APPEND, replay_append, ON_PHYSICAL)    \
	/* one zone less */                        \
	X(R_END, replay_end, ON_PHYSICAL)

enum { ON_PHYSICAL = ANYWHERE + 1 };

enum { REPLAY_ROWS(FLOW_ROW) };
REPLAY_ROWS(FLOW_FUNCTION)
FLOW_TABLE(replay_table, R_END, REPLAY_ROWS);

static struct depot_zone *zone_of(struct flow *f)
{
	struct depot_zone *z = container_of(f, struct depot_zone, replay.flow);

	VDO_ASSERT(queue_is_current(z->queue));
	return z;
}

static void begin(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);

	VDO_ASSERT(z->load == NULL && z->idle == NULL);
	z->replay.at = 0;
	flow_init(&z->replay.flow, &replay_table);
	z->replay.flow.queues[ON_PHYSICAL] = z->queue;
	flow_run(&z->replay.flow);
}

void depot_replay(struct depot *d, const struct replay_entry *entries,
		  size_t count, struct completion *done)
{
	VDO_ASSERT(d->origin == DEPOT_CRASHED && d->done == NULL);
	d->entries = entries;
	d->entry_count = count;
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, begin,
		     done);
}

/* Half @at of the entries, the increment first: its op; false if there is none.
 */
static bool get_half(const struct depot *d, size_t at, struct refs_op *op)
{
	const struct replay_entry *e = &d->entries[at / 2];

	VDO_ASSERT(at / 2 < d->entry_count);
	op->point = e->at;
	if (at % 2 != 0) {
		op->kind = REFS_DECREMENT;
		op->pbn = e->entry.old_mapping.pbn;
	} else {
		op->kind = e->entry.operation == JOURNAL_BLOCK_MAP
				   ? REFS_MAP_INCREMENT
				   : REFS_INCREMENT;
		op->pbn = e->entry.new_mapping.pbn;
	}
	return op->pbn != ZERO_BLOCK;
}

static int damaged(struct depot_zone *z)
{
	const struct refs_op *op = &z->replay.op;

	readonly_enter(z->depot->readonly, -VDO_ECORRUPT,
		       "depot: recovery journal is damaged, block=%llu: entry "
		       "of no data block, pbn=%llu",
		       (unsigned long long)op->point.seq,
		       (unsigned long long)op->pbn);
	return flow_fail(&z->replay.flow, -VDO_ECORRUPT);
}

/* A slab without a journal gets one; 0 or an error that is none of the volume.
 */
static int prepare(struct slab *s)
{
	if (likely(s->journal != NULL))
		return 0;
	VDO_ASSERT(s->state == SLAB_REBUILT);
	s->state = SLAB_REPLAYING;
	return depot_activate_slab(s, true);
}

static int replay_append(struct flow *f)
{
	struct depot_zone *z = zone_of(f);
	struct depot *d = z->depot;
	struct refs_op *op = &z->replay.op;

	while (z->replay.at < 2 * d->entry_count) {
		struct slab *s;
		int r;

		if (!get_half(d, z->replay.at++, op))
			continue;
		if (unlikely(!is_data_block(&d->geo, op->pbn)))
			return damaged(z);
		s = slab_at(d, op->pbn);
		if (s->zone != z)
			continue;
		r = prepare(s);
		if (unlikely(r != 0))
			return flow_fail(f, r);
		if (slabjournal_has(s->journal, op))
			continue;
		flow_await(f, &op->done, R_APPEND);
		return flow_over(f, &op->done, depot_adjust(d, op));
	}
	return R_END;
}

static int replay_end(struct flow *f)
{
	fanout_part_done(zone_part(zone_of(f)), f->result);
	return FLOW_END;
}

/* ------------------------------------------------------------ the end of it */

static void tell(struct completion *c)
{
	struct depot *d = container_of(c, struct depot, zones_sync.done);
	struct completion *done = d->done;

	d->done = NULL;
	completion_finish(done, c->result);
}

static void make_durable(struct completion *c)
{
	struct depot *d = container_of(c, struct depot, fanout.done);

	VDO_ASSERT(d->done != NULL);
	completion_init(&d->zones_sync.done, d->zones[0].queue, tell);
	if (c->result != 0)
		completion_finish(&d->zones_sync.done, c->result);
	else
		sync_request(d->sync, &d->zones_sync);
}

void depot_replayed(struct depot *d, struct completion *done)
{
	VDO_ASSERT(d->origin == DEPOT_CRASHED && d->done == NULL);
	d->done = done;
	completion_init(&d->fanout.done, d->zones[0].queue, make_durable);
	drain_start(d, DRAIN_TAILS, &d->fanout.done);
}
