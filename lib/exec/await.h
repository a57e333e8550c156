/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the queues from outside of them: the one way to do it.
 *
 *	struct await a;
 *
 *	journal_drain(j, true, await_on(&a, queue));
 *	result = await_end(&a);
 *
 * An op that has a completion of its own is armed instead:
 *
 *	await_arm(&a, &op.done, queue);
 *	sync_request(s, &op);
 *	result = await_end(&a);
 *
 * Runs on: await_end() and await_call() outside of the queues of that executor,
 * the rest anywhere. Lifetime: on the stack of whoever waits.
 */
#ifndef EXEC_AWAIT_H
#define EXEC_AWAIT_H

#include "base/compiler.h"
#include "exec/executor.h"

struct await {
	struct completion done; /* for what has none of its own */
	struct executor *executor;
	struct event event;
	int result;
};

/* Begin a wait that somebody ends with await_tell(). */
void await_init(struct await *a, struct executor *x);

/* End the wait. Whoever waits may be gone when this returns. */
void await_tell(struct await *a, int result);

/* Set @c up to run on @q and end the wait with its result. */
void await_arm(struct await *a, struct completion *c, struct queue *q);

/* A completion of the wait itself that await_arm() was called for. */
struct completion *await_on(struct await *a, struct queue *q);

/* Wait for the end, and return the result that it came with. */
int await_end(struct await *a);

/* Run @call on @q, and wait until it or somebody later has finished @done. */
typedef void (*await_call_fn)(void *arg, struct completion *done);
int await_call(struct queue *q, await_call_fn call, void *arg);

#endif
