/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executors: where queues run.
 *
 * A queue is serial: it runs one completion at a time, in the order in which
 * they were posted (see completion.h). Everything the engine knows about
 * threads, time and waiting goes through this table; it cannot tell the four
 * implementations apart:
 *
 *   native   its own threads, each with an inbox; queues bound to threads
 *   strand   over a thread pool of the host; each queue a serial strand
 *   inline   no threads; whoever waits or polls runs the queues
 *   sim      tests only: one thread, a seed decides the order, virtual time
 *
 * Runs on: any thread unless said otherwise.
 * Lifetime: an executor is made before and destroyed after all its queues'
 * users; executor_destroy() first lets everything posted run. Timers that are
 * armed then need not go off any more. Queues and threads come and go meanwhile,
 * but their memory stays: whoever has just posted to one still looks at it.
 */
#ifndef EXEC_EXECUTOR_H
#define EXEC_EXECUTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vdo/executor.h>

#include "base/compiler.h"
#include "exec/completion.h"
#include "exec/event.h"

struct help;
struct native_config;

/* A single-shot timer of one queue; intrusive. */
struct timer {
	struct completion done; /* runs on its home when the time has come */
	uint64_t deadline_ns;   /* of executor_now() */
	bool armed;             /* private to the executor */
	struct timer *next;     /* private to the executor */
};

/*
 * Somebody who produces completions from outside of the queues and must be
 * polled while no thread of ours exists (io_uring under the inline executor).
 * poll() posts what is ready; with @timeout_ns != 0 it may block that long
 * (UINT64_MAX: until something happens or wake() is called). It returns the
 * number of things that happened.
 */
struct poller {
	int (*poll)(struct poller *p, uint64_t timeout_ns);
	/* Any thread: end a blocking poll, also one that is about to begin. */
	void (*wake)(struct poller *p);
	/* Readable while poll() would find something, if all was polled that
	 * queues had started before; 0: there is none. */
	int fd;
	struct poller *next; /* private to the executor */
};

struct vdo_executor_ops {
	const char *name;

	/*
	 * Run what @h took (help.h) as long as it may; then say that there is
	 * no help any more, and leave the rest to the executor's threads. NULL:
	 * whoever waits runs the queues anyway.
	 */
	void (*help)(struct executor *x, struct help *h);

	/*
	 * Make a serial queue. @thread is a hint: queues with the same number
	 * share a thread where threads are the executor's own (taken modulo
	 * their count). @name is at most 15 characters.
	 */
	int (*queue_create)(struct executor *x, const char *name,
			    unsigned thread, struct queue **queue);

	/* Have @q, which nobody uses, be as one that was made for @thread. NULL:
	 * it is anyway. */
	void (*queue_move)(struct queue *q, unsigned thread);

	/* See executor_resize() and executor_trim(); NULL: threads are not its
	 * business. */
	int (*resize)(struct executor *x, const struct native_config *config);
	void (*trim)(struct executor *x);

	/* Block the calling thread until @e is set, running queues if that is
	 * the caller's job. Not from inside of a queue. */
	void (*wait)(struct executor *x, struct event *e);

	/* Set @e and wake whoever waits for it. */
	void (*signal)(struct executor *x, struct event *e);

	/* Run what is ready, without threads of our own; block up to
	 * @timeout_ns if nothing is. Returns the number of completions run.
	 * Executors with threads return 0 at once. */
	unsigned (*poll)(struct executor *x, uint64_t timeout_ns);

	/* A descriptor that is readable while poll() would run something, or
	 * may do so; -ENOTSUP, -errno. May be NULL: -ENOTSUP. Any thread. */
	int (*fd)(struct executor *x);

	/* Timers: on the timer's home queue only. Disarming a timer that is
	 * not armed is harmless; disarm returns false if its completion is
	 * already on its way. */
	void (*timer_arm)(struct executor *x, struct timer *t);
	bool (*timer_disarm)(struct executor *x, struct timer *t);

	uint64_t (*now)(struct executor *x);    /* ns, monotonic */
	uint64_t (*random)(struct executor *x); /* not secret */

