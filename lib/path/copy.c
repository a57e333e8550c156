/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies within the volume: mappings and references, no data.
 *
 * A call is walked through step by step, as discards are (range.c): a step is a
 * request that follows the rows below with up to COPY_BLOCKS blocks; the next
 * step, with another request, begins as soon as this one knows what is to be
 * copied. Where the ranges overlap and the destination lies behind the source,
 * the walk goes from the end to the beginning. So no step changes a block that
 * a later one has yet to look at, and the result is that of memmove().
 *
 *	source	The step locks blocks of one leaf page, up to one that is busy,
 *		for which it waits if it is the first. So it sees what was
 *		acknowledged before. It reads the mappings, and in the zones of
 *		the physical blocks takes a read lock and a claim for each: that
 *		keeps a block as it is when the source is overwritten, and its
 *		count within the limit (I18, I19). Then the logical blocks are
 *		free again.
 *	target	It locks what the mappings are for, page by page, again up to a
 *		block that is busy, and makes entries side by side. For each
 *		slab the zones get what is to be counted in the order of the
 *		entries, increment before decrement (I11). A mapping that is
 *		there already needs no entry.
 *	data	A block that cannot get a reference more (it has 254), and part of a
 *		block, is read under the lock of the source, and written like any
 *		other.
 *
 * Locks: a step has logical blocks of its source or of its destination, never
 * both, and waits for none while it has some. Nobody waits for read locks. So there
 * is no circle.
 *
 * Turns, requests that are lent, and closing: as in range.c; a step has a request
 * for each of its blocks, which also counts its read lock. With VDO_IO_NOWAIT a
 * step has one block, and the request that was set aside for that.
 *
 * A step is acknowledged, unless FUA, when all of its destination that is not
 * finished is locked and has its page: it cannot fail for lack of space then.
 *
 * Memory: none but that of the requests.
 */
#include "build.h"

#include "path/copy_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/zero.h"

/* Row, function, where it runs; what it does. */
#define COPY_ROWS(X)							       \
	/* is the volume being closed? */				       \
	X(C_BEGIN, copy_begin, ON_LOGICAL)				       \
	/* blocks of the source, later of the destination, up to one that is busy */ \
	X(C_LOCK, copy_lock, ON_LOGICAL)				       \
	/* the first one was busy, and is this one's now */		       \
	X(C_TURN, copy_turn, ON_LOGICAL)				       \
	/* can be written to? The leaf page; the destination's is created */  \
	X(C_FIND, copy_find, ON_LOGICAL)				       \
	X(C_FOUND, copy_found, ON_LOGICAL)				       \
	/* the mappings; those of the destination go on to "journal" */	       \
	X(C_GOT, copy_got, ON_LOGICAL)					       \
	/* a read lock and a claim for each, zone after zone */		       \
	X(C_CLAIM, copy_claim, ON_CANDIDATE)				       \
	X(C_CLAIMED, copy_claimed, ON_CANDIDATE)			       \
	/* the source is free; the next step begins; on to "lock" */	       \
	X(C_UNLOCK, copy_unlock, ON_LOGICAL)				       \
	/* entries, up to the end of a journal block */			       \
	X(C_JOURNAL, copy_journal, ON_JOURNAL)				       \
	/* +1 new and -1 old, slab by slab, in the order of entries */	       \
	X(C_COUNTS, copy_counts, ON_JOURNAL)				       \
	/* the mappings are stored; more entries, if some are left */	       \
	X(C_MAP, copy_map, ON_LOGICAL)					       \
	X(C_MAPPED, copy_mapped, ON_LOGICAL)				       \
	/* locks and flush count go back, also after errors; more pages */    \
	X(C_WAKE, copy_wake, ON_LOGICAL)				       \
	/* the read locks go back, zone after zone */			       \
	X(C_RELEASE, copy_release, ON_CANDIDATE)			       \
	/* no reference can be had: the block is read */		       \
	X(C_READ, copy_read, ON_LOGICAL)				       \
	/* and becomes a write */					       \
	X(C_WRITE, copy_write, ON_LOGICAL)				       \
	/* FUA or failed: the callback; the requests are free */	       \
	X(C_DONE, copy_done, ANYWHERE)

