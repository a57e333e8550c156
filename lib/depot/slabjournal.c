/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slab journal of one slab: entries, and the blocks that they fill. What
 * becomes of blocks on disk is in slabspace.c.
 *
 * Positions must be reproducible from the recovery journal (E 7.5): after a
 * crash replay makes the same entries again and compares their positions with
 * what reference blocks remember. A block ends when it is full; when a map
 * increment meets 1299 entries; or, as a partial block, when somebody asks. The
 * last kind replay cannot guess, so no entry follows until the disk tells
 * (STOP_PARTIAL). A wait for a buffer (STOP_IO) stops entries too.
 *
 * The last block of the ring leads to offset 0, which without the load flag means
 * that there is no journal (V 7.5). So the counts are written before it is begun:
 * this sets the flag [stop_unwritten]. It comes to that in small rings, and where
 * a slab that was never written is replayed.
 *
 * In replay the same functions make entries, so that there is one set of rules.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <vdo/error.h>

#include "base/alloc.h"

static inline bool is_full(const struct slab_journal *sj)
{
	return sj->entries >=
	       (sj->has_map ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX);
}

uint64_t slabjournal_bytes(const struct depot *d)
{
	return alloc_bytes(16, 1, sizeof(struct slab_journal)) +
	       alloc_bytes(16, 1, BLOCK_SIZE) +
	       alloc_bytes(16, d->slab.slab_journal_blocks,
			   sizeof(((struct slab_journal *)NULL)->locks[0]));
}

int slabjournal_create(struct slab *s)
{
	struct slab_journal *sj = alloc_zeroed(1, sizeof(*sj));

	VDO_ASSERT(s->journal == NULL);
	if (sj == NULL)
		return -ENOMEM;
	s->journal = sj;
	sj->slab = s;
	sj->block = alloc_zeroed(1, BLOCK_SIZE);
	sj->locks = alloc_zeroed(s->zone->depot->slab.slab_journal_blocks,
				 sizeof(*sj->locks));
	list_init(&sj->by_held);
	list_init(&sj->writing);
	waitq_init(&sj->waiting);
	if (sj->locks != NULL)
		slabjournal_set(sj, 1, 1, 0, true);
	return sj->block != NULL && sj->locks != NULL ? 0 : -ENOMEM;
}

void slabjournal_destroy(struct slab_journal *sj)
{
	if (sj == NULL)
		return;
	alloc_free(sj->block);
	alloc_free(sj->locks);
	alloc_free(sj);
}

void slabjournal_set(struct slab_journal *sj, seq_t head, seq_t tail,
		     uint64_t last_point, bool clean)
{
	VDO_ASSERT(head > 0 && head <= tail && sj->entries == 0);
	VDO_ASSERT(list_empty(&sj->writing));
	sj->head = head;
	sj->reap_to = head;
	sj->tail = tail;
	sj->next_commit = tail;
	sj->summarized = tail;
	sj->updating_to = tail;
	sj->last_point = last_point;
	sj->done = (struct sj_named){tail, clean};
	sj->flushed = sj->done;
	if (tail > 1)
		slabjournal_lock(sj, tail - 1)->head = head;
}

/* -------------------------------------------------------------- committing */

static void write_done(struct completion *c)
{
	struct meta_io *io = container_of(c, struct meta_io, mio.done);
	struct slab_journal *sj = io->slab->journal;
	struct depot_zone *z = io->zone;

	VDO_ASSERT(io->seq >= sj->next_commit && io->seq < sj->tail);
	list_remove(&io->link);
	if (c->result != 0) {
		/* No summary may name it: next_commit stays. */
		readonly_enter(z->depot->readonly, c->result,
			       "depot: slab journal not written, slab=%u",
			       (unsigned)io->slab->number);
	} else if (!zone_read_only(z)) {
		counter_inc(&z->stats.journal_blocks_written);
		sj->next_commit = list_empty(&sj->writing)
					  ? sj->tail
					  : list_entry(sj->writing.next,
						       struct meta_io, link)
						    ->seq;
		slabspace_summarize(sj);
	}
	metaio_release(io);
}

static void next_tail(struct slab_journal *sj)
{
	VDO_ASSERT(sj->tail < SEQ_MAX);
	sj->tail++;
	sj->entries = 0;
	sj->has_map = false;
	memset(sj->block, 0, BLOCK_SIZE);
}

