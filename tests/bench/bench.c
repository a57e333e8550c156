/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data recipes, a plain thread pool, and the limit of a machine.
 */
#include "build.h"

#include "tests/bench/bench.h"

#include <inttypes.h>
#include <lz4.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/hash128_lanes.h"
#include "base/zero.h"

/* -------------------------------------------------------------------- data */

static const char line[] =
	"2026-11-22 08:15:42 volume: read, offset=4096 length=65536 ok\n";

static void fill_text(uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)line[i % (sizeof(line) - 1)];
}

static void fill_random(uint8_t *buf, size_t n, uint64_t *random)
{
	for (size_t i = 0; i + 8 <= n; i += 8)
		put_u64(buf + i, bench_random(random));
}

/* As fio does it: that share of each block repeats, the rest is random. */
void bench_base(uint8_t *buf, size_t n, const struct bench_data *data)
{
	size_t text = BENCH_BLOCK * MIN(data->compress, 100) / 100 / 8 * 8;

	for (size_t at = 0; at < n; at += BENCH_BLOCK) {
		uint64_t random = 1;

		fill_random(buf + at, BENCH_BLOCK - text, &random);
		fill_text(buf + at + BENCH_BLOCK - text, text);
	}
}

static void stamp(uint8_t *block, uint64_t id)
{
	put_u64(block, id);
	put_u64(block + 8, ~id * UINT64_C(0x9e3779b97f4a7c15));
}

void bench_stamp_original(uint8_t *block, unsigned number)
{
	stamp(block, number);
}

void bench_stamp(uint8_t *buf, size_t n, uint64_t first,
		 const struct bench_data *data)
{
	for (size_t at = 0; at < n; at += BENCH_BLOCK, first++) {
		uint64_t random = first;

		if (data->duplicates > 0 &&
		    bench_random(&random) % 100 < data->duplicates)
			stamp(buf + at, bench_random(&random) % data->originals);
		else
			stamp(buf + at, first + data->originals);
	}
}

/* -------------------------------------------------------------------- pool */

struct bench_pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct vdo_task *first, **last;
	bool stop;
	unsigned thread_count;
	pthread_t threads[64];
};

