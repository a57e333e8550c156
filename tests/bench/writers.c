/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/bench/writers.h"

#include <stdlib.h>

#include "tests/bench/bench.h"

#define PLACES ((UINT64_C(256) << 20) / BENCH_BLOCK)

static void *write_on(void *arg)
{
	static const struct bench_data plain;
	struct writer *w = arg;
	struct writers *all = w->all;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, BENCH_BLOCK);

	if (buf == NULL)
		abort();
	bench_base(buf, BENCH_BLOCK, &plain);
	while (!atomic_load(&all->stop)) {
		uint64_t place = bench_random(&w->random) % PLACES;
		uint64_t begin;

		bench_stamp(buf, BENCH_BLOCK, place, &plain);
		begin = bench_now();
		bench_must(all->program, "write",
			   vdo_pwrite(all->volume, buf, BENCH_BLOCK,
				      place * BENCH_BLOCK, 0));
		begin = bench_now() - begin;
		if (begin > atomic_load(&w->slowest))
			atomic_store(&w->slowest, begin);
		if (atomic_exchange(&w->asked, false))
			sem_post(&w->written);
	}
	free(buf);
	return NULL;
}

void writers_start(struct writers *w, const char *program,
		   struct vdo_volume *volume, unsigned count)
{
	w->program = program;
	w->volume = volume;
	w->count = count;
	atomic_init(&w->stop, false);
	for (unsigned i = 0; i < count; i++) {
		struct writer *one = &w->each[i];

		one->all = w;
		one->random = i + 1;
		atomic_init(&one->slowest, 0);
		atomic_init(&one->asked, false);
		if (sem_init(&one->written, 0, 0) != 0)
			abort();
		if (pthread_create(&one->thread, NULL, write_on, one) != 0)
			abort();
	}
}

double writers_slowest(struct writers *w)
{
	uint64_t max = 0;

	for (unsigned i = 0; i < w->count; i++) {
		struct writer *one = &w->each[i];
		uint64_t slowest;

		atomic_store(&one->asked, true);
		while (sem_wait(&one->written) != 0)
			continue; /* a signal */
		slowest = atomic_exchange(&one->slowest, 0);
		max = slowest > max ? slowest : max;
	}
	return (double)max / 1e6;
}

double writers_slowest_in(struct writers *w, uint64_t ns)
{
	uint64_t begin = bench_now();
	double max = 0;

	do {
		double ms = writers_slowest(w);

		max = ms > max ? ms : max;
	} while (bench_now() - begin < ns);
	return max;
}

void writers_stop(struct writers *w)
{
	atomic_store(&w->stop, true);
	for (unsigned i = 0; i < w->count; i++) {
		pthread_join(w->each[i].thread, NULL);
		sem_destroy(&w->each[i].written);
	}
}
