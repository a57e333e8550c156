/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chains side by side: in C, and on x86-64 in vectors of four.
 *
 * AVX-512 multiplies four pairs of 64-bit numbers and rotates them, in
 * registers of 256 bits, which do not slow a processor's clock down. With AVX2
 * alone a multiplication is three of 32 bits, on other units of the processor
 * than those of numbers, so four chains in a vector and four in numbers go well
 * together. The compiler makes either from the same source. A vector is loaded
 * as 16 bytes of each of four blocks, which are then interleaved; to gather
 * them by one instruction takes longer.
 *
 * Measured on a Zen 4, us a block, hot: one at a time 0.48; C 2 lanes 0.39, 4
 * lanes 0.39; AVX2 and C 8 lanes 0.24; AVX-512 4 lanes 0.18, 8 lanes 0.14
 * (tests/bench/hash-bench).
 */
#include "build.h"

#include "base/hash128_lanes.h"

#include "base/hash128_mix.h"

#define BEGIN {BLOCK_NAME_SEED, BLOCK_NAME_SEED}

static void run_c2(const uint8_t *const *blocks, struct hash128 *names)
{
	const uint8_t *p = blocks[0], *q = blocks[1];
	struct hash128_chain a = BEGIN, b = BEGIN;

	for (size_t i = 0; i < HASH128_BLOCK; i += HASH128_STEP) {
		a = hash128_step(a, p + i);
		b = hash128_step(b, q + i);
	}
	names[0] = hash128_end(a, HASH128_BLOCK);
	names[1] = hash128_end(b, HASH128_BLOCK);
}

/* Four chains in numbers. */
struct four {
	struct hash128_chain a, b, c, d;
};

#define BEGIN_FOUR {BEGIN, BEGIN, BEGIN, BEGIN}

static inline void step_four(struct four *f, const uint8_t *const *blocks,
			     size_t at)
{
	f->a = hash128_step(f->a, blocks[0] + at);
	f->b = hash128_step(f->b, blocks[1] + at);
	f->c = hash128_step(f->c, blocks[2] + at);
	f->d = hash128_step(f->d, blocks[3] + at);
}

static void end_four(const struct four *f, struct hash128 *names)
{
	names[0] = hash128_end(f->a, HASH128_BLOCK);
	names[1] = hash128_end(f->b, HASH128_BLOCK);
	names[2] = hash128_end(f->c, HASH128_BLOCK);
	names[3] = hash128_end(f->d, HASH128_BLOCK);
}

static void run_c4(const uint8_t *const *blocks, struct hash128 *names)
{
	struct four f = BEGIN_FOUR;

	for (size_t i = 0; i < HASH128_BLOCK; i += HASH128_STEP)
		step_four(&f, blocks, i);
	end_four(&f, names);
}

static bool runs_anywhere(void)
{
	return true;
}

#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 6)

#include <immintrin.h>

#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512vl")))

typedef uint64_t u64x4 __attribute__((vector_size(32)));

#define SEED_X4 {BLOCK_NAME_SEED, BLOCK_NAME_SEED, BLOCK_NAME_SEED, \
		 BLOCK_NAME_SEED}

/* 16 bytes from @p, then 16 from @q. */
#define LOAD_PAIR(p, q)							       \
	_mm256_inserti128_si256(					       \
		_mm256_castsi128_si256(_mm_loadu_si128((const void *)(p))),    \
		_mm_loadu_si128((const void *)(q)), 1)

/* A step of the four chains in vectors (@h1, @h2). */
#define STEP_X4(h1, h2, blocks, at)					       \
	do {								       \
		__m256i even = LOAD_PAIR((blocks)[0] + (at),		       \
					 (blocks)[2] + (at));		       \
		__m256i odd = LOAD_PAIR((blocks)[1] + (at),		       \
					(blocks)[3] + (at));		       \
									       \
		HASH128_MIX(h1, h2,					       \
			    (u64x4)_mm256_unpacklo_epi64(even, odd),	       \
			    (u64x4)_mm256_unpackhi_epi64(even, odd));	       \
	} while (0)

