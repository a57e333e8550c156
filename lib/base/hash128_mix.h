/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MurmurHash3_x64_128: what a step of a chain does with 16 bytes, and how a chain
 * ends. For hash128.c, one chain after another, and hash128_lanes.c, several
 * side by side.
 */
#ifndef BASE_HASH128_MIX_H
#define BASE_HASH128_MIX_H

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash128.h"

#define HASH128_STEP 16 /* bytes */

#define HASH128_C1 UINT64_C(0x87c37b91114253d5)
#define HASH128_C2 UINT64_C(0x4cf5ad432745937f)

#define HASH128_ROTATE(v, n) ((v) << (n) | (v) >> (64 - (n)))

/*
 * A step of chain (@h1, @h2), for numbers and, as a macro, for vectors of them.
 * Times 5 is a shift and an addition, which vectors have.
 */
#define HASH128_MIX(h1, h2, k1, k2)					       \
	do {								       \
		(h1) ^= HASH128_ROTATE((k1) * HASH128_C1, 31) * HASH128_C2;    \
		(h1) = HASH128_ROTATE(h1, 27) + (h2);			       \
		(h1) += ((h1) << 2) + 0x52dce729;			       \
		(h2) ^= HASH128_ROTATE((k2) * HASH128_C2, 33) * HASH128_C1;    \
		(h2) = HASH128_ROTATE(h2, 31) + (h1);			       \
		(h2) += ((h2) << 2) + 0x38495ab5;			       \
	} while (0)

struct hash128_chain {
	uint64_t h1;
	uint64_t h2;
};

static inline struct hash128_chain hash128_step(struct hash128_chain c,
						const uint8_t *p)
{
	HASH128_MIX(c.h1, c.h2, get_u64(p), get_u64(p + 8));
	return c;
}

static inline uint64_t hash128_avalanche(uint64_t v)
{
	v ^= v >> 33;
	v *= UINT64_C(0xff51afd7ed558ccd);
	v ^= v >> 33;
	v *= UINT64_C(0xc4ceb9fe1a85ec53);
	v ^= v >> 33;
	return v;
}

/* The name, after @n bytes. */
static inline struct hash128 hash128_end(struct hash128_chain c, uint64_t n)
{
	struct hash128 name;

	VDO_CHECK(n % HASH128_STEP == 0);
	c.h1 ^= n;
	c.h2 ^= n;
	c.h1 += c.h2;
	c.h2 += c.h1;
	c.h1 = hash128_avalanche(c.h1);
	c.h2 = hash128_avalanche(c.h2);
	c.h1 += c.h2;
	c.h2 += c.h1;
	put_u64(name.bytes, c.h1);
	put_u64(name.bytes + 8, c.h2);
	return name;
}

#endif
