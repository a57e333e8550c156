/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void error_clear(struct vdo_error *e)
{
	if (e == NULL)
		return;
	e->code = 0;
	e->message[0] = '\0';
}

int error_set(struct vdo_error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	return code;
}