enum { COPY_ROWS(FLOW_ROW) };
COPY_ROWS(FLOW_FUNCTION)

#ifdef VDO_DEBUG
static const struct stage_rows copy_stages[STAGES] = {
	[STAGE_LBN] = {C_LOCK, C_WRITE},
	[STAGE_MAP] = {C_FIND, C_WRITE},
	[STAGE_ALLOC] = STAGE_NEVER,
	[STAGE_COUNTS] = {C_JOURNAL, C_MAP},
	[STAGE_MIO] = {C_READ, C_WRITE},
};

static void copy_entered(struct flow *f, int row)
{
	request_check_stages(request_of(f), copy_stages, row);
}
#endif

FLOW_TABLE_WATCHED(copy_table, C_WAKE, COPY_ROWS, copy_entered);

/* ---------------------------------------------------------------- the walk */

/* Where what lies at block @lbn of the source goes. */
static lbn_t target_of(const struct io *io, lbn_t lbn)
{
	VDO_CHECK(io->distance % BLOCK_SIZE == 0);
	return (lbn * BLOCK_SIZE + io->distance) / BLOCK_SIZE;
}

/* Is what is left to be walked through from its end? */
static bool is_backward(const struct io *io)
{
	uint64_t blocks = div_up(io->end, BLOCK_SIZE) - io->next / BLOCK_SIZE;

	VDO_CHECK(io->distance != 0);
	return io->distance / BLOCK_SIZE < blocks;
}

void copy_start(struct request *r, struct io *io, unsigned max)
{
	struct copy *v = (struct copy *)(void *)r->data;
	bool back = is_backward(io);
	uint64_t first = back ? MAX(io->next, (io->end - 1) / BLOCK_SIZE * BLOCK_SIZE)
			      : io->next;
	uint64_t end = MIN(io->end, (first / BLOCK_SIZE + 1) * BLOCK_SIZE);

	VDO_CHECK(io->next < io->end && max > 0);
	VDO_CHECK(r->blocks == 0 && !r->active && !r->turn);
	r->range = true;
	r->copying = COPY_SOURCE;
	r->what = (struct io_block){
		.kind = io->kind,
		.flags = io->flags,
		.lbn = (first - io->distance) / BLOCK_SIZE,
		.part_offset = (unsigned)(first % BLOCK_SIZE),
		.part_length = (unsigned)(end - first),
		.io = io,
	};
	r->no_dedupe = (io->flags & VDO_IO_NO_DEDUPE) != 0 ||
		       !path_deduplication(r->path);
	r->refused = false;
	v->end = r->what.lbn + 1;
	v->want = 1;
	if (!io_block_is_partial(&r->what) && (io->flags & VDO_IO_NOWAIT) == 0)
		v->want = (unsigned)MIN((io->end - io->next) / BLOCK_SIZE,
					MIN(max, COPY_BLOCKS));
	v->locked = 0;
	v->lent = NULL;
	pack_op_reset(&r->pack);
	flow_set_table(&r->flow, &copy_table);
	arrivals_put(r);
}

/*
 * This step has the next @blocks: what is left is for steps of their own. The
 * io's end is told by the last part of it that is over.
 */
static void pass_on(struct request *r, unsigned blocks)
{
	struct front *front = r->path->config.front;
	struct io *io = r->what.io;
	struct request *next = io->reserved;

	VDO_CHECK(blocks > 0 && blocks <= COPY_BLOCKS);
	if (is_backward(io))
		io->end = MAX(io->next, (div_up(io->end, BLOCK_SIZE) - blocks) *
						BLOCK_SIZE);
	else
		io->next = MIN(io->end, (io->next / BLOCK_SIZE + blocks) *
						BLOCK_SIZE);
	if (io->next == io->end)
		return;
	io_share(io);
	io->range_next = 1;
	if (likely(next == NULL)) {
		front_again(io);
		return;
	}
	/* What was set aside does not outlast a stop. */
	(void)front_hold_more(front);
	io->reserved = next->spare;
	copy_start(next, io, 1);
}

