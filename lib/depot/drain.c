/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From memory to disk. Scrubbers stop at first, between slabs; but what was
 * dropped and lacks entries is loaded, to be written.
 *
 * Each time the zone has come to rest the next thing that is left to do is
 * started, until nothing is:
 *
 *	1. tails of slab journals that have entries
 *	2. slabs whose counts were dropped, and got entries
 *	3. free blocks, to the storage (reclaim.c)
 *	4. dirty reference counts
 *	5. summary entries that say dirty although their counts are written
 *
 * "At rest" means that the zone's count of everything under way is zero, so the
 * order in which writes come back does not matter (E trap 16). In this order
 * the dirty flags end clean.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <vdo/error.h>

static bool commit_tails(struct depot_zone *z)
{
	bool any = false;

	VDO_ASSERT(z->depot->drain >= DRAIN_TAILS);
	list_for_each_safe (n, &z->open_tails) {
		slabjournal_commit(list_entry(n, struct slab_journal, by_held));
		any = true;
	}
	return any;
}

/* Write the counts of all slabs but those that are not yet scrubbed. */
static bool write_counts(struct depot_zone *z)
{
	bool any = false;

	VDO_ASSERT(list_empty(&z->open_tails));
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s)) {
		if (s->journal == NULL || s->state != SLAB_REBUILT ||
		    waitq_empty(&s->dirty))
			continue;
		refs_write_all(s);
		any = true;
	}
	return any;
}

static void clean_summary(struct depot_zone *z)
{
	VDO_ASSERT(list_empty(&z->open_tails));
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		if (s->journal != NULL && s->state <= SLAB_UNLOADED &&
		    !s->behind && summary_get(s).dirty)
			refs_check_clean(s);
}

/* Start what is to be written next, if anything is. */
static void write_more(struct depot_zone *z)
{
	enum drain_kind kind = z->depot->drain;

	if (kind == DRAIN_NOTHING || zone_read_only(z))
		return;
	if (commit_tails(z) || kind == DRAIN_TAILS)
		return;
	if (counts_catch_up(z) || reclaim_rest(z))
		return;
	if (!write_counts(z))
		clean_summary(z);
}

/* Their journals have all entries: what lacks these is the counts. */
static void end_replay(struct depot_zone *z)
{
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		if (s->state == SLAB_REPLAYING)
			s->state = SLAB_REQUIRES_SCRUBBING;
}

static void drain_step(struct depot_zone *z)
{
	enum drain_kind kind = z->depot->drain;

	/* The handlers of these messages come back here. */
	if (atomic_load_explicit(&z->commit_posted, memory_order_acquire) ||
	    atomic_load_explicit(&z->reclaim.posted, memory_order_acquire) ||
	    atomic_load_explicit(&z->fill_asked, memory_order_acquire))
		return;
	z->pending++; /* nothing that ends at once shall call us */
	write_more(z);
	if (--z->pending > 0)
		return;
	z->idle = NULL;
	VDO_CHECK(depot_zone_sane(z));
	if (kind == DRAIN_TAILS && !zone_read_only(z))
		end_replay(z);
	fanout_part_done(zone_part(z),
			 kind != DRAIN_NOTHING && zone_read_only(z)
				 ? -VDO_EREADONLY
				 : 0);
}

static void zone_drain(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);

	VDO_ASSERT(z->idle == NULL);
	z->draining = true;
	z->counts.starved = false;
	z->reclaim.rested = false;
	z->idle = drain_step;
	zone_enter(z);
	zone_leave(z);
}

void drain_start(struct depot *d, enum drain_kind kind,
		 struct completion *done)
{
	d->drain = kind;
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, zone_drain,
		     done);
}

void depot_drain(struct depot *d, bool save, struct completion *done)
{
	VDO_ASSERT(d->done == NULL);
	drain_start(d, save ? DRAIN_EVERYTHING : DRAIN_NOTHING, done);
}
