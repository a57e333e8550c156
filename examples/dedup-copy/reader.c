/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int reader_init(struct reader *r, struct vdo_volume *volume, bool polled,
		uint64_t limit)
{
	memset(r, 0, sizeof(*r));
	r->memory = aligned_alloc(BLOCK, (size_t)WINDOW * CHUNK);
	if (r->memory == NULL)
		return -ENOMEM;
	flight_init(&r->flight, volume, polled);
	r->volume = volume;
	r->limit = limit;
	for (unsigned i = 0; i < WINDOW; i++) {
		r->slots[i].reader = r;
		r->slots[i].data = r->memory + (size_t)i * CHUNK;
	}
	return 0;
}

static void read_done(void *arg, int result)
{
	struct slot *s = arg;
	struct flight *f = &s->reader->flight;

	flight_lock(f);
	s->result = result;
	s->pending = false;
	flight_changed(f);
	flight_unlock(f);
}

static void wait_for(struct reader *r, const struct slot *s)
{
	flight_lock(&r->flight);
	while (s->pending)
		flight_wait(&r->flight);
	flight_unlock(&r->flight);
}

static void submit_chunk(struct reader *r, uint64_t chunk)
{
	struct slot *s = &r->slots[chunk % WINDOW];
	uint64_t start = chunk * CHUNK;
	size_t length = CHUNK;
	int result;

	wait_for(r, s);
	if (r->limit - start < length)
		length = (size_t)(r->limit - start);
	s->pending = true;
	result = vdo_aio_pread(r->volume, s->data, length, start, read_done, s,
			       0);
	if (result != 0) {
		s->result = result;
		s->pending = false;
	}
}

static void move_window(struct reader *r, uint64_t chunk)
{
	uint64_t chunks = (r->limit + CHUNK - 1) / CHUNK;

	if (chunk < r->head || chunk > r->tail || r->window == 0) {
		r->tail = chunk;
		r->window = 1;
	} else if (chunk > r->head && r->window < WINDOW) {
		r->window *= 2;
	}
	r->head = chunk;
	while (r->tail < chunks && r->tail < chunk + r->window)
		submit_chunk(r, r->tail++);
}

int reader_get(struct reader *r, uint64_t offset, const uint8_t **data,
	       size_t *bytes)
{
	uint64_t chunk = offset / CHUNK;
	size_t skip = (size_t)(offset % CHUNK), there = CHUNK - skip;
	struct slot *s = &r->slots[chunk % WINDOW];

	if (offset >= r->limit)
		return -ERANGE;
	move_window(r, chunk);
	wait_for(r, s);
	if (s->result != 0)
		return s->result;
	if (there > r->limit - offset)
		there = (size_t)(r->limit - offset);
	if (*bytes > there)
		*bytes = there;
	*data = s->data + skip;
	return 0;
}

int reader_copy(struct reader *r, uint64_t offset, void *data, size_t bytes)
{
	uint8_t *to = data;

	while (bytes > 0) {
		const uint8_t *from;
		size_t n = bytes;
		int result = reader_get(r, offset, &from, &n);

		if (result != 0)
			return result;
		memcpy(to, from, n);
		to += n;
		offset += n;
		bytes -= n;
	}
	return 0;
}

void reader_fini(struct reader *r)
{
	if (r->memory == NULL)
		return;
	for (unsigned i = 0; i < WINDOW; i++)
		wait_for(r, &r->slots[i]);
	flight_fini(&r->flight);
	free(r->memory);
	r->memory = NULL;
}
