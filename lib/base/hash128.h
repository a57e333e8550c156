/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MurmurHash3, x64 variant, 128 bits: the name of a block.
 *
 * Public-domain algorithm by Austin Appleby; VDO uses the seed 0x62ea60be on
 * 4096 bytes. Not cryptographic: equal names never stand for equal data.
 */
#ifndef BASE_HASH128_H
#define BASE_HASH128_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
	uint8_t bytes[16]; /* h1 then h2, each little-endian */
};

#define BLOCK_NAME_SEED 0x62ea60beu

/* @n is a multiple of 16. */
struct hash128 hash128(const void *data, size_t n, uint32_t seed);

#endif
