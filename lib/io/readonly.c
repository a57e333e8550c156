/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One atomic decides who was first; that one tells the storage and the volume.
 */
#include "build.h"

#include "io/readonly.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* What the reason alone does not tell. */
static const char *advice(int reason)
{
	if (reason == -ENOSPC || reason == -EDQUOT)
		return "; the file system that holds the volume is full: free "
		       "space there first";
	return "";
}

void readonly_init(struct readonly *r, struct storage *storage,
		   const struct log *log, void (*enter)(void *arg), void *arg)
{
	r->storage = storage;
	r->log = log;
	atomic_init(&r->reason, 0);
	r->enter = enter;
	r->arg = arg;
}

void readonly_enter(struct readonly *r, int reason, const char *fmt, ...)
{
	char text[256];
	int expected = 0;
	va_list ap;

	VDO_ASSERT(reason < 0);
	if (!atomic_compare_exchange_strong(&r->reason, &expected, reason))
		return;
	VDO_ASSERT(reason != -VDO_EREADONLY);
	storage_set_read_only(r->storage);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error(r->log, "volume: entering read-only mode, reason=%d: %s%s",
		  reason, text, advice(reason));
	if (r->enter != NULL)
		r->enter(r->arg);
}
