/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names and data of the golden indexes, and SHA-256 to compare with.
 */
#ifndef TESTS_UNIT_INDEX_NAMES_H
#define TESTS_UNIT_INDEX_NAMES_H

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash128.h"

static inline uint64_t golden_mix(uint64_t k)
{
	k ^= k >> 33;
	k *= UINT64_C(0xff51afd7ed558ccd);
	k ^= k >> 33;
	k *= UINT64_C(0xc4ceb9fe1a85ec53);
	return k ^ k >> 33;
}

/* MurmurHash3_x64_128 of the eight bytes of @i, seed 0. */
static inline struct hash128 golden_name(uint64_t i)
{
	uint64_t k = i * UINT64_C(0x87c37b91114253d5), h1, h2 = 8;
	struct hash128 name;

	k = k << 31 | k >> 33;
	h1 = k * UINT64_C(0x4cf5ad432745937f) ^ 8;
	h1 += h2;
	h2 += h1;
	h1 = golden_mix(h1);
	h2 = golden_mix(h2);
	h1 += h2;
	h2 += h1;
	put_u64(name.bytes, h1);
	put_u64(name.bytes + 8, h2);
	return name;
}

static inline void golden_data(uint64_t i, unsigned generation, uint8_t *data)
{
	put_u64(data, i);
	put_u16(data + 8, (uint16_t)generation);
	memcpy(data + 10, "GOLDEN", 6);
}

struct sha256 {
	uint32_t h[8];
	uint8_t block[64];
	uint64_t length;
};

static inline uint32_t sha256_prime(unsigned n, unsigned root)
{
	static const double steps = 4294967296.0;
	unsigned p = 1, d;
	double x, low = 1, high = 20;

	for (n++; n > 0; n--)
		do
			for (p++, d = 2; p % d != 0; d++)
				;
		while (d != p);
	/* Its square or cube root by halving; doubles have bits enough. */
	for (unsigned i = 0; i < 200; i++) {
		x = (low + high) / 2;
		if ((root == 2 ? x * x : x * x * x) > p)
			high = x;
		else
			low = x;
	}
	return (uint32_t)(uint64_t)((low - (double)(unsigned)low) * steps);
}

static inline uint32_t sha256_turn(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static inline void sha256_block(struct sha256 *s)
{
	static uint32_t k[64];
	uint32_t w[64], v[8];

	if (k[0] == 0)
		for (unsigned i = 0; i < 64; i++)
			k[i] = sha256_prime(i, 3);
	for (unsigned i = 0; i < 16; i++)
		w[i] = __builtin_bswap32(get_u32(s->block + 4 * i));
	for (unsigned i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (sha256_turn(w[i - 15], 7) ^ sha256_turn(w[i - 15], 18) ^
			w[i - 15] >> 3) +
		       (sha256_turn(w[i - 2], 17) ^ sha256_turn(w[i - 2], 19) ^
			w[i - 2] >> 10);
	memcpy(v, s->h, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t a = v[7] +
			     (sha256_turn(v[4], 6) ^ sha256_turn(v[4], 11) ^
			      sha256_turn(v[4], 25)) +
			     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t b = (sha256_turn(v[0], 2) ^ sha256_turn(v[0], 13) ^
			      sha256_turn(v[0], 22)) +
			     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += a;
		v[0] = a + b;
	}
	for (unsigned i = 0; i < 8; i++)
		s->h[i] += v[i];
}

static inline void sha256_init(struct sha256 *s)
{
	for (unsigned i = 0; i < 8; i++)
		s->h[i] = sha256_prime(i, 2);
	s->length = 0;
}

static inline void sha256_add(struct sha256 *s, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n-- > 0) {
		s->block[s->length++ % 64] = *p++;
		if (s->length % 64 == 0)
			sha256_block(s);
	}
}

/* @hex: 65 bytes */
static inline void sha256_end(struct sha256 *s, char *hex)
{
	uint64_t bits = s->length * 8;
	uint8_t c = 0x80;

	do {
		sha256_add(s, &c, 1);
		c = 0;
	} while (s->length % 64 != 56);
	for (int i = 56; i >= 0; i -= 8) {
		c = (uint8_t)(bits >> i);
		sha256_add(s, &c, 1);
	}
	for (unsigned i = 0; i < 8; i++)
		snprintf(hex + 8 * i, 9, "%08x", s->h[i]);
}

#endif
