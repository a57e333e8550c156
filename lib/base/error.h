/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and texts of results (vdo_strerror()), and filling in the caller's
 * struct vdo_error.
 *
 * The message is one sentence or two: what is wrong, then what to do about it.
 * It is escaped as a whole (base/text.h), so that names may go into it as they
 * are.
 * Public calls clear the struct when they begin, so that error_finish() can tell
 * afterwards whether somebody below has set it.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/compiler.h"

/* Forget what an earlier call left in @e; NULL is fine. */
void error_clear(struct vdo_error *e);

/* Set code and message, and return @code; NULL is fine. */
int error_set(struct vdo_error *e, int code, const char *fmt, ...)
	PRINTF(3, 4);
int error_set_list(struct vdo_error *e, int code, const char *fmt, va_list ap)
	PRINTF(3, 0);

/* -EINVAL: the caller left out @argument, which is needed. */
int error_missing(struct vdo_error *e, const char *argument);

/*
 * Has the storage no room for what was written? The file system is full, or the
 * quota, or the file may not become so large. That is no damage.
 */
static inline bool error_is_no_space(int result)
{
	VDO_CHECK(result <= 0);
	return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

/* What to do about a lack of space; "" for any other result. */
const char *error_space_advice(int result);

/*
 * The last word of a public call that takes a struct vdo_error: if @result is
 * an error and nobody below has said more, the message is that of
 * vdo_strerror(). Returns @result.
 */
int error_finish(struct vdo_error *e, int result);

#endif