static void write_tail(struct slab_journal *sj, struct meta_io *io)
{
	struct slab *s = sj->slab;
	struct depot *d = s->zone->depot;
	struct slab_journal_header h = {
		.head = sj->head,
		.seq = sj->tail,
		.recovery_point = point_unpack(sj->last_point),
		.nonce = d->nonce,
		.type = SLAB_JOURNAL_TYPE,
		.has_map_increments = sj->has_map,
		.entries = sj->entries,
	};

	VDO_ASSERT(sj->entries > 0 && sj->tail - sj->head < slabjournal_ring(sj));
	sj->tail_lock->head = sj->head;
	slab_journal_header_encode(&h, sj->block);
	memcpy(io->buf, sj->block, BLOCK_SIZE);
	io->slab = s;
	io->seq = sj->tail;
	list_push_back(&sj->writing, &io->link);
	if (!is_full(sj)) {
		sj->partial = sj->tail;
		sj->stops |= STOP_PARTIAL;
	}
	next_tail(sj);
	completion_init(&io->mio.done, s->zone->queue, write_done);
	mio_write(&io->mio, d->storage, MIO_SLAB,
		  slabjournal_start(s) + io->seq % slabjournal_ring(sj), 1, io->buf,
		  false);
}

static void buffer_ready(struct metaio_wait *w, struct meta_io *io)
{
	struct slab_journal *sj =
		container_of(w, struct slab_journal, metaio_wait);

	VDO_ASSERT(sj->stops & STOP_IO);
	if (zone_read_only(sj->slab->zone)) {
		slabjournal_abort(sj);
		metaio_release(io);
		return;
	}
	sj->stops &= ~STOP_IO;
	write_tail(sj, io);
	slabjournal_run(sj);
}

void slabjournal_commit(struct slab_journal *sj)
{
	struct depot_zone *z = sj->slab->zone;
	struct meta_io *io;

	if ((sj->stops & STOP_IO) || zone_read_only(z))
		return;
	VDO_ASSERT(sj->entries > 0);
	list_remove(&sj->by_held);
	io = metaio_take(z, sj->slab);
	if (io != NULL) {
		write_tail(sj, io);
		return;
	}
	counter_inc(&z->stats.journal_tail_busy);
	sj->stops |= STOP_IO;
	sj->metaio_wait.ready = buffer_ready;
	metaio_wait(z, &sj->metaio_wait);
}

/* ----------------------------------------------------------------- entries */

/* Without room on disk all counts are written, and entries are made again when
 * blocks were reaped. */
static bool stop_full(struct slab_journal *sj, counter_t *counter)
{
	VDO_ASSERT(sj->entries == 0);
	if (!sj->blocked)
		counter_inc(counter);
	sj->blocked = true;
	scrubber_want(sj->slab);
	if (sj->slab->state == SLAB_REBUILT) {
		refs_write_all(sj->slab);
		refs_check_clean(sj->slab);
	} else if (sj->slab->state == SLAB_REPLAYING && sj->tail == 1) {
		refs_check_clean(sj->slab); /* after a rebuild, in a ring of 2 */
	}
	slabspace_reap(sj);
	return false;
}

/*
 * The block will lead to offset 0: the load flag must be set before, so that the
 * counts must be written. Those of a slab that is not scrubbed are all 0 then, of
 * no entry, and all entries are in the journal.
 */
static bool stop_unwritten(struct slab_journal *sj)
{
	struct slab *s = sj->slab;

	VDO_ASSERT(sj->head == 1 && sj->entries == 0);
	if (s->state == SLAB_UNLOADED ||
	    (s->state == SLAB_REBUILT && sj->tail > 1))
		return stop_full(sj, &s->zone->stats.journal_blocked);
	for (uint32_t i = 0; !sj->blocked && i < s->zone->depot->ref_blocks;
	     i++)
		refs_dirty_block(s, i);
	sj->blocked = true;
	refs_write_all(s);
	refs_check_clean(s);
	return false;
}

/* The longer the journal, the more counts are written for each new block; they
 * are loaded for that if they were dropped. */
static void relieve(struct slab_journal *sj, uint64_t length)
{
	struct slab *s = sj->slab;
	const struct depot *d = s->zone->depot;
	size_t dirty = s->dirty.count;

	if (length < d->slab.flushing_threshold)
		return;
	if (s->state == SLAB_UNLOADED)
		(void)counts_load(s);
	if (s->state != SLAB_REBUILT)
		return;
	VDO_ASSERT(length < d->slab.blocking_threshold);
	counter_inc(&s->zone->stats.journal_flush);
	if (length < d->deadline)
		dirty = MAX(dirty / (d->deadline - length + 1), 1);
	refs_write(s, dirty);
}

