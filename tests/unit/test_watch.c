/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptor of the executor without threads: readable when there is
 * something to do, quiet when there is not, and no wake-up is lost.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exec/clock.h"
#include "exec/executor.h"
#include "tests/lib/unit.h"

#define SENDERS 3
#define POSTS	2000
#define QUEUES	3

/* Of these some come at the worst moment. */
#define CLOSE_POSTS 30000

/* For a fault: then a wake-up was lost. */
#define NEVER_MS 60000

static struct executor *x;
static struct queue *queues[QUEUES];
static int fd;

static void begin(void)
{
	ck_assert_int_eq(executor_inline_create(&x), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		ck_assert_int_eq(executor_queue(x, "q", i, &queues[i]), 0);
	fd = x->ops->fd(x);
	ck_assert_int_ge(fd, 3);
	ck_assert_int_eq(x->ops->fd(x), fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static bool readable(int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* Until there is nothing to do; the number of things done. */
static unsigned run(void)
{
	unsigned total = 0, n;

	while ((n = x->ops->poll(x, 0)) != 0)
		total += n;
	return total;
}

static void end(void)
{
	run();
	executor_destroy(x);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(errno, EBADF);
}

static atomic_uint done;

static void count(struct completion *c)
{
	done++;
}

START_TEST(level)
{
	static struct completion c[5000];

	begin();
	run();
	ck_assert(!readable(0));
	ck_assert(!readable(0));
	done = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		completion_init(&c[i], queues[i % QUEUES], count);
		completion_post(&c[i]);
		ck_assert(readable(0));
		ck_assert(readable(0));
	}
	/* One poll does not run as many. */
	while (done < ARRAY_SIZE(c)) {
		ck_assert(readable(0));
		x->ops->poll(x, 0);
	}
	run();
	ck_assert(!readable(0));
	end();
}
END_TEST

static struct timer timers[2];
static uint64_t deadline;

static void arm(struct completion *c)
{
	for (unsigned i = 0; i < 2; i++) {
		completion_init(&timers[i].done, queues[0], count);
		timers[i].deadline_ns = deadline + i * NS_PER_SEC * 1000;
		x->ops->timer_arm(x, &timers[i]);
	}
}

static void disarm(struct completion *c)
{
	ck_assert(x->ops->timer_disarm(x, &timers[1]));
}

/* The earliest counts, and none is forgotten when it goes. */
START_TEST(timer)
{
	struct completion c;
	bool early;

	begin();
	for (unsigned round = 0; round < 20; round++) {
		done = 0;
		deadline = clock_ns() + (round % 4) * NS_PER_MS;
		completion_init(&c, queues[0], arm);
		completion_post(&c);
		x->ops->poll(x, 0);
		early = done == 0 && readable(0);
		if (clock_ns() < deadline)
			ck_assert(!early);
		while (done == 0) {
			ck_assert(readable(NEVER_MS));
			x->ops->poll(x, 0);
		}
		run();
		ck_assert_uint_eq(done, 1);
		ck_assert(!readable(0));
		completion_init(&c, queues[0], disarm);
		completion_post(&c);
		run();
		ck_assert(!readable(0));
	}
	end();
}
END_TEST

/* A device that begins what queues want of it when it is polled, and whose
 * completions come by a descriptor. */
struct device {
	struct poller poller;
	struct completion c;
	bool wanted;
	struct event *told;
};

static int device_poll(struct poller *p, uint64_t timeout_ns)
{
	struct device *d = container_of(p, struct device, poller);
	uint64_t n;

	if (d->wanted) {
		n = 1;
		d->wanted = false;
		ck_assert_int_eq(write(p->fd, &n, sizeof(n)), 8);
	}
	if (p->fd == 0 || read(p->fd, &n, sizeof(n)) < 0)
		return 0;
	completion_post(&d->c);
	return 1;
}

static void device_wake(struct poller *p)
{
}

static void want(struct completion *c)
{
	struct device *d = c->owner;

	d->wanted = true;
	executor_signal(x, d->told);
}

/* Who waits leaves as soon as it may: the device was not polled again. */
static void leave_something(struct device *d)
{
	struct completion c;
	struct event e;

	event_init(&e);
	d->told = &e;
	completion_init(&c, queues[0], want);
	c.owner = d;
	completion_post(&c);
	executor_wait(x, &e);
	ck_assert(d->wanted);
	ck_assert(readable(0));
	ck_assert_uint_eq(run(), 1);
	ck_assert(!readable(0));
}

START_TEST(pollers)
{
	struct device d = {.poller = {.poll = device_poll, .wake = device_wake}};
	uint64_t one = 1;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	ck_assert_int_eq(executor_queue(x, "q", 0, &queues[0]), 0);
	x->ops->poller_add(x, &d.poller);
	ck_assert_int_eq(x->ops->fd(x), -ENOTSUP); /* it has none */
	ck_assert_int_eq(x->ops->fd(x), -ENOTSUP);
	x->ops->poller_remove(x, &d.poller);
	d.poller.fd = eventfd(0, EFD_NONBLOCK);
	completion_init(&d.c, queues[0], count);
	x->ops->poller_add(x, &d.poller);
	fd = x->ops->fd(x);
	run();
	for (unsigned round = 0; round < 10; round++) {
		ck_assert(!readable(0));
		ck_assert_int_eq(write(d.poller.fd, &one, sizeof(one)), 8);
		ck_assert(readable(0));
		ck_assert_uint_eq(run(), 1);
		leave_something(&d);
	}
	x->ops->poller_remove(x, &d.poller);
	close(d.poller.fd);
	end();
}
END_TEST

/*
 * Threads that post, some of them two at a time, while the loop goes to sleep
 * and wakes up again and again: it ends only when all has arrived.
 */
struct sender {
	pthread_t thread;
	unsigned random;
	atomic_uint free; /* the loop has run this many of c[] */
	struct completion c[2];
};

static void arrived(struct completion *c)
{
	struct sender *s = c->owner;

	done++;
	atomic_fetch_add(&s->free, 1);
}

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < POSTS; i += 2) {
		for (unsigned k = 0; k < 2; k++) {
			completion_init(&s->c[k],
					queues[rand_r(&s->random) % QUEUES],
					arrived);
			s->c[k].owner = s;
			completion_post(&s->c[k]);
			if (rand_r(&s->random) % 4 == 0)
				sched_yield();
		}
		while (atomic_load(&s->free) < i + 2)
			sched_yield();
	}
	return NULL;
}

static void *wait_now_and_then(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < POSTS / 10; i++) {
		struct event e;

		event_init(&e);
		if (rand_r(&s->random) % 2 == 0)
			executor_signal(x, &e);
		else
			x->ops->poll(x, 0);
	}
	/* It may have run the last of all: have the loop look around. */
	completion_init(&s->c[0], queues[0], count);
	completion_post(&s->c[0]);
	return NULL;
}

