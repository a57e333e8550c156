/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The executor over the host's thread pool.
 *
 * Each queue is a strand: at most one task of it is with the pool, so it runs
 * one completion at a time whatever the pool does with its tasks.
 *
 *	idle --first post--> scheduled --pool calls run--> draining
 *	 ^                       ^                            |
 *	 |                       +---- budget spent, or more -+
 *	 +---- everything posted has run ---------------------+
 *
 * pending counts what others posted and the strand did not settle yet. Whoever
 * raises it from 0 schedules the strand; a drain takes in no more than is
 * counted and settles what it took at its end, in one step: if that makes 0,
 * the strand is idle. Since the count follows the put, a poster touches
 * nothing of ours after its completion could have run. A strand's own posts to
 * itself use its run list, without atomics; what was taken stays unsettled as
 * long as that list is not empty.
 *
 * Whoever is about to wait (help.h) drains the strands itself that its posts
 * raised from 0, and those that these raise: the pool has no task of them, so
 * they are its own. Those that it does not bring to an end it submits. Which
 * thread drains a strand makes no difference to it: the one before settled with
 * release, or submitted.
 *
 * Pools that run a task inside of submit() would make us recurse, and would
 * run a queue inside of another. So a task that is called while its thread
 * drains already only lines up at the outermost drain, which takes it next.
 *
 * Timers are in one sorted list. With submit_later() a few delayed tasks
 * ("ticks") look at it; since a delayed task cannot be taken back, none is
 * delayed by more than a slice, which bounds both how late an earlier timer
 * comes when all ticks are out and how long destruction waits for them.
 * Without submit_later() a thread looks at the list, and ends soon after the
 * list got empty.
 */
#include "build.h"

#include "exec/executor.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "exec/executor_priv.h"
#include "exec/help.h"

/* How many completions a drain runs before others get the pool's thread. */
#define DRAIN_BUDGET 64

#define TICKS_MAX 4
#define SLICE_NS  (50 * NS_PER_MS)

/* How long the timer thread stays when there is no timer. */
#define LINGER_NS (100 * NS_PER_MS)

/* Set in active: destroy() sleeps on it. */
#define ACTIVE_AWAITED 0x80000000u

/* A task of ours; see run_job(). */
struct job {
	struct vdo_task task;
	void (*fn)(struct job *job);
	struct job *next; /* in the line of a thread */
};

/* What the calling thread has in line, while it runs jobs. */
struct job_line {
	struct job *first;
	struct job *last;
};

struct strand {
	struct queue queue;
	struct job job;
	struct strand_executor *executor;
	struct strand *next;
	struct runq run;
	struct waiter taken; /* by a helper */
	size_t unsettled; /* taken in, but still part of pending */
	_Alignas(CACHE_LINE) atomic_size_t pending;
};

struct tick {
	struct job job;
	struct strand_executor *executor;
	uint64_t due_ns;
	bool out; /* with the pool */
};

struct strand_executor {
	struct executor base;
	struct vdo_pool_ops pool;
	void *pool_arg;
	_Atomic(uint64_t) random;
	/* Strands that are not idle, and ticks with the pool. */
	_Alignas(CACHE_LINE) atomic_uint active;
	_Alignas(CACHE_LINE) pthread_mutex_t lock; /* of all that follows */
	struct strand *strands;
	struct timers timers;
	struct tick ticks[TICKS_MAX];
	pthread_cond_t timers_changed;
	pthread_t timer_thread;
	bool timer_thread_runs;
	bool timer_thread_joinable;
	bool stopping;
};

static _Thread_local struct job_line *job_line
	__attribute__((tls_model("initial-exec")));

static struct strand_executor *strand_executor_of(struct executor *x)
{
	return container_of(x, struct strand_executor, base);
}

static struct strand *strand_of(struct queue *q)
{
	return container_of(q, struct strand, queue);
}

static void line_up(struct job_line *line, struct job *job)
{
	VDO_ASSERT(job->fn != NULL);
	job->next = NULL;
	if (line->first == NULL)
		line->first = job;
	else
		line->last->next = job;
	line->last = job;
}

