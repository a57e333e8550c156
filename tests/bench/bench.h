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
#include <stdlib.h>
#include <time.h>

#include <vdo/vdo.h>

#define BENCH_BLOCK	4096u
#define BENCH_ORIGINALS 4096u /* unless --originals says otherwise */

static inline uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *c)
{
	double x = *(const double *)a, y = *(const double *)c;

	return (x > y) - (x < y);
}

/* Of @rounds times, which are sorted: the mean of the fastest quarter. */
static inline double bench_typical(double *times, unsigned rounds)
{
	unsigned n = rounds < 4 ? 1 : rounds / 4;
	double sum = 0;

	qsort(times, rounds, sizeof(*times), bench_compare);
	for (unsigned i = 0; i < n; i++)
		sum += times[i];
	return sum / n;
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
 * Data. A buffer is filled once with a base: blocks of random bytes, or of which
 * @compress percent are lines of text, over and over (as fio does it). Each
 * operation then stamps 16 bytes of each block, which makes it unique, or, for
 * @duplicates percent of the blocks, equal to one of @originals. What a block
 * holds goes by its stamp alone, wherever it lies in a buffer of whatever size.
 * Stamping costs next to nothing, so that the load is the library's work and
 * not the generator's.
 */
struct bench_data {
	unsigned duplicates; /* percent */
	unsigned compress;   /* percent that LZ4 saves, about */
	unsigned originals;  /* blocks that duplicates are copies of */
};

void bench_base(uint8_t *buf, size_t n, const struct bench_data *data);

/* The blocks of @buf become numbers @first and following. */
void bench_stamp(uint8_t *buf, size_t n, uint64_t first,
		 const struct bench_data *data);

/* A block becomes original @number. */
void bench_stamp_original(uint8_t *block, unsigned number);

/* End the program, after an error of what @what says; it is called @program. */
void bench_must(const char *program, const char *what, int result);

/* A new volume of @size bytes in memory, names in memory, without compression; or
 * the end of the program. */
struct vdo_volume *bench_volume_new(const char *program, uint64_t size,
				    uint64_t logical_size);

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
	struct bench_data data;
};

double bench_limit(const struct bench_limit *limit);

#endif
