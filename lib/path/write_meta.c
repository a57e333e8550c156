/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metadata of a write: old mapping, journal entry, counts, new mapping. See
 * write.h.
 */
#include "build.h"

#include "path/write.h"

#include <vdo/error.h>

int write_old(struct flow *f)
{
	struct request *r = request_of(f);

	/* Only zeroes and discards map to the zero block. */
	VDO_CHECK(r->zero == (r->new.pbn == ZERO_BLOCK));
	flow_await_any(f, &r->map.op.done, W_GOT_OLD);
	return flow_over_any(f, map_get(r->path->config.map, r->zone,
					&r->map.op));
}

int write_got_old(struct flow *f)
{
	struct request *r = request_of(f);
	struct mapping old = r->map.op.value;
	int result = r->map.op.done.result;

	if (unlikely(result == -VDO_EMAPPING)) {
		log_warning(r->path->config.log,
			    "path: damaged map entry overwritten, lbn=%llu",
			    (unsigned long long)r->what.lbn);
		old = (struct mapping){ZERO_BLOCK, STATE_UNMAPPED};
	} else if (unlikely(result != 0)) {
		return flow_fail(f, result);
	}
	r->map.old = old;
	if (mapping_equal(r->new, old) && result == 0)
		return W_FINISH;
	return W_JOURNAL;
}

int write_journal(struct flow *f)
{
	struct request *r = request_of(f);
	struct path *p = r->path;
	struct journal_entry *e = &r->counts.entry.entry;

	VDO_CHECK(r->map.op.page != ZERO_BLOCK);
	VDO_CHECK(r->map.op.slot < MAP_PAGE_ENTRIES);
	VDO_CHECK(r->active); /* a flush waits for the entry (I14) */
	flow_await(f, &r->counts.entry.done, W_COUNTS);
	e->operation = JOURNAL_DATA;
	e->page = r->map.op.page;
	e->slot = r->map.op.slot;
	e->new_mapping = r->new;
	e->old_mapping = r->map.old;
	r->counts.entry.run = NULL;
	journal_append(p->config.journal, &r->counts.entry);
	request_waits(p);
	return FLOW_WAIT;
}

void write_counted(struct request *r, int result)
{
	unsigned before;

	if (unlikely(result != 0))
		atomic_store(&r->counts.failed, result);
	before = atomic_fetch_sub_explicit(&r->counts.pending, 1,
					   memory_order_acq_rel);
	VDO_CHECK(before > 0);
	if (before == 1)
		flow_go(&r->flow);
}

static void increment_done(struct completion *c)
{
	write_counted(container_of(c, struct request, counts.increment.done), c->result);
}

static void decrement_done(struct completion *c)
{
	write_counted(container_of(c, struct request, counts.decrement.done), c->result);
}

static void increment(struct completion *c)
{
	struct request *r = container_of(c, struct request, counts.increment_go);
	struct depot *depot = r->path->config.depot;

	/* A block of our own may be shared from now on. */
	VDO_CHECK(r->owner || r->shared || r->packed);
	if (!r->shared && !r->packed)
		depot_lock_downgrade(depot, r->alloc.zone, r->alloc.lock,
				     false);
	if (depot_adjust(depot, &r->counts.increment))
		write_counted(r, r->counts.increment.done.result);
}

static void decrement(struct completion *c)
{
	struct request *r = container_of(c, struct request, counts.decrement_go);

	if (depot_adjust(r->path->config.depot, &r->counts.decrement))
		write_counted(r, r->counts.decrement.done.result);
}

static void send_count(struct request *r, struct refs_op *op,
		       enum refs_kind kind, pbn_t pbn, completion_fn done,
		       struct completion *go, completion_fn run)
{
	struct depot *depot = r->path->config.depot;
	struct queue *q = depot_queue(depot, depot_zone_of(depot, pbn));

	VDO_CHECK(pbn != ZERO_BLOCK);
	completion_init(&op->done, q, done);
	op->kind = kind;
	op->pbn = pbn;
	op->point = r->counts.entry.point;
	op->more_count = 0;
	completion_init(go, q, run);
	completion_post(go);
}

/*
 * Entries leave the journal in order, and this runs for each at once: so the
 * zones get increments and decrements in journal order (I11).
 */
int write_counts(struct flow *f)
{
	struct request *r = request_of(f);
	bool up = r->new.pbn != ZERO_BLOCK;
	bool down = r->map.old.pbn != ZERO_BLOCK;

	VDO_CHECK(r->active);
	atomic_store_explicit(&r->counts.failed, 0, memory_order_relaxed);
	atomic_store_explicit(&r->counts.pending, up + down,
			      memory_order_relaxed);
	if (!up && !down)
		return W_MAP;
	flow_park(f, W_MAP);
	if (up)
		send_count(r, &r->counts.increment, REFS_INCREMENT,
			   r->new.pbn, increment_done,
			   &r->counts.increment_go, increment);
	if (down)
		send_count(r, &r->counts.decrement, REFS_DECREMENT,
			   r->map.old.pbn, decrement_done,
			   &r->counts.decrement_go, decrement);
	return FLOW_WAIT;
}

int write_map(struct flow *f)
{
	struct request *r = request_of(f);
	int failed = atomic_load_explicit(&r->counts.failed,
					  memory_order_relaxed);

	VDO_CHECK(atomic_load_explicit(&r->counts.pending,
					memory_order_relaxed) == 0);
	/* The entry is durable, and the old block may be somebody else's: reads of
	 * a volume that has become read-only go to the new one, too. */
	if (unlikely(failed != 0))
		(void)flow_fail(f, failed);
	flow_await(f, &r->map.op.done, W_FINISH);
	r->map.op.value = r->new;
	r->map.op.seq = r->counts.entry.point.seq;
	return flow_over(f, &r->map.op.done,
			 map_put(r->path->config.map, r->zone, &r->map.op));
}