static int copy_begin(struct flow *f)
{
	struct request *r = request_of(f);
	struct path *p = r->path;

	if (unlikely(r->what.io->range_next != 0 &&
		     atomic_load_explicit(&p->closing, memory_order_relaxed)))
		return flow_fail(f, -ECANCELED);
	return C_LOCK;
}

/* ------------------------------------------------------- locks and mappings */

/* How many logical blocks are locked. */
static unsigned held(const struct request *r)
{
	return r->turn ? 1 : r->blocks;
}

/* The blocks to be locked, from r->what.lbn on, end here at most. */
static lbn_t lock_end(struct request *r)
{
	const struct copy *v = copy_of(r);
	lbn_t page = (r->what.lbn / MAP_PAGE_ENTRIES + 1) * MAP_PAGE_ENTRIES;

	if (r->copying == COPY_TARGET)
		return MIN(page, r->what.lbn + (v->to - v->at));
	return is_backward(r->what.io) ? v->end
				       : MIN(page, r->what.lbn + v->want);
}

static int copy_lock(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);
	struct copy *v = copy_of(r);
	bool locked;

	if (r->copying == COPY_SOURCE && is_backward(r->what.io))
		r->what.lbn = v->end -
			      MAX(lbn_free_before(z, v->end, v->want), 1);
	flow_park(f, C_LOCK);
	if (!lbn_lock_range(z, r, lock_end(r)))
		return FLOW_WAIT;
	flow_unpark(f);
	if (likely(r->blocks > 0))
		return C_FIND;
	flow_park(f, C_TURN);
	locked = lbn_lock(z, r);
	VDO_ASSERT(!locked);
	return FLOW_WAIT;
}

static int copy_turn(struct flow *f)
{
	struct request *r = request_of(f);

	r->turn = !lbn_widen(request_zone(r), r, lock_end(r));
	return C_FIND;
}

static void unlock(struct request *r)
{
	struct logical_zone *z = request_zone(r);

	if (r->turn)
		lbn_unlock(z, r);
	else if (r->blocks > 0)
		lbn_unlock_range(z, r);
	r->turn = false;
}

/* Does any block that is locked get a mapping? */
static bool needs_page(struct request *r)
{
	const struct copy *v = copy_of(r);
	unsigned n = held(r), i = 0;

	if (r->copying == COPY_SOURCE)
		return false;
	while (i < n && v->news[v->at + i].state == STATE_UNMAPPED)
		i++;
	return i < n;
}

static int copy_find(struct flow *f)
{
	struct request *r = request_of(f);
	const struct path *p = r->path;
	struct map_op *op = &r->map.op;

	/* Who had the lock before may have lost what it had acknowledged. */
	if (unlikely(readonly_entered(p->config.readonly)))
		return flow_fail(f, -VDO_EREADONLY);
	if (unlikely(path_lost_data(p) != 0))
		return flow_fail(f, path_lost_data(p));
	flow_await(f, &op->done, C_FOUND);
	op->lbn = r->what.lbn;
	op->allocate = needs_page(r);
	op->alloc_zone = request_zone(r)->alloc_zone;
	return flow_over(f, &op->done,
			 map_find(p->config.map, r->zone, op));
}

static int source_found(struct request *r);
static int target_found(struct request *r);

static int copy_found(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);
	struct map_op *op = &r->map.op;
	bool is_source = r->copying == COPY_SOURCE;
	unsigned n = held(r);

	if (op->page == ZERO_BLOCK) {
		for (unsigned i = 0; is_source && i < n; i++)
			v->news[i] = (struct mapping){ZERO_BLOCK,
						      STATE_UNMAPPED};
		return is_source ? source_found(r) : target_found(r);
	}
	flow_await(f, &op->done, C_GOT);
	op->run = (struct map_run){
		.changes = &v->changes[is_source ? 0 : v->at],
		.end = (uint16_t)(op->slot + n),
	};
	return flow_over(f, &op->done,
			 map_get_run(r->path->config.map, r->zone, op));
}

