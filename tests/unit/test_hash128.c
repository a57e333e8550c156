/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block names: the vectors of the format's description, and lengths around
 * the unrolled loop against a plain version of the algorithm.
 */
#include "build.h"

#include "base/hash128.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/unit.h"

static void fill_ff(uint8_t *b)
{
	memset(b, 0xff, 4096);
}

static void fill_count(uint8_t *b)
{
	for (unsigned i = 0; i < 4096; i++)
		b[i] = (uint8_t)i;
}

static void fill_one(uint8_t *b)
{
	memset(b, 0, 4096);
	b[0] = 1;
}

static void fill_zero(uint8_t *b)
{
	memset(b, 0, 4096);
}

static const struct {
	void (*fill)(uint8_t *block);
	const char *name;
} vectors[] = {
	{fill_ff, "2cf69009d52d6d3523e969b0c066121a"},
	{fill_count, "e780e2dafd9f88cdac7f54d5960be94c"},
	{fill_one, "95e432078158aa74dcdc1d8876f82fd1"},
	{fill_zero, "81a3ec86657ee7844a63fd811c8008b7"},
};

START_TEST(vector)
{
	uint8_t block[4096];
	char text[33];
	struct hash128 name;

	vectors[_i].fill(block);
	name = hash128(block, sizeof(block), BLOCK_NAME_SEED);
	for (unsigned i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", name.bytes[i]);
	ck_assert_str_eq(text, vectors[_i].name);
}
END_TEST

static uint64_t rotate(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 33) * UINT64_C(0xff51afd7ed558ccd);
	v = (v ^ v >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return v ^ v >> 33;
}

/* The algorithm, line by line. */
static void plain(const uint8_t *p, size_t n, uint32_t seed, uint8_t *out)
{
	const uint64_t c1 = UINT64_C(0x87c37b91114253d5);
	const uint64_t c2 = UINT64_C(0x4cf5ad432745937f);
	uint64_t h1 = seed, h2 = seed;

	for (size_t i = 0; i < n; i += 16) {
		h1 ^= rotate(get_u64(p + i) * c1, 31) * c2;
		h1 = (rotate(h1, 27) + h2) * 5 + 0x52dce729;
		h2 ^= rotate(get_u64(p + i + 8) * c2, 33) * c1;
		h2 = (rotate(h2, 31) + h1) * 5 + 0x38495ab5;
	}
	h1 ^= n;
	h2 ^= n;
	h1 += h2;
	h2 += h1;
	h1 = mix(h1);
	h2 = mix(h2);
	h1 += h2;
	put_u64(out, h1);
	put_u64(out + 8, h1 + h2);
}

/* Every length up to three rounds of the loop, unaligned, nothing read past. */
START_TEST(lengths)
{
	size_t n = 16 * (size_t)_i;
	uint8_t *area = malloc(n + 1);
	uint8_t want[16];
	struct hash128 name;

	ck_assert_ptr_nonnull(area);
	for (size_t i = 0; i < n + 1; i++)
		area[i] = (uint8_t)(i * 37 + 11);
	plain(area + 1, n, 12345, want);
	name = hash128(area + 1, n, 12345);
	ck_assert_mem_eq(name.bytes, want, 16);
	free(area);
}
END_TEST

START_TEST(seed_counts)
{
	uint8_t block[4096];
	struct hash128 a, b;

	fill_count(block);
	a = hash128(block, sizeof(block), BLOCK_NAME_SEED);
	b = hash128(block, sizeof(block), BLOCK_NAME_SEED + 1);
	ck_assert_mem_ne(a.bytes, b.bytes, 16);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("hash128");

	tcase_add_loop_test(tc, vector, 0, ARRAY_SIZE(vectors));
	tcase_add_loop_test(tc, lengths, 0, 13);
	tcase_add_test(tc, seed_counts);
	return unit_run();
}
