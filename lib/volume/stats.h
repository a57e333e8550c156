/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All statistics of a volume, gathered from its components.
 *
 * Runs on: any thread outside of the queues.
 */
#ifndef VOLUME_STATS_H
#define VOLUME_STATS_H

#include "advice/advice.h"
#include "dedupe/dedupe.h"
#include "depot/depot.h"
#include "io/mio.h"
#include "journal/journal.h"
#include "map/map.h"
#include "pack/pack.h"
#include "path/path.h"
#include "volume/memory.h"

struct volume;

struct volume_stats {
	const char *mode; /* "normal" or "read-only" */
	const char *read_only_reason; /* why; "none" */
	bool counts_known; /* false: opened read-only, slabs are not loaded */
	uint64_t physical_blocks, logical_blocks;
	uint64_t space_rises, space_falls; /* thresholds that were passed */
	uint64_t held, held_total; /* calls that found no space */
	uint64_t data_blocks_used, overhead_blocks_used, logical_blocks_used;
	uint64_t complete_recoveries, read_only_recoveries;
	/* By the recovery that opened the volume; 0 without one. */
	uint64_t recovered_entries, recovered_pages, recovery_ms;
	uint64_t cache_bytes, requests_max, requests_spare, alignment;
	bool deduplication, compression;
	/* By option memory or all others, at most. */
	uint64_t memory_most, memory[MEMORY_KINDS];
	uint64_t flush_out;
	uint64_t io_read[MIO_KINDS], io_write[MIO_KINDS];
	uint64_t io_fua[MIO_KINDS];
	uint64_t io_completed[MIO_KINDS];
	struct storage_totals device;
	struct journal_stats journal;
	struct depot_stats depot;
	struct map_stats map;
	struct pack_stats pack;
	struct dedupe_stats dedupe;
	struct advice_stats advice;
	struct path_stats path;
};

void volume_get_stats(struct volume *v, struct volume_stats *stats);

/* Add what was counted, not what just is, of @past to *stats. */
void volume_stats_add(struct volume_stats *stats,
		      const struct volume_stats *past);

#endif
