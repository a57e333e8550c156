/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All executors keep the same promises; see executor.h and completion.h.
 */
#include "build.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/await.h"
#include "exec/executor_priv.h"
#include "exec/help.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/test_pool.h"
#include "tests/lib/unit.h"

enum kind { NATIVE, STRAND, INLINE, SIM };

static const struct {
	const char *name;
	enum kind kind;
	struct native_config native;
	struct test_pool_config pool;
	uint64_t seed;
	unsigned thread_count; /* as promised; 0: whatever */
} cases[] = {
	{"native, one thread", NATIVE, .native = {1, false, 0, NULL},
	 .thread_count = 1},
	{"native, two threads, spin", NATIVE, .native = {2, true, 50, "ab"},
	 .thread_count = 2},
	{"native, five threads", NATIVE, .native = {5, false, 0, "longname"},
	 .thread_count = 5},
	{"native, default", NATIVE, .native = {0, false, 5, "d"}},
	{"strand, one thread", STRAND, .pool = {.threads = 1, .hint = true},
	 .thread_count = 1},
	{"strand, two threads", STRAND,
	 .pool = {.threads = 2, .hint = true, .later = true},
	 .thread_count = 2},
	{"strand, no threads", STRAND, .pool = {.threads = 0}},
	{"strand, sometimes at once", STRAND,
	 .pool = {.threads = 2, .inline_percent = 30, .later = true}},
	{"strand, reorder", STRAND,
	 .pool = {.threads = 3, .reorder = true, .later = true}},
	{"strand, reorder, at once, one thread", STRAND,
	 .pool = {.threads = 1, .inline_percent = 70, .reorder = true}},
	{"inline", INLINE, .thread_count = 1},
	{"sim 1", SIM, .seed = 1, .thread_count = 1},
	{"sim 2", SIM, .seed = 2, .thread_count = 1},
	{"sim 3", SIM, .seed = 3, .thread_count = 1},
};

#define QUEUES 8

static enum kind kind;
static struct executor *x;
static struct test_pool *pool;
static struct queue *queues[QUEUES];

static int create(unsigned i)
{
	kind = cases[i].kind;
	pool = NULL;
	switch (kind) {
	case NATIVE:
		return executor_native_create(&cases[i].native, &x);
	case STRAND:
		pool = test_pool_create(&cases[i].pool);
		return executor_strand_create(test_pool_ops(pool), pool, &x);
	case INLINE:
		return executor_inline_create(&x);
	case SIM:
		x = sim_executor_create(cases[i].seed);
		return 0;
	}
	return -1;
}

static void destroy(void)
{
	executor_destroy(x);
	if (pool != NULL)
		test_pool_destroy(pool);
}

static void begin(unsigned i)
{
	char name[16] = "queue  ";

	ck_assert_int_eq(create(i), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		name[6] = (char)('0' + q);
		ck_assert_int_eq(executor_queue(x, name, q, &queues[q]), 0);
		ck_assert_str_eq(queues[q]->name, name);
	}
}

START_TEST(basics)
{
	begin(_i);
	if (cases[_i].thread_count != 0)
		ck_assert_uint_eq(x->thread_count, cases[_i].thread_count);
	ck_assert_uint_ge(x->thread_count, 1);
	ck_assert_ptr_null(queue_running);
	ck_assert_uint_le(executor_now(x), executor_now(x));
	ck_assert_uint_ne(x->ops->random(x), x->ops->random(x));
	ck_assert_uint_eq(x->ops->poll(x, 0), 0);
	destroy();
}
END_TEST

/*
 * The storm: messages hop from queue to queue at random. Each carries its
 * number in the sequence of its sender to its receiver.
 */
#define MESSAGES 200
#define HOPS	 150

struct message {
	struct completion c;
	unsigned from; /* QUEUES: the host's thread */
	unsigned number;
	unsigned hops;
};

/* Owned by the queue: a race here is a queue that runs twice at once. */
static struct {
	uint64_t random;
	bool busy;
	unsigned sent[QUEUES];
	unsigned expected[QUEUES + 1];
	unsigned ran;
} state[QUEUES];

static struct message messages[MESSAGES];
static atomic_uint alive;
static struct event over;
static _Thread_local unsigned depth;

