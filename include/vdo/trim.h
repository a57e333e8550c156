/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space goes back: the blocks of a volume that nothing refers to are given up,
 * so that a file takes no more than what is in use, and a device below knows
 * what it need not keep.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_TRIM_H
#define VDO_TRIM_H

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

struct vdo_trimmed {
	uint64_t free_blocks;  /* of 4096 bytes, that were given up: all that
				* are free but for those of slabs_left */
	uint64_t ranges;       /* that these are */
	uint64_t slabs;        /* all that the volume has */
	uint64_t slabs_left;   /* whose counts wait for their journals, as Linux
				* may leave some: nothing of them was given up;
				* opening and closing the volume helps */
	uint64_t freed_bytes;  /* so much less a file takes now; 0 of what is no
				* file, or where it cannot be known */
};

/*
 * Start a job that gives up all free blocks of a volume that is not open. Which
 * these are is read from its slab summary and reference counts, 1/4000 of what is
 * in use. Of a file holes are made of them, its size stays; other storage gets
 * VDO_DEVICE_DISCARD, 1 GiB at a time. Nothing else is changed, and all that can
 * be read stays as it is. Where counts may be wrong, a check comes first
 * (check.h).
 *
 * The job can be cancelled, fail, or die with its process at any time; begun
 * again it does the rest. @config (NULL: defaults) is read for executor, options
 * of the storage, and the log. The device is in use until the job is freed.
 *
 * Errors of the call: those of vdo_inspect(); -VDO_EDIRTY: the volume was not
 * closed; -VDO_EREBUILD: it is read-only; -EOPNOTSUPP: the storage gives nothing
 * back; -EROFS: it is read-only; -VDO_EINUSE if the volume is open; -EDEADLK from
 * a callback. Of the job: -EOPNOTSUPP, -ECANCELED, -ENOMEM, -errno.
 */
int vdo_trim(const char *path, const struct vdo_config *config,
	     struct vdo_job **job, struct vdo_error *error);
int vdo_trim_device(struct vdo_device *device, const struct vdo_config *config,
		    struct vdo_job **job, struct vdo_error *error);

/*
 * What the job did, once it has succeeded. @size is sizeof(struct vdo_trimmed).
 * -EINVAL: not such a job. -EAGAIN: not over, or it failed.
 * -VDO_EFORKED: it is another process's.
 */
int vdo_trimmed_get(struct vdo_job *job, struct vdo_trimmed *trimmed,
		    size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