/* Keep the zone's journals ordered by what they hold. */
static void enlist(struct slab_journal *sj)
{
	struct list_node *head = &sj->slab->zone->open_tails;
	struct list_node *pos = head;

	VDO_ASSERT(list_empty(&sj->by_held));
	while (pos->prev != head &&
	       list_entry(pos->prev, struct slab_journal, by_held)->held >
		       sj->held)
		pos = pos->prev;
	list_insert(pos, &sj->by_held);
}

/* Is there room on disk for the tail? If not, it is being made. */
static bool has_space(struct slab_journal *sj)
{
	const struct slab *s = sj->slab;
	struct depot_zone *z = s->zone;

	if (unlikely(s->state == SLAB_REPLAYING))
		slabspace_forget(sj);
	else if (sj->tail - sj->head >= z->depot->slab.blocking_threshold)
		return stop_full(sj, &z->stats.journal_blocked);
	/* With a head beyond the first block, the next entry has the flag. */
	if (unlikely((sj->tail + 1) % slabjournal_ring(sj) == 0 &&
		     sj->head == 1 && !summary_get(s).load))
		return stop_unwritten(sj);
	if (!slabspace_is_free(sj))
		return stop_full(sj, &z->stats.journal_disk_full);
	return true;
}

/* Hold block @seq of the recovery journal, where the first entry of the tail
 * is; in replay nobody can reuse it. */
static void hold(struct slab_journal *sj, seq_t seq)
{
	struct sj_lock *lock = slabjournal_lock(sj, sj->tail);

	if (unlikely(sj->slab->state == SLAB_REPLAYING))
		seq = 0;
	else
		journal_hold_slab(sj->slab->zone->depot->journal, seq);
	lock->count = 1;
	lock->held = seq;
	sj->tail_lock = lock;
	sj->held = seq;
}

/* Begin the tail: its first entry is in block @seq of the recovery journal. */
static bool open_block(struct slab_journal *sj, seq_t seq)
{
	struct slab *s = sj->slab;

	VDO_ASSERT(sj->entries == 0 && sj->stops == 0 && seq > 0);
	VDO_ASSERT(s->state != SLAB_REBUILDING);
	if (!has_space(sj))
		return false;
	if (unlikely(sj->tail >= SEQ_MAX)) {
		readonly_enter(s->zone->depot->readonly, -EOVERFLOW,
			       "depot: no sequence number left, slab=%u",
			       (unsigned)s->number);
		return false;
	}
	sj->blocked = false;
	hold(sj, seq);
	enlist(sj);
	relieve(sj, sj->tail - sj->head);
	if (sj->tail == 1 && s->state == SLAB_REBUILT)
		refs_dirty_all(s);
	return true;
}

static inline bool make_room(struct slab_journal *sj, const struct refs_op *op)
{
	if (unlikely(sj->stops != 0))
		return false;
	if (unlikely(op->kind == REFS_MAP_INCREMENT &&
		     sj->entries >= SLAB_FULL_ENTRIES_MAX)) {
		slabjournal_commit(sj);
		if (sj->stops != 0)
			return false;
	}
	if (unlikely(sj->entries == 0))
		return open_block(sj, op->point.seq);
	return true;
}

/* Make the entry in the tail, which has room, and change the counter. */
static int add(struct slab_journal *sj, const struct refs_op *op)
{
	struct slab *s = sj->slab;
	struct journal_point at = {sj->tail, sj->entries};
	struct slab_journal_entry e = {
		.offset = (uint32_t)(op->pbn - s->start),
		.increment = op->kind != REFS_DECREMENT,
		.map = op->kind == REFS_MAP_INCREMENT,
	};
	int r = 0;

	VDO_CHECK(sj->entries < SLAB_ENTRIES_MAX && sj->stops == 0);
	sj->last_point = slabjournal_expand(op);
	slab_journal_put(sj->block, sj->entries++, &e);
	if (e.map)
		sj->has_map = true;
	if (likely(s->state == SLAB_REBUILT))
		r = refs_adjust(s, e.offset, op->kind, at);
	else if (s->state == SLAB_UNLOADED)
		counts_fall_behind(s);
	if (unlikely(is_full(sj)))
		slabjournal_commit(sj);
	return r;
}

