/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The status word of a pack_op: how far it is on the packing path, and whether
 * it may still wait there.
 *
 *	before -> compressing -> packing -> after
 *	   |           |           |          ^
 *	   +-----------+-----------+----------+   as soon as it may not wait
 *
 * The op's owner moves the stage: before the packer whoever compresses, then
 * the packer's queue. Everybody else only sets the bit, with one atomic "or";
 * its old value says whether the op is in a bin and whether the bit is news.
 */
#ifndef PACK_PACK_PRIV_H
#define PACK_PACK_PRIV_H

#include "pack/pack.h"

#define STAGE_BEFORE	  0u
#define STAGE_COMPRESSING 1u
#define STAGE_PACKING	  2u
#define STAGE_AFTER	  3u
#define STAGE_MASK	  3u
#define STATUS_CANCELLED  4u

/* To @stage or, when the op is cancelled, to the end. True: it is in @stage. */
static inline bool pack_status_advance(struct pack_op *op, unsigned stage)
{
	unsigned old = stage - 1;

	VDO_ASSERT(stage > STAGE_BEFORE && stage < STAGE_AFTER);
	/* Fails only if the bit was set before or in this moment. */
	if (likely(atomic_compare_exchange_strong_explicit(
		    &op->status, &old, stage, memory_order_acq_rel,
		    memory_order_acquire)))
		return true;
	VDO_ASSERT(old == ((stage - 1) | STATUS_CANCELLED));
	atomic_store_explicit(&op->status, STAGE_AFTER | STATUS_CANCELLED,
			      memory_order_release);
	return false;
}

/* Off the path, from wherever it is, with the bit as it is. */
static inline void pack_status_end(struct pack_op *op)
{
	atomic_fetch_or_explicit(&op->status, STAGE_AFTER,
				 memory_order_acq_rel);
}

/* Does a block look as if LZ4 could do nothing about it? */
bool pack_looks_random(const uint8_t *data);

#endif
