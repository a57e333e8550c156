/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is slow waits in a list, for a thread that takes one at a time, sleeps,
 * and hands it to the device. That is how a disk without a cache of its own that
 * survives does it: the second flush waits for the first.
 */
#include "build.h"

#include "tests/bench/medium.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "api/host_config.h"
#include "base/compiler.h"
#include "io/file.h"
#include "volume/settings.h"

#define FILL_BYTES ((size_t)1 << 20)

static struct medium {
	struct vdo_device *device; /* NULL: it is not watched */

	/* The device's. Attaching and detaching change what submit() is. */
	void (*submit)(void *ctx, struct vdo_device_io *io);
	void (*submit_all)(void *ctx, struct vdo_device_io *first,
			   struct vdo_device_io *last); /* or NULL */
	int (*attach)(void *ctx, struct executor *x);
	void (*detach)(void *ctx);

	atomic_ullong reads, writes, fua, flushes;
	atomic_ullong read_bytes, write_bytes;

	atomic_ullong delay_ns;
	bool has_thread, stop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct vdo_device_io *first, **last;
} m = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.last = &m.first,
};

/* ---------------------------------------------------------------- watching */

static void add(atomic_ullong *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void count(const struct vdo_device_io *io)
{
	switch (io->op) {
	case VDO_DEVICE_READ:
		add(&m.reads, 1);
		add(&m.read_bytes, io->length);
		break;
	case VDO_DEVICE_WRITE:
		add(&m.writes, 1);
		add(&m.write_bytes, io->length);
		if (io->flags & VDO_DEVICE_FUA)
			add(&m.fua, 1);
		break;
	case VDO_DEVICE_FLUSH:
		add(&m.flushes, 1);
		break;
	case VDO_DEVICE_DISCARD:
		break;
	}
}

static bool is_slow(const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_FLUSH ||
	       (io->op == VDO_DEVICE_WRITE && (io->flags & VDO_DEVICE_FUA));
}

static bool is_delayed(const struct vdo_device_io *io)
{
	return is_slow(io) &&
	       atomic_load_explicit(&m.delay_ns, memory_order_relaxed) != 0;
}

static void delay(struct vdo_device_io *io)
{
	io->host_data[0] = NULL;
	pthread_mutex_lock(&m.lock);
	*m.last = io;
	m.last = (struct vdo_device_io **)&io->host_data[0];
	pthread_cond_signal(&m.work);
	pthread_mutex_unlock(&m.lock);
}

static void watched_submit(void *ctx, struct vdo_device_io *io)
{
	count(io);
	if (is_delayed(io))
		delay(io);
	else
		m.submit(ctx, io);
}

static void watched_submit_all(void *ctx, struct vdo_device_io *first,
			       struct vdo_device_io *last)
{
	struct vdo_device_io *head = NULL, *tail = NULL, *next = first, *io;

	last->host_data[0] = NULL;
	while ((io = next) != NULL) {
		next = io->host_data[0];
		io->host_data[0] = NULL;
		count(io);
		if (is_delayed(io))
			delay(io);
		else if (tail == NULL)
			head = tail = io;
		else
			tail = tail->host_data[0] = io;
	}
	if (head != NULL)
		m.submit_all(ctx, head, tail);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};

	while (nanosleep(&t, &t) != 0)
		;
}

static void *be_slow(void *arg)
{
	pthread_mutex_lock(&m.lock);
	for (;;) {
		struct vdo_device_io *io = m.first;

		if (io != NULL) {
			m.first = io->host_data[0];
			if (m.first == NULL)
				m.last = &m.first;
			pthread_mutex_unlock(&m.lock);
			sleep_ns(atomic_load(&m.delay_ns));
			m.submit(m.device->ctx, io);
			pthread_mutex_lock(&m.lock);
		} else if (m.stop) {
			break;
		} else {
			pthread_cond_wait(&m.work, &m.lock);
		}
	}
	pthread_mutex_unlock(&m.lock);
	return arg;
}

/* A device that is over when submit() returns completes on our thread then,
 * which nobody else waits for. */
static int make_slow(struct vdo_device *d)
{
	d->flags |= VDO_DEVICE_VOLATILE_CACHE;
	if (!d->foreign)
		inside_init(&d->completing);
	d->foreign = true;
	m.has_thread = pthread_create(&m.thread, NULL, be_slow, NULL) == 0;
	return m.has_thread ? 0 : -EAGAIN;
}

