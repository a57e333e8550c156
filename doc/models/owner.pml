/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs the queues of a thread: lib/exec/owner.[ch], rest() and help_thread()
 * of lib/exec/native.c, io_end_block() of lib/front/io.c.
 *
 * Producers post and wake; helpers post, take the queues if nobody owns them, run
 * up to LEFT messages, and give the queues back to nobody or to the thread. What
 * a producer posts ends with a callback of the user's, what a helper posts does
 * not. The first message of the first helper arms a timer. A put has two steps
 * here, as in mpsc.pml: it begins, and later it can be polled, and all puts after
 * it.
 *
 * Shown: one at a time runs the queues; each message is run at last, in order; the
 * timer goes off; no helper runs a callback.
 *
 * Memory is sequentially consistent here, as it is for the word of the owner and
 * for newest. What else an owner writes the next one sees by release and acquire
 * on that word.
 *
 * @run two producers and a helper
 * @run a producer and two helpers -DPRODUCERS=1 -DHELPERS=2
 * @run two helpers alone, two messages each -DPRODUCERS=0 -DHELPERS=2 -DMESSAGES=2
 * @run a sleep may end early -DPRODUCERS=1 -DEARLY -DMESSAGES=2
 *
 * @out Q1 BREAK_ASKED_BEFORE_NOBODY
 *	the thread asks, and then says that nobody owns its queues
 * @out Q2 BREAK_LOOK_BEFORE_PUT -DPRODUCERS=1
 *	a producer looks at the word, and then puts
 * @out Q9 BREAK_GIVEN_BACK_UNASKED
 *	a helper gives back, and asks only before that
 * @out Q9 BREAK_LOOK_THEN_TAKE -DPRODUCERS=0 -DHELPERS=2
 *	a helper looks at the word, and then stores
 * @out Q9 BREAK_WAKE_OVER_HELPER
 *	a producer makes the thread the owner, whoever is
 * @out Q9 BREAK_RECLAIM_UNASKED -DEARLY
 *	the thread is awake, and takes its queues from a helper
 * @out Q9 BREAK_WANTED_OVERLOOKED -DEARLY
 *	a helper gives back to nobody what the thread waits for
 * @out Q9 BREAK_HAND_OVER_ASLEEP
 *	a helper hands over, and wakes nobody
 * @out Q10 BREAK_TIMER_UNTOLD
 *	a helper gives back to nobody, and the thread sleeps on
 *	beyond the timer
 * @out Q11 BREAK_HELP_GOES_ON
 *	a helper goes on although a callback waits
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef HELPERS
#define HELPERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef LEFT
#define LEFT 2
#endif

#define TOTAL ((PRODUCERS + HELPERS) * MESSAGES)

mtype = { THREAD, NOBODY, HELPER, WANTED }
mtype word = THREAD;
bit asleep;		/* the thread, in the system call */

byte begun;		/* puts that have taken their place */
byte linked;		/* bit n: put n can be polled */
byte callback;		/* bit n: put n ends with a callback */
byte arms;		/* bit n: put n arms the timer */

/* The owner's. */
byte polled;
byte callbacks;		/* in the run list */
bit timer;		/* armed */
bit known;		/* the thread's sleep ends for it */
bit due;		/* and has */

byte ran_callbacks;
bit went_off;
byte running;		/* how many run the queues: at most one */

#define untouched (begun == polled)

/* mpsc_put() */
inline put(place, ends, timed)
{
	atomic {
		place = begun;
		begun++;
		callback = callback | (ends << place);
		arms = arms | (timed << place)
	}
	linked = linked | (1 << place)
}

/* owner_wake() */
inline wake()
{
#ifdef BREAK_WAKE_OVER_HELPER
	atomic { word != THREAD -> word = THREAD; asleep = 0 }
#else
	atomic {
		if
		:: word == NOBODY -> word = THREAD; asleep = 0
		:: else
		fi
	}
#endif
}

/* One message of the inbox; left: what a helper may still run. */
inline run_one(helps, left, n)
{
	running++;
	assert(running == 1);
	n = polled;
	polled++;
	if
	:: arms & (1 << n) -> timer = 1
	:: else
	fi;
	if
	:: callback & (1 << n) ->
		if
		:: helps ->
			callbacks++;
#ifndef BREAK_HELP_GOES_ON
			left = 0
#endif
		:: else -> ran_callbacks++
		fi
	:: else
	fi;
	running--
}

/* One callback of the run list. */
inline run_callback(helps)
{
	running++;
	assert(running == 1);
	assert(!helps);
	callbacks--;
	ran_callbacks++;
	running--
}

