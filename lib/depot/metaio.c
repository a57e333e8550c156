/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers for metadata writes: a fixed number a zone, handed out in FIFO order.
 *
 * A released buffer goes to the first waiter, whose ready() may release it at
 * once. So dispatch() is a loop that never nests.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include "base/alloc.h"

int metaio_init(struct depot_zone *z)
{
	struct io_pool *p = &z->pool;

	list_init(&p->free);
	waitq_init(&p->waiting);
	p->count = z->depot->buffers;
	p->ios = alloc_zeroed(p->count, sizeof(*p->ios));
	p->buffers = alloc_spare(BLOCK_SIZE, p->count, BLOCK_SIZE);
	if (p->ios == NULL || p->buffers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < p->count; i++) {
		struct meta_io *io = &p->ios[i];

		io->zone = z;
		io->buf = p->buffers + (size_t)i * BLOCK_SIZE;
		list_push_back(&p->free, &io->link);
	}
	return 0;
}

void metaio_fini(struct depot_zone *z)
{
	VDO_ASSERT(z->pool.ios == NULL || waitq_empty(&z->pool.waiting));
	alloc_free(z->pool.ios);
	alloc_free(z->pool.buffers);
}

static struct meta_io *pop(struct depot_zone *z)
{
	struct list_node *n = list_pop(&z->pool.free);

	VDO_ASSERT(n == NULL || list_entry(n, struct meta_io, link)->zone == z);
	if (n == NULL)
		return NULL;
	zone_enter(z);
	return list_entry(n, struct meta_io, link);
}

struct meta_io *metaio_take(struct depot_zone *z, struct slab *s)
{
	struct meta_io *io = NULL;

	VDO_CHECK(s == NULL || s->zone == z);
	if (waitq_empty(&z->pool.waiting))
		io = pop(z);
	if (io != NULL)
		io->slab = s;
	return io;
}

void metaio_wait(struct depot_zone *z, struct metaio_wait *w)
{
	/* Who waits although a buffer is free would wait for ever. */
	VDO_ASSERT(list_empty(&z->pool.free) || !waitq_empty(&z->pool.waiting));
	VDO_ASSERT(w->ready != NULL);
	zone_enter(z);
	waitq_push(&z->pool.waiting, &w->link);
}

static void dispatch(struct depot_zone *z)
{
	struct io_pool *p = &z->pool;

	VDO_ASSERT(!p->dispatching);
	p->dispatching = true;
	while (!waitq_empty(&p->waiting)) {
		struct meta_io *io = pop(z);
		struct waiter *w;

		if (io == NULL)
			break;
		w = waitq_pop(&p->waiting);
		container_of(w, struct metaio_wait, link)
			->ready(container_of(w, struct metaio_wait, link), io);
		zone_leave(z); /* not the last: our caller's buffer counts */
	}
	p->dispatching = false;
}

void metaio_release(struct meta_io *io)
{
	struct depot_zone *z = io->zone;

	VDO_ASSERT(list_empty(&io->link));
	list_push_front(&z->pool.free, &io->link);
	if (!z->pool.dispatching)
		dispatch(z);
	zone_leave(z);
}
