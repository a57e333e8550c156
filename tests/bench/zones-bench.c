/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long writes wait while a volume in a file gets other zones or threads
 * (vdo_volume_set()): some threads write 4 KiB at random places, one after the
 * other.
 *
 *	zones-bench [FILE [writers]]	the file, zones-bench.vdo, which is made and
 *					removed; how many threads, 2
 *
 * A line for each kind of index and option: the median of how long the call took,
 * and of the slowest write meanwhile; the slowest of all, and the median of the
 * slowest write of as long a time without a change.
 */
#include "build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/writers.h"

#define TIMES 11u

static const struct kind {
	const char *name, *index, *memory;
} kinds[] = {
	{"in memory", "memory", "2M"},
	{"16 MB, on disk", "auto", "16M"},
	{"256 MB, on disk", "auto", "0.25"},
};

static const struct change {
	const char *name, *values[2];
} changes[] = {
	{"logical-zones", {"3", "1"}},
	{"physical-zones", {"3", "1"}},
	{"hash-zones", {"3", "1"}},
	{"index-zones", {"2", "1"}},
	{"threads", {"4", "2"}},
	{"topology", {"classic", "shard"}},
};

static void must(const char *what, int result)
{
	bench_must("zones-bench", what, result);
}

static struct vdo_volume *volume_new(const char *path, const struct kind *kind)
{
	struct vdo_config *config = NULL;
	struct vdo_volume *volume = NULL;
	struct vdo_error e;

	must("config", vdo_config_new(&config));
	must("size", vdo_config_set(config, "size", "5G", NULL));
	must("logical size", vdo_config_set(config, "logical-size", "1G", NULL));
	must("profile", vdo_config_set(config, "profile", "small", NULL));
	must("index memory",
	     vdo_config_set(config, "index-memory", kind->memory, NULL));
	must("index", vdo_config_set(config, "index", kind->index, NULL));
	must("format", vdo_format(path, config, &e));
	must("open", vdo_open(path, config, &volume, &e));
	vdo_config_free(config);
	return volume;
}

static double median(double *times)
{
	qsort(times, TIMES, sizeof(*times), bench_compare);
	return times[TIMES / 2];
}

static void change(struct writers *w, const struct change *c)
{
	double took[TIMES], slow[TIMES], calm[TIMES], most = 0;

	for (unsigned i = 0; i < TIMES; i++) {
		uint64_t begin;

		(void)writers_slowest(w);
		begin = bench_now();
		must(c->name, vdo_volume_set(w->volume, c->name,
					     c->values[i % 2], NULL));
		begin = bench_now() - begin;
		took[i] = (double)begin / 1e6;
		slow[i] = writers_slowest(w);
		most = slow[i] > most ? slow[i] : most;
		nanosleep(&(struct timespec){.tv_nsec = (long)(begin % 900000000)},
			  NULL);
		calm[i] = writers_slowest(w);
	}
	printf("  %-15s %8.1f ms, slowest write %8.1f ms (most %8.1f), "
	       "without %6.1f ms\n",
	       c->name, median(took), median(slow), most, median(calm));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "zones-bench.vdo";
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;

	if (count < 1 || count > WRITERS_MAX)
		return 2;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct vdo_volume *v = volume_new(path, &kinds[k]);
		struct writers w;

		printf("zones, index %s\n", kinds[k].name);
		writers_start(&w, "zones-bench", v, count);
		for (unsigned i = 0; i < sizeof(changes) / sizeof(*changes); i++)
			change(&w, &changes[i]);
		writers_stop(&w);
		must("close", vdo_close(v));
		unlink(path);
	}
	return 0;
}
