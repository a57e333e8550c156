/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * index-bench: what does a record cost in the index, and how long does it take?
 *
 * Makes an index in memory or in a file and asks it in a closed loop of --depth
 * requests. Costs are processor time of the process, as time and in units: one
 * unit is the time of hashing a 4 KiB block, here and now. Rates are by the
 * wall clock.
 *
 *	fill	    posts of new names, until --chapters have been closed
 *	steady	    as many of --measure chapters more; all chapters are in use
 *		    if --chapters was not less than the index has, and expire
 *	closing	    the same with the latency of each request; next to it with
 *		    16 requests at a time
 *	open	    queries of names in the open chapter
 *	cached	    of names in one chapter whose pages are in the cache
 *	uncached    of names in any chapter, most of whose pages are not
 *	sparse	    of names in a chapter in the sparse cache
 *	absent	    of names that are not there
 *
 * Requests are made again from inside of their callbacks, on one queue of each
 * thread: the threads of the index do everything. With --local each thread asks
 * for the names of the zone that it runs, as the hash zones of a volume do.
 */
#include "build.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "base/hash128.h"
#include "exec/executor.h"
#include "index/index.h"
#include "io/device.h"
#include "tests/bench/bench.h"
#include "tests/lib/histogram.h"

#define THREADS_MAX 16
#define BATCH	    64u /* numbers that an asker takes at a time */

static struct options {
	int memory;
	bool sparse, json, load, no_prefetch, local;
	unsigned zones, threads, depth, chapters, measure;
	const char *executor, *device;
} o = {
	.memory = -256,
	.zones = 1,
	.depth = 256,
	.measure = 20,
	.executor = "native",
	.device = "mem",
};

struct asker;

struct slot {
	struct index_op op;
	struct asker *asker;
	uint64_t begun_ns;
};

/* One a thread. */
struct asker {
	_Alignas(CACHE_LINE) struct queue *queue;
	struct completion go;
	struct slot *slots;
	unsigned slot_count, out;
	uint64_t next, end; /* numbers taken */
	uint64_t found;
	struct histogram latency;
};

static struct bench {
	struct executor *x;
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct index_config config;
	struct index_geometry geometry;
	struct index *index;
	struct asker askers[THREADS_MAX];
	double unit_ns;

	/* The row. */
	enum index_request request;
	unsigned depth;
	bool timed;
	uint64_t low, step, count; /* names: low + step * i % count */
	uint64_t records;
	_Atomic uint64_t taken;
	_Atomic unsigned busy;
	struct event over;
	int result;
} b;

struct row {
	const char *name;
	unsigned depth;
	uint64_t records, found, page_reads, chapters;
	double cpu_ns, wall_ns;
	double p50_us, p999_us; /* 0: not measured */
};

static _Noreturn void die(const char *what, int result)
{
	fprintf(stderr, "index-bench: %s: %s\n", what, vdo_strerror(result));
	exit(1);
}

static void must(const char *what, int result)
{
	if (result != 0)
		die(what, result);
}

static void sync_failed(void *arg, int result)
{
	(void)arg;
	die("flush", result);
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* -------------------------------------------------------------- requests */

/* A name that looks like a hash, cheaper than one. */
static void make_name(struct index_name *name, uint64_t i)
{
	uint64_t seed = i, x = bench_random(&seed);
	struct hash128 hash;

	put_u64(hash.bytes, x);
	put_u64(hash.bytes + 8,
		(x ^ x >> 29) * UINT64_C(0xff51afd7ed558ccd) ^ i);
	index_set_name(b.index, name, &hash);
}

static uint64_t number_at(uint64_t i)
{
	return b.low + i * b.step % b.count;
}

/* With --local all askers go over all numbers and leave out others' names. */
static bool take_local(struct asker *a, struct index_name *name,
		       uint64_t *number)
{
	while (a->next < b.records) {
		*number = number_at(a->next++);
		make_name(name, *number);
		if (&b.askers[name->zone] == a)
			return true;
	}
	return false;
}

static bool take_number(struct asker *a, struct index_name *name,
			uint64_t *number)
{
	if (o.local)
		return take_local(a, name, number);
	if (a->next == a->end) {
		a->next = atomic_fetch_add_explicit(&b.taken, BATCH,
						    memory_order_relaxed);
		if (a->next >= b.records) {
			a->next = a->end = b.records;
			return false;
		}
		a->end = MIN(a->next + BATCH, b.records);
	}
	*number = number_at(a->next++);
	make_name(name, *number);
	return true;
}

static void slot_serve(struct completion *c);
static void slot_done(struct completion *c);

static void slot_next(struct slot *s)
{
	struct asker *a = s->asker;
	uint64_t number;

	if (!take_number(a, &s->op.name, &number))
		return;
	s->op.request = b.request;
	put_u64(s->op.data, number);
	a->out++;
	completion_init(&s->op.done, a->queue,
			o.local ? slot_serve : slot_done);
	if (b.timed)
		s->begun_ns = bench_now();
	if (!o.no_prefetch)
		index_prefetch(b.index, &s->op.name);
	if (o.local)
		completion_post(&s->op.done);
	else
		index_start(b.index, &s->op);
}

static void asker_check(struct asker *a)
{
	if (a->out == 0 && atomic_fetch_sub(&b.busy, 1) == 1)
		executor_signal(b.x, &b.over);
}

static void slot_done(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, op.done);
	struct asker *a = s->asker;

	must("request", c->result);
	if (b.timed)
		histogram_record(&a->latency, bench_now() - s->begun_ns);
	a->out--;
	a->found += s->op.found;
	slot_next(s);
	asker_check(a);
}

