/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A completion: one callback, one home queue, a sticky result.
 *
 * The unit of message passing. Whoever owns a completion embeds it in its own
 * operation, says where it wants to go on (home) and what is to run there (fn),
 * and hands the operation to somebody else. That one finishes it, from any
 * thread; fn then runs on home, exactly once.
 *
 * Invariants
 *  (1) A completion is in at most one queue at a time.
 *  (2) result is 0 or the first error that was set since completion_init().
 *  (3) Completions posted by one sender to one queue run in that order. The
 *      sender is a queue or, outside of queues, a thread. The order of the
 *      recovery journal's releases depends on it (I11).
 *  (4) Posting never runs anything at once: no recursion.
 *
 * Convention for operations that are often over at once: a call that returns
 * bool returns true when the operation is over (done is not run; its result is
 * in done.result) and false when done will run later.
 *
 * Runs on: posting from any thread. Lifetime: its owner's.
 */
#ifndef EXEC_COMPLETION_H
#define EXEC_COMPLETION_H

#include <stdatomic.h>

#include "base/assert.h"
#include "exec/mpsc.h"
#include "exec/trace.h"

struct completion;
struct executor;
struct flow;
struct turn;

typedef void (*completion_fn)(struct completion *c);

struct completion {
	struct mpsc_node link;
	completion_fn fn;
	struct queue *home; /* where it was posted, while it is under way */
	void *owner;	    /* what fn needs to know: set by who sets fn */
	int result;	    /* 0 or negative */
};

/* The common head of each executor's serial queue; see executor.h. */
struct queue {
	/* Run c->fn on @q, later. Never fails, never allocates. */
	void (*post)(struct queue *q, struct completion *c);
	/* Post @n completions, linked from @first to @last, whose home is @q.
	 * NULL: one by one. */
	void (*post_all)(struct queue *q, struct completion *first,
			 struct completion *last, unsigned n);
	struct turn *turn; /* of who runs it; NULL: there are none */
	struct executor *executor;
	struct queue *next; /* of the executor's */
	unsigned number;    /* for those who keep something a queue */
	bool spare;	    /* it was released; see executor_release() */
	char name[16];
#ifdef VDO_DEBUG
	atomic_ullong crossings; /* see executor_crossings() */
#endif
	const struct flow *armed; /* private to flow.h */
	struct trace trace;
};

/* The queue that the calling thread is running, or NULL. */
extern _Thread_local struct queue *queue_running
	__attribute__((tls_model("initial-exec")));

/* Something is handed over to @q: count it if that is another queue. */
static inline void queue_note_crossing(struct queue *q)
{
#ifdef VDO_DEBUG
	if (queue_running != q)
		atomic_fetch_add_explicit(&q->crossings, 1,
					  memory_order_relaxed);
#endif
}

/* Run c->fn on @q, which is the home of @c from now on. */
static inline void queue_post(struct queue *q, struct completion *c)
{
	VDO_CHECK(c->fn != NULL);
	queue_note_crossing(q);
	q->post(q, c);
}

/* The completion that is linked after @c. */
static inline struct completion *completion_next(const struct completion *c)
{
	struct mpsc_node *n = atomic_load_explicit(&c->link.next,
						   memory_order_relaxed);

	return n == NULL ? NULL : container_of(n, struct completion, link);
}

static inline void completion_link(struct completion *c,
				   struct completion *next)
{
	atomic_store_explicit(&c->link.next, next == NULL ? NULL : &next->link,
			      memory_order_relaxed);
}

/* Run @n completions, linked from @first to @last, on @q: their home already.
 * With one message, where the executor can. */
static inline void queue_post_all(struct queue *q, struct completion *first,
				  struct completion *last, unsigned n)
{
	VDO_CHECK(n > 0 && first->home == q && last->home == q);
	VDO_CHECK(completion_next(last) == NULL);
	if (q->post_all != NULL) {
		q->post_all(q, first, last, n);
		return;
	}
	while (first != NULL) {
		struct completion *next = completion_next(first);

		queue_post(q, first);
		first = next;
	}
}

static inline void completion_init(struct completion *c, struct queue *home,
				   completion_fn fn)
{
	c->fn = fn;
	c->home = home;
	c->result = 0;
}

/* Remember an error; the first one stays. */
static inline void completion_fail(struct completion *c, int result)
{
	VDO_CHECK(result <= 0);
	if (unlikely(result != 0) && c->result == 0)
		c->result = result;
}

/* Run c->fn on c->home. */
static inline void completion_post(struct completion *c)
{
	VDO_CHECK(c->home != NULL);
	queue_post(c->home, c);
}

/* End an operation: keep the result, and run c->fn on c->home. */
static inline void completion_finish(struct completion *c, int result)
{
	completion_fail(c, result);
	completion_post(c);
}

#endif
