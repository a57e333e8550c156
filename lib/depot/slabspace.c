/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The space of a slab journal: how far the summary names it, and what of it may
 * be reused.
 *
 *	ring:   head ... summarized ... next_commit ... tail
 *	         |  counts  |  summary     |  being       |  being
 *	         |  not all |  does not    |  written     |  filled,
 *	         |  written |  have them   |              |  in memory
 *
 * Life of a block; each arrow needs the one before it:
 *
 *	open -> full or asked for [slabjournal_commit] -> written
 *	[write_done] -> in the summary [update_done] -> counts written
 *	[slabspace_release] -> synced [reap_done] -> free
 *
 * Scrubbing after a crash begins at the head that the newest block known to the
 * summary has in its header, and needs all blocks from there on. So a slot is
 * reused only when no summary entry that the disk may have then, nor one that
 * is still to come for blocks already written, leads to the block in it
 * [slabspace_is_free]. And replay needs room, from that head on, for the block and
 * for the entries that wait now: so the blocking threshold counts from there, too.
 * With 224 blocks that never has to be waited for; with a few it does, and ends
 * at the latest when all counts are written and the summary says so. In replay a
 * full ring lets go of its oldest block, all of whose entries were in the counts
 * before the crash, or there would have been no room for those that are replayed
 * [slabspace_forget].
 *
 * The lock count of a block is 1 until the summary has it, plus 1 for each
 * reference block that hangs on it: at most 2082 (E trap 21).
 */
#include "build.h"

#include "depot/depot_priv.h"

/* ----------------------------------------------------------------- reaping */

static void reap_done(struct completion *c)
{
	struct slab_journal *sj =
		container_of(c, struct slab_journal, reap_sync.done);
	struct depot_zone *z = sj->slab->zone;

	VDO_ASSERT(sj->reaping);
	sj->reaping = false;
	if (c->result != 0) {
		readonly_enter(z->depot->readonly, c->result,
			       "depot: slab journal not reaped, slab=%u",
			       (unsigned)sj->slab->number);
	} else {
		sj->head = sj->reap_to;
		if (sj->syncing.tail >= sj->flushed.tail)
			sj->flushed = sj->syncing;
		slabjournal_run(sj);
		slabspace_reap(sj);
	}
	zone_leave(z);
}

static bool is_unflushed(const struct slab_journal *sj)
{
	VDO_CHECK(sj->flushed.tail <= sj->done.tail);
	return sj->done.tail != sj->flushed.tail ||
	       sj->done.clean != sj->flushed.clean;
}

/* The blocks before it have no entries that counts in memory or on disk lack, but
 * for those that are dirty, which hold them. */
static seq_t reapable(const struct slab_journal *sj)
{
	switch (sj->slab->state) {
	case SLAB_REBUILT:
		return sj->summarized;
	case SLAB_UNLOADED:
		return MIN(sj->applied_end, sj->summarized);
	default:
		return sj->reap_to;
	}
}

void slabspace_reap(struct slab_journal *sj)
{
	struct depot_zone *z = sj->slab->zone;

	VDO_CHECK(sj->head <= sj->reap_to && sj->reap_to <= sj->summarized);
	if (sj->reaping || zone_read_only(z))
		return;
	while (sj->reap_to < reapable(sj) &&
	       slabjournal_lock(sj, sj->reap_to)->count == 0)
		sj->reap_to++;
	if (sj->reap_to == sj->head && !(sj->blocked && is_unflushed(sj)))
		return;
	sj->reaping = true;
	sj->syncing = sj->done;
	zone_enter(z);
	completion_init(&sj->reap_sync.done, z->queue, reap_done);
	sync_request(z->depot->sync, &sj->reap_sync);
}

void slabspace_release(struct slab_journal *sj, seq_t seq)
{
	struct sj_lock *lock = slabjournal_lock(sj, seq);

	VDO_ASSERT(seq >= sj->head && seq <= sj->tail);
	VDO_ASSERT(lock->count > 0);
	if (--lock->count == 0)
		slabspace_reap(sj);
}

/* ------------------------------------------------------------- the summary */

/*
 * A summary write with this entry is done. Its sync has made the one before
 * durable.
 */
