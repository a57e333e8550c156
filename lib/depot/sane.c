/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks over slabs, slab journals and zones, for VDO_CHECK, tests and the
 * simulation: do counts, lists, locks and sequence numbers agree?
 *
 * Each walk wants to be on the zone's queue, between two messages. Nothing here
 * is changed by other threads, but for claims, which only grow up to a limit.
 * In read-only mode what failed keeps what it held, so there are counts that
 * are too high then, and none that are too low.
 */
#include "build.h"

#include "depot/depot_priv.h"

/* ---------------------------------------------------------------- counters */

/* Counters of block @index that are not 0, and those that are provisional. */
static uint32_t count_used(const struct slab *s, uint32_t index,
			   uint32_t *provisional)
{
	const uint8_t *c = s->counts + (size_t)index * COUNTS_PER_BLOCK;
	uint32_t size = refs_block_size(s, index);
	uint32_t n = 0;

	for (uint32_t i = 0; i < size; i++) {
		n += c[i] != 0;
		*provisional += c[i] == COUNT_PROVISIONAL;
	}
	return n;
}

static bool ref_block_sane(const struct slab *s, const struct ref_block *b)
{
	const struct slab_journal *sj = s->journal;

	return b->lock == 0 ||
	       (b->dirty && b->lock >= sj->head && b->lock <= sj->tail);
}

/* The line has the blocks that are dirty and not on their way. */
static bool dirty_sane(const struct slab *s)
{
	size_t waiting = 0, in_line = 0;
	uint32_t writing = 0;

	for (uint32_t i = 0; i < s->zone->depot->ref_blocks; i++) {
		const struct ref_block *b = &s->blocks[i];

		if (!ref_block_sane(s, b))
			return false;
		waiting += b->dirty && !b->writing;
		writing += b->writing;
	}
	for (struct waiter *w = s->dirty.first; w != NULL; w = w->next) {
		const struct ref_block *b =
			container_of(w, struct ref_block, link);

		if (!b->dirty || b->writing || ++in_line > waiting)
			return false;
	}
	return in_line == waiting && s->dirty.count == waiting &&
	       s->writing == writing && s->wanted <= waiting &&
	       (!s->waiting || s->wanted > 0);
}

/* I27, and the locks' part of I26: @provisional gets what needs a lock. */
static bool counts_sane(const struct slab *s, uint32_t *provisional)
{
	const struct depot *d = s->zone->depot;
	uint32_t before = *provisional;
	uint64_t used = 0;

	for (uint32_t i = 0; i < d->ref_blocks; i++) {
		uint32_t n = count_used(s, i, provisional);

		if (s->blocks[i].allocated != n)
			return false;
		used += n;
	}
	return s->free_count + used == d->geo.data_blocks &&
	       s->provisional == *provisional - before;
}

/*
 * The open slab is in no list; others are in that of their priority, or the
 * zone is not loaded. An adjustment that damage made fail has ended read-only:
 * it is in the journal, and its slab was not enlisted anew.
 */
static bool place_sane(const struct slab *s)
{
	bool listed = !list_empty(&s->node.link);

	if (s->open != (s->zone->open == s) || (s->open && listed))
		return false;
	if (s->state > SLAB_UNLOADED || s->loading)
		return scrubber_place_sane(s);
	return !listed || s->node.priority == alloc_priority(s) ||
	       zone_read_only(s->zone);
}

static bool unused_sane(const struct slab *s)
{
	return s->counts == NULL && s->blocks == NULL && !s->open &&
	       s->free_count == s->zone->depot->geo.data_blocks &&
	       waitq_empty(&s->dirty) && s->writing == 0;
}

/* What counts.c says of it. Without counts nothing hangs on them. */
static bool memory_sane(const struct slab *s)
{
	bool there = s->counts != NULL;

	if (there != (s->blocks != NULL) ||
	    (there && !s->leaving) != !list_empty(&s->in_memory))
		return false;
	if (!there && (!waitq_empty(&s->dirty) || s->writing != 0 || s->leaving))
		return false;
	if (s->state == SLAB_REBUILT)
		return there && s->exact && !s->behind && !s->loading &&
		       !s->leaving && waitq_empty(&s->lockers);
	return s->locks == 0 && !s->open && (!s->behind || !s->exact) &&
	       (s->state != SLAB_UNLOADED || there == s->leaving) &&
	       (s->loading || s->state > SLAB_UNLOADED ||
		waitq_empty(&s->lockers));
}

