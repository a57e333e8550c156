/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A one-shot event with sleepers: lib/exec/event.[ch], lib/exec/futex.c.
 *
 * Shown: everybody who waits goes on, and goes on only when the event is set;
 * who sets it does not touch it once somebody went on, as that one may free it.
 * The address for the wake-up is no touch: the system finds nobody there.
 *
 * @run two that wait
 * @run a sleep may end early -DEARLY
 *
 * @out Q7 BREAK_AWAITED_STORED
 *	who waits stores "awaited" over whatever is there
 * @out Q7 BREAK_LOOK_THEN_STORE
 *	who sets it looks for sleepers, and then stores
 * @out Q3 BREAK_SLEEP_UNASKED	who waits sleeps whatever the event says
 * @out Q7 BREAK_WAKE_ONE	one sleeper is woken
 * @out Q7 BREAK_NO_SECOND_LOOK -DEARLY
 *	who was woken goes on without a look
 * @out Q8 BREAK_TOUCHED_AFTER_SET
 *	who has set the event reads it once more
 */

#define WAITERS 2

mtype = { CLEAR, SET, AWAITED }
mtype event = CLEAR;

byte sleeping;		/* a bit for each sleeper, in the system call */
byte gone;		/* how many have seen it set */

proctype waiter(byte me)
{
	mtype seen;
	byte early;

	do
	:: event == SET -> break
	:: else ->
#ifdef BREAK_AWAITED_STORED
		event = AWAITED;
#else
		atomic {
			seen = event;
			if
			:: seen == CLEAR -> event = AWAITED
			:: else
			fi
		}
		if
		:: seen == SET -> break
		:: else
		fi;
#endif
		atomic {	/* futex_wait() */
			if
#ifdef BREAK_SLEEP_UNASKED
			:: true ->
#else
			:: event == AWAITED ->
#endif
				sleeping = sleeping | (1 << me)
#ifndef BREAK_SLEEP_UNASKED
			:: else
#endif
			fi
		}
		if
		:: (sleeping & (1 << me)) == 0
#ifdef EARLY
		:: early == 0 -> early++; sleeping = sleeping & ~(1 << me)
#endif
		fi
#ifdef BREAK_NO_SECOND_LOOK
		; break
#endif
	od;
	assert(event == SET);
	gone++
}

proctype setter()
{
	mtype before;

	assert(gone == 0);
#ifdef BREAK_LOOK_THEN_STORE
	before = event;
	assert(gone == 0);
	event = SET;
#else
	atomic { before = event; event = SET; }
#endif
#ifdef BREAK_TOUCHED_AFTER_SET
	assert(gone == 0 && event == SET);
#endif
	if
	:: before == AWAITED ->	/* futex_wake() */
#ifdef BREAK_WAKE_ONE
		sleeping = (sleeping & 1 -> sleeping & ~1 : 0)
#else
		sleeping = 0
#endif
	:: else
	fi
}

init {
	atomic {
		run setter();
		run waiter(0);
		run waiter(1)
	}
}

ltl all_go_on { <> (gone == WAITERS) }