static void put_aside(void)
{
	m.device->submit = m.submit;
	m.device->submit_all = m.submit_all;
}

static void put_before(void)
{
	m.submit = m.device->submit;
	m.device->submit = watched_submit;
	m.submit_all = m.device->submit_all;
	if (m.submit_all != NULL)
		m.device->submit_all = watched_submit_all;
}

static int watched_attach(void *ctx, struct executor *x)
{
	int result;

	put_aside();
	result = m.attach(ctx, x);
	put_before();
	return result;
}

static void watched_detach(void *ctx)
{
	put_aside();
	m.detach(ctx);
	put_before();
}

static int watch(struct vdo_device *d, bool slow)
{
	m.device = d;
	put_before();
	m.attach = d->attach;
	m.detach = d->detach;
	if (m.attach != NULL)
		d->attach = watched_attach;
	if (m.detach != NULL)
		d->detach = watched_detach;
	return slow ? make_slow(d) : 0;
}

bool medium_is_watched(void)
{
	return m.device != NULL;
}

void medium_get_counts(struct medium_counts *counts)
{
	counts->reads = atomic_load(&m.reads);
	counts->writes = atomic_load(&m.writes);
	counts->fua = atomic_load(&m.fua);
	counts->flushes = atomic_load(&m.flushes);
	counts->read_bytes = atomic_load(&m.read_bytes);
	counts->write_bytes = atomic_load(&m.write_bytes);
}

void medium_set_delay(uint64_t ns)
{
	atomic_store(&m.delay_ns, ns);
}

void medium_end(void)
{
	if (!m.has_thread)
		return;
	pthread_mutex_lock(&m.lock);
	m.stop = true;
	pthread_cond_signal(&m.work);
	pthread_mutex_unlock(&m.lock);
	pthread_join(m.thread, NULL);
	m.has_thread = false;
}

/* ----------------------------------------------------------------- opening */

/* First touches are the kernel's work: have them done before. */
static int fill(struct vdo_device *d, uint64_t bytes, bool random)
{
	struct bench_data data = {.compress = 0};
	uint8_t *buf = aligned_alloc(BENCH_BLOCK, FILL_BYTES);
	int result = 0;

	if (buf == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < FILL_BYTES; i++)
		buf[i] = 0;
	if (random)
		bench_base(buf, FILL_BYTES, &data);
	for (uint64_t at = 0; result == 0 && at < bytes; at += FILL_BYTES)
		result = device_write(d, at, buf, MIN(FILL_BYTES, bytes - at));
	if (result == 0)
		result = device_flush(d);
	free(buf);
	return result;
}

/* Has the file @path less storage than @bytes? */
static bool has_holes(const char *path, uint64_t bytes)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_blocks * 512 < bytes;
}

static int open_file(const struct arguments *o, uint64_t bytes,
		     struct vdo_device **device, struct vdo_error *error)
{
	struct settings s;
	int result = host_config_apply(o->config, &s, error);

	if (result == 0)
		result = file_open(o->device, VDO_OPEN_CREATE, &s.device,
				   device, error);
	if (result != 0 || !o->raw)
		return result;
	/* Formatting makes it as large, but the device is measured before. */
	if ((*device)->size_bytes < bytes)
		result = device_grow(*device, bytes);
	if (result == 0 && has_holes(o->device, bytes))
		result = fill(*device, bytes, true);
	return result;
}

static int open_memory(uint64_t bytes, struct vdo_device **device)
{
	int result = vdo_device_open_memory(bytes, device);

	return result == 0 ? fill(*device, bytes, false) : result;
}

static uint64_t device_bytes(const struct arguments *o)
{
	uint64_t written = MIN(o->size, o->mapped);

	if (o->device_size != 0)
		return o->device_size;
	if (o->rw < RW_DISCARD)
		written = o->size;
	return 3 * written + (UINT64_C(512) << 20);
}

int medium_open(const struct arguments *o, struct vdo_device **device,
		struct vdo_error *error)
{
	uint64_t bytes = device_bytes(o);
	bool slow = o->flush_delay_ns >= 0;
	char text[32];
	int result;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	arguments_set(o, "size", text);
	if (arguments_in_memory(o))
		result = open_memory(bytes, device);
	else
		result = open_file(o, bytes, device, error);
	if (result == 0 && (o->raw || o->crossings || slow))
		result = watch(*device, slow);
	return result;
}
