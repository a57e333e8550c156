/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time.
 *
 * clock_wall_us() is for what is written to disk: nonces and the age of saves.
 * Anybody may set it back. All else is for executors: whoever waits or measures
 * asks the clock of the executor (executor_now()), which a simulation can turn.
 *
 * Runs on: any thread.
 */
#ifndef EXEC_CLOCK_H
#define EXEC_CLOCK_H

#include <stdint.h>

#define NO_TIMEOUT UINT64_MAX
#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

/* Microseconds since 1970. */
uint64_t clock_wall_us(void);

/* Nanoseconds since some moment; never goes back. */
uint64_t clock_ns(void);

/* clock_ns() + @timeout_ns, or NO_TIMEOUT. */
uint64_t clock_deadline(uint64_t timeout_ns);

/* The rest until @deadline_ns, 0 if it is over. */
uint64_t clock_left(uint64_t deadline_ns);

#endif
