/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges: discards and zeroes of many blocks.
 *
 * A call that covers two whole blocks or more is walked through leaf page by
 * leaf page; parts of blocks at its ends are ordinary writes. A step of the walk
 * is a request that follows the rows below: it looks for the next page, locks
 * what it is to change there, and makes the entries; the next step, with another
 * request, begins as soon as this one has its blocks. So the walk has one place
 * at a time, and entries are under way for many steps.
 *
 *	skip	A discard goes through the trees one after the other, as only
 *		a tree tells what it lacks; map_next() skips what does not
 *		exist at the highest page that says so. Zeroes are mapped, so
 *		they need every page, and take them in the order of blocks.
 *	look	The page is searched for slots that lead elsewhere than they
 *		are to (map_collect()). Without any the step goes on to the
 *		next page, RANGE_PAGES at most in one turn.
 *	change	All that was found gets entries side by side (a run), up to the
 *		end of a journal block; so do the slab journals, for each slab
 *		in the order of the entries, which are sorted by slab before.
 *
 * Locks: a step locks a range of blocks within one page, from its place up to the
 * first block that somebody else has. Who comes meanwhile waits for the range.
 * If the first block is busy already, this one goes the ordinary way: the step
 * turns into a write of one block, which waits in line for it. A step that meets
 * another range waits without a lock, and a step that has its range waits for
 * nobody's locks or requests, so there is no circle.
 *
 * Turns: a range makes as many entries as it finds requests free for, spare ones
 * first, its own among them (I40), and no more than its call got from the
 * front. Requests that are lent for entries are not run. They go back before the step ends, to who
 * waits first; each step has the call line up with the others. So others wait
 * no longer for a discard than for anybody else, and a volume is suspended in
 * the middle of one. If it is closed the walk ends with -ECANCELED before its
 * next step.
 *
 * A step that has its blocks cannot fail for lack of space. It counts for flushes
 * from there on, and its part is acknowledged, unless FUA: it then is when its
 * entries are durable. An error ends the call; some of it may be done.
 *
 * Memory: none but that of the requests. A step's is where its data would be,
 * that of counts where those of the lent ones would be.
 */
#include "build.h"

#include "path/write.h"

#include <errno.h>

#include <vdo/error.h>

/* Pages in which one step may find nothing. */
#define RANGE_PAGES 32u

/* Row, function, where it runs; what it does. */
#define RANGE_ROWS(X)							       \
	/* can be written to? */					       \
	X(V_BEGIN, range_begin, ON_LOGICAL)				       \
	/* the next leaf page */					       \
	X(V_FIND, range_find, ON_LOGICAL)				       \
	X(V_FOUND, range_found, ON_LOGICAL)				       \
	/* its blocks, up to one that is busy */			       \
	X(V_LOCK, range_lock, ON_LOGICAL)				       \
	/* slots that are to be changed; the next step begins */	       \
	X(V_LOOK, range_look, ON_LOGICAL)				       \
	X(V_LOOKED, range_looked, ON_LOGICAL)				       \
	/* entries, up to the end of a journal block */			       \
	X(V_JOURNAL, range_journal, ON_JOURNAL)				       \
	/* -1 for each old block, slab by slab */			       \
	X(V_COUNTS, range_counts, ON_JOURNAL)				       \
	/* the mappings are stored; more entries, if some are left */	       \
	X(V_MAP, range_map, ON_LOGICAL)					       \
	X(V_MAPPED, range_mapped, ON_LOGICAL)				       \
	/* locks and flush count go back, also after errors */		       \
	X(V_WAKE, range_wake, ON_LOGICAL)				       \
	/* FUA or failed: the callback; the requests are free */	       \
	X(V_DONE, range_done, ANYWHERE)

enum { RANGE_ROWS(FLOW_ROW) };
RANGE_ROWS(FLOW_FUNCTION)

