/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Service begins, and goes on after a drain: slabs are enlisted for what is to
 * come, allocation or scrubbing. After a volume was closed in good order all
 * slabs are scrubbed first, which is mostly reading their counts; otherwise that
 * goes on in the background. If there are too many for that, those that are clean
 * are left on disk until they are needed (counts.c).
 *
 * After a crash a slab journal takes what was waiting for it, in blocks beyond the
 * blocking threshold, and ends with a block that may be nearly empty. If another
 * crash came before it was reaped, it might have no room for what waits by then.
 * So a journal that is longer than the threshold is written off before anything
 * can wait. It takes several crashes in a row, or a ring of a few blocks.
 */
#include "build.h"

#include "depot/load.h"

#include "base/error.h"

/* Slabs with a journal that is clean come first among equals: they are sooner
 * ready. */
static void enlist_all(struct depot_zone *z)
{
	VDO_ASSERT(z->open == NULL && z->slabs.used == 0);
	for (unsigned dirty = 0; dirty < 2; dirty++)
		for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
		     s = depot_next_slab(z, s)) {
			if (summary_get(s).dirty != (dirty > 0))
				continue;
			if (s->state != SLAB_REBUILT && loaders_may_wait(s))
				s->state = SLAB_UNLOADED;
			if (s->state <= SLAB_UNLOADED)
				alloc_enlist(s);
			else
				scrubber_put(s);
		}
}

static bool has_long_journal(const struct depot_zone *z)
{
	uint64_t most = z->depot->slab.blocking_threshold;

	VDO_ASSERT(most > 0);
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		if (s->journal != NULL &&
		    s->journal->tail - s->journal->head > most)
			return true;
	return false;
}

/* With so many slabs, can there be more counts than are kept? Then they are loaded again, without
 * memory that could be missing. */
bool depot_may_drop(const struct depot_zone *z, uint64_t slab_count)
{
	const struct depot *d = z->depot;

	VDO_ASSERT(d->zone_count > 0);
	return !d->preload ||
	       div_up(slab_count, d->zone_count) > z->counts.budget;
}

static void start_zone(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);
	bool await;
	int r;

	VDO_ASSERT(z->load == NULL && z->idle == NULL);
	z->draining = false;
	z->tight = has_long_journal(z);
	await = z->depot->origin == DEPOT_SAVED || z->tight;
	enlist_all(z);
	r = depot_may_drop(z, z->depot->geo.slab_count) ? scrubber_create(z) : 0;
	if (r == 0)
		r = alloc_prepare(z);
	/* There may be space when it is needed. */
	if (error_is_no_space(r))
		r = 0;
	if (r == 0 && zone_read_only(z))
		r = readonly_reason(z->depot->readonly);
	if (r == 0)
		r = scrubber_start(z, await);
	if (r != 0 || !await || !scrubber_runs(z))
		fanout_part_done(zone_part(z), r);
}

void depot_start(struct depot *d, struct completion *done)
{
	VDO_ASSERT(d->done == NULL && d->load == NULL);
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, start_zone,
		     done);
}

bool depot_is_tight(const struct depot *d)
{
	VDO_ASSERT(d->done == NULL && d->zone_count > 0);
	for (unsigned i = 0; i < d->zone_count; i++)
		if (d->zones[i].tight)
			return true;
	return false;
}

static void resume_zone(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);

	z->draining = false;
	fanout_part_done(zone_part(z), scrubber_start(z, false));
}

void depot_resume(struct depot *d, struct completion *done)
{
	VDO_ASSERT(d->done == NULL && d->load == NULL);
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, resume_zone,
		     done);
}

bool depot_unscrubbed(const struct depot *d)
{
	for (unsigned i = 0; i < d->zone_count; i++)
		if (counter_get(&d->zones[i].stats.slabs_unscrubbed) > 0 ||
		    counter_get(&d->zones[i].stats.slabs_behind) > 0)
			return true;
	return false;
}
