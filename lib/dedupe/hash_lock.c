/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state machine of a hash lock (E 3.8).
 *
 *	new [hash_lock_start]
 *	 |  \ private, or advice is off
 *	 |   +---------------------------------------------+
 *	 v                  no advice                      v
 *	QUERYING -------------------------------------> WRITING <-----------+
 *	 | [query_over]           no lock [verified]       | [written]      |
 *	 v                  +------------------------------^                |
 *	VERIFYING ----------+                              |                |
 *	 |  |  ^            | different, or no claim       |                |
 *	 |  |  |            v          not verified        |                |
 *	 |  |  +--------- UNLOCKING -----------------------|----------------+
 *	 |  |   waiters      ^  \ [unlocked]               |
 *	 |  |                |   +-----------------+       |
 *	 |  | equal          | last [shared]       |       |
 *	 |  +---------> DEDUPING <-- waiters -------|-------+
 *	 |                |  ^ waiters              |       |
 *	 |                v  | [update_over]        v       v
 *	 |               UPDATING --------------> BYPASSING: ends with the last
 *	 |                   ^                      ^        member
 *	 +-------------------|----------------------+ failure [failed]
 *	                     +--- the index must be told the location
 *
 * [verified] stands for hash_lock_verified(), and so on.
 *
 * Locking the candidate and comparing with it are one state, since the caller
 * does both in one go. A lock that enters BYPASSING leaves the map at once, so
 * nobody ever finds one there.
 *
 * A function that ends a step returns what the op it was called with is to do
 * next; what concerns any other op is posted to that op. Nothing calls back, so
 * chains of waiters cannot make the stack deep.
 *
 * doc/models/hashlock.pml is this machine, with the locks on blocks, against all
 * that others may do to the candidate meanwhile.
 */
#include "build.h"

#include "dedupe/dedupe.h"

#include "dedupe/dedupe_priv.h"

/* ----------------------------------------------------------------- helpers */

static struct dedupe_op *op_of(struct waiter *w)
{
	return w != NULL ? container_of(w, struct dedupe_op, link) : NULL;
}

/* Tell @op what is next: by the return value if it is the @caller. */
static enum dedupe_next hand(struct dedupe_op *op,
			     const struct dedupe_op *caller,
			     enum dedupe_next next)
{
	VDO_ASSERT(next != DEDUPE_PARKED);
	op->next = next;
	if (op == caller)
		return next;
	completion_post(&op->done);
	return DEDUPE_PARKED;
}

static void join(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_CHECK(op->hash_lock == NULL && l->state != LOCK_BYPASSING);
	op->hash_lock = l;
	list_push_back(&l->members, &op->member);
	l->member_count++;
}

static void leave(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_CHECK(op->hash_lock == l && l->member_count > 0);
	op->hash_lock = NULL;
	list_remove(&op->member);
	if (l->agent == op)
		l->agent = NULL;
	if (--l->member_count > 0)
		return;
	hash_zone_remove(l);
	hash_zone_return_lock(l->zone, l);
}

static void bypass(struct hash_lock *l)
{
	VDO_ASSERT(l->state != LOCK_BYPASSING && l->member_count > 0);
	l->state = LOCK_BYPASSING;
	l->update_advice = false;
	hash_zone_remove(l);
}

/* The op leaves to write without a lock, if it has a block to write to. */
static enum dedupe_next send_off(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_ASSERT(l->state == LOCK_BYPASSING && op->lock == NULL);
	leave(l, op);
	return op->alloc_lock != NULL ? DEDUPE_WRITE_ALONE : DEDUPE_FAIL;
}

static void send_waiters_off(struct hash_lock *l)
{
	struct dedupe_op *w;

	VDO_ASSERT(l->state == LOCK_BYPASSING);
	while ((w = op_of(waitq_pop(&l->waiters))) != NULL)
		hand(w, NULL, send_off(l, w));
}

/* ----------------------------------------------------------------- writing */

/*
 * The agent shall not wait in the packer any more (I31). If it is there, a
 * message takes it out. The message is part of @waiter, which cannot leave
 * before the agent came back, and the agent not before the message arrived.
 */
static void hurry_agent(struct hash_lock *l, struct dedupe_op *waiter)
{
	struct pack_op *pack = l->agent->pack;

	VDO_ASSERT(l->state == LOCK_WRITING && l->agent != waiter);
	if (pack != NULL && pack_cancel(pack))
		pack_send_fetch(l->zone->dedupe->packer, &waiter->fetch, pack);
}

/* Make the first waiter with a block the agent and the agent the first waiter.
 * False if there is none. */
