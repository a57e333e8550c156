/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One atomic decides who was first; that one tells the storage and the volume.
 * All tell the log: damage met in a volume that is read-only already is as bad
 * as any. What is only a consequence, -VDO_EREADONLY, is none.
 */
#include "build.h"

#include "io/readonly.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "io/device.h"

void readonly_init(struct readonly *r, struct storage *storage,
		   const struct log *log, void (*enter)(void *arg), void *arg)
{
	VDO_ASSERT(storage != NULL);
	r->storage = storage;
	r->log = log;
	atomic_init(&r->reason, 0);
	for (unsigned i = 0; i < READONLY_LINES_MAX; i++)
		atomic_init(&r->lines[i], 0);
	atomic_init(&r->silent, false);
	atomic_init(&r->told, false);
	r->enter = enter;
	r->arg = arg;
}

/* Nobody reads the text before this is over. */
static void keep_text(struct readonly *r, const char *text)
{
	VDO_ASSERT(!atomic_load(&r->told));
	snprintf(r->text, sizeof(r->text), "%s", text);
	atomic_store_explicit(&r->told, true, memory_order_release);
}

void readonly_open(struct readonly *r, const char *why)
{
	VDO_ASSERT(!readonly_entered(r));
	atomic_store(&r->reason, -VDO_EREADONLY);
	storage_set_read_only(r->storage);
	keep_text(r, why);
}

/* What was said before need not be said again: remember the line. */
enum line { LINE_NEW, LINE_KNOWN, LINE_TOO_MANY };

static enum line remember(struct readonly *r, const char *text)
{
	/* FNV-1a */
	unsigned long long name = UINT64_C(0xcbf29ce484222325);

	for (const char *c = text; *c != '\0'; c++)
		name = (name ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	VDO_ASSERT(*text != '\0');
	name |= 1; /* 0 stands for nothing */
	for (unsigned i = 0; i < READONLY_LINES_MAX; i++) {
		unsigned long long there = 0;

		if (atomic_compare_exchange_strong(&r->lines[i], &there, name))
			return LINE_NEW;
		if (there == name)
			return LINE_KNOWN;
	}
	return LINE_TOO_MANY;
}

static const char *advice_for(const struct readonly *r, int reason)
{
	struct vdo_device *d = r->storage->device;

	if (reason == -EIO && d != NULL && device_is_cut(d))
		return "the storage became shorter since it was opened: find "
		       "out who cut it, and restore it from a copy";
	return error_space_advice(reason);
}

static void tell(struct readonly *r, bool first, int reason, const char *text)
{
	const char *advice = advice_for(r, reason);

	VDO_ASSERT(reason < 0 && reason != -VDO_EREADONLY);
	switch (remember(r, text)) {
	case LINE_NEW:
		log_error(r->log, "volume: %s, reason=%d: %s%s%s",
			  first ? "entering read-only mode"
				: "error in read-only mode",
			  reason, text, *advice != '\0' ? "; " : "", advice);
		break;
	case LINE_KNOWN:
		break;
	case LINE_TOO_MANY:
		if (!atomic_exchange(&r->silent, true))
			log_error(r->log, "volume: further errors in read-only "
					  "mode are not logged");
		break;
	}
}

void readonly_enter(struct readonly *r, int reason, const char *fmt, ...)
{
	int none = 0;
	bool first = atomic_compare_exchange_strong(&r->reason, &none, reason);
	char text[256];
	va_list ap;

	VDO_ASSERT(reason < 0);
	VDO_ASSERT(!first || reason != -VDO_EREADONLY);
	if (first)
		storage_set_read_only(r->storage);
	if (reason != -VDO_EREADONLY) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		if (first)
			keep_text(r, text);
		tell(r, first, reason, text);
	}
	if (first && r->enter != NULL)
		r->enter(r->arg);
}
