/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the queues from outside of them, and phases.
 */
#include "build.h"

#include "volume/volume_priv.h"

/* A call and its volume. */
struct run {
	struct volume *volume;
	volume_call call;
};

static void run_call(void *arg, struct completion *done)
{
	struct run *run = arg;

	run->call(run->volume, done);
}

int await_run(struct volume *v, struct queue *q, volume_call call)
{
	struct run run = {v, call};

	return await_call(q, run_call, &run);
}

int await_sync(struct volume *v)
{
	struct sync_op op;
	struct await a;

	await_arm(&a, &op.done, v->topology.journal);
	sync_request(&v->sync, &op);
	return await_end(&a);
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
