/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whoever is about to wait runs queues whose threads sleep: which thread runs
 * what, what ends the help, and that nothing is lost or run twice when helpers,
 * others who post, timers and the end of the executor meet. test_exec shows
 * that all promises hold with helpers, too.
 */
#include "build.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exec/clock.h"
#include "exec/help.h"
#include "exec/system.h"
#include "tests/lib/test_pool.h"
#include "tests/lib/unit.h"

enum { NATIVE, POOL, KINDS };

static struct executor *x;
static struct test_pool *pool;
static struct queue *queues[2];

/* ---------------------------------------------------------- threads at rest */

static pid_t tids[2];

static void note_tid(struct completion *c)
{
	tids[c->home == queues[1]] = gettid();
	executor_signal(x, c->owner);
}

/* As the system sees it: in the one place where threads of ours sleep. */
static bool is_asleep(pid_t tid)
{
	char path[64], text[512];
	const char *state;
	int n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	n = system_read_text(path, text, sizeof(text));
	ck_assert_int_gt(n, 0);
	state = strrchr(text, ')');
	return state != NULL && state[2] == 'S';
}

static void begin(int kind)
{
	static const struct native_config config = {.threads = 2};
	static const struct test_pool_config pool_config = {.threads = 2};
	struct completion c;
	struct event e;

	pool = kind == POOL ? test_pool_create(&pool_config) : NULL;
	if (kind == POOL)
		ck_assert_int_eq(executor_strand_create(test_pool_ops(pool),
							pool, &x), 0);
	else
		ck_assert_int_eq(executor_native_create(&config, &x), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(executor_queue(x, i == 0 ? "a" : "b", i,
						&queues[i]), 0);
		event_init(&e);
		completion_init(&c, queues[i], note_tid);
		c.owner = &e;
		completion_post(&c);
		executor_wait(x, &e);
	}
}

static void end(void)
{
	executor_destroy(x);
	if (pool != NULL)
		test_pool_destroy(pool);
}

/* ------------------------------------------------------------------ helping */

/* A message that hops to and fro, or stays where it is. */
struct traveller {
	struct completion c;
	struct event event;
	unsigned hops;
	bool stays;
	unsigned by_us, by_others;
	pthread_t us;
};

static void travel(struct completion *c)
{
	struct traveller *t = container_of(c, struct traveller, c);

	VDO_ASSERT(queue_is_current(c->home));
	if (pthread_equal(pthread_self(), t->us))
		t->by_us++;
	else
		t->by_others++;
	if (t->hops-- == 0) {
		executor_signal(x, &t->event);
		return;
	}
	if (!t->stays)
		c->home = queues[c->home == queues[0]];
	completion_post(c);
}

static void send(struct traveller *t, unsigned hops, bool stays)
{
	struct help h;

	*t = (struct traveller){.hops = hops, .stays = stays};
	t->us = pthread_self();
	event_init(&t->event);
	completion_init(&t->c, queues[0], travel);
	help_begin(&h, x);
	ck_assert_ptr_eq(help_given(), &h);
	completion_post(&t->c);
	help_end(&h);
	ck_assert_ptr_null(help_given());
	ck_assert_ptr_null(queue_running);
	executor_wait(x, &t->event);
}

/*
 * Nothing is under way: wait until no thread is awake, or, with a pool, until
 * no strand is with it any more.
 */
static void calm(void)
{
	struct traveller t;

	for (unsigned i = 0; pool == NULL && i < 2; i++) {
		while (!is_asleep(tids[i]))
			sched_yield();
	}
	do
		send(&t, 1, false);
	while (pool != NULL && t.by_us < 2);
}

/* An idle executor: everything runs here, from queue to queue, and no thread is
 * woken. */
START_TEST(wakes_nobody)
{
	struct traveller t;
	uint64_t woken;

	begin(_i);
	calm();
	woken = executor_wakeups(x);
	for (unsigned i = 0; i < 1000; i++) {
		send(&t, i % (HELP_MAX - 1), i % 2 != 0);
		ck_assert_uint_eq(t.by_others, 0);
		ck_assert_uint_eq(t.by_us, i % (HELP_MAX - 1) + 1);
	}
	ck_assert_uint_eq(executor_wakeups(x), woken);
	end();
}
END_TEST

