/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics counters: one writer, any number of readers.
 *
 * The owner adds without a locked instruction; readers see some recent value,
 * never a torn one.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdint.h>

static inline uint64_t counter_get(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline void counter_set(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, n, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

static inline void counter_inc(uint64_t *c)
{
	counter_add(c, 1);
}

#endif
