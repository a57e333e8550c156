/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assertions about our own code.
 *
 * VDO_ASSERT is always on and guards cheap facts: zone ownership, operation
 * state, lengths. VDO_CHECK does its work only with --enable-debug; it is for
 * walks over whole objects, and for most facts that would be looked at for each
 * block: all of them together took 5 % of the instructions of a write. On the
 * path of a block VDO_ASSERT stands where a broken fact would reach the disk.
 * Neither ever guards data read from a device: that is the business of error
 * returns.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/compiler.h"

_Noreturn void assert_failed(const char *expr, const char *file, int line);

/* Have an assertion that fails call @witness before it aborts. */
void assert_set_witness(void (*witness)(void));

#define VDO_ASSERT(expr)                                                       \
	do {                                                                   \
		if (unlikely(!(expr)))                                         \
			assert_failed(#expr, __FILE__, __LINE__);              \
	} while (0)

#ifdef VDO_DEBUG
#define VDO_CHECK(expr) VDO_ASSERT(expr)
#else
#define VDO_CHECK(expr) ((void)sizeof((expr) ? 1 : 0)) /* not evaluated */
#endif

#endif
