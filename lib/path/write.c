/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes, discards and zeroes: the table, how they begin and how they end. See
 * write.h.
 */
#include "build.h"

#include "path/write.h"

#include <string.h>

#include <vdo/error.h>

#include "base/zero.h"

#ifdef VDO_DEBUG
static const struct stage_rows write_stages[STAGES] = {
	[STAGE_LBN] = {W_LOCK, W_WAKE},
	[STAGE_MAP] = {W_SLOT, W_MAP},
	[STAGE_ALLOC] = {W_ENTER, W_RELEASE},
	[STAGE_COUNTS] = {W_JOURNAL, W_MAP},
	[STAGE_MIO] = {W_FILL, W_PUBLISH},
};

static void write_entered(struct flow *f, int row)
{
	request_check_stages(request_of(f), write_stages, row);
}
#endif

FLOW_TABLE_WATCHED(write_table, W_FINISH, WRITE_ROWS, write_entered);

/* ------------------------------------------------------- logical beginnings */

int write_lock(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);

	VDO_CHECK(r->what.kind != IO_READ);
	counter_inc(r->what.kind == IO_WRITE	    ? &z->stats.writes
		    : r->what.kind == IO_DISCARD ? &z->stats.discards
					    : &z->stats.zeroes);
	if (io_block_is_partial(&r->what))
		counter_inc(&z->stats.partial);
	if (r->what.flags & VDO_IO_FUA)
		counter_inc(&z->stats.fua);
	flow_park(f, W_SLOT);
	return flow_over_any(f, lbn_lock(z, r));
}

int write_slot(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->active); /* it is counted from "enter" on */
	if (unlikely(readonly_entered(r->path->config.readonly)))
		return flow_fail(f, -VDO_EREADONLY);
	if (unlikely(path_lost_data(r->path) != 0))
		return flow_fail(f, path_lost_data(r->path));
	flow_await(f, &r->map.op.done, W_SLOTTED);
	r->map.op.lbn = r->what.lbn;
	r->map.op.allocate = r->what.kind != IO_DISCARD;
	r->map.op.alloc_zone = request_zone(r)->alloc_zone;
	return flow_over(f, &r->map.op.done,
			 map_find(r->path->config.map, r->zone, &r->map.op));
}

int write_slotted(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->map.op.slot < MAP_PAGE_ENTRIES);
	if (r->map.op.page == ZERO_BLOCK)
		return W_FINISH; /* a discard of what was never written */
	if (unlikely(r->map.op.slot == 0) && r->what.kind == IO_WRITE)
		ahead_note(r->path, r->what.lbn / MAP_PAGE_ENTRIES);
	return io_block_is_partial(&r->what) ? W_FETCH : W_ENTER;
}

/* ------------------------------------------------- partial: read and merge */

int write_fetch(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await(f, &r->map.op.done, W_FILL);
	return flow_over(f, &r->map.op.done,
			 map_get(r->path->config.map, r->zone, &r->map.op));
}

int write_fill(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_ASSERT(r->map.op.page != ZERO_BLOCK);
	r->map.old = r->map.op.value;
	if (r->map.old.pbn == ZERO_BLOCK)
		return r->what.kind == IO_WRITE ? W_MERGE : W_FINISH;
	data_fetch(r, r->map.old, W_MERGE);
	return FLOW_WAIT;
}

/* Put the old bytes around the new ones. */
int write_merge(struct flow *f)
{
	struct request *r = request_of(f);
	size_t end = r->what.part_offset + r->what.part_length;
	uint8_t old[BLOCK_SIZE];
	int result = 0;

	VDO_ASSERT(io_block_is_partial(&r->what) && end <= BLOCK_SIZE);
	if (r->map.old.pbn == ZERO_BLOCK)
		memset(old, 0, sizeof(old));
	else
		result = data_unpack(r, r->map.old, old);
	if (result != 0)
		return flow_fail(f, result);
	memcpy(r->data, old, r->what.part_offset);
	memcpy(r->data + end, old + end, BLOCK_SIZE - end);
	r->zero = zero_test(r->data, BLOCK_SIZE);
	if (!r->zero)
		data_name(&r, 1);
	return W_ENTER;
}

/*
 * The physical zone to ask: the one of the own shard, or each in turn where
 * there are not as many of one kind as of the other.
 */
