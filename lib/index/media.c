/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever ends an op ends on its home, so done is called there without another
 * message.
 */
#include "build.h"

#include "index/media.h"

#include "base/assert.h"

void media_set_layout(struct index_media *m, const struct index_layout *l)
{
	VDO_ASSERT(layout_blocks(l) <= m->block_count);
	m->layout = *l;
	m->layout.io_offset = m->storage->bio_offset;
	m->volume_block = layout_volume_block(&m->layout);
}

static void over(struct media_op *op, int result)
{
	VDO_ASSERT(queue_is_current(op->done.home));
	completion_fail(&op->done, result);
	op->done.fn(&op->done);
}

static void flushed(struct completion *c)
{
	over(container_of(c, struct media_op, sync.done), c->result);
}

static void start_flush(struct media_op *op)
{
	VDO_ASSERT(op->service != NULL);
	completion_init(&op->sync.done, op->done.home, flushed);
	sync_request(op->service, &op->sync);
}

static void transferred(struct completion *c)
{
	over(container_of(c, struct media_op, mio.done), c->result);
}

static void written(struct completion *c)
{
	struct media_op *op = container_of(c, struct media_op, mio.done);

	if (c->result != 0)
		over(op, c->result);
	else
		start_flush(op);
}

static void start_write(const struct index_media *m, struct media_op *op,
			uint64_t block, uint64_t count, const void *from,
			completion_fn then)
{
	VDO_ASSERT(count > 0 && block >= m->first_block &&
		   block + count <= m->first_block + m->block_count);
	completion_init(&op->mio.done, op->done.home, then);
	mio_write(&op->mio, m->storage, m->kind, block, count, from, false);
}

void media_read(const struct index_media *m, struct media_op *op,
		uint64_t block, uint64_t count, void *to)
{
	VDO_ASSERT(count > 0);
	completion_init(&op->mio.done, op->done.home, transferred);
	mio_read(&op->mio, m->storage, m->kind, block, count, to);
}

void media_write(const struct index_media *m, struct media_op *op,
		 uint64_t block, uint64_t count, const void *from)
{
	start_write(m, op, block, count, from, transferred);
}

void media_store(const struct index_media *m, struct media_op *op,
		 uint64_t block, uint64_t count, const void *from)
{
	VDO_ASSERT(m->sync != NULL);
	op->service = m->sync;
	start_write(m, op, block, count, from, written);
}

void media_flush(const struct index_media *m, struct media_op *op)
{
	VDO_ASSERT(m->sync != NULL);
	op->service = m->sync;
	start_flush(op);
}