static void run_line(struct job_line *line)
{
	struct job *job;

	VDO_ASSERT(job_line == line);
	while ((job = line->first) != NULL) {
		line->first = job->next;
		job->fn(job);
	}
	job_line = NULL;
}

/* What the pool calls. */
static void run_job(struct vdo_task *task)
{
	struct job *job = container_of(task, struct job, task);
	struct job_line line = {NULL, NULL};

	if (job_line != NULL) {
		line_up(job_line, job);
		return;
	}
	job_line = &line;
	line_up(&line, job);
	run_line(&line);
}

static void job_init(struct job *job, void (*fn)(struct job *))
{
	VDO_ASSERT(fn != NULL);
	job->task.run = run_job;
	job->fn = fn;
}

static void become_active(struct strand_executor *x)
{
	atomic_fetch_add_explicit(&x->active, 1, memory_order_relaxed);
}

/* The last thing that a strand or tick does: @x may be gone afterwards. */
static void become_idle(struct strand_executor *x)
{
	atomic_uint *active = &x->active;
	unsigned before = atomic_fetch_sub(active, 1);

	VDO_ASSERT((before & ~ACTIVE_AWAITED) > 0);
	if (before == (ACTIVE_AWAITED | 1))
		futex_wake(active, INT_MAX);
}

static void submit(struct strand *s)
{
	VDO_CHECK(atomic_load(&s->pending) > 0);
	executor_note_wakeup(&s->executor->base);
	s->executor->pool.submit(s->executor->pool_arg, &s->job.task);
}

/* A strand that was idle has something to run. */
static void schedule(struct strand *s)
{
	struct help *h = help_for(&s->executor->base);

	become_active(s->executor);
	if (h != NULL)
		waitq_push(&h->taken, &s->taken);
	else
		submit(s);
}

static void strand_post(struct queue *q, struct completion *c)
{
	struct strand *s = strand_of(q);

	VDO_ASSERT(c->fn != NULL);
	c->home = q;
	if (queue_is_current(q)) {
		runq_push(&s->run, &c->link);
		return;
	}
	mpsc_put(&s->run.inbox, &c->link);
	if (atomic_fetch_add_explicit(&s->pending, 1, memory_order_acq_rel) ==
	    0)
		schedule(s);
}

static void strand_post_all(struct queue *q, struct completion *first,
			    struct completion *last, unsigned n)
{
	struct strand *s = strand_of(q);

	VDO_CHECK(n > 0);
	if (queue_is_current(q)) {
		runq_push_all(&s->run, &first->link, &last->link);
		return;
	}
	mpsc_put_all(&s->run.inbox, &first->link, &last->link);
	if (atomic_fetch_add_explicit(&s->pending, n, memory_order_acq_rel) ==
	    0)
		schedule(s);
}

/*
 * @n completions ran, and @left more may. The turn goes on only if the strand
 * does for certain: when it has a list, or more was counted than it took.
 */
static bool is_turn_over(const struct strand *s, unsigned n, unsigned left)
{
	VDO_CHECK(turn_is_open(&s->run.turn));
	return n == 0 || left == 0 ||
	       (s->run.first == NULL &&
		atomic_load_explicit(&s->pending, memory_order_relaxed) ==
			s->unsettled);
}

/* Run up to *left completions, each of which lowers it, and may set it to 0.
 * Returns how many ran. */
static unsigned run_some(struct strand *s, unsigned *left)
{
	size_t new = atomic_load_explicit(&s->pending, memory_order_acquire) -
		     s->unsettled;
	struct queue *outer = queue_running;
	struct completion *c;
	unsigned n = 0;

	VDO_CHECK(new <= SIZE_MAX / 2); /* no more was settled than came */
	VDO_ASSERT(*left > 0 && outer != &s->queue);
	s->unsettled += runq_take_in(&s->run, MIN(new, *left));
	queue_running = &s->queue;
	while (*left > 0 && (c = runq_pop(&s->run)) != NULL) {
		n++;
		--*left;
		c->fn(c);
	}
	if (turn_is_open(&s->run.turn) && is_turn_over(s, n, *left))
		turn_close(&s->run.turn);
	queue_running = outer;
	return n;
}

