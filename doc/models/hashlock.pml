/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deduplication of writes under way: the hash lock (lib/dedupe/hash_lock.c), the
 * rows of a write that do what it says (lib/path/write_data.c, write_meta.c), the
 * locks on blocks and the counts (lib/depot/pbnlock.c, refs.c); E 3.6, 3.8 to
 * 3.9.
 *
 * Writers write the same data X to LBNs of their own. The index may name any
 * block. Block 1 is mapped by others when it begins, and may hold X or not. At the
 * same time its mappings are overwritten one by one, somebody takes free blocks
 * for other data, and a writer of other data shares block 1 too, as if both were
 * fragments in it. Data writes and shares may fail.
 *
 * A block takes MAX references in place of 254. A message to a zone is one step.
 *
 * Shown: a block that is locked for reading is never free, no count passes the
 * limit or 0, nothing is shared but what holds the data, nobody writes to a block
 * that is mapped or compared with; in the end each writer is done, no lock is
 * left, and each count is the number of mappings.
 *
 * @run two writers, a failure -DFAILURES=1
 * @run three writers, nobody else, a failure -DWRITERS=3 -DNOBODY_ELSE -DFAILURES=1
 *
 * @out I17 BREAK_LIMIT_WITHOUT_COUNT
 *	a read lock allows MAX more, whatever is counted
 * @out I18 BREAK_CLAIM_BEYOND_LIMIT	sharers do not claim
 * @out I18 BREAK_OWN_NOT_COUNTED
 *	the writer's own reference is not left out
 * @out I18 BREAK_CLAIM_IN_TWO_STEPS	a claim is a load and a store
 * @out I19 BREAK_FREE_UNDER_LOCK	a decrement to 0 frees a locked block
 * @out I19 BREAK_WRITE_LOCK_SHARED
 *	a candidate may be locked while it is filled
 * @out I20 BREAK_COMPARE_BEFORE_LOCK
 *	the candidate is compared, and then locked
 * @out I20 BREAK_SHARE_WITHOUT_COMPARE	the index is believed
 * @out I20 BREAK_SHARE_AFTER_UNLOCK
 *	who came while the lock went back just shares
 * @out I20 BREAK_UNLOCK_BEFORE_LAST -DFAILURES=1
 *	a failed lock lets go at once
 * @out I26 BREAK_OWNER_AFTER_INCREMENT
 *	a reference leaves the lock its owner
 */

#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef FAILURES
#define FAILURES 0
#endif
#define BLOCKS 3
#define MAX 2
#define PROVISIONAL 9		/* a count in memory only */
#define NOBODY 15

/* ------------------------------------------------------------------ blocks */

mtype:data = { NOTHING, X, OTHER };
mtype:kind = { NONE, WRITE_LOCK, READ_LOCK };

mtype:data content[BLOCKS + 1];
byte count[BLOCKS + 1];
byte mapped[BLOCKS + 1];	/* journal entries that say so */
mtype:kind lock[BLOCKS + 1];
byte holders[BLOCKS + 1];
bit owner[BLOCKS + 1];		/* the lock owns a provisional reference */
byte limit[BLOCKS + 1];
byte claims[BLOCKS + 1];
byte failures = FAILURES;
byte started;
byte finished;

hidden byte b;

/* depot_allocate(): block @p, or 0. */
inline allocate(p)
{
	b = 1;
	do
	:: b <= BLOCKS && count[b] != 0 -> b++
	:: else -> break
	od;
	p = (b <= BLOCKS -> b : 0);
	if
	:: p != 0 ->
		assert(lock[p] == NONE && mapped[p] == 0);
		count[p] = PROVISIONAL;
		lock[p] = WRITE_LOCK;
		holders[p] = 1;
		owner[p] = 1;
		limit[p] = 0;
		claims[p] = 0
	:: else
	fi
}

/* depot_lock_read() */
inline lock_read(p, got)
{
	if
	:: lock[p] == WRITE_LOCK ->
#ifdef BREAK_WRITE_LOCK_SHARED
		holders[p]++;
		got = true
#else
		got = false
#endif
	:: lock[p] == READ_LOCK ->
		got = (claims[p] < limit[p]);
		holders[p] = holders[p] + got
	:: lock[p] == NONE ->
		got = (count[p] < MAX);
		if
		:: got ->
			lock[p] = READ_LOCK;
			holders[p] = 1;
#ifdef BREAK_LIMIT_WITHOUT_COUNT
			limit[p] = MAX;
#else
			limit[p] = MAX - count[p];
#endif
			claims[p] = 0;
			owner[p] = (count[p] == 0);
			count[p] = (count[p] == 0 -> PROVISIONAL : count[p])
		:: else
		fi
	fi
}

