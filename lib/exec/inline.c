/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The executor without threads.
 *
 * All queues share one run queue. A completion posted from one of the queues
 * goes to the run list, from anywhere else to the inbox; since a queue always
 * does the former and a thread outside of queues always the latter, each
 * sender's order is kept.
 *
 * The baton. Any number of host threads may call in; only the holder of the
 * baton (the runner) runs queues and touches run list, timers and pollers.
 *
 *	         [take_turn]                     [give_turn]
 *	outside ------------> runner ------------------------> outside
 *	   |  baton is held     ^   |  nothing ready [block]
 *	   v                    |   v
 *	in line ----------------+  blocked in poller->poll() or on x->idle
 *	 sleeps on its event   nudged
 *
 * Who stands in line sleeps on the word of its own event, so it wakes when
 * the event is set. Whoever gives the baton away nudges the first in line: it
 * turns the word from AWAITED to CLEAR and wakes it. Nobody is lost, since
 *  - the one in line says AWAITED, then tries the baton; the giver frees the
 *    baton, then looks at the line (all seq_cst);
 *  - one that was nudged but leaves without having run passes the nudge on.
 *
 * The blocked runner is woken by a post or a signal from outside: "put, then
 * look at idle" against "set idle, then look at the inbox" (see mpsc.h).
 *
 * Somebody outside may wait on a descriptor instead (inline_fd(), watch.h). Then
 * who gives the baton away leaves it readable if something may be ready, and
 * else, in the same way as a runner that blocks, says that it is watched: the
 * next post from outside rings. Who takes the baton makes it quiet first, and
 * looks around afterwards, so that no ring is lost.
 */
#include "build.h"

#include "exec/executor.h"

#include <errno.h>
#include <sched.h>

#include "base/alloc.h"
#include "exec/executor_priv.h"
#include "exec/watch.h"

/* With several pollers only one can block; the others are asked this often. */
#define POLLERS_SLICE_NS NS_PER_MS

/* A call of poll() returns after about this many completions. */
#define PASS_MAX 1024

enum idle {
	BUSY,	 /* somebody looks at the inbox, or will do so */
	BLOCKED, /* the runner sleeps */
	WATCHED, /* there is none; who waits for the descriptor is to come */
};

struct inline_queue {
	struct queue queue;
	struct inline_queue *next;
};

/* One thread in the line for the baton; on its stack. */
struct in_line {
	struct event *event;
	struct in_line *next;
};

struct inline_executor {
	struct executor base;
	struct runq run;
	/* The runner's alone: */
	struct timers timers;
	struct poller *pollers;
	/* Anybody's: */
	_Alignas(CACHE_LINE) atomic_uint idle; /* enum idle */
	atomic_uint baton;		       /* 1: held */
	atomic_uint line_length;
	_Atomic(uint64_t) random;
	_Atomic(struct watch *) watch; /* NULL until somebody asks for it */
	pthread_mutex_t lock; /* of all below, and of the watch's bell */
	struct in_line *line;
	struct poller *blocked_in;
	struct inline_queue *queues;
};

static struct inline_executor *inline_of(struct executor *x)
{
	return container_of(x, struct inline_executor, base);
}

static struct watch *watch_of(struct inline_executor *x)
{
	return atomic_load_explicit(&x->watch, memory_order_acquire);
}

/* End the runner's sleep, if it sleeps, or have one come. */
static void wake_runner(struct inline_executor *x)
{
	unsigned idle;

	if (atomic_load(&x->idle) == BUSY)
		return;
	idle = atomic_exchange(&x->idle, BUSY);
	if (idle == BUSY)
		return;
	pthread_mutex_lock(&x->lock);
	if (idle == WATCHED)
		watch_ring(watch_of(x));
	else if (x->blocked_in != NULL)
		x->blocked_in->wake(x->blocked_in);
	else
		futex_wake(&x->idle, 1);
	pthread_mutex_unlock(&x->lock);
}

/* Make the descriptor quiet. The runner does so before all else. */
static void watch_begin(struct inline_executor *x)
{
	struct watch *w = watch_of(x);

	if (likely(w == NULL))
		return;
	atomic_store(&x->idle, BUSY);
	pthread_mutex_lock(&x->lock);
	watch_quiet(w);
	pthread_mutex_unlock(&x->lock);
}