static unsigned index_of(const struct queue *q)
{
	unsigned i = 0;

	while (queues[i] != q)
		i++;
	return i;
}

static unsigned pick(unsigned self)
{
	uint64_t *r = &state[self].random;

	*r = *r * 6364136223846793005u + 1442695040888963407u;
	/* Often to oneself. */
	return (*r >> 60) < 5 ? self : (unsigned)(*r >> 40) % QUEUES;
}

static void storm(struct completion *c)
{
	struct message *m = container_of(c, struct message, c);
	unsigned self = index_of(c->home);
	unsigned to;

	VDO_ASSERT(queue_is_current(c->home));
	VDO_ASSERT(depth++ == 0);
	VDO_ASSERT(!state[self].busy);
	state[self].busy = true;
	VDO_ASSERT(m->number == state[self].expected[m->from]++);
	state[self].ran++;
	to = pick(self);
	if (m->hops-- == 0) {
		if (atomic_fetch_sub(&alive, 1) == 1)
			executor_signal(x, &over);
	} else {
		m->from = self;
		m->number = state[self].sent[to]++;
		c->home = queues[to];
		completion_post(c);
	}
	VDO_ASSERT(queue_running == queues[self]);
	state[self].busy = false;
	depth--;
}

/* The host's thread helps, or not. */
static void start_storm(bool helps)
{
	unsigned sent[QUEUES] = {0};
	struct help h;

	memset(state, 0, sizeof(state));
	atomic_store(&alive, MESSAGES);
	event_init(&over);
	for (unsigned i = 0; i < QUEUES; i++)
		state[i].random = i;
	if (helps)
		help_begin(&h, x);
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct message *m = &messages[i];
		unsigned to = i % 3;

		completion_init(&m->c, queues[to], storm);
		m->from = QUEUES;
		m->number = sent[to]++;
		m->hops = HOPS;
		completion_post(&m->c);
	}
	help_end(&h);
}

static void check_storm(void)
{
	unsigned ran = 0;

	for (unsigned i = 0; i < QUEUES; i++)
		ran += state[i].ran;
	ck_assert_uint_eq(ran, MESSAGES * (HOPS + 1));
}

START_TEST(order_and_exclusion)
{
	begin(_i);
	for (unsigned i = 0; i < 2; i++) {
		start_storm(i != 0);
		executor_wait(x, &over);
		ck_assert_ptr_null(queue_running);
		check_storm();
	}
	/* Set already: no wait. */
	executor_wait(x, &over);
	destroy();
}
END_TEST

START_TEST(destroy_runs_everything)
{
	for (unsigned i = 0; i < 2; i++) {
		begin(_i);
		start_storm(i != 0);
		destroy();
		ck_assert_uint_eq(atomic_load(&alive), 0);
		check_storm();
	}
}
END_TEST

START_TEST(destroy_unused)
{
	ck_assert_int_eq(create(_i), 0);
	destroy();
	executor_destroy(NULL);
}
END_TEST

/*
 * Host threads that post and wait.
 */
#define HOSTS 4
#define CALLS 300
#define BURST 5

struct call {
	struct completion c;
	struct event *event;
	unsigned host;
	unsigned number;
};

/* [queue][host], owned by the queue. */
static unsigned called[QUEUES][HOSTS];

static void run_call(struct completion *c)
{
	struct call *call = container_of(c, struct call, c);
	unsigned self = index_of(c->home);

	VDO_ASSERT(depth++ == 0);
	VDO_ASSERT(called[self][call->host]++ == call->number);
	depth--;
	if (call->event != NULL)
		executor_signal(x, call->event);
}

/* Each round posts a burst to one queue and waits for the last. */
static void *host(void *arg)
{
	unsigned self = *(unsigned *)arg;
	unsigned number[QUEUES] = {0};
	struct call burst[BURST];
	struct event e;
	struct help h;

	for (unsigned i = 0; i < CALLS; i++) {
		unsigned to = (self + i / 3) % QUEUES;

		event_init(&e);
		if ((i + self) % 3 != 0)
			help_begin(&h, x);
		for (unsigned b = 0; b < BURST; b++) {
			completion_init(&burst[b].c, queues[to], run_call);
			burst[b].host = self;
			burst[b].number = number[to]++;
			burst[b].event = b == BURST - 1 ? &e : NULL;
			completion_post(&burst[b].c);
		}
		help_end(&h);
		executor_wait(x, &e);
		VDO_ASSERT(queue_running == NULL);
	}
	return NULL;
}