static bool swap_agent(struct hash_lock *l)
{
	struct dedupe_op *agent = NULL;
	struct waitq others;

	VDO_ASSERT(l->agent->alloc_lock == NULL);
	waitq_init(&others);
	waitq_push(&others, &l->agent->link);
	for (struct waiter *w; (w = waitq_pop(&l->waiters)) != NULL;) {
		if (agent == NULL && op_of(w)->alloc_lock != NULL)
			agent = op_of(w);
		else
			waitq_push(&others, w);
	}
	waitq_splice(&l->waiters, &others);
	if (agent != NULL) {
		l->agent = agent;
		return true;
	}
	/* As it was: the agent is no waiter. */
	waitq_pop(&l->waiters);
	return false;
}

/* No member has a block: they all go. */
static enum dedupe_next out_of_space(struct hash_lock *l,
				     const struct dedupe_op *caller)
{
	struct dedupe_op *agent = l->agent;

	VDO_ASSERT(agent->alloc_lock == NULL && l->duplicate_lock == NULL);
	bypass(l);
	send_waiters_off(l);
	return hand(agent, caller, send_off(l, agent));
}

static enum dedupe_next start_writing(struct hash_lock *l,
				      const struct dedupe_op *caller)
{
	VDO_CHECK(l->duplicate_lock == NULL && !l->verified);
	if (l->agent->alloc_lock == NULL && !swap_agent(l))
		return out_of_space(l, caller);
	l->state = LOCK_WRITING;
	if (!waitq_empty(&l->waiters)) {
		bool parked =
			l->agent->pack != NULL && pack_cancel(l->agent->pack);

		VDO_ASSERT(!parked);
	}
	return hand(l->agent, caller, DEDUPE_WRITE);
}

/* ------------------------------------------------- verifying and unlocking */

static enum dedupe_next start_verifying(struct hash_lock *l,
					const struct dedupe_op *caller)
{
	VDO_CHECK(l->duplicate_lock == NULL && l->duplicate.pbn != ZERO_BLOCK);
	l->state = LOCK_VERIFYING;
	l->agent->candidate = l->duplicate;
	l->agent->lock = NULL;
	return hand(l->agent, caller, DEDUPE_VERIFY);
}

/* The agent takes the lock on the duplicate back to its zone. */
static enum dedupe_next start_unlocking(struct hash_lock *l,
					const struct dedupe_op *caller)
{
	VDO_CHECK(l->agent != NULL && l->duplicate_lock != NULL);
	VDO_CHECK(l->agent->lock == NULL);
	l->state = LOCK_UNLOCKING;
	l->agent->lock = l->duplicate_lock;
	l->duplicate_lock = NULL;
	return hand(l->agent, caller, DEDUPE_UNLOCK);
}

/* The op's work is done. Who came meanwhile verifies again. */
static enum dedupe_next finish_unlocking(struct hash_lock *l,
					 struct dedupe_op *op)
{
	VDO_CHECK(l->duplicate_lock == NULL && l->agent == op);
	l->verified = false;
	l->agent = op_of(waitq_pop(&l->waiters));
	if (l->agent != NULL)
		start_verifying(l, NULL);
	leave(l, op);
	return DEDUPE_LEAVE;
}

enum dedupe_next hash_lock_unlocked(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_CHECK(l->state == LOCK_UNLOCKING || l->state == LOCK_BYPASSING);
	op->lock = NULL;
	if (l->state == LOCK_BYPASSING) {
		leave(l, op);
		return DEDUPE_LEAVE;
	}
	VDO_CHECK(l->agent == op);
	if (!l->verified)
		return start_writing(l, op);
	return finish_unlocking(l, op);
}

/* --------------------------------------------------- sharing and roll-over */

/* @op may refer to the duplicate: it has claimed. */
static enum dedupe_next share(struct hash_lock *l, struct dedupe_op *op,
			      const struct dedupe_op *caller)
{
	VDO_CHECK(l->state == LOCK_DEDUPING && l->verified);
	VDO_CHECK(op->hash_lock == l);
	op->location = l->duplicate;
	op->lock = NULL;
	return hand(op, caller, DEDUPE_SHARE);
}

/*
 * The block can take no more references: @op and all waiters move to a new lock
 * that takes the place of this one and writes another copy.
 */
static enum dedupe_next roll_over(struct hash_lock *l, struct dedupe_op *op,
				  const struct dedupe_op *caller)
{
	struct hash_lock *fresh = hash_zone_take_lock(l->zone, l->key);

	VDO_ASSERT(l->registered && l->member_count > 1);
	hash_zone_enter(fresh, l);
	fresh->advised = l->advised;
	fresh->update_advice = true;
	l->update_advice = false;
	counter_inc(&l->zone->stats.rollovers);
	waitq_splice(&fresh->waiters, &l->waiters);
	for (struct waiter *w = fresh->waiters.first; w != NULL; w = w->next) {
		leave(l, op_of(w));
		join(fresh, op_of(w));
	}
	leave(l, op);
	join(fresh, op);
	fresh->agent = op;
	return start_writing(fresh, caller);
}