#ifdef VDO_DEBUG
static const struct stage_rows range_stages[STAGES] = {
	[STAGE_LBN] = {V_LOCK, V_WAKE},
	[STAGE_MAP] = {V_FIND, V_MAPPED},
	[STAGE_ALLOC] = STAGE_NEVER,
	[STAGE_COUNTS] = {V_JOURNAL, V_MAP},
	[STAGE_MIO] = STAGE_NEVER,
};

static void range_entered(struct flow *f, int row)
{
	request_check_stages(request_of(f), range_stages, row);
}
#endif

FLOW_TABLE_WATCHED(range_table, V_WAKE, RANGE_ROWS, range_entered);

/* Old blocks of one slab, on their way to be counted down. */
struct range_count {
	struct refs_op op;
	struct completion go;
	struct request *request;
};

/* What a step knows, in the memory for its data. */
struct range {
	lbn_t first, end; /* of the call, whole blocks */
	unsigned pages;	  /* in which nothing was found */
	unsigned max;	  /* entries */
	unsigned count;	  /* changes */
	unsigned made;	  /* of these, by runs that are over */
	unsigned run;	  /* and by the one that is not */
	struct request *lent;
	struct range_count counts;
	struct journal_change changes[JOURNAL_ENTRIES_PER_BLOCK];
};

_Static_assert(sizeof(struct range) <= 2 * BLOCK_SIZE,
	       "a request has two blocks");
_Static_assert(sizeof(struct range_count) <= BLOCK_SIZE, "the same");

static struct range *range_of(struct request *r)
{
	VDO_CHECK(r->range && r->block == r->data + BLOCK_SIZE);
	return (struct range *)(void *)r->data;
}

/* ---------------------------------------------------------------- the walk */

void range_start(struct request *r, struct io *io, unsigned max)
{
	struct range *v = (struct range *)(void *)r->data;

	VDO_CHECK(range_suits(io) && max > 0);
	r->range = true;
	r->what = (struct io_block){
		.kind = io->kind,
		.flags = io->flags,
		.lbn = MAX(io->range_next, io->next / BLOCK_SIZE),
		.part_length = BLOCK_SIZE,
		.io = io,
	};
	r->new = (struct mapping){
		.pbn = ZERO_BLOCK,
		.state = io->kind == IO_DISCARD ? STATE_UNMAPPED
						: STATE_UNCOMPRESSED,
	};
	r->refused = false;
	v->first = io->next / BLOCK_SIZE;
	v->end = io->end / BLOCK_SIZE;
	v->pages = 0;
	v->max = MIN(max, JOURNAL_ENTRIES_PER_BLOCK);
	v->count = 0;
	v->lent = NULL;
	VDO_CHECK(r->blocks == 0 && !r->active);
	flow_set_table(&r->flow, &range_table);
	arrivals_put(r);
}

/*
 * The walk goes on at @next, by a step of its own. What is left for this one to
 * tell its call is nothing, or (@keep) its end.
 */
static void pass_on(struct request *r, lbn_t next, bool keep)
{
	const struct range *v = range_of(r);
	struct io *io = r->what.io;
	bool last = next == v->end && io->end % BLOCK_SIZE == 0;

	VDO_CHECK(next > v->first && next <= v->end);
	if (!keep)
		r->what.io = NULL;
	if (last) {
		if (!keep)
			io_end_block(io, 0);
		return;
	}
	if (keep)
		io_share(io);
	io->range_next = next;
	if (next == v->end)
		io->next = v->end * BLOCK_SIZE;
	front_again(io);
}

/* Where the walk goes on when all before @lbn, in this page, is done. */
static lbn_t after(struct request *r, lbn_t lbn)
{
	const struct range *v = range_of(r);

	VDO_CHECK(lbn > r->what.lbn && lbn <= v->end);
	if (lbn < v->end &&
	    (lbn % MAP_PAGE_ENTRIES != 0 || r->what.kind == IO_ZERO))
		return lbn;
	return r->what.kind == IO_ZERO
		       ? v->end
		       : map_walk_leaf(r->path->config.map, lbn - 1, v->first,
				       v->end);
}

