/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread sleeps on the word, whatever is in it; whoever makes it the owner
 * wakes it. So the word may change from NOBODY to HELPER and back while the
 * thread sleeps, and nobody has to tell the system.
 */
#include "build.h"

#include "exec/owner.h"

#include <sched.h>

#include "exec/clock.h"
#include "exec/futex.h"

bool owner_wake(struct owner *o)
{
	unsigned v = OWNER_NOBODY;

	if (!atomic_compare_exchange_strong(&o->word, &v, OWNER_THREAD))
		return false; /* its owner has yet to ask for more */
	futex_wake(&o->word, 1);
	return true;
}

void owner_hand_over(struct owner *o)
{
	unsigned before = atomic_exchange(&o->word, OWNER_THREAD);

	VDO_ASSERT(before == OWNER_HELPER || before == OWNER_WANTED);
	futex_wake(&o->word, 1);
}

bool owner_give_back(struct owner *o, const struct mpsc *inbox, bool *woken)
{
	unsigned v = OWNER_HELPER;

	if (!atomic_compare_exchange_strong(&o->word, &v, OWNER_NOBODY)) {
		VDO_ASSERT(v == OWNER_WANTED);
		owner_hand_over(o);
		*woken = true;
		return true;
	}
	return mpsc_untouched(inbox) || !owner_take(o);
}

/* The thread is awake: have its queues. */
static void reclaim(struct owner *o)
{
	unsigned v = atomic_load(&o->word);

	while (v != OWNER_THREAD) {
		unsigned next =
			v == OWNER_NOBODY ? OWNER_THREAD : OWNER_WANTED;

		if (v == OWNER_WANTED)
			futex_wait(&o->word, v, NO_TIMEOUT);
		else if (atomic_compare_exchange_strong(&o->word, &v, next))
			v = next;
		if (v != OWNER_THREAD)
			v = atomic_load(&o->word);
	}
}

void owner_sleep(struct owner *o, const struct mpsc *inbox,
		 uint64_t timeout_ns)
{
	VDO_ASSERT(atomic_load(&o->word) == OWNER_THREAD);
	atomic_store(&o->word, OWNER_NOBODY);
	if (mpsc_untouched(inbox))
		futex_wait(&o->word, OWNER_NOBODY, timeout_ns);
	else
		/* Perhaps a producer stands in the middle of its put. */
		sched_yield();
	reclaim(o);
}
