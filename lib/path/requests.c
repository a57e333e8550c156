/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests: from the blocks of a call to rows of a table, and back.
 *
 * The front hands an io in under a hold. Each block takes a request from a fixed
 * pool, and each request has a hold of its own, which request_recycle() gives
 * back: the last block of an io takes the one that the io came with. Fetching
 * the lines of a request ahead was tried, and gained nothing.
 *
 * Discards and zeroes of many blocks are no requests of one block each, but a
 * walk: see range.c.
 *
 * What waits for its journal entry needs nothing but time, and where flushes
 * take long, nearly all requests do. So beyond those of the depth there are
 * spares, which are given out only while no more than about half of the depth
 * are worked on, since all others wait there: memory for the time of a flush,
 * which elsewhere is hardly touched. Nobody is told when they may be given out:
 * as long as somebody waits, all requests of the depth are in use, and each that
 * goes to the journal or ends lets the line go on.
 *
 * With VDO_IO_NOWAIT an io gets the requests for all of its blocks before it
 * begins, or is refused: whatever others do meanwhile, it never waits.
 */
#include "build.h"

#include "path/path_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>
#include <vdo/io.h>

#include "base/zero.h"
#include "path/survey.h"

/* -------------------------------------------------------------- the pool */

/* Are so few requests worked on, as the others wait for the journal, that spares
 * may be given out? */
static bool many_wait(const struct path *p)
{
	return front_holds(p->config.front) < journal_waiting(p->config.journal) +
						      p->config.depth / 2;
}

void request_waits(struct path *p)
{
	struct front *front = p->config.front;

	if (unlikely(front_has_waiters(front)) && many_wait(p))
		front_feed(front);
}

static bool spares_ready(const struct path *p)
{
	return many_wait(p) && !freelist_empty(&p->spare_requests);
}

/* A request that nobody has. */
static struct request *take(struct path *p, struct io *io)
{
	struct request *r = io->reserved;
	uint32_t n;

	if (unlikely(r != NULL)) {
		io->reserved = r->spare;
		return r;
	}
	n = freelist_pop(&p->free_requests);
	if (unlikely(n == FREELIST_NONE) && many_wait(p))
		n = freelist_pop(&p->spare_requests);
	VDO_CHECK(n == FREELIST_NONE || n < p->config.requests);
	return n == FREELIST_NONE ? NULL : request_at(p, n);
}

void request_acknowledge(struct request *r, int result)
{
	struct io *io = r->what.io;

	VDO_CHECK(result <= 0);
	if (io == NULL)
		return;
	r->what.io = NULL;
	if (unlikely(result != 0))
		io_fail_block(io, r->what.lbn, r->refused);
	io_end_block(io, result);
}

void request_recycle(struct request *r)
{
	struct path *p = r->path;

	VDO_CHECK(r->what.io == NULL); /* its end has been told */
	VDO_CHECK(r->path == p && &p->requests[r->number] == r);
	request_free(r);
	front_give_back(p->config.front);
}

/* --------------------------------------------------------------- beginning */

/* Copy what is written, unless arrivals.c does; then off to the first row, which it
 * is named before. */
static void begin(struct request *r)
{
	const struct io_block *what = &r->what;

	VDO_CHECK(!r->owner && !r->member && !r->active);
	if (what->kind == IO_READ) {
		read_start(r);
		return;
	}
	r->no_dedupe = (what->flags & VDO_IO_NO_DEDUPE) != 0 ||
		       !atomic_load_explicit(&r->path->deduplication,
					     memory_order_relaxed);
	/* What is zero is not even copied, where it can be seen before. */
	r->zero = what->kind != IO_WRITE ||
		  (what->user != NULL && zero_test(what->user, BLOCK_SIZE));
	if (what->kind == IO_WRITE && !r->zero && what->user == NULL)
		data_from_user(r);
	else if (io_block_is_partial(what))
		memset(r->data + what->part_offset, 0, what->part_length);
	if (!r->zero && what->user == NULL && !io_block_is_partial(what))
		r->zero = zero_test(r->data, BLOCK_SIZE);
	write_start(r);
}

/* ------------------------------------------------- what the front asks for */

static bool path_run(void *engine, struct io *io, unsigned max)
{
	struct path *p = engine;
	struct front *front = p->config.front;
	bool last, more = true; /* there is a hold for another one */

	VDO_CHECK(io->kind != IO_FLUSH && max > 0);
	if (unlikely(io->kind == IO_SURVEY)) {
		survey_start(p, io);
		return true;
	}
	do {
		struct request *r = take(p, io);

		if (r == NULL)
			break;
		if (unlikely(io->kind == IO_COPY)) {
			copy_start(r, io, MAX(max - 1, 1));
			return true;
		}
		if (unlikely(range_suits(io))) {
			range_start(r, io, MAX(max - 1, 1));
			return true;
		}
		last = io_next(io, &r->what);
		/* Requests that were set aside do not outlast a stop. */
		if (!last)
			more = front_hold_more(front) || io->reserved != NULL;
		begin(r); /* may end the io, if it is the last */
		if (last)
			return true;
	} while (more && --max > 0);
	front_release(front);
	return false;
}

/* Give back what was set aside; somebody may have begun to wait for it. */
void request_give_back(struct path *p, struct io *io)
{
	struct request *r;

	while ((r = io->reserved) != NULL) {
		io->reserved = r->spare;
		request_free(r);
	}
	front_feed(p->config.front);
}

static int path_reserve(void *engine, struct io *io)
{
	struct path *p = engine;
	uint64_t first = io->next / BLOCK_SIZE;
	uint64_t count = div_up(io->end, BLOCK_SIZE) - first;

	if (count > p->config.depth)
		return -EAGAIN;
	VDO_ASSERT(count > 0 && io->reserved == NULL);
	while (count-- > 0) {
		uint32_t n = freelist_pop(&p->free_requests);
		struct request *r;

		if (n == FREELIST_NONE) {
			request_give_back(p, io);
			return -EAGAIN;
		}
		r = request_at(p, n);
		r->spare = io->reserved;
		io->reserved = r;
	}
	return 0;
}

static void path_flush(void *engine, struct io *io)
{
	VDO_CHECK(io->reserved == NULL);
	flush_submit(engine, io);
}

static bool path_ready(void *engine)
{
	const struct path *p = engine;

	return !freelist_empty(&p->free_requests) || spares_ready(p);
}

/* After data were lost nothing is written any more. */
static bool path_parks(void *engine)
{
	return path_lost_data(engine) == 0;
}

static void path_starving(void *engine, enum front_starving what)
{
	const struct path *p = engine;

	depot_want_free(p->config.depot, what != FRONT_WANTS_NOTHING);
	if (what != FRONT_WANTS_SPACE)
		p->config.holding(p->config.holding_arg);
}

const struct front_engine path_engine = {
	.parks = path_parks,
	.starving = path_starving,
	.run = path_run,
	.reserve = path_reserve,
	.flush = path_flush,
	.ready = path_ready,
};