/* The queue is that of the zone; the name was announced a while ago. */
static void slot_serve(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, op.done);

	c->fn = slot_done;
	if (index_serve(b.index, &s->op))
		slot_done(c);
}

static void asker_go(struct completion *c)
{
	struct asker *a = container_of(c, struct asker, go);
	unsigned count = MIN(MAX(b.depth / o.threads, 1), a->slot_count);

	for (unsigned i = 0; i < count; i++)
		slot_next(&a->slots[i]);
	asker_check(a);
}

static void ask_all(void)
{
	atomic_store(&b.taken, 0);
	atomic_store(&b.busy, o.threads);
	event_init(&b.over);
	for (unsigned i = 0; i < o.threads; i++) {
		struct asker *a = &b.askers[i];

		a->next = a->end = a->found = 0;
		histogram_init(&a->latency);
		completion_init(&a->go, a->queue, asker_go);
	}
	for (unsigned i = 0; i < o.threads; i++)
		completion_post(&b.askers[i].go);
	executor_wait(b.x, &b.over);
}

static struct row measure(const char *name)
{
	struct row row = {.name = name, .depth = b.depth, .records = b.records};
	struct index_stats before, after;
	struct histogram all;
	double cpu = cpu_now();
	uint64_t wall = bench_now();

	index_get_stats(b.index, &before);
	ask_all();
	row.cpu_ns = (cpu_now() - cpu) / (double)b.records;
	row.wall_ns = (double)(bench_now() - wall) / (double)b.records;
	index_get_stats(b.index, &after);
	row.page_reads = after.page_reads - before.page_reads;
	row.chapters = after.chapters_written - before.chapters_written;
	histogram_init(&all);
	for (unsigned i = 0; i < o.threads; i++) {
		row.found += b.askers[i].found;
		histogram_merge(&all, &b.askers[i].latency);
	}
	if (b.timed) {
		row.p50_us = (double)histogram_percentile(&all, 5000) / 1e3;
		row.p999_us = (double)histogram_percentile(&all, 9990) / 1e3;
	}
	return row;
}

/* --------------------------------------------------------------- reporting */

static void print_head(void)
{
	if (o.json)
		return;
	printf("index: memory=%d %s, zones=%u threads=%u executor=%s "
	       "device=%s\nunit: hashing 4 KiB takes %.0f ns\n"
	       "%-9s %5s %9s %7s %6s %8s %6s %7s %8s %9s\n",
	       o.memory, o.sparse ? "sparse" : "dense", o.zones, o.threads,
	       o.executor, o.device, b.unit_ns, "", "depth", "records",
	       "CPU ns", "units", "k/s", "found", "reads", "p50 us",
	       "p99.9 us");
}