/* depot_lock_downgrade() */
inline downgrade(p)
{
	assert(holders[p] > 0);
	lock[p] = READ_LOCK;
#ifdef BREAK_OWN_NOT_COUNTED
	limit[p] = MAX;
#else
	limit[p] = MAX - 1;
#endif
	claims[p] = 0
}

/* depot_unlock() */
inline unlock(p)
{
	assert(holders[p] > 0);
	holders[p]--;
	if
	:: holders[p] == 0 ->
		lock[p] = NONE;
		if
		:: owner[p] ->
			assert(mapped[p] == 0);
			count[p] = 0;
			owner[p] = 0
		:: else
		fi;
		limit[p] = 0;
		claims[p] = 0
	:: else
	fi
}

/* pbnlock_claim() */
inline claim(p, got)
{
#ifdef BREAK_CLAIM_BEYOND_LIMIT
	got = true
#else
	got = (claims[p] < limit[p]);
	claims[p] = claims[p] + got
#endif
}

/* refs_adjust() */
inline increment(p)
{
	assert(count[p] != 0 && count[p] != MAX);
	if
	:: count[p] == PROVISIONAL ->
		count[p] = 1;
#ifndef BREAK_OWNER_AFTER_INCREMENT
		owner[p] = 0
#endif
	:: else -> count[p]++
	fi
}

inline decrement(p)
{
	assert(count[p] != 0);
	if
	:: count[p] != 1 && count[p] != PROVISIONAL -> count[p]--
#ifdef BREAK_FREE_UNDER_LOCK
	:: else -> count[p] = 0
#else
	:: else ->
		owner[p] = (lock[p] != NONE);
		count[p] = (lock[p] != NONE -> PROVISIONAL : 0)
#endif
	fi
}

/* What the data write of a block of one's own needs. */
#define MAY_FILL(p) (mapped[p] == 0 && lock[p] == WRITE_LOCK && \
		     count[p] == PROVISIONAL && holders[p] == 1)

/* -------------------------------------------------------------- hash locks */

mtype:state = { FREE, QUERYING, VERIFYING, WRITING, DEDUPING, UPDATING, UNLOCKING,
		BYPASSING };
mtype:next = { PARKED, ANSWER, VERIFY, WRITE, ALONE, SHARE, UNLOCK, TOLD, LEAVE,
	       FAIL };

#define LOCKS WRITERS

mtype:state state[LOCKS];
byte registered = NOBODY;	/* the lock in the map */
bit verified[LOCKS];
bit update[LOCKS];
byte members[LOCKS];
byte agent[LOCKS];
byte duplicate[LOCKS];
bit duplicate_lock[LOCKS];
chan waiters[LOCKS] = [WRITERS] of { byte };
chan others = [WRITERS] of { byte };	/* for swap_agent() */

mtype:next next[WRITERS];
byte member_of[WRITERS];
byte allocation[WRITERS];	/* its block, under its lock; or 0 */
byte location[WRITERS];
byte carried[WRITERS];		/* dedupe_op.lock: the block, or 0 */

hidden byte w;
hidden byte k;
hidden byte fresh;
hidden byte found;
hidden byte ok;

inline hand(op, what)
{
	assert(next[op] == PARKED);
	next[op] = what
}

inline join(l, op)
{
	member_of[op] = l;
	members[l]++
}

inline leave(l, op)
{
	assert(member_of[op] == l);
	member_of[op] = NOBODY;
	members[l]--;
	agent[l] = (agent[l] == op -> NOBODY : agent[l]);
	if
	:: members[l] == 0 ->
		assert(!duplicate_lock[l] && len(waiters[l]) == 0);
		registered = (registered == l -> NOBODY : registered);
		state[l] = FREE;
		verified[l] = 0;
		update[l] = 0;
		agent[l] = 0;
		duplicate[l] = 0
	:: else
	fi
}

inline bypass(l)
{
	state[l] = BYPASSING;
	update[l] = 0;
	registered = (registered == l -> NOBODY : registered)
}

inline send_off(l, op)
{
	leave(l, op);
	if
	:: allocation[op] != 0 -> hand(op, ALONE)
	:: else -> hand(op, FAIL)
	fi
}