proctype producer()
{
	byte place;
	byte sent;
#ifdef BREAK_LOOK_BEFORE_PUT
	bit looked;
#endif

	do
	:: sent < MESSAGES ->
		sent++;
#ifdef BREAK_LOOK_BEFORE_PUT
		looked = (word == NOBODY);
		put(place, 1, 0);
		if
		:: looked -> wake()
		:: else
		fi
#else
		put(place, 1, 0);
		if
		:: word == NOBODY -> wake()
		:: word != NOBODY
		fi
#endif
	:: else -> break
	od
}

/* owner_hand_over() */
inline hand_over()
{
	atomic {
		assert(word == HELPER || word == WANTED);
		word = THREAD;
#ifndef BREAK_HAND_OVER_ASLEEP
		asleep = 0
#endif
	}
}

/* owner_take() */
inline take()
{
#ifdef BREAK_LOOK_THEN_TAKE
	mine = (word == NOBODY);
	if
	:: mine -> word = HELPER
	:: else
	fi
#else
	atomic {
		mine = (word == NOBODY);
		if
		:: mine -> word = HELPER
		:: else
		fi
	}
#endif
}

/* owner_give_back(): mine tells whether they are still ours. */
inline give_back()
{
	atomic {
		if
		:: word == HELPER -> word = NOBODY; mine = 0
#ifdef BREAK_WANTED_OVERLOOKED
		:: else -> word = NOBODY; mine = 0
#else
		:: else -> word = THREAD; asleep = 0; mine = 0; left = 0
#endif
		fi
	}
#ifndef BREAK_GIVEN_BACK_UNASKED
	if
	:: word != NOBODY || untouched
	:: word == NOBODY && !untouched -> take()
	fi
#endif
}

proctype helper(byte me)
{
	byte place;
	byte sent;
	byte left;
	byte n;
	bit mine;

	do
	:: sent < MESSAGES ->
		put(place, 0, (me == 0 && sent == 0));
		sent++;
		mine = 0;
		if
		:: word == NOBODY -> take()
		:: word != NOBODY
		fi;
		left = LEFT;
		do
		:: !mine -> break
		:: mine && (left == 0 || word == WANTED) ->
			hand_over();
			mine = 0
		:: mine && left > 0 && word != WANTED ->
			if
			:: callbacks > 0 -> left--; run_callback(1)
			:: callbacks == 0 && (linked & (1 << polled)) ->
				left--;
				run_one(1, left, n)
			:: callbacks == 0 && !(linked & (1 << polled)) ->
				if
#ifndef BREAK_TIMER_UNTOLD
				:: timer && !known -> left = 0
				:: (!timer || known) && !untouched -> left = 0
				:: (!timer || known) && untouched ->
#else
				:: !untouched -> left = 0
				:: untouched ->
#endif
					give_back()
				fi
			fi
		od
	:: else -> break
	od
}

/* owner_sleep(), but for reclaim() */
inline sleep()
{
	known = timer;
#ifdef BREAK_ASKED_BEFORE_NOBODY
	none = untouched;
	word = NOBODY;
#else
	word = NOBODY;
	none = untouched;
#endif
	if
	:: none ->
		atomic {
			if
			:: word == NOBODY -> asleep = 1
			:: else
			fi
		}
		if
		:: asleep == 0
		:: known -> due = 1; asleep = 0
#ifdef EARLY
		:: early == 0 -> early++; asleep = 0
#endif
		fi
	:: else		/* it yields */
	fi
}

/* reclaim() */
inline reclaim()
{
#ifdef BREAK_RECLAIM_UNASKED
	word = THREAD
#else
	do
	:: word == THREAD -> break
	:: word != THREAD ->
		atomic {
			if
			:: word == NOBODY -> word = THREAD
			:: word == HELPER -> word = WANTED
			:: word == WANTED -> asleep = 1
			:: word == THREAD
			fi
		};
		asleep == 0
	od
#endif
}

proctype thread()
{
	byte n;
	byte left;
	bit none;
#ifdef EARLY
	byte early;
#endif

	do
	:: timer && due ->
		running++;
		assert(running == 1);
		timer = 0;
		went_off = 1;
		running--
	:: !(timer && due) && callbacks > 0 -> run_callback(0)
	:: !(timer && due) && callbacks == 0 && (linked & (1 << polled)) ->
		run_one(0, left, n)
	:: !(timer && due) && callbacks == 0 && !(linked & (1 << polled)) ->
		if
		:: untouched -> sleep(); reclaim()
		:: !untouched	/* a producer stands in its put */
		fi
	od
}

init {
	byte i;

	atomic {
		run thread();
		i = 0;
		do
		:: i < PRODUCERS -> run producer(); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < HELPERS -> run helper(i); i++
		:: else -> break
		od
	}
}

ltl all_done {
	<> (polled == TOTAL && callbacks == 0 &&
	    ran_callbacks == PRODUCERS * MESSAGES && went_off)
}
