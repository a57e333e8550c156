/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: from calls to requests, and back.
 *
 * An io is cut into blocks; each needs one of a fixed number of requests.
 *
 *	path_submit -> admit: take blocks while requests are free
 *	                 |  none free
 *	                 v
 *	            waiters (FIFO; an io that got 32 blocks goes to the end)
 *	                 ^
 *	request_recycle -+  feed: give the request to whoever waits
 *
 * No wake-up is lost: a submitter first counts itself as waiting, then tries
 * again; a recycler first frees its request, then looks at the count; both with
 * sequential consistency. The mutex is taken only while somebody waits. Bytes
 * are copied and hashed outside of it, on the thread that has them in cache.
 *
 * A discard asks once a leaf page whether that exists (probe), and skips the
 * 812 blocks of one that does not.
 *
 * With NOWAIT an io gets the requests for all of its blocks before it begins, or
 * is refused: whatever others do meanwhile, it never waits. Such a discard asks
 * nothing, since it has the requests.
 */
#include "build.h"

#include "path/path_priv.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <vdo/error.h>
#include <vdo/io.h>

#include "base/alloc.h"
#include "base/zero.h"

#define TURN_BLOCKS 32 /* blocks an io gets before others have their turn */

#define LOAD_REQUEST UINT64_C(1)
#define LOAD_IO	     (UINT64_C(1) << 16)
#define LOAD_CALL    (UINT64_C(1) << 48) /* submissions that have not returned */
#define LOAD_CALLS   (UINT64_C(0x7fff) << 48)
#define LOAD_DRAIN   (UINT64_C(1) << 63) /* somebody waits for the last one */

static void admit(struct path *p, struct io *io);

/*
 * Something is over. Whoever was not the last does not touch the path any more:
 * somebody else may be, and the path gone.
 */
static void unload(struct path *p, uint64_t what)
{
	uint64_t old = atomic_fetch_sub(&p->load, what);

	if (unlikely((old & ~LOAD_CALLS) == (LOAD_DRAIN | what)))
		completion_post(p->drained);
}

unsigned path_requests(const struct path *p)
{
	return (uint16_t)atomic_load_explicit(&p->load, memory_order_relaxed);
}

/* ------------------------------------------------------------------ ios */

static struct io *io_new(struct path *p, const struct io_request *q)
{
	uint32_t n = freelist_pop(&p->free_ios);
	struct io *io;

	if (n != FREELIST_NONE)
		io = &p->ios[n];
	else if ((io = alloc_aligned(CACHE_LINE, 1, sizeof(*io))) == NULL)
		return NULL;
	io->number = n;
	io->counted = false;
	io->path = p;
	io->kind = q->kind;
	io->flags = q->flags;
	io->next = q->offset;
	io->end = q->offset + q->length;
	io->probed = q->kind == IO_DISCARD ? q->offset : UINT64_MAX;
	io->iov_offset = 0;
	io->heap_iov = NULL;
	io->reserved = NULL;
	io->callback = q->callback;
	io->arg = q->arg;
	atomic_store_explicit(&io->pending, 1, memory_order_relaxed);
	atomic_store_explicit(&io->result, 0, memory_order_relaxed);
	return io;
}

/*
 * Count an io that is to last while it has no request: one that waits, or is
 * none of blocks. All others are over before their last request is, and that is
 * counted; so is a probe, which is recycled last.
 */
static void io_count(struct io *io)
{
	if (io->counted)
		return;
	io->counted = true;
	atomic_fetch_add_explicit(&io->path->load, LOAD_IO,
				  memory_order_relaxed);
}

static void io_free(struct io *io)
{
	alloc_free(io->heap_iov);
	if (io->number == FREELIST_NONE)
		alloc_free(io);
	else
		freelist_push(&io->path->free_ios, io->number);
}

/* Keep the vectors: the caller's array is his again when the call returns. */
static int io_keep_vectors(struct io *io, const struct io_request *q)
{
	struct iovec *copy = io->own_iov;

	if (q->iov_count > ARRAY_SIZE(io->own_iov)) {
		copy = alloc_zeroed(q->iov_count, sizeof(*copy));
		if (copy == NULL)
			return -ENOMEM;
		io->heap_iov = copy;
	}
	if (q->iov_count > 0)
		memcpy(copy, q->iov, q->iov_count * sizeof(*copy));
	io->iov = copy;
	return 0;
}

void io_block_done(struct io *io, int result)
{
	struct path *p = io->path;
	io_callback callback = io->callback;
	void *arg = io->arg;
	bool was_counted;
	int none = 0;

	if (unlikely(result != 0))
		atomic_compare_exchange_strong(&io->result, &none, result);
	if (atomic_fetch_sub_explicit(&io->pending, 1, memory_order_acq_rel) !=
	    1)
		return;
	result = atomic_load_explicit(&io->result, memory_order_relaxed);
	was_counted = io->counted;
	io_free(io);
	callback(arg, result);
	if (unlikely(was_counted))
		unload(p, LOAD_IO);
}

