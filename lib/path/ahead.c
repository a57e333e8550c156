/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaf pages are made ahead of a writer that goes on and on.
 *
 * A leaf page that is new, and the pages above it, wait for the journal, one
 * after the other; so would a writer, at each page. A write to the first block of
 * a leaf page says where writers are [ahead_note]: after as many such blocks in
 * a row as AHEAD_MAX or less, as many pages are made ahead. So a writer that
 * stops leaves no more pages without entries than it has filled, and writers all
 * over the volume leave none. Their entries share the rounds of the journal
 * with each other and with those of data.
 *
 * Where writers are is a guess that several zones change without a lock. What is
 * asked for twice is found to be there.
 *
 * A page is made by a request of its own, which nobody waits for, and which waits
 * for the journal: a spare one, if there is any. Without a free one, or with
 * little space, it is not made now, and by nobody's fault.
 */
#include "build.h"

#include "path/path_priv.h"

/* Pages that are made before somebody needs them. */
#define AHEAD_MAX 16u

/* Row, function, where it runs; what it does. */
#define AHEAD_ROWS(X)							       \
	/* its place; missing pages are created */			       \
	X(A_FIND, ahead_find, ON_LOGICAL)				       \
	/* whatever became of it: the request is free */		       \
	X(A_DONE, ahead_done, ANYWHERE)

enum { AHEAD_ROWS(FLOW_ROW) };
AHEAD_ROWS(FLOW_FUNCTION)

#ifdef VDO_DEBUG
static const struct stage_rows ahead_stages[STAGES] = {
	[STAGE_LBN] = STAGE_NEVER,
	[STAGE_MAP] = {A_FIND, A_FIND},
	[STAGE_ALLOC] = STAGE_NEVER,
	[STAGE_COUNTS] = STAGE_NEVER,
	[STAGE_MIO] = STAGE_NEVER,
};

static void ahead_entered(struct flow *f, int row)
{
	request_check_stages(request_of(f), ahead_stages, row);
}
#endif

FLOW_TABLE_WATCHED(ahead_table, A_DONE, AHEAD_ROWS, ahead_entered);

static int ahead_find(struct flow *f)
{
	struct request *r = request_of(f);
	struct map_op *op = &r->map.op;

	if (unlikely(readonly_entered(r->path->config.readonly)))
		return A_DONE;
	flow_await(f, &op->done, A_DONE);
	op->lbn = r->what.lbn;
	op->allocate = true;
	op->alloc_zone = request_zone(r)->alloc_zone;
	return flow_over(f, &op->done,
			 map_find(r->path->config.map, r->zone, op));
}

static int ahead_done(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->owner && !r->active);
	request_recycle(r);
	return FLOW_END;
}

/* Have the leaf page of @lbn made. False: not now. The caller has a hold. */
static bool make(struct path *p, lbn_t lbn)
{
	struct front *front = p->config.front;
	struct request *r;
	uint32_t n;

	if (!front_hold_more(front)) {
		front_release(front);
		return false;
	}
	n = request_take_spare(p);
	if (n == FREELIST_NONE) {
		front_release(front);
		return false;
	}
	r = request_at(p, n);
	r->what = (struct io_block){
		.kind = IO_WRITE,
		.lbn = lbn,
		.part_length = BLOCK_SIZE,
	};
	VDO_CHECK(!r->owner && !r->member && !r->active);
	request_set_zone(r);
	flow_set_table(&r->flow, &ahead_table);
	flow_start(&r->flow);
	return true;
}

/* Is a quarter of the space free? Then some pages do not matter. */
static bool has_space(const struct path *p)
{
	struct depot_stats s;

	depot_get_stats(p->config.depot, &s);
	return s.allocated < s.data_blocks - s.data_blocks / 4;
}

void ahead_note(struct path *p, uint64_t leaf)
{
	struct ahead *a = &p->ahead;
	uint64_t last = atomic_load_explicit(&a->last, memory_order_relaxed);
	uint64_t from, to, run;

	/* Once more, or somewhat late, as zones are not in step. */
	if (last - leaf <= AHEAD_STEP)
		return;
	atomic_store_explicit(&a->last, leaf, memory_order_relaxed);
	if (leaf - last > AHEAD_STEP) {
		atomic_store_explicit(&a->run, 0, memory_order_relaxed);
		atomic_store_explicit(&a->made, 0, memory_order_relaxed);
		return;
	}
	run = atomic_load_explicit(&a->run, memory_order_relaxed) + 1;
	run = MIN(run, AHEAD_MAX);
	atomic_store_explicit(&a->run, run, memory_order_relaxed);
	from = atomic_load_explicit(&a->made, memory_order_relaxed);
	from = MAX(from, leaf + 1);
	to = MIN(leaf + 1 + run, map_leaf_count(p->config.map));
	if (from >= to || !has_space(p))
		return;
	while (from < to && make(p, from * MAP_PAGE_ENTRIES))
		from++;
	atomic_store_explicit(&a->made, from, memory_order_relaxed);
}
