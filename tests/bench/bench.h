/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmark needs besides the volume: data, time, a thread pool, and
 * the limit.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <vdo/vdo.h>

#define BENCH_BLOCK	4096u
#define BENCH_ORIGINALS 4096u /* blocks that duplicates are copies of */

static inline uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/*
 * Data. A buffer is filled once with a base: random bytes, or of which
 * @compress percent are lines of text, over and over (as fio does it). Each operation then stamps 16
 * bytes of each block, which makes it unique, or, for @duplicates percent of the
 * numbers, equal to one of BENCH_ORIGINALS blocks. Stamping costs next to
 * nothing, so that the load is the library's work and not the generator's.
 */
void bench_base(uint8_t *buf, size_t n, unsigned compress);
void bench_stamp(uint8_t *buf, size_t n, uint64_t number, unsigned duplicates);

/* A pool of @threads threads, set in @config. */
struct bench_pool;
struct bench_pool *bench_pool_new(unsigned threads, struct vdo_config *config);
void bench_pool_free(struct bench_pool *pool);

/* What copying, hashing and LZ4 alone reach: blocks a second, all threads. */
struct bench_limit {
	unsigned threads;
	uint64_t bytes; /* that reads are spread over */
	bool reads;     /* copy only */
	bool random;
	unsigned duplicates;
	unsigned compress;
};

double bench_limit(const struct bench_limit *limit);

#endif