static atomic_bool hosts_gone;

/* Somebody who does nothing but poll. */
static void *poller_host(void *arg)
{
	while (!atomic_load(&hosts_gone)) {
		if (x->ops->poll(x, NS_PER_MS) == 0)
			sched_yield();
	}
	return NULL;
}

/*
 * Queues are released and made again, on other numbers of threads, while a host
 * thread goes on with one that stays.
 */
#define RESIZES 30

static struct queue *steady;

static void run_steady(struct completion *c)
{
	VDO_ASSERT(queue_is_current(steady));
	executor_signal(x, c->owner);
}

static void *steady_host(void *arg)
{
	struct completion c;
	struct event e;
	struct help h;

	while (!atomic_load(&hosts_gone)) {
		event_init(&e);
		completion_init(&c, steady, run_steady);
		c.owner = &e;
		help_begin(&h, x);
		completion_post(&c);
		help_end(&h);
		executor_wait(x, &e);
	}
	return arg;
}

static unsigned tasks(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static unsigned count_queues(void)
{
	unsigned n = 0;

	for (struct queue *q = atomic_load(&x->queues); q != NULL; q = q->next)
		n++;
	return n;
}

static void resize_once(unsigned threads, bool pin, unsigned spin_us)
{
	struct native_config c = {
		.threads = threads, .pin = pin, .spin_us = spin_us};

	ck_assert_int_eq(executor_resize(x, &c), 0);
	executor_release(x, queues, QUEUES);
	for (unsigned q = 0; q < QUEUES; q++)
		ck_assert_int_eq(executor_queue(x, "again", q, &queues[q]), 0);
	executor_trim(x);
	start_storm(pin);
	executor_wait(x, &over);
	check_storm();
	if (kind == NATIVE)
		ck_assert_uint_eq(x->thread_count, threads);
}

START_TEST(resizing)
{
	unsigned others, made;
	pthread_t thread;

	begin(_i);
	others = tasks() - x->thread_count; /* of no use but for native */
	ck_assert_int_eq(executor_queue(x, "steady", 0, &steady), 0);
	others++;
	atomic_store(&hosts_gone, false);
	if (kind != SIM)
		ck_assert_int_eq(
			pthread_create(&thread, NULL, steady_host, NULL), 0);
	made = count_queues();
	for (unsigned i = 0; i < RESIZES; i++)
		resize_once(1 + (5 * i + i / 7) % 6, i % 3 == 0, i % 2 * 20);
	if (kind == NATIVE) {
		ck_assert_uint_eq(tasks(), others + x->thread_count);
		made += 6 - cases[_i].native.threads; /* their own queues */
	}
	if (kind != NATIVE || cases[_i].native.threads != 0)
		ck_assert_uint_le(count_queues(), made);
	atomic_store(&hosts_gone, true);
	if (kind != SIM)
		pthread_join(thread, NULL);
	destroy();
}
END_TEST

/* A thread more than the system allows: nothing has changed. */
START_TEST(resize_refused)
{
	struct native_config c = {.threads = 100000};

	begin(0);
	ck_assert_int_eq(executor_resize(x, &c), -EINVAL);
	ck_assert_uint_eq(x->thread_count, cases[0].native.threads);
	start_storm(false);
	executor_wait(x, &over);
	check_storm();
	destroy();
}
END_TEST

START_TEST(host_threads)
{
	pthread_t threads[HOSTS + 1];
	unsigned numbers[HOSTS];

	begin(_i);
	memset(called, 0, sizeof(called));
	for (unsigned i = 0; i < HOSTS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, host,
						&numbers[i]), 0);
	}
	if (kind == INLINE)
		ck_assert_int_eq(pthread_create(&threads[HOSTS], NULL,
						poller_host, NULL), 0);
	for (unsigned i = 0; i < HOSTS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&hosts_gone, true);
	if (kind == INLINE)
		pthread_join(threads[HOSTS], NULL);
	for (unsigned i = 0; i < HOSTS; i++) {
		unsigned sum = 0;

		for (unsigned q = 0; q < QUEUES; q++)
			sum += called[q][i];
		ck_assert_uint_eq(sum, CALLS * BURST);
	}
	destroy();
}
END_TEST

