/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the executors share: futexes, the clock, events on futexes, lists of
 * timers, and the run queue of whoever runs completions.
 *
 * A run queue is an inbox for everybody and a run list for its one runner.
 * The runner moves what came in to the end of the list, a bounded number at a
 * time, and runs a bounded number from its head, so neither the others nor
 * its own posts can starve.
 *
 * Runs on: see each. Lifetime: part of an executor.
 */
#ifndef EXEC_EXECUTOR_PRIV_H
#define EXEC_EXECUTOR_PRIV_H

#include <pthread.h>

#include "exec/executor.h"
#include "exec/system.h"

#define NO_TIMEOUT UINT64_MAX
#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

/* How many completions are taken in or run before looking at other things. */
#define RUN_BATCH 64

/*
 * Sleep while *word is @expected, at most @timeout_ns. May return early. False
 * when the time is over.
 */
bool futex_wait(atomic_uint *word, unsigned expected, uint64_t timeout_ns);

/* Wake up to @count sleepers. The word itself may be gone already. */
void futex_wake(atomic_uint *word, int count);

uint64_t clock_ns(void);

/* clock_ns() + @timeout_ns, or NO_TIMEOUT. */
uint64_t deadline_after(uint64_t timeout_ns);

/* The rest until @deadline_ns, 0 if it is over. */
uint64_t time_left(uint64_t deadline_ns);

/* The next of a sequence of numbers; any thread. */
uint64_t random_next(_Atomic(uint64_t) *state);

/* Something different each time, to start such a sequence. */
uint64_t random_seed(const void *address);

/* Queue names: at most 15 characters and unambiguous. */
void queue_init(struct queue *q, struct executor *x, const char *name,
		void (*post)(struct queue *, struct completion *));

/* wait() and signal() for executors whose threads do the work. */
void event_wait(struct event *e);
void event_set(struct event *e);

/* Both as executors with threads need them in their table. */
void executor_event_wait(struct executor *x, struct event *e);
void executor_event_set(struct executor *x, struct event *e);
unsigned executor_no_poll(struct executor *x, uint64_t timeout_ns);
uint64_t executor_clock(struct executor *x);

/*
 * Timers by deadline; equal deadlines in the order of arming. Long lists are
 * expected to be armed in about the order of their deadlines: then arming and
 * disarming are cheap. No locks.
 */
struct timers {
	struct timer *first;
	struct timer *last;
};

void timers_add(struct timers *ts, struct timer *t);

/* False if @t is not armed. */
bool timers_remove(struct timers *ts, struct timer *t);

/* Take the first timer if its time has come at @now_ns. */
struct timer *timers_take(struct timers *ts, uint64_t now_ns);

/* Post all whose time has come. */
void timers_fire(struct timers *ts);

/* The earliest deadline, or NO_TIMEOUT. */
static inline uint64_t timers_next(const struct timers *ts)
{
	return ts->first == NULL ? NO_TIMEOUT : ts->first->deadline_ns;
}

struct runq {
	struct mpsc inbox;	 /* any thread puts, the runner polls */
	struct mpsc_node *first; /* the rest is the runner's */
	struct mpsc_node *last;
	uint64_t ran; /* how many ever, each counted before it runs */
};

static inline void runq_init(struct runq *r)
{
	mpsc_init(&r->inbox);
	r->first = NULL;
	r->last = NULL;
	r->ran = 0;
}

/* The runner only. */
static inline void runq_push(struct runq *r, struct mpsc_node *n)
{
	atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
	if (r->first == NULL)
		r->first = n;
	else
		atomic_store_explicit(&r->last->next, n, memory_order_relaxed);
	r->last = n;
}

/* The runner only; NULL if there is none. */
static inline struct completion *runq_pop(struct runq *r)
{
	struct mpsc_node *n = r->first;

	if (n == NULL)
		return NULL;
	r->first = atomic_load_explicit(&n->next, memory_order_relaxed);
	return container_of(n, struct completion, link);
}

/* Nothing here, and no put begun; see mpsc_empty(). */
static inline bool runq_empty(const struct runq *r)
{
	return r->first == NULL && mpsc_empty(&r->inbox);
}

/* The runner only: take in up to @max; returns how many came. */
unsigned runq_take_in(struct runq *r, size_t max);

/* Take in and run one batch on the targets; returns how many ran. */
unsigned runq_run(struct runq *r);

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
