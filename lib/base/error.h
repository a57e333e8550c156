/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling in the caller's struct vdo_error.
 *
 * The message is one sentence or two: what is wrong, then what to do about it.
 * Public calls clear the struct when they begin, so that api/errors.h can tell
 * afterwards whether somebody below has set it.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <vdo/error.h>

#include "base/compiler.h"

/* Forget what an earlier call left in @e; NULL is fine. */
void error_clear(struct vdo_error *e);

/* Set code and message, and return @code; NULL is fine. */
int error_set(struct vdo_error *e, int code, const char *fmt, ...)
	PRINTF(3, 4);

#endif