inline send_waiters_off(l)
{
	do
	:: len(waiters[l]) > 0 ->
		waiters[l] ? w;
		send_off(l, w)
	:: else -> break
	od
}

/* The first waiter with a block becomes the agent, the agent the first waiter. */
inline swap_agent(l)
{
	found = NOBODY;
	others ! agent[l];
	do
	:: len(waiters[l]) > 0 ->
		waiters[l] ? w;
		if
		:: found == NOBODY && allocation[w] != 0 -> found = w
		:: else -> others ! w
		fi
	:: else -> break
	od;
	do
	:: len(others) > 0 -> others ? w; waiters[l] ! w
	:: else -> break
	od;
	if
	:: found != NOBODY -> agent[l] = found
	:: else -> waiters[l] ? w
	fi
}

inline start_writing(l)
{
	assert(!duplicate_lock[l] && !verified[l]);
	found = agent[l];
	if
	:: allocation[agent[l]] == 0 -> swap_agent(l)
	:: else
	fi;
	if
	:: found == NOBODY ->		/* out_of_space() */
		bypass(l);
		send_waiters_off(l);
		w = agent[l];
		send_off(l, w)
	:: else ->
		state[l] = WRITING;
		hand(agent[l], WRITE)
	fi
}

inline start_verifying(l)
{
	assert(!duplicate_lock[l]);
	state[l] = VERIFYING;
	hand(agent[l], VERIFY)
}

inline start_unlocking(l)
{
	assert(duplicate_lock[l] && carried[agent[l]] == 0);
	state[l] = UNLOCKING;
	carried[agent[l]] = duplicate[l];
	duplicate_lock[l] = 0;
	hand(agent[l], UNLOCK)
}

inline share(l, op)
{
	assert(state[l] == DEDUPING && verified[l]);
	location[op] = duplicate[l];
	hand(op, SHARE)
}

/* @op and all waiters move to a new lock, which takes the place of @l. */
inline roll_over(l, op)
{
	fresh = 0;
	do
	:: state[fresh] != FREE -> fresh++
	:: else -> break
	od;
	assert(members[l] > 1);
	registered = fresh;
	update[fresh] = 1;
	update[l] = 0;
	do
	:: len(waiters[l]) > 0 ->
		waiters[l] ? w;
		leave(l, w);
		join(fresh, w);
		waiters[fresh] ! w
	:: else -> break
	od;
	leave(l, op);
	join(fresh, op);
	agent[fresh] = op;
	start_writing(fresh)
}

inline start_updating(l)
{
	assert(len(waiters[l]) == 0);
	state[l] = UPDATING;
	hand(agent[l], TOLD)
}

inline end_share(l, op)
{
	if
	:: members[l] > 1 ->
		leave(l, op);
		hand(op, LEAVE)
	:: else ->
		agent[l] = op;
		if
		:: update[l] -> start_updating(l)
		:: else -> start_unlocking(l)
		fi
	fi
}

/* All waiters may share; the agent too, or it is done when @done. */
inline start_deduping(l, done)
{
	k = agent[l];
	if
	:: !duplicate_lock[l] ->
		duplicate_lock[l] = 1;
		allocation[k] = 0
	:: else
	fi;
	assert(verified[l] && lock[duplicate[l]] == READ_LOCK);
	state[l] = DEDUPING;
	agent[l] = NOBODY;
	do
	:: len(waiters[l]) > 0 ->
		waiters[l] ? w;
		claim(duplicate[l], ok);
		if
		:: ok -> share(l, w)
		:: else -> found = w; b = w; roll_over(l, b)
		fi
	:: else -> break
	od;
	if
	:: done -> end_share(l, k)
	:: else -> share(l, k)
	fi
}

/* dedupe_enter() */
inline enter(op)
{
	if
	:: registered == NOBODY ->
		fresh = 0;
		do
		:: state[fresh] != FREE -> fresh++
		:: else -> break
		od;
		registered = fresh;
		join(fresh, op);
		agent[fresh] = op;
		state[fresh] = QUERYING;
		hand(op, ANSWER)
	:: else ->
		fresh = registered;
		assert(state[fresh] != FREE && state[fresh] != BYPASSING);
		join(fresh, op);
		if
		:: state[fresh] == DEDUPING ->
			claim(duplicate[fresh], ok);
			k = fresh;
			if
			:: ok -> share(k, op)
			:: else -> roll_over(k, op)
			fi
		:: else -> waiters[fresh] ! op
		fi
	fi
}

