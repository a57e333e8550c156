/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int writer_init(struct writer *w, struct vdo_volume *volume, bool polled)
{
	memset(w, 0, sizeof(*w));
	w->memory = aligned_alloc(BLOCK, (size_t)BUFFERS * CHUNK);
	if (w->memory == NULL)
		return -ENOMEM;
	flight_init(&w->flight, volume, polled);
	w->volume = volume;
	w->limit = UINT64_MAX;
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct buffer *b = &w->buffers[i];

		b->writer = w;
		b->data = w->memory + (size_t)i * CHUNK;
		b->next = w->free;
		w->free = b;
	}
	w->free_count = BUFFERS;
	return 0;
}

void writer_set_sink(struct writer *w, writer_sink sink, void *arg)
{
	w->sink = sink;
	w->sink_arg = arg;
}

void writer_set_reserve(struct writer *w, writer_reserve reserve, void *arg)
{
	w->reserve = reserve;
	w->reserve_arg = arg;
}

static void fail(struct writer *w, int result)
{
	flight_lock(&w->flight);
	if (w->result == 0)
		w->result = result;
	flight_unlock(&w->flight);
}

/* The buffer is free again. On a thread of the volume, or the writer's. */
static void give_back(struct buffer *b, int result)
{
	struct writer *w = b->writer;

	flight_lock(&w->flight);
	if (result != 0 && w->result == 0)
		w->result = result;
	b->next = w->free;
	w->free = b;
	w->free_count++;
	flight_changed(&w->flight);
	flight_unlock(&w->flight);
}

static void write_done(void *arg, int result)
{
	give_back(arg, result);
}

static void submit_current(struct writer *w)
{
	struct buffer *b = w->current;
	uint64_t start = w->position - w->used;
	int r;

	if (b == NULL)
		return;
	w->current = NULL;
	r = writer_result(w);
	if (r == 0 && w->used != 0) {
		w->written += w->used;
		if (w->sink != NULL)
			r = w->sink(w->sink_arg, b->data, w->used);
		else
			r = vdo_aio_pwrite(w->volume, b->data, w->used, start,
					   write_done, b, 0);
		if (r == 0 && w->sink == NULL)
			return;
	}
	give_back(b, r);
}

static struct buffer *take_buffer(struct writer *w)
{
	struct buffer *b;

	flight_lock(&w->flight);
	while (w->free == NULL)
		flight_wait(&w->flight);
	b = w->free;
	w->free = b->next;
	w->free_count--;
	flight_unlock(&w->flight);
	return b;
}

uint8_t *writer_room(struct writer *w, size_t *room)
{
	if (w->current != NULL && w->used == CHUNK)
		submit_current(w);
	if (w->current == NULL) {
		w->current = take_buffer(w);
		w->used = 0;
		if (w->reserve != NULL) {
			int r = w->reserve(w->reserve_arg, w->position + CHUNK,
					   &w->limit);

			if (r != 0)
				fail(w, r);
		}
	}
	if (w->position >= w->limit)
		fail(w, NO_ADDRESSES);
	if (writer_result(w) != 0)
		return NULL;
	*room = CHUNK - w->used;
	if (*room > w->limit - w->position)
		*room = (size_t)(w->limit - w->position);
	return w->current->data + w->used;
}

void writer_advance(struct writer *w, size_t bytes)
{
	w->used += bytes;
	w->position += bytes;
}

int writer_put(struct writer *w, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes > 0) {
		size_t room;
		uint8_t *to = writer_room(w, &room);

		if (to == NULL)
			return writer_result(w);
		if (room > bytes)
			room = bytes;
		memcpy(to, p, room);
		writer_advance(w, room);
		p += room;
		bytes -= room;
	}
	return 0;
}

int writer_align(struct writer *w)
{
	size_t missing = (size_t)(-w->position % BLOCK), room;
	uint8_t *to;

	if (missing == 0)
		return writer_result(w);
	to = writer_room(w, &room); /* blocks never straddle buffers */
	if (to == NULL)
		return writer_result(w);
	memset(to, 0, missing);
	writer_advance(w, missing);
	return 0;
}

void writer_seek(struct writer *w, uint64_t position)
{
	if (position == w->position)
		return;
	submit_current(w);
	w->position = position;
}

int writer_drain(struct writer *w)
{
	submit_current(w);
	flight_lock(&w->flight);
	while (w->free_count < BUFFERS)
		flight_wait(&w->flight);
	flight_unlock(&w->flight);
	return writer_result(w);
}

int writer_result(struct writer *w)
{
	int r;

	flight_lock(&w->flight);
	r = w->result;
	flight_unlock(&w->flight);
	return r;
}

void writer_fini(struct writer *w)
{
	if (w->memory == NULL)
		return;
	if (w->current != NULL) {
		w->used = 0; /* not asked for: dropped */
		submit_current(w);
	}
	writer_drain(w);
	flight_fini(&w->flight);
	free(w->memory);
	w->memory = NULL;
}
