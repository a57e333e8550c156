/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters and other single numbers with one writer and any number of readers.
 *
 * The owner adds without a locked instruction, because nobody else writes.
 * Readers see some recent value, never a torn one, and nothing else is ordered
 * by it. Only these functions write a counter: the operators of C would do so
 * with locked instructions.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic(uint64_t) counter_t;

static inline uint64_t counter_get(const counter_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void counter_set(counter_t *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_relaxed);
}

static inline void counter_add(counter_t *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

static inline void counter_inc(counter_t *c)
{
	counter_add(c, 1);
}

static inline void counter_dec(counter_t *c)
{
	counter_add(c, (uint64_t)-1);
}

#endif
