/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that found no space, and wait for some.
 *
 * A write, or zeroes, of which a block failed for want of space is not told so while
 * calls are to be kept: it is carried out again, from the first block that failed.
 * That is legal, as a call that is not over has no order to others. Meanwhile it has
 * no request, so that discards and all else go on.
 *
 *	over, no space  -->  again  -->  over, no space  -->  parked
 *	                       ^                                |
 *	                       '------- front_wake() -----------'
 *
 * A write goes on block by block, the next when the one before is over: each block is
 * written once more at most, so what overwriting frees cannot keep calls busy with
 * nothing. Zeroes take pages of the map alone, and keep them.
 *
 * No wake-up is lost. The engine is told to say what becomes free before a call is
 * tried the first time again; each front_wake() has a number, and a call is parked
 * only if there was none since it was begun.
 *
 * If it was the storage that had no space for the data, what becomes free in the volume
 * is no help: the block that the call gave back itself would have it tried for ever. It
 * goes on when somebody says that there is space in the storage.
 *
 * A call that is parked is counted like one in line (front.c): a drain of a front that
 * runs waits for it, a stopped front drains without it.
 */
#include "build.h"

#include "front/front_priv.h"

#include <errno.h>

#include <vdo/io.h>

#include "base/error.h"
#include "exec/help.h"

/* ------------------------------------------------------- who may be kept */

#define REFUSED UINT64_C(1) /* in failed: by the storage */

void io_fail_block(struct io *io, lbn_t lbn, bool refused)
{
	uint64_t at = lbn * BLOCK_SIZE + (refused ? REFUSED : 0), old;

	if (io->kind == IO_COPY)
		return;
	old = atomic_load(&io->failed);
	while (at < old &&
	       !atomic_compare_exchange_weak(&io->failed, &old, at))
		;
}

static bool suits(const struct io *io, int result)
{
	return (io->kind == IO_WRITE || io->kind == IO_ZERO) &&
	       error_is_no_space(result) && !io->no_park &&
	       (io->flags & VDO_IO_NOWAIT) == 0 &&
	       atomic_load(&io->failed) != UINT64_MAX;
}

/* Under the lock, and a hold. */
static bool is_wanted(const struct front *f, const struct io *io)
{
	return f->park.on && !f->park.closed && f->ops->parks != NULL &&
	       f->ops->parks(f->engine) &&
	       (io->group == NULL ||
		!atomic_load_explicit(&io->group->closing,
				      memory_order_relaxed));
}

/* ------------------------------------------------------ once more, from where */

static bool was_refused(const struct io *io)
{
	return (atomic_load(&io->failed) & REFUSED) != 0;
}

/* Has there been no wake-up for @io since it was begun? */
static bool is_asleep(const struct front *f, const struct io *io)
{
	return was_refused(io) ? io->retries == f->park.retries
			       : io->epoch == f->park.wakes;
}

static void note_wakes(const struct front *f, struct io *io)
{
	io->epoch = f->park.wakes;
	io->retries = f->park.retries;
}

/* Up to the end of the block. */
static void set_end(struct io *io)
{
	io->end = MIN(io->last, (io->next / BLOCK_SIZE + 1) * BLOCK_SIZE);
	VDO_CHECK(io->next < io->end);
}

static void begin_again(struct io *io)
{
	atomic_store_explicit(&io->pending, 1, memory_order_relaxed);
	atomic_store_explicit(&io->result, 0, memory_order_relaxed);
	atomic_store_explicit(&io->failed, UINT64_MAX, memory_order_relaxed);
	io->turn = 0;
}

/* To the first block that failed. */
static void rewind_io(struct io *io)
{
	uint64_t at = MAX(atomic_load(&io->failed) & ~REFUSED, io->start);

	VDO_CHECK(at < io->end);
	io->next = at;
	if (io->kind == IO_WRITE) {
		set_end(io);
		io_seek(io, at - io->start);
	} else {
		io->range_next = 0;
	}
}

/* -------------------------------------------------------------- coming, going */

static void enter(struct front *f, struct io *io)
{
	VDO_ASSERT(!io->again);
	io->again = true;
	if (io->kind == IO_WRITE)
		io->last = io->end;
	/* So that it is tried at once. */
	io->epoch = f->park.wakes - 1;
	io->retries = (uint16_t)(f->park.retries - 1);
	front_count(io);
	if (f->park.count++ == 0)
		f->ops->starving(f->engine, FRONT_WANTS_SPACE);
}

/* @held: there is a hold, so the engine can be told. */
static void leave(struct front *f, bool held)
{
	pthread_mutex_lock(&f->park.lock);
	VDO_ASSERT(f->park.count > 0);
	if (--f->park.count == 0) {
		atomic_store(&f->park.seen, false);
		if (held)
			f->ops->starving(f->engine, FRONT_WANTS_NOTHING);
	}
	pthread_mutex_unlock(&f->park.lock);
}

/* Under the lock. */
static void park(struct front *f, struct io *io)
{
	waitq_push(&f->park.line, &io->link);
	counter_inc(&f->park.total);
	atomic_fetch_add_explicit(&f->park.parked, 1, memory_order_relaxed);
	if (!atomic_exchange(&f->park.seen, true))
		f->ops->starving(f->engine, FRONT_PARKS);
}

