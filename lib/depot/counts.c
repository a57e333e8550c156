/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which slabs have their counts in memory.
 *
 *	                  [counts_load]   wanted  [scrubber]
 *	UNLOADED (clean) ------------------------------------> REBUILT
 *	   ^     (behind)    by allocation, a lock, or the        |
 *	   |         ^       journal that got long                |
 *	   |         | [counts_fall_behind]                       | [drop]
 *	   +---------+--------------------------------------------+
 *
 * A slab that was dropped is what a slab is after a crash: its journal takes
 * entries, and leads to the counts. So loading is scrubbing, for which nothing
 * has to be read of the journal if it got no entry meanwhile.
 *
 * To drop is no matter of a moment where counts are dirty. From then on no entry
 * changes them [leaving]; all is written, and then the memory is given back. A
 * slab that is wanted before that, and got no entry, just stays.
 *
 * A zone has its part of the budget. Beyond it the slab goes that was not used
 * since it was looked at the last time, from the longest in memory on: a list
 * that turns, and one store by each use. The budget is soft: slabs are not
 * dropped while the zone allocates from them, while one of their blocks is
 * locked, or while entries wait for room in the journal; and scrubbers wait only
 * for memory that is on its way back.
 *
 * Without memory nothing fails but who asks for blocks or locks of the slab.
 * Entries that wait for it go on when somebody gives memory back, or asks.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include "base/alloc.h"

/* ------------------------------------------------------------------ memory */

static int take_memory(struct slab *s)
{
	struct counts_memory *m = &s->zone->counts;

	VDO_ASSERT(list_empty(&s->in_memory));
	if (refs_init(s) != 0) {
		alloc_free(s->counts);
		alloc_free(s->blocks);
		s->counts = NULL;
		s->blocks = NULL;
		return -ENOMEM;
	}
	m->used++;
	list_push_back(&m->slabs, &s->in_memory);
	return 0;
}

static void trim(struct depot_zone *z, uint32_t budget);

int counts_alloc(struct slab *s)
{
	int r = take_memory(s);

	if (r != 0) {
		trim(s->zone, 0);
		r = take_memory(s);
	}
	return r;
}

void counts_free(struct slab *s)
{
	struct counts_memory *m = &s->zone->counts;

	VDO_ASSERT(m->used > 0 && waitq_empty(&s->dirty) && s->writing == 0);
	list_remove(&s->in_memory);
	alloc_free(s->counts);
	alloc_free(s->blocks);
	s->counts = NULL;
	s->blocks = NULL;
	m->used--;
	scrubber_unpark(s->zone);
	if (m->starved)
		counts_hurry(s->zone);
}

/* ---------------------------------------------------------------- dropping */

static bool may_drop(const struct slab *s)
{
	const struct slab_journal *sj = s->journal;

	VDO_ASSERT(s->counts != NULL && sj != NULL);
	/* Before its first entry there is nothing on disk to be loaded. */
	return s->state == SLAB_REBUILT && !s->open && s->locks == 0 &&
	       s->zone->reclaim.slab != s &&
	       !sj->blocked && waitq_empty(&sj->waiting) &&
	       (summary_get(s).load || sj->tail > 1 || sj->entries > 0);
}

static void drop(struct slab *s)
{
	struct counts_memory *m = &s->zone->counts;

	VDO_ASSERT(!s->behind && !s->leaving && s->exact);
	counter_inc(&s->zone->stats.slabs_dropped);
	s->state = SLAB_UNLOADED;
	s->journal->applied_end = s->journal->tail;
	/* Among equals those in memory come first. */
	prioq_remove(&s->zone->slabs, &s->node);
	alloc_enlist(s);
	if (waitq_empty(&s->dirty) && s->writing == 0) {
		counts_free(s);
		return;
	}
	list_remove(&s->in_memory);
	s->leaving = true;
	m->leaving++;
	refs_write_all(s);
}

void counts_written(struct slab *s)
{
	if (likely(!s->leaving) || !waitq_empty(&s->dirty) || s->writing != 0)
		return;
	VDO_ASSERT(s->zone->counts.leaving > 0);
	s->leaving = false;
	s->zone->counts.leaving--;
	counts_free(s);
	slabspace_wake(s->journal);
}

