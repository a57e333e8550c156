/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the queues from outside of them, and phases.
 */
#include "build.h"

#include "volume/volume_priv.h"

static void await_done(struct completion *c)
{
	struct await *a = container_of(c, struct await, done);

	executor_signal(a->executor, &a->event);
}

void await_init(struct await *a, struct volume *v)
{
	completion_init(&a->done, v->topology.journal, await_done);
	event_init(&a->event);
	a->executor = v->executor;
}

int await_end(struct await *a)
{
	executor_wait(a->executor, &a->event);
	return a->done.result;
}

struct call {
	struct completion go;
	struct await await;
	struct volume *volume;
	await_call run;
};

static void run_call(struct completion *c)
{
	struct call *call = container_of(c, struct call, go);

	call->run(call->volume, &call->await.done);
}

int await_run(struct volume *v, struct queue *q, await_call run)
{
	struct call call = {.volume = v, .run = run};

	await_init(&call.await, v);
	completion_init(&call.go, q, run_call);
	completion_post(&call.go);
	return await_end(&call.await);
}

struct sync_await {
	struct sync_op op;
	struct event event;
	struct executor *executor;
};

static void sync_done(struct completion *c)
{
	struct sync_await *a = container_of(c, struct sync_await, op.done);

	executor_signal(a->executor, &a->event);
}

int await_sync(struct volume *v)
{
	struct sync_await a = {.executor = v->executor};

	event_init(&a.event);
	completion_init(&a.op.done, v->topology.journal, sync_done);
	sync_request(&v->sync, &a.op);
	executor_wait(v->executor, &a.event);
	return a.op.done.result;
}

int phases_run(struct volume *v, const struct phase *phases)
{
	for (; phases->run != NULL; phases++) {
		int result = phases->run(v);

		if (result != 0) {
			log_error(&v->log, "volume: %s failed, result=%d",
				  phases->name, result);
			return result;
		}
	}
	return 0;
}
