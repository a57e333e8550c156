/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash-bench: what does the name of a block cost, one at a time, in each variant
 * of several side by side (base/hash128_lanes.h), and in lists of 2 to 8?
 *
 * All in one process, in turns: a round of each is the same number of blocks,
 * hot (a few, which stay in the cache) and streaming (from memory, ever
 * further). Of the rounds of each the fastest quarter is averaged: others met
 * something else that ran on the machine. Names are compared with those of one
 * at a time.
 */
#include "build.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash128_lanes.h"
#include "tests/bench/bench.h"

#define ROUND  96u /* blocks; a multiple of all widths */
#define HOT    48u
#define AREA   (ROUND * 171) /* 64 MiB */
#define WAYS_MAX 24u

enum place {
	PLACE_HOT,
	PLACE_STREAM,
	PLACES,
};

/* One at a time, a variant, or lists of @width. */
struct way {
	char name[40];
	size_t width;
	const struct hash128_variant *variant;
	double *times[PLACES]; /* us a block, of each round */
	double us[PLACES];
};

static struct options {
	unsigned rounds;
	bool json;
} o = {
	.rounds = 100,
};

static struct bench {
	uint8_t *area;
	struct hash128 *names;
	struct way ways[WAYS_MAX];
	unsigned count;
} b;

static void *must(void *memory)
{
	if (memory == NULL) {
		puts("there is not enough memory");
		exit(1);
	}
	return memory;
}

static const uint8_t *block_at(size_t n)
{
	return b.area + n * HASH128_BLOCK;
}

static void run(const struct way *w, size_t first, struct hash128 *names)
{
	const uint8_t *blocks[HASH128_LANES];

	for (size_t i = 0; i < w->width; i++)
		blocks[i] = block_at(first + i);
	if (w->variant != NULL)
		w->variant->run(blocks, names);
	else if (w->width > 1)
		hash128_blocks(blocks, w->width, names);
	else
		*names = hash128(*blocks, HASH128_BLOCK, BLOCK_NAME_SEED);
}

static double measure(const struct way *w, enum place place, unsigned round)
{
	size_t first = place == PLACE_HOT ? 0 : (size_t)round * ROUND % AREA;
	struct hash128 names[ROUND];
	uint64_t begun = bench_now();
	double us;

	for (size_t i = 0; i + w->width <= ROUND; i += w->width) {
		size_t n = place == PLACE_HOT ? i % HOT : i;

		run(w, first + n, &names[n]);
	}
	us = (double)(bench_now() - begun) / 1e3 / (ROUND - ROUND % w->width);
	if (memcmp(names, &b.names[first], HOT * sizeof(*names)) != 0 &&
	    HOT % w->width == 0) {
		printf("%s: wrong names\n", w->name);
		exit(1);
	}
	return us;
}

static struct way *add(size_t width, const struct hash128_variant *v)
{
	struct way *w = &b.ways[b.count++];

	w->width = width;
	w->variant = v;
	for (unsigned p = 0; p < PLACES; p++)
		w->times[p] = must(calloc(o.rounds, sizeof(double)));
	if (v != NULL)
		snprintf(w->name, sizeof(w->name), "%s", v->name);
	else if (width == 1)
		snprintf(w->name, sizeof(w->name), "one at a time");
	else
		snprintf(w->name, sizeof(w->name), "a list of %zu", width);
	return w;
}

static void prepare(void)
{
	const struct hash128_variant *v;

	b.area = must(aligned_alloc(HASH128_BLOCK,
				    (size_t)AREA * HASH128_BLOCK));
	b.names = must(calloc(AREA, sizeof(*b.names)));
	bench_base(b.area, (size_t)AREA * HASH128_BLOCK,
		   &(struct bench_data){.originals = BENCH_ORIGINALS});
	for (size_t i = 0; i < AREA; i++)
		b.names[i] = hash128(block_at(i), HASH128_BLOCK,
				     BLOCK_NAME_SEED);
	add(1, NULL);
	for (unsigned i = 0; (v = hash128_variant(i)) != NULL; i++) {
		if (v->runs_here())
			add(v->width, v);
	}
	for (size_t n = 2; n <= HASH128_LANES; n++)
		add(n, NULL);
}

static void report(void)
{
	const struct way *one = &b.ways[0], *list = &b.ways[b.count - 1];

	if (o.json) {
		printf("{\"one_us\":%.3f,\"one_stream_us\":%.3f,"
		       "\"us\":%.3f,\"stream_us\":%.3f,\"ratio\":%.3f}\n",
		       one->us[PLACE_HOT], one->us[PLACE_STREAM],
		       list->us[PLACE_HOT], list->us[PLACE_STREAM],
		       list->us[PLACE_HOT] / one->us[PLACE_HOT]);
		return;
	}
	printf("%-24s %8s %8s %8s\n", "us a block of 4 KiB", "hot", "stream",
	       "ratio");
	for (const struct way *w = one; w <= list; w++)
		printf("%-24s %8.3f %8.3f %8.2f\n", w->name, w->us[PLACE_HOT],
		       w->us[PLACE_STREAM],
		       w->us[PLACE_HOT] / one->us[PLACE_HOT]);
}

static void bench(void)
{
	prepare();
	for (unsigned round = 0; round < o.rounds; round++) {
		for (unsigned i = 0; i < b.count; i++) {
			struct way *w = &b.ways[i];

			for (unsigned p = 0; p < PLACES; p++)
				w->times[p][round] =
					measure(w, p, round * b.count + i);
		}
	}
	for (unsigned i = 0; i < b.count; i++) {
		for (unsigned p = 0; p < PLACES; p++) {
			b.ways[i].us[p] = bench_typical(b.ways[i].times[p], o.rounds);
			free(b.ways[i].times[p]);
		}
	}
	report();
	free(b.area);
	free(b.names);
}

static void usage(FILE *to)
{
	fputs("usage: hash-bench [OPTION]...\n"
	      "  --rounds=N  of each variant, of 96 blocks (100)\n"
	      "  --json      one at a time and lists of 8, in one line of JSON\n",
	      to);
}

static const struct option longs[] = {
	{"rounds", 1, NULL, 'r'},
	{"json", 0, NULL, 'j'},
	{"help", 0, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'r': o.rounds = (unsigned)atoi(optarg); break;
		case 'j': o.json = true; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind != argc || o.rounds == 0 || o.rounds > 100000) {
		usage(stderr);
		return 2;
	}
	bench();
	return 0;
}
