/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the executors share besides clock, futexes, events, timers and run
 * queues.
 *
 * Runs on: see each. Lifetime: part of an executor.
 */
#ifndef EXEC_EXECUTOR_PRIV_H
#define EXEC_EXECUTOR_PRIV_H

#include <pthread.h>

#include "exec/clock.h"
#include "exec/event.h"
#include "exec/executor.h"
#include "exec/futex.h"
#include "exec/runq.h"
#include "exec/system.h"
#include "exec/timers.h"

/* The next of a sequence of numbers; any thread. */
uint64_t executor_random_next(_Atomic(uint64_t) *state);

/* A state for executor_random_next() to begin with, different each time. */
uint64_t executor_random_seed(const void *address);

/* Fill in the head of a queue. @name: at most 15 characters, and
 * unambiguous. */
void queue_init(struct queue *q, struct executor *x, const char *name,
		void (*post)(struct queue *, struct completion *));

void queue_set_name(struct queue *q, const char *name);

/* For the tables of executors whose threads do the work. */
void executor_event_wait(struct executor *x, struct event *e);
void executor_event_set(struct executor *x, struct event *e);
unsigned executor_no_poll(struct executor *x, uint64_t timeout_ns);
uint64_t executor_clock(struct executor *x);

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
