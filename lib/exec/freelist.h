/*
 * A stack of free objects, by number; any thread pushes and pops.
 *
 * head holds the number of the first free object plus one (low half) and a
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
#include <stdint.h>

#include "base/compiler.h"

#define FREELIST_NONE UINT32_MAX

struct freelist {
	_Alignas(CACHE_LINE) _Atomic uint64_t head;
	_Alignas(CACHE_LINE) _Atomic uint32_t *next;
};

/* @count objects, all free; the lowest number comes first. */
int freelist_init(struct freelist *f, uint32_t count) MUST_CHECK;
void freelist_fini(struct freelist *f);

static inline void freelist_push(struct freelist *f, uint32_t i)
{
	uint64_t old = atomic_load_explicit(&f->head, memory_order_relaxed);
	uint64_t new;

	do {
		atomic_store_explicit(&f->next[i], (uint32_t)old,
				      memory_order_relaxed);
		new = ((old >> 32) + 1) << 32 | (i + 1);
	} while (!atomic_compare_exchange_weak_explicit(
		&f->head, &old, new, memory_order_seq_cst,
		memory_order_relaxed));
}

/* A free object, or FREELIST_NONE. */
static inline uint32_t freelist_pop(struct freelist *f)
{
	uint64_t old = atomic_load_explicit(&f->head, memory_order_seq_cst);
	uint64_t new;
	uint32_t i;

	do {
		if ((uint32_t)old == 0)
			return FREELIST_NONE;
		i = (uint32_t)old - 1;
		new = ((old >> 32) + 1) << 32 |
		      atomic_load_explicit(&f->next[i], memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(
		&f->head, &old, new, memory_order_seq_cst,
		memory_order_seq_cst));
	return i;
}

#endif