/* Make the descriptor tell of what comes. The runner does so after all else.
 * With @more something may be ready. */
static void watch_end(struct inline_executor *x, bool more)
{
	struct watch *w = watch_of(x);

	if (likely(w == NULL))
		return;
	VDO_ASSERT(atomic_load(&x->idle) == BUSY);
	watch_until(w, timers_next(&x->timers));
	if (!more) {
		atomic_store(&x->idle, WATCHED);
		if (runq_empty(&x->run))
			return;
		/* Who exchanged it before us rings. */
		if (atomic_exchange(&x->idle, BUSY) == BUSY)
			return;
	}
	pthread_mutex_lock(&x->lock);
	watch_ring(w);
	pthread_mutex_unlock(&x->lock);
}

static void inline_post(struct queue *q, struct completion *c)
{
	struct inline_executor *x = inline_of(q->executor);
	const struct queue *from = queue_running;

	VDO_CHECK(c->fn != NULL);
	c->home = q;
	if (likely(from != NULL && from->executor == &x->base)) {
		runq_push(&x->run, &c->link);
		return;
	}
	mpsc_put(&x->run.inbox, &c->link);
	wake_runner(x);
}

static void inline_post_all(struct queue *q, struct completion *first,
			    struct completion *last, unsigned n)
{
	struct inline_executor *x = inline_of(q->executor);
	const struct queue *from = queue_running;

	VDO_CHECK(n > 0);
	if (from != NULL && from->executor == &x->base) {
		runq_push_all(&x->run, &first->link, &last->link);
		return;
	}
	mpsc_put_all(&x->run.inbox, &first->link, &last->link);
	wake_runner(x);
}

static bool try_baton(struct inline_executor *x)
{
	if (atomic_load(&x->baton) != 0 || atomic_exchange(&x->baton, 1) != 0)
		return false;
	watch_begin(x);
	return true;
}

/* The baton is free: have the next in line come for it. */
static void nudge(struct inline_executor *x)
{
	struct in_line *l;
	unsigned v;

	if (atomic_load(&x->line_length) == 0)
		return;
	pthread_mutex_lock(&x->lock);
	for (l = x->line; l != NULL; l = l->next) {
		v = EVENT_AWAITED;
		if (atomic_compare_exchange_strong(&l->event->set, &v,
						   EVENT_CLEAR)) {
			futex_wake(&l->event->set, 1);
			break;
		}
	}
	pthread_mutex_unlock(&x->lock);
}

/* Give the baton away. With @more something may be ready that was not looked
 * for. */
static void give_turn(struct inline_executor *x, bool more)
{
	unsigned held;

	turn_close(&x->run.turn);
	watch_end(x, more);
	held = atomic_exchange(&x->baton, 0);
	VDO_ASSERT(held == 1);
	nudge(x);
}

static void line_up(struct inline_executor *x, struct in_line *l)
{
	struct in_line **p;

	pthread_mutex_lock(&x->lock);
	for (p = &x->line; *p != NULL;)
		p = &(*p)->next;
	l->next = NULL;
	*p = l;
	atomic_fetch_add(&x->line_length, 1);
	pthread_mutex_unlock(&x->lock);
}

static void leave_line(struct inline_executor *x, struct in_line *l)
{
	struct in_line **p;

	pthread_mutex_lock(&x->lock);
	for (p = &x->line; *p != NULL && *p != l;)
		p = &(*p)->next;
	VDO_ASSERT(*p == l);
	*p = l->next;
	atomic_fetch_sub(&x->line_length, 1);
	pthread_mutex_unlock(&x->lock);
}

/*
 * Become the runner: true. False if @e was set or the time was over first.
 */
