/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-only mode: the way any component says "this volume must not be written
 * any more".
 *
 * The first reason wins, and is kept in words. From that moment storage refuses all writes (I42), so
 * what waits for I/O ends with -VDO_EREADONLY by itself; the volume's upcall
 * then visits each zone's queue so that what waits for something else is
 * released too, and records the state in the super block, unless nothing but
 * space is missing.
 *
 * A volume that is opened read-only has the reason -VDO_EREADONLY, which no
 * error is: nothing was written since, so nothing can be lost.
 *
 * Runs on: any thread. Lifetime: the volume's.
 */
#ifndef IO_READONLY_H
#define IO_READONLY_H

#include <errno.h>
#include <stdatomic.h>

#include <vdo/error.h>

#include "base/error.h"
#include "base/log.h"
#include "io/mio.h"

/* Different errors that are logged while a volume is open. */
#define READONLY_LINES_MAX 20u

struct readonly {
	struct storage *storage;
	const struct log *log;
	atomic_int reason; /* 0: writable */
	/* By hash, what was logged; 0: nothing yet. */
	atomic_ullong lines[READONLY_LINES_MAX];
	atomic_bool silent;
	char text[256]; /* the first reason, once it is told */
	atomic_bool told;
	void (*enter)(void *arg); /* the upcall, once */
	void *arg;
};

void readonly_init(struct readonly *r, struct storage *storage,
		   const struct log *log, void (*enter)(void *arg), void *arg);

/* Be in that mode from the start, for no error: @why. Before anybody can
 * enter. */
void readonly_open(struct readonly *r, const char *why);

/*
 * Enter read-only mode because of @reason (negative): one line of log, also where
 * that mode was entered before, unless the same was logged already.
 * -VDO_EREADONLY, the consequence of an earlier error, is not logged.
 */
void readonly_enter(struct readonly *r, int reason, const char *fmt, ...)
	PRINTF(3, 4);

/* 0 while it is writable. */
static inline int readonly_reason(const struct readonly *r)
{
	return atomic_load_explicit(&r->reason, memory_order_relaxed);
}

/* The same in words; "" while it is writable, and for a moment after. */
static inline const char *readonly_text(const struct readonly *r)
{
	return atomic_load_explicit(&r->told, memory_order_acquire) ? r->text
								    : "";
}

static inline bool readonly_entered(const struct readonly *r)
{
	return readonly_reason(r) != 0;
}

/* Did the storage have no space? Then nothing is damaged. */
static inline bool readonly_for_space(const struct readonly *r)
{
	return error_is_no_space(readonly_reason(r));
}

/* Did the volume become read-only while it was open? */
static inline bool readonly_by_error(const struct readonly *r)
{
	int reason = readonly_reason(r);

	return reason != 0 && reason != -VDO_EREADONLY;
}

#endif