/* Settle. True if the strand is idle now and somebody else's. */
static bool settle(struct strand *s)
{
	size_t n = s->unsettled;
	size_t before;

	VDO_CHECK(queue_running != &s->queue);
	if (s->run.first != NULL)
		return false;
	s->unsettled = 0;
	before = atomic_fetch_sub_explicit(&s->pending, n,
					   memory_order_acq_rel);
	VDO_ASSERT(before >= n);
	return before == n;
}

/* Run up to *left completions. True if the strand is idle, and somebody else's;
 * false: it is ours, and there is more to run, or will be at once. */
static bool run_strand(struct strand *s, unsigned *left)
{
	struct strand_executor *x = s->executor;
	unsigned n;

	do {
		n = run_some(s, left);
		/* None ran: a producer before ours stands in its put. */
		if (n != 0 && settle(s)) {
			become_idle(x);
			return true;
		}
	} while (n != 0 && *left > 0);
	if (n == 0)
		sched_yield();
	return false;
}

static void drain(struct job *job)
{
	struct strand *s = container_of(job, struct strand, job);
	unsigned left = DRAIN_BUDGET;

	VDO_ASSERT(help_given() == NULL);
	if (!run_strand(s, &left))
		submit(s);
}

/* What the pool runs inside of submit() meanwhile comes after all that. */
static void strand_help(struct executor *base, struct help *h)
{
	struct job_line line = {NULL, NULL};
	struct waitq rest;
	struct waiter *w;

	VDO_ASSERT(job_line == NULL);
	job_line = &line;
	waitq_init(&rest);
	while ((w = waitq_pop(&h->taken)) != NULL) {
		struct strand *s = container_of(w, struct strand, taken);

		VDO_ASSERT(&s->executor->base == base);
		if (h->left == 0 || !run_strand(s, &h->left))
			waitq_push(&rest, w);
	}
	help_of_thread = NULL;
	while ((w = waitq_pop(&rest)) != NULL)
		submit(container_of(w, struct strand, taken));
	run_line(&line);
}

/*
 * Timers.
 */

/* The tick that must be submitted for the first timer, or NULL. Holds the
 * lock. */
static struct tick *plan_tick(struct strand_executor *x, uint64_t now_ns)
{
	struct tick *spare = NULL;
	uint64_t due;

	VDO_ASSERT(x->pool.submit_later != NULL);
	if (x->timers.first == NULL || x->stopping)
		return NULL;
	due = MIN(timers_next(&x->timers), now_ns + SLICE_NS);
	for (unsigned i = 0; i < TICKS_MAX; i++) {
		struct tick *k = &x->ticks[i];

		if (!k->out)
			spare = k;
		else if (k->due_ns <= due)
			return NULL;
	}
	if (spare == NULL)
		return NULL;
	spare->out = true;
	spare->due_ns = due;
	become_active(x);
	return spare;
}

static void submit_tick(struct strand_executor *x, struct tick *k,
			uint64_t now_ns)
{
	VDO_CHECK(k == NULL || k->out);
	if (k != NULL)
		x->pool.submit_later(x->pool_arg, &k->job.task,
				     k->due_ns > now_ns ? k->due_ns - now_ns
							: 0);
}

/* The timers whose time has come, linked by next. Holds the lock. */
static struct timer *take_due(struct strand_executor *x, uint64_t now_ns)
{
	struct timer *due = NULL;
	struct timer **end = &due;
	struct timer *t;

	while ((t = timers_take(&x->timers, now_ns)) != NULL) {
		*end = t;
		end = &t->next;
	}
	*end = NULL;
	return due;
}

static void post_all(struct timer *t)
{
	struct timer *next;

	for (; t != NULL; t = next) {
		next = t->next;
		VDO_ASSERT(!t->armed);
		completion_post(&t->done);
	}
}