/* Walk over a slab, and add to @provisional what needs a lock. */
static bool check_slab(const struct slab *s, uint32_t *provisional)
{
	if (!place_sane(s) || s->cursor > s->zone->depot->geo.data_blocks)
		return false;
	if (s->journal == NULL)
		return unused_sane(s);
	if (!memory_sane(s) || !slabjournal_sane(s->journal) ||
	    (s->blocks != NULL && !dirty_sane(s)))
		return false;
	/* While they are read and scrubbed they are not complete. */
	return s->state != SLAB_REBUILT || counts_sane(s, provisional);
}

bool slab_sane(const struct slab *s)
{
	uint32_t provisional = 0;

	return check_slab(s, &provisional);
}

/* ------------------------------------------------------------ slab journal */

static bool order_sane(const struct slab_journal *sj, uint64_t ring)
{
	return sj->head > 0 && sj->head <= sj->reap_to &&
	       sj->reap_to <= sj->summarized &&
	       sj->summarized <= sj->updating_to &&
	       sj->updating_to <= sj->next_commit &&
	       sj->next_commit <= sj->tail &&
	       sj->tail - sj->head <= ring - (sj->entries > 0) &&
	       sj->flushed.tail <= sj->done.tail &&
	       sj->done.tail <= sj->updating_to &&
	       (sj->reaping || sj->reap_to == sj->head ||
		zone_read_only(sj->slab->zone)) &&
	       (sj->updating || sj->updating_to == sj->summarized ||
		zone_read_only(sj->slab->zone));
}

/* The tail: what is in it, why no more may come, and who knows of it. */
static bool tail_sane(const struct slab_journal *sj)
{
	unsigned most = sj->has_map ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX;
	bool listed = !list_empty(&sj->by_held);
	struct journal_point applied = point_unpack(sj->slab->applied);

	if (sj->entries > most || (sj->has_map && sj->entries == 0) ||
	    listed != (sj->entries > 0 && !(sj->stops & STOP_IO)))
		return false;
	if (sj->entries == most && !(sj->stops & STOP_IO) &&
	    !zone_read_only(sj->slab->zone))
		return false; /* it would have been written */
	if ((sj->stops & STOP_PARTIAL) &&
	    (sj->partial < sj->summarized || sj->partial >= sj->tail))
		return false;
	return applied.seq < sj->tail ||
	       (applied.seq == sj->tail && applied.entry < sj->entries);
}

/* Blocks under write are in order, and the oldest ends what is written. */
static bool writing_sane(const struct slab_journal *sj)
{
	seq_t last = 0;

	list_for_each (n, &sj->writing) {
		const struct meta_io *io = list_entry(n, struct meta_io, link);

		if (io->slab != sj->slab || io->seq <= last ||
		    io->seq < sj->next_commit || io->seq >= sj->tail)
			return false;
		if (last == 0 && io->seq != sj->next_commit &&
		    !zone_read_only(sj->slab->zone))
			return false;
		last = io->seq;
	}
	return last != 0 || sj->next_commit == sj->tail ||
	       zone_read_only(sj->slab->zone);
}

/* Writes of reference blocks that will let go of block @seq. A buffer is in
 * such a write if it is in no list. */
static unsigned releases(const struct slab_journal *sj, seq_t seq)
{
	const struct io_pool *p = &sj->slab->zone->pool;
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n += list_empty(&p->ios[i].link) &&
		     p->ios[i].slab == sj->slab && p->ios[i].seq == seq;
	return n;
}

static unsigned lock_owners(const struct slab_journal *sj, seq_t seq)
{
	const struct slab *s = sj->slab;
	unsigned n = releases(sj, seq);

	for (uint32_t i = 0;
	     s->blocks != NULL && i < s->zone->depot->ref_blocks; i++)
		n += s->blocks[i].lock == seq;
	return n;
}

