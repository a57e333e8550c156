/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of compressed blocks.
 *
 * Offsets of fragments are not stored: a fragment begins where the sizes
 * before it end. Bytes after the last fragment are undefined.
 */
#include "build.h"

#include "format/fragment.h"

#include <vdo/error.h>

#include "base/assert.h"

#define VERSION_MAJOR 1
#define VERSION_MINOR 0
#define SIZES_OFFSET  8

void fragment_header_encode(uint8_t *block, const uint16_t *sizes,
			    unsigned count)
{
	struct writer w = {block};
	unsigned total = 0;

	VDO_CHECK(count <= FRAGMENTS_MAX);
	write_u32(&w, VERSION_MAJOR);
	write_u32(&w, VERSION_MINOR);
	for (unsigned i = 0; i < FRAGMENTS_MAX; i++) {
		uint16_t size = i < count ? sizes[i] : 0;

		VDO_CHECK(size <= FRAGMENT_SIZE_MAX);
		total += size;
		write_u16(&w, size);
	}
	VDO_CHECK(total <= FRAGMENT_PAYLOAD);
}

static bool version_is_right(const uint8_t *block)
{
	return get_u32(block) == VERSION_MAJOR &&
	       get_u32(block + 4) == VERSION_MINOR;
}

bool fragment_header_is_valid(const uint8_t *block)
{
	unsigned total = 0;

	for (unsigned i = 0; i < FRAGMENTS_MAX; i++)
		total += get_u16(block + SIZES_OFFSET + 2 * i);
	return version_is_right(block) && total <= FRAGMENT_PAYLOAD;
}

int fragment_find(const uint8_t *block, uint8_t state, const uint8_t **data,
		  size_t *size)
{
	const uint8_t *sizes = block + SIZES_OFFSET;
	unsigned offset = 0;
	unsigned slot, n;

	if (state < STATE_FRAGMENT_0 || state > STATE_FRAGMENT_LAST)
		return -VDO_EFRAGMENT;
	if (!version_is_right(block))
		return -VDO_EFRAGMENT;
	slot = state - STATE_FRAGMENT_0;
	for (unsigned i = 0; i < slot; i++)
		offset += get_u16(sizes + 2 * i);
	n = get_u16(sizes + 2 * slot);
	/* Sums of 14 sizes of 16 bits cannot overflow. */
	if (n == 0 || offset + n > FRAGMENT_PAYLOAD)
		return -VDO_EFRAGMENT;
	VDO_ASSERT(slot < FRAGMENTS_MAX);
	*data = block + FRAGMENT_HEADER + offset;
	*size = n;
	return 0;
}