static bool wants_update(const struct hash_lock *l)
{
	return l->update_advice && l->advised &&
	       atomic_load_explicit(&l->zone->dedupe->enabled,
				    memory_order_relaxed);
}

static enum dedupe_next start_updating(struct hash_lock *l,
				       const struct dedupe_op *caller);

/* @op is done with its share; the last one clears up. */
static enum dedupe_next end_share(struct hash_lock *l, struct dedupe_op *op,
				  const struct dedupe_op *caller)
{
	VDO_CHECK(l->state == LOCK_DEDUPING && l->agent == NULL);
	if (l->member_count > 1) {
		leave(l, op);
		return hand(op, caller, DEDUPE_LEAVE);
	}
	l->agent = op;
	return wants_update(l) ? start_updating(l, caller)
			       : start_unlocking(l, caller);
}

/*
 * All waiters may share now. The agent either shares as well (it has claimed)
 * or, when @finished, is done.
 */
static enum dedupe_next start_deduping(struct hash_lock *l, bool finished,
				       const struct dedupe_op *caller)
{
	struct dedupe_op *agent = l->agent;
	struct dedupe_op *w;

	if (l->duplicate_lock == NULL) {
		/* The agent has just written it: the block is the lock's. */
		l->duplicate_lock = agent->alloc_lock;
		agent->alloc_lock = NULL;
	}
	VDO_CHECK(l->verified && l->duplicate_lock != NULL);
	VDO_CHECK(pbnlock_is_read(l->duplicate_lock));
	l->state = LOCK_DEDUPING;
	l->agent = NULL;
	while ((w = op_of(waitq_pop(&l->waiters))) != NULL) {
		if (pbnlock_claim(l->duplicate_lock))
			share(l, w, NULL);
		else
			roll_over(l, w, NULL);
	}
	return finished ? end_share(l, agent, caller) : share(l, agent, caller);
}

enum dedupe_next hash_lock_verified(struct hash_lock *l, struct dedupe_op *op,
				    bool equal)
{
	VDO_CHECK(l->state == LOCK_VERIFYING && l->agent == op);
	l->duplicate_lock = op->lock;
	op->lock = NULL;
	if (l->duplicate_lock == NULL) {
		counter_inc(&l->zone->stats.advice_stale);
		l->update_advice = true;
		return start_writing(l, op);
	}
	if (!l->verification_counted) {
		l->verification_counted = true;
		counter_inc(equal ? &l->zone->stats.advice_valid
				  : &l->zone->stats.advice_stale);
	}
	if (equal && pbnlock_claim(l->duplicate_lock)) {
		l->verified = true;
		return start_deduping(l, false, op);
	}
	l->update_advice = true;
	return start_unlocking(l, op);
}

enum dedupe_next hash_lock_written(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_CHECK(l->state == LOCK_WRITING && l->agent == op);
	l->duplicate = op->location;
	l->verified = true;
	if (op->lock != NULL) {
		l->duplicate_lock = op->lock;
		op->lock = NULL;
	}
	/* Compressed, or moved for a compressed block that could not be
	 * written: not where the query said it would be. Locks that nobody finds
	 * are not advised, so they tell nothing. */
	if (!mapping_equal(op->location, op->allocation))
		l->update_advice = true;
	if (!waitq_empty(&l->waiters))
		return start_deduping(l, true, op);
	if (wants_update(l))
		return start_updating(l, op);
	if (l->duplicate_lock != NULL)
		return start_unlocking(l, op);
	leave(l, op);
	return DEDUPE_LEAVE;
}

enum dedupe_next hash_lock_join(struct hash_lock *l, struct dedupe_op *op)
{
	VDO_ASSERT(l->registered && l->state != LOCK_BYPASSING);
	join(l, op);
	if (l->state == LOCK_DEDUPING)
		return pbnlock_claim(l->duplicate_lock) ? share(l, op, op)
							: roll_over(l, op, op);
	waitq_push(&l->waiters, &op->link);
	if (l->state == LOCK_WRITING)
		hurry_agent(l, op);
	return DEDUPE_PARKED;
}

/* ------------------------------------------------------ asking and telling */

/* True: over at once. */
static bool start_advice(struct hash_lock *l, enum advice_request request,
			 struct mapping location, completion_fn done)
{
	struct advice_op *advice = &l->agent->advice;
	struct dedupe *d = l->zone->dedupe;

