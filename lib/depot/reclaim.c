/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving free blocks back to the storage while the volume is open (option reclaim).
 *
 *	in use --[the last count, reclaim_note]--> noted --[find, claim]--> given
 *	   ^                                         |                        |
 *	   +---------------[allocation]--------------+--- free <--[given]-----+
 *
 * Which blocks. A count becomes 0 only after the entry that takes the last
 * reference away is durable (D2), and from then on allocation may write over the
 * block; so it may lose its content as well (D17). While the storage does that,
 * the block is claimed as an allocation would (count 255, without a lock), so it
 * has no owner before that is over. Allocation that finds nothing else waits for it
 * (alloc.c).
 *
 * What was freed is noted in a byte for each group of 64 blocks, which a slab gets
 * when its first block is freed: how many since a pass looked there, and whether
 * something is left that no pass took. It stays where it is when the counts are dropped
 * (counts.c): what was freed before goes back with what is freed next, or at the
 * end, for which the slab is loaded once more. Without memory for it nothing of the
 * slab goes back. Storage that was set aside for pages (alloc.c), and is not used in
 * the end, is noted as well.
 *
 * A pass begins when FREED_BLOCKS less are in use in the zone than there were at most
 * since the last one began, or when the user flushes and it is FLUSHED_BLOCKS; the
 * flush does not wait for it. What is overwritten in a steady state begins none, as the
 * next writes take what was freed: a pass for each 64 MiB that were freed made random
 * overwriting of a file slower by a third. A pass takes free blocks
 * side by side, RUN_MIN at least, with those of the groups beside them: a hole of a
 * few blocks costs the file more than it gains. At the end, when the volume is
 * closed or suspended, it takes what is left, of any length; but only SHORT_MAX
 * operations are about short ones, so that this ends.
 *
 * An operation at a time: the storage has other work. If one fails there are no
 * more; nothing else is wrong.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

#define GROUP	       RECLAIM_GROUP
#define RUN_MAX	       4096u  /* 16 MiB */
#define RUN_MIN	       32u    /* while there is other work */
#define FREED_BLOCKS   16384u /* 64 MiB, net */
#define FLUSHED_BLOCKS 256u   /* 1 MiB */
#define SHORT_MAX      4096u

/* Row, function, where it runs; what it does. */
#define RECLAIM_ROWS(X)                                          \
	/* the next slab of which something was freed */         \
	X(G_TAKE, reclaim_take, ON_PHYSICAL)                     \
	/* the next free blocks side by side are claimed, and    \
	 * given back */                                         \
	X(G_FIND, reclaim_find, ON_PHYSICAL)                     \
	/* they are free again; who waits for a block goes on */ \
	X(G_GIVEN, reclaim_given, ON_PHYSICAL)                   \
	/* no slab is left, or it is to stop */                  \
	X(G_END, reclaim_end, ON_PHYSICAL)

enum { ON_PHYSICAL = ANYWHERE + 1 };

enum { RECLAIM_ROWS(FLOW_ROW) };
RECLAIM_ROWS(FLOW_FUNCTION)
FLOW_TABLE(reclaim_table, G_END, RECLAIM_ROWS);

static struct depot_zone *zone_of(struct flow *f)
{
	struct depot_zone *z =
		container_of(f, struct depot_zone, reclaim.flow);

	VDO_ASSERT(queue_is_current(z->queue) && z->reclaim.runs);
	return z;
}

/* ------------------------------------------------------- what was freed */

static uint64_t group_count(const struct depot *d)
{
	return div_up(d->geo.data_blocks, GROUP);
}

uint64_t reclaim_bytes(const struct depot *d)
{
	return d->reclaim == RECLAIM_OFF ? 0
					 : alloc_bytes(16, group_count(d), 1);
}

bool reclaim_begin(struct slab *s)
{
	VDO_ASSERT(s->freed == NULL);
	s->freed = alloc_zeroed(group_count(s->zone->depot), 1);
	return s->freed != NULL;
}

void reclaim_choose(struct depot *d, const struct depot_config *c)
{
	uint32_t asked = c->reclaim_blocks;

	VDO_ASSERT(c->reclaim == RECLAIM_OFF || d->storage != NULL);
	d->reclaim = c->reclaim;
	atomic_init(&d->reclaiming, false);
	d->reclaim_least.freed = asked != 0 ? asked : FREED_BLOCKS;
	d->reclaim_least.flushed = asked != 0 ? asked : FLUSHED_BLOCKS;
	d->reclaim_least.run = asked != 0 ? MIN(asked, RUN_MIN) : RUN_MIN;
}

