/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz entries: one for each decoder of bytes from disk, and whole images.
 *
 * An entry is a file fuzz_<what>.c with the function that libFuzzer calls. With
 * --enable-fuzzing it becomes a fuzzer; in all other builds it is linked with
 * replay.c and run by make check over corpus/<what>/.
 *
 * Entries
 *  (1) do the same for the same bytes: no time, no chance, no state that is
 *      kept from input to input;
 *  (2) check what comes out with FUZZ_CHECK(), crashing is not the only fault;
 *  (3) take any input, of length 0 as well: what is missing reads as zeroes;
 *  (4) leave nothing behind, so that leaks show.
 *
 * Runs on: one thread.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define FUZZ_INPUT_MAX 65536u

#define FUZZ_CHECK(what)                                                       \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,       \
				__LINE__, #what);                              \
			abort();                                               \
		}                                                              \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What mutation starts from: write input number @i, of at most FUZZ_INPUT_MAX
 * bytes, and return its size; 0: there are no more.
 */
size_t fuzz_seed(unsigned i, uint8_t *input);

/* How many mutated inputs make check tries, besides seeds and corpus. */
extern const unsigned fuzz_replays;

/* What is left of an input. */
struct fuzz {
	const uint8_t *p;
	size_t n;
};

/* A number of up to 8 bytes, least first. */
static inline uint64_t fuzz_take(struct fuzz *f, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && f->n > 0; i++, f->n--)
		v |= (uint64_t)*f->p++ << (8 * i);
	return v;
}

/* Fill @n bytes: what is there, then zeroes. Returns what was there. */
static inline size_t fuzz_fill(struct fuzz *f, void *to, size_t n)
{
	size_t there = MIN(n, f->n);

	if (there > 0)
		memcpy(to, f->p, there);
	memset((uint8_t *)to + there, 0, n - there);
	f->p += there;
	f->n -= there;
	return there;
}

/*
 * Patches: the rest of the input is a list of changes to an image of @n bytes,
 * each 3 bytes of place, 1 of length (1..64) and that many bytes.
 */
static inline void fuzz_patch(struct fuzz *f, uint8_t *image, size_t n)
{
	while (f->n > 4) {
		size_t at = fuzz_take(f, 3) % n;
		size_t length = 1 + fuzz_take(f, 1) % 64;

		fuzz_fill(f, image + at, MIN(MIN(length, n - at), f->n));
	}
}

/* The other direction, for seeds: returns the bytes used at @to. */
static inline size_t fuzz_put_patch(uint8_t *to, size_t at, const void *bytes,
				    uint8_t n)
{
	to[0] = (uint8_t)at;
	to[1] = (uint8_t)(at >> 8);
	to[2] = (uint8_t)(at >> 16);
	to[3] = (uint8_t)(n - 1);
	memcpy(to + 4, bytes, n);
	return (size_t)n + 4;
}

/* Names, keys, damage: a generator with a seed. */
static inline uint64_t fuzz_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
