/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of the public calls: names and texts of results.
 */
#ifndef API_ERRORS_H
#define API_ERRORS_H

#include "base/error.h"

/*
 * The last word of a public call that takes a struct vdo_error: if @result is
 * an error and nobody below has said more, the message is that of
 * vdo_strerror(). Returns @result.
 */
int error_finish(struct vdo_error *e, int result);

#endif
