/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine without io_uring: worker threads that do blocking I/O. It also
 * carries on for a ring that was given up (uring.c).
 *
 * One FIFO, linked through host_data[0] of the operations, under one mutex.
 * A worker takes the oldest, lets go of the mutex, runs it, completes it. An
 * idle worker sleeps on the condition and is woken by a submit only.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "exec/system.h"

#define THREADS_MAX 64

struct threads {
	struct file *file;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct vdo_device_io *first;
	struct vdo_device_io *last;
	unsigned idle; /* workers that sleep */
	bool stopping;
	unsigned count; /* workers started */
	pthread_t threads[THREADS_MAX];
};

/* The oldest operation; NULL when it is time to go. Holds the lock. */
static struct vdo_device_io *take(struct threads *t)
{
	struct vdo_device_io *io;

	VDO_ASSERT(t->idle < THREADS_MAX);
	while (t->first == NULL && !t->stopping) {
		t->idle++;
		pthread_cond_wait(&t->work, &t->lock);
		t->idle--;
	}
	io = t->first;
	VDO_ASSERT(io != NULL || t->stopping);
	if (io != NULL)
		t->first = io->host_data[0];
	return io;
}

static void *worker(void *arg)
{
	struct threads *t = arg;
	struct vdo_device_io *io;

	VDO_ASSERT(queue_running == NULL);
	pthread_mutex_lock(&t->lock);
	while ((io = take(t)) != NULL) {
		pthread_mutex_unlock(&t->lock);
		io->complete(io, file_run(t->file, io, 0));
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

void threads_submit(struct threads *t, struct vdo_device_io *first,
		    struct vdo_device_io *last)
{
	VDO_CHECK(t->count > 0 && last->complete != NULL);
	last->host_data[0] = NULL;
	pthread_mutex_lock(&t->lock);
	VDO_ASSERT(!t->stopping);
	if (t->first == NULL)
		t->first = first;
	else
		t->last->host_data[0] = first;
	t->last = last;
	/* The lock is held: once it is free the volume may be done with us. */
	if (t->idle > 0 && first == last)
		pthread_cond_signal(&t->work);
	else if (t->idle > 0)
		pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void threads_destroy(struct threads *t)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	VDO_ASSERT(!t->stopping);
	t->stopping = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->count; i++)
		pthread_join(t->threads[i], NULL);
	VDO_ASSERT(t->first == NULL);
	VDO_ASSERT(t->idle == 0);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	alloc_free(t);
}

int threads_create(struct file *f, struct threads **threads)
{
	unsigned want = f->threads ? f->threads : FILE_THREADS;
	struct threads *t = alloc_zeroed(1, sizeof(*t));
	int r = 0;

	*threads = NULL;
	if (t == NULL)
		return -ENOMEM;
	t->file = f;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	while (t->count < MIN(want, THREADS_MAX)) {
		r = system_thread_start(&t->threads[t->count], "vdo-io",
					worker, t);
		if (r != 0)
			break;
		t->count++;
	}
	/* Fewer threads than wanted are slower, but do all the work. */
	if (t->count == 0) {
		threads_destroy(t);
		return r;
	}
	*threads = t;
	return 0;
}

static int engine_start(struct file *f, struct executor *x)
{
	struct threads *t;
	int r = threads_create(f, &t);

	VDO_ASSERT(f->state == NULL);
	f->state = t;
	return r;
}

static void engine_submit_all(void *ctx, struct vdo_device_io *first,
			      struct vdo_device_io *last)
{
	struct file *f = ctx;

	VDO_CHECK(f->state != NULL);
	threads_submit(f->state, first, last);
}

static void engine_submit(void *ctx, struct vdo_device_io *io)
{
	engine_submit_all(ctx, io, io);
}

static void engine_stop(struct file *f)
{
	VDO_ASSERT(f->state != NULL);
	threads_destroy(f->state);
	f->state = NULL;
}

const struct file_engine threads_engine = {
	.start = engine_start,
	.submit = engine_submit,
	.submit_all = engine_submit_all,
	.stop = engine_stop,
};
