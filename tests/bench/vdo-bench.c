/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdo-bench: how fast is a volume, and how near to the limit?
 *
 * Speaks fio's vocabulary. One process: formats a volume in memory or in a file,
 * fills what is to be read or overwritten, runs operations in a closed loop of
 * --iodepth, and prints rates and latencies, and the same-run limit: what
 * copying, hashing and (where the data is compressed) LZ4 alone reach on the
 * same data with as many threads in the same process.
 *
 * Operations are submitted again from inside of their callbacks, so the load
 * has no thread of its own: the threads of the volume do everything. With
 * --sync the main thread does one synchronous operation after the other.
 *
 *	main -> prepare -> warm-up -> measured [callbacks resubmit] -> report
 *
 * bench_measured() is a function of its own so that valgrind's callgrind can
 * count the instructions of the measured part (tests/bench/instructions.sh).
 */
#include "build.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <vdo/vdo.h>

#include "examples/process.h"
#include "io/device.h"
#include "tests/bench/bench.h"
#include "tests/lib/histogram.h"

enum rw {
	RW_WRITE,
	RW_RANDWRITE,
	RW_READ,
	RW_RANDREAD,
	RW_DISCARD,
};

static const char *const rw_names[] = {"write", "randwrite", "read",
				       "randread", "discard"};

static struct options {
	enum rw rw;
	size_t bs;
	unsigned iodepth;
	uint64_t size;    /* bytes of the volume that are worked on */
	uint64_t logical; /* bytes of the volume */
	uint64_t ops, warmup;
	unsigned duplicates; /* percent */
	unsigned compress;   /* percent that LZ4 saves, about */
	bool zeroes, overwrite, sync, json, no_limit;
	const char *executor, *threads, *device;
	const char *name;
	struct vdo_config *config;
} o = {
	.rw = RW_WRITE,
	.bs = BENCH_BLOCK,
	.iodepth = 256,
	.size = UINT64_C(256) << 20,
	.executor = "native",
	.threads = "2",
	.device = "mem",
};

/* --------------------------------------------------------------- latencies */

/* A histogram a thread, so that recording costs little. */
#define THREADS_MAX 256

static _Atomic unsigned histogram_count;
static struct histogram *histograms[THREADS_MAX];
static _Thread_local struct histogram *own_histogram;

static void record(uint64_t ns)
{
	struct histogram *h = own_histogram;

	if (h == NULL) {
		unsigned n = atomic_fetch_add(&histogram_count, 1);

		if (n >= THREADS_MAX)
			return;
		h = calloc(1, sizeof(*h));
		histogram_init(h);
		histograms[n] = own_histogram = h;
	}
	histogram_record(h, ns);
}

static void histograms_reset(void)
{
	for (unsigned i = 0; i < atomic_load(&histogram_count); i++)
		histogram_init(histograms[i]);
}

/* ------------------------------------------------------------------- a run */

struct slot {
	struct run *run;
	uint64_t begun_ns;
	uint64_t random;
	uint64_t next; /* number of the next operation */
	uint8_t *buf;
} __attribute__((aligned(64)));

/* Slot i does operations i, i + iodepth, ...: slots share nothing. */
struct run {
	struct vdo_volume *volume;
	enum rw rw;
	_Atomic uint64_t ops;
	uint64_t first; /* sequential places begin there */
	_Atomic unsigned live; /* slots that are not done */
	_Atomic int error;
	struct slot *slots;
	unsigned slot_count;
	uint64_t seed;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool is_over;
};

static struct vdo_volume *volume; /* NULL: closed */

static void fail(const char *what, int result, const char *detail)
{
	vdo_close(volume); /* from a callback it does nothing */
	fprintf(stderr, "vdo-bench: %s: %s%s%s\n", what, vdo_strerror(result),
		detail[0] != '\0' ? ": " : "", detail);
	exit(1);
}

static uint64_t place_of(struct run *run, struct slot *s, uint64_t n)
{
	uint64_t blocks = o.size / o.bs;

	if (run->rw == RW_RANDWRITE || run->rw == RW_RANDREAD)
		n = bench_random(&s->random);
	else
		n += run->first;
	return n % blocks * o.bs;
}

static void op_done(void *arg, int result);

