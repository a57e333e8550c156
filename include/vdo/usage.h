/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full a volume is that is not open, and what it saves.
 *
 * Three levels: an estimate from the first blocks, which takes no time; the
 * reference counts, which are 1/4000 of what is used; and the block map, which
 * is 1/800 of it, for what is stored how. Nothing is ever changed.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_USAGE_H
#define VDO_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/job.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum vdo_usage_level {
	VDO_USAGE_SAVED,     /* the volume was not closed: only what was saved
			      * the last time is known */
	VDO_USAGE_ESTIMATED, /* what is used and free: about */
	VDO_USAGE_COUNTED,   /* exactly */
	VDO_USAGE_MAPPED     /* and how it is stored */
};

/* All numbers are blocks of 4096 bytes unless they say otherwise. */
struct vdo_usage {
	enum vdo_usage_level level; /* what is known; the rest is zero */
	const char *state_name;     /* of the volume, as in vdo_info */
	const char *why;            /* static text: why no more is known than
				     * was asked for; NULL */
	/* VDO_USAGE_SAVED: as of the last time that it was closed */
	uint64_t logical_blocks;      /* that can be addressed */
	uint64_t logical_blocks_used; /* that were written, zeroes included */
	uint64_t physical_blocks;     /* overhead + data + map + free */
	uint64_t overhead_blocks;     /* index, journals, counts ... */
	uint64_t block_map_blocks;
	/* VDO_USAGE_ESTIMATED */
	uint64_t data_blocks;         /* that hold data */
	uint64_t free_blocks;
	uint64_t unsure_blocks;       /* so many more may hold data, or fewer;
				       * 0 from VDO_USAGE_COUNTED on */
	/* VDO_USAGE_MAPPED */
	/* logical blocks: these four are logical_blocks */
	uint64_t unmapped;            /* never written, or discarded */
	uint64_t zero;
	uint64_t uncompressed;
	uint64_t compressed;
	/* different contents */
	uint64_t distinct_uncompressed; /* each a data block */
	uint64_t distinct_compressed;
	uint64_t compressed_blocks;   /* the data blocks that those are in */
	uint64_t shared_blocks;       /* of distinct_uncompressed: those with
				       * more than one logical block */
	/* uncompressed + compressed - data blocks that are referred to */
	uint64_t saved_by_deduplication;
	uint64_t saved_by_compression;
	uint64_t unreferenced_blocks; /* counted, but no mapping leads there */
	uint64_t damaged_pages;       /* of the block map: left out */
	uint64_t damaged_mappings;    /* left out */
};

/*
 * Look at the first blocks: up to VDO_USAGE_ESTIMATED. @size is sizeof(struct
 * vdo_usage). Errors as vdo_inspect().
 */
int vdo_usage_inspect(const char *path, struct vdo_usage *usage, size_t size,
		      struct vdo_error *error);
int vdo_usage_inspect_device(struct vdo_device *device,
			     struct vdo_usage *usage, size_t size,
			     struct vdo_error *error);

/*
 * Start a job that reads the reference counts and, with VDO_USAGE_MAP, the block
 * map. For each 256 GiB that are in use the map is read once. It needs up to 128
 * MiB of memory. @config (NULL: defaults) is read for executor, options of the
 * storage, and the log. The device is in use until the job is freed.
 *
 * Errors of the call: those of vdo_inspect(); -VDO_EINUSE if the volume is open;
 * -EDEADLK from a callback; -EINVAL: unknown flags. Of the job: -ENOMEM,
 * -VDO_ECORRUPT: pages of the block map lead to each other; -errno.
 */
#define VDO_USAGE_MAP 1u
int vdo_usage_count(const char *path, const struct vdo_config *config,
		    unsigned flags, struct vdo_job **job,
		    struct vdo_error *error);
int vdo_usage_count_device(struct vdo_device *device,
			   const struct vdo_config *config, unsigned flags,
			   struct vdo_job **job, struct vdo_error *error);

/*
 * What the job found, once it has succeeded. @size is sizeof(struct vdo_usage).
 * -EINVAL: not such a job. -EAGAIN: not over, or it failed.
 * -VDO_EFORKED: it is another process's.
 */
int vdo_usage_get(struct vdo_job *job, struct vdo_usage *usage, size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
