/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of the user: where their bytes are, block by block, and how they end.
 *
 * There is a pool of as many ios as the engine has requests; calls beyond that
 * wait in line, and their ios come from the heap.
 */
#include "build.h"

#include "front/front_priv.h"

#include <string.h>

#include "base/alloc.h"
#include "exec/await.h"
#include "exec/help.h"

void front_group_enter(struct front_group *g)
{
	unsigned before = atomic_fetch_add_explicit(&g->count, 1,
						    memory_order_relaxed);

	VDO_CHECK(before > 0);
}

void front_group_leave(struct front_group *g)
{
	unsigned before = atomic_fetch_sub(&g->count, 1);

	VDO_CHECK(before > 0);
	if (before == 1)
		await_tell(g->over, 0);
}

/* Keep the vectors: the array is the caller's again when the call returns. */
static bool keep_vectors(struct io *io, const struct io_request *q)
{
	struct iovec *copy = io->own_iov;

	VDO_CHECK(q->iov_count == 0 || q->iov != NULL);
	if (q->iov_count > ARRAY_SIZE(io->own_iov)) {
		copy = alloc_zeroed(q->iov_count, sizeof(*copy));
		if (copy == NULL)
			return false;
		io->heap_iov = copy;
	}
	if (likely(q->iov_count == 1))
		*copy = *q->iov;
	else if (q->iov_count > 1)
		memcpy(copy, q->iov, q->iov_count * sizeof(*copy));
	io->iov = copy;
	return true;
}

struct io *io_create(struct front *f, const struct io_request *q)
{
	uint32_t n = freelist_pop(&f->free_ios);
	struct io *io;

	if (n != FREELIST_NONE)
		io = &f->ios[n];
	else if ((io = alloc_aligned(CACHE_LINE, 1, sizeof(*io))) == NULL)
		return NULL;
	VDO_CHECK(q->callback != NULL);
	VDO_CHECK(q->offset <= UINT64_MAX - q->length);
	io->number = n;
	io->counted = false;
	io->held = false;
	io->turn = 0;
	io->front = f;
	io->kind = q->kind;
	io->flags = q->flags;
	io->next = q->offset;
	io->end = q->offset + q->length;
	io->iov_offset = 0;
	io->heap_iov = NULL;
	io->callback = q->callback;
	io->arg = q->arg;
	io->group = q->group;
	if (unlikely(io->group != NULL))
		front_group_enter(io->group);
	io->no_park = q->no_park;
	io->again = false;
	io->start = q->offset;
	io->range_next = 0;
	io->survey = q->survey;
	if (q->kind == IO_COPY)
		io->distance = q->offset - q->source;
	else
		atomic_store_explicit(&io->failed, UINT64_MAX,
				      memory_order_relaxed);
	io->reserved = NULL;
	atomic_store_explicit(&io->pending, 1, memory_order_relaxed);
	atomic_store_explicit(&io->result, 0, memory_order_relaxed);
	if (keep_vectors(io, q))
		return io;
	io_destroy(io);
	return NULL;
}

static inline void drop(struct io *io)
{
	VDO_CHECK(io->number == FREELIST_NONE ||
		  io == &io->front->ios[io->number]);
	if (unlikely(io->heap_iov != NULL))
		alloc_free(io->heap_iov);
	if (io->number == FREELIST_NONE)
		alloc_free(io);
	else
		freelist_push(&io->front->free_ios, io->number);
}

void io_destroy(struct io *io)
{
	struct front_group *g = io->group;

	drop(io);
	if (g != NULL)
		front_group_leave(g);
}

/* Step over @n bytes of the user's vectors. */
static void advance(struct io *io, size_t n)
{
	VDO_CHECK(io->iov_offset <= io->iov->iov_len);
	while (n > 0) {
		size_t part = MIN(io->iov->iov_len - io->iov_offset, n);

		n -= part;
		io->iov_offset += part;
		if (io->iov_offset == io->iov->iov_len) {
			io->iov++;
			io->iov_offset = 0;
		}
	}
}

void io_seek(struct io *io, uint64_t n)
{
	VDO_ASSERT(io->kind == IO_WRITE);
	io->iov = io->heap_iov != NULL ? io->heap_iov : io->own_iov;
	io->iov_offset = 0;
	advance(io, n);
}

