/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdo-bench: how fast is a volume, and how near to the limit?
 *
 * Speaks fio's vocabulary. One process: formats a volume in memory or in a file,
 * fills what is to be read or overwritten, runs operations in a closed loop of
 * --iodepth, and prints rates and latencies. Beside them stands what the same
 * run could reach: the limit, which is what copying, hashing and (where the data
 * is compressed) LZ4 alone reach on the same data with as many threads; and with
 * --raw what the device does without a volume.
 *
 *	main -> raw device -> format -> prepare -> warm-up -> measured -> report
 *
 * The load has no thread of its own (load.c): the threads of the volume do
 * everything. With --sync the main thread does one synchronous operation after
 * the other.
 *
 * bench_measured() is a function of its own so that valgrind's callgrind can
 * count the instructions of the measured part (tests/bench/instructions.sh).
 */
#include "build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <vdo/vdo.h>

#include "api/handle.h"
#include "base/compiler.h"
#include "examples/process.h"
#include "exec/executor.h"
#include "tests/bench/load.h"
#include "tests/bench/medium.h"
#include "tests/bench/arguments.h"
#include "tests/bench/raw.h"
#include "tests/bench/report.h"

/* What is written before goes in pieces of this size at most. */
#define PREPARE_BYTES ((size_t)1 << 20)

static struct arguments o;
static struct vdo_volume *volume; /* NULL: closed */
static uint64_t series; /* each run writes blocks that no other one writes */

static _Noreturn void fail(const char *what, int result, const char *detail)
{
	vdo_close(volume);
	fprintf(stderr, "vdo-bench: %s: %s%s%s\n", what, vdo_strerror(result),
		detail[0] != '\0' ? ": " : "", detail);
	exit(1);
}

static void must(const char *what, int result)
{
	if (result != 0)
		fail(what, result, "");
}

static struct load_work work(enum bench_rw rw, size_t bs, uint64_t size,
			     uint64_t ops)
{
	return (struct load_work){
		.rw = rw,
		.bs = bs,
		.depth = o.iodepth,
		.size = size,
		.ops = ops,
		.seed = series++ << 40,
		.zeroes = o.zeroes,
		.polled = strcmp(o.executor, "inline") == 0,
		.data = o.data,
	};
}

/* ------------------------------------------------------------------ prepare */

/* Run what is not measured. */
static void run_unmeasured(const struct load_work *w)
{
	struct load *load;
	int result;

	if (w->ops == 0 || w->size < w->bs)
		return;
	load = load_new(volume, w);
	result = load_run(load);
	load_free(load);
	must("preparing", result);
	must("flush", vdo_flush(volume, 0));
}

/* The blocks that duplicates are copies of, after what is worked on. */
static void write_originals(void)
{
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, BENCH_BLOCK);
	uint64_t at = o.size;
	int result = 0;

	if (buf == NULL)
		abort();
	bench_base(buf, BENCH_BLOCK, &o.data);
	for (unsigned n = 0; n < o.data.originals && result == 0; n++) {
		if (interrupted() || at + BENCH_BLOCK > o.logical)
			break;
		bench_stamp_original(buf, n);
		result = vdo_pwrite(volume, buf, BENCH_BLOCK, at, 0);
		at += BENCH_BLOCK;
	}
	free(buf);
	must("preparing", result);
	must("flush", vdo_flush(volume, 0));
}

static void write_before(void)
{
	size_t bs = MIN(o.bs, PREPARE_BYTES);
	struct load_work w;

	if (o.mapped < bs)
		return;
	w = work(RW_WRITE, bs, o.mapped, o.mapped / bs);
	w.depth = MIN(o.iodepth, 256);
	if (o.rw >= RW_DISCARD)
		w.depth = 8;
	run_unmeasured(&w);
}

static void open_volume(struct vdo_device *d)
{
	struct vdo_error e = {0};
	int result = vdo_open_device(d, o.config, &volume, &e);

	if (result != 0)
		fail("open", result, e.message);
}