static bool take_turn(struct inline_executor *x, struct event *e,
		      uint64_t deadline_ns)
{
	struct in_line self = {.event = e};
	bool mine = try_baton(x);
	unsigned v;

	if (mine || deadline_ns == 0)
		return mine;
	line_up(x, &self);
	for (;;) {
		v = EVENT_CLEAR;
		atomic_compare_exchange_strong(&e->set, &v, EVENT_AWAITED);
		if (v == EVENT_SET)
			break;
		mine = try_baton(x);
		if (mine)
			break;
		if (!futex_wait(&e->set, EVENT_AWAITED, clock_left(deadline_ns)))
			break;
	}
	leave_line(x, &self);
	if (!mine && atomic_load(&x->baton) == 0)
		nudge(x);
	return mine;
}

static void poll_all(struct inline_executor *x)
{
	struct poller *next;

	VDO_ASSERT(atomic_load(&x->baton) == 1);
	for (struct poller *p = x->pollers; p != NULL; p = next) {
		next = p->next;
		p->poll(p, 0);
	}
}

/* Run what is ready, but stop early when @e (may be NULL) is set. */
static unsigned run_ready(struct inline_executor *x, const struct event *e)
{
	unsigned ran = 0;
	unsigned n;

	do {
		poll_all(x);
		timers_fire(&x->timers);
		n = runq_run(&x->run);
		ran += n;
		if (e != NULL && event_is_set(e))
			break;
	} while (n != 0 && ran < PASS_MAX);
	return ran;
}

static void set_blocked_in(struct inline_executor *x, struct poller *p)
{
	pthread_mutex_lock(&x->lock);
	VDO_ASSERT(p == NULL || x->blocked_in == NULL);
	x->blocked_in = p;
	pthread_mutex_unlock(&x->lock);
}

/* Sleep until something may be ready, @e is set, or the time is over. */
static void block(struct inline_executor *x, const struct event *e,
		  uint64_t deadline_ns)
{
	struct poller *p = x->pollers;
	uint64_t timeout;

	VDO_ASSERT(atomic_load(&x->idle) == BUSY);
	timeout = clock_left(MIN(deadline_ns, timers_next(&x->timers)));
	if (p != NULL && p->next != NULL)
		timeout = MIN(timeout, POLLERS_SLICE_NS);
	if (timeout == 0)
		return;
	set_blocked_in(x, p);
	atomic_store(&x->idle, BLOCKED);
	if (runq_empty(&x->run) && (e == NULL || !event_is_set(e))) {
		if (p != NULL)
			p->poll(p, timeout);
		else
			futex_wait(&x->idle, BLOCKED, timeout);
	} else {
		/* Perhaps a producer stands in the middle of its put. */
		sched_yield();
	}
	atomic_store(&x->idle, BUSY);
	set_blocked_in(x, NULL);
}

static void inline_wait(struct executor *base, struct event *e)
{
	struct inline_executor *x = inline_of(base);

	VDO_ASSERT(queue_running == NULL);
	while (!event_is_set(e)) {
		if (!take_turn(x, e, NO_TIMEOUT))
			continue;
		while (!event_is_set(e)) {
			if (run_ready(x, e) == 0)
				block(x, e, NO_TIMEOUT);
		}
		give_turn(x, true);
	}
}

static void inline_signal(struct executor *base, struct event *e)
{
	const struct queue *from = queue_running;

	event_set(e);
	/* The runner may be blocked and wait for this one. */
	if (from == NULL || from->executor != base)
		wake_runner(inline_of(base));
}

static unsigned inline_poll(struct executor *base, uint64_t timeout_ns)
{
	struct inline_executor *x = inline_of(base);
	uint64_t deadline = timeout_ns == 0 ? 0 : clock_deadline(timeout_ns);
	struct event never;
	unsigned ran;

	VDO_ASSERT(queue_running == NULL);
	event_init(&never);
	if (!take_turn(x, &never, deadline))
		return 0;
	for (;;) {
		ran = run_ready(x, NULL);
		if (ran != 0 || deadline == 0 || clock_left(deadline) == 0)
			break;
		block(x, NULL, deadline);
	}
	give_turn(x, ran >= PASS_MAX);
	return ran;
}

