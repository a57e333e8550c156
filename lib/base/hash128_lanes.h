/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of several blocks at once: what hash128() says of each.
 *
 * The name of a block is one chain of multiplications, each of which waits for
 * the one before it, so most of a core has nothing to do. Chains of several
 * blocks side by side take half the time or less. What suits the processor best
 * is found out when it runs; every variant gives the same names, bit for bit.
 *
 * Runs on: any thread.
 */
#ifndef BASE_HASH128_LANES_H
#define BASE_HASH128_LANES_H

#include <stdbool.h>

#include "base/hash128.h"

#define HASH128_BLOCK 4096u

/* The most blocks that are named at once; lists of as many are best. */
#define HASH128_LANES 8u

/* Put the names of @n blocks, of HASH128_BLOCK bytes each, to @names. */
void hash128_blocks(const uint8_t *const *blocks, size_t n,
		    struct hash128 *names);

/* One way to do it: exactly @width blocks. For tests and benchmarks. */
struct hash128_variant {
	const char *name;
	unsigned width;
	/* From as many blocks on it is the best of those that run here, though
	 * some of its lanes do the last block again. */
	unsigned least;
	bool (*runs_here)(void);
	void (*run)(const uint8_t *const *blocks, struct hash128 *names);
};

/* The best first. NULL: there are not as many. */
const struct hash128_variant *hash128_variant(unsigned number);

#endif
