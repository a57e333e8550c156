/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The executor with threads of its own.
 *
 * Each thread has a run queue (runq.h) that serves all queues bound to it. A
 * queue posts to a queue of its own thread through the run list and to any
 * other through that one's inbox. The binding is for life, so a pair of queues
 * always uses the same way and keeps its order. Sending messages in batches was
 * tried, and gained nothing.
 *
 * Rest. A thread that finds nothing
 *
 *	spins a while [spin] -> says that nobody owns its queues -> asks once more
 *	-> sleeps, and owns them again [owner_sleep]
 *
 * A producer puts, then looks whether there is an owner; only if there is none
 * it becomes the one who wakes the thread, or takes its queues if it is about
 * to wait for them anyway (help.h). A thread at work costs its producers one
 * load. Who may own the queues of a thread, and why no wake-up is lost, is in
 * owner.h. The rules are Q1 to Q4, Q9 and Q10.
 *
 * The spin adapts: its time doubles after a short sleep, and halves after one
 * so long that the load was not a busy one. "Short" is a good deal longer than a
 * spin: operations that take turns between threads, each waiting for the last,
 * would else find all threads asleep, and be slow only because they are. An idle
 * volume does not spin at all, and sleeps without a time limit.
 *
 * Destruction. "Everything posted" includes what that posts in turn, on other
 * threads. Nothing on the hot path counts messages in flight; instead each
 * thread is asked, by a message, how many completions it ever ran. If two
 * rounds find that no thread ran anything but our question in between, then at
 * the moment between the rounds nothing ran (it would have been counted) and
 * nothing was waiting (it would have run before the second question).
 *
 * Other threads. Those that are too few are started, those that are too many end
 * when nothing is left on them. A helper or a producer may still be on its way out
 * of one that has ended, so its memory stays, and the next thread with its number
 * has it.
 */
#include "build.h"

#include "exec/executor.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "base/alloc.h"
#include "exec/await.h"
#include "exec/executor_priv.h"
#include "exec/help.h"
#include "exec/owner.h"

#define THREADS_MAX 1024

/* A thread is busy while its sleeps are this many longest spins at most. */
#define BUSY_SLEEPS 32

/* The first spin after a short sleep. */
#define SPIN_STEP_NS 1000

struct native_queue {
	struct queue queue;
	struct native_thread *thread;
	struct native_queue *next;
};

struct native_thread {
	struct runq run;
	struct timers timers;
	uint64_t spin_ns; /* at present */
	uint64_t spin_max_ns;
	struct native_queue control; /* for our own messages */
	int core; /* to be bound to, or -1 */
	int bound;	 /* what it was bound to last, or -1; the thread's */
	cpu_set_t cores; /* before that */
	bool stop;
	pthread_t thread;
	uint64_t sleeps_until; /* the deadline of timers[0] that it knows of */
	struct waiter taken;   /* by a helper */
	_Alignas(CACHE_LINE) struct owner owner; /* of all above */
};

struct native_executor {
	struct executor base;
	struct native_thread *threads[THREADS_MAX]; /* the first "started" run */
	unsigned started;
	struct native_config config;
	unsigned cores; /* that we may use */
	pthread_mutex_t lock; /* of queues */
	struct native_queue *queues;
	_Atomic(uint64_t) random;
};

static struct native_executor *native_of(struct executor *x)
{
	return container_of(x, struct native_executor, base);
}

static struct native_thread *thread_of(const struct queue *q)
{
	return container_of(q, const struct native_queue, queue)->thread;
}

/* After a put to the inbox of @t, whose queues nobody ran just now. */
static void find_owner(struct native_thread *t)
{
	struct executor *x = t->control.queue.executor;
	struct help *h = help_for(x);

	if (h != NULL) {
		if (owner_take(&t->owner))
			waitq_push(&h->taken, &t->taken);
	} else if (owner_wake(&t->owner)) {
		executor_note_wakeup(x);
	}
}

/* After a put. */
static inline void notify(struct native_thread *t)
{
	if (!owner_is_there(&t->owner))
		find_owner(t);
}

static void native_post(struct queue *q, struct completion *c)
{
	const struct queue *from = queue_running;
	struct native_thread *t = thread_of(q);

	VDO_ASSERT(c->fn != NULL);
	c->home = q;
	if (from != NULL && from->executor == q->executor &&
	    thread_of(from) == t) {
		runq_push(&t->run, &c->link);
		return;
	}
	mpsc_put(&t->run.inbox, &c->link);
	notify(t);
}