static void note_written(struct slab_journal *sj, seq_t tail, bool clean)
{
	unsigned number = summary_write_number(sj->slab);

	VDO_ASSERT(tail >= sj->done.tail && tail <= sj->updating_to);
	if (number != sj->done_write)
		sj->flushed = sj->done;
	sj->done_write = number;
	sj->done = (struct sj_named){tail, clean};
}

void slabspace_wake(struct slab_journal *sj)
{
	if (likely(sj->scrub == NULL) || !slabspace_rests(sj))
		return;
	flow_go(sj->scrub);
	sj->scrub = NULL;
}

void slabspace_clean(struct slab_journal *sj, seq_t tail, bool clean)
{
	VDO_ASSERT(queue_is_current(sj->slab->zone->queue));
	note_written(sj, tail, clean);
	slabspace_reap(sj);
	slabjournal_run(sj);
	slabspace_wake(sj);
}

static void update_done(struct summary_op *op, int result)
{
	struct slab_journal *sj = container_of(op, struct slab_journal, update);
	struct depot *d = sj->slab->zone->depot;

	sj->updating = false;
	if (result != 0)
		return;
	note_written(sj, sj->updating_to, false);
	for (; sj->summarized < sj->updating_to; sj->summarized++) {
		struct sj_lock *lock = slabjournal_lock(sj, sj->summarized);

		VDO_ASSERT(lock->count > 0);
		lock->count--;
		if (lock->held != 0)
			journal_release_slab(d->journal, lock->held);
		lock->held = 0;
	}
	if ((sj->stops & STOP_PARTIAL) && sj->partial < sj->summarized)
		sj->stops &= ~STOP_PARTIAL;
	slabspace_summarize(sj);
	slabspace_reap(sj);
	slabjournal_run(sj);
	slabspace_wake(sj);
}

bool slabspace_rests(const struct slab_journal *sj)
{
	const struct slab *s = sj->slab;

	return sj->entries == 0 && sj->summarized == sj->tail && !s->leaving &&
	       !sj->updating && !s->cleaning && s->writing == 0 &&
	       waitq_empty(&s->dirty);
}

void slabspace_summarize(struct slab_journal *sj)
{
	struct slab *s = sj->slab;
	struct summary_entry e;

	VDO_ASSERT(sj->next_commit >= sj->summarized);
	if (sj->updating || sj->next_commit == sj->summarized)
		return;
	e = summary_get(s);
	e.tail_offset = (uint8_t)(sj->next_commit % slabjournal_ring(sj));
	e.dirty = true;
	e.load = e.load || sj->head > 1;
	sj->updating = true;
	sj->updating_to = sj->next_commit;
	sj->update.fn = update_done;
	summary_update(s, e, &sj->update);
}

/* ------------------------------------------------------------------- reuse */

/*
 * The newest block that a crash may leave named by the summary. Each load reads
 * it, also that of a clean slab, to know where the journal stands. If another
 * block were in its place, the journal would be taken to stand there.
 */
static seq_t named_block(const struct slab_journal *sj)
{
	return sj->flushed.tail - 1;
}

void slabspace_forget(struct slab_journal *sj)
{
	uint64_t ring = slabjournal_ring(sj);

	VDO_ASSERT(sj->slab->state == SLAB_REPLAYING);
	if (sj->tail - sj->head < ring || sj->tail - named_block(sj) >= ring)
		return;
	VDO_ASSERT(sj->tail - ring < sj->summarized);
	sj->head = sj->tail - ring + 1;
	sj->reap_to = sj->head;
}

bool slabspace_is_free(struct slab_journal *sj)
{
	uint64_t ring = slabjournal_ring(sj);
	/* Beyond it there is room for all that can wait [limit_depth]. */
	uint64_t most = sj->slab->zone->depot->slab.blocking_threshold;
	/* The oldest block whose header may be believed after a crash. */
	seq_t oldest = sj->flushed.clean ? MAX(sj->flushed.tail, 1)
					 : named_block(sj);

	if (sj->tail - sj->head >= ring || sj->tail - named_block(sj) >= ring)
		return false;
	VDO_ASSERT(slabjournal_lock(sj, sj->tail)->count == 0);
	/* Whatever is believed, replay comes first, and ends as this one. */
	return sj->slab->state == SLAB_REPLAYING || oldest == sj->tail ||
	       sj->tail - slabjournal_lock(sj, oldest)->head < most;
}