/* query_over() */
inline answered(l, advice)
{
	if
	:: advice != 0 ->
		duplicate[l] = advice;
		start_verifying(l)
	:: else ->
		update[l] = (allocation[agent[l]] == 0);
		start_writing(l)
	fi
}

/* hash_lock_verified() */
inline was_verified(l, op, equal)
{
	duplicate_lock[l] = (carried[op] != 0);
	carried[op] = 0;
	if
	:: !duplicate_lock[l] ->
		update[l] = 1;
		start_writing(l)
	:: else ->
		ok = equal;
		if
		:: ok -> claim(duplicate[l], ok)
		:: else
		fi;
		if
		:: ok ->
			verified[l] = 1;
			start_deduping(l, false)
		:: else ->
			update[l] = 1;
			start_unlocking(l)
		fi
	fi
}

/* hash_lock_unlocked() */
inline was_unlocked(l, op)
{
	carried[op] = 0;
	if
	:: state[l] == BYPASSING ->
		leave(l, op);
		hand(op, LEAVE)
	:: state[l] != BYPASSING && !verified[l] -> start_writing(l)
	:: else ->
#ifdef BREAK_SHARE_AFTER_UNLOCK
		do
		:: len(waiters[l]) > 0 ->
			waiters[l] ? w;
			location[w] = duplicate[l];
			hand(w, SHARE)
		:: else -> break
		od;
		bypass(l);
#else
		verified[l] = 0;
		agent[l] = NOBODY;
		if
		:: len(waiters[l]) > 0 ->
			waiters[l] ? w;
			agent[l] = w;
			start_verifying(l)
		:: else
		fi;
#endif
		leave(l, op);
		hand(op, LEAVE)
	fi
}

/* hash_lock_written() */
inline was_written(l, op)
{
	duplicate[l] = location[op];
	verified[l] = 1;
	if
	:: len(waiters[l]) > 0 -> start_deduping(l, true)
	:: len(waiters[l]) == 0 && update[l] -> start_updating(l)
	:: else ->
		leave(l, op);
		hand(op, LEAVE)
	fi
}

/* update_over() */
inline was_told(l, op)
{
	update[l] = 0;
	if
	:: len(waiters[l]) > 0 -> start_deduping(l, true)
	:: len(waiters[l]) == 0 && duplicate_lock[l] -> start_unlocking(l)
	:: else ->
		leave(l, op);
		hand(op, LEAVE)
	fi
}

inline leave_bypassing(l, op)
{
	if
#ifdef BREAK_UNLOCK_BEFORE_LAST
	:: duplicate_lock[l] ->
#else
	:: members[l] == 1 && duplicate_lock[l] ->
#endif
		carried[op] = duplicate[l];
		duplicate_lock[l] = 0;
		hand(op, UNLOCK)
	:: else ->
		leave(l, op);
		hand(op, LEAVE)
	fi
}

/* hash_lock_shared() */
inline was_shared(l, op)
{
	if
	:: state[l] == BYPASSING -> leave_bypassing(l, op)
	:: else -> end_share(l, op)
	fi
}

/* hash_lock_failed() */
inline has_failed(l, op)
{
	if
	:: state[l] != BYPASSING ->
		bypass(l);
		send_waiters_off(l)
	:: else
	fi;
	leave_bypassing(l, op)
}

/* ------------------------------------------------------------------ writers */

#define MINE member_of[me]