static int op_start(struct slot *s, uint64_t n)
{
	struct run *run = s->run;
	uint64_t at = place_of(run, s, n);

	switch (run->rw) {
	case RW_WRITE:
	case RW_RANDWRITE:
		if (!o.zeroes)
			bench_stamp(s->buf, o.bs, run->seed + n, o.duplicates);
		return vdo_aio_pwrite(run->volume, s->buf, o.bs, at, op_done,
				      s, 0);
	case RW_READ:
	case RW_RANDREAD:
		return vdo_aio_pread(run->volume, s->buf, o.bs, at, op_done, s,
				     0);
	case RW_DISCARD:
		return vdo_aio_discard(run->volume, o.bs, at, op_done, s, 0);
	}
	return -EINVAL;
}

static void run_over(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->is_over = true;
	pthread_cond_signal(&run->over);
	pthread_mutex_unlock(&run->lock);
}

static void op_next(struct slot *s, uint64_t now)
{
	struct run *run = s->run;
	uint64_t n = s->next;
	int result;

	if (n >= atomic_load_explicit(&run->ops, memory_order_relaxed)) {
		if (atomic_fetch_sub(&run->live, 1) == 1)
			run_over(run);
		return;
	}
	s->next += run->slot_count;
	s->begun_ns = now;
	result = op_start(s, n);
	if (result != 0)
		fail("submit", result, "");
}

static void op_done(void *arg, int result)
{
	struct slot *s = arg;
	uint64_t now = bench_now();

	record(now - s->begun_ns);
	if (result != 0)
		atomic_store(&s->run->error, result);
	op_next(s, now);
}

static void run_sync(struct run *run)
{
	struct slot *s = &run->slots[0];
	bool reads = run->rw == RW_READ || run->rw == RW_RANDREAD;

	for (uint64_t n = 0; n < run->ops && !interrupted(); n++) {
		uint64_t at = place_of(run, s, n);
		int result;

		if (!reads && !o.zeroes)
			bench_stamp(s->buf, o.bs, run->seed + n, o.duplicates);
		s->begun_ns = bench_now();
		result = reads ? vdo_pread(run->volume, s->buf, o.bs, at, 0)
			       : vdo_pwrite(run->volume, s->buf, o.bs, at, 0);
		record(bench_now() - s->begun_ns);
		if (result != 0)
			fail("operation", result, "");
	}
}

/* After a signal: no slot has anything more to do. */
static void end_early(struct run *run)
{
	if (interrupted())
		atomic_store(&run->ops, 0);
}

static void wait_a_moment(struct run *run)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_cond_timedwait(&run->over, &run->lock, &until);
}

static void run_all(struct run *run)
{
	bool poll = strcmp(o.executor, "inline") == 0;

	if (o.sync) {
		run_sync(run);
		return;
	}
	for (unsigned i = 0; i < run->slot_count; i++)
		op_next(&run->slots[i], bench_now());
	while (poll && !run->is_over) {
		vdo_poll(run->volume, -1);
		end_early(run);
	}
	pthread_mutex_lock(&run->lock);
	while (!run->is_over) {
		wait_a_moment(run);
		end_early(run);
	}
	pthread_mutex_unlock(&run->lock);
}

/* The loop that is measured: callgrind's switch. */
__attribute__((noinline)) void bench_measured(struct run *run);
void bench_measured(struct run *run)
{
	run_all(run);
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

static struct run *run_new(struct vdo_volume *v, enum rw rw, uint64_t ops,
			   uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));

	run->volume = v;
	run->rw = rw;
	run->ops = ops;
	run->seed = seed;
	run->slot_count = o.sync ? 1 : o.iodepth;
	atomic_init(&run->live, run->slot_count);
	run->slots = aligned_alloc(64, run->slot_count * sizeof(*run->slots));
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->over, NULL);
	for (unsigned i = 0; i < run->slot_count; i++) {
		struct slot *s = &run->slots[i];

		memset(s, 0, sizeof(*s));
		s->run = run;
		s->next = i;
		s->random = (seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
		s->buf = aligned_alloc(BENCH_BLOCK, o.bs);
		if (o.zeroes)
			memset(s->buf, 0, o.bs);
		else
			bench_base(s->buf, o.bs, o.compress);
	}
	return run;
}

static void run_free(struct run *run)
{
	for (unsigned i = 0; i < run->slot_count; i++)
		free(run->slots[i].buf);
	free(run->slots);
	free(run);
}