START_TEST(no_wakeup_is_lost)
{
	static struct sender senders[SENDERS + 1];
	unsigned polls = 0;

	begin();
	done = 0;
	for (unsigned i = 0; i <= SENDERS; i++) {
		struct sender *s = &senders[i];

		s->random = (unsigned)_i * 100 + i;
		atomic_init(&s->free, 0);
		pthread_create(&s->thread, NULL,
			       i < SENDERS ? send_all : wait_now_and_then, s);
	}
	while (done < SENDERS * POSTS + 1) {
		ck_assert_msg(readable(NEVER_MS), "seed %d: %u arrived", _i,
			      done);
		x->ops->poll(x, 0);
		polls++;
	}
	for (unsigned i = 0; i <= SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	run();
	run();
	ck_assert(!readable(0));
	ck_assert_uint_gt(polls, 1);
	end();
}
END_TEST

/* The earliest deadline changes, which makes falling asleep take longer. */
static void arrived_and_arm(struct completion *c)
{
	struct timer *t = &timers[0];

	x->ops->timer_disarm(x, t);
	t->deadline_ns = clock_ns() + NS_PER_SEC * 1000;
	x->ops->timer_arm(x, t);
	arrived(c);
}

/*
 * One that posts just when the loop has run what was posted before, and is
 * about to say that it goes to sleep: a little earlier or later each time.
 */
static void *post_at_the_end(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < CLOSE_POSTS; i++) {
		atomic_uint spin = 0;

		while (atomic_load(&s->free) < i)
			;
		while (atomic_load(&spin) < i % 256)
			atomic_fetch_add(&spin, 1);
		completion_init(&s->c[i % 2], queues[0], arrived_and_arm);
		s->c[i % 2].owner = s;
		completion_post(&s->c[i % 2]);
	}
	return NULL;
}

START_TEST(post_while_it_falls_asleep)
{
	static struct sender s;

	begin();
	done = 0;
	atomic_init(&s.free, 0);
	completion_init(&timers[0].done, queues[0], count);
	pthread_create(&s.thread, NULL, post_at_the_end, &s);
	while (done < CLOSE_POSTS) {
		ck_assert_msg(readable(NEVER_MS), "%u arrived", done);
		x->ops->poll(x, 0);
	}
	pthread_join(s.thread, NULL);
	end();
}
END_TEST

/* Others wait inside of the executor meanwhile, as synchronous calls do. */
static void tell(struct completion *c)
{
	executor_signal(x, c->owner);
}

static void *call(void *arg)
{
	for (unsigned i = 0; i < POSTS; i++) {
		struct completion c;
		struct event e;

		event_init(&e);
		completion_init(&c, queues[i % QUEUES], tell);
		c.owner = &e;
		completion_post(&c);
		executor_wait(x, &e);
	}
	atomic_fetch_add((atomic_uint *)arg, 1);
	return NULL;
}

START_TEST(with_callers)
{
	pthread_t threads[SENDERS];
	struct completion c;
	atomic_uint over;

	begin();
	atomic_init(&over, 0);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_create(&threads[i], NULL, call, &over);
	while (atomic_load(&over) < SENDERS) {
		if (readable(0))
			x->ops->poll(x, 0);
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	done = 0;
	run();
	run();
	ck_assert(!readable(0));
	completion_init(&c, queues[0], count);
	completion_post(&c);
	ck_assert(readable(NEVER_MS));
	run();
	ck_assert_uint_eq(done, 1);
	end();
}
END_TEST

/* Also when all standard descriptors are closed. */
START_TEST(standard_descriptors)
{
	int saved[3];

	for (int i = 0; i < 3; i++)
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
	for (int i = 0; i < 3; i++)
		close(i);
	ck_assert_int_eq(executor_inline_create(&x), 0);
	fd = x->ops->fd(x);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fcntl(i, F_GETFD), -1);
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	ck_assert_int_ge(fd, 3);
	end();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("watch");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, level);
	tcase_add_test(tc, timer);
	tcase_add_test(tc, pollers);
	tcase_add_loop_test(tc, no_wakeup_is_lost, 0, (int)unit_share(8));
	tcase_add_test(tc, post_while_it_falls_asleep);
	tcase_add_test(tc, with_callers);
	tcase_add_test(tc, standard_descriptors);
	return unit_run();
}