proctype writer(byte me)
{
	mtype:next todo = PARKED;
	byte advice;
	bool equal;
	byte l;

	/* They are alike, so the order in which they begin does not matter. */
	d_step { started == me; started++; allocate(allocation[me]) }
	d_step { enter(me) }
again:
	atomic { next[me] != PARKED -> todo = next[me]; next[me] = PARKED; }
	if
	:: todo == ANSWER ->
		atomic {
			if
			:: advice = 0
			:: advice = 1
			:: advice = 2
			fi;
			d_step {
				l = MINE;
				answered(l, advice);
				l = 0;
				advice = 0
			}
		}
	:: todo == VERIFY ->
		advice = duplicate[MINE];
#ifdef BREAK_COMPARE_BEFORE_LOCK
		equal = (content[advice] == X);
#endif
		d_step {
			lock_read(advice, ok);
			carried[me] = (ok -> advice : 0)
		}
		if
		:: carried[me] != 0 ->
#ifdef BREAK_SHARE_WITHOUT_COMPARE
			equal = true
#else
#ifndef BREAK_COMPARE_BEFORE_LOCK
			equal = (content[advice] == X)
#endif
#endif
		:: else
		fi;
		d_step {
			l = MINE;
			was_verified(l, me, equal);
			equal = false;
			l = 0;
			advice = 0
		}
	:: todo == WRITE || todo == ALONE ->
		if
		:: failures > 0 -> failures--; goto failed
		:: d_step {
			assert(MAY_FILL(allocation[me]));
			content[allocation[me]] = X;
			location[me] = allocation[me];
			mapped[location[me]]++
		}
		fi;
		d_step {
			downgrade(location[me]);
			increment(location[me])
		}
		if
		:: todo == ALONE -> goto over
		:: else
		fi;
		d_step {
			l = MINE;
			was_written(l, me);
			location[me] = 0;
			l = 0
		}
	:: todo == SHARE ->
		if
		:: failures > 0 -> failures--; goto failed
		:: d_step {
			assert(content[location[me]] == X);
			assert(count[location[me]] != 0);
			mapped[location[me]]++
		}
		fi;
		d_step { increment(location[me]); location[me] = 0 }
		d_step {
			l = MINE;
			was_shared(l, me);
			l = 0
		}
	:: todo == UNLOCK ->
		d_step { unlock(carried[me]) }
		d_step {
			l = MINE;
			was_unlocked(l, me);
			l = 0
		}
	:: todo == TOLD ->
		d_step {
			l = MINE;
			was_told(l, me);
			l = 0
		}
	:: todo == LEAVE || todo == FAIL -> goto over
	fi;
	goto again;
failed:
	if
	:: todo == ALONE -> goto over
	:: else
	fi;
	d_step {
		l = MINE;
		location[me] = 0;
		has_failed(l, me);
		l = 0
	}
	goto again;
over:
	skip;
	d_step {
		if
		:: allocation[me] != 0 -> unlock(allocation[me])
		:: else
		fi;
		allocation[me] = 0;
		location[me] = 0;
		finished++
	}
}

/* ------------------------------------------------------------------- others */

/* Those who mapped block 1 write something else to their LBNs. */
proctype overwriter()
{
	byte old = count[1];

	do
	:: old > 0 ->
		d_step { mapped[1]--; old-- }
		d_step { decrement(1) }
	:: else -> break
	od;
	finished++
}

/* Other data, which nobody else writes. */
proctype taker()
{
	byte p;

	d_step { allocate(p) }
	if
	:: p != 0 ->
		d_step {
			assert(MAY_FILL(p));
			content[p] = OTHER;
			mapped[p]++
		}
		d_step { downgrade(p); increment(p); unlock(p) }
	:: else
	fi;
	finished++
}

/* The only writer of something that is in block 1 too. */
proctype sharer()
{
	mtype:data was = content[1];
	bool got;
	byte n;

	d_step { lock_read(1, got) }
	if
	:: got && content[1] == was ->
#ifdef BREAK_CLAIM_IN_TWO_STEPS
		n = claims[1];
		got = (n < limit[1]);
		if
		:: got -> claims[1] = n + 1
		:: else
		fi;
#else
		d_step { claim(1, got) }
#endif
		if
		:: got ->
			d_step {
				assert(content[1] == was && count[1] != 0);
				mapped[1]++
			}
			d_step { increment(1) }
		:: else
		fi;
		d_step { unlock(1) }
	:: got && content[1] != was -> d_step { unlock(1) }
	:: else
	fi;
	finished++
}

init {
	byte i;

	atomic {
		if
		:: content[1] = X
		:: content[1] = OTHER
		fi;
		if
		:: count[1] = 1
		:: count[1] = MAX
		fi;
		mapped[1] = count[1];
		i = 1;
		do
		:: i <= BLOCKS -> lock[i] = NONE; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < WRITERS ->
			next[i] = PARKED;
			member_of[i] = NOBODY;
			state[i] = FREE;
			run writer(i);
			i++
		:: else -> break
		od;
#ifdef NOBODY_ELSE
		finished = 3
#else
		run overwriter();
		run taker();
		run sharer()
#endif
	}
	d_step {
		finished == WRITERS + 3;
		assert(registered == NOBODY);
		i = 1;
		do
		:: i <= BLOCKS ->
			assert(lock[i] == NONE && holders[i] == 0);
			assert(count[i] == mapped[i]);
			i++
		:: else -> break
		od
	}
}
