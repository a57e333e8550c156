/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of a thread, with its sleep and wake-up: lib/exec/mpsc.[ch],
 * native_post() and rest() of lib/exec/native.c, lib/exec/futex.c. Here nobody
 * helps, so the word of the owner (lib/exec/owner.h) is a bit, idle.
 *
 * Producers send numbered messages in nodes that they use again as soon as the
 * consumer has polled them. Each access of a shared word is a step of its own, so
 * that a producer may stand anywhere: also between the exchange of newest and the
 * store of the link.
 *
 * Shown: each message is consumed at last (none is lost, and the consumer does
 * not sleep while one is there), each once, in the order of its producer; a node
 * is not in use twice.
 *
 * Memory is sequentially consistent here. What the code orders less strictly is
 * the content of nodes and their links (release and acquire), which one thread
 * writes and one reads.
 *
 * @run two producers, three messages each, two nodes each
 * @run three producers -DPRODUCERS=3 -DMESSAGES=1 -DNODES=1
 * @run a sleep may end early -DEARLY -DMESSAGES=2
 *
 * @out Q1 BREAK_IDLE_AFTER_EMPTY
 *	the consumer asks, and then says that it sleeps
 * @out Q2 BREAK_IDLE_BEFORE_PUT
 *	a producer looks at idle, and then puts
 * @out Q3 BREAK_SLEEP_UNASKED	the consumer sleeps whatever idle says
 * @out Q3 BREAK_WAKE_NOBODY	a producer clears idle, and wakes nobody
 * @out Q4 BREAK_HALF_A_PUT_IS_EMPTY
 *	the consumer asks for a link, and a producer wakes it
 *	before its link is stored; either alone does no harm
 * @out Q5 BREAK_LAST_WITHOUT_STUB	the newest node is given away
 * @out Q5 BREAK_STUB_UNASKED
 *	the stub is put although another put has begun
 * @out Q6 BREAK_CLEAR_AFTER_PUT	the link is cleared after the exchange
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef NODES
#define NODES 2
#endif

#define STUB 0
#define NIL 255

/* Node k of producer p. */
#define NODE(p, k) (1 + (p) * NODES + (k) % NODES)
#define OWNER(n) (((n) - 1) / NODES)

byte next[1 + PRODUCERS * NODES];
byte newest = STUB;
byte oldest = STUB;		/* the consumer's */
bit idle;
bit asleep;			/* the consumer, in the system call */

byte number[1 + PRODUCERS * NODES]; /* of the message in a node; 0: not in use */
byte consumed[PRODUCERS];
byte consumed_all;

/* mpsc_put() */
inline put(n, prev, waking)
{
#ifdef BREAK_CLEAR_AFTER_PUT
	atomic { prev = newest; newest = n; }
	next[n] = NIL;
#else
	next[n] = NIL;
	atomic { prev = newest; newest = n; }
#endif
#ifdef BREAK_HALF_A_PUT_IS_EMPTY
	if
	:: waking -> wake()
	:: else
	fi;
#endif
	next[prev] = n;
}

/* The end of native_post(). */
inline wake()
{
	if
	:: idle == 1 ->
		atomic { won = idle; idle = 0; }
		if
#ifndef BREAK_WAKE_NOBODY
		:: won -> asleep = 0
#endif
		:: else
		fi
	:: else
	fi
}

proctype producer(byte me)
{
	byte prev;
	byte n;
	byte sent;
	bit won;
#ifdef BREAK_IDLE_BEFORE_PUT
	bit looked;
#endif

	do
	:: sent < MESSAGES ->
		n = NODE(me, sent);
		number[n] == 0;		/* it may be used again */
		sent++;
		number[n] = sent;
#ifdef BREAK_IDLE_BEFORE_PUT
		looked = idle;
		put(n, prev, true);
		if
		:: looked -> wake()
		:: else
		fi
#else
		put(n, prev, true);
#ifndef BREAK_HALF_A_PUT_IS_EMPTY
		wake()
#endif
#endif
	:: else -> break
	od
}

/* mpsc_poll(): the node in got, or NIL. */
inline poll()
{
	got = NIL;
	n = oldest;
	nx = next[n];
	if
	:: n == STUB && nx != NIL ->
		oldest = nx;
		n = nx;
		nx = next[n]
	:: else
	fi;
	if
	:: n == STUB	/* it has no next */
	:: n != STUB && nx != NIL -> oldest = nx; got = n
	:: n != STUB && nx == NIL ->
#ifdef BREAK_LAST_WITHOUT_STUB
		if
		:: newest == n -> oldest = STUB; got = n
		:: else
		fi
#else
		if
#ifdef BREAK_STUB_UNASKED
		:: true ->
#else
		:: newest == n ->
#endif
			put(STUB, prev, false);
			nx = next[n];
			if
			:: nx != NIL -> oldest = nx; got = n
			:: else
			fi
		:: else
		fi
#endif
	fi
}

/* mpsc_empty(); without Q4 the question is that of mpsc_ready(). */
inline ask_empty()
{
#ifdef BREAK_HALF_A_PUT_IS_EMPTY
	n = oldest;
	if
	:: n == STUB -> n = next[n]
	:: else
	fi;
	if
	:: n == NIL -> none = true
	:: else ->
		if
		:: next[n] != NIL -> none = false
		:: else -> none = (newest != n)
		fi
	fi
#else
	none = (oldest == STUB && newest == STUB)
#endif
}

/* futex_wait() */
inline sleep()
{
	atomic {
		if
#ifdef BREAK_SLEEP_UNASKED
		:: true -> asleep = 1
#else
		:: idle == 1 -> asleep = 1
		:: else
#endif
		fi
	}
	if
	:: asleep == 0
#ifdef EARLY
	:: early == 0 -> early++; asleep = 0
#endif
	fi
}

proctype consumer()
{
	byte n;
	byte nx;
	byte prev;
	byte got;
	bool none;
	bit won;
#ifdef EARLY
	byte early;
#endif

	do
	:: consumed_all == PRODUCERS * MESSAGES -> break
	:: else ->
		poll();
		if
		:: got != NIL ->
			assert(got != STUB && number[got] != 0);
			assert(number[got] == consumed[OWNER(got)] + 1);
			d_step {
				consumed[OWNER(got)]++;
				consumed_all++;
				number[got] = 0
			}
		:: else ->
#ifdef BREAK_IDLE_AFTER_EMPTY
			ask_empty();
			idle = 1;
#else
			idle = 1;
			ask_empty();
#endif
			if
			:: none -> sleep()
			:: else		/* it yields */
			fi;
			idle = 0
		fi
	od
}

init {
	byte i;

	d_step {
		do
		:: i < 1 + PRODUCERS * NODES -> next[i] = NIL; i++
		:: else -> break
		od
	}
	atomic {
		run consumer();
		i = 0;
		do
		:: i < PRODUCERS -> run producer(i); i++
		:: else -> break
		od
	}
}

ltl all_consumed { <> (consumed_all == PRODUCERS * MESSAGES) }