static int copy_got(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);

	VDO_CHECK(r->map.op.run.count == held(r));
	if (r->copying == COPY_TARGET)
		return target_found(r);
	for (unsigned i = 0; i < r->map.op.run.count; i++)
		v->news[i] = v->changes[i].old;
	return source_found(r);
}

/* ----------------------------------------------------------------- claims */

static bool is_plausible(const struct request *r, struct mapping m)
{
	return mapping_plausible(depot_geometry(r->path->config.depot), m);
}

/* Requests for up to @n blocks more; how many. */
static unsigned borrow(struct request *r, unsigned n)
{
	struct path *p = r->path;
	struct copy *v = copy_of(r);
	unsigned count = 0;

	while (count < n) {
		uint32_t i = request_take_spare(p);
		struct request *lent;

		if (i == FREELIST_NONE)
			break;
		lent = request_at(p, i);
		lent->spare = v->lent;
		v->lent = lent;
		count++;
	}
	return count;
}

static void give_back(struct request *r)
{
	struct copy *v = copy_of(r);

	while (v->lent != NULL) {
		struct request *lent = v->lent;

		v->lent = lent->spare;
		request_free(lent);
	}
}

/* On to row @row, in the first of the physical @zones. */
static int visit(struct request *r, unsigned zones, int row)
{
	VDO_CHECK(zones != 0);
	r->flow.queues[ON_CANDIDATE] = depot_queue(
		r->path->config.depot, (unsigned)__builtin_ctz(zones));
	return row;
}

/* The block that cannot be shared, or in part only, has its data copied. */
static int copy_data_of(struct request *r, unsigned i)
{
	struct copy *v = copy_of(r);

	/* This is what is left of *v. */
	r->map.old = v->news[i];
	r->map.op.lbn = target_of(r->what.io, r->what.lbn + i);
	if (v->locked != 0)
		return visit(r, v->locked, C_RELEASE);
	give_back(r);
	r->copying = COPY_DATA;
	return C_READ;
}

/* Of blocks that have no reference, those on the far side are left for later. */
static int claims_over(struct request *r)
{
	struct copy *v = copy_of(r);
	unsigned from = v->from, to = v->to;
	bool back = is_backward(r->what.io);

	for (unsigned i = v->from; i < v->to; i++) {
		if (v->news[i].pbn == ZERO_BLOCK && is_plausible(r, v->news[i]))
			continue;
		if (likely(v->locks[i] != NULL))
			continue;
		if (!back) {
			to = i;
			break;
		}
		from = i + 1;
	}
	if (unlikely(from == to))
		return copy_data_of(r, back ? v->to - 1 : v->from);
	v->from = from;
	v->to = to;
	return C_UNLOCK;
}

static int source_found(struct request *r)
{
	struct copy *v = copy_of(r);
	struct depot *depot = r->path->config.depot;
	unsigned n = held(r), most;

	VDO_CHECK(n > 0 && n <= COPY_BLOCKS);
	v->zones = 0;
	v->from = 0;
	v->to = n;
	if (unlikely(io_block_is_partial(&r->what)))
		return copy_data_of(r, 0);
	most = 1 + borrow(r, n - 1);
	if (is_backward(r->what.io))
		v->from = n - most;
	else
		v->to = most;
	for (unsigned i = v->from; i < v->to; i++) {
		struct mapping m = v->news[i];

		v->locks[i] = NULL;
		v->zone[i] = NO_ZONE;
		if (m.pbn == ZERO_BLOCK || unlikely(!is_plausible(r, m)))
			continue;
		v->zone[i] = (uint8_t)depot_zone_of(depot, m.pbn);
		v->zones |= 1u << v->zone[i];
	}
	v->first = v->from;
	v->last = v->to;
	v->at = v->from;
	return v->zones == 0 ? claims_over(r) : visit(r, v->zones, C_CLAIM);
}

static void take_lock(struct request *r, unsigned zone)
{
	struct copy *v = copy_of(r);
	struct pbn_lock *lock = r->candidate.lock;

	if (likely(lock != NULL) && unlikely(!pbnlock_claim(lock))) {
		depot_unlock(r->path->config.depot, zone, lock);
		lock = NULL;
	}
	v->locks[v->at++] = lock;
	if (likely(lock != NULL))
		v->locked |= 1u << zone;
}