/* Nothing is to be changed up to @next: look there, in this step or another. */
static int skip(struct request *r, lbn_t next)
{
	struct range *v = range_of(r);

	VDO_CHECK(r->blocks == 0 && v->count == 0);
	if (next == v->end || ++v->pages == RANGE_PAGES) {
		pass_on(r, next, false);
		return V_DONE;
	}
	r->what.lbn = next;
	request_set_zone(r);
	return V_FIND;
}

/* The block that the step is at goes the ordinary way. */
static int alone(struct request *r)
{
	VDO_CHECK(r->blocks == 0 && r->what.part_offset == 0);
	pass_on(r, after(r, r->what.lbn + 1), true);
	r->range = false;
	r->zero = true;
	write_start(r);
	return FLOW_END;
}

/* Is the walk to end here, which has begun? */
static bool is_closing(struct request *r)
{
	return r->what.lbn != range_of(r)->first &&
	       atomic_load_explicit(&r->path->closing, memory_order_relaxed);
}

static int range_begin(struct flow *f)
{
	struct request *r = request_of(f);

	if (unlikely(is_closing(r)))
		return flow_fail(f, -ECANCELED);
	if (unlikely(readonly_entered(r->path->config.readonly)))
		return flow_fail(f, -VDO_EREADONLY);
	return flow_next(f, path_lost_data(r->path), V_FIND);
}

static int range_find(struct flow *f)
{
	struct request *r = request_of(f);
	struct map *map = r->path->config.map;
	struct map_op *op = &r->map.op;

	flow_await(f, &op->done, V_FOUND);
	op->lbn = r->what.lbn;
	if (r->what.kind == IO_ZERO) {
		op->allocate = true;
		op->alloc_zone = request_zone(r)->alloc_zone;
		return flow_over(f, &op->done, map_find(map, r->zone, op));
	}
	op->end = range_of(r)->end;
	return flow_over(f, &op->done, map_next(map, r->zone, op));
}

static int range_found(struct flow *f)
{
	struct request *r = request_of(f);
	const struct range *v = range_of(r);

	if (r->map.op.page == ZERO_BLOCK)
		return skip(r, map_walk_tree(r->path->config.map, r->what.lbn,
					     v->first, v->end));
	r->what.lbn = r->map.op.lbn;
	return V_LOCK;
}

static int range_lock(struct flow *f)
{
	struct request *r = request_of(f);
	lbn_t leaf = r->what.lbn - r->map.op.slot;
	lbn_t end = MIN(leaf + MAP_PAGE_ENTRIES, range_of(r)->end);

	flow_park(f, V_LOCK);
	if (!lbn_lock_range(request_zone(r), r, end))
		return FLOW_WAIT;
	flow_unpark(f);
	return r->blocks > 0 ? V_LOOK : alone(r);
}

/* -------------------------------------------------------------- one page */

static int range_look(struct flow *f)
{
	struct request *r = request_of(f);
	struct range *v = range_of(r);
	struct map_op *op = &r->map.op;

	flow_await(f, &op->done, V_LOOKED);
	op->value = r->new;
	op->run = (struct map_run){
		.changes = v->changes,
		.count = v->max,
		.end = (uint16_t)(op->slot + r->blocks),
	};
	return flow_over(f, &op->done,
			 map_collect(r->path->config.map, r->zone, op));
}

/* Requests for all changes but one; without them there are fewer changes. */
static void borrow(struct request *r)
{
	struct path *p = r->path;
	struct range *v = range_of(r);
	unsigned n = 1;

	for (; n < v->count; n++) {
		uint32_t i = request_take_spare(p);
		struct request *lent;

		if (i == FREELIST_NONE)
			break;
		lent = request_at(p, i);
		lent->spare = v->lent;
		v->lent = lent;
	}
	v->count = n;
}

