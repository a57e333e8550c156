/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequential I/O through one buffer.
 *
 *	| left from before | chunk from the device ... |	reading
 *	| made, whole blocks -> device | left for the next |	writing
 */
#include "build.h"

#include "index/stream.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CHUNK	    (UINT64_C(256) << 10)
#define BUFFER_SIZE (CHUNK + STREAM_ITEM_MAX)

int stream_init(struct stream *s, const struct index_media *m)
{
	*s = (struct stream){.media = m};
	s->buf = alloc_spare(BLOCK_SIZE, BUFFER_SIZE, 1);
	return s->buf == NULL ? -ENOMEM : 0;
}

void stream_fini(struct stream *s)
{
	alloc_free(s->buf);
	s->buf = NULL;
}

/* We are on its home, or are just being called: no recursion through done. */
static void end_transfer(struct stream *s, int result)
{
	completion_finish(&s->done, result);
}

static void begin(struct stream *s, struct extent e, void *arg)
{
	VDO_ASSERT(s->buf != NULL);
	VDO_ASSERT(s->under_way == 0);
	s->next = e.start;
	s->left = e.blocks;
	s->arg = arg;
	s->used = 0;
	s->last = false;
}

/* @blocks of the buffer from @at on are about to be on their way. */
static uint64_t send(struct stream *s, uint64_t blocks, completion_fn then)
{
	uint64_t from = s->next;

	VDO_ASSERT(s->under_way == 0 && blocks > 0 && blocks <= s->left);
	s->under_way = blocks * BLOCK_SIZE;
	s->next += blocks;
	s->left -= blocks;
	completion_init(&s->io.done, s->done.home, then);
	return from;
}

static void read_done(struct completion *c);

/* The chunk goes after STREAM_ITEM_MAX bytes, kept for what is left. */
static void read_more(struct stream *s)
{
	uint64_t blocks = MIN(s->left, CHUNK / BLOCK_SIZE);
	uint64_t from;

	if (blocks == 0) {
		end_transfer(s, -VDO_ECORRUPT);
		return;
	}
	from = send(s, blocks, read_done);
	media_read(s->media, &s->io, from, blocks, s->buf + STREAM_ITEM_MAX);
}

static void read_done(struct completion *c)
{
	struct stream *s = container_of(c, struct stream, io.done);
	const uint8_t *p = s->buf + STREAM_ITEM_MAX - s->used;
	size_t n = s->used + s->under_way, taken = 0;
	int r = c->result;

	VDO_ASSERT(s->under_way > 0);
	s->under_way = 0;
	if (r == 0)
		r = s->consume(s->arg, p, n, &taken);
	VDO_ASSERT(taken <= n);
	if (r <= 0) {
		end_transfer(s, r);
		return;
	}
	s->used = n - taken;
	VDO_ASSERT(s->used <= STREAM_ITEM_MAX);
	memmove(s->buf + STREAM_ITEM_MAX - s->used, p + taken, s->used);
	read_more(s);
}

void stream_read(struct stream *s, struct extent from, stream_consume consume,
		 void *arg)
{
	VDO_ASSERT(consume != NULL);
	begin(s, from, arg);
	s->consume = consume;
	read_more(s);
}

/* Fill the buffer: 0 or an error. */
static int fill_buffer(struct stream *s)
{
	int r = 1;

	VDO_ASSERT(s->used < BUFFER_SIZE);
	while (r == 1 && s->used < CHUNK) {
		size_t made = 0;

		r = s->produce(s->arg, s->buf + s->used, BUFFER_SIZE - s->used,
			       &made);
		VDO_ASSERT(made <= BUFFER_SIZE - s->used);
		s->used += made;
	}
	s->last = r == 0;
	return r < 0 ? r : 0;
}

static void chunk_written(struct completion *c);

static void flushed(struct completion *c)
{
	end_transfer(container_of(c, struct stream, io.done), c->result);
}

static void flush(struct stream *s)
{
	VDO_ASSERT(s->last && s->under_way == 0);
	completion_init(&s->io.done, s->done.home, flushed);
	media_flush(s->media, &s->io);
}

static void write_more(struct stream *s)
{
	uint64_t blocks, to;
	int r = fill_buffer(s);

	VDO_ASSERT(s->used <= BUFFER_SIZE);
	if (r != 0) {
		end_transfer(s, r);
		return;
	}
	blocks = s->used / BLOCK_SIZE;
	if (s->last && s->used % BLOCK_SIZE != 0) {
		memset(s->buf + s->used, 0, BLOCK_SIZE - s->used % BLOCK_SIZE);
		blocks++;
	}
	if (blocks > s->left) {
		end_transfer(s, -ENOSPC);
		return;
	}
	if (blocks == 0) {
		flush(s);
		return;
	}
	to = send(s, blocks, chunk_written);
	media_write(s->media, &s->io, to, blocks, s->buf);
}

static void chunk_written(struct completion *c)
{
	struct stream *s = container_of(c, struct stream, io.done);
	size_t written = s->under_way;

	VDO_ASSERT(written > 0 && written % BLOCK_SIZE == 0);
	s->under_way = 0;
	if (c->result != 0) {
		end_transfer(s, c->result);
	} else if (s->last) {
		flush(s);
	} else {
		s->used -= written;
		memmove(s->buf, s->buf + written, s->used);
		write_more(s);
	}
}

void stream_write(struct stream *s, struct extent to, stream_produce produce,
		  void *arg)
{
	VDO_ASSERT(produce != NULL);
	begin(s, to, arg);
	s->produce = produce;
	write_more(s);
}
