/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slot i of n does operations i, i + n, ...: slots share nothing. That the time
 * is up is told to them by making the number of operations 0, which they look
 * at in any case.
 */
#include "build.h"

#include "tests/bench/load.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "examples/process.h"

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

void load_latencies(struct histogram *all)
{
	histogram_init(all);
	for (unsigned i = 0; i < atomic_load(&histogram_count); i++)
		histogram_merge(all, histograms[i]);
}

/* ------------------------------------------------------------------- a run */

struct slot {
	struct load *load;
	uint64_t begun_ns;
	uint64_t random;
	uint64_t next; /* number of the next operation */
	uint8_t *buf;
	struct vdo_cq_entry entry; /* of batches */
} __attribute__((aligned(64)));

struct load {
	struct load_work work;
	struct vdo_volume *volume;
	bool random;
	uint64_t places;      /* of an operation */
	_Atomic uint64_t ops;
	_Atomic unsigned live; /* slots that are not done */
	_Atomic int error;
	struct slot *slots;
	unsigned slot_count;
	uint64_t deadline_ns; /* 0: none */
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool is_over;
};

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static uint64_t place_of(struct load *load, struct slot *s, uint64_t n)
{
	if (load->random)
		n = bench_random(&s->random);
	else
		n += load->work.first;
	return n % load->places * load->work.bs;
}

static void fill(struct load *load, struct slot *s, uint64_t n)
{
	const struct load_work *w = &load->work;

	if (!w->zeroes)
		bench_stamp(s->buf, w->bs,
			    w->seed + n * (w->bs / BENCH_BLOCK), &w->data);
}

static void op_done(void *arg, int result);

static int op_start(struct slot *s, uint64_t n)
{
	struct load *load = s->load;
	size_t bs = load->work.bs;
	uint64_t at = place_of(load, s, n);

	switch (load->work.rw) {
	case RW_WRITE:
	case RW_RANDWRITE:
		fill(load, s, n);
		return vdo_aio_pwrite(load->volume, s->buf, bs, at, op_done, s,
				      0);
	case RW_READ:
	case RW_RANDREAD:
		return vdo_aio_pread(load->volume, s->buf, bs, at, op_done, s,
				     0);
	case RW_DISCARD:
		return vdo_aio_discard(load->volume, bs, at, op_done, s, 0);
	case RW_MAP:
		break; /* arguments.c */
	}
	return -EINVAL;
}

static void end_all(struct load *load)
{
	atomic_store(&load->ops, 0);
}

static void note_error(struct load *load, int result)
{
	int none = 0;

	atomic_compare_exchange_strong(&load->error, &none, result);
	end_all(load);
}

static void slot_over(struct load *load)
{
	if (atomic_fetch_sub(&load->live, 1) != 1)
		return;
	pthread_mutex_lock(&load->lock);
	load->is_over = true;
	pthread_cond_signal(&load->over);
	pthread_mutex_unlock(&load->lock);
}

static void op_next(struct slot *s, uint64_t now)
{
	struct load *load = s->load;
	uint64_t n = s->next;
	int result;

	if (n >= atomic_load_explicit(&load->ops, memory_order_relaxed)) {
		slot_over(load);
		return;
	}
	s->next += load->slot_count;
	s->begun_ns = now;
	result = op_start(s, n);
	if (result != 0) {
		note_error(load, result);
		slot_over(load);
	}
}

static void op_done(void *arg, int result)
{
	struct slot *s = arg;
	uint64_t now = bench_now();

	record(now - s->begun_ns);
	if (result != 0)
		note_error(s->load, result);
	op_next(s, now);
}

static int extent_done(void *arg, const struct vdo_extent *extent)
{
	(void)arg;
	(void)extent;
	return 0;
}

static int sync_op(struct load *load, struct slot *s, uint64_t n)
{
	size_t bs = load->work.bs;
	uint64_t at = place_of(load, s, n);

	if (load->work.rw == RW_READ || load->work.rw == RW_RANDREAD) {
		s->begun_ns = bench_now();
		return vdo_pread(load->volume, s->buf, bs, at, 0);
	}
	if (load->work.rw == RW_DISCARD) {
		s->begun_ns = bench_now();
		return vdo_discard(load->volume, bs, at, 0);
	}
	if (load->work.rw == RW_MAP) {
		s->begun_ns = bench_now();
		return vdo_map_extents(load->volume, at, bs, 0, extent_done,
				       NULL);
	}
	fill(load, s, n);
	s->begun_ns = bench_now();
	return vdo_pwrite(load->volume, s->buf, bs, at, 0);
}

static void run_sync(struct load *load)
{
	struct slot *s = &load->slots[0];

	while (s->next < load->ops && !interrupted()) {
		int result = sync_op(load, s, s->next);
		uint64_t now = bench_now();

		record(now - s->begun_ns);
		if (result != 0)
			note_error(load, result);
		s->next++;
		if (load->deadline_ns != 0 && now >= load->deadline_ns)
			end_all(load);
	}
}

/* After a signal, or when time is up, no slot has anything more to do. */
static void end_early(struct load *load)
{
	if (interrupted() ||
	    (load->deadline_ns != 0 && bench_now() >= load->deadline_ns))
		end_all(load);
}

