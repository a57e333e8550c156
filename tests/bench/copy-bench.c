/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast ranges are copied within a volume in memory, beside reading and writing
 * the same range, in turn:
 *
 *	copy-bench [MB [rounds]]     how large the range is; 256, and 5 rounds
 *
 * Each round fills the range anew with data that is like no other, and copies it
 * twice to places where there is nothing: by reads and writes of 1 MiB, 8 at a
 * time, and by vdo_copy_range(); both with the flush that makes it durable. A line
 * for each round: blocks in a second, of both, and their ratio, by the clock and by
 * the time of the processor; and the medians.
 */
#include "build.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

#define MB	(UINT64_C(1) << 20)
#define CHUNK	MB
#define WORKERS 8u
#define ROUNDS	99u

static void must(const char *what, int result)
{
	bench_must("copy-bench", what, result);
}

/* One of those that read and write side by side. */
struct worker {
	pthread_t thread;
	struct vdo_volume *volume;
	unsigned number;
	uint64_t range, dst;
	uint64_t salt; /* not 0: write new data, and read nothing */
};

static void *work(void *arg)
{
	static const struct bench_data plain;
	struct worker *w = arg;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, CHUNK);

	if (buf == NULL)
		abort();
	if (w->salt != 0)
		bench_base(buf, CHUNK, &plain);
	for (uint64_t at = w->number * CHUNK; at < w->range;
	     at += WORKERS * CHUNK) {
		if (w->salt != 0)
			bench_stamp(buf, CHUNK,
				    w->salt * (w->range / BENCH_BLOCK) +
					    at / BENCH_BLOCK,
				    &plain);
		else
			must("read", vdo_pread(w->volume, buf, CHUNK, at, 0));
		must("write",
		     vdo_pwrite(w->volume, buf, CHUNK, w->dst + at, 0));
	}
	free(buf);
	return NULL;
}

static void all_work(struct vdo_volume *v, uint64_t range, uint64_t dst,
		     uint64_t salt)
{
	struct worker w[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.volume = v,
				       .number = i,
				       .range = range,
				       .dst = dst,
				       .salt = salt};
		if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(w[i].thread, NULL);
	must("flush", vdo_flush(v, 0));
}

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

struct rate {
	double clock, cpu; /* seconds */
};

static struct rate measure(struct vdo_volume *v, uint64_t range, uint64_t dst,
			   bool copies)
{
	double cpu = cpu_seconds();
	uint64_t begin = bench_now();

	if (copies) {
		must("copy", vdo_copy_range(v, dst, 0, range, 0));
		must("flush", vdo_flush(v, 0));
	} else {
		all_work(v, range, dst, 0);
	}
	return (struct rate){.clock = (double)(bench_now() - begin) / 1e9,
			     .cpu = cpu_seconds() - cpu};
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

int main(int argc, char **argv)
{
	uint64_t range = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) * MB;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 5;
	double rates[ROUNDS], ratios[ROUNDS], cpus[ROUNDS];
	double blocks = (double)range / BENCH_BLOCK;
	struct vdo_volume *v;

	if (range == 0 || rounds == 0 || rounds > ROUNDS) {
		fprintf(stderr, "copy-bench [MB [rounds]]\n");
		return 2;
	}
	v = bench_volume_new("copy-bench", 2 * range + 1024 * MB, 3 * range);
	for (unsigned i = 0; i < rounds; i++) {
		struct rate by_data, by_copy;

		all_work(v, range, 0, i + 1);
		must("discard", vdo_discard(v, 2 * range, range, 0));
		must("flush", vdo_flush(v, 0));
		by_data = measure(v, range, range, false);
		by_copy = measure(v, range, 2 * range, true);
		rates[i] = blocks / by_copy.clock;
		ratios[i] = by_data.clock / by_copy.clock;
		cpus[i] = by_data.cpu / by_copy.cpu;
		printf("copy %11.0f blocks/s, read+write %9.0f, ratio %.1f, "
		       "processor %.1f\n",
		       rates[i], blocks / by_data.clock, ratios[i], cpus[i]);
		fflush(stdout);
	}
	must("close", vdo_close(v));
	printf("copy-range %.0f blocks/s, %.1f times read+write, processor "
	       "%.1f times\n",
	       median(rates, rounds), median(ratios, rounds),
	       median(cpus, rounds));
	return 0;
}
