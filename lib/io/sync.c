/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The durability service: two lists and one flush.
 *
 *	asked --[arrived]--> waiting --[begin]--> covered --[flush_done]--> done
 *	                        \__________________________________________/
 *	                         after a failure: at once, with its result
 *
 * begin() moves all of waiting to covered and starts one flush; whoever arrives
 * after that stays in waiting for the next, so that invariant 1 holds by
 * construction. At most one flush runs.
 */
#include "build.h"

#include "io/sync.h"

#include "exec/executor.h"

static void finish_all(struct waitq *q, int result)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(result <= 0);
	waitq_take_all(q, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct sync_op *op = container_of(w, struct sync_op, link);

		completion_finish(&op->done, result);
	}
}

static void flush_done(struct completion *c);

static void begin(struct sync *s)
{
	VDO_ASSERT(queue_is_current(s->queue));
	VDO_ASSERT(!s->busy && s->failed == 0);
	VDO_ASSERT(!waitq_empty(&s->waiting));
	VDO_ASSERT(waitq_empty(&s->covered));
	waitq_splice(&s->covered, &s->waiting);
	s->busy = true;
	completion_init(&s->flush.done, s->queue, flush_done);
	mio_flush(&s->flush, s->storage);
}

static void flush_done(struct completion *c)
{
	struct sync *s = container_of(c, struct sync, flush.done);

	VDO_ASSERT(s->busy && queue_is_current(s->queue));
	VDO_ASSERT(!waitq_empty(&s->covered));
	s->busy = false;
	if (c->result == 0) {
		finish_all(&s->covered, 0);
		if (!waitq_empty(&s->waiting))
			begin(s);
		return;
	}
	/* The volume learns of it before anybody who waits does. */
	s->failed = c->result;
	s->on_failure(s->arg, s->failed);
	finish_all(&s->covered, s->failed);
	finish_all(&s->waiting, s->failed);
}

static void arrived(struct completion *c)
{
	struct sync_op *op = container_of(c, struct sync_op, go);
	struct sync *s = op->sync;

	VDO_ASSERT(queue_is_current(s->queue));
	if (s->failed != 0) {
		completion_finish(&op->done, s->failed);
		return;
	}
	waitq_push(&s->waiting, &op->link);
	if (!s->busy)
		begin(s);
}

void sync_init(struct sync *s, struct queue *queue, struct storage *storage,
	       void (*on_failure)(void *arg, int result), void *arg)
{
	VDO_ASSERT(storage != NULL && on_failure != NULL);
	VDO_ASSERT(queue != NULL);
	s->queue = queue;
	s->storage = storage;
	waitq_init(&s->waiting);
	waitq_init(&s->covered);
	s->busy = false;
	s->failed = 0;
	s->on_failure = on_failure;
	s->arg = arg;
}

void sync_request(struct sync *s, struct sync_op *op)
{
	VDO_CHECK(op->done.result == 0);
	VDO_ASSERT(op->done.fn != NULL && op->done.home != NULL);
	if (!s->storage->volatile_cache) {
		completion_finish(&op->done, 0);
		return;
	}
	op->sync = s;
	completion_init(&op->go, s->queue, arrived);
	completion_post(&op->go);
}