static void print_row(const struct row *r)
{
	double records = (double)r->records;

	if (o.json)
		printf("{\"row\":\"%s\",\"memory\":%d,\"sparse\":%d,"
		       "\"zones\":%u,\"threads\":%u,\"depth\":%u,"
		       "\"records\":%" PRIu64 ",\"unit_ns\":%.1f,"
		       "\"cpu_ns\":%.1f,\"units\":%.3f,\"rate\":%.0f,"
		       "\"found\":%.4f,\"reads\":%.4f,\"chapters\":%" PRIu64
		       ",\"p50_us\":%.1f,\"p999_us\":%.1f}\n",
		       r->name, o.memory, o.sparse, o.zones, o.threads,
		       r->depth, r->records, b.unit_ns, r->cpu_ns,
		       r->cpu_ns / b.unit_ns, 1e9 / r->wall_ns,
		       (double)r->found / records,
		       (double)r->page_reads / records, r->chapters,
		       r->p50_us, r->p999_us);
	else
		printf("%-9s %5u %9" PRIu64 " %7.0f %6.2f %8.0f %5.1f%% %7.3f",
		       r->name, r->depth, r->records, r->cpu_ns,
		       r->cpu_ns / b.unit_ns, 1e6 / r->wall_ns,
		       100 * (double)r->found / records,
		       (double)r->page_reads / records);
	if (!o.json && r->p50_us > 0)
		printf(" %8.1f %9.1f", r->p50_us, r->p999_us);
	if (!o.json)
		putchar('\n');
	fflush(stdout);
}

/* What X 12 counts: lists with 32 bytes each of bookkeeping, cached pages, two
 * open chapters and the one that is being collated. */
static double expected_memory(void)
{
	const struct index_geometry *g = &b.geometry;
	uint64_t bytes = (uint64_t)g->cache_pages * PAGE_BYTES +
			 3 * (uint64_t)g->records * RECORD_BYTES;

	for (unsigned i = 0; i < g->sub_count; i++)
		bytes += g->subs[i].memory_size +
			 32 * (uint64_t)g->subs[i].list_count;
	if (g->sparse)
		bytes += (uint64_t)CACHE_CHAPTERS * g->index_pages * PAGE_BYTES;
	return (double)bytes;
}

static void print_memory(void)
{
	double expected = expected_memory();
	struct index_stats s;

	index_get_stats(b.index, &s);
	if (o.json)
		printf("{\"row\":\"memory\",\"bytes\":%" PRIu64
		       ",\"expected\":%.0f,\"entries\":%" PRIu64
		       ",\"chapters\":%" PRIu64 "}\n",
		       s.memory_used, expected, s.entries_indexed,
		       s.newest_chapter - s.oldest_chapter + 1);
	else
		printf("memory %.1f MB, %.1f %% of what the format says; "
		       "%" PRIu64 " entries of %" PRIu64 " chapters\n",
		       (double)s.memory_used / 1e6,
		       100 * (double)s.memory_used / expected,
		       s.entries_indexed,
		       s.newest_chapter - s.oldest_chapter + 1);
}

/* --------------------------------------------------------------------- rows */

/* Numbers low + step * i, modulo count, for i below records. */
static void names(uint64_t low, uint64_t count, uint64_t step, uint64_t records)
{
	b.low = low;
	b.count = count;
	b.step = step;
	b.records = records;
}

static struct row run(const char *name, enum index_request request,
		      unsigned depth, bool timed)
{
	b.request = request;
	b.depth = depth;
	b.timed = timed;
	return measure(name);
}

static void report(const char *name, enum index_request request,
		   unsigned depth, bool timed)
{
	struct row row = run(name, request, depth, timed);

	print_row(&row);
}

/* Posts of @count names from *next on. */
static void post(const char *name, uint64_t *next, uint64_t count,
		 unsigned depth, bool timed)
{
	names(*next, count, 1, count);
	*next += count;
	if (name != NULL)
		report(name, INDEX_POST, depth, timed);
	else
		run(name, INDEX_POST, depth, timed);
}

/* The names of one chapter, first to bring its pages in. */
static void query_chapter(const char *name, uint64_t low)
{
	uint64_t records = b.geometry.records;

	names(low, records, 1, records);
	run(name, INDEX_QUERY_NO_UPDATE, o.depth, false);
	names(low, records, 1, 4 * records);
	report(name, INDEX_QUERY_NO_UPDATE, o.depth, false);
}

static void query(uint64_t *next)
{
	const struct index_geometry *g = &b.geometry;
	uint64_t records = g->records, half = records / 2, dense;
	uint64_t open = *next;

	post(NULL, next, half, o.depth, false);
	names(open, half, 1, 4 * records);
	report("open", INDEX_QUERY_NO_UPDATE, o.depth, false);
	query_chapter("cached", *next - 4 * records);
	dense = MIN(MIN(g->dense_chapters, g->chapters) * 9 / 10 * records,
		    *next - records);
	/* A prime number of names further each time. */
	names(*next - half - dense, dense, 15485863, records);
	report("uncached", INDEX_QUERY_NO_UPDATE, o.depth, false);
	if (g->sparse && *next > (g->dense_chapters + 10) * records)
		query_chapter("sparse",
			      *next - half - (g->dense_chapters + 10) * records);
	names(UINT64_C(1) << 40, UINT64_MAX, 1, o.measure * records);
	report("absent", INDEX_QUERY, o.depth, false);
}

