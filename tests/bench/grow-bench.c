/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long writes wait while a volume in a file grows: some threads write 4 KiB
 * at random places, one after the other, and it grows by 512 MB of storage and
 * 1 GB of logical size, a few times.
 *
 *	grow-bench [FILE [writers]]     the file, grow-bench.vdo, which is made and
 *	                                removed; how many threads, 2
 *
 * A line for each time: how long vdo_grow() took, the slowest write meanwhile,
 * and the slowest one in as long a time before that.
 */
#include "build.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define GB	    (UINT64_C(1) << 30)
#define PLACES	    (GB / 4 / BENCH_BLOCK)
#define TIMES	    6u
#define WRITERS_MAX 16u

static void must(const char *what, int result)
{
	bench_must("grow-bench", what, result);
}

static struct vdo_volume *volume_new(const char *path)
{
	struct vdo_config *config = NULL;
	struct vdo_volume *volume = NULL;
	struct vdo_error e;

	must("config", vdo_config_new(&config));
	must("size", vdo_config_set(config, "size", "1G", NULL));
	must("logical size", vdo_config_set(config, "logical-size", "1G", NULL));
	must("index", vdo_config_set(config, "index", "memory", NULL));
	must("format", vdo_format(path, config, &e));
	must("open", vdo_open(path, config, &volume, &e));
	vdo_config_free(config);
	return volume;
}

struct writer {
	pthread_t thread;
	struct vdo_volume *volume;
	uint64_t random;
	_Atomic uint64_t slowest, writes;
	atomic_bool *stop;
};

static void *write_on(void *arg)
{
	static const struct bench_data plain;
	struct writer *w = arg;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, BENCH_BLOCK);

	if (buf == NULL)
		abort();
	bench_base(buf, BENCH_BLOCK, &plain);
	while (!atomic_load(w->stop)) {
		uint64_t place = bench_random(&w->random) % PLACES;
		uint64_t begin;

		bench_stamp(buf, BENCH_BLOCK, place, &plain);
		begin = bench_now();
		must("write", vdo_pwrite(w->volume, buf, BENCH_BLOCK,
					 place * BENCH_BLOCK, 0));
		begin = bench_now() - begin;
		if (begin > atomic_load(&w->slowest))
			atomic_store(&w->slowest, begin);
		atomic_fetch_add(&w->writes, 1);
	}
	free(buf);
	return NULL;
}

/* Wait for one more write of each; the slowest one since the last time, in ms. */
static double slowest(struct writer *w, unsigned count)
{
	uint64_t max = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t writes = atomic_load(&w[i].writes), one;

		while (atomic_load(&w[i].writes) == writes)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		one = atomic_exchange(&w[i].slowest, 0);
		max = one > max ? one : max;
	}
	return (double)max / 1e6;
}

static void grow(struct vdo_volume *v, struct writer *w, unsigned count,
		 unsigned number, uint64_t *as_long)
{
	uint64_t begin;
	double before;

	(void)slowest(w, count);
	nanosleep(&(struct timespec){.tv_nsec = (long)*as_long}, NULL);
	before = slowest(w, count);
	begin = bench_now();
	must("grow", vdo_grow(v, GB + number * GB / 2, GB + number * GB, NULL));
	*as_long = bench_now() - begin;
	printf("grow to %4" PRIu64 " MB %9.2f ms, slowest write %8.2f ms, before "
	       "%8.2f ms\n",
	       1024 + UINT64_C(512) * number, (double)*as_long / 1e6,
	       slowest(w, count), before);
	fflush(stdout);
	if (*as_long > 900000000)
		*as_long = 900000000;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "grow-bench.vdo";
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;
	struct vdo_volume *v = volume_new(path);
	struct writer w[WRITERS_MAX];
	uint64_t as_long = 100000000;
	atomic_bool stop = false;

	if (count < 1 || count > WRITERS_MAX)
		return 2;
	for (unsigned i = 0; i < count; i++) {
		w[i].volume = v;
		w[i].random = i + 1;
		w[i].stop = &stop;
		atomic_init(&w[i].slowest, 0);
		atomic_init(&w[i].writes, 0);
		if (pthread_create(&w[i].thread, NULL, write_on, &w[i]) != 0)
			abort();
	}
	for (unsigned i = 1; i <= TIMES; i++)
		grow(v, w, count, i, &as_long);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < count; i++)
		pthread_join(w[i].thread, NULL);
	must("close", vdo_close(v));
	unlink(path);
	return 0;
}