/* Sort changes by old blocks, and so by slab; mostly they are. */
static void sort(struct journal_change *c, unsigned n)
{
	static const unsigned gaps[] = {57, 23, 10, 4, 1};

	for (unsigned g = 0; g < ARRAY_SIZE(gaps); g++) {
		unsigned gap = gaps[g];

		for (unsigned i = gap; i < n; i++) {
			struct journal_change x = c[i];
			unsigned at = i;

			for (; at >= gap && c[at - gap].old.pbn > x.old.pbn;
			     at -= gap)
				c[at] = c[at - gap];
			c[at] = x;
		}
	}
}

static void count_blocks(struct request *r, unsigned n)
{
	struct path_counters *stats = &request_zone(r)->stats;

	counter_add(r->what.kind == IO_DISCARD ? &stats->discards
					       : &stats->zeroes, n);
	if (r->what.flags & VDO_IO_FUA)
		counter_add(&stats->fua, n);
}

/* No slot up to @end is to be changed, or there is a damaged one. */
static int nothing_found(struct request *r, lbn_t end)
{
	struct logical_zone *z = request_zone(r);
	bool damaged = end < r->what.lbn + r->blocks;
	unsigned n = (unsigned)(end - r->what.lbn);

	lbn_unlock_range(z, r);
	count_blocks(r, n);
	counter_add(&z->stats.fates[FATE_ZERO], n);
	if (!damaged)
		return skip(r, after(r, end));
	r->what.lbn = end;
	return alone(r);
}

static int range_looked(struct flow *f)
{
	struct request *r = request_of(f);
	struct range *v = range_of(r);
	unsigned slot = (unsigned)(r->what.lbn % MAP_PAGE_ENTRIES);
	unsigned end = r->map.op.slot;

	if (r->map.op.run.count == 0)
		return nothing_found(r, r->what.lbn + (end - slot));
	v->count = r->map.op.run.count;
	borrow(r);
	if (v->count < r->map.op.run.count)
		end = v->changes[v->count].slot;
	r->blocks = end - slot;
	v->made = 0;
	sort(v->changes, v->count);
	flush_enter(request_zone(r), r);
	count_blocks(r, r->blocks);
	pass_on(r, after(r, r->what.lbn + r->blocks),
		!write_acknowledges_early(r));
	return V_JOURNAL;
}

/* ---------------------------------------------------------------- changes */

static int range_journal(struct flow *f)
{
	struct request *r = request_of(f);
	struct range *v = range_of(r);
	struct journal *j = r->path->config.journal;
	struct journal_op *op = &r->counts.entry;

	VDO_CHECK(r->active && v->made < v->count);
	v->run = MIN(v->count - v->made, journal_room(j));
	flow_await(f, &op->done, V_COUNTS);
	op->entry.operation = JOURNAL_DATA;
	op->entry.page = r->map.op.page;
	op->entry.new_mapping = r->new;
	op->run = &v->changes[v->made];
	op->news = NULL;
	op->run_count = v->run;
	journal_append(j, op);
	return FLOW_WAIT;
}

static void decremented(struct completion *c)
{
	write_counted(container_of(c, struct range_count, op.done)->request,
		      c->result);
}

static void decrement(struct completion *c)
{
	struct range_count *n = container_of(c, struct range_count, go);

	if (depot_adjust(n->request->path->config.depot, &n->op))
		write_counted(n->request, n->op.done.result);
}

/* How many of the run's changes from @i on have old blocks in the same slab. */
static unsigned of_same_slab(struct request *r, unsigned i)
{
	const struct slab_geometry *g =
		depot_geometry(r->path->config.depot);
	const struct range *v = range_of(r);
	const struct journal_change *c = &v->changes[v->made];
	uint64_t slab = slab_of(g, c[i].old.pbn);
	unsigned n = 1;

	VDO_CHECK(is_data_block(g, c[i].old.pbn));
	while (i + n < v->run && slab_of(g, c[i + n].old.pbn) == slab)
		n++;
	return n;
}

