/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of several blocks at once: what the plain function says of each, for
 * lists of every length and for every variant that this processor runs.
 */
#include "build.h"

#include "base/hash128_lanes.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/lib/unit.h"

#define BLOCKS_MAX 17u
#define ROUNDS	   50u

static uint64_t state;

static uint64_t random_next(void)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return state ^ state >> 29;
}

/* What multiplications with carries between halves may get wrong; chance. */
static void fill(uint8_t *block, unsigned kind)
{
	uint64_t words[HASH128_BLOCK / 8];

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		switch (kind % 8) {
		case 0: words[i] = 0; break;
		case 1: words[i] = UINT64_MAX; break;
		case 2: words[i] = UINT32_MAX; break;
		case 3: words[i] = (uint64_t)UINT32_MAX << 32; break;
		case 4: words[i] = UINT64_C(1) << i % 64; break;
		case 5: words[i] = i == ARRAY_SIZE(words) - 1; break;
		default: words[i] = random_next(); break;
		}
	}
	memcpy(block, words, HASH128_BLOCK);
}

struct list {
	uint8_t *area;
	const uint8_t *blocks[BLOCKS_MAX];
	struct hash128 want[BLOCKS_MAX];
	struct hash128 names[BLOCKS_MAX + 1];
};

/* Each block at a place of its own, at any alignment, with nothing after the
 * last one that may be read. */
static void make(struct list *l, unsigned n, unsigned round)
{
	size_t size = 0;
	size_t at[BLOCKS_MAX];

	for (unsigned i = 0; i < n; i++) {
		at[i] = size + random_next() % 64;
		size = at[i] + HASH128_BLOCK;
	}
	l->area = malloc(MAX(size, 1));
	ck_assert_ptr_nonnull(l->area);
	memset(l->names, 0x5a, sizeof(l->names));
	for (unsigned i = 0; i < n; i++) {
		fill(l->area + at[i], round < 8 ? round + i : 6);
		l->blocks[i] = l->area + at[i];
		l->want[i] = hash128(l->blocks[i], HASH128_BLOCK,
				     BLOCK_NAME_SEED);
	}
}

static void check(const struct list *l, unsigned n)
{
	static const struct hash128 untouched = {.bytes = {
		0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
		0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a}};

	for (unsigned i = 0; i < n; i++)
		ck_assert_mem_eq(l->names[i].bytes, l->want[i].bytes, 16);
	ck_assert_mem_eq(l->names[n].bytes, untouched.bytes, 16);
}

START_TEST(list_of_every_length)
{
	unsigned n = (unsigned)_i;
	struct list l;

	for (unsigned round = 0; round < ROUNDS; round++) {
		make(&l, n, round);
		hash128_blocks(l.blocks, n, l.names);
		check(&l, n);
		free(l.area);
	}
}
END_TEST

/* Those that are not the best here are run, too. */
START_TEST(every_variant)
{
	const struct hash128_variant *v;
	unsigned run = 0;
	struct list l;

	for (unsigned i = 0; (v = hash128_variant(i)) != NULL; i++) {
		ck_assert_uint_le(v->width, HASH128_LANES);
		ck_assert_uint_le(v->least, v->width);
		if (!v->runs_here())
			continue;
		run++;
		for (unsigned round = 0; round < ROUNDS; round++) {
			make(&l, v->width, round);
			v->run(l.blocks, l.names);
			check(&l, v->width);
			free(l.area);
		}
	}
	ck_assert_uint_ge(run, 2); /* those in C */
}
END_TEST

/* The last one runs everywhere, from two blocks on: no list is without one. */
START_TEST(last_variant)
{
	const struct hash128_variant *v, *last = NULL;

	for (unsigned i = 0; (v = hash128_variant(i)) != NULL; i++)
		last = v;
	ck_assert_ptr_nonnull(last);
	ck_assert(last->runs_here());
	ck_assert_uint_eq(last->least, 2);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("hash128_lanes");

	tcase_add_loop_test(tc, list_of_every_length, 0, BLOCKS_MAX + 1);
	tcase_add_test(tc, every_variant);
	tcase_add_test(tc, last_variant);
	return unit_run();
}
