/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What blocks hold in tests: a number says everything about 4096 bytes.
 *
 * Equal values give equal blocks on any machine, different ones different
 * blocks. V_ZERO is a block of zeroes.
 *
 * Runs on: any thread. Lifetime: none.
 */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t value_t;

/* Random bytes: cannot be compressed. */
#define V_UNIQUE(n) ((value_t)(n) | UINT64_C(1) << 56)
/* @size random bytes, the rest the same byte: LZ4 leaves a bit over @size. */
#define V_SQUEEZE(n, size)                                                     \
	((value_t)(n) | (value_t)(size) << 40 | UINT64_C(2) << 56)
/* The same random bytes for all n, but for 16 of them. */
#define V_SALT(n) ((value_t)(n) | UINT64_C(3) << 56)
#define V_ZERO	  ((value_t)0)

void pattern_fill(value_t v, void *block);

/* A new buffer with @count blocks of values from @v on. free() it. */
uint8_t *pattern_blocks(value_t v, uint64_t count);

bool pattern_is(value_t v, const void *block);

/* SplitMix64: the next number, below @limit (not 0). */
uint64_t pattern_random(uint64_t *state, uint64_t limit);

#endif
