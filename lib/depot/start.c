/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before service: the counts of the slabs in use (loader.c). When a zone has
 * come to rest all its slabs are ready, and one more sync makes sure that no
 * journal block is reused while the disk still calls a slab dirty.
 */
#include "build.h"

#include "depot/load.h"

#include "base/error.h"

/* Row, function, where it runs; what it does. */
#define START_ROWS(X)                                             \
	/* the counts; journals that are ahead of these */        \
	X(S_COUNTS, start_counts, ON_PHYSICAL)                    \
	/* what may be opened; wait for writes that were begun */ \
	X(S_ENLIST, start_enlist, ON_PHYSICAL)                    \
	/* what was written is durable */                         \
	X(S_SYNC, start_sync, ON_PHYSICAL)                        \
	/* the depot starts in one zone less */                   \
	X(S_END, start_end, ON_PHYSICAL)

enum { START_ROWS(FLOW_ROW) };
START_ROWS(FLOW_FUNCTION)
FLOW_TABLE(start_table, S_END, START_ROWS);

static void start_zone(struct completion *c)
{
	zone_load_begin(zone_of_part(c), &start_table);
}

void depot_start(struct depot *d, struct completion *done)
{
	VDO_ASSERT(d->done == NULL && d->load == NULL);
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, start_zone,
		     done);
}

static int start_counts(struct flow *f)
{
	return loaders_counts(zone_load_of(f), S_ENLIST);
}

static int enlist_all(struct depot_zone *z)
{
	int r;

	VDO_ASSERT(z->open == NULL && z->slabs.used == 0);
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		alloc_enlist(s);
	r = alloc_prepare(z);
	/* There may be space when it is needed. */
	return error_is_no_space(r) ? 0 : r;
}

static void zone_settled(struct depot_zone *z)
{
	VDO_ASSERT(z->load != NULL && z->pending == 0);
	z->idle = NULL;
	flow_go(&z->load->flow);
}

static int start_enlist(struct flow *f)
{
	struct zone_load *load = zone_load_of(f);
	struct depot_zone *z = load->zone;
	int r = f->result == 0 ? enlist_all(z) : 0;

	if (r != 0)
		(void)flow_fail(f, r); /* what was begun ends first */
	loaders_fini(load);
	flow_park(f, S_SYNC);
	z->idle = zone_settled;
	zone_enter(z);
	zone_leave(z);
	return FLOW_WAIT;
}

static int start_sync(struct flow *f)
{
	struct depot_zone *z = zone_load_of(f)->zone;

	VDO_ASSERT(z->pending == 0);
	if (f->result != 0)
		return S_END;
	if (zone_read_only(z))
		return flow_fail(f, readonly_reason(z->depot->readonly));
	flow_await(f, &z->sync.done, S_END);
	sync_request(z->depot->sync, &z->sync);
	return FLOW_WAIT;
}

static int start_end(struct flow *f)
{
	return zone_load_end(zone_load_of(f));
}