#define END_X4(h1, h2, names)						       \
	do {								       \
		for (unsigned lane = 0; lane < 4; lane++) {		       \
			struct hash128_chain c = {(h1)[lane], (h2)[lane]};     \
									       \
			(names)[lane] = hash128_end(c, HASH128_BLOCK);	       \
		}							       \
	} while (0)

AVX2 static void run_avx2_c8(const uint8_t *const *blocks,
			     struct hash128 *names)
{
	u64x4 h1 = SEED_X4, h2 = SEED_X4;
	struct four f = BEGIN_FOUR;

	for (size_t i = 0; i < HASH128_BLOCK; i += HASH128_STEP) {
		STEP_X4(h1, h2, blocks, i);
		step_four(&f, blocks + 4, i);
	}
	END_X4(h1, h2, names);
	end_four(&f, names + 4);
}

AVX512 static void run_avx512_4(const uint8_t *const *blocks,
				struct hash128 *names)
{
	u64x4 h1 = SEED_X4, h2 = SEED_X4;

	for (size_t i = 0; i < HASH128_BLOCK; i += HASH128_STEP)
		STEP_X4(h1, h2, blocks, i);
	END_X4(h1, h2, names);
}

AVX512 static void run_avx512_8(const uint8_t *const *blocks,
				struct hash128 *names)
{
	u64x4 a1 = SEED_X4, a2 = SEED_X4, b1 = SEED_X4, b2 = SEED_X4;

	for (size_t i = 0; i < HASH128_BLOCK; i += HASH128_STEP) {
		STEP_X4(a1, a2, blocks, i);
		STEP_X4(b1, b2, blocks + 4, i);
	}
	END_X4(a1, a2, names);
	END_X4(b1, b2, names + 4);
}

/* Both are found out before main(): a load and a test each time. */
static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}

#define X86_VARIANTS							       \
	{"AVX-512, 8 lanes", 8, 5, has_avx512, run_avx512_8},		       \
	{"AVX-512, 4 lanes", 4, 2, has_avx512, run_avx512_4},		       \
	{"AVX2 and C, 8 lanes", 8, 5, has_avx2, run_avx2_c8},
#else
#define X86_VARIANTS
#endif

static const struct hash128_variant variants[] = {
	X86_VARIANTS
	{"C, 4 lanes", 4, 4, runs_anywhere, run_c4},
	{"C, 2 lanes", 2, 2, runs_anywhere, run_c2},
};

const struct hash128_variant *hash128_variant(unsigned number)
{
	return number < ARRAY_SIZE(variants) ? &variants[number] : NULL;
}

/* Name up to @n blocks by the best variant for as many; how many. */
static size_t name_some(const uint8_t *const *blocks, size_t n,
			struct hash128 *names)
{
	const struct hash128_variant *v = variants;
	const uint8_t *lanes[HASH128_LANES];
	struct hash128 all[HASH128_LANES];

	VDO_CHECK(n >= 2);
	while (n < v->least || !v->runs_here())
		v++;
	if (n >= v->width) {
		v->run(blocks, names);
		return v->width;
	}
	for (unsigned i = 0; i < v->width; i++)
		lanes[i] = blocks[MIN(i, n - 1)];
	v->run(lanes, all);
	memcpy(names, all, n * sizeof(*names));
	return n;
}

void hash128_blocks(const uint8_t *const *blocks, size_t n,
		    struct hash128 *names)
{
	while (n > 1) {
		size_t done = name_some(blocks, n, names);

		VDO_CHECK(done > 0 && done <= n);
		blocks += done;
		names += done;
		n -= done;
	}
	if (n == 1)
		*names = hash128(*blocks, HASH128_BLOCK, BLOCK_NAME_SEED);
}