/* E trap 21: one for the summary, and one a reference block. */
static bool lock_sane(const struct slab_journal *sj, seq_t seq,
		      const struct sj_lock *lock)
{
	bool unsummarized = seq >= sj->summarized;
	unsigned owners;

	if (seq < sj->reap_to)
		return lock->count == 0 && lock->held == 0;
	owners = unsummarized + lock_owners(sj, seq);
	if ((unsummarized && sj->slab->state != SLAB_REPLAYING) !=
		    (lock->held != 0) ||
	    (seq == sj->tail &&
	     (lock != sj->tail_lock || lock->held != sj->held)))
		return false;
	return lock->count == owners ||
	       (lock->count > owners && zone_read_only(sj->slab->zone));
}

bool slabjournal_sane(const struct slab_journal *sj)
{
	uint64_t ring = sj->slab->zone->depot->slab.slab_journal_blocks;
	/* A tail without entries may find its place in use. */
	seq_t end = sj->tail + (sj->entries > 0);

	if (!order_sane(sj, ring) || !tail_sane(sj) || !writing_sane(sj))
		return false;
	for (seq_t next = end; next < end + ring; next++)
		if (!lock_sane(sj, next > ring ? next - ring : 0,
			       &sj->locks[next % ring]))
			return false;
	/* Entries wait for a reason. */
	return waitq_empty(&sj->waiting) || sj->stops != 0 || sj->blocked ||
	       zone_read_only(sj->slab->zone);
}

/* ------------------------------------------------------------------- zones */

static bool lock_entry_sane(const struct depot_zone *z,
			    const struct intmap_slot *slot)
{
	const struct pbn_lock *lock = slot->value;
	const struct slab *s;
	unsigned claims;

	if (lock->pbn != slot->key || lock->holders == 0 ||
	    !is_data_block(&z->depot->geo, slot->key))
		return false;
	s = slab_at(z->depot, slot->key);
	claims = atomic_load_explicit(&lock->claims, memory_order_relaxed);
	if (lock->slab != s || s->zone != z || s->counts == NULL ||
	    claims > lock->limit)
		return false;
	return lock->provisional ==
	       (s->counts[slot->key - s->start] == COUNT_PROVISIONAL);
}

/* I26: whoever is provisional has a lock that owns it. */
static bool locks_sane(const struct depot_zone *z, uint32_t provisional)
{
	unsigned left = z->locks_used - (unsigned)z->locks.count;
	uint32_t owned = 0;

	if (z->locks_used < z->locks.count || !intmap_sane(&z->locks))
		return false;
	for (uint64_t i = 0; i <= z->locks.mask; i++) {
		const struct intmap_slot *slot = &z->locks.slots[i];

		if (slot->value == NULL)
			continue;
		if (!lock_entry_sane(z, slot))
			return false;
		owned += ((struct pbn_lock *)slot->value)->provisional;
	}
	for (const struct pbn_lock *l = z->locks_free; l != NULL;
	     l = l->next_free)
		if (left-- == 0)
			return false;
	return left == 0 && owned == provisional;
}

static bool levels_sane(const struct depot_zone *z, const struct prioq *q,
			uint64_t listed)
{
	for (unsigned i = 0; i < PRIOQ_LEVELS; i++) {
		const struct list_node *list = &q->lists[i];

		if (list_empty(list) != !(q->used >> i & 1))
			return false;
		list_for_each (n, list) {
			const struct slab *s =
				list_entry(n, struct slab, node.link);

			if (s->zone != z || s->node.priority != i ||
			    listed-- == 0)
				return false;
		}
	}
	return listed == 0;
}

/* Journals with entries in their tails, by what these hold. */
static bool tails_sane(const struct depot_zone *z)
{
	seq_t last = 0;

	list_for_each (n, &z->open_tails) {
		const struct slab_journal *sj =
			list_entry(n, struct slab_journal, by_held);

		if (sj->slab->zone != z || sj->held < last)
			return false;
		last = sj->held;
	}
	return true;
}

