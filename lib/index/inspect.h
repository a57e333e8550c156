/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an index says of itself: read from its first blocks, while nobody uses
 * it or before anybody does.
 *
 * Runs on: the calling thread, which reads from the device and waits for it;
 * outside of any queue.
 */
#ifndef INDEX_INSPECT_H
#define INDEX_INSPECT_H

#include <vdo/index.h>

#include "base/compiler.h"

/* Where an index is on a device, and of what shape. */
struct index_place {
	int32_t memory; /* code, see index_format/geometry.h */
	bool sparse;
	uint64_t nonce;	      /* of the volume */
	uint64_t first_block; /* of the device */
	uint64_t block_count;
};

/*
 * Fill in *info, besides state_name. -VDO_ESIZE: the device is too small for
 * it. -EINVAL, -ENOSPC: it has no such shape. -ENOMEM, -EIO ...
 */
int index_inspect(struct vdo_device *device, const struct index_place *p,
		  struct vdo_index_info *info,
		  struct vdo_error *error) MUST_CHECK;

#endif