static int inline_fd(struct executor *base)
{
	struct inline_executor *x = inline_of(base);
	struct watch *w;
	int r = 0;

	pthread_mutex_lock(&x->lock);
	w = watch_of(x);
	if (w == NULL) {
		r = watch_create(x->pollers, &w);
		atomic_store_explicit(&x->watch, w, memory_order_release);
	}
	pthread_mutex_unlock(&x->lock);
	return r == 0 ? w->epoll_fd : r;
}

/* As the runner, or from one of the queues. Nobody else calls in. */
static void enter(struct inline_executor *x, bool *entered)
{
	const struct queue *from = queue_running;
	struct event never;
	bool mine;

	*entered = from == NULL || from->executor != &x->base;
	if (!*entered)
		return;
	event_init(&never);
	mine = take_turn(x, &never, NO_TIMEOUT);
	VDO_ASSERT(mine);
}

static void inline_poller_add(struct executor *base, struct poller *p)
{
	struct inline_executor *x = inline_of(base);
	bool entered;

	VDO_ASSERT(p->poll != NULL && p->wake != NULL && watch_of(x) == NULL);
	enter(x, &entered);
	p->next = x->pollers;
	x->pollers = p;
	if (entered)
		give_turn(x, true);
}

static void inline_poller_remove(struct executor *base, struct poller *p)
{
	struct inline_executor *x = inline_of(base);
	struct poller **at;
	bool entered;

	enter(x, &entered);
	for (at = &x->pollers; *at != NULL && *at != p;)
		at = &(*at)->next;
	VDO_ASSERT(*at == p);
	*at = p->next;
	if (entered)
		give_turn(x, true);
}

static void inline_timer_arm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(queue_is_current(t->done.home));
	timers_add(&inline_of(base)->timers, t);
}

static bool inline_timer_disarm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(queue_is_current(t->done.home));
	return timers_remove(&inline_of(base)->timers, t);
}

static uint64_t inline_random(struct executor *base)
{
	return executor_random_next(&inline_of(base)->random);
}

static int inline_queue_create(struct executor *base, const char *name,
			       unsigned thread, struct queue **queue)
{
	struct inline_executor *x = inline_of(base);
	struct inline_queue *q = alloc_zeroed(1, sizeof(*q));

	if (q == NULL)
		return -ENOMEM;
	queue_init(&q->queue, base, name, inline_post);
	q->queue.post_all = inline_post_all;
	q->queue.turn = &x->run.turn;
	/* Not as the runner: that one may be blocked until we go on. */
	pthread_mutex_lock(&x->lock);
	q->next = x->queues;
	x->queues = q;
	pthread_mutex_unlock(&x->lock);
	*queue = &q->queue;
	return 0;
}

static void inline_destroy(struct executor *base)
{
	struct inline_executor *x = inline_of(base);
	struct inline_queue *q;
	bool mine;

	VDO_ASSERT(queue_running == NULL);
	mine = try_baton(x);
	VDO_ASSERT(mine);
	VDO_ASSERT(x->line == NULL && x->pollers == NULL);
	while (!runq_empty(&x->run))
		runq_run(&x->run);
	while ((q = x->queues) != NULL) {
		x->queues = q->next;
		alloc_free(q);
	}
	watch_destroy(watch_of(x));
	pthread_mutex_destroy(&x->lock);
	alloc_free(x);
}

static const struct vdo_executor_ops inline_ops = {
	.name = "inline",
	.queue_create = inline_queue_create,
	.wait = inline_wait,
	.signal = inline_signal,
	.poll = inline_poll,
	.fd = inline_fd,
	.timer_arm = inline_timer_arm,
	.timer_disarm = inline_timer_disarm,
	.now = executor_clock,
	.random = inline_random,
	.poller_add = inline_poller_add,
	.poller_remove = inline_poller_remove,
	.destroy = inline_destroy,
};

int executor_inline_create(struct executor **executor)
{
	struct inline_executor *x;

	x = alloc_aligned(CACHE_LINE, 1, sizeof(*x));
	if (x == NULL)
		return -ENOMEM;
	x->base.ops = &inline_ops;
	x->base.thread_count = 1;
	runq_init(&x->run);
	pthread_mutex_init(&x->lock, NULL);
	atomic_init(&x->random, executor_random_seed(x));
	*executor = &x->base;
	return 0;
}
