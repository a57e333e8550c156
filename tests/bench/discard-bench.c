/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long one discard takes, of volumes in memory:
 *
 *	never      1 TB of which nothing was ever written
 *	little     4 PB with 1 GB of data
 *	mapped     a range full of data, which is duplicates
 *	empty      the same range again: there are pages, without mappings
 *	zeroes     the range once more, full of zero blocks
 *
 *	discard-bench [GB [reads]]     how large the range is; 64
 *
 * A line for each: what it was, blocks, seconds, and seconds of processor time of
 * all threads, which a busy machine changes less; with "reads" also how long the
 * slowest of the 4 KiB reads took that went on meanwhile, one after the other.
 */
#include "build.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

#define GB	(UINT64_C(1) << 30)
#define CHUNK	(UINT64_C(1) << 20)
#define REPEATS 250u /* mappings of each block; 254 are possible */
#define FILLERS 2u

static void must(const char *what, int result)
{
	bench_must("discard-bench", what, result);
}

struct filler {
	pthread_t thread;
	struct vdo_volume *volume;
	uint64_t begin, end;
};

/* Each chunk of data is written many times, side by side. */
static void *fill_part(void *arg)
{
	static const struct bench_data plain;
	struct filler *f = arg;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, CHUNK);
	uint64_t n = 0;

	if (buf == NULL)
		abort();
	bench_base(buf, CHUNK, &plain);
	for (uint64_t at = f->begin; at < f->end; at += CHUNK) {
		if (n++ % REPEATS == 0)
			bench_stamp(buf, CHUNK, at / BENCH_BLOCK, &plain);
		must("write", vdo_pwrite(f->volume, buf, CHUNK, at, 0));
	}
	free(buf);
	return NULL;
}

static void fill(struct vdo_volume *v, uint64_t bytes)
{
	struct filler f[FILLERS];

	for (unsigned i = 0; i < FILLERS; i++) {
		f[i].volume = v;
		f[i].begin = bytes / FILLERS * i;
		f[i].end = bytes / FILLERS * (i + 1);
		if (pthread_create(&f[i].thread, NULL, fill_part, &f[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < FILLERS; i++)
		pthread_join(f[i].thread, NULL);
	must("flush", vdo_flush(v, 0));
}

/* Reads of the block after the range. */
struct reader {
	pthread_t thread;
	struct vdo_volume *volume;
	uint64_t at;
	uint64_t slowest;
	atomic_bool stop;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	static uint8_t buf[BENCH_BLOCK];

	while (!atomic_load(&r->stop)) {
		uint64_t begin = bench_now();

		must("read", vdo_pread(r->volume, buf, sizeof(buf), r->at, 0));
		begin = bench_now() - begin;
		if (begin > r->slowest)
			r->slowest = begin;
	}
	return NULL;
}

static bool with_reads;

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

typedef int (*range_call)(struct vdo_volume *v, uint64_t count, uint64_t offset,
			  unsigned flags);

static void run(const char *name, struct vdo_volume *v, range_call call,
		uint64_t bytes)
{
	struct reader r = {.volume = v, .at = vdo_volume_size(v) - BENCH_BLOCK};
	double cpu = cpu_seconds();
	uint64_t begin = bench_now();

	atomic_init(&r.stop, false);
	if (with_reads &&
	    pthread_create(&r.thread, NULL, read_on, &r) != 0)
		abort();
	must(name, call(v, bytes, 0, 0));
	must("flush", vdo_flush(v, 0));
	begin = bench_now() - begin;
	atomic_store(&r.stop, true);
	printf("discard %-8s %14" PRIu64 " blocks %9.3f s, processor %.3f s",
	       name, bytes / BENCH_BLOCK, (double)begin / 1e9,
	       cpu_seconds() - cpu);
	if (with_reads) {
		pthread_join(r.thread, NULL);
		printf(", slowest read %.0f us", (double)r.slowest / 1e3);
	}
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t range = (argc > 1 ? strtoull(argv[1], NULL, 10) : 64) * GB;
	uint64_t huge = 4096 * 1024 * GB - CHUNK;
	struct vdo_volume *v;

	with_reads = argc > 2;
	v = bench_volume_new("discard-bench", 3 * GB, 1024 * GB);

	run("never", v, vdo_discard, 1024 * GB);
	must("close", vdo_close(v));
	v = bench_volume_new("discard-bench", 3 * GB, huge);
	fill(v, GB);
	run("little", v, vdo_discard, huge);
	must("close", vdo_close(v));
	v = bench_volume_new("discard-bench", 3 * GB, range + GB);
	fill(v, range);
	run("mapped", v, vdo_discard, range);
	run("empty", v, vdo_discard, range);
	run("zeroes", v, vdo_write_zeroes, range);
	must("close", vdo_close(v));
	return 0;
}
