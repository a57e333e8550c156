/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: the queues with something to run stand in an array; a step picks one
 * of them, or the first event or timer whose time has come, or the end of a turn
 * that a queue has open. Some seeds like to stay with a queue for long bursts,
 * some never do, so that both kinds of interleaving are met; in some there are
 * no turns.
 */
#include "build.h"

#include "tests/lib/sim_exec.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/executor_priv.h"
#include "exec/turn.h"

/* A step takes up to this much virtual time. */
#define STEP_MAX_NS 2000

#define POSTED_MIN 256u

/* A call of poll() returns after so many completions. */
#define POLL_MAX 1024

struct sim_queue {
	struct queue queue;
	struct completion *first;
	struct completion *last;
	struct sim_queue *next; /* of the executor */
	struct turn turn;
	struct sim_queue *open_next; /* of those whose turn may be open */
	bool noted;
};

struct sim_executor {
	struct executor base;
	uint64_t seed;
	_Atomic(uint64_t) random;
	uint64_t now_ns;
	unsigned burst_percent;
	bool turns;
	struct sim_queue *open; /* the newest first */
	unsigned open_count;
	struct sim_queue *queues;
	unsigned queue_count;
	struct sim_queue **ready;
	/* Completions that are in queues: a table with free places, each as near
	 * after where it belongs as there was one. */
	struct completion **posted;
	size_t posted_count, posted_size;
	unsigned ready_count;
	unsigned current; /* in ready: where a burst goes on */
	struct timers timers;
	struct sim_event *events; /* by due_ns */
	pthread_t thread;
};

static struct sim_executor *sim_of(struct executor *x)
{
	return container_of(x, struct sim_executor, base);
}

static _Noreturn void fail(struct sim_executor *x, const char *what)
{
	fprintf(stderr, "sim: %s, seed=%" PRIu64 ", time=%" PRIu64 " ns\n",
		what, x->seed, x->now_ns);
	abort();
}

static size_t place_of(const struct sim_executor *x, const struct completion *c)
{
	return ((uintptr_t)c * 0x9e3779b97f4a7c15u >> 32) % x->posted_size;
}

static size_t next_place(const struct sim_executor *x, size_t i)
{
	return i + 1 == x->posted_size ? 0 : i + 1;
}

/* Where @c is, or would be. */
static size_t find_posted(const struct sim_executor *x,
			  const struct completion *c)
{
	size_t i = place_of(x, c);

	while (x->posted[i] != NULL && x->posted[i] != c)
		i = next_place(x, i);
	return i;
}

static void grow_posted(struct sim_executor *x)
{
	struct completion **old = x->posted;
	size_t size = x->posted_size;

	x->posted_size = size == 0 ? POSTED_MIN : 2 * size;
	x->posted = calloc(x->posted_size, sizeof(struct completion *));
	if (x->posted == NULL)
		abort();
	for (size_t i = 0; i < size; i++)
		if (old[i] != NULL)
			x->posted[find_posted(x, old[i])] = old[i];
	free(old);
}

/* False: it is posted already. */
static bool note_posted(struct sim_executor *x, struct completion *c)
{
	size_t i;

	if (2 * x->posted_count >= x->posted_size)
		grow_posted(x);
	i = find_posted(x, c);
	if (x->posted[i] == c)
		return false;
	x->posted[i] = c;
	x->posted_count++;
	return true;
}

/* What stands after @c up to the next free place is put in anew. */
static void forget_posted(struct sim_executor *x, const struct completion *c)
{
	size_t i = find_posted(x, c);

	x->posted[i] = NULL;
	x->posted_count--;
	while (x->posted[i = next_place(x, i)] != NULL) {
		struct completion *other = x->posted[i];

		x->posted[i] = NULL;
		x->posted[find_posted(x, other)] = other;
	}
}

static void sim_post(struct queue *queue, struct completion *c)
{
	struct sim_queue *q = container_of(queue, struct sim_queue, queue);
	struct sim_executor *x = sim_of(queue->executor);

	if (!pthread_equal(x->thread, pthread_self()))
		fail(x, "post from another thread");
	if (!note_posted(x, c))
		fail(x, "completion posted twice");
	c->home = queue;
	completion_link(c, NULL);
	if (q->first == NULL) {
		q->first = c;
		x->ready[x->ready_count++] = q;
	} else {
		completion_link(q->last, c);
	}
	q->last = c;
}

/* Is the turn of @q open now? It may have been closed early, and again be open,
 * since it was noted. */
