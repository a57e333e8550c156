/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequential I/O (index/stream.h), asked for by the input: number of blocks (1
 * byte), then for each call how many bytes are taken or made (2 bytes), and in
 * its lowest bits whether that was all (3 of 0..31) or an error (7).
 *
 * The bytes come in order, each once; what was made is on the device, filled up
 * with zeroes, and nothing behind it.
 */
#include "build.h"

#include "tests/fuzz/overlay.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "exec/executor.h"
#include "index/stream.h"
#include "io/device.h"

const unsigned fuzz_replays = 200;

#define BLOCKS 256u
#define FIRST  3u
#define BAD    (-EILSEQ)

struct host {
	struct fuzz f;
	struct overlay *o;
	struct executor *x;
	struct queue *queue;
	struct storage storage;
	struct sync sync;
	struct index_media media;
	struct stream stream;
	struct event event;
	struct completion go;
	uint64_t blocks, at; /* bytes so far */
	bool write, ended;
	int result;
};

/* What byte number @at of the stream is. */
static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static int consume(void *arg, const uint8_t *p, size_t n, size_t *taken)
{
	struct host *h = arg;
	uint64_t v = fuzz_take(&h->f, 2);
	/* At most an item is left. */
	size_t least = n > STREAM_ITEM_MAX ? n - STREAM_ITEM_MAX : 0;

	FUZZ_CHECK(!h->ended && n > 0 &&
		   n % BLOCK_SIZE ==
			   (h->blocks * BLOCK_SIZE - h->at) % BLOCK_SIZE);
	*taken = least + (v >> 5) * 8 % (n - least + 1);
	for (size_t i = 0; i < *taken; i++)
		FUZZ_CHECK(p[i] == byte_at(h->at + i));
	h->at += *taken;
	h->ended = (v & 31) == 3 || (v & 31) == 7;
	return (v & 31) == 7 ? BAD : !h->ended;
}

static int produce(void *arg, uint8_t *p, size_t room, size_t *made)
{
	struct host *h = arg;
	uint64_t v = fuzz_take(&h->f, 2);

	FUZZ_CHECK(!h->ended && room >= STREAM_ITEM_MAX);
	/* With nothing left to say it comes to an end. */
	if (h->f.n == 0)
		v = (v & ~31u) | 3;
	*made = (v >> 5) * 8 % (STREAM_ITEM_MAX + 1);
	for (size_t i = 0; i < *made; i++)
		p[i] = byte_at(h->at + i);
	h->at += *made;
	h->ended = (v & 31) == 3 || (v & 31) == 7;
	return (v & 31) == 7 ? BAD : !h->ended;
}

static void done(struct completion *c)
{
	struct host *h = container_of(c, struct host, stream.done);

	h->result = c->result;
	executor_signal(h->x, &h->event);
}

static void go(struct completion *c)
{
	struct host *h = container_of(c, struct host, go);
	struct extent e = {FIRST, h->blocks};

	completion_init(&h->stream.done, h->queue, done);
	if (h->write)
		stream_write(&h->stream, e, produce, h);
	else
		stream_read(&h->stream, e, consume, h);
}

static void run(struct host *h, bool write)
{
	h->write = write;
	h->ended = false;
	h->at = 0;
	event_init(&h->event);
	completion_init(&h->go, h->queue, go);
	completion_post(&h->go);
	executor_wait(h->x, &h->event);
}

static void check_written(struct host *h)
{
	uint64_t end = h->blocks * BLOCK_SIZE;
	const uint8_t *p = h->o->image + FIRST * BLOCK_SIZE;

	FUZZ_CHECK(h->result == 0 || h->result == BAD ||
		   (h->result == -ENOSPC && h->at > end));
	for (uint64_t i = 0; h->result == 0 && i < end; i++) {
		uint64_t filled = (h->at + BLOCK_SIZE - 1) / BLOCK_SIZE;

		if (i < h->at)
			FUZZ_CHECK(p[i] == byte_at(i));
		else
			FUZZ_CHECK(p[i] ==
				   (i / BLOCK_SIZE < filled ? 0 : 0xee));
	}
	FUZZ_CHECK(p[-1] == 0xee && p[end] == 0xee);
}

static struct overlay *device(void)
{
	static struct overlay o;

	if (o.image == NULL)
		overlay_init(&o, FIRST + BLOCKS + 1);
	memset(o.image, 0xee, (FIRST + BLOCKS + 1) * BLOCK_SIZE);
	return &o;
}

static void flush_failed(void *arg, int result)
{
	FUZZ_CHECK(result == 0); /* the device never fails */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host h = {.f = {data, size}, .o = device()};
	struct fuzz again;

	h.blocks = 1 + fuzz_take(&h.f, 1) % BLOCKS;
	again = h.f;
	FUZZ_CHECK(executor_inline_create(&h.x) == 0);
	FUZZ_CHECK(executor_queue(h.x, "q", 0, &h.queue) == 0);
	FUZZ_CHECK(device_claim(h.o->device, h.x) == 0);
	storage_init(&h.storage, h.o->device, 0);
	sync_init(&h.sync, h.queue, &h.storage, flush_failed, NULL);
	h.media = (struct index_media){
		.first_block = FIRST,
		.block_count = h.blocks,
		.storage = &h.storage,
		.sync = &h.sync,
		.kind = MIO_DATA,
	};
	FUZZ_CHECK(stream_init(&h.stream, &h.media) == 0);
	run(&h, true);
	check_written(&h);
	for (uint64_t i = 0; i < h.blocks * BLOCK_SIZE; i++)
		h.o->image[FIRST * BLOCK_SIZE + i] = byte_at(i);
	h.f = again;
	run(&h, false);
	FUZZ_CHECK(h.result == (h.ended ? h.result : -VDO_ECORRUPT));
	stream_fini(&h.stream);
	device_release(h.o->device);
	executor_destroy(h.x);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	if (i > 3)
		return 0;
	input[0] = (uint8_t)(64 * i + 2);
	for (unsigned k = 0; k < 30; k++)
		put_u16(input + 1 + 2 * k, (uint16_t)(9000 * k + 32 * i));
	put_u16(input + 61, (uint16_t)(2000 * 32 + 3 + 4 * (i == 2)));
	return 63;
}
