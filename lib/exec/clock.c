/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both clocks of the system, and deadlines of the one that only goes forward.
 */
#include "build.h"

#include "exec/clock.h"

#include <time.h>

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_deadline(uint64_t timeout_ns)
{
	uint64_t now;

	if (timeout_ns == NO_TIMEOUT)
		return NO_TIMEOUT;
	now = clock_ns();
	return timeout_ns > NO_TIMEOUT - now ? NO_TIMEOUT : now + timeout_ns;
}

uint64_t clock_left(uint64_t deadline_ns)
{
	uint64_t now;

	if (deadline_ns == NO_TIMEOUT)
		return NO_TIMEOUT;
	now = clock_ns();
	return deadline_ns > now ? deadline_ns - now : 0;
}

uint64_t clock_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