/* Many wait for one event that a thread from outside sets. */
static struct event shared;
static atomic_uint waiting;

static void *wait_shared(void *arg)
{
	atomic_fetch_add(&waiting, 1);
	executor_wait(x, &shared);
	VDO_ASSERT(event_is_set(&shared));
	return NULL;
}

START_TEST(signal_wakes_all)
{
	pthread_t threads[HOSTS];

	begin(_i);
	for (unsigned round = 0; round < 20; round++) {
		event_init(&shared);
		atomic_store(&waiting, 0);
		for (unsigned i = 0; i < HOSTS; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL,
							wait_shared, NULL), 0);
		/* Sometimes before all of them wait. */
		while (atomic_load(&waiting) < round % (HOSTS + 1))
			sched_yield();
		executor_signal(x, &shared);
		for (unsigned i = 0; i < HOSTS; i++)
			pthread_join(threads[i], NULL);
	}
	destroy();
}
END_TEST

/*
 * A queue that always has something to run takes in what others post.
 */
static struct completion eternal, end;
static bool ended;

static void go_on(struct completion *c)
{
	if (ended)
		executor_signal(x, &over);
	else
		completion_post(c);
}

static void set_ended(struct completion *c)
{
	ended = true;
}

START_TEST(busy_queue_listens)
{
	begin(_i);
	ended = false;
	event_init(&over);
	/* With a pool that runs tasks in submit() the first post never ends. */
	completion_init(&end, queues[0], set_ended);
	completion_init(&eternal, queues[0], go_on);
	if (kind == STRAND && cases[_i].pool.threads == 0) {
		completion_post(&end);
		completion_post(&eternal);
	} else {
		completion_post(&eternal);
		if (kind == INLINE)
			ck_assert_uint_ne(x->ops->poll(x, 0), 0);
		completion_post(&end);
	}
	executor_wait(x, &over);
	destroy();
}
END_TEST

/*
 * One message alone: nothing else wakes who missed it. To oneself, longer than
 * any batch, and to and fro between two queues.
 */
static unsigned hops_left;
static struct queue *course[2];

static void travel(struct completion *c)
{
	if (hops_left-- == 0) {
		executor_signal(x, &over);
		return;
	}
	c->home = course[hops_left % 2];
	completion_post(c);
}

START_TEST(one_message_alone)
{
	struct completion c;

	begin(_i);
	for (unsigned other = 0; other < 2; other++) {
		course[0] = queues[0];
		course[1] = queues[other];
		hops_left = 5000;
		event_init(&over);
		completion_init(&c, queues[0], travel);
		completion_post(&c);
		executor_wait(x, &over);
	}
	destroy();
}
END_TEST

/*
 * Timers.
 */
struct alarm {
	struct timer t;
	unsigned place;
};

static struct alarm alarms[5];
static unsigned places;
static bool armed_in_time; /* all, before any but alarms[3] was due */
static struct completion timer_setup;

static const uint64_t alarm_delays[] = {
	3600 * NS_PER_SEC, 30 * NS_PER_MS, 3 * NS_PER_MS, 0, 1800 * NS_PER_SEC,
};

static void ring(struct completion *c)
{
	struct alarm *a = container_of(c, struct alarm, t.done);

	VDO_ASSERT(queue_is_current(c->home));
	VDO_ASSERT(executor_now(x) >= a->t.deadline_ns);
	VDO_ASSERT(!a->t.armed);
	VDO_ASSERT(!x->ops->timer_disarm(x, &a->t));
	a->place = ++places;
	if (places % 3 != 0)
		return;
	VDO_ASSERT(x->ops->timer_disarm(x, &alarms[0].t));
	executor_signal(x, &over);
}

/* The longest first, so that each but the last is an earlier one. */
static void arm_all(struct completion *c)
{
	uint64_t now = executor_now(x);

	for (unsigned i = 0; i < 5; i++) {
		completion_init(&alarms[i].t.done, queues[1], ring);
		alarms[i].t.deadline_ns = now + alarm_delays[i];
		x->ops->timer_arm(x, &alarms[i].t);
	}
	VDO_ASSERT(x->ops->timer_disarm(x, &alarms[4].t));
	VDO_ASSERT(!x->ops->timer_disarm(x, &alarms[4].t));
	armed_in_time = executor_now(x) < alarms[2].t.deadline_ns;
}

