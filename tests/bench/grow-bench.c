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
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/writers.h"

#define GB    (UINT64_C(1) << 30)
#define TIMES 6u

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

static void grow(struct vdo_volume *v, struct writers *w, unsigned number,
		 uint64_t *as_long)
{
	uint64_t begin;
	double before;

	(void)writers_slowest(w);
	before = writers_slowest_in(w, *as_long);
	begin = bench_now();
	must("grow", vdo_grow(v, GB + number * GB / 2, GB + number * GB, NULL));
	*as_long = bench_now() - begin;
	printf("grow to %4" PRIu64 " MB %9.2f ms, slowest write %8.2f ms, before "
	       "%8.2f ms\n",
	       1024 + UINT64_C(512) * number, (double)*as_long / 1e6,
	       writers_slowest(w), before);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "grow-bench.vdo";
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;
	struct vdo_volume *v = volume_new(path);
	struct writers w;
	uint64_t as_long = 100000000;

	if (count < 1 || count > WRITERS_MAX)
		return 2;
	writers_start(&w, "grow-bench", v, count);
	for (unsigned i = 1; i <= TIMES; i++)
		grow(v, &w, i, &as_long);
	writers_stop(&w);
	must("close", vdo_close(v));
	unlink(path);
	return 0;
}
