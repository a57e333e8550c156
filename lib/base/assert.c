/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last words of a broken invariant.
 *
 * The one place of the library that writes to standard error and aborts: an
 * assertion means that our own memory can no longer be trusted, and going on
 * could write garbage to the volume.
 */
#include "build.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "libvdo: %s:%d: assertion failed: %s\n", file, line,
		expr);
	abort();
}
