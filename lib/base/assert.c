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

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Whoever sets it, sets the same function: it is as good as constant. */
static _Atomic(void (*)(void)) witness;

void assert_set_witness(void (*fn)(void))
{
	atomic_store_explicit(&witness, fn, memory_order_relaxed);
}

void assert_failed(const char *expr, const char *file, int line)
{
	void (*tell)(void);

	fprintf(stderr, "libvdo: %s:%d: assertion failed: %s\n", file, line,
		expr);
	/* It is called once only: it may find something broken itself. */
	tell = atomic_exchange(&witness, NULL);
	if (tell != NULL)
		tell();
	abort();
}
