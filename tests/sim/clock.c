/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time and chance of a run. The linker has whoever asks the system for them come
 * here (--wrap, local.mk): so nonces, names and what executors draw follow from
 * the seed. On the pool time stands still until somebody makes it go on.
 */
#include "build.h"

#include <stdbool.h>
#include <string.h>

#include "tests/sim/sim.h"

uint64_t __real_clock_ns(void);
uint64_t __wrap_clock_ns(void);
uint64_t __wrap_clock_wall_us(void);
uint64_t __wrap_executor_random_seed(const void *address);
int __wrap_system_random(void *p, size_t n);

static uint64_t drawn; /* of the run */
static uint64_t now;   /* ns; 0: the time of the system */

void clock_begin(uint64_t seed)
{
	drawn = seed;
	now = 0;
}

void clock_stop(bool on)
{
	now = on ? UINT64_C(1) << 40 : 0;
}

uint64_t clock_now(void)
{
	return now;
}

void clock_go_on(uint64_t ns)
{
	now = MAX(now, ns);
}

uint64_t __wrap_clock_ns(void)
{
	return now != 0 ? now : __real_clock_ns();
}

uint64_t __wrap_clock_wall_us(void)
{
	return (UINT64_C(1) << 50) + pattern_random(&drawn, UINT64_C(1) << 40);
}

uint64_t __wrap_executor_random_seed(const void *address)
{
	(void)address;
	return pattern_random(&drawn, UINT64_MAX);
}

int __wrap_system_random(void *p, size_t n)
{
	uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)pattern_random(&drawn, 256);
	return 0;
}
