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

int stream_init(struct stream *s, struct storage *storage, enum mio_kind kind,
		struct queue *queue)
{
	*s = (struct stream){.storage = storage, .kind = kind, .queue = queue};
	s->buf = alloc_aligned(BLOCK_SIZE, BUFFER_SIZE, 1);
	return s->buf == NULL ? -ENOMEM : 0;
}

void stream_fini(struct stream *s)
{
	alloc_free(s->buf);
	s->buf = NULL;
}

static void read_done(struct completion *c);

/* The chunk goes behind STREAM_ITEM_MAX bytes kept for what was left. */
static void read_more(struct stream *s)
{
	uint64_t blocks = MIN(s->left, CHUNK / BLOCK_SIZE);

	if (blocks == 0) {
		s->done(s->ctx, -VDO_ECORRUPT);
		return;
	}
	s->under_way = blocks * BLOCK_SIZE;
	completion_init(&s->mio.done, s->queue, read_done);
	mio_read(&s->mio, s->storage, s->kind, s->next, blocks,
		 s->buf + STREAM_ITEM_MAX);
	s->next += blocks;
	s->left -= blocks;
}

static void read_done(struct completion *c)
{
	struct stream *s = container_of(c, struct stream, mio.done);
	const uint8_t *p = s->buf + STREAM_ITEM_MAX - s->used;
	size_t n = s->used + s->under_way, taken = 0;
	int r = c->result;

	if (r == 0)
		r = s->consume(s->arg, p, n, &taken);
	VDO_ASSERT(taken <= n);
	if (r <= 0) {
		s->done(s->ctx, r);
		return;
	}
	s->used = n - taken;
	VDO_ASSERT(s->used <= STREAM_ITEM_MAX);
	memmove(s->buf + STREAM_ITEM_MAX - s->used, p + taken, s->used);
	read_more(s);
}

void stream_read(struct stream *s, uint64_t start, uint64_t blocks,
		 stream_consume consume, void *arg,
		 void (*done)(void *ctx, int result), void *ctx)
{
	s->next = start;
	s->left = blocks;
	s->consume = consume;
	s->arg = arg;
	s->done = done;
	s->ctx = ctx;
	s->used = 0;
	read_more(s);
}

static void write_done(struct completion *c);

static void write_more(struct stream *s)
{
	uint64_t blocks;
	int r = 1;

	while (r == 1 && s->used < CHUNK) {
		size_t made = 0;

		r = s->produce(s->arg, s->buf + s->used, BUFFER_SIZE - s->used,
			       &made);
		s->used += made;
		VDO_ASSERT(s->used <= BUFFER_SIZE);
	}
	if (r < 0) {
		s->done(s->ctx, r);
		return;
	}
	s->last = r == 0;
	blocks = s->used / BLOCK_SIZE;
	if (s->last && s->used % BLOCK_SIZE != 0) {
		memset(s->buf + s->used, 0, BLOCK_SIZE - s->used % BLOCK_SIZE);
		blocks++;
	}
	if (blocks > s->left || blocks == 0) {
		s->done(s->ctx, blocks == 0 ? 0 : -ENOSPC);
		return;
	}
	s->under_way = blocks * BLOCK_SIZE;
	completion_init(&s->mio.done, s->queue, write_done);
	mio_write(&s->mio, s->storage, s->kind, s->next, blocks, s->buf, false);
	s->next += blocks;
	s->left -= blocks;
}

static void write_done(struct completion *c)
{
	struct stream *s = container_of(c, struct stream, mio.done);

	if (c->result != 0 || s->last) {
		s->done(s->ctx, c->result);
		return;
	}
	s->used -= s->under_way;
	memmove(s->buf, s->buf + s->under_way, s->used);
	write_more(s);
}

void stream_write(struct stream *s, uint64_t start, uint64_t blocks,
		  stream_produce produce, void *arg,
		  void (*done)(void *ctx, int result), void *ctx)
{
	s->next = start;
	s->left = blocks;
	s->produce = produce;
	s->arg = arg;
	s->done = done;
	s->ctx = ctx;
	s->used = 0;
	write_more(s);
}
