/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines for the host.
 *
 * One line per event, "component: fact, key=value", handed to the callback of
 * the host; without one it is dropped. Never called on the path of a request
 * without a rate limit.
 *
 * Runs on: any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <vdo/log.h>

#include "base/compiler.h"

struct log {
	vdo_log_fn fn; /* NULL: nobody listens */
	void *arg;
};

void log_line(const struct log *log, enum vdo_log_level level, const char *fmt,
	      ...) PRINTF(3, 4);

#define log_error(log, ...)   log_line(log, VDO_LOG_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line(log, VDO_LOG_WARNING, __VA_ARGS__)
#define log_info(log, ...)    log_line(log, VDO_LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...)   log_line(log, VDO_LOG_DEBUG, __VA_ARGS__)

#endif
