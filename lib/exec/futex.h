/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping until a word changes, and waking who sleeps on it.
 *
 * Runs on: any thread.
 */
#ifndef EXEC_FUTEX_H
#define EXEC_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Sleep while *word is @expected, at most @timeout_ns (NO_TIMEOUT: for ever). May
 * return early. False when the time is over.
 */
bool futex_wait(atomic_uint *word, unsigned expected, uint64_t timeout_ns);

/* Wake up to @count sleepers. The word itself may be gone already. */
void futex_wake(atomic_uint *word, int count);

#endif
