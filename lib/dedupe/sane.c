/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must be so of hash locks and zones between two calls (I33).
 *
 * The walks are as long as the lists that they go through. Debug builds run the
 * one over a lock at each call, tests the one over a zone where it is at rest.
 */
#include "build.h"

#include "dedupe/dedupe.h"

#include "dedupe/dedupe_priv.h"

/* All members know the lock, and the agent is one of them. */
static bool members_agree(const struct hash_lock *l)
{
	bool agent_found = l->agent == NULL;
	unsigned n = 0;

	list_for_each (node, &l->members) {
		const struct dedupe_op *op =
			list_entry(node, struct dedupe_op, member);

		if (op->hash_lock != l)
			return false;
		agent_found |= op == l->agent;
		n++;
	}
	return agent_found && n == l->member_count;
}

/* A waiter is a member that holds nothing, and is not the agent. */
static bool waiters_agree(const struct hash_lock *l)
{
	size_t n = 0;

	for (const struct waiter *w = l->waiters.first; w != NULL;
	     w = w->next) {
		const struct dedupe_op *op = container_of(
			(struct waiter *)w, struct dedupe_op, link);

		if (op->hash_lock != l || op == l->agent || op->lock != NULL)
			return false;
		n++;
	}
	return n == l->waiters.count && n <= l->member_count;
}

/* What each state has and has not. */
static bool state_agrees(const struct hash_lock *l)
{
	switch (l->state) {
	case LOCK_FREE:
		return false; /* free locks are in nobody's hands */
	case LOCK_QUERYING:
	case LOCK_VERIFYING:
	case LOCK_WRITING:
		return l->agent != NULL && l->duplicate_lock == NULL &&
		       !l->verified;
	case LOCK_DEDUPING:
		return l->agent == NULL && l->duplicate_lock != NULL &&
		       l->verified && waitq_empty(&l->waiters);
	case LOCK_UPDATING:
		return l->agent != NULL && l->verified;
	case LOCK_UNLOCKING:
		return l->agent != NULL && l->duplicate_lock == NULL;
	case LOCK_BYPASSING:
		return waitq_empty(&l->waiters) && !l->registered;
	}
	return false;
}

bool hash_lock_sane(const struct hash_lock *l)
{
	return l->member_count > 0 && members_agree(l) && waiters_agree(l) &&
	       state_agrees(l) &&
	       (!l->registered || intmap_get(&l->zone->map, l->key) == l);
}

bool hash_zone_sane(const struct hash_zone *z)
{
	unsigned in_use = 0, free = 0;
	size_t registered = 0;

	for (unsigned i = 0; i < z->used; i++) {
		const struct hash_lock *l = &z->locks[i];

		if (l->state == LOCK_FREE)
			continue;
		if (l->zone != z || !hash_lock_sane(l))
			return false;
		in_use++;
		registered += l->registered;
	}
	for (const struct hash_lock *l = z->free; l != NULL; l = l->next_free) {
		if (l->state != LOCK_FREE)
			return false;
		free++;
	}
	return registered == z->map.count &&
	       in_use + free == z->used;
}

bool dedupe_sane(const struct dedupe *d)
{
	for (unsigned i = 0; i < d->zone_count; i++)
		if (!hash_zone_sane(&d->zones[i]))
			return false;
	return true;
}
