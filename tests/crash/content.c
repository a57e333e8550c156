/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is written: unique, equal, alike and compressible blocks.
 */
#include "build.h"

#include "tests/crash/crash.h"

#include "tests/kernel/blocks.h"

#define SEED_MASK ((UINT64_C(1) << 56) - 1)

/* Of @seeds different ones each; their shares of 32. rN: multiples of 8. */
static const struct {
	int kind;
	unsigned share;
	uint64_t seeds;
} kinds[] = {
	{KIND_ZERO, 1, 1},
	{KIND_RAND, 7, SEED_MASK},
	{KIND_RAND, 6, 256}, /* many of these are duplicates */
	{KIND_RAND, 2, 2},   /* and these have 254 references */
	{KIND_SALT, 4, 1 << 20},
	{KIND_TEXT, 4, SEED_MASK},
	{304, 4, SEED_MASK},
	{1800, 4, 1 << 10},
};

content_t content_pick(uint64_t random, uint8_t *step)
{
	unsigned share = (unsigned)(random % 32), k = 0;
	uint64_t seed = (random >> 8) % kinds[0].seeds;

	while (share >= kinds[k].share)
		share -= kinds[k++].share;
	seed = (random >> 8) % kinds[k].seeds;
	*step = kinds[k].kind != KIND_ZERO && (random >> 6) % 4 != 0;
	return kinds[k].kind == KIND_ZERO ? 0 : (content_t)k << 56 | seed;
}

void content_fill(content_t content, uint8_t *block)
{
	block_fill(block, kinds[content >> 56].kind, content & SEED_MASK);
}
