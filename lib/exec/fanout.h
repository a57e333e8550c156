/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fan-out: run a function on several queues at once, then go on when all of
 * them said they are done.
 *
 * fanout_start() runs the function as part i on queue i. It does its work there,
 * now or later, and calls fanout_part_done() from any thread. The last part
 * finishes a completion of the caller's choice with the first error.
 *
 * A part is found from its completion by fanout_part_of(); part->number says
 * which one it is, part->fanout, embedded in its owner, whose.
 *
 * Lifetime: the memory is the caller's and must live until the end is told.
 */
#ifndef EXEC_FANOUT_H
#define EXEC_FANOUT_H

#include <stdatomic.h>

#include "base/compiler.h"
#include "exec/completion.h"

struct fanout {
	struct completion done;  /* for owners who have none of their own */
	struct completion *then; /* is finished at the end; NULL: idle */
	atomic_uint pending;
	atomic_int result;
};

struct fanout_part {
	struct completion run;
	struct fanout *fanout;
	unsigned number;
};

/*
 * Run @fn as parts[0 .. count - 1] on the queues with the same numbers; then
 * finish @then. With @count 0 that is at once. The pointers to the queues are
 * @stride bytes apart.
 */
void fanout_start(struct fanout *f, struct fanout_part *parts,
		  struct queue *const *queues, size_t stride, unsigned count,
		  completion_fn fn, struct completion *then);

/* fanout_start() on the queues of @zones, an array of structures with a member
 * "queue". */
#define fanout_zones(f, parts, zones, count, fn, then)                         \
	fanout_start((f), (parts), &(zones)->queue, sizeof(*(zones)), (count), \
		     (fn), (then))

void fanout_part_done(struct fanout_part *part, int result);

static inline struct fanout_part *fanout_part_of(struct completion *c)
{
	return container_of(c, struct fanout_part, run);
}

#endif