/* A second, or what is left of the time. */
static void wait_a_moment(struct load *load)
{
	uint64_t ns = UINT64_C(1000000000), now = bench_now();
	struct timespec until;

	if (load->deadline_ns > now)
		ns = MIN(ns, load->deadline_ns - now);
	clock_gettime(CLOCK_REALTIME, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	pthread_cond_timedwait(&load->over, &load->lock, &until);
}

/* ----------------------------------------------------------------- batches */

/* Operations that are next, and their slots. */
struct batch {
	struct vdo_cq *cq;
	unsigned count;
	struct vdo_op ops[LOAD_BATCH_MAX];
};

static void batch_submit(struct load *load, struct batch *b)
{
	int n = 0;

	if (b->count > 0)
		n = vdo_aio_submit(load->volume, b->ops, b->count);
	if (n < (int)b->count) {
		note_error(load, n < 0 ? n : -EIO);
		for (unsigned i = (unsigned)MAX(n, 0); i < b->count; i++)
			slot_over(load);
	}
	b->count = 0;
}

static void batch_add(struct batch *b, struct slot *s)
{
	static const enum vdo_op_kind kinds[] = {
		[RW_WRITE] = VDO_OP_WRITE,
		[RW_RANDWRITE] = VDO_OP_WRITE,
		[RW_READ] = VDO_OP_READ,
		[RW_RANDREAD] = VDO_OP_READ,
		[RW_DISCARD] = VDO_OP_DISCARD,
	};
	struct load *load = s->load;
	struct vdo_op *op = &b->ops[b->count++];

	s->entry = (struct vdo_cq_entry){.cq = b->cq, .user = s};
	*op = (struct vdo_op){
		.kind = kinds[load->work.rw],
		.offset = place_of(load, s, s->next),
		.count = load->work.bs,
		.buf = s->buf,
		.callback = vdo_cq_complete,
		.arg = &s->entry,
	};
	if (op->kind == VDO_OP_WRITE)
		fill(load, s, s->next);
	s->next += load->slot_count;
	s->begun_ns = bench_now();
}

static void batch_next(struct load *load, struct batch *b, struct slot *s)
{
	if (s->next >= atomic_load_explicit(&load->ops, memory_order_relaxed)) {
		slot_over(load);
		return;
	}
	batch_add(b, s);
	if (b->count == load->work.batch)
		batch_submit(load, b);
}

/* Something is over. */
static void batch_reap(struct load *load, struct batch *b)
{
	struct vdo_cq_entry *ended[LOAD_BATCH_MAX];
	size_t n = vdo_cq_reap(b->cq, ended, LOAD_BATCH_MAX);

	for (size_t i = 0; i < n; i++) {
		struct slot *s = ended[i]->user;

		record(bench_now() - s->begun_ns);
		if (ended[i]->result != 0)
			note_error(load, ended[i]->result);
		batch_next(load, b, s);
	}
	batch_submit(load, b);
}

static void run_batches(struct load *load)
{
	struct batch *b = must(calloc(1, sizeof(*b)));
	struct pollfd fd = {.events = POLLIN};

	if (vdo_cq_new(&b->cq) != 0)
		abort();
	fd.fd = vdo_cq_fd(b->cq);
	for (unsigned i = 0; i < load->slot_count; i++)
		batch_next(load, b, &load->slots[i]);
	batch_submit(load, b);
	while (!load->is_over) {
		if (load->work.polled)
			vdo_poll(load->volume, -1);
		else
			poll(&fd, 1, 1000);
		batch_reap(load, b);
		end_early(load);
	}
	vdo_cq_free(b->cq);
	free(b);
}

int load_run(struct load *load)
{
	histograms_reset();
	if (load->work.runtime_ns != 0)
		load->deadline_ns = bench_now() + load->work.runtime_ns;
	if (load->work.sync) {
		run_sync(load);
		return load->error;
	}
	if (load->work.batch > 0) {
		run_batches(load);
		return load->error;
	}
	for (unsigned i = 0; i < load->slot_count; i++)
		op_next(&load->slots[i], bench_now());
	while (load->work.polled && !load->is_over) {
		vdo_poll(load->volume, -1);
		end_early(load);
	}
	pthread_mutex_lock(&load->lock);
	while (!load->is_over) {
		wait_a_moment(load);
		end_early(load);
	}
	pthread_mutex_unlock(&load->lock);
	return load->error;
}

uint64_t load_done(const struct load *load)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < load->slot_count; i++)
		done += (load->slots[i].next - i) / load->slot_count;
	return done;
}

static void slot_init(struct load *load, unsigned i)
{
	const struct load_work *w = &load->work;
	struct slot *s = &load->slots[i];

	*s = (struct slot){
		.load = load,
		.next = i,
		.random = (w->seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15),
	};
	if (w->rw >= RW_DISCARD)
		return;
	s->buf = must(aligned_alloc(BENCH_BLOCK, w->bs));
	if (w->zeroes)
		memset(s->buf, 0, w->bs);
	else
		bench_base(s->buf, w->bs, &w->data);
}

struct load *load_new(struct vdo_volume *volume, const struct load_work *work)
{
	struct load *load = must(calloc(1, sizeof(*load)));

	load->work = *work;
	load->volume = volume;
	load->random = work->rw == RW_RANDWRITE || work->rw == RW_RANDREAD;
	load->places = work->size / work->bs;
	load->slot_count = work->sync ? 1 : work->depth;
	atomic_init(&load->ops, work->ops);
	atomic_init(&load->live, load->slot_count);
	load->slots = must(aligned_alloc(64, load->slot_count *
						     sizeof(*load->slots)));
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->over, NULL);
	for (unsigned i = 0; i < load->slot_count; i++)
		slot_init(load, i);
	return load;
}

void load_free(struct load *load)
{
	for (unsigned i = 0; i < load->slot_count; i++)
		free(load->slots[i].buf);
	free(load->slots);
	free(load);
}