static int out_of_order(const struct slab_journal *sj, const struct refs_op *op)
{
	VDO_ASSERT(slabjournal_has(sj, op));
	readonly_enter(sj->slab->zone->depot->readonly, -VDO_ECORRUPT,
		       "depot: slab journal entry out of order, slab=%u "
		       "last=%#llx new=%#llx",
		       (unsigned)sj->slab->number,
		       (unsigned long long)sj->last_point,
		       (unsigned long long)slabjournal_expand(op));
	return -VDO_ECORRUPT;
}

static int adjust_error(struct depot *d, const struct refs_op *op)
{
	if (readonly_entered(d->readonly))
		return -VDO_EREADONLY;
	readonly_enter(d->readonly, -VDO_ECORRUPT,
		       "depot: no such block to count, pbn=%llu",
		       (unsigned long long)op->pbn);
	return -VDO_ECORRUPT;
}

static inline bool in_slab(const struct slab *s, pbn_t pbn)
{
	return pbn - s->start < s->zone->depot->geo.data_blocks;
}

/* On to the next block of @s in a run of new and old ones: there is one. */
static void next_of_pairs(const struct slab *s, struct refs_op *op)
{
	VDO_CHECK(in_slab(s, op->pbn));
	if (op->kind != REFS_INCREMENT || !in_slab(s, op->more->old.pbn)) {
		do {
			op->more++;
			op->news++;
			op->point.entry++;
		} while (!in_slab(s, op->news->pbn) &&
			 !in_slab(s, op->more->old.pbn));
		if (in_slab(s, op->news->pbn)) {
			op->kind = REFS_INCREMENT;
			op->pbn = op->news->pbn;
			return;
		}
	}
	op->kind = REFS_DECREMENT;
	op->pbn = op->more->old.pbn;
}

/* On to the next block of a run; false: there is none, or @result is an error. */
static inline bool next_of_run(const struct slab *s, struct refs_op *op,
			       int result)
{
	if (likely(op->more_count == 0) || result != 0)
		return false;
	if (op->news != NULL) {
		op->more_count--;
		next_of_pairs(s, op);
		return true;
	}
	VDO_CHECK(op->kind == REFS_DECREMENT);
	op->pbn = op->more->old.pbn;
	op->point.entry++;
	op->more++;
	op->more_count--;
	return true;
}

bool depot_adjust(struct depot *d, struct refs_op *op)
{
	struct slab_journal *sj = NULL;

	if (likely(is_data_block(&d->geo, op->pbn)))
		sj = slab_at(d, op->pbn)->journal;
	if (unlikely(sj == NULL || readonly_entered(d->readonly))) {
		completion_fail(&op->done, adjust_error(d, op));
		return true;
	}
	VDO_CHECK(queue_is_current(sj->slab->zone->queue));
	while (likely(waitq_empty(&sj->waiting))) {
		int r;

		if (unlikely(slabjournal_has(sj, op)))
			r = out_of_order(sj, op);
		else if (likely(make_room(sj, op)))
			r = add(sj, op);
		else
			break;
		if (likely(!next_of_run(sj->slab, op, r))) {
			completion_fail(&op->done, r);
			return true;
		}
	}
	waitq_push(&sj->waiting, &op->link);
	return false;
}

void slabjournal_run(struct slab_journal *sj)
{
	struct waiter *w;

	VDO_CHECK(queue_is_current(sj->slab->zone->queue));
	while ((w = sj->waiting.first) != NULL) {
		struct refs_op *op = container_of(w, struct refs_op, link);
		int r;

		if (unlikely(zone_read_only(sj->slab->zone))) {
			slabjournal_abort(sj);
			return;
		}
		if (unlikely(slabjournal_has(sj, op)))
			r = out_of_order(sj, op);
		else if (make_room(sj, op))
			r = add(sj, op);
		else
			return;
		if (next_of_run(sj->slab, op, r))
			continue;
		waitq_pop(&sj->waiting);
		completion_finish(&op->done, r);
	}
}

void slabjournal_abort(struct slab_journal *sj)
{
	struct flow *scrub = sj->scrub;
	struct waitq taken;
	struct waiter *w;

	sj->scrub = NULL;
	if (scrub != NULL)
		flow_go(scrub);
	waitq_take_all(&sj->waiting, &taken);
	while ((w = waitq_pop(&taken)) != NULL)
		completion_finish(&container_of(w, struct refs_op, link)->done,
				  -VDO_EREADONLY);
}