/* A number that no name of an index that was loaded has. */
static uint64_t begin_behind(void)
{
	struct index_stats s;

	index_get_stats(b.index, &s);
	return (s.newest_chapter + 1) * b.geometry.records;
}

static void run_rows(void)
{
	uint64_t records = b.geometry.records, next = 0;
	uint64_t measured = o.measure * records;

	print_head();
	if (o.load)
		next = begin_behind();
	else
		post("fill", &next, o.chapters * records, o.depth, false);
	post("steady", &next, measured, o.depth, false);
	post("closing", &next, measured, o.depth, true);
	post("closing", &next, measured, 16, true);
	query(&next);
	print_memory();
}

/* -------------------------------------------------------------------- setup */

static void measure_unit(void)
{
	static uint8_t block[4096];
	double best = 0;

	for (unsigned round = 0; round < 5; round++) {
		double start = cpu_now(), each;
		uint64_t sum = 0;
		unsigned n = 50000;

		for (unsigned i = 0; i < n; i++) {
			put_u64(block, i + sum);
			sum += hash128(block, sizeof(block), BLOCK_NAME_SEED)
				       .bytes[0];
		}
		each = (cpu_now() - start) / n;
		if (round == 0 || each < best)
			best = each;
	}
	b.unit_ns = best;
}

static void make_executor(void)
{
	struct native_config native = {.threads = o.threads,
				       .spin_us = NATIVE_SPIN_US,
				       .name_prefix = "bench"};

	if (strcmp(o.executor, "inline") == 0)
		must("executor", executor_inline_create(&b.x));
	else
		must("executor", executor_native_create(&native, &b.x));
}

/* First touches of memory are the kernel's work: have them done before. */
static void touch(uint64_t bytes)
{
	static const uint8_t zeroes[1 << 20];

	for (uint64_t at = 0; at + sizeof(zeroes) <= bytes;
	     at += sizeof(zeroes))
		must("memory", device_write(b.device, at, zeroes,
					    sizeof(zeroes)));
}

static void make_device(void)
{
	uint64_t bytes = b.geometry.total_blocks * BLOCK_SIZE;
	uint64_t chapters = o.chapters + 3 * (uint64_t)o.measure + 2;
	struct vdo_error e = {0};
	int r;

	if (strcmp(o.device, "mem") == 0) {
		must("device", vdo_device_open_memory(bytes, &b.device));
		touch(MIN(bytes, chapters * b.geometry.chapter_pages *
					 PAGE_BYTES));
		return;
	}
	r = vdo_device_open(o.device, o.load ? 0 : VDO_OPEN_CREATE, &b.device,
			    &e);
	if (r == 0 && !o.load && b.device->size_bytes < bytes) {
		vdo_device_close(b.device);
		if (truncate(o.device, (off_t)bytes) != 0)
			die(o.device, -errno);
		r = vdo_device_open(o.device, 0, &b.device, &e);
	}
	if (r != 0) {
		fprintf(stderr, "index-bench: %s: %s\n", o.device, e.message);
		exit(1);
	}
}

static void make_queues(void)
{
	must("queue", executor_queue(b.x, "index", o.threads - 1,
				     &b.config.queue));
	for (unsigned i = 0; i < o.zones; i++)
		must("queue",
		     executor_queue(b.x, "zone", i, &b.config.zones[i]));
	for (unsigned i = 0; i < o.threads; i++) {
		struct asker *a = &b.askers[i];

		if (o.local)
			a->queue = b.config.zones[i];
		else
			must("queue",
			     executor_queue(b.x, "asker", i, &a->queue));
		a->slot_count = MAX(o.depth / o.threads, 16);
		a->slots = calloc(a->slot_count, sizeof(*a->slots));
		for (unsigned s = 0; s < a->slot_count; s++)
			a->slots[s].asker = a;
	}
}

static struct completion opening;

static void opened(struct completion *c)
{
	b.result = c->result;
	executor_signal(b.x, &b.over);
}

static void wait_opened(const char *what)
{
	executor_wait(b.x, &b.over);
	must(what, b.result);
}