/* Changes of the run that take no count down; they come first. */
static unsigned without_block(struct request *r)
{
	const struct range *v = range_of(r);
	unsigned n = 0;

	VDO_CHECK(v->run > 0);
	while (n < v->run && v->changes[v->made + n].old.pbn == ZERO_BLOCK)
		n++;
	return n;
}

static void send_counts(struct request *r, struct range_count *to, unsigned i,
			unsigned n)
{
	struct depot *depot = r->path->config.depot;
	const struct range *v = range_of(r);
	const struct journal_change *c = &v->changes[v->made + i];
	struct queue *q = depot_queue(depot, depot_zone_of(depot, c->old.pbn));

	VDO_CHECK(n > 0 && i + n <= v->run);
	to->request = r;
	completion_init(&to->op.done, q, decremented);
	to->op.kind = REFS_DECREMENT;
	to->op.pbn = c->old.pbn;
	to->op.point = r->counts.entry.point;
	to->op.point.entry += (uint16_t)i;
	to->op.more = c + 1;
	to->op.more_count = n - 1;
	to->op.news = NULL;
	completion_init(&to->go, q, decrement);
	completion_post(&to->go);
}

/*
 * As with single entries, this runs in the order of entries, and the zones get
 * what they are to count in that order (I11): no other entry is within a run.
 * There are as many requests as changes, so each slab has one.
 */
static int range_counts(struct flow *f)
{
	struct request *r = request_of(f);
	struct range *v = range_of(r);
	struct range_count *to = &v->counts;
	struct request *lent = v->lent;
	unsigned slabs = 0, run = v->run;
	unsigned i = without_block(r);
	unsigned n;

	for (unsigned k = i; k < run; k += of_same_slab(r, k))
		slabs++;
	atomic_store_explicit(&r->counts.failed, 0, memory_order_relaxed);
	atomic_store_explicit(&r->counts.pending, slabs, memory_order_relaxed);
	if (slabs == 0)
		return V_MAP;
	flow_park(f, V_MAP);
	while (slabs-- > 0) {
		/* After the last one the flow may be elsewhere. */
		n = of_same_slab(r, i);
		send_counts(r, to, i, n);
		i += n;
		if (slabs == 0)
			break;
		to = (struct range_count *)(void *)lent->data;
		lent = lent->spare;
	}
	return FLOW_WAIT;
}

static int range_map(struct flow *f)
{
	struct request *r = request_of(f);
	struct range *v = range_of(r);
	struct map_op *op = &r->map.op;
	int failed = atomic_load_explicit(&r->counts.failed,
					  memory_order_relaxed);

	/* As in write_map(). */
	if (unlikely(failed != 0))
		(void)flow_fail(f, failed);
	flow_await(f, &op->done, V_MAPPED);
	op->value = r->new;
	op->seq = r->counts.entry.point.seq;
	op->run.changes = &v->changes[v->made];
	op->run.count = v->run;
	return flow_over(f, &op->done,
			 map_put_run(r->path->config.map, r->zone, op));
}

static int range_mapped(struct flow *f)
{
	struct range *v = range_of(request_of(f));

	if (unlikely(f->result != 0))
		return flow_fail(f, f->result);
	v->made += v->run;
	VDO_CHECK(v->made <= v->count);
	return v->made < v->count ? V_JOURNAL : V_WAKE;
}

/* --------------------------------------------------------------- clean-up */

static int range_wake(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);
	unsigned blocks = r->blocks;

	if (blocks > 0)
		lbn_unlock_range(z, r);
	write_count_outcome(r, blocks);
	flush_leave(z, r);
	return V_DONE;
}

/* Lent requests come first: who waits is fed when our own one is free. */
static int range_done(struct flow *f)
{
	struct request *r = request_of(f);
	struct request *lent;

	VDO_CHECK(r->blocks == 0 && !r->active);
	while ((lent = range_of(r)->lent) != NULL) {
		range_of(r)->lent = lent->spare;
		request_free(lent);
	}
	r->range = false;
	request_acknowledge(r, r->flow.result);
	request_recycle(r);
	return FLOW_END;
}
