/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of packing that runs on any thread: LZ4, the status word, and the
 * layout of a compressed block.
 *
 * A fragment is compressed to where it stands if its op becomes the lead of a
 * block, so only the other fragments are copied.
 *
 * A compressor keeps LZ4's table of 16 KiB from block to block, and starts each
 * block with LZ4_resetStream_fast(): that spares clearing the table, which takes
 * 7 to 15 % of the time of a block. The blocks do not depend on each other.
 */
#include "build.h"

#include "pack/pack.h"

#include <lz4.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "pack/pack_priv.h"

void pack_op_reset(struct pack_op *op)
{
	op->size = 0;
	op->slot = 0;
	op->verdict = PACK_ALONE;
	op->members = NULL;
	op->next = NULL;
	op->bin = NULL;
	atomic_store_explicit(&op->status, STAGE_BEFORE, memory_order_relaxed);
}

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

	if (!status_advance(op, STAGE_COMPRESSING))
		return false;
	LZ4_resetStream_fast(stream);
	size = LZ4_compress_fast_continue(stream, (const char *)data,
					  (char *)op->block + FRAGMENT_HEADER,
					  BLOCK_SIZE, FRAGMENT_SIZE_MAX, 1);
	if (size <= 0 || !pack_allowed(op)) {
		status_end(op);
		return false;
	}
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

bool pack_allowed(const struct pack_op *op)
{
	unsigned status =
		atomic_load_explicit(&op->status, memory_order_acquire);

	return status < STAGE_AFTER;
}

bool pack_cancel(struct pack_op *op)
{
	unsigned old = atomic_fetch_or_explicit(&op->status, STATUS_CANCELLED,
						memory_order_acq_rel);

	return old == STAGE_PACKING;
}

void pack_assemble(struct pack_op *lead)
{
	uint16_t sizes[FRAGMENTS_MAX] = {lead->size};
	struct writer w = {lead->block + FRAGMENT_HEADER + lead->size};
	unsigned count = 1;

	VDO_ASSERT(lead->verdict == PACK_LEAD && lead->members != NULL);
	for (const struct pack_op *m = lead->members; m != NULL; m = m->next) {
		VDO_ASSERT(m->slot == count && count < FRAGMENTS_MAX);
		write_bytes(&w, m->block + FRAGMENT_HEADER, m->size);
		sizes[count++] = m->size;
	}
	VDO_ASSERT(w.p <= lead->block + BLOCK_SIZE);
	fragment_header_encode(lead->block, sizes, count);
}

struct pack_op *pack_next_member(struct pack_op *lead)
{
	struct pack_op *m = lead->members;

	if (m != NULL) {
		lead->members = m->next;
		m->next = NULL;
	}
	return m;
}
