/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Apart from the executors, so that only this folder asks for the time.
 */
#include "build.h"

#include "exec/wallclock.h"

#include <time.h>

uint64_t wallclock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
