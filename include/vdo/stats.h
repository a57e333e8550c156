/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics of an open volume.
 *
 * A snapshot is an array of named values, so that programs can print all of
 * them without knowing them; names as those of the Linux driver's statistics
 * message where the meaning is equal.
 *
 * What is used and available is exact while "path.slabsEstimated" is 0. Of so many
 * slabs the reference counts are not in memory (option counts-memory), and were
 * not asked since the volume was opened or the last change: what is free of them
 * is known to a 64th of a slab, and blocks that were given up still count as used.
 * vdo_usage_inspect() is exact.
 */
#ifndef VDO_STATS_H
#define VDO_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_stat {
	const char *name;  /* "journal.entries.committed" */
	const char *label; /* "journal entries committed"; may be "" */
	const char *help;  /* one line */
	/* Value of textual statistics (mode), "N/A" where there is none (counts
	 * of a volume that was opened read-only); else NULL. */
	const char *text;
	uint64_t value;
};

struct vdo_stats;

/* Take a snapshot. Free it with vdo_stats_free(). -ENOMEM, -EDEADLK. */
int vdo_stats_get(struct vdo_volume *volume, struct vdo_stats **stats);
void vdo_stats_free(struct vdo_stats *stats);

size_t vdo_stats_count(const struct vdo_stats *stats);
const struct vdo_stat *vdo_stats_at(const struct vdo_stats *stats, size_t i);

/* The value of @name, or 0 if there is none. */
uint64_t vdo_stats_value(const struct vdo_stats *stats, const char *name);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