static void close_volume(void)
{
	struct vdo_volume *v = volume;

	volume = NULL;
	must("close", vdo_close(v));
}

static void prepare(struct vdo_device *d)
{
	struct load_work w;

	if (arguments_reads(&o) || o.overwrite || o.rw >= RW_DISCARD)
		write_before();
	if (o.data.duplicates > 0)
		write_originals();
	w = work(o.rw, o.bs, o.size, o.warmup);
	run_unmeasured(&w);
	if (o.cold) {
		close_volume();
		open_volume(d);
	}
}

/* ------------------------------------------------------------------ measure */

/* The loop that is measured: callgrind's switch. */
__attribute__((noinline)) int bench_measured(struct load *load);
int bench_measured(struct load *load)
{
	int result = load_run(load);

	__asm__ volatile("" ::: "memory"); /* no tail call */
	return result;
}

/* What the process has used. */
struct usage {
	uint64_t begun_ns;
	double cpu_seconds, sleeps, crossings;
};

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static struct usage usage_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (struct usage){
		.begun_ns = bench_now(),
		.cpu_seconds = seconds_of(u.ru_utime) + seconds_of(u.ru_stime),
		.sleeps = (double)u.ru_nvcsw,
		.crossings = (double)executor_crossings(volume->executor),
	};
}

static void tell_usage(const struct usage *before, struct bench_result *r)
{
	struct usage now = usage_now();

	r->seconds = (double)(now.begun_ns - before->begun_ns) / 1e9;
	r->cpu_seconds = now.cpu_seconds - before->cpu_seconds;
	if (r->ops == 0)
		return;
	r->sleeps = (now.sleeps - before->sleeps) / (double)r->ops;
	r->crossings = (now.crossings - before->crossings) / (double)r->ops;
}

/* An index that forgets is full: each new name costs what it will from then on. */
static uint64_t forgotten_now(void)
{
	struct vdo_stats *stats;
	uint64_t n;

	must("statistics", vdo_stats_get(volume, &stats));
	n = vdo_stats_value(stats, "index.entriesDiscarded");
	vdo_stats_free(stats);
	return n;
}

static void tell_rates(size_t bs, struct bench_result *r)
{
	struct histogram all;

	load_latencies(&all);
	r->iops = (double)r->ops / r->seconds;
	r->mb_s = r->iops * (double)bs / 1e6;
	r->p50_us = (double)histogram_percentile(&all, 5000) / 1e3;
	r->p99_us = (double)histogram_percentile(&all, 9900) / 1e3;
	r->p999_us = (double)histogram_percentile(&all, 9990) / 1e3;
}

static void measure(size_t bs, unsigned depth, struct bench_result *r)
{
	struct load_work w = work(o.rw, bs, o.size, o.ops);
	struct usage before;
	struct load *load;
	uint64_t forgotten;
	int result;

	w.depth = depth;
	w.first = o.warmup;
	w.sync = o.sync;
	w.batch = o.batch;
	w.runtime_ns = o.runtime_ns;
	load = load_new(volume, &w);
	if (o.flush_delay_ns > 0)
		medium_set_delay((uint64_t)o.flush_delay_ns);
	forgotten = forgotten_now();
	before = usage_now();
	result = bench_measured(load);
	r->ops = load_done(load);
	tell_usage(&before, r);
	medium_set_delay(0);
	must("measuring", result);
	r->forgotten = forgotten_now() - forgotten;
	tell_rates(bs, r);
	load_free(load);
}

/* What the device gets for what was measured, what closing writes included. */
static void count_device(const struct medium_counts *before,
			 struct medium_counts *c)
{
	medium_get_counts(c);
	c->reads -= before->reads;
	c->writes -= before->writes;
	c->fua -= before->fua;
	c->flushes -= before->flushes;
	c->read_bytes -= before->read_bytes;
	c->write_bytes -= before->write_bytes;
}