void reclaim_leave(struct slab *s, uint32_t offset, uint32_t n)
{
	VDO_ASSERT(n > 0 && offset + n <= s->zone->depot->geo.data_blocks);
	if (s->zone->depot->reclaim == RECLAIM_OFF ||
	    (s->freed == NULL && !reclaim_begin(s)))
		return;
	for (uint32_t g = offset / GROUP; g * GROUP < offset + n; g++)
		s->freed[g] |= RECLAIM_LEFT;
}

/* May something be given back from now on? */
static bool may_run(const struct depot_zone *z)
{
	const struct depot *d = z->depot;

	return d->reclaim != RECLAIM_OFF && !zone_read_only(z) &&
	       atomic_load_explicit(&d->reclaiming, memory_order_relaxed);
}

static void start(struct depot_zone *z, bool all, unsigned least)
{
	struct zone_reclaim *r = &z->reclaim;

	VDO_ASSERT(!r->runs && r->count == 0);
	r->runs = true;
	r->all = all;
	r->least = least;
	r->hurry = false;
	r->slab = NULL;
	r->shorts = SHORT_MAX;
	counter_set(&r->most, counter_get(&z->stats.allocated));
	list_splice(&r->slabs, &r->fresh);
	zone_enter(z);
	flow_start(&r->flow);
}

/* So many blocks less are in use in the zone than there were. */
static uint64_t drop_of(const struct depot_zone *z)
{
	uint64_t used = counter_get(&z->stats.allocated);
	uint64_t most = counter_get(&z->reclaim.most);

	return most - MIN(used, most);
}

static void start_if_due(struct depot_zone *z)
{
	struct zone_reclaim *r = &z->reclaim;

	if (r->runs || z->draining || z->depot->reclaim != RECLAIM_ON ||
	    !may_run(z))
		return;
	if (r->hurry)
		start(z, false, 1);
	else if (drop_of(z) >= z->depot->reclaim_least.freed)
		/* Half of a run that goes back lies in one group. */
		start(z, false, MAX(z->depot->reclaim_least.run / 2, 1));
}

void reclaim_freed(struct slab *s)
{
	struct zone_reclaim *r = &s->zone->reclaim;
	uint64_t used = counter_get(&s->zone->stats.allocated);

	if (list_empty(&s->freed_link))
		list_push_back(&r->fresh, &s->freed_link);
	/* It is about to fall, so this is where it is seen at its highest. */
	if (used > counter_get(&r->most))
		counter_set(&r->most, used);
	else if (unlikely(drop_of(s->zone) >=
			  s->zone->depot->reclaim_least.freed))
		start_if_due(s->zone);
}

static void flushed(struct completion *c)
{
	struct depot_zone *z =
		container_of(c, struct depot_zone, reclaim.flushed);

	VDO_ASSERT(queue_is_current(z->queue));
	zone_enter(z);
	atomic_store(&z->reclaim.posted, false);
	z->reclaim.hurry = true;
	start_if_due(z);
	zone_leave(z);
}

void depot_flushed(struct depot *d)
{
	if (d->reclaim != RECLAIM_ON)
		return;
	for (unsigned i = 0; i < d->zone_count; i++) {
		struct depot_zone *z = &d->zones[i];

		if (drop_of(z) >= d->reclaim_least.flushed &&
		    !atomic_exchange(&z->reclaim.posted, true))
			completion_post(&z->reclaim.flushed);
	}
}

void depot_reclaim(struct depot *d)
{
	atomic_store_explicit(&d->reclaiming, true, memory_order_relaxed);
}

void reclaim_init(struct depot_zone *z)
{
	struct zone_reclaim *r = &z->reclaim;

	VDO_ASSERT(z->queue != NULL);
	list_init(&r->fresh);
	list_init(&r->slabs);
	flow_init(&r->flow, &reclaim_table);
	r->flow.queues[ON_PHYSICAL] = z->queue;
	completion_init(&r->flushed, z->queue, flushed);
	atomic_init(&r->posted, false);
}