static int copy_claim(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);
	struct depot *depot = r->path->config.depot;
	unsigned zone = (unsigned)__builtin_ctz(v->zones);

	while (v->at < v->to) {
		if (v->zone[v->at] != zone) {
			v->at++;
			continue;
		}
		r->candidate.pbn = v->news[v->at].pbn;
		flow_await_any(f, &r->candidate.done, C_CLAIMED);
		if (!depot_lock_mapped(depot, zone, &r->candidate))
			return FLOW_WAIT;
		flow_unpark(f);
		take_lock(r, zone);
	}
	v->zones &= v->zones - 1;
	v->at = v->from;
	return v->zones == 0 ? claims_over(r) : visit(r, v->zones, C_CLAIM);
}

static int copy_claimed(struct flow *f)
{
	struct request *r = request_of(f);

	take_lock(r, (unsigned)__builtin_ctz(copy_of(r)->zones));
	return C_CLAIM;
}

/* On to the blocks of the destination that are left. */
static int go_on(struct request *r)
{
	const struct copy *v = copy_of(r);

	VDO_CHECK(r->copying == COPY_TARGET && v->at < v->to);
	r->what.lbn = v->target + v->at;
	request_set_zone(r);
	return C_LOCK;
}

static int copy_unlock(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);

	v->target = target_of(r->what.io, r->what.lbn);
	v->at = v->from;
	unlock(r);
	r->copying = COPY_TARGET;
	pass_on(r, v->to - v->from);
	return go_on(r);
}

/* ------------------------------------------------------------- destination */

/* What is to be replaced; how many blocks: they go to the front of the part. */
static unsigned collect(struct request *r)
{
	struct copy *v = copy_of(r);
	unsigned n = v->at;

	for (unsigned i = v->at; i < v->at + v->part; i++) {
		struct journal_change c = v->changes[i];
		bool damaged = !is_plausible(r, c.old);

		if (unlikely(damaged)) {
			log_warning(r->path->config.log,
				    "path: damaged map entry overwritten, "
				    "lbn=%llu",
				    (unsigned long long)v->target + i);
			c.old = (struct mapping){ZERO_BLOCK, STATE_UNMAPPED};
		}
		if (mapping_equal(c.old, v->news[i]) && !damaged)
			continue;
		v->changes[n] = c;
		v->news[n++] = v->news[i];
	}
	return n - v->at;
}

static int target_found(struct request *r)
{
	struct copy *v = copy_of(r);
	struct path_counters *stats = &request_zone(r)->stats;

	v->part = held(r);
	v->count = r->map.op.page == ZERO_BLOCK ? 0 : collect(r);
	v->made = 0;
	flush_enter(request_zone(r), r);
	counter_add(&stats->copies, v->count);
	counter_add(&stats->copies_same, v->part - v->count);
	if (r->what.flags & VDO_IO_FUA)
		counter_add(&stats->fua, v->part);
	if (v->at + v->part == v->to && write_acknowledges_early(r))
		request_acknowledge(r, 0);
	return v->count == 0 ? C_WAKE : C_JOURNAL;
}

static int copy_journal(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);
	struct journal *j = r->path->config.journal;
	struct journal_op *op = &r->counts.entry;

	VDO_CHECK(r->active && v->made < v->count);
	v->run = MIN(v->count - v->made, journal_room(j));
	flow_await(f, &op->done, C_COUNTS);
	op->entry.operation = JOURNAL_DATA;
	op->entry.page = r->map.op.page;
	op->run = &v->changes[v->at + v->made];
	op->news = &v->news[v->at + v->made];
	op->run_count = v->run;
	journal_append(j, op);
	return FLOW_WAIT;
}

static int copy_counts(struct flow *f)
{
	return copy_count(f, C_MAP) ? FLOW_WAIT : C_MAP;
}