/* Where the user's bytes of this block are. */
static void find_bytes(struct io *io, struct io_block *b)
{
	VDO_CHECK(b->part_length > 0 && b->part_length <= BLOCK_SIZE);
	while (io->iov->iov_len == io->iov_offset) {
		io->iov++;
		io->iov_offset = 0;
	}
	b->iov = io->iov;
	b->iov_offset = io->iov_offset;
	b->user = NULL;
	if (b->part_length == BLOCK_SIZE &&
	    io->iov->iov_len - io->iov_offset >= BLOCK_SIZE)
		b->user = (uint8_t *)io->iov->iov_base + io->iov_offset;
	/* The next call steps over a vector that ends here. */
	if (likely(io->iov->iov_len - io->iov_offset >= b->part_length))
		io->iov_offset += b->part_length;
	else
		advance(io, b->part_length);
}

void io_share(struct io *io)
{
	unsigned before = atomic_fetch_add_explicit(&io->pending, 1,
						    memory_order_relaxed);

	VDO_CHECK(before > 0);
}

bool io_next(struct io *io, struct io_block *b)
{
	bool last;

	VDO_CHECK(io->next < io->end);
	VDO_CHECK(atomic_load_explicit(&io->pending, memory_order_relaxed) >
		   0);
	b->kind = io->kind;
	b->flags = io->flags;
	b->lbn = io->next / BLOCK_SIZE;
	b->part_offset = (unsigned)(io->next % BLOCK_SIZE);
	b->part_length = (unsigned)MIN(BLOCK_SIZE - b->part_offset,
				       io->end - io->next);
	b->io = io;
	if (io->kind == IO_READ || io->kind == IO_WRITE)
		find_bytes(io, b);
	io->next += b->part_length;
	last = io->next == io->end;
	if (!last)
		io_share(io);
	return last;
}

void front_call_over(void *arg, int result)
{
	VDO_CHECK(result <= 0);
	await_tell(arg, result);
}

/* Tell the user; the io is gone. */
static inline void tell(struct io *io)
{
	io_callback callback = io->callback;
	struct front_group *g = io->group;
	void *arg = io->arg;
	int result = atomic_load_explicit(&io->result, memory_order_relaxed);

	VDO_CHECK(io->reserved == NULL);
	drop(io);
	callback(arg, result);
	if (unlikely(g != NULL))
		front_group_leave(g);
}

/* Of one that others count. */
static void tell_counted(struct io *io)
{
	struct front *f = io->front;
	bool counted = io->counted;
	bool held = io->held;

	tell(io);
	if (counted)
		front_forget(f);
	if (held)
		front_release(f);
}

void io_tell(struct io *io)
{
	VDO_ASSERT(io->counted);
	tell_counted(io);
}

static void tell_later(struct completion *c)
{
	VDO_ASSERT(help_given() == NULL);
	tell_counted(container_of(c, struct io, go));
}

/*
 * The thread helps, and may hold locks of the user's: a callback is for the one
 * whose queue this is, which goes on now. False: there is no need.
 */
static bool leave_to_thread(struct io *io)
{
	if (io->callback == front_call_over || queue_running == NULL)
		return false;
	if (!io->held) {
		io->held = true;
		(void)front_hold_more(io->front);
	}
	help_stop(help_given());
	completion_init(&io->go, queue_running, tell_later);
	completion_post(&io->go);
	return true;
}

void io_end_block(struct io *io, int result)
{
	int none = 0;
	unsigned before;

	VDO_CHECK(result <= 0);
	if (unlikely(result != 0))
		atomic_compare_exchange_strong(&io->result, &none, result);
	before = atomic_fetch_sub_explicit(&io->pending, 1,
					   memory_order_acq_rel);
	VDO_CHECK(before > 0);
	if (before != 1)
		return;
	if (unlikely(io->again || atomic_load_explicit(&io->result,
						       memory_order_relaxed) != 0) &&
	    front_park(io))
		return;
	if (unlikely(help_given() != NULL) && leave_to_thread(io))
		return;
	if (unlikely(io->counted || io->held))
		tell_counted(io);
	else
		tell(io);
}
