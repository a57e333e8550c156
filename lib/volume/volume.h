/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume: all components, and their life together.
 *
 * volume_open() runs the table of load.c, volume_close() that of save.c, each
 * a list of named phases run one after the other by the calling thread, which
 * waits for what happens on the queues. In between the volume serves requests
 * (path/).
 *
 * Invariants
 *  (1) The super block says DIRTY before the first journal block is written, and
 *      CLEAN only when everything is saved (I13).
 *  (2) READ_ONLY is recorded once, and nothing is written after it (I42).
 *
 * Runs on: open, close and abandon outside of any queue; the rest anywhere.
 * Lifetime: the executor and the device are the caller's and outlive it.
 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include <vdo/volume.h>

#include "exec/executor.h"
#include "io/device.h"
#include "path/path.h"
#include "volume/settings.h"

struct volume;

/* How many threads an executor of its own should have for @s. */
unsigned volume_thread_count(const struct settings *s);

/* Make a new volume on @device (lib/volume/format.c). Outside of any queue. */
int volume_format(struct vdo_device *device, const struct settings *s,
		  struct vdo_error *error) MUST_CHECK;

/* Read geometry and super block; for vdo_inspect(). */
int volume_inspect(struct vdo_device *device, struct vdo_info *info,
		   struct vdo_error *error) MUST_CHECK;

int volume_open(struct vdo_device *device, struct executor *x,
		const struct settings *s, struct volume **volume,
		struct vdo_error *error) MUST_CHECK;

/* Save and drop. The error, if any, says that it was not saved. */
int volume_close(struct volume *v);

/* Wait for what is under way, save nothing, drop. */
void volume_abandon(struct volume *v);

/* Where calls are submitted. */
struct front *volume_front(struct volume *v);
struct executor *volume_executor(struct volume *v);
uint64_t volume_logical_blocks(const struct volume *v);
bool volume_is_read_only(const struct volume *v);

/* Switches; from outside of the queues. */
void volume_set_compression(struct volume *v, bool on);
void volume_set_deduplication(struct volume *v, bool on);

/* All counters, gathered; any thread. */
struct volume_stats {
	const char *mode; /* "normal" or "read-only" */
	bool counts_known; /* false: opened read-only, slabs are not loaded */
	uint64_t physical_blocks, logical_blocks;
	uint64_t data_blocks_used, overhead_blocks_used, logical_blocks_used;
	uint64_t complete_recoveries, read_only_recoveries;
	uint64_t cache_bytes, requests_max, alignment;
	bool deduplication, compression;
	uint64_t flush_out;
	uint64_t io_read[MIO_KINDS], io_write[MIO_KINDS];
	uint64_t io_fua[MIO_KINDS];
	uint64_t io_completed[MIO_KINDS];
	struct journal_stats journal;
	struct depot_stats depot;
	struct map_stats map;
	struct pack_stats pack;
	struct dedupe_stats dedupe;
	struct advice_stats advice;
	struct path_stats path;
};
void volume_get_stats(struct volume *v, struct volume_stats *stats);

#endif