static int copy_map(struct flow *f)
{
	struct request *r = request_of(f);
	const struct copy *v = copy_of(r);
	struct map_op *op = &r->map.op;
	int failed = atomic_load_explicit(&r->counts.failed,
					  memory_order_relaxed);

	/* As in write_map(). */
	if (unlikely(failed != 0))
		(void)flow_fail(f, failed);
	flow_await(f, &op->done, C_MAPPED);
	op->seq = r->counts.entry.point.seq;
	op->value = v->news[v->at + v->made];
	op->run = (struct map_run){
		.changes = copy_of(r)->changes + v->at + v->made,
		.news = &v->news[v->at + v->made],
		.count = v->run,
	};
	return flow_over(f, &op->done,
			 map_put_run(r->path->config.map, r->zone, op));
}

static int copy_mapped(struct flow *f)
{
	struct copy *v = copy_of(request_of(f));

	if (unlikely(f->result != 0))
		return flow_fail(f, f->result);
	v->made += v->run;
	VDO_CHECK(v->made <= v->count);
	return v->made < v->count ? C_JOURNAL : C_WAKE;
}

/* ------------------------------------------------------------------- data */

static int copy_read(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->copying == COPY_DATA && held(r) > 0);
	if (unlikely(!is_plausible(r, r->map.old)))
		return flow_fail(f, -VDO_EMAPPING);
	if (r->map.old.pbn == ZERO_BLOCK)
		return C_WRITE;
	data_fetch(r, r->map.old, C_WRITE);
	return FLOW_WAIT;
}

static int copy_write(struct flow *f)
{
	struct request *r = request_of(f);
	lbn_t lbn = r->map.op.lbn;
	int result = 0;

	if (r->map.old.pbn == ZERO_BLOCK)
		memset(r->data, 0, BLOCK_SIZE);
	else
		result = data_unpack(r, r->map.old, r->data);
	if (unlikely(result != 0))
		return flow_fail(f, result);
	counter_inc(&request_zone(r)->stats.copies_written);
	unlock(r);
	pass_on(r, 1);
	r->range = false;
	r->what.lbn = lbn;
	r->what.kind = IO_WRITE;
	r->zero = !io_block_is_partial(&r->what) &&
		  zero_test(r->data, BLOCK_SIZE);
	write_start(r);
	return FLOW_END;
}

/* --------------------------------------------------------------- clean-up */

static int copy_wake(struct flow *f)
{
	struct request *r = request_of(f);

	unlock(r);
	if (f->result != 0)
		write_count_outcome(r, 0);
	flush_leave(request_zone(r), r);
	if (unlikely(r->copying == COPY_DATA))
		return C_DONE;
	if (r->copying == COPY_TARGET && f->result == 0) {
		struct copy *v = copy_of(r);

		v->at += v->part;
		if (v->at < v->to)
			return go_on(r);
	}
	return copy_of(r)->locked == 0
		       ? C_DONE
		       : visit(r, copy_of(r)->locked, C_RELEASE);
}

static int copy_release(struct flow *f)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);
	struct depot *depot = r->path->config.depot;
	unsigned zone = (unsigned)__builtin_ctz(v->locked);

	for (unsigned i = v->first; i < v->last; i++) {
		struct pbn_lock *lock = v->locks[i];

		if (lock == NULL || v->zone[i] != zone)
			continue;
		depot_unlock(depot, zone, lock);
		v->locks[i] = NULL;
	}
	v->locked &= v->locked - 1;
	if (v->locked != 0)
		return visit(r, v->locked, C_RELEASE);
	if (r->copying == COPY_TARGET)
		return C_DONE;
	give_back(r);
	r->copying = COPY_DATA;
	return C_READ;
}

/* Lent requests come first: who waits is fed when our own one is free. */
static int copy_done(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(held(r) == 0 && !r->active);
	if (r->copying != COPY_DATA)
		give_back(r);
	/* An error before it was passed on ends the walk. */
	if (unlikely(r->copying != COPY_TARGET && r->what.io->reserved != NULL))
		request_give_back(r->path, r->what.io);
	r->range = false;
	request_acknowledge(r, r->flow.result);
	request_recycle(r);
	return FLOW_END;
}