/* Run @ops operations that are not measured. */
static void run_unmeasured(struct vdo_volume *v, enum rw rw, uint64_t ops,
			   uint64_t seed)
{
	bool sync = o.sync;
	struct run *run;
	int result;

	if (ops == 0)
		return;
	o.sync = false;
	run = run_new(v, rw, ops, seed);
	run_all(run);
	if (atomic_load(&run->error) != 0)
		fail("preparing", atomic_load(&run->error), "");
	run_free(run);
	o.sync = sync;
	result = vdo_flush(v, 0);
	if (result != 0)
		fail("flush", result, "");
}

/* The blocks that duplicates are copies of, behind what is worked on. */
static void write_originals(struct vdo_volume *v)
{
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, o.bs);
	int result = 0;

	bench_base(buf, o.bs, o.compress);
	for (uint64_t n = 0;
	     result == 0 && n < BENCH_ORIGINALS && !interrupted(); n++) {
		bench_stamp(buf, o.bs, n - BENCH_ORIGINALS, 0);
		result = vdo_pwrite(v, buf, o.bs, o.size + n * o.bs, 0);
	}
	free(buf);
	if (result == 0)
		result = vdo_flush(v, 0);
	if (result != 0)
		fail("preparing", result, "");
}

/* ------------------------------------------------------------------ report */

struct result {
	double seconds, cpu_seconds, iops, mb_s;
	double p50_us, p99_us, p999_us;
	double limit_iops;
};

static double cpu_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void measure(struct vdo_volume *v, struct result *r)
{
	struct run *run = run_new(v, o.rw, o.ops, UINT64_C(1) << 40);
	struct histogram all;
	double cpu = cpu_now();
	uint64_t begun = bench_now();

	run->first = o.warmup;
	histograms_reset();
	bench_measured(run);
	r->seconds = (double)(bench_now() - begun) / 1e9;
	r->cpu_seconds = cpu_now() - cpu;
	if (atomic_load(&run->error) != 0)
		fail("measuring", atomic_load(&run->error), "");
	histogram_init(&all);
	for (unsigned i = 0; i < atomic_load(&histogram_count); i++)
		histogram_merge(&all, histograms[i]);
	r->iops = (double)o.ops / r->seconds;
	r->mb_s = r->iops * (double)o.bs / 1e6;
	r->p50_us = (double)histogram_percentile(&all, 5000) / 1e3;
	r->p99_us = (double)histogram_percentile(&all, 9900) / 1e3;
	r->p999_us = (double)histogram_percentile(&all, 9990) / 1e3;
	run_free(run);
}

static void print_text(const struct result *r)
{
	printf("%s: rw=%s bs=%zu iodepth=%u executor=%s threads=%s "
	       "device=%s\n",
	       o.name, rw_names[o.rw], o.bs, o.sync ? 1 : o.iodepth,
	       o.executor, o.threads, o.device);
	printf("  %.0f IOPS, %.1f MB/s, %.2f CPU s per million operations\n",
	       r->iops, r->mb_s, r->cpu_seconds * 1e6 / (double)o.ops);
	printf("  latency us: p50 %.1f, p99 %.1f, p99.9 %.1f\n", r->p50_us,
	       r->p99_us, r->p999_us);
	if (r->limit_iops > 0)
		printf("  same-run limit %.0f IOPS; share of it %.1f %%\n",
		       r->limit_iops, 100 * r->iops / r->limit_iops);
}

static void print_json(const struct result *r)
{
	printf("{\"name\":\"%s\",\"rw\":\"%s\",\"bs\":%zu,\"iodepth\":%u,"
	       "\"executor\":\"%s\",\"threads\":%s,\"ops\":%llu,"
	       "\"iops\":%.0f,\"mb_s\":%.1f,\"cpu_s_per_mop\":%.3f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
	       "\"limit_iops\":%.0f,\"share\":%.4f}\n",
	       o.name, rw_names[o.rw], o.bs, o.sync ? 1 : o.iodepth,
	       o.executor, o.threads, (unsigned long long)o.ops, r->iops,
	       r->mb_s, r->cpu_seconds * 1e6 / (double)o.ops, r->p50_us,
	       r->p99_us, r->p999_us, r->limit_iops,
	       r->limit_iops > 0 ? r->iops / r->limit_iops : 0);
}

/* ----------------------------------------------------------------- options */

