/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of usage: usage.c has the counts, usage_map.c the walk over the block
 * map.
 */
#ifndef CHECK_USAGE_PRIV_H
#define CHECK_USAGE_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
#include "check/usage.h"
#include "format/geometry.h"
#include "format/layout.h"
#include "format/superblock.h"

#define USAGE_PART_BLOCKS (UINT64_C(1) << 26) /* 256 GiB: 128 MiB of memory */

struct usage {
	struct vdo_device *device;
	struct executor *executor; /* what has claimed it */
	bool claimed, map;
	uint64_t part_blocks; /* that one walk over the map looks at */
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	uint8_t *summary;	   /* all copies */
	atomic_bool stop;
	_Atomic(const char *) phase;
	counter_t done, total;	   /* bytes */
	struct vdo_usage result;
};

/* Read blocks of the volume, which are counted as done. -ECANCELED, -errno. */
int usage_read(struct usage *u, pbn_t pbn, uint64_t count, void *to) MUST_CHECK;

/* What the summary on disk says of a slab. */
struct summary_entry usage_summary(const struct usage *u, uint64_t slab);

/*
 * Call @take for each count on disk of a slab, in order; anything but 0 ends it.
 * @buf has USAGE_READ_BLOCKS blocks. What @take returned, or as usage_read().
 */
#define USAGE_READ_BLOCKS 64u
typedef int (*usage_count_fn)(void *arg, pbn_t pbn, uint8_t count);
int usage_each_count(struct usage *u, uint64_t slab, uint8_t *buf,
		     usage_count_fn take, void *arg) MUST_CHECK;

static inline bool usage_is_unused(struct summary_entry e)
{
	return e.tail_offset == 0 && !e.load && !e.dirty;
}

int usage_walk_map(struct usage *u) MUST_CHECK;

#endif