static void native_post_all(struct queue *q, struct completion *first,
			    struct completion *last, unsigned n)
{
	const struct queue *from = queue_running;
	struct native_thread *t = thread_of(q);

	VDO_CHECK(n > 0);
	if (from != NULL && from->executor == q->executor &&
	    thread_of(from) == t) {
		runq_push_all(&t->run, &first->link, &last->link);
		return;
	}
	mpsc_put_all(&t->run.inbox, &first->link, &last->link);
	notify(t);
}

/* Look out for work for a while; true if something came. */
static bool spin(struct native_thread *t)
{
	uint64_t until;

	VDO_ASSERT(t->spin_ns <= t->spin_max_ns);
	if (t->spin_ns == 0)
		return false;
	until = clock_ns() + t->spin_ns;
	do {
		for (unsigned i = 0; i < 16; i++) {
			if (mpsc_ready(&t->run.inbox))
				return true;
			cpu_relax();
		}
	} while (clock_ns() < until);
	return false;
}

static void adapt_spin(struct native_thread *t, uint64_t slept_ns)
{
	VDO_ASSERT(t->spin_max_ns != 0);
	if (slept_ns <= BUSY_SLEEPS * t->spin_max_ns)
		t->spin_ns = MIN(MAX(2 * t->spin_ns, SPIN_STEP_NS),
				 t->spin_max_ns);
	else
		t->spin_ns /= 2;
	VDO_ASSERT(t->spin_ns <= t->spin_max_ns);
}

static void rest(struct native_thread *t)
{
	uint64_t start, timeout;

	VDO_ASSERT(queue_running == NULL);
	if (spin(t))
		return;
	t->sleeps_until = timers_next(&t->timers);
	timeout = clock_left(t->sleeps_until);
	if (timeout == 0)
		return;
	start = t->spin_max_ns == 0 ? 0 : clock_ns();
	if (runq_empty(&t->run))
		owner_sleep(&t->owner, &t->run.inbox, timeout);
	else
		/* Perhaps a producer stands in the middle of its put. */
		sched_yield();
	if (t->spin_max_ns != 0)
		adapt_spin(t, clock_ns() - start);
}

/*
 * Help.
 */

/* True if nothing is left but what the thread knows of, and no turn is open. */
static bool may_sleep(const struct native_thread *t)
{
	return runq_empty(&t->run) && !turn_is_open(&t->run.turn) &&
	       timers_next(&t->timers) >= t->sleeps_until;
}

/*
 * Run what @t has, and give it back if that is all: true. Else it is still
 * ours, and work for its thread.
 */
static bool help_thread(struct native_thread *t, struct help *h)
{
	bool woken = false;

	while (h->left > 0 && !owner_is_wanted(&t->owner)) {
		if (runq_run_some(&t->run, &h->left) > 0)
			continue;
		if (!may_sleep(t))
			return false;
		if (!owner_give_back(&t->owner, &t->run.inbox, &woken))
			continue;
		if (woken)
			executor_note_wakeup(h->executor);
		return true;
	}
	return false;
}

static void native_help(struct executor *base, struct help *h)
{
	struct waiter *w;

	while ((w = waitq_pop(&h->taken)) != NULL) {
		struct native_thread *t =
			container_of(w, struct native_thread, taken);

		VDO_ASSERT(t->control.queue.executor == base);
		if (help_thread(t, h))
			continue;
		executor_note_wakeup(base);
		owner_hand_over(&t->owner);
	}
	help_of_thread = NULL;
}