static void usage(FILE *to)
{
	fputs("usage: vdo-bench [OPTION]...\n"
	      "  --rw=write|randwrite|read|randread|discard\n"
	      "  --bs=BYTES               size of an operation (4096)\n"
	      "  --iodepth=N              operations at a time (256)\n"
	      "  --size=BYTES             part of the volume in use (256M)\n"
	      "  --logical-size=BYTES     size of the volume (a little more)\n"
	      "  --ops=N                  operations (one pass over --size, less\n"
	      "                           the warm-up)\n"
	      "  --warmup=N               operations before (0)\n"
	      "  --overwrite              the blocks were written before\n"
	      "  --dedupe-percentage=P    duplicates among the blocks (0)\n"
	      "  --compress-percentage=P  what LZ4 saves, about (0)\n"
	      "  --zero                   write zeroes\n"
	      "  --executor=native|pool|inline  (native)\n"
	      "  --threads=N              threads of the volume (2)\n"
	      "  --device=mem|PATH        PATH is overwritten (mem)\n"
	      "  --sync                   one synchronous operation at a time\n"
	      "  --no-limit               do not measure the limit\n"
	      "  --json                   one line of JSON\n"
	      "  --name=TEXT              for the report\n"
	      "  -o NAME=VALUE            any option of the library\n",
	      to);
}

static uint64_t parse_size(const char *text)
{
	uint64_t n;

	if (vdo_size_parse(text, &n) == 0)
		return n;
	fprintf(stderr, "vdo-bench: not a size: %s\n", text);
	exit(2);
}

static void set_option(const char *name, const char *value)
{
	struct vdo_error e;

	if (vdo_config_set(o.config, name, value, &e) != 0) {
		fprintf(stderr, "vdo-bench: %s\n", e.message);
		exit(2);
	}
}

static enum rw parse_rw(const char *text)
{
	for (unsigned i = 0; i < sizeof(rw_names) / sizeof(*rw_names); i++)
		if (strcmp(text, rw_names[i]) == 0)
			return (enum rw)i;
	usage(stderr);
	exit(2);
}

static void set_pair(char *pair)
{
	char *equals = strchr(pair, '=');

	if (equals == NULL) {
		usage(stderr);
		exit(2);
	}
	*equals = '\0';
	set_option(pair, equals + 1);
}

static const struct option longs[] = {
	{"rw", 1, NULL, 'r'},	     {"bs", 1, NULL, 'b'},
	{"iodepth", 1, NULL, 'd'},   {"size", 1, NULL, 's'},
	{"ops", 1, NULL, 'n'},	     {"warmup", 1, NULL, 'w'},
	{"overwrite", 0, NULL, 'O'}, {"dedupe-percentage", 1, NULL, 'D'},
	{"zero", 0, NULL, 'z'},	     {"compress-percentage", 1, NULL, 'C'},
	{"executor", 1, NULL, 'e'},  {"threads", 1, NULL, 't'},
	{"device", 1, NULL, 'f'},    {"sync", 0, NULL, 'S'},
	{"no-limit", 0, NULL, 'L'},  {"json", 0, NULL, 'j'},
	{"name", 1, NULL, 'N'},	     {"logical-size", 1, NULL, 'l'},
	{"help", 0, NULL, 'h'},	     {NULL, 0, NULL, 0},
};

