/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slot is one operation at a time, bound to a queue, of which there is one a
 * thread: what completes is posted there, as block I/O of a volume is, and the
 * next one is submitted from there.
 */
#include "build.h"

#include "tests/bench/raw.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "examples/process.h"
#include "exec/executor.h"
#include "tests/lib/histogram.h"

#define RAW_NS	    UINT64_C(1000000000) /* unless --runtime is given */
#define THREADS_MAX 64u

/* What the slots of one queue share. */
struct lane {
	_Alignas(CACHE_LINE) struct queue *queue;
	uint64_t done;
	struct histogram latency;
};

struct slot {
	_Alignas(CACHE_LINE) struct completion done;
	struct vdo_device_io io;
	struct iovec vec;
	struct raw *raw;
	struct lane *lane;
	uint64_t begun_ns, next, random;
};

struct raw {
	struct vdo_device *device;
	struct executor *x;
	size_t bs;
	bool reads, is_random;
	uint64_t places, deadline_ns;
	unsigned depth, threads;
	struct lane lanes[THREADS_MAX];
	struct slot *slots;
	atomic_uint live;
	atomic_int error;
	struct event over;
};

static void slot_over(struct slot *s)
{
	struct raw *raw = s->raw;

	if (atomic_fetch_sub(&raw->live, 1) == 1)
		executor_signal(raw->x, &raw->over);
}

static void io_done(struct vdo_device_io *io, int result)
{
	struct slot *s = container_of(io, struct slot, io);
	struct vdo_device *d = s->raw->device;

	device_enter(d);
	completion_finish(&s->done, result <= 0 ? result : -EIO);
	device_leave(d);
}

static void slot_ended(struct completion *c);

static void slot_next(struct slot *s, uint64_t now)
{
	struct raw *raw = s->raw;
	uint64_t n = raw->is_random ? bench_random(&s->random) : s->next;

	if (now >= raw->deadline_ns || atomic_load(&raw->error) != 0 ||
	    interrupted()) {
		slot_over(s);
		return;
	}
	s->next += raw->depth;
	s->begun_ns = now;
	completion_init(&s->done, s->lane->queue, slot_ended);
	s->io.op = raw->reads ? VDO_DEVICE_READ : VDO_DEVICE_WRITE;
	s->io.flags = 0;
	s->io.offset = n % raw->places * raw->bs;
	s->io.length = raw->bs;
	s->io.iov = &s->vec;
	s->io.iov_count = 1;
	s->io.complete = io_done;
	raw->device->submit(raw->device->ctx, &s->io);
}

static void slot_ended(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, done);
	uint64_t now = bench_now();

	if (c->result != 0)
		atomic_store(&s->raw->error, c->result);
	histogram_record(&s->lane->latency, now - s->begun_ns);
	s->lane->done++;
	slot_next(s, now);
}

static void slot_begin(struct completion *c)
{
	slot_next(container_of(c, struct slot, done), bench_now());
}

static int slot_init(struct raw *raw, unsigned i)
{
	static const struct bench_data data = {.compress = 0};
	struct slot *s = &raw->slots[i];
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, raw->bs);

	if (buf == NULL)
		return -ENOMEM;
	bench_base(buf, raw->bs, &data);
	s->raw = raw;
	s->lane = &raw->lanes[i % raw->threads];
	s->next = i;
	s->random = i + 1;
	s->vec = (struct iovec){.iov_base = buf, .iov_len = raw->bs};
	return 0;
}

static int make_slots(struct raw *raw)
{
	size_t bytes = raw->depth * sizeof(*raw->slots);
	int result = 0;

	raw->slots = aligned_alloc(CACHE_LINE, bytes);
	if (raw->slots == NULL)
		return -ENOMEM;
	memset(raw->slots, 0, bytes);
	for (unsigned i = 0; i < raw->depth && result == 0; i++)
		result = slot_init(raw, i);
	return result;
}

static int make_queues(struct raw *raw, bool polled)
{
	struct native_config native = {
		.threads = raw->threads,
		.spin_us = NATIVE_SPIN_US,
		.name_prefix = "raw",
	};
	int result = polled ? executor_inline_create(&raw->x)
			    : executor_native_create(&native, &raw->x);

	for (unsigned i = 0; i < raw->threads && result == 0; i++) {
		histogram_init(&raw->lanes[i].latency);
		result = executor_queue(raw->x, "raw", i,
					&raw->lanes[i].queue);
	}
	return result;
}

static int run(struct raw *raw, uint64_t runtime_ns)
{
	int result = device_claim(raw->device, raw->x);

	if (result != 0)
		return result;
	event_init(&raw->over);
	atomic_init(&raw->live, raw->depth);
	raw->deadline_ns = bench_now() + runtime_ns;
	for (unsigned i = 0; i < raw->depth; i++) {
		struct slot *s = &raw->slots[i];

		completion_init(&s->done, s->lane->queue, slot_begin);
		completion_post(&s->done);
	}
	executor_wait(raw->x, &raw->over);
	device_release(raw->device);
	return atomic_load(&raw->error);
}

static void tell(struct raw *raw, uint64_t took_ns, struct raw_result *r)
{
	struct histogram all;
	uint64_t done = 0;

	histogram_init(&all);
	for (unsigned i = 0; i < raw->threads; i++) {
		done += raw->lanes[i].done;
		histogram_merge(&all, &raw->lanes[i].latency);
	}
	r->iops = (double)done * 1e9 / (double)took_ns;
	r->p50_us = (double)histogram_percentile(&all, 5000) / 1e3;
	r->p99_us = (double)histogram_percentile(&all, 9900) / 1e3;
}

static void free_all(struct raw *raw)
{
	executor_destroy(raw->x);
	for (unsigned i = 0; raw->slots != NULL && i < raw->depth; i++)
		free(raw->slots[i].vec.iov_base);
	free(raw->slots);
	free(raw);
}

int raw_measure(const struct arguments *o, struct vdo_device *device,
		size_t bs, unsigned depth, struct raw_result *r)
{
	struct raw *raw = aligned_alloc(CACHE_LINE, sizeof(*raw));
	bool polled = strcmp(o->executor, "inline") == 0;
	uint64_t begun;
	int result;

	if (raw == NULL)
		return -ENOMEM;
	memset(raw, 0, sizeof(*raw));
	raw->device = device;
	raw->bs = bs;
	raw->depth = depth;
	raw->reads = arguments_reads(o);
	raw->is_random = o->rw == RW_RANDREAD || o->rw == RW_RANDWRITE;
	raw->places = MIN(device->size_bytes, o->size) / bs;
	raw->threads = MIN(MAX((unsigned)atoi(o->threads), 1), THREADS_MAX);
	if (polled)
		raw->threads = 1;
	result = raw->places == 0 ? -ERANGE : make_slots(raw);
	if (result == 0)
		result = make_queues(raw, polled);
	begun = bench_now();
	if (result == 0)
		result = run(raw, o->runtime_ns != 0 ? o->runtime_ns : RAW_NS);
	if (result == 0)
		tell(raw, bench_now() - begun, r);
	free_all(raw);
	return result;
}
