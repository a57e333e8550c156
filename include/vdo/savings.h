/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What deduplication and compression save in a volume that is not open, or in a
 * range of it; and why the rest was not saved. Nothing is ever changed.
 *
 * A volume that was not closed is told as it would be after recovery.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_SAVINGS_H
#define VDO_SAVINGS_H

#include <stdbool.h>
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

/* vdo_savings() looks for the reasons as well, which reads the data. */
#define VDO_SAVINGS_WHY	       1u
/* And looks for copies outside of the range, too, which reads all data. */
#define VDO_SAVINGS_EVERYWHERE 2u

/* The range, in bytes: multiples of 4096. */
struct vdo_savings_range {
	uint64_t offset;
	uint64_t length; /* 0: to the end of the volume */
};

/* A content: a data block that is not compressed, or a fragment of one. */
enum vdo_savings_copies {
	VDO_SAVINGS_SHARED,  /* more than one logical block has it */
	VDO_SAVINGS_UNIQUE,  /* one logical block has it, and nothing equal was
			      * found */
	VDO_SAVINGS_MISSED,  /* the same is somewhere else, with room for more
			      * references: the advice was stale or missing */
	VDO_SAVINGS_LIMITED, /* the same is somewhere else, but has all the 254
			      * references that a block can have */
	VDO_SAVINGS_COPIES
};

enum vdo_savings_form {
	VDO_SAVINGS_PACKED,	    /* it shares a block with others */
	VDO_SAVINGS_INCOMPRESSIBLE, /* LZ4 does not make it small enough */
	VDO_SAVINGS_ALONE,	    /* it does, but the block is stored whole */
	VDO_SAVINGS_FORMS
};

#define VDO_SAVINGS_TOP 16u

struct vdo_savings_block {
	uint64_t block;	     /* of 4096 bytes, from the start of the storage */
	uint64_t references; /* logical blocks of the whole volume that have it */
	uint64_t fragments;  /* that the range has of it; 0: not compressed */
};

/* All numbers are blocks of 4096 bytes unless they say otherwise. */
struct vdo_savings {
	const char *state_name; /* of the volume, as in vdo_info */
	bool replayed; /* it was not closed: as it would be after recovery */
	bool counted;  /* by its reference counts, exactly; else data_blocks is
			* what mappings lead to */
	/* The whole volume: these four are physical_blocks */
	uint64_t physical_blocks;
	uint64_t overhead_blocks; /* index, journals, counts ... */
	uint64_t block_map_blocks;
	uint64_t data_blocks;
	uint64_t free_blocks;
	uint64_t unreferenced_blocks; /* of data_blocks: no mapping leads there */
	uint64_t damaged_pages;	      /* of the block map: left out */
	uint64_t damaged_mappings;    /* left out */

	/* The range: these four are logical_blocks */
	uint64_t first_block;
	uint64_t logical_blocks;
	uint64_t unmapped; /* never written, or discarded */
	uint64_t zero;
	uint64_t uncompressed;
	uint64_t compressed;
	/* These three are uncompressed + compressed */
	uint64_t saved_by_deduplication;
	uint64_t saved_by_compression;
	uint64_t stored_blocks; /* data blocks that the range leads to */
	/* stored_blocks are distinct_uncompressed + compressed_blocks */
	uint64_t distinct_uncompressed;
	uint64_t compressed_blocks;
	uint64_t distinct_compressed; /* fragments in compressed_blocks */
	uint64_t exclusive_blocks;    /* of stored_blocks: nothing else leads
				       * there */

	/* Of stored_blocks: [n] have n references in the whole volume, 1 to
	 * 254; [255] more, which is damage. */
	uint64_t references[256];
	/* Of compressed_blocks: [n] have n fragments that the range has, 1 to
	 * 14. */
	uint64_t fragments[15];
	/* Of stored_blocks: those with most references, the most first. */
	uint64_t top_count;
	struct vdo_savings_block top[VDO_SAVINGS_TOP];

	/* VDO_SAVINGS_WHY: contents by both reasons. With untold they are
	 * distinct_uncompressed + distinct_compressed. */
	bool has_why;
	uint64_t why[VDO_SAVINGS_COPIES][VDO_SAVINGS_FORMS];
	uint64_t untold; /* could not be read, or found no room in the table */
};

/*
 * Start a job that counts what is stored for @range (NULL: all) and how. The
 * block map is read once for each 64 GiB in which slabs are in use (128 GiB
 * without a range and VDO_SAVINGS_WHY); it needs up to 160 MiB of memory. With
 * VDO_SAVINGS_WHY all data of the range is read, once for each 18 GiB of
 * different contents, with up to 256 MiB. @config (NULL: defaults) is read for
 * executor, options of the storage, and the log. The device is in use until the
 * job is freed.
 *
 * Errors of the call: those of vdo_inspect(); -VDO_EINUSE if the volume is open;
 * -EDEADLK from a callback; -EINVAL: unknown flags, or a range that is not of
 * the volume, or not of whole blocks; -VDO_EREBUILD: it went read-only. Of the
 * job: -ENOMEM; -VDO_ECORRUPT, -VDO_EVERSION: pages of the block map lead to each
 * other, or the journal cannot be replayed; -errno.
 */
int vdo_savings(const char *path, const struct vdo_config *config,
		const struct vdo_savings_range *range, unsigned flags,
		struct vdo_job **job, struct vdo_error *error);
int vdo_savings_device(struct vdo_device *device,
		       const struct vdo_config *config,
		       const struct vdo_savings_range *range, unsigned flags,
		       struct vdo_job **job, struct vdo_error *error);

/*
 * What the job found, once it has succeeded. @size is sizeof(struct
 * vdo_savings). -EINVAL: not such a job. -EAGAIN: not over, or it failed.
 * -VDO_EFORKED: it is another process's.
 */
int vdo_savings_get(struct vdo_job *job, struct vdo_savings *savings,
		    size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
