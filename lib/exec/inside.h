/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting the threads that are inside of something, for whoever wants to free
 * it.
 *
 * A thread that posts has its message taken before its post returns: it still
 * looks whether the receiver sleeps. If the message was the last of all, the
 * receiver may go on to free what the thread looks at. Threads that nothing
 * else waits for say inside_enter() before, inside_leave() after it, and
 * inside_wait() sleeps until no thread is left.
 *
 * Invariants
 *  (1) inside_leave() does not touch the counter after its last decrement: the
 *      memory may be gone.
 *  (2) What a thread did before inside_leave() is seen after inside_wait().
 *
 * Runs on: any thread; one waits at a time, and nobody enters anew meanwhile.
 */
#ifndef EXEC_INSIDE_H
#define EXEC_INSIDE_H

#include <stdatomic.h>

#include "base/assert.h"
#include "base/compiler.h"

#define INSIDE_THREAD  2u
#define INSIDE_AWAITED 1u

struct inside {
	atomic_uint word; /* threads * INSIDE_THREAD, and INSIDE_AWAITED */
};

/* Wake the thread that waits. */
void inside_over(atomic_uint *word);

/* Sleep until no thread is inside. */
void inside_wait(struct inside *i);

static inline void inside_init(struct inside *i)
{
	atomic_init(&i->word, 0);
}

static inline void inside_enter(struct inside *i)
{
	atomic_fetch_add_explicit(&i->word, INSIDE_THREAD,
				  memory_order_relaxed);
}

static inline void inside_leave(struct inside *i)
{
	unsigned before = atomic_fetch_sub_explicit(&i->word, INSIDE_THREAD,
						    memory_order_acq_rel);

	VDO_CHECK(before >= INSIDE_THREAD);
	if (unlikely(before == (INSIDE_THREAD | INSIDE_AWAITED)))
		inside_over(&i->word);
}

#endif
