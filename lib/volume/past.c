/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which statistics count, so that they go on when a volume gets another engine.
 * All others say what is.
 */
#include "build.h"

#include "volume/stats.h"

/* One field, and all from one to another. */
#define ONE(f)	  {offsetof(struct volume_stats, f), sizeof(uint64_t)}
#define ALL(a, b)                                                              \
	{offsetof(struct volume_stats, a),                                     \
	 offsetof(struct volume_stats, b) - offsetof(struct volume_stats, a) + \
		 sizeof(((struct volume_stats *)0)->b)}

static const struct {
	size_t offset, size;
} counted[] = {
	ONE(flush_out),
	ALL(io_read, io_completed),
	ALL(device, device),
	ALL(journal, journal),
	ALL(depot.slabs_opened, depot.slabs_scrubbed),
	ALL(depot.slabs_loaded, depot.slabs_dropped),
	ALL(depot.reclaimed, depot.reclaim_failed),
	ALL(map.cache_pressure, map.flush_count),
	ALL(pack.fragments_written, pack.blocks_written),
	ALL(dedupe.advice_valid, dedupe.concurrent_collisions),
	ALL(dedupe.invalid_advice, dedupe.rollovers),
	ALL(advice.posts_found, advice.timeouts),
	ALL(advice.posts_in_memory, advice.chapters_written),
	ALL(path.reads, path.read_only_errors),
};

void volume_stats_add(struct volume_stats *s, const struct volume_stats *past)
{
	for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
		uint64_t *to = (void *)((char *)s + counted[i].offset);
		const uint64_t *from =
			(const void *)((const char *)past + counted[i].offset);

		VDO_ASSERT(counted[i].size % sizeof(*to) == 0);
		for (size_t n = 0; n < counted[i].size / sizeof(*to); n++)
			to[n] += from[n];
	}
}