static void parse_option(int c)
{
	switch (c) {
	case 'r': o.rw = parse_rw(optarg); break;
	case 'b': o.bs = parse_size(optarg); break;
	case 'd': o.iodepth = (unsigned)parse_size(optarg); break;
	case 's': o.size = parse_size(optarg); break;
	case 'l': o.logical = parse_size(optarg); break;
	case 'n': o.ops = parse_size(optarg); break;
	case 'w': o.warmup = parse_size(optarg); break;
	case 'O': o.overwrite = true; break;
	case 'D': o.duplicates = (unsigned)atoi(optarg); break;
	case 'C': o.compress = (unsigned)atoi(optarg); break;
	case 'z': o.zeroes = true; break;
	case 'e': o.executor = optarg; break;
	case 't': o.threads = optarg; break;
	case 'f': o.device = optarg; break;
	case 'S': o.sync = true; break;
	case 'L': o.no_limit = true; break;
	case 'j': o.json = true; break;
	case 'N': o.name = optarg; break;
	case 'o': set_pair(optarg); break;
	case 'h': usage(stdout); exit(0);
	default: usage(stderr); exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	int c;

	vdo_config_new(&o.config);
	while ((c = getopt_long(argc, argv, "o:h", longs, NULL)) != -1)
		parse_option(c);
	if (optind != argc || o.iodepth == 0 || o.bs == 0 ||
	    o.bs % BENCH_BLOCK != 0 || o.size < o.bs) {
		usage(stderr);
		exit(2);
	}
	if (o.ops == 0)
		o.ops = o.size / o.bs > o.warmup ? o.size / o.bs - o.warmup
						  : o.size / o.bs;
	if (o.name == NULL)
		o.name = rw_names[o.rw];
}

/* -------------------------------------------------------------------- main */

static void configure(struct bench_pool **pool)
{
	char text[32];

	*pool = NULL;
	if (strcmp(o.executor, "pool") == 0) {
		*pool = bench_pool_new((unsigned)atoi(o.threads), o.config);
	} else {
		set_option("executor", o.executor);
		if (strcmp(o.executor, "native") == 0)
			set_option("threads", o.threads);
	}
	if (o.logical == 0)
		o.logical = o.size + BENCH_ORIGINALS * o.bs;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)o.logical);
	set_option("logical-size", text);
}

/* First touches of memory are the kernel's work: have them done before. */
static void touch(struct vdo_device *d, uint64_t bytes)
{
	static const uint8_t zeroes[1 << 20];
	int result = 0;

	for (uint64_t at = 0; result == 0 && at < bytes; at += sizeof(zeroes))
		result = device_write(d, at, zeroes,
				      MIN(sizeof(zeroes), bytes - at));
	if (result != 0)
		fail("touching the memory", result, "");
}

/* Room for twice the data, metadata, and pages of the block map. */
static struct vdo_device *make_device(struct vdo_error *e)
{
	uint64_t bytes = 3 * o.size + (UINT64_C(512) << 20);
	struct vdo_device *d;
	char text[32];
	int result;

	if (strcmp(o.device, "mem") == 0)
		result = vdo_device_open_memory(bytes, &d);
	else
		result = vdo_device_open(o.device, VDO_OPEN_CREATE, &d, e);
	if (result != 0)
		fail(o.device, result, e->message);
	if (strcmp(o.device, "mem") == 0)
		touch(d, bytes);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	set_option("size", text);
	set_option("force", "on");
	result = vdo_format_device(d, o.config, e);
	if (result != 0)
		fail("format", result, e->message);
	return d;
}

static void prepare(struct vdo_volume *v)
{
	bool reads = o.rw == RW_READ || o.rw == RW_RANDREAD;

	if (reads || o.overwrite || o.rw == RW_DISCARD)
		run_unmeasured(v, RW_WRITE, o.size / o.bs, 0);
	if (o.duplicates > 0)
		write_originals(v);
	run_unmeasured(v, o.rw, o.warmup, UINT64_C(1) << 41);
}

int main(int argc, char **argv)
{
	struct vdo_error e = {0};
	struct result r = {0};
	struct bench_pool *pool;
	struct vdo_device *d;
	int result;

	process_begin();
	parse_options(argc, argv);
	configure(&pool);
	catch_interrupts();
	d = make_device(&e);
	result = vdo_open_device(d, o.config, &volume, &e);
	if (result != 0)
		fail("open", result, e.message);
	prepare(volume);
	measure(volume, &r);
	result = vdo_close(volume);
	volume = NULL;
	if (result != 0)
		fail("close", result, "");
	if (interrupted()) {
		fprintf(stderr, "vdo-bench: interrupted\n");
		exit(130);
	}
	vdo_device_close(d);
	bench_pool_free(pool);
	if (!o.no_limit && !o.zeroes && o.rw != RW_DISCARD) {
		struct bench_limit limit = {
			.threads = (unsigned)atoi(o.threads),
			.bytes = o.size,
			.reads = o.rw == RW_READ || o.rw == RW_RANDREAD,
			.random = o.rw == RW_RANDREAD,
			.duplicates = o.duplicates,
			.compress = o.compress,
		};

		r.limit_iops = bench_limit(&limit) / (double)(o.bs /
							      BENCH_BLOCK);
	}
	(o.json ? print_json : print_text)(&r);
	vdo_config_free(o.config);
	return 0;
}
