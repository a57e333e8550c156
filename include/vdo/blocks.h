/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges of logical blocks, as checks and rebuilds tell them.
 */
#ifndef VDO_BLOCKS_H
#define VDO_BLOCKS_H

#include <stdint.h>

/*
 * Logical blocks: @repeats times @count of them, from @first on, each time
 * @stride further. Those of a page of the block map lie so.
 */
struct vdo_blocks {
	uint64_t first, count, stride, repeats;
};

#endif
