/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time of day, for what is written to disk: nonces and the age of saves.
 *
 * What waits or measures uses the clock of its executor, which a simulation can
 * turn; the time of day may be set back by anybody. Any thread.
 */
#ifndef EXEC_WALLCLOCK_H
#define EXEC_WALLCLOCK_H

#include <stdint.h>

/* Microseconds since 1970. */
uint64_t wallclock_us(void);

#endif