	/* May be NULL: then pollers need a thread of their own. Not while
	 * another thread waits or polls. */
	void (*poller_add)(struct executor *x, struct poller *p);
	void (*poller_remove)(struct executor *x, struct poller *p);

	/* Let everything posted run, join threads, free queues and @x. */
	void (*destroy)(struct executor *x);
};

struct executor {
	const struct vdo_executor_ops *ops;
	atomic_uint thread_count; /* of its own or, with a pool, concurrency */
	_Atomic(struct queue *) queues; /* all, the newest first */
#ifdef VDO_DEBUG
	atomic_ullong wakeups; /* see executor_wakeups() */
#endif
};

static inline bool queue_is_current(const struct queue *q)
{
	return queue_running == q;
}

/*
 * For what is divided so that threads do not fight for it: the share of the
 * queue that we run on, of all others the first. Queues may have one in common.
 */
#define QUEUE_LANES 8u

static inline unsigned queue_own_lane(void)
{
	return queue_running == NULL ? 0 : queue_running->number % QUEUE_LANES;
}

/* Run one completion as @q; for implementations. */
static inline void queue_run(struct queue *q, struct completion *c)
{
	VDO_CHECK(queue_running == NULL && c->home == q);
	queue_running = q;
	c->fn(c);
	queue_running = NULL;
}

static inline void executor_wait(struct executor *x, struct event *e)
{
	VDO_CHECK(queue_running == NULL);
	x->ops->wait(x, e);
}

static inline void executor_signal(struct executor *x, struct event *e)
{
	x->ops->signal(x, e);
}

static inline uint64_t executor_now(struct executor *x)
{
	return x->ops->now(x);
}

/* A spin_us that is good on machines with few cores and with many. */
#define NATIVE_SPIN_US 20

/*
 * How to make an executor with threads of its own. 0 threads mean one a core.
 * The names of the threads begin with @name_prefix, at most 7 characters. No
 * signal runs on them.
 */
struct native_config {
	unsigned threads;
	bool pin;           /* bind thread i to core i */
	unsigned spin_us;   /* spin at most this long before going to sleep;
			     * less or not at all when that was in vain */
	const char *name_prefix;
};

int executor_native_create(const struct native_config *config,
			   struct executor **x) MUST_CHECK;
int executor_strand_create(const struct vdo_pool_ops *pool, void *pool_arg,
			   struct executor **x) MUST_CHECK;
int executor_inline_create(struct executor **x) MUST_CHECK;

/*
 * A queue that was released, or a new one; see queue_create(). Queues are made and
 * released by one thread at a time, outside of the queues.
 */
int executor_queue(struct executor *x, const char *name, unsigned thread,
		   struct queue **queue) MUST_CHECK;

/*
 * Nobody posts to these @n queues any more: executor_queue() may give them to
 * others. What was posted runs first.
 */
void executor_release(struct executor *x, struct queue **queues, unsigned n);

/*
 * Have threads as executor_native_create() would, or ask the host's pool for its
 * concurrency again. Queues that are made from now on are on as many threads;
 * others stay where they are, until they are released, and executor_trim() ends the
 * threads that are too many then. After an error all is as before. What was the
 * case until then can always be had again.
 */
int executor_resize(struct executor *x,
		    const struct native_config *config) MUST_CHECK;
void executor_trim(struct executor *x);

/*
 * How often something was handed over so far to a queue of @x by whoever did not
 * run that queue just then: another queue, also one of the same thread, a device,
 * or a caller. Completions count, and requests that arrive at their logical zone.
 * Counted with --enable-debug; else 0. Any thread.
 */
uint64_t executor_crossings(const struct executor *x);

/*
 * How often a thread of @x was woken so far, or the host's pool was given a
 * task, so that queues run. Counted with --enable-debug; else 0. Any thread.
 */
uint64_t executor_wakeups(const struct executor *x);

static inline void executor_note_wakeup(struct executor *x)
{
#ifdef VDO_DEBUG
	atomic_fetch_add_explicit(&x->wakeups, 1, memory_order_relaxed);
#endif
}

/* Lets everything posted run first; NULL is fine. */
void executor_destroy(struct executor *x);

#endif
