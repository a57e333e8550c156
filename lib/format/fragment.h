/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compressed blocks: up to 14 LZ4 fragments in one data block (V 8).
 *
 *	OFFSET	SIZE	MEANING
 *	0	8	version 1.0
 *	8	2*14	sizes, 0 for unused slots
 *	36	4060	fragments, back to back
 */
#ifndef FORMAT_FRAGMENT_H
#define FORMAT_FRAGMENT_H

#include "base/bytes.h"
#include "format/types.h"

#define FRAGMENTS_MAX     14u
#define FRAGMENT_HEADER   36u
#define FRAGMENT_PAYLOAD  4060u
#define FRAGMENT_SIZE_MAX 4059u

/* Write the header for @count fragments; unused sizes become 0. */
void fragment_header_encode(uint8_t *block, const uint16_t *sizes,
			    unsigned count);

/* Can the header be that of a compressed block? */
bool fragment_header_is_valid(const uint8_t *block);

/*
 * Find the fragment of @state in a block. 0, or -VDO_EFRAGMENT if the block or
 * the state makes no sense.
 */
int fragment_find(const uint8_t *block, uint8_t state, const uint8_t **data,
		  size_t *size) MUST_CHECK;

#endif