static void measure_limit(struct bench_result *r)
{
	struct bench_limit limit = {
		.threads = (unsigned)atoi(o.threads),
		.bytes = o.size,
		.reads = arguments_reads(&o),
		.random = o.rw == RW_RANDREAD,
		.data = o.data,
	};

	if (o.no_limit || o.zeroes || o.rw >= RW_DISCARD)
		return;
	r->limit_iops = bench_limit(&limit) / (double)(o.bs / BENCH_BLOCK);
}

/* --------------------------------------------------------------------- main */

static struct bench_pool *configure(void)
{
	struct bench_pool *pool = NULL;
	char text[32];

	if (strcmp(o.executor, "pool") == 0) {
		pool = bench_pool_new((unsigned)atoi(o.threads), o.config);
	} else {
		arguments_set(&o, "executor", o.executor);
		if (strcmp(o.executor, "native") == 0)
			arguments_set(&o, "threads", o.threads);
	}
	snprintf(text, sizeof(text), "%llu", (unsigned long long)o.logical);
	arguments_set(&o, "logical-size", text);
	arguments_set(&o, "force", "on");
	return pool;
}

static struct vdo_device *open_device(void)
{
	struct vdo_error e = {0};
	struct vdo_device *d;
	int result = medium_open(&o, &d, &e);

	if (result != 0)
		fail(o.device, result, e.message);
	return d;
}

static void format(struct vdo_device *d)
{
	struct vdo_error e = {0};
	int result = vdo_format_device(d, o.config, &e);

	if (result != 0)
		fail("format", result, e.message);
}

static void end_if_interrupted(void)
{
	if (!interrupted())
		return;
	if (volume != NULL)
		close_volume();
	fprintf(stderr, "vdo-bench: interrupted\n");
	exit(130);
}

static void run_one(struct vdo_device *d)
{
	struct bench_result r = {0};
	struct medium_counts before;

	if (o.raw)
		must("raw device", raw_measure(&o, d, o.bs, o.iodepth, &r.raw));
	format(d);
	open_volume(d);
	prepare(d);
	medium_get_counts(&before);
	measure(o.bs, o.iodepth, &r);
	close_volume();
	count_device(&before, &r.device);
	end_if_interrupted();
	measure_limit(&r);
	(o.json ? report_json : report_text)(&o, &r);
}

/* The device is measured for all cells before there is a volume on it. */
static struct raw_result *measure_raw_cells(struct vdo_device *d)
{
	unsigned n = 0;
	struct raw_result *cells = calloc(o.sizes.count * o.depths.count,
					  sizeof(*cells));

	if (cells == NULL)
		abort();
	for (unsigned s = 0; o.raw && s < o.sizes.count; s++)
		for (unsigned i = 0; i < o.depths.count; i++, n++)
			must("raw device",
			     raw_measure(&o, d, o.sizes.values[s],
					 (unsigned)o.depths.values[i],
					 &cells[n]));
	return cells;
}

static void run_table(struct vdo_device *d)
{
	struct raw_result *cells = measure_raw_cells(d);
	unsigned n = 0;

	format(d);
	open_volume(d);
	prepare(d);
	report_table_head(&o);
	for (unsigned s = 0; s < o.sizes.count; s++) {
		report_table_size(o.sizes.values[s], s);
		for (unsigned i = 0; i < o.depths.count; i++, n++) {
			struct bench_result r = {.raw = cells[n]};

			measure(o.sizes.values[s],
				(unsigned)o.depths.values[i], &r);
			end_if_interrupted();
			report_table_row(o.sizes.values[s], o.depths.values[i],
					 &r);
		}
	}
	close_volume();
	free(cells);
}

int main(int argc, char **argv)
{
	struct bench_pool *pool;
	struct vdo_device *d;

	process_begin();
	arguments_parse(&o, argc, argv);
	pool = configure();
	catch_interrupts();
	d = open_device();
	if (o.table)
		run_table(d);
	else
		run_one(d);
	medium_end();
	vdo_device_close(d);
	bench_pool_free(pool);
	vdo_config_free(o.config);
	return 0;
}