static void note_turn(struct sim_executor *x, struct sim_queue *q)
{
	if (q->noted || !turn_is_open(&q->turn))
		return;
	q->noted = true;
	q->open_next = x->open;
	x->open = q;
	x->open_count++;
}

static void run_queue(struct sim_executor *x, unsigned index)
{
	struct sim_queue *q = x->ready[index];
	struct completion *c = q->first;

	x->current = index;
	forget_posted(x, c);
	q->first = completion_next(c);
	if (q->first == NULL)
		x->ready[index] = x->ready[--x->ready_count];
	queue_run(&q->queue, c);
	note_turn(x, q);
}

/* The turn of the @index-th queue that has one open is over. */
static void end_turn(struct sim_executor *x, unsigned index)
{
	struct sim_queue **p = &x->open;
	struct sim_queue *q;

	for (; index > 0; index--)
		p = &(*p)->open_next;
	q = *p;
	*p = q->open_next;
	x->open_count--;
	q->noted = false;
	turn_close(&q->turn);
	note_turn(x, q);
}

static void run_event(struct sim_executor *x)
{
	struct sim_event *ev = x->events;

	x->events = ev->next;
	ev->scheduled = false;
	ev->fn(ev);
}

static void run_timer(struct sim_executor *x)
{
	completion_post(&timers_take(&x->timers, x->now_ns)->done);
}

static uint64_t next_event(const struct sim_executor *x)
{
	return x->events == NULL ? NO_TIMEOUT : x->events->due_ns;
}

/* When something comes that time alone brings; NO_TIMEOUT: never. */
static uint64_t next_time(const struct sim_executor *x)
{
	return MIN(next_event(x), timers_next(&x->timers));
}

/* One completion, event or timer that is ready now; false if none is. */
static bool step(struct sim_executor *x)
{
	bool event, timer;
	unsigned choices, n;

	x->now_ns += sim_executor_random(&x->base, STEP_MAX_NS);
	event = next_event(x) <= x->now_ns;
	timer = timers_next(&x->timers) <= x->now_ns;
	choices = x->ready_count + event + timer + x->open_count;
	if (choices == 0)
		return false;
	n = (unsigned)sim_executor_random(&x->base, choices);
	if (x->current < x->ready_count &&
	    sim_executor_random(&x->base, 100) < x->burst_percent)
		n = x->current;
	if (n < x->ready_count)
		run_queue(x, n);
	else if ((n -= x->ready_count) < x->open_count)
		end_turn(x, n);
	else if (event && n == x->open_count)
		run_event(x);
	else
		run_timer(x);
	return true;
}

/* The same; if nothing is ready, time passes, but not beyond @limit_ns. */
static bool step_until(struct sim_executor *x, uint64_t limit_ns)
{
	uint64_t next;

	if (step(x))
		return true;
	next = next_time(x);
	if (next == NO_TIMEOUT || next > limit_ns)
		return false;
	x->now_ns = MAX(x->now_ns, next);
	return step(x);
}

static int sim_queue_create(struct executor *base, const char *name,
			    unsigned thread, struct queue **queue)
{
	struct sim_executor *x = sim_of(base);
	struct sim_queue *q = alloc_zeroed(1, sizeof(*q));
	struct sim_queue **ready;

	ready = realloc(x->ready, (x->queue_count + 1) * sizeof(*ready));
	if (ready != NULL)
		x->ready = ready;
	if (q == NULL || ready == NULL) {
		alloc_free(q);
		return -ENOMEM;
	}
	queue_init(&q->queue, base, name, sim_post);
	turn_init(&q->turn);
	if (x->turns)
		q->queue.turn = &q->turn;
	q->next = x->queues;
	x->queues = q;
	x->queue_count++;
	*queue = &q->queue;
	return 0;
}

static void sim_wait(struct executor *base, struct event *e)
{
	struct sim_executor *x = sim_of(base);

	VDO_ASSERT(queue_running == NULL);
	while (!event_is_set(e)) {
		if (!step_until(x, NO_TIMEOUT))
			fail(x, "deadlock: waiting, and nothing can happen");
	}
}

static void sim_signal(struct executor *base, struct event *e)
{
	atomic_store(&e->set, EVENT_SET);
}

static unsigned sim_poll(struct executor *base, uint64_t timeout_ns)
{
	struct sim_executor *x = sim_of(base);
	unsigned ran = 0;

	VDO_ASSERT(queue_running == NULL);
	while (ran < POLL_MAX && step(x))
		ran++;
	if (ran != 0 || timeout_ns == 0)
		return ran;
	if (timeout_ns >= NO_TIMEOUT - x->now_ns)
		return step_until(x, NO_TIMEOUT);
	return step_until(x, x->now_ns + timeout_ns);
}

