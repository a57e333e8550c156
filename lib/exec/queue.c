/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of each executor's queues: its name, its way to be posted to, and its
 * place in the list of all.
 */
#include "build.h"

#include <string.h>

#include "exec/executor_priv.h"

_Thread_local struct queue *queue_running
	__attribute__((tls_model("initial-exec")));

void queue_set_name(struct queue *q, const char *name)
{
	size_t n = strlen(name);

	VDO_ASSERT(n < sizeof(q->name));
	memcpy(q->name, name, n + 1);
}

void queue_init(struct queue *q, struct executor *x, const char *name,
		void (*post)(struct queue *, struct completion *))
{
	VDO_ASSERT(x->ops != NULL && post != NULL);
	queue_set_name(q, name);
	q->executor = x;
	q->post = post;
	q->next = atomic_load(&x->queues);
	while (!atomic_compare_exchange_weak(&x->queues, &q->next, q))
		;
	trace_at_assertions();
}
