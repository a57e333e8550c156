/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One descriptor that tells somebody outside that an executor without threads
 * has something to do: an epoll descriptor, in which there are
 *
 *	a bell       an eventfd: readable from watch_ring() to watch_quiet()
 *	a timer      readable from the earliest deadline on
 *	pollers      each has a descriptor that is readable while poll() would
 *	             find something
 *
 * All are level-triggered, and so is the whole.
 *
 * Runs on: watch_ring() any thread, under a lock of the owner's, as
 * watch_quiet(); the rest its owner's runner. Lifetime: part of an executor.
 */
#ifndef EXEC_WATCH_H
#define EXEC_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct poller;

struct watch {
	int epoll_fd; /* what others wait for */
	int bell_fd;
	int timer_fd;
	bool rung;
	uint64_t deadline_ns; /* of the timer; NO_TIMEOUT: none */
};

/* Make a watch, which is rung, for the list of pollers that begins with @p.
 * -ENOTSUP: one has no descriptor; -errno. */
int watch_create(struct poller *p, struct watch **watch) MUST_CHECK;

/* NULL is fine. */
void watch_destroy(struct watch *w);

void watch_ring(struct watch *w);
void watch_quiet(struct watch *w);

/* Have it readable from @deadline_ns on; NO_TIMEOUT: not by time. */
void watch_until(struct watch *w, uint64_t deadline_ns);

#endif