static void sim_timer_arm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(queue_is_current(t->done.home));
	timers_add(&sim_of(base)->timers, t);
}

static bool sim_timer_disarm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(queue_is_current(t->done.home));
	return timers_remove(&sim_of(base)->timers, t);
}

static uint64_t sim_now(struct executor *base)
{
	return sim_of(base)->now_ns;
}

static uint64_t sim_random(struct executor *base)
{
	return executor_random_next(&sim_of(base)->random);
}

static void sim_destroy(struct executor *base)
{
	struct sim_executor *x = sim_of(base);
	struct sim_queue *q;

	VDO_ASSERT(queue_running == NULL);
	while (x->ready_count != 0 || x->open_count != 0)
		step(x);
	while ((q = x->queues) != NULL) {
		x->queues = q->next;
		alloc_free(q);
	}
	free(x->ready);
	free(x->posted);
	alloc_free(x);
}

static const struct vdo_executor_ops sim_ops = {
	.name = "sim",
	.queue_create = sim_queue_create,
	.wait = sim_wait,
	.signal = sim_signal,
	.poll = sim_poll,
	.timer_arm = sim_timer_arm,
	.timer_disarm = sim_timer_disarm,
	.now = sim_now,
	.random = sim_random,
	.destroy = sim_destroy,
};

struct executor *sim_executor_create(uint64_t seed)
{
	static const unsigned bursts[] = {0, 0, 50, 90};
	struct sim_executor *x = alloc_zeroed(1, sizeof(*x));

	if (x == NULL)
		abort();
	x->base.ops = &sim_ops;
	x->base.thread_count = 1;
	x->seed = seed;
	x->thread = pthread_self();
	atomic_init(&x->random, seed);
	x->now_ns = NS_PER_SEC;
	x->burst_percent = bursts[sim_executor_random(&x->base,
						      ARRAY_SIZE(bursts))];
	x->turns = sim_executor_random(&x->base, 4) != 0;
	return &x->base;
}

uint64_t sim_executor_seed(struct executor *base)
{
	return sim_of(base)->seed;
}

uint64_t sim_executor_random(struct executor *base, uint64_t limit)
{
	VDO_ASSERT(limit != 0);
	return executor_random_next(&sim_of(base)->random) % limit;
}

void sim_executor_schedule(struct executor *base, struct sim_event *ev,
			   uint64_t delay_ns)
{
	struct sim_executor *x = sim_of(base);
	struct sim_event **p = &x->events;

	if (ev->scheduled)
		fail(x, "event scheduled twice");
	ev->scheduled = true;
	ev->due_ns = x->now_ns + delay_ns;
	while (*p != NULL && (*p)->due_ns <= ev->due_ns)
		p = &(*p)->next;
	ev->next = *p;
	*p = ev;
}

void sim_executor_schedule_within(struct executor *base, struct sim_event *ev,
				  uint64_t delay_max_ns)
{
	sim_executor_schedule(base, ev,
			      sim_executor_random(base, delay_max_ns + 1));
}

bool sim_executor_cancel(struct executor *base, struct sim_event *ev)
{
	struct sim_event **p = &sim_of(base)->events;

	if (!ev->scheduled)
		return false;
	while (*p != ev)
		p = &(*p)->next;
	*p = ev->next;
	ev->scheduled = false;
	return true;
}

uint64_t sim_executor_run(struct executor *base, uint64_t steps)
{
	uint64_t n;

	for (n = 0; n < steps; n++) {
		if (!step_until(sim_of(base), NO_TIMEOUT))
			break;
	}
	return n;
}

void sim_executor_drop(struct executor *base)
{
	struct sim_executor *x = sim_of(base);
	struct timer *t;
	struct sim_event *ev;

	for (struct sim_queue *q = x->queues; q != NULL; q = q->next) {
		q->first = NULL;
		turn_init(&q->turn);
		q->noted = false;
	}
	x->ready_count = 0;
	if (x->posted_size > 0)
		memset(x->posted, 0, x->posted_size * sizeof(x->posted[0]));
	x->posted_count = 0;
	x->open = NULL;
	x->open_count = 0;
	while ((ev = x->events) != NULL) {
		x->events = ev->next;
		ev->scheduled = false;
	}
	while ((t = timers_take(&x->timers, NO_TIMEOUT)) != NULL)
		continue;
}
