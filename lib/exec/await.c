/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A completion that signals an event. Whoever waits owns both, so neither is
 * touched after the signal.
 */
#include "build.h"

#include "exec/await.h"

void await_init(struct await *a, struct executor *x)
{
	VDO_ASSERT(x != NULL);
	a->executor = x;
	event_init(&a->event);
}

void await_tell(struct await *a, int result)
{
	VDO_CHECK(result <= 0);
	VDO_CHECK(!event_is_set(&a->event)); /* once */
	a->result = result;
	executor_signal(a->executor, &a->event);
}

static void await_done(struct completion *c)
{
	VDO_CHECK(queue_is_current(c->home));
	await_tell(c->owner, c->result);
}

void await_arm(struct await *a, struct completion *c, struct queue *q)
{
	await_init(a, q->executor);
	completion_init(c, q, await_done);
	c->owner = a;
}

struct completion *await_on(struct await *a, struct queue *q)
{
	await_arm(a, &a->done, q);
	return &a->done;
}

int await_end(struct await *a)
{
	VDO_ASSERT(queue_running == NULL); /* it would wait for itself */
	executor_wait(a->executor, &a->event);
	return a->result;
}

struct call {
	struct completion go;
	struct await await;
	await_call_fn run;
	void *arg;
};

static void call_runs(struct completion *c)
{
	struct call *call = container_of(c, struct call, go);

	VDO_CHECK(queue_is_current(c->home));
	call->run(call->arg, &call->await.done);
}

int await_call(struct queue *q, await_call_fn run, void *arg)
{
	struct call call = {.run = run, .arg = arg};

	VDO_ASSERT(q != NULL && run != NULL);
	await_on(&call.await, q);
	completion_init(&call.go, q, call_runs);
	completion_post(&call.go);
	return await_end(&call.await);
}
