/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full the depot is, for whoever wants to hear of it.
 *
 * The owner of the depot sets two bounds. A zone adds the blocks of all zones up
 * now and then, as its own count passes multiples of a power of two, which is about
 * a thousandth of the zone and 64 at most, and as a slab becomes full. What is not
 * within the bounds is told by a message to the owner's queue, one of each zone at a
 * time, which comes back: so a drain waits for it. The same message says that
 * something became free, while somebody waits for that.
 *
 *	zone [fill_look]  -->  owner [cross]  -->  zone [returned], looks again
 *
 * A zone changes its count and then reads those of others, and the bounds; who sets
 * bounds does that first, and then reads the counts. There is a fence between in both,
 * so of several that pass a bound together one sees it.
 */
#include "build.h"

#include "depot/depot_priv.h"

#define FILL_STEP 64u

void fill_init(struct depot_zone *z)
{
	const struct depot *d = z->depot;
	uint64_t part = d->geo.slab_count * d->geo.data_blocks /
			d->zone_count / 1024;

	VDO_ASSERT(d->zone_count > 0);
	z->fill_mask = part == 0 ? 0
				 : (UINT64_C(1) << log2_floor(MIN(part, FILL_STEP))) - 1;
	atomic_init(&z->fill_asked, false);
}

uint64_t depot_used(const struct depot *d)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < d->zone_count; i++)
		used += counter_get(&d->zones[i].stats.allocated);
	return used;
}

uint64_t depot_size(const struct depot *d)
{
	return d->geo.slab_count * d->geo.data_blocks;
}

void depot_set_bounds(struct depot *d, uint64_t low, uint64_t high)
{
	atomic_store_explicit(&d->fill_low, low, memory_order_relaxed);
	atomic_store_explicit(&d->fill_high, high, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

bool depot_out_of_bounds(const struct depot *d)
{
	uint64_t used;

	atomic_thread_fence(memory_order_seq_cst);
	used = depot_used(d);
	return used < atomic_load_explicit(&d->fill_low, memory_order_relaxed) ||
	       used >= atomic_load_explicit(&d->fill_high, memory_order_relaxed);
}

void depot_want_free(struct depot *d, bool on)
{
	atomic_store(&d->want_free, on);
}

static void returned(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, fill_go);

	VDO_ASSERT(z->fill_posted);
	z->fill_posted = false;
	if (z->fill_more)
		fill_tell_free(z);
	else
		fill_look(z);
	zone_leave(z);
}

static void cross(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, fill_go);
	const struct depot *d = z->depot;

	if (!d->fill.told(d->fill.arg, z->fill_freed)) {
		completion_post(c); /* again, not now */
		return;
	}
	completion_init(c, z->queue, returned);
	completion_post(c);
}

static void tell(struct depot_zone *z, bool freed)
{
	VDO_CHECK(queue_is_current(z->queue) && !z->fill_posted);
	z->fill_posted = true;
	z->fill_freed = freed;
	z->fill_more = false;
	zone_enter(z);
	completion_init(&z->fill_go, z->depot->fill.queue, cross);
	completion_post(&z->fill_go);
}

void fill_look(struct depot_zone *z)
{
	const struct depot *d = z->depot;

	if (d->fill.queue != NULL && !z->fill_posted && depot_out_of_bounds(d))
		tell(z, false);
}

void fill_tell_free(struct depot_zone *z)
{
	VDO_ASSERT(z->depot->fill.queue != NULL);
	if (z->fill_posted)
		z->fill_more = true;
	else
		tell(z, true);
}

static void asked(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, fill_ask);

	zone_enter(z);
	atomic_exchange(&z->fill_asked, false);
	fill_look(z);
	zone_leave(z);
}

void depot_look(struct depot *d)
{
	struct depot_zone *z = &d->zones[0];

	if (atomic_exchange(&z->fill_asked, true))
		return;
	completion_init(&z->fill_ask, z->queue, asked);
	completion_post(&z->fill_ask);
}
