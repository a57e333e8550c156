/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine without io_uring: worker threads that do blocking I/O.
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

#define THREADS_DEFAULT 4
#define THREADS_MAX     64

struct workers {
	struct file *file;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct vdo_device_io *first;
	struct vdo_device_io *last;
	unsigned idle;  /* workers that sleep */
	bool stopping;
	unsigned count; /* workers started */
	pthread_t threads[THREADS_MAX];
};

/* The oldest operation; NULL when it is time to go. Holds the lock. */
static struct vdo_device_io *take(struct workers *w)
{
	struct vdo_device_io *io;

	VDO_ASSERT(w->idle < w->count || w->count < THREADS_MAX);
	while (w->first == NULL && !w->stopping) {
		w->idle++;
		pthread_cond_wait(&w->work, &w->lock);
		w->idle--;
	}
	io = w->first;
	if (io != NULL)
		w->first = io->host_data[0];
	return io;
}

static void *worker(void *arg)
{
	struct workers *w = arg;
	struct vdo_device_io *io;

	pthread_mutex_lock(&w->lock);
	while ((io = take(w)) != NULL) {
		pthread_mutex_unlock(&w->lock);
		io->complete(io, file_run(w->file, io, 0));
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void threads_submit(void *ctx, struct vdo_device_io *io)
{
	struct file *f = ctx;
	struct workers *w = f->state;

	io->host_data[0] = NULL;
	pthread_mutex_lock(&w->lock);
	VDO_ASSERT(!w->stopping);
	if (w->first == NULL)
		w->first = io;
	else
		w->last->host_data[0] = io;
	w->last = io;
	/* Under the lock: once it is free the volume may be done with us. */
	if (w->idle > 0)
		pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

static void threads_stop(struct file *f)
{
	struct workers *w = f->state;

	pthread_mutex_lock(&w->lock);
	VDO_ASSERT(!w->stopping);
	w->stopping = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	VDO_ASSERT(w->first == NULL);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	alloc_free(w);
	f->state = NULL;
}

static int threads_start(struct file *f, struct executor *x)
{
	unsigned want = f->threads ? f->threads : THREADS_DEFAULT;
	struct workers *w = alloc_zeroed(1, sizeof(*w));
	int r = 0;

	if (w == NULL)
		return -ENOMEM;
	w->file = f;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	f->state = w;
	while (w->count < MIN(want, THREADS_MAX)) {
		r = system_thread_start(&w->threads[w->count], "vdo-io",
					worker, w);
		if (r != 0)
			break;
		w->count++;
	}
	if (r == 0)
		return 0;
	threads_stop(f);
	return r;
}

const struct file_engine file_engine_threads = {
	.start = threads_start,
	.submit = threads_submit,
	.stop = threads_stop,
};