/* Without help the threads do it: what is counted above counts. */
START_TEST(posts_wake)
{
	struct traveller t = {.us = pthread_self()};
	uint64_t woken;

	begin(_i);
	calm();
	woken = executor_wakeups(x);
	event_init(&t.event);
	completion_init(&t.c, queues[0], travel);
	completion_post(&t.c);
	executor_wait(x, &t.event);
	ck_assert_uint_eq(t.by_us, 0);
#ifdef VDO_DEBUG
	ck_assert_uint_eq(executor_wakeups(x), woken + 1);
#else
	ck_assert_uint_eq(executor_wakeups(x), woken);
#endif
	end();
}
END_TEST

/* No more than HELP_MAX, in one queue and over both. */
START_TEST(ends_after_some)
{
	struct traveller t;

	begin(_i);
	for (unsigned stays = 0; stays < 2; stays++) {
		calm();
		send(&t, 10 * HELP_MAX, stays != 0);
		ck_assert_uint_eq(t.by_us, HELP_MAX);
		ck_assert_uint_eq(t.by_others, 9 * HELP_MAX + 1);
	}
	end();
}
END_TEST

/* Who has something that a helper must not run stops it, and posts. */
struct secret {
	struct completion c, bystander;
	struct event event;
	pthread_t us;
	bool told;
};

static void tell_secret(struct completion *c)
{
	struct secret *s = container_of(c, struct secret, c);

	VDO_ASSERT(help_given() == NULL);
	VDO_ASSERT(!pthread_equal(pthread_self(), s->us));
	s->told = true;
	executor_signal(x, &s->event);
}

static void run_bystander(struct completion *c)
{
	VDO_ASSERT(!pthread_equal(pthread_self(),
				  container_of(c, struct secret, bystander)->us));
}

static void hear_secret(struct completion *c)
{
	struct secret *s = container_of(c, struct secret, c);
	int state;

	/* The thread cannot be cancelled before it has given everything back. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	VDO_ASSERT(state == PTHREAD_CANCEL_DISABLE);
	VDO_ASSERT(help_given() != NULL);
	help_stop(help_given());
	completion_init(&s->bystander, queues[1], run_bystander);
	completion_post(&s->bystander);
	c->fn = tell_secret;
	completion_post(c);
}

START_TEST(stops_when_told)
{
	struct secret s = {.us = pthread_self()};
	struct help h;

	begin(_i);
	calm();
	event_init(&s.event);
	completion_init(&s.c, queues[0], hear_secret);
	help_begin(&h, x);
	completion_post(&s.c);
	ck_assert(s.c.fn == hear_secret); /* posting runs nothing */
	help_end(&h);
	executor_wait(x, &s.event);
	ck_assert(s.told);
	end();
}
END_TEST

/* A thread sleeps without a limit; a helper arms a timer there. */
struct alarm {
	struct completion go;
	struct timer timer;
	struct event event;
};

static void ring(struct completion *c)
{
	executor_signal(x, &container_of(c, struct alarm, timer.done)->event);
}

static void arm(struct completion *c)
{
	struct alarm *a = container_of(c, struct alarm, go);

	completion_init(&a->timer.done, c->home, ring);
	a->timer.deadline_ns = executor_now(x) + NS_PER_MS;
	x->ops->timer_arm(x, &a->timer);
}

START_TEST(timer_goes_off)
{
	struct alarm a;
	struct help h;

	begin(_i);
	for (unsigned i = 0; i < 10; i++) {
		calm();
		memset(&a, 0, sizeof(a));
		event_init(&a.event);
		completion_init(&a.go, queues[i % 2], arm);
		help_begin(&h, x);
		completion_post(&a.go);
		help_end(&h);
		executor_wait(x, &a.event);
	}
	end();
}
END_TEST

/* Inside of help there is no second one, and without a post nothing is done. */
START_TEST(one_at_a_time)
{
	struct help outer, inner;

	begin(_i);
	help_begin(&outer, x);
	help_begin(&inner, x);
	ck_assert_ptr_eq(help_given(), &outer);
	help_end(&inner);
	ck_assert_ptr_eq(help_given(), &outer);
	help_end(&outer);
	ck_assert_ptr_null(help_given());
	help_end(&outer);
	end();
}
END_TEST

/* ------------------------------------------------------------------- racing */

#define HOSTS 4
#define CALLS 3000u

