/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds and heads.
 *
 * Three counters for each block of the ring, changed by any thread:
 *
 *	entries  one for each entry that fits, until its effect is in memory
 *	         (journal_release_entry()), and one until the block is durable
 *	map      pages with effects that are not on disk
 *	slab     slab journal blocks with effects that the summary lacks
 *
 * The map head passes a block when entries and map are zero, the slab head when
 * entries and slab are. Whoever takes a map or slab hold has an entry hold, or
 * one of the same kind, at that time. So a block is read entries first: if that
 * is zero, each later hold was taken under one of the same kind, and the other
 * counter tells the truth; zero stays zero until the block is opened anew.
 *
 * Notification, coalesced:
 *
 *	notified false --[somebody's last release]--> true, let_go posted
 *	      ^                                          |
 *	      +-----[holds_let_go, then it scans]--------+
 *
 * Both sides exchange. A release that finds true comes before the exchange that
 * resets it, which acquires it, so the scan after it sees it; a release that
 * finds false posts. None is lost. After a drain notified stays true: nothing
 * is posted any more, and holds_resume() scans.
 */
#include "build.h"

#include "journal/journal_priv.h"

static inline struct holds *holds_of(struct journal *j, seq_t seq)
{
	VDO_CHECK(seq > 0);
	return &j->holds[seq & (j->size - 1)];
}

static inline bool nobody(atomic_uint *counter)
{
	return atomic_load_explicit(counter, memory_order_acquire) == 0;
}

/* True if that was the last one. Whoever sees the count at zero sees all that
 * its holders did before they let go. */
static inline bool drop(atomic_uint *counter, unsigned n)
{
	unsigned old =
		atomic_fetch_sub_explicit(counter, n, memory_order_acq_rel);

	VDO_CHECK(old >= n);
	return old == n;
}

static void take(struct holds *h, atomic_uint *counter)
{
	unsigned old =
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);

	VDO_ASSERT(old > 0 || !nobody(&h->entries));
}

static void notify(struct journal *j)
{
	if (!atomic_exchange_explicit(&j->notified, true, memory_order_acq_rel))
		completion_post(&j->let_go);
}

void holds_let_go(struct completion *c)
{
	struct journal *j = container_of(c, struct journal, let_go);

	VDO_ASSERT(queue_is_current(j->queue));
	VDO_CHECK(atomic_load(&j->notified));
	atomic_exchange_explicit(&j->notified, false, memory_order_acq_rel);
	commit_ask(j);
}

bool holds_suspend(struct journal *j)
{
	VDO_ASSERT(queue_is_current(j->queue));
	return !atomic_exchange_explicit(&j->notified, true,
					 memory_order_acq_rel);
}

void holds_resume(struct journal *j)
{
	VDO_ASSERT(atomic_load(&j->notified)); /* since holds_suspend() */
	atomic_exchange_explicit(&j->notified, false, memory_order_acq_rel);
}

void journal_hold_map(struct journal *j, seq_t seq)
{
	struct holds *h = holds_of(j, seq);

	take(h, &h->map);
}

void journal_release_map(struct journal *j, seq_t seq)
{
	if (drop(&holds_of(j, seq)->map, 1))
		notify(j);
}

void journal_hold_slab(struct journal *j, seq_t seq)
{
	struct holds *h = holds_of(j, seq);

	take(h, &h->slab);
}

void journal_release_slab(struct journal *j, seq_t seq)
{
	if (drop(&holds_of(j, seq)->slab, 1))
		notify(j);
}

void journal_release_entry(struct journal *j, seq_t seq)
{
	if (drop(&holds_of(j, seq)->entries, 1))
		notify(j);
}

void journal_release_entries(struct journal *j, seq_t seq, unsigned n)
{
	VDO_CHECK(n >= 1 && n <= JOURNAL_ENTRIES_PER_BLOCK);
	if (drop(&holds_of(j, seq)->entries, n))
		notify(j);
}

void holds_open(struct journal *j, seq_t seq)
{
	struct holds *h = holds_of(j, seq);

	VDO_ASSERT(nobody(&h->entries));
	VDO_ASSERT(nobody(&h->map) && nobody(&h->slab));
	atomic_store_explicit(&h->entries, JOURNAL_ENTRIES_PER_BLOCK + 1,
			      memory_order_relaxed);
}

/* Let go of @n entries. Nobody is notified, because a round follows. */
void holds_drop(struct journal *j, seq_t seq, unsigned n)
{
	VDO_ASSERT(n >= 1 && n <= JOURNAL_ENTRIES_PER_BLOCK + 1);
	(void)drop(&holds_of(j, seq)->entries, n);
}

bool holds_scan(struct journal *j)
{
	seq_t map = j->map_head;
	seq_t slab = j->slab_head;
	bool saved = j->save && j->active == 0;
	seq_t limit = saved ? j->tail : j->durable;

	VDO_ASSERT(MAX(map, slab) <= j->durable + 1);
	for (; map < limit; map++) {
		struct holds *h = holds_of(j, map);

		if (!nobody(&h->entries) || !nobody(&h->map))
			break;
	}
	for (; slab < limit; slab++) {
		struct holds *h = holds_of(j, slab);

		if (!nobody(&h->entries) || !nobody(&h->slab))
			break;
	}
	j->next_map_head = map;
	j->next_slab_head = slab;
	return map != j->map_head || slab != j->slab_head;
}
