/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: from calls to the engine, in order, and only while it runs.
 *
 *	front_submit -> admit: the engine takes blocks while requests are free
 *	                 |  none is free, or the front is stopped
 *	                 v
 *	               line (FIFO; an io that had its turn goes to the end,
 *	                 ^     one that did not have all of it to the head)
 *	                 |
 *	front_feed ------+  the engine has a free request; front_start
 *
 * No wake-up is lost: a submitter first counts itself as waiting, then tries
 * again; whoever frees a request or starts the front does that first, and then
 * looks at the count; all with sequential consistency. The mutex is taken only
 * while somebody waits. The engine copies outside of it, on the thread that has
 * the bytes in its cache.
 *
 * In a turn an io gets FRONT_TURN_BLOCKS, also where requests become free one by
 * one: blocks that lie side by side go on together, and can be one operation of
 * the storage. Given out to all calls in turn, they never meet again.
 *
 * One word counts everything that is under way, so that a drain sees all of it
 * at once. A hold keeps the engine; whoever gives the last one back tells the
 * drain. A call that waits holds nothing, so a stopped front drains although
 * calls wait. A submitter that takes a hold and then finds the front stopped
 * gives it back; the drain is told only once all the same, since its completion
 * is taken out by an exchange.
 *
 * Calls from foreign threads are counted on their own until they return. They
 * cannot tell a drain of their end, because that is a message, and whoever gets
 * it may free the executor while the call is still in the middle of sending.
 */
#include "build.h"

#include "front/front_priv.h"

#include <errno.h>
#include <sched.h>

#include <vdo/io.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define FRONT_TURN_BLOCKS 64 /* blocks an io gets before others get a turn */

#define LOAD_HOLD    UINT64_C(1)
#define LOAD_HOLDS   UINT64_C(0xffffff)
#define LOAD_IO	     (UINT64_C(1) << 24) /* calls that wait, or have waited */
#define LOAD_IOS     (UINT64_C(0xffffff) << 24)
#define LOAD_CALL    (UINT64_C(1) << 48) /* submissions that have not returned */
#define LOAD_CALLS   (UINT64_C(0x3fff) << 48)
#define LOAD_STOPPED (UINT64_C(1) << 62)
#define LOAD_DRAIN   (UINT64_C(1) << 63) /* somebody waits for the last one */

/* Neither count can overflow: calls are refused from half of that on. */
#define LOAD_TOO_MUCH (UINT64_C(1) << 23 | UINT64_C(1) << 47)

/* ------------------------------------------------------- what is under way */

static bool load_is_over(uint64_t load)
{
	if ((load & LOAD_HOLDS) != 0)
		return false;
	return (load & LOAD_IOS) == 0 || (load & LOAD_STOPPED) != 0;
}

/*
 * Something is over. Of a front that runs, only the last one touches the front
 * after it has counted itself out: it may be gone for all others.
 */
static inline void unload(struct front *f, uint64_t what)
{
	uint64_t old = atomic_fetch_sub(&f->load, what);
	struct completion *c;

	VDO_ASSERT((old & (what == LOAD_HOLD ? LOAD_HOLDS : LOAD_IOS)) != 0);
	if (likely((old & LOAD_DRAIN) == 0) || !load_is_over(old - what))
		return;
	c = atomic_exchange(&f->drained, NULL);
	if (c != NULL)
		completion_post(c);
}

/* Note how many holds there are at the most; @old: without the newest one. */
static inline void note_hold(struct front *f, uint64_t old)
{
	unsigned n = (old & LOAD_HOLDS) + 1;

	if (unlikely(n > atomic_load_explicit(&f->holds_max,
					      memory_order_relaxed)))
		atomic_store_explicit(&f->holds_max, n, memory_order_relaxed);
}

bool front_hold(struct front *f)
{
	uint64_t old = atomic_fetch_add(&f->load, LOAD_HOLD);

	note_hold(f, old);
	if (likely((old & LOAD_STOPPED) == 0))
		return true;
	unload(f, LOAD_HOLD);
	return false;
}

bool front_hold_more(struct front *f)
{
	uint64_t old = atomic_fetch_add_explicit(&f->load, LOAD_HOLD,
						 memory_order_relaxed);

	VDO_CHECK((old & LOAD_HOLDS) != 0);
	note_hold(f, old);
	return (old & LOAD_STOPPED) == 0;
}

void front_release(struct front *f)
{
	unload(f, LOAD_HOLD);
}

void front_forget(struct front *f)
{
	unload(f, LOAD_IO);
}

struct queue *front_queue(const struct front *f)
{
	return f->config.queue;
}

unsigned front_holds(const struct front *f)
{
	return atomic_load_explicit(&f->load, memory_order_relaxed) &
	       LOAD_HOLDS;
}

unsigned front_holds_max(const struct front *f)
{
	return atomic_load_explicit(&f->holds_max, memory_order_relaxed);
}

bool front_has_waiters(const struct front *f)
{
	return atomic_load(&f->waiting) > 0;
}

/* -------------------------------------------------------------- admission */