START_TEST(timers)
{
	begin(_i);
	memset(alarms, 0, sizeof(alarms));
	places = 0;
	for (unsigned round = 0; round < 3; round++) {
		event_init(&over);
		completion_init(&timer_setup, queues[1], arm_all);
		completion_post(&timer_setup);
		executor_wait(x, &over);
		ck_assert_uint_eq(places, 3 * round + 3);
		for (unsigned i = 1; i <= 3; i++)
			ck_assert(!armed_in_time ||
				  alarms[i].place == 3 * round + 4 - i);
		ck_assert_uint_eq(alarms[0].place, 0);
		ck_assert_uint_eq(alarms[4].place, 0);
	}
	destroy();
}
END_TEST

static void arm_one(struct completion *c)
{
	completion_init(&alarms[0].t.done, queues[1], ring);
	alarms[0].t.deadline_ns = executor_now(x) + alarm_delays[0];
	x->ops->timer_arm(x, &alarms[0].t);
}

START_TEST(destroy_with_timer)
{
	begin(_i);
	memset(alarms, 0, sizeof(alarms));
	completion_init(&timer_setup, queues[1], arm_one);
	completion_post(&timer_setup);
	destroy();
	ck_assert_uint_eq(alarms[0].place, 0);
}
END_TEST

START_TEST(no_memory)
{
	unsigned failed = 0;

	if (kind == SIM || cases[_i].kind == SIM)
		return;
	for (unsigned long n = 1;; n++) {
		int r;

		alloc_fail_at(n);
		r = create(_i);
		if (r == 0) {
			r = executor_queue(x, "q", 0, &queues[0]);
			alloc_fail_at(0);
			destroy();
		} else if (pool != NULL) {
			test_pool_destroy(pool);
		}
		alloc_fail_at(0);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		failed++;
	}
	ck_assert_uint_ge(failed, 2);
}
END_TEST

/*
 * Inline: polling, and completions from outside of the queues.
 */
static void count(struct completion *c)
{
	places++;
}

START_TEST(inline_poll)
{
	struct completion c[10];

	begin(_i);
	places = 0;
	for (unsigned i = 0; i < 10; i++) {
		completion_init(&c[i], queues[i % QUEUES], count);
		completion_post(&c[i]);
		ck_assert_uint_eq(places, 0);
	}
	ck_assert_uint_eq(x->ops->poll(x, NO_TIMEOUT), 10);
	ck_assert_uint_eq(places, 10);
	ck_assert_uint_eq(x->ops->poll(x, 0), 0);
	ck_assert_uint_eq(x->ops->poll(x, 1), 0);
	/* A timer ends the wait. */
	memset(alarms, 0, sizeof(alarms));
	event_init(&over);
	completion_init(&timer_setup, queues[1], arm_all);
	completion_post(&timer_setup);
	while (!event_is_set(&over))
		ck_assert_uint_ne(x->ops->poll(x, NO_TIMEOUT), 0);
	destroy();
}
END_TEST

static void fails_on_queue(void *arg, struct completion *done)
{
	ck_assert(queue_is_current(arg));
	completion_finish(done, -7);
}

static void ends_elsewhere(void *arg, struct completion *done)
{
	ck_assert(queue_is_current(queues[2]));
	*(struct completion **)arg = done;
	completion_init(done, queues[3], done->fn);
	completion_post(done);
}

/* The ways to wait from outside: for a completion, an op, a call, a word. */
START_TEST(await_from_outside)
{
	struct completion *armed, op;
	struct await a;

	begin(_i);
	completion_finish(await_on(&a, queues[0]), -5);
	ck_assert_int_eq(await_end(&a), -5);
	await_arm(&a, &op, queues[1]);
	completion_post(&op);
	ck_assert_int_eq(await_end(&a), 0);
	ck_assert_int_eq(await_call(queues[1], fails_on_queue, queues[1]), -7);
	ck_assert_int_eq(await_call(queues[2], ends_elsewhere, &armed), 0);
	await_init(&a, x);
	await_tell(&a, -9);
	ck_assert_int_eq(await_end(&a), -9);
	destroy();
}
END_TEST

