/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What formatting will make: from options and a size to geometry and super
 * block. A pure function.
 *
 * Invariant
 *  (1) With options left to choose, a larger file never holds less than a
 *      smaller one (tests/unit/test_plan.c walks over the sizes).
 *
 * Runs on: any thread.
 */
#ifndef VOLUME_PLAN_H
#define VOLUME_PLAN_H

#include <vdo/volume.h>

#include "format/geometry.h"
#include "format/superblock.h"
#include "volume/settings.h"

struct vdo_device;

struct plan {
	bool small; /* the profile */
	struct geometry geometry; /* without nonce and UUID */
	struct superblock sb;     /* without nonce */
};

/*
 * @size_bytes is a multiple of 4096. Block devices are often for Linux, too.
 * -ENOSPC, -VDO_ECONFLICT, -ERANGE, with a message.
 */
int plan_make(struct plan *p, const struct format_settings *f,
	      uint64_t size_bytes, bool block_device,
	      struct vdo_error *error) MUST_CHECK;

/* What volume_format() would make on @device; NULL: in a new file. format.c */
int volume_plan_whole(struct vdo_device *device, const struct settings *s,
		      struct plan *p, struct vdo_error *error) MUST_CHECK;

void plan_describe(const struct plan *p, struct vdo_plan *plan);

#endif