bool reclaim_rest(struct depot_zone *z)
{
	VDO_ASSERT(!z->reclaim.runs && z->draining);
	if (z->reclaim.rested || !may_run(z))
		return false;
	z->reclaim.rested = true;
	start(z, true, 1);
	return true;
}

/* ----------------------------------------------------------------- one slab */

static bool must_stop(const struct depot_zone *z)
{
	return !may_run(z) || (z->draining && !z->reclaim.all);
}

/* The next slab; at the end that is each of which something is noted. */
static struct slab *next_slab(struct depot_zone *z)
{
	struct zone_reclaim *r = &z->reclaim;
	struct slab *s;

	if (!r->all) {
		struct list_node *n = list_pop(&r->slabs);

		return n != NULL ? list_entry(n, struct slab, freed_link)
				 : NULL;
	}
	s = depot_next_slab(z, r->slab);
	while (s != NULL && s->freed == NULL)
		s = depot_next_slab(z, s);
	return s;
}

static bool is_due(const struct zone_reclaim *r, uint8_t group)
{
	return r->all ? group != 0 : (group & RECLAIM_FRESH) >= r->least;
}

static bool has_due(const struct zone_reclaim *r)
{
	uint64_t groups = group_count(r->slab->zone->depot);

	for (uint64_t g = 0; g < groups; g++)
		if (is_due(r, r->slab->freed[g]))
			return true;
	return false;
}

static int reclaim_take(struct flow *f)
{
	struct depot_zone *z = zone_of(f);
	struct zone_reclaim *r = &z->reclaim;
	struct slab *s;

	if (must_stop(z))
		return G_END;
	s = r->slab = next_slab(z);
	if (s == NULL)
		return G_END;
	r->at = 0;
	r->group = UINT32_MAX;
	r->end = 0;
	if (s->state == SLAB_REBUILT || !r->all || !has_due(r))
		return G_FIND;
	/* Its counts were dropped. */
	r->ask.pbn = s->start;
	flow_await_any(f, &r->ask.done, G_FIND);
	return flow_over_any(f, depot_count(z->depot, z->number, &r->ask));
}

/* ------------------------------------------------------------- free blocks */

static uint32_t free_end(const struct slab *s, uint32_t at, uint32_t end)
{
	while (at < end && s->counts[at] == 0)
		at++;
	return at;
}

/* The first free block of the group from @at on, or its end. If a block is seen
 * that may get free without being noted, the group is looked at again. */
static uint32_t free_begin(struct slab *s, uint32_t at, uint32_t end)
{
	for (; at < end && s->counts[at] != 0; at++)
		if (s->counts[at] == COUNT_PROVISIONAL)
			s->freed[at / GROUP] |= RECLAIM_LEFT;
	return at;
}

/* The end of the free blocks at @at: as far as groups were noted, and one more. */
static uint32_t run_end(const struct slab *s, uint32_t at, uint32_t limit)
{
	bool noted = true;

	while (at < limit && noted) {
		uint32_t end = MIN((at / GROUP + 1) * GROUP, limit);

		at = free_end(s, at, end);
		if (at < end)
			break;
		noted = at < limit && s->freed[at / GROUP] != 0;
		if (!noted)
			at = free_end(s, at, MIN(at + GROUP, limit));
	}
	return at;
}

/* The begin of the free blocks before @at: in the group before, at most. */
static uint32_t run_begin(const struct zone_reclaim *r, uint32_t at)
{
	uint32_t least = MAX(r->end, at - MIN(at, GROUP));

	while (at > least && r->slab->counts[at - 1] == 0)
		at--;
	return at;
}

/* Blocks @begin to @end go back, if they are worth it. */
static bool take_run(struct zone_reclaim *r, uint32_t begin, uint32_t end)
{
	struct slab *s = r->slab;
	uint32_t blocks = (uint32_t)s->zone->depot->geo.data_blocks;

	VDO_ASSERT(begin < end && end - begin <= RUN_MAX + GROUP);
	if (end - begin < s->zone->depot->reclaim_least.run) {
		if (!r->all || r->shorts == 0)
			return false;
		r->shorts--;
	}
	for (uint32_t g = r->group + 1;
	     g * GROUP < end && MIN((g + 1) * GROUP, blocks) <= end; g++)
		s->freed[g] = 0;
	r->start = begin;
	r->count = end - begin;
	r->at = end;
	r->end = end;
	return true;
}

