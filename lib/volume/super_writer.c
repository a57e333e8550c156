/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flow that goes around once for each op, and rests while there is none.
 *
 * Read-only mode may be entered while a flush or a write is under way. So it is
 * looked for at the turn, before the write, and after it: a CLEAN that has come
 * too late does not count, and the record of read-only mode overwrites it.
 */
#include "build.h"

#include "volume/super_writer.h"

#include <errno.h>

#include "base/alloc.h"

enum { ON_JOURNAL = 1 };

/* Row, function, where it runs; what it does. */
#define SUPER_ROWS(X)							       \
	/* whose turn is it, and what shall the super block say? */	       \
	X(SUPER_TURN, super_turn, ON_JOURNAL)				       \
	/* what was written before is durable; not for read-only mode */       \
	X(SUPER_SYNC, super_sync, ON_JOURNAL)				       \
	X(SUPER_STORE, super_store, ON_JOURNAL)				       \
	/* the write is over; in vain, if it came too late */                  \
	X(SUPER_STORED, super_stored, ON_JOURNAL)			       \
	/* the op is over */						       \
	X(SUPER_END, super_end, ON_JOURNAL)

enum { SUPER_ROWS(FLOW_ROW) };
SUPER_ROWS(FLOW_FUNCTION)
FLOW_TABLE(super_table, SUPER_END, SUPER_ROWS);

static struct super_writer *writer_of(struct flow *f)
{
	struct super_writer *w = container_of(f, struct super_writer, flow);

	VDO_ASSERT(queue_is_current(w->c.queue));
	return w;
}

/* May the next super block be written in the mode that the volume is in? */
static bool is_allowed(const struct super_writer *w)
{
	return w->next.state == VOLUME_READ_ONLY ||
	       !readonly_entered(w->c.readonly);
}

static int super_turn(struct flow *f)
{
	struct super_writer *w = writer_of(f);
	struct waiter *first = waitq_pop(&w->waiting);

	VDO_ASSERT(w->op == NULL);
	f->result = 0;
	if (first == NULL)
		return FLOW_END;
	w->op = container_of(first, struct super_op, link);
	w->next = w->sb;
	if (!w->op->change(w->op, &w->next))
		return SUPER_END;
	VDO_ASSERT(w->next.nonce == w->sb.nonce);
	if (!is_allowed(w))
		return flow_fail(f, -VDO_EREADONLY);
	return w->next.state == VOLUME_READ_ONLY ? SUPER_STORE : SUPER_SYNC;
}

static int super_sync(struct flow *f)
{
	struct super_writer *w = writer_of(f);

	VDO_ASSERT(w->op != NULL);
	flow_await(f, &w->sync.done, SUPER_STORE);
	sync_request(w->c.sync, &w->sync);
	return FLOW_WAIT;
}

static int super_store(struct flow *f)
{
	struct super_writer *w = writer_of(f);

	VDO_ASSERT(w->op != NULL);
	if (!is_allowed(w))
		return flow_fail(f, -VDO_EREADONLY);
	superblock_encode(&w->next, w->block);
	w->unsure = true;
	flow_await(f, &w->mio.done, SUPER_STORED);
	mio_write(&w->mio, w->c.storage, MIO_SUPER, w->c.pbn, 1, w->block,
		  true);
	return FLOW_WAIT;
}

static int super_stored(struct flow *f)
{
	struct super_writer *w = writer_of(f);

	VDO_ASSERT(w->op != NULL && w->mio.done.result == 0);
	if (is_allowed(w) || w->next.state == VOLUME_DIRTY) {
		w->sb = w->next;
		w->unsure = false;
	}
	return is_allowed(w) ? SUPER_END : flow_fail(f, -VDO_EREADONLY);
}

static int super_end(struct flow *f)
{
	struct super_writer *w = writer_of(f);
	struct super_op *op = w->op;

	VDO_ASSERT(op != NULL);
	w->op = NULL;
	/* This queue hears of it, so the writer is not gone before it rests. */
	completion_finish(&op->done, f->result);
	return SUPER_TURN;
}

const struct superblock *super_writer_get(const struct super_writer *w)
{
	VDO_ASSERT(queue_is_current(w->c.queue));
	return &w->sb;
}

const void *super_writer_image(const struct super_writer *w)
{
	VDO_ASSERT(queue_is_current(w->c.queue));
	VDO_ASSERT(!w->unsure && w->op == NULL);
	return w->block;
}

bool super_writer_unsure(const struct super_writer *w)
{
	VDO_ASSERT(queue_is_current(w->c.queue));
	return w->unsure;
}

void super_writer_write(struct super_writer *w, struct super_op *op)
{
	bool idle = w->op == NULL && waitq_empty(&w->waiting);

	VDO_ASSERT(queue_is_current(w->c.queue));
	VDO_ASSERT(op->change != NULL && op->done.fn != NULL);
	VDO_ASSERT(op->done.home == w->c.queue);
	waitq_push(&w->waiting, &op->link);
	if (idle)
		flow_start(&w->flow);
}

int super_writer_init(struct super_writer *w,
		      const struct super_writer_config *c)
{
	VDO_ASSERT(c->queue != NULL && c->storage != NULL && c->sync != NULL);
	VDO_ASSERT(c->pbn > 0);
	w->c = *c;
	w->sb = *c->sb;
	w->c.sb = NULL; /* it may be gone; ours is the one that counts */
	w->op = NULL;
	waitq_init(&w->waiting);
	flow_init(&w->flow, &super_table);
	w->flow.queues[ON_JOURNAL] = c->queue;
	w->block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	return w->block == NULL ? -ENOMEM : 0;
}

void super_writer_fini(struct super_writer *w)
{
	VDO_ASSERT(w->op == NULL && waitq_empty(&w->waiting));
	alloc_free(w->block);
	w->block = NULL;
}