static void pool_submit(void *arg, struct vdo_task *task)
{
	struct bench_pool *p = arg;

	task->host_data[0] = NULL;
	pthread_mutex_lock(&p->lock);
	*p->last = task;
	p->last = (struct vdo_task **)&task->host_data[0];
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static unsigned pool_concurrency(void *arg)
{
	return ((struct bench_pool *)arg)->thread_count;
}

static void *pool_thread(void *arg)
{
	struct bench_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct vdo_task *task = p->first;

		if (task != NULL) {
			p->first = task->host_data[0];
			if (p->first == NULL)
				p->last = &p->first;
			pthread_mutex_unlock(&p->lock);
			task->run(task);
			pthread_mutex_lock(&p->lock);
		} else if (p->stop) {
			break;
		} else {
			pthread_cond_wait(&p->work, &p->lock);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct bench_pool *bench_pool_new(unsigned threads, struct vdo_config *config)
{
	static const struct vdo_pool_ops ops = {
		.size = sizeof(ops),
		.submit = pool_submit,
		.concurrency = pool_concurrency,
	};
	struct bench_pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	p->last = &p->first;
	p->thread_count = MIN(threads, 64);
	for (unsigned i = 0; i < p->thread_count; i++)
		if (pthread_create(&p->threads[i], NULL, pool_thread, p) != 0)
			abort();
	if (vdo_config_set_pool(config, &ops, p) != 0)
		abort();
	return p;
}

void bench_pool_free(struct bench_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	free(p);
}

/* ------------------------------------------------------------------- limit */

#define LIMIT_SECONDS 0.4
#define LIMIT_BUFFERS 256u /* as many as operations are under way */

struct limit_thread {
	const struct bench_limit *limit;
	pthread_t thread;
	const uint8_t *area;
	uint64_t blocks;
	uint64_t done;
	double seconds;
	unsigned number;
};

static volatile uint8_t sink;

/* HASH128_LANES blocks, from every other block of @src to that after it: as many
 * as the library names at once. */
static void limit_write(struct limit_thread *t, uint8_t *src)
{
	struct hash128 names[HASH128_LANES];
	const uint8_t *blocks[HASH128_LANES];
	char packed[BENCH_BLOCK];

	for (unsigned i = 0; i < HASH128_LANES; i++, src += 2 * BENCH_BLOCK) {
		uint8_t *dst = src + BENCH_BLOCK;

		bench_stamp(src, BENCH_BLOCK, (t->done + i) << 8 | t->number,
			    &t->limit->data);
		memcpy(dst, src, BENCH_BLOCK);
		sink = zero_test(dst, BENCH_BLOCK);
		blocks[i] = dst;
	}
	hash128_blocks(blocks, HASH128_LANES, names);
	for (unsigned i = 0; i < HASH128_LANES; i++) {
		sink = names[i].bytes[0];
		if (t->limit->data.compress > 0)
			sink = (uint8_t)LZ4_compress_default(
				(const char *)blocks[i], packed, BENCH_BLOCK,
				4059);
	}
}

static void limit_read(struct limit_thread *t, uint8_t *dst, uint64_t *random)
{
	uint64_t n = t->limit->random ? bench_random(random) : t->done;

	memcpy(dst, t->area + n % t->blocks * BENCH_BLOCK, BENCH_BLOCK);
	sink = dst[n % BENCH_BLOCK];
}

static void *limit_thread(void *arg)
{
	struct limit_thread *t = arg;
	uint64_t random = t->number + 1;
	uint8_t *bufs = aligned_alloc(BENCH_BLOCK, 2 * LIMIT_BUFFERS * BENCH_BLOCK);
	uint64_t begun;

	if (bufs == NULL)
		abort();
	for (unsigned i = 0; i < 2 * LIMIT_BUFFERS; i++)
		bench_base(bufs + i * BENCH_BLOCK, BENCH_BLOCK,
			   &t->limit->data);
	begun = bench_now();
	do {
		for (unsigned i = 0; i < LIMIT_BUFFERS; i++, t->done++) {
			uint8_t *src = bufs + 2 * i * BENCH_BLOCK;

			if (t->limit->reads)
				limit_read(t, src, &random);
			else if (i % HASH128_LANES == 0)
				limit_write(t, src);
		}
		t->seconds = (double)(bench_now() - begun) / 1e9;
	} while (t->seconds < LIMIT_SECONDS);
	free(bufs);
	return NULL;
}

double bench_limit(const struct bench_limit *limit)
{
	struct limit_thread threads[64] = {0};
	unsigned n = MIN(MAX(limit->threads, 1), 64);
	uint8_t *area = NULL;
	double rate = 0;

	if (limit->reads) {
		area = mmap(NULL, limit->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED)
			return 0;
		memset(area, 1, limit->bytes);
	}
	for (unsigned i = 0; i < n; i++) {
		threads[i] = (struct limit_thread){
			.limit = limit,
			.area = area,
			.blocks = limit->bytes / BENCH_BLOCK,
			.number = i,
		};
		if (pthread_create(&threads[i].thread, NULL, limit_thread,
				   &threads[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(threads[i].thread, NULL);
		rate += (double)threads[i].done / threads[i].seconds;
	}
	if (area != NULL)
		munmap(area, limit->bytes);
	return rate;
}

void bench_must(const char *program, const char *what, int result)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", program, what, vdo_strerror(result));
	exit(1);
}

static void set_bytes(const char *program, struct vdo_config *config,
		      const char *option, uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	bench_must(program, option, vdo_config_set(config, option, text, NULL));
}

struct vdo_volume *bench_volume_new(const char *program, uint64_t size,
				    uint64_t logical_size)
{
	struct vdo_config *config = NULL;
	struct vdo_volume *volume = NULL;
	struct vdo_device *device;
	struct vdo_error e;

	bench_must(program, "config", vdo_config_new(&config));
	set_bytes(program, config, "size", size);
	set_bytes(program, config, "logical-size", logical_size);
	bench_must(program, "index",
		   vdo_config_set(config, "index", "memory", NULL));
	bench_must(program, "compression",
		   vdo_config_set(config, "compression", "off", NULL));
	bench_must(program, "device", vdo_device_open_memory(size, &device));
	bench_must(program, "format", vdo_format_device(device, config, &e));
	bench_must(program, "open",
		   vdo_open_device(device, config, &volume, &e));
	vdo_config_free(config);
	return volume;
}
