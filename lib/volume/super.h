/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first blocks of a volume, for whoever opens it or works on it while it is
 * not open.
 *
 * Runs on: the calling thread, outside of any queue.
 */
#ifndef VOLUME_SUPER_H
#define VOLUME_SUPER_H

#include <vdo/device.h>
#include <vdo/error.h>

#include "format/geometry.h"
#include "format/superblock.h"

/* Read and check the geometry block of @device alone. */
int geometry_read(struct vdo_device *device, struct geometry *g,
		  struct vdo_error *error) MUST_CHECK;

/* Read and check geometry and super block of @device. */
int super_read(struct vdo_device *device, struct geometry *g,
	       struct superblock *sb, struct vdo_error *error) MUST_CHECK;

/* The same for whoever has claimed @device and builds on what it has: of a volume
 * that was not closed nothing is seen that only a cache has. */
int super_read_claimed(struct vdo_device *device, struct geometry *g,
		       struct superblock *sb, struct vdo_error *error)
	MUST_CHECK;

#endif
