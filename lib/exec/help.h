/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Help: who is about to wait runs queues meanwhile.
 *
 *	help_begin(&h, x);
 *	...			post
 *	help_end(&h);		run what was taken
 *	...			wait
 *
 * On an idle volume a synchronous call needs no other thread then: its messages
 * find queues whose threads sleep, or strands that are with no thread of the
 * pool, and take them along instead of waking anybody (owner.h, strand.c). What
 * the helper runs may post to others that sleep: it takes those, too, and runs
 * them one after the other, without recursion.
 *
 * No convoy. Queues that somebody runs are not taken, so under load threads
 * keep theirs. A helper gives what it has to the threads after HELP_MAX
 * completions, and at once if help_stop() says that others are at work here
 * too.
 *
 * Invariants
 *  (1) A helper is inside of a call that waits, on a thread that runs no queue.
 *  (2) A helper runs no callback of the user's: who is to run one on a queue
 *      that a helper has (help_given() is not NULL) calls help_stop(), and
 *      posts it to the same queue.
 *  (3) When help_end() returns, the helper has nothing left.
 *
 * Runs on: the helper's thread. Lifetime: on its stack.
 */
#ifndef EXEC_HELP_H
#define EXEC_HELP_H

#include "base/compiler.h"
#include "exec/executor.h"
#include "exec/waitq.h"

/* So many completions a helper runs. A 4 KiB operation takes 5 to 20. */
#define HELP_MAX 64u

struct help {
	struct executor *executor;
	struct waitq taken; /* whose queues we have; the executor's */
	unsigned left;	    /* completions we may run */
};

/* What the calling thread helps with, or NULL. */
extern _Thread_local struct help *help_of_thread
	__attribute__((tls_model("initial-exec")));

static inline struct help *help_given(void)
{
	return help_of_thread;
}

/* May a post to @x take queues? */
static inline struct help *help_for(const struct executor *x)
{
	struct help *h = help_of_thread;

	return h != NULL && h->executor == x && h->left > 0 ? h : NULL;
}

/* Run what was taken, with the table of the executor. */
void help_run(struct help *h);

/*
 * From here to help_end() posts to @x may take queues; not if the executor has
 * no use for it, or the thread helps already.
 */
static inline void help_begin(struct help *h, struct executor *x)
{
	VDO_CHECK(queue_running == NULL);
	if (x->ops->help == NULL || help_of_thread != NULL)
		return;
	h->executor = x;
	h->left = HELP_MAX;
	waitq_init(&h->taken);
	help_of_thread = h;
}

/* No completion after the one that runs. */
static inline void help_stop(struct help *h)
{
	h->left = 0;
}

/* Run what was taken, and leave the rest to others. Nothing, if @h was not
 * begun. */
static inline void help_end(struct help *h)
{
	if (help_of_thread != h)
		return;
	if (waitq_empty(&h->taken))
		help_of_thread = NULL;
	else
		help_run(h);
}

#endif