static void trim(struct depot_zone *z, uint32_t budget)
{
	struct counts_memory *m = &z->counts;
	/* Each is looked at twice, at most. */
	uint32_t looks = 2 * (m->used - m->leaving);

	VDO_ASSERT(m->leaving <= m->used);
	if (zone_read_only(z))
		return;
	while (m->used - m->leaving > budget && looks-- > 0) {
		struct slab *s = container_of(list_pop(&m->slabs), struct slab,
					      in_memory);

		list_push_back(&m->slabs, &s->in_memory);
		if (!may_drop(s))
			continue;
		if (s->recent)
			s->recent = false;
		else
			drop(s);
	}
}

void counts_trim(struct depot_zone *z)
{
	if (z->counts.used - z->counts.leaving > z->counts.budget)
		trim(z, z->counts.budget);
}

/* ----------------------------------------------------------------- loading */

void counts_set_exact(struct slab *s, bool exact)
{
	VDO_ASSERT(exact || s->state != SLAB_REBUILT || s->journal == NULL);
	if (s->exact == exact)
		return;
	s->exact = exact;
	counter_add(&s->zone->stats.slabs_estimated,
		    exact ? -UINT64_C(1) : UINT64_C(1));
}

void counts_fall_behind(struct slab *s)
{
	VDO_ASSERT(s->state == SLAB_UNLOADED && s->locks == 0);
	if (s->behind)
		return;
	s->behind = true;
	counter_inc(&s->zone->stats.slabs_behind);
	counts_set_exact(s, false);
	if (!s->loading)
		alloc_reorder(s);
	fill_freed(s->zone); /* some of it may be, so an allocation loads it */
}

/* What leaves is still complete: it stays. */
static void stay(struct slab *s)
{
	struct counts_memory *m = &s->zone->counts;

	VDO_ASSERT(s->leaving && !s->behind && m->leaving > 0);
	s->leaving = false;
	m->leaving--;
	list_push_back(&m->slabs, &s->in_memory);
	s->state = SLAB_REBUILT;
	s->recent = true;
	/* The memory that they waited for does not come back. */
	scrubber_unpark(s->zone);
}

static bool may_load(const struct depot_zone *z)
{
	return z->scrub != NULL && !zone_read_only(z) &&
	       (!z->draining || z->depot->drain == DRAIN_EVERYTHING);
}

enum counts_answer counts_load(struct slab *s)
{
	struct depot_zone *z = s->zone;

	if (s->loading) {
		if (!scrubber_runs(z))
			counts_hurry(z);
		return scrubber_runs(z) ? COUNTS_COMING : COUNTS_NEVER;
	}
	VDO_ASSERT(s->state == SLAB_UNLOADED && !s->open);
	if (s->leaving && !s->behind) {
		stay(s);
		return COUNTS_READY;
	}
	if (!may_load(z))
		return COUNTS_NEVER;
	prioq_remove(&z->slabs, &s->node);
	list_push_back(&z->counts.wanted, &s->node.link);
	s->loading = true;
	s->promising = s->free_count > 0 || !s->exact;
	z->counts.promising += s->promising;
	scrubber_kick(z);
	return scrubber_runs(z) ? COUNTS_COMING : COUNTS_NEVER;
}

void counts_hurry(struct depot_zone *z)
{
	z->counts.starved = false;
	if (may_load(z) &&
	    (!list_empty(&z->counts.wanted) || z->unscrubbed.used != 0))
		scrubber_kick(z);
}

bool counts_catch_up(struct depot_zone *z)
{
	bool any = false;

	if (z->counts.starved || counter_get(&z->stats.slabs_behind) == 0)
		return false;
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		any |= s->behind && counts_load(s) == COUNTS_COMING;
	counts_hurry(z);
	return any;
}

void counts_loaded(struct slab *s, int failed)
{
	struct depot_zone *z = s->zone;

	VDO_ASSERT(s->loading);
	VDO_ASSERT(s->state == (failed != 0 ? SLAB_UNLOADED : SLAB_REBUILT));
	s->loading = false;
	z->counts.promising -= s->promising;
	s->promising = false;
	s->recent = true;
	if (failed == 0) {
		counter_inc(&z->stats.slabs_loaded);
		if (s->behind)
			counter_add(&z->stats.slabs_behind, -UINT64_C(1));
		s->behind = false;
	}
	if (failed != 0)
		alloc_enlist(s);
	else
		alloc_enlist_loaded(s);
	pbnlock_answer(s);
}