/* Who leaves the queues has the next in line run them. */
struct visitor {
	struct completion c;
	struct event event;
	pthread_t thread;
};

static void *visit(void *arg)
{
	executor_wait(x, &((struct visitor *)arg)->event);
	return NULL;
}

static void dismiss(struct completion *c)
{
	executor_signal(x, &container_of(c, struct visitor, c)->event);
}

START_TEST(inline_next_in_line)
{
	struct visitor v[3];

	begin(_i);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 3; i++) {
			completion_init(&v[i].c, queues[i], dismiss);
			event_init(&v[i].event);
		}
		/* One runs the queues, two stand in line. */
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_create(&v[i].thread, NULL,
							visit, &v[i]), 0);
		for (unsigned in_line = 0; in_line < 2;) {
			in_line = 0;
			for (unsigned i = 0; i < 3; i++)
				in_line += atomic_load(&v[i].event.set) ==
					   EVENT_AWAITED;
			sched_yield();
		}
		for (unsigned i = 0; i < 3; i++) {
			unsigned one = (round + i) % 3;

			completion_post(&v[one].c);
			pthread_join(v[one].thread, NULL);
		}
	}
	destroy();
}
END_TEST

/* A device that finishes what it was given, from a thread of its own. */
struct device {
	struct poller poller;
	atomic_uint finished; /* by the thread, not yet posted */
	atomic_uint woken;
	unsigned posted;
	unsigned blocked;
	struct completion io[100];
};

static struct device devices[2];

static int device_poll(struct poller *p, uint64_t timeout_ns)
{
	struct device *d = container_of(p, struct device, poller);
	unsigned n;

	VDO_ASSERT(queue_running == NULL);
	if (timeout_ns != 0) {
		d->blocked++;
		futex_wait(&d->woken, 0, timeout_ns);
		atomic_store(&d->woken, 0);
	}
	n = atomic_exchange(&d->finished, 0);
	for (unsigned i = 0; i < n; i++)
		completion_post(&d->io[d->posted++]);
	return (int)n;
}

static void device_wake(struct poller *p)
{
	struct device *d = container_of(p, struct device, poller);

	atomic_store(&d->woken, 1);
	futex_wake(&d->woken, 1);
}

static void io_done(struct completion *c)
{
	if (++places == ARRAY_SIZE(devices) * ARRAY_SIZE(devices[0].io))
		executor_signal(x, &over);
}

static void *device_thread(void *arg)
{
	struct device *d = arg;

	for (unsigned i = 0; i < ARRAY_SIZE(d->io); i++) {
		atomic_fetch_add(&d->finished, 1);
		device_wake(&d->poller);
		if (i % 8 == 0)
			sched_yield();
	}
	return NULL;
}

START_TEST(inline_pollers)
{
	pthread_t threads[2];

	begin(_i);
	places = 0;
	event_init(&over);
	memset(devices, 0, sizeof(devices));
	for (unsigned i = 0; i < 2; i++) {
		struct device *d = &devices[i];

		d->poller.poll = device_poll;
		d->poller.wake = device_wake;
		for (unsigned k = 0; k < ARRAY_SIZE(d->io); k++)
			completion_init(&d->io[k], queues[k % QUEUES], io_done);
		x->ops->poller_add(x, &d->poller);
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						device_thread, d), 0);
	}
	executor_wait(x, &over);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		x->ops->poller_remove(x, &devices[i].poller);
	}
	destroy();
}
END_TEST

/* A post from another thread ends a wait inside of the poller. */
static void *post_over(void *arg)
{
	while (atomic_load(&waiting) == 0)
		sched_yield();
	completion_post(arg);
	return NULL;
}

static void set_over(struct completion *c)
{
	executor_signal(x, &over);
}

static int poll_and_tell(struct poller *p, uint64_t timeout_ns)
{
	if (timeout_ns != 0)
		atomic_store(&waiting, 1);
	return device_poll(p, timeout_ns);
}