static void io_empty(struct completion *c)
{
	io_block_done(container_of(c, struct io, go), 0);
}

/* -------------------------------------------------------------- requests */

/* One that nobody has. */
static struct request *request_take(struct path *p, struct io *io)
{
	struct request *r = io->reserved;
	uint32_t n;

	if (unlikely(r != NULL)) {
		io->reserved = r->chain;
		return r;
	}
	n = freelist_pop(&p->free_requests);
	return n == FREELIST_NONE ? NULL : &p->requests[n];
}

/* A free request for @io. */
static struct request *request_new(struct path *p, struct io *io)
{
	struct request *r = request_take(p, io);
	unsigned used, max;

	if (r == NULL)
		return NULL;
	used = 1 + (uint16_t)atomic_fetch_add_explicit(&p->load, LOAD_REQUEST,
						       memory_order_relaxed);
	/* The one whose place this is may not have been taken off yet. */
	used = MIN(used, p->config.depth);
	max = atomic_load_explicit(&p->requests_max, memory_order_relaxed);
	if (unlikely(used > max))
		atomic_store_explicit(&p->requests_max, used,
				      memory_order_relaxed);
	return r;
}

/* Step over @n bytes of the user's vectors. */
static void io_advance(struct io *io, size_t n)
{
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

/* Where the user's bytes of this block are; whole and contiguous: directly. */
static void request_place_user(struct request *r, struct io *io)
{
	while (io->iov->iov_len == io->iov_offset) {
		io->iov++;
		io->iov_offset = 0;
	}
	r->iov = io->iov;
	r->iov_offset = io->iov_offset;
	r->user = NULL;
	if (r->part_length == BLOCK_SIZE &&
	    io->iov->iov_len - io->iov_offset >= BLOCK_SIZE)
		r->user = (uint8_t *)io->iov->iov_base + io->iov_offset;
	io_advance(io, r->part_length);
}

static void request_set_zone(struct request *r)
{
	r->zone = map_zone_of(r->path->config.map, r->lbn);
	r->queues[ON_LOGICAL] = request_zone(r)->queue;
}

/* Give the next block of @io to @r. True: that was the last one. */
static bool io_take(struct io *io, struct request *r)
{
	bool last;

	r->kind = io->kind;
	r->flags = io->flags;
	r->lbn = io->next / BLOCK_SIZE;
	request_set_zone(r);
	r->part_offset = (unsigned)(io->next % BLOCK_SIZE);
	r->part_length = (unsigned)MIN(BLOCK_SIZE - r->part_offset,
				       io->end - io->next);
	r->partial = r->part_length < BLOCK_SIZE;
	r->io = io;
	if (io->kind == IO_READ || io->kind == IO_WRITE)
		request_place_user(r, io);
	io->next += r->part_length;
	last = io->next == io->end;
	if (!last)
		atomic_fetch_add_explicit(&io->pending, 1,
					  memory_order_relaxed);
	return last;
}

/* Copy and name what is written; then off to the first row. */
static void request_start(struct request *r)
{
	r->error = 0;
	if (r->kind == IO_READ) {
		read_start(r);
		return;
	}
	r->no_dedupe = (r->flags & VDO_IO_NO_DEDUPE) != 0 ||
		       !atomic_load_explicit(&r->path->deduplication,
					     memory_order_relaxed);
	/* What is zero is not even copied. */
	r->zero = r->kind != IO_WRITE ||
		  (r->user != NULL && zero_test(r->user, BLOCK_SIZE));
	if (r->kind == IO_WRITE && !r->zero)
		data_from_user(r);
	else if (r->partial)
		memset(r->data + r->part_offset, 0, r->part_length);
	if (r->kind == IO_WRITE && !r->zero && !r->partial)
		data_name(r, r->user != NULL);
	write_start(r);
}

/* -------------------------------------------------------------- admission */

static bool needs_probe(const struct io *io)
{
	return io->next >= io->probed;
}

/*
 * Start up to @max blocks of @io, which nobody else has. Returns false if
 * blocks are left and no request is free, or the turn is over; true if the io
 * needs nothing more from us.
 */
static bool io_run(struct path *p, struct io *io, unsigned max)
{
	while (max-- > 0) {
		struct request *r = request_new(p, io);
		bool last;

		if (r == NULL)
			return false;
		if (needs_probe(io)) {
			r->error = 0;
			r->lbn = io->next / BLOCK_SIZE;
			request_set_zone(r);
			r->kind = IO_READ;
			r->io = io;
			probe_start(r);
			return true; /* io_probed() goes on */
		}
		last = io_take(io, r);
		request_start(r); /* may end the io */
		if (last)
			return true;
	}
	return false;
}

static void feed(struct path *p)
{
	while (atomic_load(&p->waiting) > 0) {
		struct io *io;
		struct waiter *w;

		pthread_mutex_lock(&p->lock);
		w = NULL;
		if (!freelist_empty(&p->free_requests))
			w = waitq_pop(&p->waiters);
		if (w != NULL)
			atomic_fetch_sub(&p->waiting, 1);
		pthread_mutex_unlock(&p->lock);
		if (w == NULL)
			return;
		io = container_of(w, struct io, link);
		if (!io_run(p, io, TURN_BLOCKS)) {
			pthread_mutex_lock(&p->lock);
			waitq_push(&p->waiters, &io->link);
			atomic_fetch_add(&p->waiting, 1);
			pthread_mutex_unlock(&p->lock);
		}
	}
}

/* What was reserved; somebody may have begun to wait for it. */
static void give_back(struct path *p, struct io *io)
{
	struct request *r;

	while ((r = io->reserved) != NULL) {
		io->reserved = r->chain;
		freelist_push(&p->free_requests, r->number);
	}
	feed(p);
}

static void admit(struct path *p, struct io *io)
{
	if (likely(io->reserved != NULL || atomic_load(&p->waiting) == 0) &&
	    io_run(p, io, UINT32_MAX))
		return;
	io_count(io);
	pthread_mutex_lock(&p->lock);
	waitq_push(&p->waiters, &io->link);
	atomic_fetch_add(&p->waiting, 1);
	pthread_mutex_unlock(&p->lock);
	feed(p);
}

/* Requests for all blocks of @io at once; or none, and -EAGAIN. */
static int reserve(struct path *p, struct io *io)
{
	uint64_t first = io->next / BLOCK_SIZE;
	uint64_t count = div_up(io->end, BLOCK_SIZE) - first;

	if (atomic_load(&p->waiting) > 0 || count > p->config.depth)
		return -EAGAIN;
	io->probed = UINT64_MAX;
	while (count-- > 0) {
		uint32_t n = freelist_pop(&p->free_requests);

		if (n == FREELIST_NONE) {
			give_back(p, io);
			return -EAGAIN;
		}
		p->requests[n].chain = io->reserved;
		io->reserved = &p->requests[n];
	}
	return 0;
}

void io_probed(struct io *io, uint64_t until, bool exists)
{
	if (exists) {
		io->probed = until;
	} else if (until >= io->end) {
		io_block_done(io, 0); /* what was held for the blocks to come */
		return;
	} else {
		io->next = until;
		io->probed = until;
	}
	admit(io->path, io);
}

void request_acknowledge(struct request *r, int result)
{
	struct io *io = r->io;

	if (io == NULL)
		return;
	r->io = NULL;
	io_block_done(io, result);
}

void request_recycle(struct request *r)
{
	struct path *p = r->path;

	freelist_push(&p->free_requests, r->number);
	if (unlikely(atomic_load(&p->waiting) > 0))
		feed(p);
	unload(p, LOAD_REQUEST);
}

void path_drain(struct path *p, struct completion *done)
{
	p->drained = done;
	/* One more, so that the last one cannot be over before we wait. */
	atomic_fetch_add(&p->load, LOAD_DRAIN | LOAD_IO);
	unload(p, LOAD_IO);
}

void path_join(struct path *p)
{
	while ((atomic_load(&p->load) & LOAD_CALLS) != 0)
		sched_yield();
}

/* Do we run on one of our own queues? Then nobody can free the path. */
static bool on_own_queue(const struct path *p)
{
	return queue_running != NULL &&
	       queue_running->executor == p->zones[0].queue->executor;
}

/* Have @io carried out. */
static int start_io(struct path *p, struct io *io, const struct io_request *q)
{
	int result;

	if (q->kind == IO_FLUSH) {
		io_count(io);
		flusher_submit(p, io);
		return 0;
	}
	result = io_keep_vectors(io, q);
	if (result == 0 && q->length > 0 && (q->flags & VDO_IO_NOWAIT) != 0)
		result = reserve(p, io);
	if (result != 0) {
		io_free(io);
		return result;
	}
	if (q->length == 0) {
		io_count(io);
		completion_init(&io->go, p->zones[0].queue, io_empty);
		completion_post(&io->go);
		return 0;
	}
	admit(p, io);
	return 0;
}

int path_submit(struct path *p, const struct io_request *q)
{
	bool foreign = !on_own_queue(p);
	struct io *io = io_new(p, q);
	int result;

	if (io == NULL)
		return -ENOMEM;
	if (foreign)
		atomic_fetch_add_explicit(&p->load, LOAD_CALL,
					  memory_order_relaxed);
	result = start_io(p, io, q);
	/* The io may be over, but until here nobody frees the path. */
	if (foreign)
		atomic_fetch_sub_explicit(&p->load, LOAD_CALL,
					  memory_order_release);
	return result;
}