	VDO_CHECK(l->advised && l->agent->hash_lock == l);
	completion_init(&advice->done, l->zone->queue, done);
	advice->request = request;
	advice->name = &l->agent->name;
	advice->location = location;
	counter_inc(&l->zone->stats.queries_pending);
	return advice_start(d->advice, (unsigned)(l->zone - d->zones), advice);
}

/* Of another version is not the same as invalid (E 3.9). */
static bool usable(struct hash_lock *l, const struct advice_op *advice)
{
	struct mapping m = advice->location;

	if (advice->done.result != 0 || !advice->found)
		return false;
	if (m.pbn != ZERO_BLOCK && mapping_valid(m) &&
	    is_data_block(l->zone->dedupe->slabs, m.pbn))
		return true;
	counter_inc(&l->zone->stats.invalid_advice);
	return false;
}

static enum dedupe_next query_over(struct hash_lock *l,
				   const struct dedupe_op *caller)
{
	const struct advice_op *advice = &l->agent->advice;

	VDO_CHECK(l->state == LOCK_QUERYING);
	counter_dec(&l->zone->stats.queries_pending);
	if (usable(l, advice)) {
		l->duplicate = advice->location;
		return start_verifying(l, caller);
	}
	/* With a block of its own, the query has posted it already, unless
	 * something useless was in the way. */
	l->update_advice = l->agent->alloc_lock == NULL || advice->found;
	return start_writing(l, caller);
}

static struct hash_lock *lock_of_advice(struct completion *c)
{
	return container_of(c, struct dedupe_op, advice.done)->hash_lock;
}

static void query_done(struct completion *c)
{
	query_over(lock_of_advice(c), NULL);
}

enum dedupe_next hash_lock_start(struct hash_lock *l, struct dedupe_op *op)
{
	enum advice_request request =
		op->alloc_lock != NULL ? ADVICE_POST : ADVICE_QUERY;

	VDO_CHECK(l->member_count == 0 && l->agent == NULL);
	join(l, op);
	l->agent = op;
	if (!l->advised)
		return start_writing(l, op);
	l->state = LOCK_QUERYING;
	if (start_advice(l, request, op->allocation, query_done))
		return query_over(l, op);
	return DEDUPE_PARKED;
}

/* An update that failed is as good as one that was forgotten. */
static enum dedupe_next update_over(struct hash_lock *l,
				    const struct dedupe_op *caller)
{
	struct dedupe_op *agent = l->agent;

	VDO_CHECK(l->state == LOCK_UPDATING);
	counter_dec(&l->zone->stats.queries_pending);
	l->update_advice = false;
	if (!waitq_empty(&l->waiters))
		return start_deduping(l, true, caller);
	if (l->duplicate_lock != NULL)
		return start_unlocking(l, caller);
	leave(l, agent);
	return hand(agent, caller, DEDUPE_LEAVE);
}

static void update_done(struct completion *c)
{
	update_over(lock_of_advice(c), NULL);
}

static enum dedupe_next start_updating(struct hash_lock *l,
				       const struct dedupe_op *caller)
{
	VDO_CHECK(l->verified && waitq_empty(&l->waiters));
	l->state = LOCK_UPDATING;
	if (start_advice(l, ADVICE_UPDATE, l->duplicate, update_done))
		return update_over(l, caller);
	return DEDUPE_PARKED;
}

/* --------------------------------------------------------- ends of members */

/*
 * Out of a lock that failed. The last member releases the lock on the
 * duplicate: the others may still be adding references under it (I20).
 */
static enum dedupe_next leave_bypassing(struct hash_lock *l,
					struct dedupe_op *op)
{
	VDO_ASSERT(l->state == LOCK_BYPASSING && waitq_empty(&l->waiters));
	if (l->member_count == 1 && l->duplicate_lock != NULL) {
		op->lock = l->duplicate_lock;
		l->duplicate_lock = NULL;
		return DEDUPE_UNLOCK;
	}
	leave(l, op);
	return DEDUPE_LEAVE;
}

enum dedupe_next hash_lock_shared(struct hash_lock *l, struct dedupe_op *op)
{
	if (l->state == LOCK_BYPASSING)
		return leave_bypassing(l, op);
	VDO_CHECK(l->state == LOCK_DEDUPING);
	return end_share(l, op, op);
}

enum dedupe_next hash_lock_failed(struct hash_lock *l, struct dedupe_op *op)
{
	if (l->state == LOCK_BYPASSING)
		return leave_bypassing(l, op);
	if (l->state != LOCK_DEDUPING) {
		VDO_ASSERT(l->state == LOCK_VERIFYING ||
			   l->state == LOCK_WRITING);
		VDO_ASSERT(l->agent == op && l->duplicate_lock == NULL);
		l->duplicate_lock = op->lock;
		op->lock = NULL;
	}
	bypass(l);
	send_waiters_off(l);
	return leave_bypassing(l, op);
}
