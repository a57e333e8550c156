/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer: threads that write, discard, zero and flush until they are
 * killed, or until the server is. Each has one request at a time.
 */
#include "build.h"

#include "tests/crash/crash.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kernel/blocks.h"

static struct worker {
	pthread_t thread;
	uint64_t random;
	struct vdo_volume *volume; /* or */
	int nbd;
	uint64_t size;
	int records;
	uint8_t *buffer;
	struct record request;
} workers[WORKERS];

static void tell(struct worker *w, enum record_type type)
{
	w->request.type = (uint8_t)type;
	/* Without a parent there is nothing to do. */
	if (write(w->records, &w->request, sizeof(w->request)) !=
	    sizeof(w->request))
		_exit(1);
}

static void choose(struct worker *w)
{
	struct record *r = &w->request;
	uint64_t n = splitmix64(&w->random), place, first;

	r->fua = n % 16 == 0;
	r->count = 1 + (uint32_t)((n >> 8) % ((n >> 4) % 8 ? 8 : REQUEST_MAX));
	place = (n >> 16) % (WORKER_PLACES - r->count + 1);
	first = (uint64_t)r->worker * WORKER_PLACES;
	r->place = first + place;
	r->content = content_pick(splitmix64(&w->random), &r->step);
}

static void check_result(struct worker *w, int result)
{
	if (result == 0)
		return;
	/* The server is gone, as was to be expected. */
	if (w->volume == NULL && result < 0)
		pthread_exit(NULL);
	fprintf(stderr, "writer: %s\n",
		w->volume != NULL ? vdo_strerror(result) : strerror(result));
	_exit(1);
}

static int submit(struct worker *w, enum nbd_command command)
{
	const struct record *r = &w->request;
	uint64_t offset = place_offset(w->size, r->place);
	uint32_t length = r->count * BLOCK;
	unsigned flags = r->fua ? VDO_IO_FUA : 0;

	if (w->volume == NULL)
		return nbd_request(w->nbd, command, r->fua, offset, length,
				   w->buffer);
	switch (command) {
	case NBD_WRITE:
		return vdo_pwrite(w->volume, w->buffer, length, offset, flags);
	case NBD_TRIM:
		return vdo_discard(w->volume, length, offset, flags);
	default:
		return vdo_write_zeroes(w->volume, length, offset, flags);
	}
}

static void change(struct worker *w, enum nbd_command command)
{
	struct record *r = &w->request;

	choose(w);
	if (command != NBD_WRITE) {
		r->content = 0;
		r->step = 0;
	}
	for (uint32_t i = 0; i < r->count && command == NBD_WRITE; i++)
		content_fill(r->content + i * r->step, w->buffer + i * BLOCK);
	tell(w, RECORD_BEGIN);
	check_result(w, submit(w, command));
	tell(w, RECORD_END);
}

static void flush(struct worker *w)
{
	tell(w, RECORD_FLUSH_BEGIN);
	check_result(w, w->volume != NULL ?
		vdo_flush(w->volume, 0) :
		nbd_request(w->nbd, NBD_FLUSH, false, 0, 0, NULL));
	tell(w, RECORD_FLUSH_END);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		uint64_t n = splitmix64(&w->random) % 32;

		if (n < 3)
			flush(w);
		else
			change(w, n < 5 ? NBD_TRIM :
				  n < 6 ? NBD_ZEROES : NBD_WRITE);
	}
	return NULL;
}

/* Does not return but when the server is gone. */
static int run(uint64_t seed)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		w->random = seed + i;
		w->random = splitmix64(&w->random);
		w->request.worker = (uint8_t)i;
		w->buffer = aligned_alloc(BLOCK, REQUEST_MAX * BLOCK);
		if (w->buffer == NULL ||
		    pthread_create(&w->thread, NULL, work, w) != 0)
			return 1;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}

int work_volume(const char *path, const struct vdo_config *config,
		uint64_t seed, int records)
{
	struct vdo_volume *volume;
	struct vdo_error error;
	int r = vdo_open(path, config, &volume, &error);

	if (r != 0) {
		fprintf(stderr, "writer: %s: %s\n", path, error.message);
		return 1;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].volume = volume;
		workers[i].size = vdo_volume_size(volume);
		workers[i].records = records;
	}
	return run(seed);
}

int work_nbd(const char *path, uint64_t seed, int records)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].nbd = nbd_connect(path, &workers[i].size);
		/* It was killed early. */
		if (workers[i].nbd < 0)
			return 0;
		workers[i].records = records;
	}
	return run(seed);
}