static void set_up(void)
{
	static struct log log;

	must("geometry", index_geometry_init(&b.geometry, o.memory, o.sparse,
					     UINT64_C(1) << 20));
	if (o.chapters == 0)
		o.chapters = b.geometry.chapters;
	make_executor();
	make_device();
	must("claim", device_claim(b.device, b.x));
	storage_init(&b.storage, b.device, 0);
	make_queues();
	sync_init(&b.sync, b.config.queue, &b.storage, sync_failed, NULL);
	b.config.memory = o.memory;
	b.config.sparse = o.sparse;
	b.config.zone_count = o.zones;
	b.config.log = &log;
	b.config.storage = &b.storage;
	b.config.sync = &b.sync;
	b.config.block_count = b.geometry.total_blocks;
	b.config.nonce = 1;
	must("create", index_create(&b.config, &b.index));
	event_init(&b.over);
	completion_init(&opening, b.askers[0].queue, opened);
	index_open(b.index, o.load ? INDEX_LOAD_SAVED : INDEX_FORMAT, &opening);
	wait_opened("open");
}

static void tear_down(void)
{
	bool save = strcmp(o.device, "mem") != 0 && !o.load;

	event_init(&b.over);
	completion_init(&opening, b.askers[0].queue, opened);
	index_close(b.index, save, &opening);
	wait_opened("close");
	executor_destroy(b.x);
	index_destroy(b.index);
	for (unsigned i = 0; i < o.threads; i++)
		free(b.askers[i].slots);
	device_release(b.device);
	vdo_device_close(b.device);
}

/* ------------------------------------------------------------------ options */

static void usage(FILE *to)
{
	fputs("usage: index-bench [OPTION]...\n"
	      "  --memory=CODE            size of the index (-256: 0.25 GB)\n"
	      "  --sparse                 a sparse one\n"
	      "  --zones=N                zones (1)\n"
	      "  --threads=N              threads (as many as zones)\n"
	      "  --depth=N                requests at a time (256)\n"
	      "  --chapters=N             chapters to fill (all)\n"
	      "  --measure=N              chapters of the other rows (20)\n"
	      "  --executor=native|inline (native)\n"
	      "  --device=mem|PATH        PATH is overwritten and gets the "
	      "index (mem)\n"
	      "  --load                   PATH has an index of --chapters\n"
	      "  --no-prefetch            do not announce requests\n"
	      "  --local                  each thread asks the zone it runs\n"
	      "  --json                   one line of JSON a row\n",
	      to);
}

static const struct option longs[] = {
	{"memory", 1, NULL, 'm'},   {"sparse", 0, NULL, 's'},
	{"zones", 1, NULL, 'z'},    {"threads", 1, NULL, 't'},
	{"depth", 1, NULL, 'd'},    {"chapters", 1, NULL, 'n'},
	{"measure", 1, NULL, 'M'},  {"executor", 1, NULL, 'e'},
	{"device", 1, NULL, 'f'},   {"load", 0, NULL, 'l'},
	{"no-prefetch", 0, NULL, 'P'}, {"local", 0, NULL, 'L'},
	{"json", 0, NULL, 'j'},
	{"help", 0, NULL, 'h'},	    {NULL, 0, NULL, 0},
};

static void parse_option(int c)
{
	switch (c) {
	case 'm': o.memory = atoi(optarg); break;
	case 's': o.sparse = true; break;
	case 'z': o.zones = (unsigned)atoi(optarg); break;
	case 't': o.threads = (unsigned)atoi(optarg); break;
	case 'd': o.depth = (unsigned)atoi(optarg); break;
	case 'n': o.chapters = (unsigned)atoi(optarg); break;
	case 'M': o.measure = (unsigned)atoi(optarg); break;
	case 'e': o.executor = optarg; break;
	case 'f': o.device = optarg; break;
	case 'l': o.load = true; break;
	case 'P': o.no_prefetch = true; break;
	case 'L': o.local = true; break;
	case 'j': o.json = true; break;
	case 'h': usage(stdout); exit(0);
	default: usage(stderr); exit(2);
	}
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1)
		parse_option(c);
	if (o.threads == 0 || strcmp(o.executor, "inline") == 0)
		o.threads = strcmp(o.executor, "inline") == 0 ? 1 : o.zones;
	if (o.local && o.threads != o.zones) {
		fputs("index-bench: --local takes a thread for each zone\n",
		      stderr);
		return 2;
	}
	if (optind != argc || o.zones == 0 || o.zones > INDEX_ZONES_MAX ||
	    o.threads > THREADS_MAX || o.depth == 0 || o.measure == 0) {
		usage(stderr);
		return 2;
	}
	measure_unit();
	set_up();
	run_rows();
	tear_down();
	return 0;
}
