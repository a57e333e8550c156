/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that is cancelled in the middle of a completion would take the queue
 * with it, so that has to wait until the queues are given back.
 */
#include "build.h"

#include "exec/help.h"

#include <pthread.h>

_Thread_local struct help *help_of_thread
	__attribute__((tls_model("initial-exec")));

void help_run(struct help *h)
{
	int before;

	VDO_ASSERT(help_of_thread == h && queue_running == NULL);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	h->executor->ops->help(h->executor, h);
	VDO_ASSERT(help_of_thread == NULL && waitq_empty(&h->taken));
	pthread_setcancelstate(before, NULL);
}
