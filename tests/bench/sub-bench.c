/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a sub-volume takes to be copied, compared and removed, in memory:
 *
 *	sub-bench [GB [distinct MB]]   so much is mapped, of data that is stored
 *	                               once and shared by copies; 4 and 256
 *
 * A line each: seconds and mapped blocks in a second of a snapshot, of telling where
 * it differs from its source (nowhere), and of its removal; and how long a write of
 * one block took that came while a second snapshot was made, median and longest.
 */
#include "build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <vdo/sub.h>

#include "tests/bench/bench.h"

#define MB    (UINT64_C(1) << 20)
#define GB    (UINT64_C(1) << 30)
#define CHUNK MB

static void must(const char *what, int result)
{
	bench_must("sub-bench", what, result);
}

/* @distinct bytes of data, then copies of them. */
static void fill(struct vdo_volume *a, uint64_t distinct, uint64_t mapped)
{
	static const struct bench_data plain;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, CHUNK);

	if (buf == NULL)
		abort();
	bench_base(buf, CHUNK, &plain);
	for (uint64_t at = 0; at < distinct; at += CHUNK) {
		bench_stamp(buf, CHUNK, at / BENCH_BLOCK + 1, &plain);
		must("write", vdo_pwrite(a, buf, CHUNK, at, 0));
	}
	for (uint64_t at = distinct; at < mapped; at += distinct)
		must("copy", vdo_copy_range(a, at, 0, distinct, 0));
	must("flush", vdo_flush(a, 0));
	free(buf);
}

static int no_change(void *arg, const struct vdo_change *c)
{
	(void)arg;
	(void)c;
	return 1;
}

static void say(const char *what, uint64_t begin, uint64_t mapped)
{
	double s = (double)(bench_now() - begin) / 1e9;

	printf("%-9s %8.3f s  %11.0f blocks/s\n", what, s,
	       (double)mapped / BENCH_BLOCK / s);
	fflush(stdout);
}

/* Somebody who writes meanwhile, one block at a time, all over. */
struct writer {
	struct vdo_volume *a;
	uint64_t blocks;
	atomic_bool stop;
	double us[100000];
	unsigned count;
};

static void *write_on(void *arg)
{
	static const struct bench_data plain;
	struct writer *w = arg;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, BENCH_BLOCK);
	uint64_t at = 0;

	if (buf == NULL)
		abort();
	bench_base(buf, BENCH_BLOCK, &plain);
	while (!atomic_load(&w->stop) && w->count < 100000) {
		uint64_t begin = bench_now();

		at = (at + 7919 * 257) % w->blocks;
		bench_stamp(buf, BENCH_BLOCK, UINT64_C(1) << 40 | w->count,
			    &plain);
		must("write", vdo_pwrite(w->a, buf, BENCH_BLOCK,
					 at * BENCH_BLOCK, 0));
		w->us[w->count++] = (double)(bench_now() - begin) / 1000;
	}
	free(buf);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void write_meanwhile(struct vdo_volume *v, struct vdo_volume *a,
			    uint64_t mapped)
{
	static struct writer w;
	pthread_t thread;
	uint64_t begin;

	w.a = a;
	w.blocks = mapped / BENCH_BLOCK;
	if (pthread_create(&thread, NULL, write_on, &w) != 0)
		abort();
	begin = bench_now();
	must("snapshot", vdo_sub_snapshot(v, "a", "t", NULL));
	say("meanwhile", begin, mapped);
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	qsort(w.us, w.count, sizeof(w.us[0]), compare);
	printf("          %u writes, %.0f us, longest %.0f us\n", w.count,
	       w.us[w.count / 2], w.us[w.count - 1]);
}

int main(int argc, char **argv)
{
	uint64_t mapped = (argc > 1 ? strtoull(argv[1], NULL, 10) : 4) * GB;
	uint64_t distinct = (argc > 2 ? strtoull(argv[2], NULL, 10) : 256) * MB;
	struct vdo_volume *v, *a, *s;
	struct vdo_error e;
	uint64_t begin;

	if (mapped == 0 || distinct == 0 || mapped % distinct != 0 ||
	    mapped / distinct > 80) {
		fprintf(stderr, "sub-bench [GB [distinct MB]], of which GB is "
				"a multiple, up to 80 times\n");
		return 2;
	}
	v = bench_volume_new("sub-bench", distinct + mapped / 64 + 2 * GB,
			     4 * mapped + GB);
	must("create", vdo_sub_create(v, "a", mapped, &e));
	must("open", vdo_sub_open(v, "a", 0, &a, &e));
	fill(a, distinct, mapped);
	begin = bench_now();
	must("snapshot", vdo_sub_snapshot(v, "a", "s", &e));
	say("snapshot", begin, mapped);
	must("open", vdo_sub_open(v, "s", 0, &s, &e));
	begin = bench_now();
	must("changes", vdo_sub_changes(a, s, 0, no_change, NULL));
	say("changes", begin, mapped);
	must("close", vdo_close(s));
	write_meanwhile(v, a, mapped);
	must("close", vdo_close(a));
	begin = bench_now();
	must("remove", vdo_sub_remove(v, "s", &e));
	say("removal", begin, mapped);
	must("close", vdo_close(v));
	return 0;
}