START_TEST(inline_post_wakes_poller)
{
	struct completion c;
	pthread_t thread;

	begin(_i);
	for (unsigned round = 0; round < 50; round++) {
		memset(devices, 0, sizeof(devices));
		devices[0].poller.poll = poll_and_tell;
		devices[0].poller.wake = device_wake;
		x->ops->poller_add(x, &devices[0].poller);
		atomic_store(&waiting, 0);
		event_init(&over);
		completion_init(&c, queues[0], set_over);
		ck_assert_int_eq(pthread_create(&thread, NULL, post_over, &c),
				 0);
		executor_wait(x, &over);
		ck_assert_uint_ge(devices[0].blocked, 1);
		pthread_join(thread, NULL);
		x->ops->poller_remove(x, &devices[0].poller);
	}
	destroy();
}
END_TEST

/*
 * Native: names and signal masks of the threads.
 */
static char seen_name[16];
static sigset_t seen_mask;

static void look(struct completion *c)
{
	pthread_getname_np(pthread_self(), seen_name, sizeof(seen_name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
	executor_signal(x, &over);
}

static const struct {
	unsigned index; /* of cases[] */
	unsigned queue;
	const char *name;
} name_cases[] = {
	{0, 3, "vdo0"}, {1, 0, "ab0"}, {1, 1, "ab1"}, {1, 2, "ab0"},
	{2, 4, "longnam4"},
};

START_TEST(native_threads)
{
	struct completion c;

	begin(name_cases[_i].index);
	event_init(&over);
	completion_init(&c, queues[name_cases[_i].queue], look);
	completion_post(&c);
	executor_wait(x, &over);
	ck_assert_str_eq(seen_name, name_cases[_i].name);
	ck_assert(sigismember(&seen_mask, SIGINT) == 1);
	ck_assert(sigismember(&seen_mask, SIGUSR1) == 1);
	destroy();
}
END_TEST

START_TEST(bad_arguments)
{
	static const struct native_config many = {.threads = 100000};
	struct vdo_pool_ops none = {.size = sizeof(none)};
	struct vdo_pool_ops old;

	ck_assert_int_eq(executor_native_create(&many, &x), -EINVAL);
	ck_assert_int_eq(executor_strand_create(&none, NULL, &x), -EINVAL);
	pool = test_pool_create(&(struct test_pool_config){.hint = true});
	old = *test_pool_ops(pool);
	old.size = 4;
	ck_assert_int_eq(executor_strand_create(&old, pool, &x), -EINVAL);
	/* A host of the first version: what it does not know is not read. */
	old.size = offsetof(struct vdo_pool_ops, concurrency);
	old.concurrency = (unsigned (*)(void *))(uintptr_t)1;
	ck_assert_int_eq(executor_strand_create(&old, pool, &x), 0);
	destroy();
}
END_TEST

static void add_for(TCase *tc, const TTest *test, enum kind first,
		    enum kind last)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].kind >= first && cases[i].kind <= last)
			tcase_add_loop_test(tc, test, (int)i, (int)i + 1);
	}
}

int main(void)
{
	TCase *tc = unit_case("executors");

	add_for(tc, basics, NATIVE, SIM);
	add_for(tc, order_and_exclusion, NATIVE, SIM);
	add_for(tc, destroy_runs_everything, NATIVE, SIM);
	add_for(tc, destroy_unused, NATIVE, SIM);
	add_for(tc, host_threads, NATIVE, INLINE);
	add_for(tc, signal_wakes_all, NATIVE, INLINE);
	add_for(tc, busy_queue_listens, NATIVE, SIM);
	add_for(tc, one_message_alone, NATIVE, SIM);
	add_for(tc, await_from_outside, NATIVE, SIM);
	add_for(tc, timers, NATIVE, SIM);
	add_for(tc, destroy_with_timer, NATIVE, SIM);
	add_for(tc, resizing, NATIVE, SIM);
	add_for(tc, no_memory, NATIVE, INLINE);
	tc = unit_case("inline");
	add_for(tc, inline_poll, INLINE, INLINE);
	add_for(tc, inline_next_in_line, INLINE, INLINE);
	add_for(tc, inline_pollers, INLINE, INLINE);
	add_for(tc, inline_post_wakes_poller, INLINE, INLINE);
	tc = unit_case("native");
	tcase_add_loop_test(tc, native_threads, 0, ARRAY_SIZE(name_cases));
	tcase_add_test(tc, resize_refused);
	tcase_add_test(tc, bad_arguments);
	return unit_run();
}
