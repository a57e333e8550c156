/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An op on its way through the packer, as its owner and those who cancel it see
 * it; and the block that a lead makes of its members.
 *
 * Everything here runs on any thread. Members belong to their lead from the
 * verdict on, so nobody else touches them meanwhile.
 */
#include "build.h"

#include "pack/pack.h"

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

	VDO_CHECK(lead->verdict == PACK_LEAD && lead->members != NULL);
	for (const struct pack_op *m = lead->members; m != NULL; m = m->next) {
		VDO_CHECK(m->slot == count && count < FRAGMENTS_MAX);
		write_bytes(&w, m->block + FRAGMENT_HEADER, m->size);
		sizes[count++] = m->size;
	}
	VDO_CHECK(w.p <= lead->block + BLOCK_SIZE);
	fragment_header_encode(lead->block, sizes, count);
}

struct pack_op *pack_next_member(struct pack_op *lead)
{
	struct pack_op *m = lead->members;

	VDO_CHECK(lead->verdict == PACK_LEAD || m == NULL);
	if (m != NULL) {
		VDO_CHECK(m->bin == NULL);
		lead->members = m->next;
		m->next = NULL;
	}
	return m;
}
