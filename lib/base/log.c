/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formats a line on the stack and hands it over; a longer one is cut.
 */
#include "build.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const struct log *log, enum vdo_log_level level, const char *fmt,
	      ...)
{
	char line[512];
	va_list ap;

	if (log == NULL || log->fn == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log->fn(log->arg, level, line);
}