static bool go_on(struct front *f, struct io *io)
{
	if (io->kind == IO_WRITE && io->end < io->last) {
		VDO_CHECK(io->next == io->end);
		set_end(io);
		begin_again(io);
		front_again(io);
		return true;
	}
	leave(f, true);
	return false;
}

bool front_park(struct io *io)
{
	struct front *f = io->front;
	int result = atomic_load_explicit(&io->result, memory_order_relaxed);

	if (result == 0)
		return go_on(f, io);
	pthread_mutex_lock(&f->park.lock);
	if (!suits(io, result) || !is_wanted(f, io)) {
		pthread_mutex_unlock(&f->park.lock);
		if (io->again)
			leave(f, true);
		return false;
	}
	if (!io->again)
		enter(f, io);
	if (is_asleep(f, io)) {
		park(f, io);
		pthread_mutex_unlock(&f->park.lock);
		return true;
	}
	note_wakes(f, io);
	pthread_mutex_unlock(&f->park.lock);
	rewind_io(io);
	begin_again(io);
	front_again(io);
	return true;
}

/* What is parked: of @group or all, and only with @storage what that refused. Under
 * the lock. */
static void take_parked(struct front *f, const struct front_group *group,
			bool storage, struct waitq *taken)
{
	struct waitq left;
	struct waiter *w;

	waitq_init(&left);
	waitq_init(taken);
	while ((w = waitq_pop(&f->park.line)) != NULL) {
		const struct io *io = container_of(w, struct io, link);
		bool its = (group == NULL || io->group == group) &&
			   (storage || !was_refused(io));

		waitq_push(its ? taken : &left, w);
	}
	waitq_splice(&f->park.line, &left);
	atomic_fetch_sub_explicit(&f->park.parked, (unsigned)taken->count,
				  memory_order_relaxed);
}

void front_wake(struct front *f, bool storage)
{
	struct waitq taken;
	struct waiter *w;

	pthread_mutex_lock(&f->park.lock);
	f->park.wakes++;
	f->park.retries += storage;
	take_parked(f, NULL, storage, &taken);
	for (w = taken.first; w != NULL; w = w->next)
		note_wakes(f, container_of(w, struct io, link));
	pthread_mutex_unlock(&f->park.lock);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct io *io = container_of(w, struct io, link);

		rewind_io(io);
		begin_again(io);
		front_again(io);
	}
}

/* ---------------------------------------------------------------- giving up */

static void give_up(struct completion *c)
{
	struct io *io = container_of(c, struct io, go);
	struct front *f = io->front;
	bool held;

	if (help_given() != NULL) {
		help_stop(help_given());
		completion_post(c);
		return;
	}
	held = front_hold(f);
	leave(f, held);
	io_tell(io);
	if (held)
		front_release(f);
}

/* They end with the error that they have. */
static void end_parked(struct front *f, const struct front_group *group)
{
	struct waitq taken;
	struct waiter *w;

	pthread_mutex_lock(&f->park.lock);
	take_parked(f, group, true, &taken);
	pthread_mutex_unlock(&f->park.lock);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct io *io = container_of(w, struct io, link);

		completion_init(&io->go, f->config.queue, give_up);
		completion_post(&io->go);
	}
}

void front_set_parking(struct front *f, bool on)
{
	pthread_mutex_lock(&f->park.lock);
	f->park.on = on;
	pthread_mutex_unlock(&f->park.lock);
	if (!on)
		end_parked(f, NULL);
}

void front_end_parking(struct front *f)
{
	pthread_mutex_lock(&f->park.lock);
	f->park.closed = true;
	pthread_mutex_unlock(&f->park.lock);
	end_parked(f, NULL);
}

void front_group_end(struct front *f, struct front_group *g)
{
	pthread_mutex_lock(&f->park.lock);
	atomic_store(&g->closing, true);
	pthread_mutex_unlock(&f->park.lock);
	end_parked(f, g);
}

/* ------------------------------------------------------------------- the rest */

void park_init(struct front *f)
{
	pthread_mutex_init(&f->park.lock, NULL);
	waitq_init(&f->park.line);
	atomic_init(&f->park.seen, false);
	atomic_init(&f->park.parked, 0);
}

void park_fini(struct front *f)
{
	VDO_ASSERT(waitq_empty(&f->park.line) && f->park.count == 0);
	pthread_mutex_destroy(&f->park.lock);
}

void park_started(struct front *f)
{
	bool any;

	pthread_mutex_lock(&f->park.lock);
	any = f->park.count > 0;
	if (any && front_hold(f)) {
		f->ops->starving(f->engine, front_is_holding(f)
						    ? FRONT_PARKS
						    : FRONT_WANTS_SPACE);
		front_release(f);
	}
	pthread_mutex_unlock(&f->park.lock);
	if (any)
		front_wake(f, true);
}

bool front_is_holding(const struct front *f)
{
	return atomic_load(&f->park.seen);
}

void front_get_parked(const struct front *f, uint64_t *now, uint64_t *total)
{
	*now = atomic_load_explicit(&f->park.parked, memory_order_relaxed);
	*total = counter_get(&f->park.total);
}
