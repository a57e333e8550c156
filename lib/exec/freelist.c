/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Popping from a free list, and its set-up. All objects begin in the first
 * lane: where they are pushed decides in which lane they go on.
 */
#include "build.h"

#include "exec/freelist.h"

#include <errno.h>

#include "base/alloc.h"

int freelist_init(struct freelist *f, uint32_t count, uint32_t free)
{
	uint32_t i;

	VDO_ASSERT(free <= count && count < FREELIST_NONE);
	f->count = count;
	f->next = alloc_zeroed(count, sizeof(*f->next));
	if (f->next == NULL)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		atomic_init(&f->next[i], i + 1 < free ? i + 2 : 0);
	for (i = 0; i < QUEUE_LANES; i++)
		atomic_init(&f->lanes[i].head, 0);
	atomic_init(&f->lanes[0].head, free > 0 ? 1 : 0);
	return 0;
}

size_t freelist_bytes(uint32_t count)
{
	return alloc_bytes(16, count, sizeof(*((struct freelist *)NULL)->next));
}

void freelist_fini(struct freelist *f)
{
	alloc_free((void *)f->next);
	f->next = NULL;
}

static uint32_t lane_pop(struct freelist *f, _Atomic uint64_t *head)
{
	uint64_t old = atomic_load_explicit(head, memory_order_seq_cst);
	uint64_t new;
	uint32_t i;

	do {
		if ((uint32_t)old == 0)
			return FREELIST_NONE;
		i = (uint32_t)old - 1;
		VDO_CHECK(i < f->count);
		new = ((old >> 32) + 1) << 32 |
		      atomic_load_explicit(&f->next[i], memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(
		head, &old, new, memory_order_seq_cst, memory_order_seq_cst));
	return i;
}

uint32_t freelist_pop(struct freelist *f)
{
	unsigned own = queue_own_lane();
	unsigned n;

	for (n = 0; n < QUEUE_LANES; n++) {
		unsigned lane = (own + n) % QUEUE_LANES;
		uint32_t i = lane_pop(f, &f->lanes[lane].head);

		if (i != FREELIST_NONE)
			return i;
	}
	return FREELIST_NONE;
}

bool freelist_empty(const struct freelist *f)
{
	unsigned n;

	for (n = 0; n < QUEUE_LANES; n++)
		if ((uint32_t)atomic_load(&f->lanes[n].head) != 0)
			return false;
	return true;
}
