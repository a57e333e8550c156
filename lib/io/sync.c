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
 *
 * The journal flushes, writes, and flushes again while it has entries. A flush
 * that somebody else asks for during its write would be one more that its next
 * round waits for, as it may not join it. So the journal says that it may ask,
 * and who waits is served with it: a write later, instead of a whole round's
 * delay for all writers. If it does not ask, it takes that back.
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
	VDO_ASSERT(!s->busy && !s->looking && s->failed == 0);
	VDO_ASSERT(!waitq_empty(&s->waiting));
	VDO_ASSERT(waitq_empty(&s->covered));
	waitq_splice(&s->covered, &s->waiting);
	atomic_store_explicit(&s->wanted, false, memory_order_relaxed);
	s->busy = true;
	completion_init(&s->flush.done, s->queue, flush_done);
	mio_flush(&s->flush, s->storage);
}

static void begin_unless_expected(struct sync *s)
{
	if (!s->busy && !s->looking && !waitq_empty(&s->waiting) &&
	    !atomic_load(&s->expected))
		begin(s);
}

static void look(struct completion *c)
{
	struct sync *s = container_of(c, struct sync, look);

	VDO_ASSERT(s->looking && queue_is_current(s->queue));
	s->looking = false;
	begin_unless_expected(s);
}

/* Who was served by the last flush comes first, and may say what to expect. */
static void look_soon(struct sync *s)
{
	if (waitq_empty(&s->waiting) || s->looking)
		return;
	s->looking = true;
	completion_post(&s->look);
}

static void unexpected(struct completion *c)
{
	begin_unless_expected(container_of(c, struct sync, unexpected));
}

static void flush_done(struct completion *c)
{
	struct sync *s = container_of(c, struct sync, flush.done);

	VDO_ASSERT(s->busy && queue_is_current(s->queue));
	VDO_ASSERT(!waitq_empty(&s->covered));
	s->busy = false;
	if (c->result == 0) {
		finish_all(&s->covered, 0);
		look_soon(s);
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
	if (op->expected)
		atomic_store_explicit(&s->expected, false,
				      memory_order_relaxed);
	waitq_push(&s->waiting, &op->link);
	atomic_store(&s->wanted, true); /* before expected is looked at */
	begin_unless_expected(s);
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
	atomic_init(&s->expected, false);
	atomic_init(&s->wanted, false);
	s->looking = false;
	completion_init(&s->look, queue, look);
	completion_init(&s->unexpected, queue, unexpected);
	s->on_failure = on_failure;
	s->arg = arg;
}

static void request(struct sync *s, struct sync_op *op, bool expected)
{
	VDO_CHECK(op->done.result == 0);
	VDO_ASSERT(op->done.fn != NULL && op->done.home != NULL);
	if (!s->storage->volatile_cache) {
		completion_finish(&op->done, 0);
		return;
	}
	op->sync = s;
	op->expected = expected;
	completion_init(&op->go, s->queue, arrived);
	completion_post(&op->go);
}

void sync_request(struct sync *s, struct sync_op *op)
{
	request(s, op, false);
}

void sync_request_expected(struct sync *s, struct sync_op *op)
{
	request(s, op, true);
}

void sync_unexpect(struct sync *s)
{
	if (!atomic_load_explicit(&s->expected, memory_order_relaxed))
		return;
	atomic_store(&s->expected, false); /* before wanted is looked at */
	if (atomic_load(&s->wanted))
		completion_post(&s->unexpected);
}
