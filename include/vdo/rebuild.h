/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-only mode of a volume that is not open, and the way out of it.
 *
 * A volume that met an error which it could not survive is read-only from then
 * on: what it says of free space may be wrong. A rebuild makes that anew from
 * the block map, which says where each logical block is, and drops what makes
 * no sense. It is the last resort: a volume that was only not closed recovers
 * when it is opened, and loses nothing that was flushed.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_REBUILD_H
#define VDO_REBUILD_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/blocks.h>
#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/job.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/*
 * Have the volume say that it is read-only. It is not written any more, by this
 * library or by Linux, until it is rebuilt. Nothing else of it changes.
 *
 * Errors: those of vdo_inspect(); -EROFS if the storage is read-only;
 * -VDO_EINUSE if the volume is open; -EDEADLK from a callback.
 */
int vdo_mark_read_only(const char *path, struct vdo_error *error);
int vdo_mark_read_only_device(struct vdo_device *device,
			      struct vdo_error *error);

/* Logical blocks that read as zeroes now. */
struct vdo_lost {
	struct vdo_blocks blocks;
	const char *why; /* static text */
};

/* What a rebuild made; numbers are blocks of 4096 bytes unless they say
 * otherwise. */
struct vdo_rebuilt {
	const char *found;           /* the state before */
	/* the recovery journal */
	uint64_t replayed;           /* mappings that the map lacked */
	uint64_t invalid_entries;    /* that could not be used */
	uint64_t unreadable_blocks;  /* of it */
	/* the volume now */
	uint64_t logical_blocks_used;
	uint64_t block_map_blocks;
	uint64_t data_blocks;
	/* what was dropped */
	uint64_t lost_pages;         /* of the block map */
	uint64_t lost_mappings;
	uint64_t lost_blocks;        /* logical blocks that these are of: they
				      * read as zeroes now */
	uint64_t stray_mappings;     /* of no logical block */
	const struct vdo_lost *lost; /* the first ones, in the order in which
				      * they were met */
	size_t lost_count;           /* of these */
};

/*
 * Start a job that rebuilds a volume that is read-only, or that was marked for
 * it ("force-rebuild"). The block map is brought up to date from the journal,
 * read, and cleared of what makes no sense; the reference counts are made anew;
 * the volume is clean then. The block map is read three times, and once more for
 * each further 256 GiB; it needs a byte of memory for each block of the
 * 256 GiB that are counted at a time, 64 MiB at most, 16 bytes for each
 * mapping that is only in the journal, and a bit for each block of slabs that
 * have pages of the block map.
 *
 * With VDO_REBUILD_FORCE also in any other state, for a volume that cannot be
 * opened, nor recovered: then what is only in a damaged part of the journal is
 * lost, and the logical blocks that it is of may have older contents, or those
 * of other blocks. It is marked for a rebuild first.
 *
 * The job can be cancelled, fail, or die with its process at any time. Until it
 * has succeeded the volume says that it is read-only (or marked), and the job
 * can be started again, with the same result; pages that are damaged may be
 * empty by then. @config (NULL: defaults) is read for executor, options of the
 * storage, and the log, which names what is dropped. The device is in use until
 * the job is freed.
 *
 * Errors of the call: those of vdo_inspect(); -VDO_EDIRTY, -EINVAL: in this
 * state only with VDO_REBUILD_FORCE; -EINVAL: unknown flags; -EROFS if the
 * storage is read-only; -VDO_EINUSE if the volume is open; -EDEADLK from a
 * callback. Of the job: -ENOMEM, -ENOSPC, -ECANCELED, -errno.
 */
#define VDO_REBUILD_FORCE 1u
int vdo_rebuild(const char *path, const struct vdo_config *config,
		unsigned flags, struct vdo_job **job, struct vdo_error *error);
int vdo_rebuild_device(struct vdo_device *device,
		       const struct vdo_config *config, unsigned flags,
		       struct vdo_job **job, struct vdo_error *error);

/*
 * What the job made, once it has succeeded; lost is there until the job is
 * freed. @size is sizeof(struct vdo_rebuilt). -EINVAL: not such a job. -EAGAIN:
 * not over, or it failed. -VDO_EFORKED: it is another process's.
 */
int vdo_rebuilt_get(struct vdo_job *job, struct vdo_rebuilt *rebuilt,
		    size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
