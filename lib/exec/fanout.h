/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fan-out: run a function on several queues at once, then go on when all of
 * them said they are done.
 *
 * fanout_start() posts part i to its queue; the part's fn does its work there,
 * now or later, and calls fanout_part_done() from any thread. The last one
 * finishes fanout->done, with the first error.
 *
 * Lifetime: the memory is the caller's and must live until done runs.
 */
#ifndef EXEC_FANOUT_H
#define EXEC_FANOUT_H

#include <stdatomic.h>

#include "exec/completion.h"

struct fanout {
	struct completion done; /* set up by the caller */
	atomic_uint pending;
	atomic_int result;
};

struct fanout_part {
	struct completion run; /* home and fn set up by the caller */
	struct fanout *fanout;
	void *arg; /* the caller's */
};

/* Post all @count parts. With @count 0, done is posted at once. */
void fanout_start(struct fanout *f, struct fanout_part *parts, unsigned count);

void fanout_part_done(struct fanout_part *part, int result);

#endif