static void end_empty(struct completion *c)
{
	io_end_block(container_of(c, struct io, go), 0);
}

static bool has_blocks(const struct io *io)
{
	VDO_CHECK(io->next <= io->end);
	return io->next < io->end;
}

/* Have @io carried out. Takes the hold over; false: it must wait for more. */
static bool start(struct front *f, struct io *io, unsigned max)
{
	if (likely(has_blocks(io)))
		return f->ops->run(f->engine, io, max);
	VDO_ASSERT(!io->held);
	io->held = true;
	if (io->kind == IO_FLUSH) {
		f->ops->flush(f->engine, io);
	} else {
		completion_init(&io->go, f->config.queue, end_empty);
		completion_post(&io->go);
	}
	return true;
}

static void line_up(struct front *f, struct io *io)
{
	bool has_turn = io->turn > 0;

	if (!has_turn)
		io->turn = FRONT_TURN_BLOCKS;
	pthread_mutex_lock(&f->lock);
	if (has_turn)
		waitq_push_front(&f->line, &io->link);
	else
		waitq_push(&f->line, &io->link);
	atomic_fetch_add(&f->waiting, 1);
	VDO_ASSERT(io->counted); /* so that a drain waits for it */
	pthread_mutex_unlock(&f->lock);
}

/* The next io in line, if there is a request for it. Under a hold. */
static struct io *line_next(struct front *f)
{
	struct waiter *w = NULL;

	VDO_ASSERT(front_holds(f) > 0);
	pthread_mutex_lock(&f->lock);
	if (f->ops->ready(f->engine))
		w = waitq_pop(&f->line);
	if (w != NULL) {
		VDO_ASSERT(front_has_waiters(f));
		atomic_fetch_sub(&f->waiting, 1);
	}
	pthread_mutex_unlock(&f->lock);
	return w == NULL ? NULL : container_of(w, struct io, link);
}

/* What @io has left of its turn, which it began at @from. */
static void count_turn(struct io *io, uint64_t from)
{
	uint64_t taken = div_up(io->next - from, BLOCK_SIZE);

	VDO_CHECK(io->next >= from && io->turn <= FRONT_TURN_BLOCKS);
	io->turn = (uint16_t)(io->turn - MIN(taken, io->turn));
}

static void __attribute__((noinline)) feed(struct front *f)
{
	while (front_has_waiters(f) && front_hold(f)) {
		struct io *io = line_next(f);
		unsigned turn;
		uint64_t from;

		if (io == NULL) {
			front_release(f);
			return;
		}
		from = io->next;
		/* What the engine takes, and gives back later (front_again()),
		 * has had its turn. */
		turn = io->turn;
		io->turn = 0;
		if (!start(f, io, turn)) {
			io->turn = (uint16_t)turn;
			count_turn(io, from);
			line_up(f, io);
		}
	}
}

void front_feed(struct front *f)
{
	if (unlikely(front_has_waiters(f)))
		feed(f);
}

void front_give_back(struct front *f)
{
	front_feed(f);
	unload(f, LOAD_HOLD);
}

void front_count(struct io *io)
{
	if (io->counted)
		return;
	io->counted = true;
	atomic_fetch_add_explicit(&io->front->load, LOAD_IO,
				  memory_order_relaxed);
}

/*
 * Start @io, or have it wait in line. @held: the caller has a hold, which goes
 * with it. What has its requests, or needs none, does not wait for others.
 */
static void admit(struct front *f, struct io *io, bool held)
{
	if (held) {
		if (likely(io->reserved != NULL || !has_blocks(io) ||
			   !front_has_waiters(f))) {
			if (start(f, io, UINT32_MAX))
				return;
		} else {
			front_release(f);
		}
	}
	/*
	 * An io is counted while it can last without a request. All others are
	 * over before their last request is, and that has a hold.
	 */
	front_count(io);
	line_up(f, io);
	front_feed(f);
}

void front_again(struct io *io)
{
	struct front *f = io->front;

	VDO_ASSERT(has_blocks(io)); /* else it is not the front's any more */
	admit(f, io, front_hold(f));
}

/* Do we run on one of our own queues? Then nobody can free the front. */
static bool on_own_queue(const struct front *f)
{
	return queue_running != NULL &&
	       queue_running->executor == f->config.executor;
}

/* Refuse what may not wait and would have to, and what is too much. */
static int check(struct front *f, struct io *io, uint64_t load, bool held)
{
	if (unlikely((load & LOAD_TOO_MUCH) != 0))
		return -ENOMEM;
	if (likely((io->flags & VDO_IO_NOWAIT) == 0))
		return 0;
	if (!held)
		return -EAGAIN;
	if (!has_blocks(io))
		return 0;
	return front_has_waiters(f) ? -EAGAIN
				    : f->ops->reserve(f->engine, io);
}

static int take_in(struct front *f, const struct io_request *q, uint64_t load,
		   bool held)
{
	struct io *io = io_create(f, q);
	int result = io == NULL ? -ENOMEM : check(f, io, load, held);

	if (likely(result == 0)) {
		admit(f, io, held);
		return 0;
	}
	if (io != NULL)
		io_destroy(io);
	if (held)
		front_release(f);
	return result;
}

