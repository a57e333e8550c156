/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handle behind struct vdo_volume, for the files of api/.
 */
#ifndef API_HANDLE_H
#define API_HANDLE_H

#include <stdatomic.h>
#include <sys/types.h>

#include <vdo/vdo.h>

#include "volume/volume.h"

struct vdo_volume {
	struct volume *volume;
	struct executor *executor;
	struct vdo_device *device;
	struct vdo_device *own_device; /* opened by us: to be closed */
	uint64_t size_bytes;
	unsigned alignment;
	/* A page that reads as zeroes in a child process, or NULL; then the
	 * process is compared. */
	atomic_uint *here;
	pid_t pid;
};

/*
 * May this thread call into @v? -VDO_EFORKED in another process; with @waits
 * also -EDEADLK from inside of a callback.
 */
int handle_check(const struct vdo_volume *v, bool waits) MUST_CHECK;

#endif