/* By queue; a race here is a queue that two run at once. */
static struct {
	bool busy;
	unsigned long ran;
	struct timer timer;
	bool armed;
} state[2];

struct racer {
	pthread_t thread;
	unsigned number;
	struct completion c;
	struct event event;
	unsigned hops;
};

static void timer_rings(struct completion *c)
{
	unsigned self = c->home == queues[1];

	VDO_ASSERT(!state[self].busy);
	state[self].armed = false;
}

static void race(struct completion *c)
{
	struct racer *r = container_of(c, struct racer, c);
	unsigned self = c->home == queues[1];

	VDO_ASSERT(queue_is_current(c->home) && !state[self].busy);
	state[self].busy = true;
	state[self].ran++;
	if (!state[self].armed && state[self].ran % 7 == 0) {
		state[self].armed = true;
		completion_init(&state[self].timer.done, c->home, timer_rings);
		state[self].timer.deadline_ns = executor_now(x) + 20000;
		x->ops->timer_arm(x, &state[self].timer);
	}
	if (help_given() != NULL && state[self].ran % 11 == 0)
		help_stop(help_given());
	state[self].busy = false;
	if (r->hops-- == 0) {
		executor_signal(x, &r->event);
		return;
	}
	if (r->hops % 3 != 0)
		c->home = queues[!self];
	completion_post(c);
}

/* Every other one helps; some pause, so that threads go to sleep. */
static void *run_racer(void *arg)
{
	struct racer *r = arg;
	struct help h;

	for (unsigned i = 0; i < unit_share(CALLS); i++) {
		bool helps = (i + r->number) % 2 == 0;

		event_init(&r->event);
		completion_init(&r->c, queues[i % 2], race);
		r->hops = i % 90 == 0 ? 2 * HELP_MAX : i % 5;
		if (helps)
			help_begin(&h, x);
		completion_post(&r->c);
		if (helps)
			help_end(&h);
		executor_wait(x, &r->event);
		for (unsigned k = 0; k < i % 4; k++)
			sched_yield();
	}
	return NULL;
}

/* Helpers, others, timers and threads that fall asleep; in the end all is
 * destroyed at once, with what is under way. */
START_TEST(race_for_queues)
{
	static struct racer racers[HOSTS];

	for (unsigned hosts = 1; hosts <= HOSTS; hosts++) {
		unsigned long ran = 0, hops = 0;

		memset(state, 0, sizeof(state));
		begin(_i);
		for (unsigned i = 0; i < hosts; i++) {
			racers[i].number = i;
			ck_assert_int_eq(pthread_create(&racers[i].thread, NULL,
							run_racer, &racers[i]),
					 0);
		}
		for (unsigned i = 0; i < hosts; i++)
			pthread_join(racers[i].thread, NULL);
		end();
		for (unsigned i = 0; i < unit_share(CALLS); i++)
			hops += 1 + (i % 90 == 0 ? 2 * HELP_MAX : i % 5);
		ran = state[0].ran + state[1].ran;
		ck_assert_uint_eq(ran, hosts * hops);
	}
}
END_TEST

/* What a helper leaves is run before the executor is gone. */
START_TEST(destroyed_after_help)
{
	struct traveller t;
	struct help h;

	for (unsigned i = 0; i < 50; i++) {
		begin(_i);
		t = (struct traveller){.hops = 5 * HELP_MAX,
				       .us = pthread_self()};
		event_init(&t.event);
		completion_init(&t.c, queues[i % 2], travel);
		if (i % 3 == 0)
			calm();
		help_begin(&h, x);
		completion_post(&t.c);
		help_end(&h);
		end();
		ck_assert(event_is_set(&t.event));
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("help");

	tcase_add_loop_test(tc, wakes_nobody, 0, KINDS);
	tcase_add_loop_test(tc, posts_wake, 0, KINDS);
	tcase_add_loop_test(tc, ends_after_some, 0, KINDS);
	tcase_add_loop_test(tc, stops_when_told, 0, KINDS);
	tcase_add_loop_test(tc, timer_goes_off, 0, KINDS);
	tcase_add_loop_test(tc, one_at_a_time, 0, KINDS);
	tcase_add_loop_test(tc, race_for_queues, 0, KINDS);
	tcase_add_loop_test(tc, destroyed_after_help, 0, KINDS);
	return unit_run();
}
