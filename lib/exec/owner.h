/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs the queues of a thread: the thread, somebody who helps, or nobody.
 *
 * A thread with queues sleeps while there is nothing to run. To wake it costs
 * whoever waits for an answer more than many an answer does. So a helper, who
 * is about to wait (help.h), may take the queues of a thread that sleeps, run
 * them, and give them back without the thread ever waking.
 *
 *	THREAD         --[owner_sleep]-->                          NOBODY
 *	NOBODY         --[owner_wake; reclaim: its time is up]-->  THREAD
 *	NOBODY         --[owner_take]-->                           HELPER
 *	HELPER         --[owner_give_back]-->                      NOBODY
 *	HELPER         --[reclaim: the thread is awake]-->         WANTED
 *	HELPER, WANTED --[owner_hand_over]-->                      THREAD
 *
 * Who may do what
 *  - THREAD: the thread. It alone leaves this state. It is awake: it runs
 *    queues or looks out for work, and nobody takes them away from it.
 *  - NOBODY: the thread sleeps, or is about to. Whoever has posted wakes it, or
 *    takes its queues, by a compare-and-swap, so one of them does. The thread
 *    itself takes part in that when its time is up.
 *  - HELPER, WANTED: the helper. In WANTED the thread is awake and sleeps until
 *    it has them; the helper gives them up after the completion that it runs.
 * "Them" is all that the thread's run queue, timers and turn consist of.
 *
 * Memory order. Each change is a seq_cst operation on one word: release for
 * whoever gives up, acquire for whoever takes, so all that one owner wrote the
 * next one sees, as if one thread ran the queues all the time.
 *
 * No wake-up is lost (Q1, Q2, Q9). A producer puts, then looks at the word. An
 * owner who gives up says NOBODY, then asks mpsc_untouched(). All of it is
 * seq_cst: either the producer sees NOBODY, and wakes or takes; or the owner
 * sees the put, and tries to become the owner again; if that fails, another one
 * is, who polls after that. A producer who sees any other state leaves its
 * message to an owner who has yet to ask. From NOBODY on whoever was the owner
 * touches nothing but two atomic words, this one and the inbox's newest.
 *
 * Timers. A thread sleeps until its first timer is due. A helper may arm an
 * earlier one; then it hands over, and the thread sleeps anew (Q10).
 *
 * The end. A helper is inside of a call on a volume until it has given back
 * everything. Since calls are over before an executor is destroyed, each thread
 * gets its last message from somebody who is no helper.
 *
 * doc/models/owner.pml goes through all orders in which a thread, producers and
 * helpers can meet.
 *
 * Runs on: see each. Lifetime: part of a thread's.
 */
#ifndef EXEC_OWNER_H
#define EXEC_OWNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "exec/mpsc.h"

enum {
	OWNER_THREAD,
	OWNER_NOBODY,
	OWNER_HELPER,
	OWNER_WANTED,
};

struct owner {
	atomic_uint word;
};

static inline void owner_init(struct owner *o)
{
	atomic_init(&o->word, OWNER_THREAD);
}

/* Anybody, after a put: is there an owner, who has yet to ask for more? */
static inline bool owner_is_there(struct owner *o)
{
	return likely(atomic_load(&o->word) != OWNER_NOBODY);
}

/* A helper, after a put: true if it owns the queues now. */
static inline bool owner_take(struct owner *o)
{
	unsigned v = OWNER_NOBODY;

	return atomic_compare_exchange_strong(&o->word, &v, OWNER_HELPER);
}

/* The helper: does the thread want its queues back? */
static inline bool owner_is_wanted(const struct owner *o)
{
	unsigned v = atomic_load_explicit(&o->word, memory_order_relaxed);

	VDO_CHECK(v == OWNER_HELPER || v == OWNER_WANTED);
	return v == OWNER_WANTED;
}

/*
 * The helper, when it has run everything: true if @inbox, which was empty,
 * still is after it was given back, or somebody else owns the queues. False:
 * the helper still does. @woken: the thread wanted them, and was woken.
 */
bool owner_give_back(struct owner *o, const struct mpsc *inbox, bool *woken);

/* Anybody, after a put: wake the thread if nobody owns its queues. True if this
 * woke it. */
bool owner_wake(struct owner *o);

/* The helper: the thread owns its queues again, and is woken. */
void owner_hand_over(struct owner *o);

/* The thread, with an empty @inbox: sleep until it owns the queues again, for
 * @timeout_ns at most if nobody does, or somebody helps, by then. */
void owner_sleep(struct owner *o, const struct mpsc *inbox,
		 uint64_t timeout_ns);

#endif
