/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host's thread pool without threads: dice say which task is next. Of a call
 * that does not wait the tasks are left for later steps; whoever waits lets them
 * all go first, and then they run inside of what submits them. The time of a task
 * that was submitted for later comes when nothing else is left.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <vdo/executor.h>

#define TASKS_MAX 256 /* one for each queue is enough */

struct pool {
	struct run *run;
	bool held, running;
	unsigned count;
	struct vdo_task *tasks[TASKS_MAX];
	struct vdo_task *later; /* a tick: there is one at a time */
	uint64_t later_ns;
};

static struct pool pool;

static bool step(void)
{
	unsigned i;
	struct vdo_task *t;

	if (pool.count == 0 && pool.later != NULL) {
		pool.tasks[pool.count++] = pool.later;
		pool.later = NULL;
		clock_go_on(pool.later_ns);
	}
	if (pool.count == 0)
		return false;
	i = (unsigned)dice(pool.run, pool.count);
	t = pool.tasks[i];
	pool.tasks[i] = pool.tasks[--pool.count];
	pool.running = true;
	t->run(t);
	pool.running = false;
	return true;
}

static void submit(void *arg, struct vdo_task *task)
{
	(void)arg;
	if (pool.count == TASKS_MAX)
		die(pool.run, "too many tasks");
	pool.tasks[pool.count++] = task;
	while (!pool.held && !pool.running && step())
		continue;
}

static void submit_later(void *arg, struct vdo_task *task, uint64_t delay_ns)
{
	(void)arg;
	if (pool.later != NULL)
		submit(arg, pool.later); /* too early does no harm */
	pool.later = task;
	pool.later_ns = clock_now() + delay_ns;
	while (!pool.held && !pool.running && step())
		continue;
}

const struct vdo_pool_ops *pool_begin(struct run *r)
{
	static const struct vdo_pool_ops ops = {
		.size = sizeof(ops),
		.submit = submit,
		.submit_later = submit_later,
	};

	pool = (struct pool){.run = r};
	return &ops;
}

void pool_hold(bool on)
{
	pool.held = on;
	while (!on && step())
		continue;
}

uint64_t pool_run(uint64_t steps)
{
	uint64_t n = 0;

	while (n < steps && step())
		n++;
	return n;
}
