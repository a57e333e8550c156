/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous I/O with callbacks, on a volume in memory.
 *
 * Each request writes a block, and its callback starts the next write until
 * COUNT blocks are written. Whoever finishes last submits a flush, whose
 * callback wakes main(). At no time more than DEPTH buffers exist.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#define BLOCK 4096
#define COUNT 2000
#define DEPTH 32

struct run {
	struct vdo_volume *volume;
	atomic_uint next;   /* number of the next block */
	atomic_uint active; /* requests that have more to do */
	atomic_int result;  /* the first error */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool over;
};

struct request {
	struct run *run;
	_Alignas(BLOCK) char buffer[BLOCK];
};

static void run_fail(struct run *run, int result)
{
	int none = 0;

	atomic_compare_exchange_strong(&run->result, &none, result);
}

static void flushed(void *arg, int result)
{
	struct run *run = arg;

	if (result != 0)
		run_fail(run, result);
	pthread_mutex_lock(&run->mutex);
	run->over = true;
	pthread_cond_signal(&run->changed);
	pthread_mutex_unlock(&run->mutex);
}

/* A request has nothing more to do; the last one flushes. */
static void request_end(struct run *run)
{
	int r;

	if (atomic_fetch_sub(&run->active, 1) != 1)
		return;
	r = vdo_aio_flush(run->volume, flushed, run, 0);
	if (r != 0)
		flushed(run, r); /* refused: it will never be called */
}

static void written(void *arg, int result);

static void write_next(struct request *request)
{
	struct run *run = request->run;
	unsigned n = atomic_fetch_add(&run->next, 1);
	int r;

	if (n >= COUNT || atomic_load(&run->result) != 0) {
		request_end(run);
		return;
	}
	/* every tenth block is new, the others repeat */
	memset(request->buffer, 0, BLOCK);
	snprintf(request->buffer, BLOCK, "this is block %u", n / 10);
	r = vdo_aio_pwrite(run->volume, request->buffer, BLOCK,
			   (uint64_t)n * BLOCK, written, request, 0);
	if (r != 0) {
		run_fail(run, r);
		request_end(run);
	}
}

/* On a thread of the volume. It may submit, but not wait. */
static void written(void *arg, int result)
{
	struct request *request = arg;

	if (result != 0)
		run_fail(request->run, result);
	write_next(request);
}

static int run_all(struct vdo_volume *volume)
{
	struct run run = {.volume = volume,
			  .mutex = PTHREAD_MUTEX_INITIALIZER,
			  .changed = PTHREAD_COND_INITIALIZER};
	struct request *requests =
		aligned_alloc(BLOCK, DEPTH * sizeof(*requests));

	if (requests == NULL)
		return -ENOMEM;
	atomic_init(&run.active, DEPTH);
	for (unsigned i = 0; i < DEPTH; i++) {
		requests[i].run = &run;
		write_next(&requests[i]);
	}
	pthread_mutex_lock(&run.mutex);
	while (!run.over)
		pthread_cond_wait(&run.changed, &run.mutex);
	pthread_mutex_unlock(&run.mutex);
	free(requests);
	return atomic_load(&run.result);
}

static void print_savings(struct vdo_volume *volume)
{
	struct vdo_stats *stats;

	if (vdo_stats_get(volume, &stats) != 0)
		return;
	printf("%u blocks written, %" PRIu64 " stored\n", COUNT,
	       vdo_stats_value(stats, "dataBlocksUsed"));
	vdo_stats_free(stats);
}

int main(void)
{
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;
	int r;

	r = vdo_device_open_memory(UINT64_C(64) << 20, &device);
	if (r != 0) {
		fprintf(stderr, "callbacks: %s\n", vdo_strerror(r));
		return 1;
	}
	if (vdo_format_device(device, NULL, &error) != 0 ||
	    vdo_open_device(device, NULL, &volume, &error) != 0) {
		fprintf(stderr, "callbacks: %s\n", error.message);
		vdo_device_close(device);
		return 1;
	}
	r = run_all(volume);
	if (r == 0)
		print_savings(volume);
	else
		fprintf(stderr, "callbacks: %s\n", vdo_strerror(r));
	vdo_close(volume);
	vdo_device_close(device);
	return r != 0;
}
