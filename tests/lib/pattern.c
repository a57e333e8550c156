/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seed of a block's bytes is its value, mixed; see pattern.h.
 */
#include "build.h"

#include "tests/lib/pattern.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t pattern_random(uint64_t *state, uint64_t limit)
{
	return next(state) % limit;
}

static void random_bytes(uint64_t seed, uint8_t *p, size_t n)
{
	uint64_t v;

	for (; n >= sizeof(v); n -= sizeof(v), p += sizeof(v)) {
		v = next(&seed);
		memcpy(p, &v, sizeof(v));
	}
	v = next(&seed);
	memcpy(p, &v, n);
}

void pattern_fill(value_t v, void *block)
{
	uint8_t *p = block;
	unsigned kind = (unsigned)(v >> 56);
	size_t size = v >> 40 & 0xffff;

	switch (kind) {
	case 0:
		memset(p, 0, BLOCK);
		break;
	case 1:
		random_bytes(v * 0xff51afd7ed558ccdu, p, BLOCK);
		break;
	case 2:
		size = size < 16 ? 16 : size > BLOCK ? BLOCK : size;
		memset(p, 'a' + (int)(v % 26), BLOCK);
		random_bytes(v * 0xff51afd7ed558ccdu, p, size);
		break;
	default:
		random_bytes(3, p, BLOCK);
		random_bytes(v, p + 16 * (v % 256), 8);
		memcpy(p + 16 * (v % 256) + 8, &v, sizeof(v));
		break;
	}
}

uint8_t *pattern_blocks(value_t v, uint64_t count)
{
	uint8_t *p = malloc(count * BLOCK);
	uint64_t i;

	if (p == NULL)
		abort();
	for (i = 0; i < count; i++)
		pattern_fill(v == V_ZERO ? v : v + i, p + i * BLOCK);
	return p;
}

bool pattern_is(value_t v, const void *block)
{
	uint8_t want[BLOCK];

	pattern_fill(v, want);
	return memcmp(want, block, BLOCK) == 0;
}