/* Note that @n calls begin, and whether they are held: *@load is from before. */
static inline bool call_begin(struct front *f, bool foreign, unsigned n,
			      uint64_t *load)
{
	*load = atomic_fetch_add(&f->load, n * LOAD_HOLD +
						   (foreign ? LOAD_CALL : 0));
	note_hold(f, *load + (n - 1) * LOAD_HOLD);
	if (likely((*load & LOAD_STOPPED) == 0))
		return true;
	while (n-- > 0)
		front_release(f);
	return false;
}

/* The ios may be over, but until here nobody frees the front. */
static inline void call_end(struct front *f, bool foreign)
{
	if (foreign)
		atomic_fetch_sub_explicit(&f->load, LOAD_CALL,
					  memory_order_release);
}

int front_submit(struct front *f, const struct io_request *q)
{
	bool foreign = !on_own_queue(f);
	uint64_t load;
	bool held = call_begin(f, foreign, 1, &load);
	int result = take_in(f, q, load, held);

	call_end(f, foreign);
	return result;
}

int front_submit_many(struct front *f, const struct io_request *q, unsigned n,
		      unsigned *taken)
{
	bool foreign = !on_own_queue(f);
	uint64_t load;
	bool held;
	unsigned i = 0;
	int result = 0;

	VDO_ASSERT(n > 0 && n <= FRONT_SUBMIT_MAX);
	held = call_begin(f, foreign, n, &load);
	while (i < n && (result = take_in(f, &q[i], load, held)) == 0)
		i++;
	*taken = i;
	/* The one that was refused has given its hold back. */
	for (i++; held && i < n; i++)
		front_release(f);
	call_end(f, foreign);
	return result;
}

/* ------------------------------------------------------- start, stop, drain */

void front_start(struct front *f, const struct front_engine *ops,
		 void *engine)
{
	uint64_t old;

	VDO_ASSERT(ops->run != NULL && ops->ready != NULL);
	f->ops = ops;
	f->engine = engine;
	old = atomic_fetch_and(&f->load, ~(LOAD_STOPPED | LOAD_DRAIN));
	VDO_ASSERT((old & LOAD_STOPPED) != 0);
	VDO_ASSERT(atomic_load(&f->drained) == NULL);
	front_feed(f);
	park_started(f);
}

void front_stop(struct front *f)
{
	uint64_t old = atomic_fetch_or(&f->load, LOAD_STOPPED);

	VDO_ASSERT((old & LOAD_STOPPED) == 0);
}

void front_drain(struct front *f, struct completion *done)
{
	struct completion *before;

	VDO_ASSERT(done != NULL && done->home != NULL);
	before = atomic_exchange(&f->drained, done);
	VDO_ASSERT(before == NULL); /* one drain at a time */
	/* A hold of our own, so that the last one is not over before us. */
	atomic_fetch_add(&f->load, LOAD_HOLD);
	atomic_fetch_or(&f->load, LOAD_DRAIN);
	front_release(f);
}

void front_join(struct front *f)
{
	while ((atomic_load(&f->load) & LOAD_CALLS) != 0)
		sched_yield();
}

/* ------------------------------------------------------ making and dropping */

int front_create(const struct front_config *c, struct front **front)
{
	struct front *f = alloc_aligned(CACHE_LINE, 1, sizeof(*f));

	VDO_ASSERT(c->depth > 0 && c->queue != NULL);
	*front = NULL;
	if (f == NULL)
		return -ENOMEM;
	f->config = *c;
	atomic_init(&f->load, LOAD_STOPPED);
	atomic_init(&f->drained, NULL);
	atomic_init(&f->waiting, 0);
	atomic_init(&f->holds_max, 0);
	pthread_mutex_init(&f->lock, NULL);
	waitq_init(&f->line);
	park_init(f);
	f->ios = alloc_spare(CACHE_LINE, c->depth, sizeof(*f->ios));
	if (f->ios == NULL ||
	    freelist_init(&f->free_ios, c->depth, c->depth) != 0) {
		front_destroy(f);
		return -ENOMEM;
	}
	*front = f;
	return 0;
}

uint64_t front_bytes(const struct front *f)
{
	return alloc_bytes(CACHE_LINE, 1, sizeof(*f)) +
	       alloc_bytes(CACHE_LINE, f->config.depth, sizeof(*f->ios)) +
	       freelist_bytes(f->config.depth);
}

void front_destroy(struct front *f)
{
	if (f == NULL)
		return;
	VDO_ASSERT(waitq_empty(&f->line));
	VDO_ASSERT(front_holds(f) == 0);
	VDO_ASSERT(!front_has_waiters(f));
	VDO_ASSERT((atomic_load(&f->load) & (LOAD_IOS | LOAD_CALLS)) == 0);
	freelist_fini(&f->free_ios);
	alloc_free(f->ios);
	pthread_mutex_destroy(&f->lock);
	park_fini(f);
	alloc_free(f);
}
