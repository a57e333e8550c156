/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast a volume in a file gives back what was freed (option reclaim):
 *
 *	all        all data was discarded: until 15/16 of it is given back, while the
 *	           volume is open
 *	close      the same with reclaim=close: how long closing takes
 *	scattered  every other block was discarded, which goes back at the end: how
 *	           long closing takes
 *	off        the same without giving back
 *
 *	reclaim-bench [FILE [MB]]     FILE is made, and removed; 1024
 *
 * A line for each: blocks, seconds, MB/s, what the file takes before and after.
 */
#include "build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define MB    (UINT64_C(1) << 20)
#define CHUNK MB

static const char *path = "bench-reclaim.vdo";
static uint64_t size;

static void must(const char *what, int result)
{
	bench_must("reclaim-bench", what, result);
}

static double taken(void)
{
	struct stat st;

	return stat(path, &st) == 0 ? (double)st.st_blocks * 512 / 1e6 : 0;
}

static struct vdo_config *config(const char *reclaim)
{
	struct vdo_config *c;

	must("memory", vdo_config_new(&c));
	must("reclaim", vdo_config_set(c, "reclaim", reclaim, NULL));
	must("compression", vdo_config_set(c, "compression", "off", NULL));
	must("force", vdo_config_set(c, "force", "on", NULL));
	return c;
}

static struct vdo_volume *fill(struct vdo_config *c)
{
	static const struct bench_data plain;
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, CHUNK);
	char text[32];
	struct vdo_volume *v;

	if (buf == NULL)
		abort();
	snprintf(text, sizeof(text), "%" PRIu64 "M", 64 + size / MB * 5 / 4);
	must("size", vdo_config_set(c, "size", text, NULL));
	unlink(path);
	must("format", vdo_format(path, c, NULL));
	must("open", vdo_open(path, c, &v, NULL));
	bench_base(buf, CHUNK, &plain);
	for (uint64_t at = 0; at < size; at += CHUNK) {
		bench_stamp(buf, CHUNK, at / BENCH_BLOCK, &plain);
		must("write", vdo_pwrite(v, buf, CHUNK, at, 0));
	}
	must("flush", vdo_flush(v, 0));
	free(buf);
	return v;
}

static uint64_t reclaimed(struct vdo_volume *v)
{
	struct vdo_stats *stats;
	uint64_t n;

	must("statistics", vdo_stats_get(v, &stats));
	n = vdo_stats_value(stats, "allocator.blocksReclaimed");
	vdo_stats_free(stats);
	return n;
}

static void tell(const char *name, uint64_t blocks, uint64_t begin,
		 double before)
{
	double seconds = (double)(bench_now() - begin) / 1e9;

	printf("reclaim %-10s %8" PRIu64 " blocks %8.3f s %8.0f MB/s, the file "
	       "took %.0f MB, then %.0f MB\n",
	       name, blocks, seconds,
	       (double)blocks * BENCH_BLOCK / 1e6 / seconds, before, taken());
	fflush(stdout);
}

static void discard_scattered(struct vdo_volume *v)
{
	for (uint64_t at = 0; at < size; at += 2 * BENCH_BLOCK)
		must("discard", vdo_discard(v, BENCH_BLOCK, at, 0));
	must("flush", vdo_flush(v, 0));
}

static void run(const char *name, const char *reclaim, bool scattered)
{
	struct vdo_config *c = config(reclaim);
	struct vdo_volume *v = fill(c);
	uint64_t blocks = size / BENCH_BLOCK, begin = bench_now();
	double before = taken();

	if (scattered) {
		discard_scattered(v);
		blocks /= 2;
	} else {
		must("discard", vdo_discard(v, size, 0, 0));
		must("flush", vdo_flush(v, 0));
	}
	if (!scattered && strcmp(reclaim, "on") == 0) {
		while (reclaimed(v) < blocks * 15 / 16)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		tell(name, blocks, begin, before);
	}
	begin = bench_now();
	must("close", vdo_close(v));
	if (scattered || strcmp(reclaim, "on") != 0)
		tell(name, blocks, begin, before);
	vdo_config_free(c);
	unlink(path);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		path = argv[1];
	size = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) * MB;
	run("all", "on", false);
	run("close", "close", false);
	run("scattered", "on", true);
	run("off", "off", true);
	return 0;
}
