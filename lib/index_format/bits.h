/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bit streams: bit 0 is the least significant bit of byte 0 (X, notation).
 *
 * Reads and writes of up to 57 bits touch the eight bytes from the one that
 * holds the first bit. Memory must be valid that far and, for writes, belong to
 * the caller. bits_copy() touches no byte that it does not copy a bit of.
 *
 * Runs on: anything; no state.
 */
#ifndef INDEX_FORMAT_BITS_H
#define INDEX_FORMAT_BITS_H

#include "base/assert.h"
#include "base/bytes.h"

#define BITS_AT_ONCE 57u /* of any alignment in one 64-bit word */

static inline uint64_t bits_mask(unsigned n)
{
	return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* At least 57 bits of @mem from bit @at on. The bits above them are rubbish. */
static inline uint64_t bits_peek(const uint8_t *mem, uint64_t at)
{
	return get_u64(mem + (at >> 3)) >> (at & 7);
}

static inline uint64_t bits_get(const uint8_t *mem, uint64_t at, unsigned n)
{
	VDO_CHECK(n <= BITS_AT_ONCE);
	return bits_peek(mem, at) & bits_mask(n);
}

static inline void bits_put(uint8_t *mem, uint64_t at, unsigned n, uint64_t v)
{
	uint8_t *p = mem + (at >> 3);
	uint64_t mask = bits_mask(n) << (at & 7);

	VDO_CHECK(n <= BITS_AT_ONCE);
	put_u64(p, (get_u64(p) & ~mask) | (v << (at & 7) & mask));
}

/*
 * Copy @n bits. The areas may overlap, even by less than a byte: the order of
 * the copy is such that nothing is read after it was overwritten.
 */
void bits_copy(uint8_t *to, uint64_t to_at, const uint8_t *from,
	       uint64_t from_at, uint64_t n);

/*
 * Move @n bits within an area whose memory may be read and written for 8 bytes
 * beyond them. This is faster than bits_copy().
 */
void bits_move(uint8_t *mem, uint64_t to_at, uint64_t from_at, uint64_t n);

#endif
