/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of chunks: the oldest is in use, the others are being read or wait for
 * their turn. A chunk never wraps around the end of the journal.
 */
#include "build.h"

#include "recovery/reader.h"

#include <errno.h>

#include "base/alloc.h"

int reader_init(struct journal_reader *r, struct queue *queue,
		struct storage *storage, struct partition ring)
{
	VDO_ASSERT(ring.count > 0 && (ring.count & (ring.count - 1)) == 0);
	r->queue = queue;
	r->storage = storage;
	r->ring = ring;
	r->chunk_blocks = (unsigned)MIN(READER_CHUNK, ring.count);
	r->buffers = alloc_aligned(BLOCK_SIZE,
				   (size_t)READER_AHEAD * r->chunk_blocks,
				   BLOCK_SIZE);
	if (r->buffers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < READER_AHEAD; i++) {
		r->chunks[i].reader = r;
		r->chunks[i].bytes =
			r->buffers + (size_t)i * r->chunk_blocks * BLOCK_SIZE;
	}
	return 0;
}

void reader_fini(struct journal_reader *r)
{
	VDO_ASSERT(r->pending == 0 && r->waiting == NULL);
	alloc_free(r->buffers);
	r->buffers = NULL;
}

static void tell(struct journal_reader *r)
{
	struct flow *f = r->waiting;

	r->waiting = NULL;
	if (f != NULL)
		flow_go(f);
}

static void chunk_read(struct completion *c)
{
	struct reader_chunk *k =
		container_of(c, struct reader_chunk, mio.done);
	struct journal_reader *r = k->reader;

	VDO_ASSERT(queue_is_current(r->queue));
	VDO_ASSERT(k->reading && r->pending > 0);
	k->reading = false;
	r->pending--;
	if (c->result != 0 && r->result == 0)
		r->result = c->result;
	/* After an error all that is under way is waited for. */
	if (r->resting || r->result != 0) {
		if (r->pending == 0)
			tell(r);
	} else if (!r->chunks[r->oldest].reading) {
		tell(r);
	}
}

static void fill(struct journal_reader *r)
{
	while (r->active < READER_AHEAD && r->next < r->end &&
	       r->result == 0) {
		unsigned at = (r->oldest + r->active) % READER_AHEAD;
		struct reader_chunk *k = &r->chunks[at];
		uint64_t place = r->next & (r->ring.count - 1);
		uint64_t n = MIN(r->chunk_blocks, r->end - r->next);

		VDO_ASSERT(!k->reading);
		k->first = r->next;
		k->count = (unsigned)MIN(n, r->ring.count - place);
		k->reading = true;
		r->next += k->count;
		r->active++;
		r->pending++;
		completion_init(&k->mio.done, r->queue, chunk_read);
		mio_read(&k->mio, r->storage, MIO_JOURNAL,
			 r->ring.start + place, k->count, k->bytes);
	}
}

void reader_begin(struct journal_reader *r, uint64_t first, uint64_t count)
{
	VDO_ASSERT(queue_is_current(r->queue) && r->buffers != NULL);
	VDO_ASSERT(r->pending == 0 && count <= r->ring.count);
	r->next = first;
	r->end = first + count;
	r->oldest = 0;
	r->active = 0;
	r->resting = false;
	r->result = 0;
	fill(r);
}

bool reader_get(struct journal_reader *r, struct flow *f, int next,
		struct reader_chunk **chunk)
{
	bool wait = r->result != 0
			    ? r->pending > 0
			    : r->active > 0 && r->chunks[r->oldest].reading;

	VDO_ASSERT(queue_is_current(r->queue) && r->waiting == NULL);
	if (wait) {
		flow_park(f, next);
		r->waiting = f;
		return false;
	}
	*chunk = r->result == 0 && r->active > 0 ? &r->chunks[r->oldest]
						 : NULL;
	return true;
}

void reader_drop(struct journal_reader *r)
{
	VDO_ASSERT(r->active > 0 && !r->chunks[r->oldest].reading);
	r->oldest = (r->oldest + 1) % READER_AHEAD;
	r->active--;
	fill(r);
}

bool reader_rest(struct journal_reader *r, struct flow *f, int next)
{
	VDO_ASSERT(r->waiting == NULL);
	r->next = r->end;
	r->resting = true;
	if (r->pending == 0)
		return true;
	flow_park(f, next);
	r->waiting = f;
	return false;
}