/* Bind the calling thread to the @n-th core that we may use. */
static void bind_to_core(struct native_thread *t, int n)
{
	cpu_set_t one;

	VDO_ASSERT(n >= 0);
	CPU_ZERO(&t->cores);
	if (sched_getaffinity(0, sizeof(t->cores), &t->cores) != 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &t->cores) || n-- != 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* Where this fails the thread runs as well, only elsewhere. */
		(void)sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* It is to be bound, or no longer. */
static void bind_or_free(struct native_thread *t)
{
	VDO_ASSERT(t->bound < 0 || t->core < 0);
	t->bound = t->core;
	if (t->core >= 0)
		bind_to_core(t, t->core);
	else
		(void)sched_setaffinity(0, sizeof(t->cores), &t->cores);
}

static void *thread_main(void *arg)
{
	struct native_thread *t = arg;

	VDO_ASSERT(queue_running == NULL);
	t->bound = -1;
	while (!t->stop) {
		if (unlikely(t->bound != t->core))
			bind_or_free(t);
		timers_fire(&t->timers);
		if (runq_run(&t->run) == 0)
			rest(t);
	}
	turn_close(&t->run.turn);
	return NULL;
}

static void native_queue_move(struct queue *queue, unsigned thread)
{
	struct native_queue *q = container_of(queue, struct native_queue, queue);
	struct executor *base = queue->executor;

	q->thread = native_of(base)->threads[thread % base->thread_count];
	queue->turn = &q->thread->run.turn;
}

static int native_queue_create(struct executor *base, const char *name,
			       unsigned thread, struct queue **queue)
{
	struct native_executor *x = native_of(base);
	struct native_queue *q = alloc_zeroed(1, sizeof(*q));

	VDO_ASSERT(x->started >= base->thread_count);
	if (q == NULL)
		return -ENOMEM;
	queue_init(&q->queue, base, name, native_post);
	native_queue_move(&q->queue, thread);
	q->queue.post_all = native_post_all;
	pthread_mutex_lock(&x->lock);
	q->next = x->queues;
	x->queues = q;
	pthread_mutex_unlock(&x->lock);
	*queue = &q->queue;
	return 0;
}

static void native_timer_arm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(t->done.home->executor == base);
	VDO_ASSERT(queue_is_current(t->done.home));
	timers_add(&thread_of(t->done.home)->timers, t);
}

static bool native_timer_disarm(struct executor *base, struct timer *t)
{
	VDO_ASSERT(t->done.home->executor == base);
	VDO_ASSERT(queue_is_current(t->done.home));
	return timers_remove(&thread_of(t->done.home)->timers, t);
}

static uint64_t native_random(struct executor *base)
{
	return executor_random_next(&native_of(base)->random);
}

struct question {
	struct completion asked;
	struct event answered;
	uint64_t ran;
};

static void answer(struct completion *c)
{
	struct question *q = container_of(c, struct question, asked);

	q->ran = thread_of(c->home)->run.ran;
	VDO_ASSERT(q->ran > 0); /* this one, at least */
	event_set(&q->answered);
}

static uint64_t ask_ran(struct native_thread *t)
{
	struct question q;

	VDO_ASSERT(queue_running == NULL); /* we would wait for ourselves */
	completion_init(&q.asked, &t->control.queue, answer);
	event_init(&q.answered);
	completion_post(&q.asked);
	event_wait(&q.answered);
	return q.ran;
}

/* One round of the threads from @first on. True if nothing but our last question
 * ran since the one before. */
static bool is_quiet(struct native_executor *x, unsigned first,
		     uint64_t *ran_before)
{
	bool quiet = true;

	for (unsigned i = first; i < x->started; i++) {
		uint64_t ran = ask_ran(x->threads[i]);

		VDO_ASSERT(ran > ran_before[i]);
		if (ran != ran_before[i] + 1)
			quiet = false;
		ran_before[i] = ran;
	}
	return quiet;
}

/* A thread that has a helper is to have its queues back, and see it. */
static void stop_thread(struct completion *c)
{
	VDO_ASSERT(!thread_of(c->home)->stop);
	thread_of(c->home)->stop = true;
	if (help_given() != NULL)
		help_stop(help_given());
}

/* Of the threads the first @keep go on. */
static void join_threads(struct native_executor *x, unsigned keep)
{
	struct completion stop;

	VDO_ASSERT(queue_running == NULL);
	while (x->started > keep) {
		struct native_thread *t = x->threads[x->started - 1];

		completion_init(&stop, &t->control.queue, stop_thread);
		completion_post(&stop);
		pthread_join(t->thread, NULL);
		VDO_ASSERT(runq_empty(&t->run) && owner_is_there(&t->owner));
		x->started--;
	}
}

static void native_free(struct native_executor *x)
{
	struct native_queue *q;

	VDO_ASSERT(x->started == 0);
	while ((q = x->queues) != NULL) {
		x->queues = q->next;
		alloc_free(q);
	}
	pthread_mutex_destroy(&x->lock);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		alloc_free(x->threads[i]);
	alloc_free(x);
}

static void native_destroy(struct executor *base)
{
	struct native_executor *x = native_of(base);
	uint64_t ran[THREADS_MAX] = {0};

	VDO_ASSERT(queue_running == NULL);
	while (!is_quiet(x, 0, ran))
		continue;
	join_threads(x, 0);
	native_free(x);
}

