/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The executor of the tests: one thread, virtual time, and a seed that decides
 * which queue runs next.
 *
 * Invariants
 *  (1) The same seed and the same calls give the same run, on any machine.
 *  (2) Each queue is FIFO, hence each sender's order is kept; nothing else is.
 *  (3) Time passes only by running: a little with each step and, when nothing
 *      is ready, at once to the next timer or event.
 *
 * wait() with nothing ready, no timer and no event is a deadlock: it prints
 * the seed and aborts. So does posting a completion that is queued already,
 * and posting from another thread.
 *
 * Runs on: the thread that created it.
 * Lifetime: executor_destroy(). Events that did not come are forgotten.
 */
#ifndef TESTS_SIM_EXEC_H
#define TESTS_SIM_EXEC_H

#include "exec/executor.h"

/* Never fails: aborts without memory. */
struct executor *sim_executor_create(uint64_t seed);

uint64_t sim_executor_seed(struct executor *x);

/* The next number of the seed's sequence, below @limit (not 0). */
uint64_t sim_executor_random(struct executor *x, uint64_t limit);

/*
 * Something from outside of the queues, such as a finished I/O. fn runs
 * outside of any queue; it may post and schedule. Intrusive, single-shot.
 * Zero-initialise.
 */
struct sim_event {
	void (*fn)(struct sim_event *ev);
	uint64_t due_ns;	/* private, as the rest */
	bool scheduled;
	struct sim_event *next;
};

/* Call ev->fn @delay_ns from now; equal times in the order of scheduling. */
void sim_executor_schedule(struct executor *x, struct sim_event *ev,
			   uint64_t delay_ns);

/* The same at a time that the seed picks within @delay_max_ns. */
void sim_executor_schedule_within(struct executor *x, struct sim_event *ev,
				  uint64_t delay_max_ns);

/* False if it was not scheduled (any more). */
bool sim_executor_cancel(struct executor *x, struct sim_event *ev);

/*
 * Make up to @steps steps (one completion, timer or event each), letting time
 * pass as needed. Returns how many there were: fewer if nothing is left.
 */
uint64_t sim_executor_run(struct executor *x, uint64_t steps);

/* Drop everything queued, armed and scheduled, as if the process had died. */
void sim_executor_drop(struct executor *x);

#endif