/* Invariant 1: what is under way is counted. */
static bool pending_sane(const struct depot_zone *z)
{
	size_t n = z->pool.waiting.count + z->preparing;
	unsigned idle = 0;

	list_for_each (node, &z->pool.free)
		idle++;
	if (idle > z->pool.count || (idle > 0 && !waitq_empty(&z->pool.waiting)))
		return false;
	for (unsigned i = 0; i < SUMMARY_ZONE_BLOCKS; i++) {
		const struct summary_block *b = &z->summary.blocks[i];

		n += b->writing;
		if (!b->writing &&
		    !(waitq_empty(&b->waiting) && waitq_empty(&b->covered)))
			return false;
	}
	/* Who waits for a slab that is ready waits for a message. */
	if (!z->preparing && !waitq_empty(&z->waiting))
		return false;
	/* Who waits for a slab that is scrubbed waits for a scrubber; or for blocks
	 * that are on their way back. */
	if (!scrubber_runs(z) && z->reclaim.count == 0 &&
	    !waitq_empty(&z->patient))
		return false;
	return z->pending >= n + z->pool.count - idle;
}

/* Runs are of the open slab, before its cursor, and no block is in two. */
static bool runs_sane(const struct depot_zone *z)
{
	uint32_t cursor = z->open != NULL ? z->open->cursor : 0;

	for (unsigned i = 0; i < ALLOC_STREAMS; i++) {
		const struct alloc_run *a = &z->runs[i];

		if (a->at == a->end)
			continue;
		if (a->at > a->end || a->end > cursor)
			return false;
		for (unsigned k = 0; k < i; k++) {
			const struct alloc_run *b = &z->runs[k];

			if (b->at != b->end && a->at < b->end && b->at < a->end)
				return false;
		}
	}
	return true;
}

/* The sums of counts.c. */
static bool memory_counted(const struct depot_zone *z)
{
	const struct counts_memory *m = &z->counts;
	uint64_t used = 0, leaving = 0, promising = 0, estimated = 0;
	uint64_t behind = 0, locks = 0;

	for (const struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s)) {
		used += s->counts != NULL;
		leaving += s->leaving;
		promising += s->promising;
		estimated += !s->exact;
		behind += s->behind;
		locks += s->locks;
		if (s->promising && !s->loading)
			return false;
	}
	return used == m->used && leaving == m->leaving &&
	       promising == m->promising && locks == z->locks.count &&
	       estimated == counter_get(&z->stats.slabs_estimated) &&
	       behind == counter_get(&z->stats.slabs_behind);
}

/* What is on its way back is claimed, and nothing is without a pass. */
static bool reclaim_sane(const struct depot_zone *z)
{
	const struct zone_reclaim *r = &z->reclaim;

	if (r->count == 0)
		return r->runs || r->slab == NULL;
	if (!r->runs || r->slab == NULL || r->slab->state != SLAB_REBUILT)
		return false;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->slab->counts[r->start + i] != COUNT_PROVISIONAL)
			return false;
	return true;
}

bool depot_zone_sane(const struct depot_zone *z)
{
	uint32_t provisional = 0;
	uint64_t slabs = 0, listed = 0, used = 0, unscrubbed = 0, taken = 0;
	uint64_t wanted = 0;

	for (const struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s)) {
		if (!check_slab(s, &provisional))
			return false;
		slabs++;
		if (s->loading)
			wanted++;
		else if (s->state <= SLAB_UNLOADED)
			listed += !list_empty(&s->node.link);
		else
			unscrubbed += !list_empty(&s->node.link);
		taken += s->state == SLAB_REBUILDING && !s->loading;
		used += z->depot->geo.data_blocks - s->free_count;
	}
	/* All slabs are enlisted at once, but for the open one, and those that
	 * are being scrubbed or loaded. */
	if (listed + unscrubbed != 0 &&
	    listed + (z->open != NULL) + unscrubbed + taken + wanted != slabs)
		return false;
	if (!reclaim_sane(z))
		return false;
	return used - z->reclaim.count == counter_get(&z->stats.allocated) &&
	       locks_sane(z, provisional - z->reclaim.count) && levels_sane(z, &z->slabs, listed) &&
	       levels_sane(z, &z->unscrubbed, unscrubbed) &&
	       counter_get(&z->stats.slabs_unscrubbed) ==
		       unscrubbed + taken &&
	       tails_sane(z) && pending_sane(z) && runs_sane(z) &&
	       memory_counted(z);
}

bool depot_sane(const struct depot *d)
{
	for (unsigned i = 0; i < d->zone_count; i++)
		if (!depot_zone_sane(&d->zones[i]))
			return false;
	return true;
}
