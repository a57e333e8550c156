/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the executors share. See executor_priv.h.
 */
#include "build.h"

#include "exec/executor.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exec/executor_priv.h"

_Thread_local struct queue *queue_running
	__attribute__((tls_model("initial-exec")));

void executor_destroy(struct executor *x)
{
	VDO_ASSERT(queue_running == NULL);
	if (x != NULL)
		x->ops->destroy(x);
}

bool futex_wait(atomic_uint *word, unsigned expected, uint64_t timeout_ns)
{
	struct timespec ts, *limit = NULL;

	if (timeout_ns != NO_TIMEOUT) {
		ts.tv_sec = (time_t)(timeout_ns / NS_PER_SEC);
		ts.tv_nsec = (long)(timeout_ns % NS_PER_SEC);
		limit = &ts;
	}
	/* Without a limit no answer of the system is taken for its end. */
	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit,
		       NULL, 0) == 0 ||
	       limit == NULL || errno != ETIMEDOUT;
}

void futex_wake(atomic_uint *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t deadline_after(uint64_t timeout_ns)
{
	uint64_t now;

	if (timeout_ns == NO_TIMEOUT)
		return NO_TIMEOUT;
	now = clock_ns();
	return timeout_ns > NO_TIMEOUT - now ? NO_TIMEOUT : now + timeout_ns;
}

uint64_t time_left(uint64_t deadline_ns)
{
	uint64_t now;

	if (deadline_ns == NO_TIMEOUT)
		return NO_TIMEOUT;
	now = clock_ns();
	return deadline_ns > now ? deadline_ns - now : 0;
}

/* splitmix64: public domain, Sebastiano Vigna. */
uint64_t random_next(_Atomic(uint64_t) *state)
{
	const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = atomic_fetch_add_explicit(state, step,
					       memory_order_relaxed) +
		     step;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t random_seed(const void *address)
{
	return clock_ns() ^ (uint64_t)(uintptr_t)address << 16 ^
	       (uint64_t)getpid() << 48;
}

void queue_init(struct queue *q, struct executor *x, const char *name,
		void (*post)(struct queue *, struct completion *))
{
	size_t n = strlen(name);

	VDO_ASSERT(x->ops != NULL && post != NULL);
	VDO_ASSERT(n < sizeof(q->name));
	memcpy(q->name, name, n + 1);
	q->executor = x;
	q->post = post;
	q->next = atomic_load(&x->queues);
	while (!atomic_compare_exchange_weak(&x->queues, &q->next, q))
		;
	trace_at_assertions();
}

void event_wait(struct event *e)
{
	unsigned v;

	while (!event_is_set(e)) {
		v = EVENT_CLEAR;
		atomic_compare_exchange_strong(&e->set, &v, EVENT_AWAITED);
		if (v == EVENT_SET)
			break;
		futex_wait(&e->set, EVENT_AWAITED, NO_TIMEOUT);
	}
}

void event_set(struct event *e)
{
	/* The waiter may be gone, and the event with it, before we wake. */
	if (atomic_exchange(&e->set, EVENT_SET) == EVENT_AWAITED)
		futex_wake(&e->set, INT_MAX);
}

#define WAIT_SPIN_NS 10000

/*
 * Operations on memory are over sooner than a sleep and a wake-up would take:
 * look a while before sleeping.
 */
void executor_event_wait(struct executor *x, struct event *e)
{
	uint64_t until = clock_ns() + WAIT_SPIN_NS;

	VDO_ASSERT(queue_running == NULL);
	do {
		for (unsigned i = 0; i < 32; i++) {
			if (event_is_set(e))
				return;
			cpu_relax();
		}
	} while (x->thread_count > 1 && clock_ns() < until);
	event_wait(e);
}

void executor_event_set(struct executor *x, struct event *e)
{
	event_set(e);
}

unsigned executor_no_poll(struct executor *x, uint64_t timeout_ns)
{
	return 0;
}

uint64_t executor_clock(struct executor *x)
{
	return clock_ns();
}

void timers_add(struct timers *ts, struct timer *t)
{
	struct timer **p = &ts->first;

	VDO_ASSERT(!t->armed);
	if (ts->first != NULL && ts->last->deadline_ns <= t->deadline_ns)
		p = &ts->last->next;
	while (*p != NULL && (*p)->deadline_ns <= t->deadline_ns)
		p = &(*p)->next;
	VDO_ASSERT(t->done.fn != NULL && t->done.home != NULL);
	t->armed = true;
	t->next = *p;
	*p = t;
	if (t->next == NULL)
		ts->last = t;
}

bool timers_remove(struct timers *ts, struct timer *t)
{
	struct timer *prev = NULL;

	if (!t->armed)
		return false;
	if (ts->first == t) {
		ts->first = t->next;
	} else {
		for (prev = ts->first; prev->next != t; prev = prev->next)
			VDO_ASSERT(prev->next != NULL);
		prev->next = t->next;
	}
	if (ts->last == t)
		ts->last = prev;
	t->armed = false;
	return true;
}

struct timer *timers_take(struct timers *ts, uint64_t now_ns)
{
	struct timer *t = ts->first;

	if (t == NULL || t->deadline_ns > now_ns)
		return NULL;
	VDO_ASSERT(t->armed);
	VDO_ASSERT(t->next == NULL || t->next->deadline_ns >= t->deadline_ns);
	ts->first = t->next;
	t->armed = false;
	return t;
}

void timers_fire(struct timers *ts)
{
	struct timer *t;
	uint64_t now;

	if (likely(ts->first == NULL))
		return;
	now = clock_ns();
	while ((t = timers_take(ts, now)) != NULL)
		completion_post(&t->done);
}

unsigned runq_take_in(struct runq *r, size_t max)
{
	struct mpsc_node *n;
	unsigned i;

	for (i = 0; i < max; i++) {
		n = mpsc_poll(&r->inbox);
		if (n == NULL)
			break;
		runq_push(r, n);
	}
	return i;
}

unsigned runq_run(struct runq *r)
{
	struct completion *c;
	unsigned n;

	VDO_ASSERT(queue_running == NULL);
	runq_take_in(r, RUN_BATCH);
	for (n = 0; n < RUN_BATCH; n++) {
		c = runq_pop(r);
		if (c == NULL)
			break;
		r->ran++;
		queue_run(c->home, c);
	}
	return n;
}
