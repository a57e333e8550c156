/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes into the tables of more than one executor, and random numbers.
 */
#include "build.h"

#include <unistd.h>

#include "exec/await.h"
#include "exec/executor_priv.h"

void executor_destroy(struct executor *x)
{
	VDO_ASSERT(queue_running == NULL);
	if (x != NULL)
		x->ops->destroy(x);
}

int executor_queue(struct executor *x, const char *name, unsigned thread,
		   struct queue **queue)
{
	struct queue *q = atomic_load(&x->queues);

	VDO_ASSERT(queue_running == NULL);
	while (q != NULL && !q->spare)
		q = q->next;
	if (q == NULL)
		return x->ops->queue_create(x, name, thread, queue);
	q->spare = false;
	queue_set_name(q, name);
	if (x->ops->queue_move != NULL)
		x->ops->queue_move(q, thread);
	*queue = q;
	return 0;
}

static void nothing(void *arg, struct completion *done)
{
	completion_post(done);
}

/* A queue is serial: what it ran before ours has returned. */
void executor_release(struct executor *x, struct queue **queues, unsigned n)
{
	VDO_ASSERT(queue_running == NULL);
	for (unsigned i = 0; i < n; i++) {
		VDO_ASSERT(queues[i]->executor == x && !queues[i]->spare);
		(void)await_call(queues[i], nothing, NULL);
	}
	for (unsigned i = 0; i < n; i++)
		queues[i]->spare = true;
}

int executor_resize(struct executor *x, const struct native_config *config)
{
	VDO_ASSERT(queue_running == NULL);
	return x->ops->resize == NULL ? 0 : x->ops->resize(x, config);
}

void executor_trim(struct executor *x)
{
	VDO_ASSERT(queue_running == NULL);
	if (x->ops->trim != NULL)
		x->ops->trim(x);
}

uint64_t executor_crossings(const struct executor *x)
{
	uint64_t sum = 0;

#ifdef VDO_DEBUG
	for (const struct queue *q = atomic_load(&x->queues); q != NULL;
	     q = q->next)
		sum += atomic_load_explicit(&q->crossings,
					    memory_order_relaxed);
#endif
	return sum;
}

uint64_t executor_wakeups(const struct executor *x)
{
#ifdef VDO_DEBUG
	return atomic_load_explicit(&x->wakeups, memory_order_relaxed);
#else
	return 0;
#endif
}

/* splitmix64: public domain, Sebastiano Vigna. */
uint64_t executor_random_next(_Atomic(uint64_t) *state)
{
	const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = atomic_fetch_add_explicit(state, step,
					       memory_order_relaxed) +
		     step;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t executor_random_seed(const void *address)
{
	return clock_ns() ^ (uint64_t)(uintptr_t)address << 16 ^
	       (uint64_t)getpid() << 48;
}

#define WAIT_SPIN_NS 10000

/*
 * Operations on memory are over sooner than a sleep and a wake-up would take:
 * look a while before sleeping.
 */
void executor_event_wait(struct executor *x, struct event *e)
{
	uint64_t until = clock_ns() + WAIT_SPIN_NS;

	VDO_ASSERT(queue_running == NULL);
	do {
		for (unsigned i = 0; i < 32; i++) {
			if (event_is_set(e))
				return;
			cpu_relax();
		}
	} while (atomic_load_explicit(&x->thread_count,
				      memory_order_relaxed) > 1 &&
		 clock_ns() < until);
	event_wait(e);
}

void executor_event_set(struct executor *x, struct event *e)
{
	event_set(e);
}

unsigned executor_no_poll(struct executor *x, uint64_t timeout_ns)
{
	return 0;
}

uint64_t executor_clock(struct executor *x)
{
	return clock_ns();
}
