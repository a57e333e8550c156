/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The waiter sets its bit in the word that counts, so that whoever brings the
 * count to zero learns from its own decrement that there is somebody to wake.
 */
#include "build.h"

#include "exec/inside.h"

#include "exec/clock.h"
#include "exec/futex.h"

void inside_over(atomic_uint *word)
{
	futex_wake(word, 1);
}

void inside_wait(struct inside *i)
{
	unsigned v = atomic_fetch_or(&i->word, INSIDE_AWAITED);

	VDO_ASSERT((v & INSIDE_AWAITED) == 0); /* one waits at a time */
	v |= INSIDE_AWAITED;
	while (v != INSIDE_AWAITED) {
		futex_wait(&i->word, v, NO_TIMEOUT);
		v = atomic_load(&i->word);
	}
	atomic_store(&i->word, 0);
}
