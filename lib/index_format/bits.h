/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bit streams: bit 0 is the least significant bit of byte 0 (X, notation).
 *
 * Reads and writes of up to 57 bits touch the eight bytes from the one that
 * holds the first bit; memory must be valid, and for writes its owner's, that
 * far. bits_copy() touches what it copies and, at its ends, what put would.
 *
 * Runs on: anything; no state.
 */
#ifndef INDEX_FORMAT_BITS_H
#define INDEX_FORMAT_BITS_H

#include "base/bytes.h"

#define BITS_AT_ONCE 57u /* of any alignment in one 64-bit word */

static inline uint64_t bits_mask(unsigned n)
{
	return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* At least 57 bits of @mem from bit @at on; above them rubbish. */
static inline uint64_t bits_peek(const uint8_t *mem, uint64_t at)
{
	return get_u64(mem + (at >> 3)) >> (at & 7);
}

static inline uint64_t bits_get(const uint8_t *mem, uint64_t at, unsigned n)
{
	return bits_peek(mem, at) & bits_mask(n);
}

static inline void bits_put(uint8_t *mem, uint64_t at, unsigned n, uint64_t v)
{
	uint8_t *p = mem + (at >> 3);
	uint64_t mask = bits_mask(n) << (at & 7);

	put_u64(p, (get_u64(p) & ~mask) | (v << (at & 7) & mask));
}

/*
 * Copy @n bits. The areas may overlap, also by less than a byte: the order is
 * chosen so that nothing is read after it was overwritten.
 */
void bits_copy(uint8_t *to, uint64_t to_at, const uint8_t *from,
	       uint64_t from_at, uint64_t n);

/* The same within one area that may be read and written 8 bytes further, which
 * is faster. */
void bits_move(uint8_t *mem, uint64_t to_at, uint64_t from_at, uint64_t n);

#endif
