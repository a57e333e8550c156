/*
 * What a record costs in the index: one zone, memory below it.
 *
 *	index-bench [-m code] [-s] [-z zones] [-n chapters] [-d depth] [-i]
 *
 * Processor time, also in units: hashing one 4 KiB block here and now.
 *
 *	fill	posts of new names until all chapters have been written
 *	steady	posts of new names while old chapters expire
 *	absent	queries of names that are not there
 *	cached	queries of names in one chapter, whose pages are in the cache
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "base/hash128.h"
#include "exec/executor.h"
#include "index/index.h"
#include "io/device.h"

struct bench;

struct slot {
	struct index_op op;
	struct bench *bench;
};

struct bench {
	struct executor *x;
	struct queue *asker;
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct index_config config;
	struct index *index;
	struct slot *slots;
	unsigned depth;
	struct completion go;
	struct event event;
	int result;

	/* The numbers that are being asked for. */
	enum index_request request;
	uint64_t next, high, found;
	unsigned out;
	double unit_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	/* Others may want the machine, too. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

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

/* A name that looks like a hash, cheaper than one. */
static void make_name(struct hash128 *name, uint64_t i)
{
	uint64_t a = (i + 1) * UINT64_C(0x9e3779b97f4a7c15), b;

	a = (a ^ a >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	a = (a ^ a >> 27) * UINT64_C(0x94d049bb133111eb);
	a ^= a >> 31;
	b = (a ^ a >> 29) * UINT64_C(0xff51afd7ed558ccd);
	put_u64(name->bytes, a);
	put_u64(name->bytes + 8, b ^ b >> 32);
}

static void slot_done(struct completion *c);

static void slot_next(struct slot *s)
{
	struct bench *b = s->bench;

	if (b->next == b->high)
		return;
	s->op.request = b->request;
	make_name(&s->op.name, b->next);
	put_u64(s->op.data, b->next++);
	b->out++;
	completion_init(&s->op.done, b->asker, slot_done);
	index_start(b->index, &s->op);
}

static void slot_done(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, op.done);
	struct bench *b = s->bench;

	must("request", c->result);
	b->out--;
	b->found += s->op.found;
	slot_next(s);
	if (b->out == 0)
		executor_signal(b->x, &b->event);
}

static void go(struct completion *c)
{
	struct bench *b = container_of(c, struct bench, go);

	for (unsigned i = 0; i < b->depth; i++)
		slot_next(&b->slots[i]);
}

static void measure(struct bench *b, const char *what,
		    enum index_request request, uint64_t low, uint64_t high)
{
	uint64_t start = now_ns();
	double ns;

	b->request = request;
	b->next = low;
	b->high = high;
	b->found = 0;
	event_init(&b->event);
	completion_init(&b->go, b->asker, go);
	completion_post(&b->go);
	executor_wait(b->x, &b->event);
	ns = (double)(now_ns() - start) / (double)(high - low);
	printf("%-8s %10" PRIu64 " records %8.0f ns each %6.2f units  found "
	       "%" PRIu64 "\n", what, high - low, ns, ns / b->unit_ns,
	       b->found);
	fflush(stdout);
}

static void opened(struct completion *c)
{
	struct bench *b = container_of(c, struct bench, go);

	b->result = c->result;
	executor_signal(b->x, &b->event);
}

static void measure_unit(struct bench *b)
{
	static uint8_t block[4096];
	uint64_t start = now_ns(), sum = 0;
	unsigned n = 200000;

	for (unsigned i = 0; i < n; i++) {
		put_u64(block, i + sum);
		sum += hash128(block, sizeof(block), BLOCK_NAME_SEED).bytes[0];
	}
	b->unit_ns = (double)(now_ns() - start) / n;
	printf("unit     hashing 4 KiB: %.0f ns\n", b->unit_ns);
}

static void set_up(struct bench *b, bool inline_executor)
{
	struct native_config native = {.threads = 1, .spin_us = NATIVE_SPIN_US,
				       .name_prefix = "bench"};
	struct index_geometry g;

	if (inline_executor)
		must("executor", executor_inline_create(&b->x));
	else
		must("executor", executor_native_create(&native, &b->x));
	must("geometry", index_geometry_init(&g, b->config.memory,
					     b->config.sparse, 1 << 20));
	must("device", vdo_device_open_memory(g.total_blocks * BLOCK_SIZE,
					      &b->device));
	must("claim", device_claim(b->device, b->x));
	storage_init(&b->storage, b->device, 0);
	must("queue", executor_queue(b->x, "asker", 0, &b->asker));
	must("queue", executor_queue(b->x, "index", 0, &b->config.queue));
	for (unsigned i = 0; i < b->config.zone_count; i++)
		must("queue", executor_queue(b->x, "zone", 0,
					     &b->config.zones[i]));
	sync_init(&b->sync, b->config.queue, &b->storage, sync_failed, b);
	b->config.storage = &b->storage;
	b->config.sync = &b->sync;
	b->config.block_count = g.total_blocks;
	b->config.nonce = 1;
	must("create", index_create(&b->config, &b->index));
	event_init(&b->event);
	completion_init(&b->go, b->asker, opened);
	index_open(b->index, INDEX_FORMAT, &b->go);
	executor_wait(b->x, &b->event);
	must("format", b->result);
	b->slots = calloc(b->depth, sizeof(*b->slots));
	for (unsigned i = 0; i < b->depth; i++)
		b->slots[i].bench = b;
}

int main(int argc, char **argv)
{
	struct log log = {0};
	struct bench b = {.depth = 256,
			  .config = {.memory = -256, .zone_count = 1,
				     .log = &log}};
	uint64_t chapters = 0, records, end;
	bool inline_executor = false;
	struct index_stats s;
	int c;

	while ((c = getopt(argc, argv, "m:sz:n:d:i")) != -1) {
		switch (c) {
		case 'm': b.config.memory = atoi(optarg); break;
		case 's': b.config.sparse = true; break;
		case 'z': b.config.zone_count = (unsigned)atoi(optarg); break;
		case 'n': chapters = strtoull(optarg, NULL, 10); break;
		case 'd': b.depth = (unsigned)atoi(optarg); break;
		case 'i': inline_executor = true; break;
		default: return 2;
		}
	}
	measure_unit(&b);
	set_up(&b, inline_executor);
	records = index_geometry_of(b.index)->records;
	if (chapters == 0)
		chapters = index_geometry_of(b.index)->chapters;
	end = chapters * records;
	measure(&b, "fill", INDEX_POST, 0, end);
	measure(&b, "absent", INDEX_QUERY, end * 2, end * 2 + 20 * records);
	measure(&b, "steady", INDEX_POST, end, end + 20 * records);
	end += 20 * records;
	/* The second time its pages are there. */
	measure(&b, "read", INDEX_QUERY_NO_UPDATE, end - 3 * records,
		end - 2 * records);
	measure(&b, "cached", INDEX_QUERY_NO_UPDATE, end - 3 * records,
		end - 2 * records);
	index_get_stats(b.index, &s);
	printf("entries %" PRIu64 " collisions %" PRIu64 " discarded %" PRIu64
	       " early flushes %" PRIu64 " memory %.1f MiB\n",
	       s.entries_indexed, s.collisions, s.entries_discarded,
	       s.early_flushes, (double)s.memory_used / 1048576);
	event_init(&b.event);
	completion_init(&b.go, b.asker, opened);
	index_close(b.index, false, &b.go);
	executor_wait(b.x, &b.event);
	executor_destroy(b.x);
	index_destroy(b.index);
	free(b.slots);
	device_release(b.device);
	vdo_device_close(b.device);
	return 0;
}