/* Find the next run from r->at on: r->start, r->count. False: there is none. */
static bool find_run(struct zone_reclaim *r)
{
	struct slab *s = r->slab;
	uint32_t blocks = (uint32_t)s->zone->depot->geo.data_blocks;

	VDO_ASSERT(r->count == 0 && s->state == SLAB_REBUILT);
	while (r->at < blocks) {
		uint32_t g = r->at / GROUP;
		uint32_t group_end = MIN((g + 1) * GROUP, blocks);
		uint32_t begin, end;

		if (g != r->group) {
			if (!is_due(r, s->freed[g])) {
				r->at = group_end;
				continue;
			}
			r->group = g;
			s->freed[g] = 0; /* from now on it is noted anew */
		}
		begin = free_begin(s, r->at, group_end);
		r->at = begin;
		if (begin == group_end)
			continue;
		end = run_end(s, begin, MIN(begin + RUN_MAX, blocks));
		if (begin == g * GROUP && !r->all)
			begin = run_begin(r, begin);
		if (take_run(r, begin, end))
			return true;
		s->freed[g] |= RECLAIM_LEFT;
		r->at = MIN(end, group_end);
	}
	return false;
}

/* What is noted and was not due is for the next pass. */
static int leave_slab(struct zone_reclaim *r)
{
	struct slab *s = r->slab;
	uint64_t groups = group_count(s->zone->depot);
	bool fresh = false;

	for (uint64_t g = 0; g < groups && !fresh && r->least > 1; g++)
		fresh = (s->freed[g] & RECLAIM_FRESH) != 0;
	if (fresh && list_empty(&s->freed_link))
		list_push_back(&s->zone->reclaim.fresh, &s->freed_link);
	return flow_turn(&r->flow, G_TAKE);
}

static int reclaim_find(struct flow *f)
{
	struct depot_zone *z = zone_of(f);
	struct zone_reclaim *r = &z->reclaim;
	struct slab *s = r->slab;

	if (must_stop(z))
		return G_END;
	if (s->state != SLAB_REBUILT || !find_run(r))
		return leave_slab(r);
	refs_claim_run(s, r->start, r->count);
	flow_await_any(f, &r->mio.done, G_GIVEN);
	mio_discard(&r->mio, z->depot->storage, s->start + r->start, r->count);
	return FLOW_WAIT;
}

/* Pages that come there need storage anew. */
static void forget_reserved(struct slab *s, uint32_t start, uint32_t end)
{
	if (start < s->reserved_end && s->reserved < end)
		s->reserved = s->reserved_end = 0;
}

/* There are no more, in any zone. */
static void give_up(struct depot_zone *z, int result)
{
	struct depot *d = z->depot;

	counter_inc(&z->stats.reclaim_failed);
	if (result == -VDO_EREADONLY || !atomic_exchange(&d->reclaiming, false))
		return;
	if (result == -EOPNOTSUPP)
		log_info(d->log, "depot: the storage gives no space back");
	else
		log_warning(d->log,
			    "depot: free blocks were not given back, and no more "
			    "will be until the volume is opened anew, zone=%u "
			    "result=%d",
			    z->number, result);
}

static int reclaim_given(struct flow *f)
{
	struct depot_zone *z = zone_of(f);
	struct zone_reclaim *r = &z->reclaim;
	uint32_t count = r->count;
	int result = r->mio.done.result;

	VDO_ASSERT(count > 0);
	forget_reserved(r->slab, r->start, r->start + count);
	refs_unclaim_run(r->slab, r->start, count);
	r->count = 0;
	counter_inc(&z->stats.reclaim_operations);
	if (result == 0)
		counter_add(&z->stats.reclaimed, count);
	else
		give_up(z, result);
	alloc_scrubbed(z, 0);
	return G_FIND;
}

static int reclaim_end(struct flow *f)
{
	struct depot_zone *z = zone_of(f);
	struct zone_reclaim *r = &z->reclaim;

	VDO_ASSERT(r->count == 0);
	r->runs = false;
	r->slab = NULL;
	start_if_due(z);
	if (!z->draining)
		counts_trim(z); /* its slab was kept in memory */
	zone_leave(z);
	return FLOW_END;
}