static unsigned allocation_zone(struct logical_zone *z)
{
	struct path *p = z->path;
	unsigned zones = depot_zone_count(p->config.depot);

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(z->alloc_zone < zones);
	if (zones > 1 && zones != p->zone_count && ++z->alloc_count == 128) {
		z->alloc_count = 0;
		z->alloc_zone = (z->alloc_zone + 1) % zones;
	}
	return z->alloc_zone;
}

int write_enter(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->owner && !r->member);
	flush_enter(request_zone(r), r);
	if (!r->zero) {
		r->alloc.zone = allocation_zone(request_zone(r));
		r->flow.queues[ON_PHYSICAL] = depot_queue(r->path->config.depot,
						     r->alloc.zone);
		return W_ALLOCATE;
	}
	r->new.pbn = ZERO_BLOCK;
	r->new.state = r->what.kind == IO_DISCARD &&
					       !io_block_is_partial(&r->what)
				       ? STATE_UNMAPPED
				       : STATE_UNCOMPRESSED;
	r->fate = FATE_ZERO;
	if (write_acknowledges_early(r))
		request_acknowledge(r, 0);
	return W_OLD;
}

/* ---------------------------------------------------------------- clean-up */

int write_finish(struct flow *f)
{
	struct request *r = request_of(f);

	if (r->member)
		return W_HAND_OVER;
	return r->owner ? W_RELEASE : W_WAKE;
}

int write_release(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->member);
	depot_unlock(r->path->config.depot, r->alloc.zone, r->alloc.lock);
	r->owner = false;
	return W_WAKE;
}

/* What was acknowledged is lost. */
static void lose(struct request *r)
{
	struct path *p = r->path;
	int none = 0;

	VDO_ASSERT(r->flow.result < 0 && r->what.io == NULL);
	if (!r->refused)
		readonly_enter(p->config.readonly, r->flow.result,
			       "a write failed after its acknowledgement, "
			       "lbn=%llu",
			       (unsigned long long)r->what.lbn);
	else if (atomic_compare_exchange_strong(&p->full, &none,
						r->flow.result)) {
		front_wake(p->config.front, true); /* what is parked hears of it */
		log_error(p->config.log,
			  "path: no more is written, as %s, then close and "
			  "open the volume; first loss: lbn=%llu",
			  error_space_advice(r->flow.result),
			  (unsigned long long)r->what.lbn);
	}
}

static void note_failure(struct request *r, struct path_counters *stats)
{
	VDO_CHECK(r->flow.result < 0);
	counter_inc(&stats->fates[FATE_FAILED]);
	if (error_is_no_space(r->flow.result))
		counter_inc(&stats->no_space);
	if (r->flow.result == -VDO_EREADONLY)
		counter_inc(&stats->read_only_errors);
	path_note_error(r->path, r->flow.result);
	if (r->what.io == NULL)
		lose(r);
}

void write_count_outcome(struct request *r, unsigned blocks)
{
	struct path_counters *stats = &request_zone(r)->stats;

	if (r->flow.result == 0)
		counter_add(&stats->fates[FATE_ZERO], blocks);
	else
		note_failure(r, stats);
}

static void count_outcome(struct request *r, struct path_counters *stats)
{
	VDO_CHECK(r->fate < FATES);
	if (r->flow.result == 0)
		counter_inc(&stats->fates[r->fate]);
	else
		note_failure(r, stats);
	if (r->incompressible)
		counter_inc(&stats->incompressible);
	if (r->packed_alone)
		counter_inc(&stats->packed_alone);
}

int write_wake(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);

	/* All other locks went back before (I30). */
	VDO_CHECK(!r->owner && !r->member);
	count_outcome(r, &z->stats);
	atomic_store_explicit(&r->lbn.readable, false, memory_order_relaxed);
	lbn_unlock(z, r);
	flush_leave(z, r);
	return W_DONE;
}

int write_done(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->active);
	request_acknowledge(r, r->flow.result);
	request_recycle(r);
	return FLOW_END;
}

void write_start(struct request *r)
{
	VDO_CHECK(r->what.kind != IO_READ && r->what.kind != IO_FLUSH);
	VDO_CHECK(r->zero || r->what.kind == IO_WRITE);
	flow_set_table(&r->flow, &write_table);
	r->shared = false;
	r->packed = false;
	r->member = false;
	r->verified = false;
	r->incompressible = false;
	r->packed_alone = false;
	r->refused = false;
	r->fate = r->what.kind == IO_WRITE ? FATE_FAILED : FATE_ZERO;
	r->owner = false;
	pack_op_reset(&r->pack);
	arrivals_put(r);
}