static void run_tick(struct job *job)
{
	struct tick *k = container_of(job, struct tick, job);
	struct strand_executor *x = k->executor;
	uint64_t now = clock_ns();
	struct timer *due;
	struct tick *again;

	pthread_mutex_lock(&x->lock);
	VDO_ASSERT(k->out);
	k->out = false;
	due = take_due(x, now);
	again = plan_tick(x, now);
	pthread_mutex_unlock(&x->lock);
	post_all(due);
	submit_tick(x, again, now);
	become_idle(x);
}

/* Sleep until the list changes or @deadline_ns. Holds the lock. */
static int sleep_on_timers(struct strand_executor *x, uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NS_PER_SEC),
	};

	VDO_ASSERT(x->timer_thread_runs);
	return pthread_cond_timedwait(&x->timers_changed, &x->lock, &ts);
}

static void *timer_main(void *arg)
{
	struct strand_executor *x = arg;
	struct timer *due;

	pthread_mutex_lock(&x->lock);
	VDO_ASSERT(x->timer_thread_runs);
	while (!x->stopping) {
		due = take_due(x, clock_ns());
		if (due != NULL) {
			pthread_mutex_unlock(&x->lock);
			post_all(due);
			pthread_mutex_lock(&x->lock);
		} else if (x->timers.first != NULL) {
			sleep_on_timers(x, timers_next(&x->timers));
		} else if (sleep_on_timers(x, clock_ns() + LINGER_NS) ==
				   ETIMEDOUT &&
			   x->timers.first == NULL) {
			break;
		}
	}
	x->timer_thread_runs = false;
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/*
 * See that a thread waits for the first timer, and return those that go off
 * now. When no thread can be had, that is all of them: early, but not never.
 * Holds the lock.
 */
static struct timer *need_timer_thread(struct strand_executor *x)
{
	VDO_ASSERT(x->pool.submit_later == NULL);
	if (x->stopping)
		return NULL;
	if (x->timer_thread_runs) {
		pthread_cond_signal(&x->timers_changed);
		return NULL;
	}
	/* The thread let go of the lock for good, so this is short. */
	if (x->timer_thread_joinable)
		pthread_join(x->timer_thread, NULL);
	x->timer_thread_joinable =
		system_thread_start(&x->timer_thread, "vdotimer", timer_main, x) == 0;
	x->timer_thread_runs = x->timer_thread_joinable;
	return x->timer_thread_runs ? NULL : take_due(x, UINT64_MAX);
}

static void strand_timer_arm(struct executor *base, struct timer *t)
{
	struct strand_executor *x = strand_executor_of(base);
	struct timer *early = NULL;
	struct tick *tick = NULL;
	uint64_t now = clock_ns();

	VDO_ASSERT(t->done.home->executor == base);
	VDO_ASSERT(queue_is_current(t->done.home));
	pthread_mutex_lock(&x->lock);
	timers_add(&x->timers, t);
	if (x->pool.submit_later != NULL)
		tick = plan_tick(x, now);
	else if (x->timers.first == t)
		early = need_timer_thread(x);
	pthread_mutex_unlock(&x->lock);
	submit_tick(x, tick, now);
	post_all(early);
}

static bool strand_timer_disarm(struct executor *base, struct timer *t)
{
	struct strand_executor *x = strand_executor_of(base);
	bool was_armed;

	VDO_ASSERT(t->done.home->executor == base);
	VDO_ASSERT(queue_is_current(t->done.home));
	pthread_mutex_lock(&x->lock);
	was_armed = timers_remove(&x->timers, t);
	pthread_mutex_unlock(&x->lock);
	return was_armed;
}

/*
 * Life.
 */

static int strand_queue_create(struct executor *base, const char *name,
			       unsigned thread, struct queue **queue)
{
	struct strand_executor *x = strand_executor_of(base);
	struct strand *s = alloc_aligned(CACHE_LINE, 1, sizeof(*s));

	VDO_ASSERT(!x->stopping);
	if (s == NULL)
		return -ENOMEM;
	queue_init(&s->queue, base, name, strand_post);
	s->queue.post_all = strand_post_all;
	s->queue.turn = &s->run.turn;
	job_init(&s->job, drain);
	s->executor = x;
	runq_init(&s->run);
	atomic_init(&s->pending, 0);
	pthread_mutex_lock(&x->lock);
	s->next = x->strands;
	x->strands = s;
	pthread_mutex_unlock(&x->lock);
	*queue = &s->queue;
	return 0;
}

static uint64_t strand_random(struct executor *base)
{
	return executor_random_next(&strand_executor_of(base)->random);
}

/*
 * Wait until no strand is scheduled. One that posts to another makes that one
 * active before it gets idle itself, so 0 means that all is quiet.
 */
static void wait_for_idle(struct strand_executor *x)
{
	unsigned v = atomic_fetch_or(&x->active, ACTIVE_AWAITED);

	VDO_ASSERT(queue_running == NULL && x->stopping);
	while ((v | ACTIVE_AWAITED) != ACTIVE_AWAITED) {
		futex_wait(&x->active, v | ACTIVE_AWAITED, NO_TIMEOUT);
		v = atomic_load(&x->active);
	}
}

static void stop_timers(struct strand_executor *x)
{
	bool join;

	pthread_mutex_lock(&x->lock);
	VDO_ASSERT(!x->stopping);
	x->stopping = true;
	join = x->timer_thread_joinable;
	pthread_cond_signal(&x->timers_changed);
	pthread_mutex_unlock(&x->lock);
	if (join)
		pthread_join(x->timer_thread, NULL);
}

static void strand_destroy(struct executor *base)
{
	struct strand_executor *x = strand_executor_of(base);
	struct strand *s;

	VDO_ASSERT(queue_running == NULL);
	/* Timers end first: what they posted is waited for, no more follows. */
	stop_timers(x);
	wait_for_idle(x);
	while ((s = x->strands) != NULL) {
		x->strands = s->next;
		VDO_ASSERT(atomic_load(&s->pending) == 0);
		alloc_free(s);
	}
	pthread_cond_destroy(&x->timers_changed);
	pthread_mutex_destroy(&x->lock);
	alloc_free(x);
}

static void ask_concurrency(struct strand_executor *x)
{
	unsigned n = 0;

	if (x->pool.concurrency != NULL)
		n = x->pool.concurrency(x->pool_arg);
	x->base.thread_count = n != 0 ? n : system_cores();
}

/* The pool may have another size by now. */
static int strand_resize(struct executor *base,
			 const struct native_config *config)
{
	VDO_ASSERT(config != NULL);
	ask_concurrency(strand_executor_of(base));
	return 0;
}

static const struct vdo_executor_ops strand_ops = {
	.name = "strand",
	.help = strand_help,
	.queue_create = strand_queue_create,
	.resize = strand_resize,
	.wait = executor_event_wait,
	.signal = executor_event_set,
	.poll = executor_no_poll,
	.timer_arm = strand_timer_arm,
	.timer_disarm = strand_timer_disarm,
	.now = executor_clock,
	.random = strand_random,
	.destroy = strand_destroy,
};

static void init_timers(struct strand_executor *x)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->timers_changed, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < TICKS_MAX; i++) {
		job_init(&x->ticks[i].job, run_tick);
		x->ticks[i].executor = x;
	}
}

int executor_strand_create(const struct vdo_pool_ops *pool, void *pool_arg,
			   struct executor **executor)
{
	struct strand_executor *x;

	if (pool->size < offsetof(struct vdo_pool_ops, concurrency) ||
	    pool->submit == NULL)
		return -EINVAL;
	x = alloc_aligned(CACHE_LINE, 1, sizeof(*x));
	if (x == NULL)
		return -ENOMEM;
	x->base.ops = &strand_ops;
	memcpy(&x->pool, pool, MIN(pool->size, sizeof(x->pool)));
	x->pool_arg = pool_arg;
	atomic_init(&x->random, executor_random_seed(x));
	atomic_init(&x->active, 0);
	init_timers(x);
	ask_concurrency(x);
	*executor = &x->base;
	return 0;
}
