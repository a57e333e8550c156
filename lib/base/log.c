/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line is put together on the stack, escaped (base/text.h) and handed over.
 * What is too long is cut.
 */
#include "build.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

void log_line(const struct log *log, enum vdo_log_level level, const char *fmt,
	      ...)
{
	char text[512], line[sizeof(text)];
	va_list ap;

	VDO_ASSERT(level <= VDO_LOG_DEBUG);
	if (log == NULL || log->fn == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_escape(line, sizeof(line), text);
	/* The host is promised one line without commands. */
	VDO_CHECK(strpbrk(line, "\n\r\033") == NULL);
	log->fn(log->arg, level, line);
}