/* What the configuration says of thread number @i. */
static void configure_thread(const struct native_executor *x, unsigned i)
{
	struct native_thread *t = x->threads[i];

	VDO_ASSERT(t != NULL && x->cores > 0);
	t->core = x->config.pin ? (int)(i % x->cores) : -1;
	/* On a single core nothing can come while we spin. */
	t->spin_max_ns = x->cores == 1 ? 0 : x->config.spin_us * NS_PER_US;
	t->spin_ns = MIN(t->spin_ns, t->spin_max_ns);
}

static struct native_thread *make_thread(struct native_executor *x)
{
	struct native_thread *t = alloc_aligned(CACHE_LINE, 1, sizeof(*t));

	if (t == NULL)
		return NULL;
	runq_init(&t->run);
	owner_init(&t->owner);
	t->control.thread = t;
	queue_init(&t->control.queue, &x->base, "control", native_post);
	return t;
}

static int start_thread(struct native_executor *x)
{
	const struct native_config *c = &x->config;
	unsigned i = x->started;
	struct native_thread *t = x->threads[i];
	char name[24];
	int r;

	VDO_ASSERT(i < THREADS_MAX);
	if (t == NULL)
		t = x->threads[i] = make_thread(x);
	if (t == NULL)
		return -ENOMEM;
	t->stop = false;
	t->spin_ns = 0;
	configure_thread(x, i);
	snprintf(name, sizeof(name), "%.7s%u",
		 c->name_prefix != NULL ? c->name_prefix : "vdo", i);
	r = system_thread_start(&t->thread, name, thread_main, t);
	if (r == 0)
		x->started++;
	return r;
}

/* Have @count threads at least; if there cannot be, no more than there were. */
static int start_threads(struct native_executor *x, unsigned count)
{
	unsigned before = x->started;
	int r = count > THREADS_MAX ? -EINVAL : 0;

	while (r == 0 && x->started < count)
		r = start_thread(x);
	if (r != 0)
		join_threads(x, before);
	return r;
}

static unsigned count_of(const struct native_executor *x,
			 const struct native_config *c)
{
	return c->threads != 0 ? c->threads : x->cores;
}

/* The thread sees what it is to be bound to when it runs next, which is soon
 * enough; a helper must not do it. */
static void configure(void *arg, struct completion *done)
{
	struct native_executor *x = arg;
	struct native_thread *t = thread_of(queue_running);
	unsigned i = 0;

	while (x->threads[i] != t)
		i++;
	configure_thread(x, i);
	completion_post(done);
}

static int native_resize(struct executor *base, const struct native_config *c)
{
	struct native_executor *x = native_of(base);
	struct native_config before = x->config;
	int r;

	x->config = *c;
	r = start_threads(x, count_of(x, c));
	if (r != 0) {
		x->config = before;
		return r;
	}
	base->thread_count = count_of(x, c);
	for (unsigned i = 0; i < x->started; i++)
		(void)await_call(&x->threads[i]->control.queue, configure, x);
	return 0;
}

static void native_trim(struct executor *base)
{
	struct native_executor *x = native_of(base);
	uint64_t ran[THREADS_MAX] = {0};

	while (!is_quiet(x, base->thread_count, ran))
		continue;
	join_threads(x, base->thread_count);
}

static const struct vdo_executor_ops native_ops = {
	.name = "native",
	.help = native_help,
	.queue_create = native_queue_create,
	.queue_move = native_queue_move,
	.resize = native_resize,
	.trim = native_trim,
	.wait = executor_event_wait,
	.signal = executor_event_set,
	.poll = executor_no_poll,
	.timer_arm = native_timer_arm,
	.timer_disarm = native_timer_disarm,
	.now = executor_clock,
	.random = native_random,
	.destroy = native_destroy,
};

int executor_native_create(const struct native_config *config,
			   struct executor **executor)
{
	struct native_executor *x;
	int r;

	VDO_ASSERT(queue_running == NULL);
	x = alloc_zeroed(1, sizeof(*x));
	if (x == NULL)
		return -ENOMEM;
	x->base.ops = &native_ops;
	x->cores = system_cores();
	x->config = *config;
	x->base.thread_count = count_of(x, config);
	pthread_mutex_init(&x->lock, NULL);
	atomic_init(&x->random, executor_random_seed(x));
	r = start_threads(x, x->base.thread_count);
	if (r != 0) {
		native_free(x);
		return r;
	}
	*executor = &x->base;
	return 0;
}
