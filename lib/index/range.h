/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which chapters an index has: those from oldest on that are closed, and the
 * open one, newest. Each zone runs ahead of it with numbers of its own, by one
 * chapter at most.
 *
 * Runs on: the main queue writes, statistics read on any thread.
 */
#ifndef INDEX_RANGE_H
#define INDEX_RANGE_H

#include "base/assert.h"
#include "base/counter.h"
#include "index_format/geometry.h"

struct chapter_range {
	counter_t oldest, newest;
};

static inline void chapter_range_set(struct chapter_range *r, uint64_t oldest,
				     uint64_t newest)
{
	VDO_ASSERT(oldest <= newest);
	counter_set(&r->oldest, oldest);
	counter_set(&r->newest, newest);
}

/* The next chapter is open. */
static inline void chapter_range_advance(struct chapter_range *r,
					 const struct index_geometry *g)
{
	uint64_t newest = r->newest + 1;

	VDO_ASSERT(r->oldest <= r->newest);
	chapter_range_set(r, r->oldest + geometry_expires(g, newest), newest);
}

#endif
