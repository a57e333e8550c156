/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free objects, by number; any thread pushes and pops.
 *
 * A few stacks ("lanes"): each queue has one of its own, so that an object comes
 * back to the core that has it in cache, and cores do not fight for one head.
 * Whose lane is empty takes from the others.
 *
 * A head holds the number of the first free object plus one (low half) and a
 * count of changes (high half), so that a pop cannot be fooled by an object
 * that left and came back (ABA). Push releases what its caller wrote to the
 * object; pop acquires it.
 *
 * next[i] is atomic because a pop may read it while another thread pops and
 * pushes object i; the compare-exchange then fails and the value is not used.
 */
#ifndef EXEC_FREELIST_H
#define EXEC_FREELIST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "exec/executor.h"

#define FREELIST_NONE UINT32_MAX

struct freelist_lane {
	_Alignas(CACHE_LINE) _Atomic uint64_t head;
};

struct freelist {
	struct freelist_lane lanes[QUEUE_LANES];
	_Atomic uint32_t *next; /* of all lanes: an object is in one at most */
	uint32_t count;
};

/* @count objects, of which the first @free are free; the lowest number comes
 * first. */
int freelist_init(struct freelist *f, uint32_t count, uint32_t free) MUST_CHECK;
void freelist_fini(struct freelist *f);

/* What one of @count numbers allocates. */
size_t freelist_bytes(uint32_t count);

/* A free object, or FREELIST_NONE. */
uint32_t freelist_pop(struct freelist *f);

/* Is none free? Sequentially consistent, as pushes are: who announces that it
 * waits, and then finds this true, is seen by whoever pushes next. */
bool freelist_empty(const struct freelist *f);

static inline void freelist_push(struct freelist *f, uint32_t i)
{
	_Atomic uint64_t *head = &f->lanes[queue_own_lane()].head;
	uint64_t old = atomic_load_explicit(head, memory_order_relaxed);
	uint64_t new;

	VDO_CHECK(i < f->count);
	do {
		atomic_store_explicit(&f->next[i], (uint32_t)old,
				      memory_order_relaxed);
		new = ((old >> 32) + 1) << 32 | (i + 1);
	} while (!atomic_compare_exchange_weak_explicit(
		head, &old, new, memory_order_seq_cst, memory_order_relaxed));
}

#endif
