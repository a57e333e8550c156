/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference counters of one slab.
 *
 * A counter says how many mappings share a block: 0 free, 1..254 shared, 254
 * also a block map page, 255 provisional: in memory only, 0 on disk.
 *
 * Reference blocks, 4032 counters each:
 *
 *	             [mark_dirty]            [begin]
 *	clean ---------------------> dirty ----------> writing
 *	  ^                            ^                 |  [mark_dirty]
 *	  |  [write_done]              | [write_done]    v
 *	  +----------------------------+-------- writing and dirty
 *
 * A dirty block holds the slab journal block of the first entry it does not
 * have on disk; a block under write, the one of its image (in the buffer's
 * seq). Later entries need no hold of their own, as the head moves in order.
 * The image is taken before the sync, so all it shows is in durable blocks of
 * the recovery journal (D4).
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <string.h>
#include <vdo/error.h>

#include "base/alloc.h"

int refs_init(struct slab *s)
{
	const struct depot *d = s->zone->depot;

	VDO_ASSERT(d->ref_blocks > 0 && s->counts == NULL && s->blocks == NULL);
	s->counts = alloc_zeroed(d->geo.data_blocks, 1);
	s->blocks = alloc_zeroed(d->ref_blocks, sizeof(*s->blocks));
	waitq_init(&s->dirty);
	return s->counts != NULL && s->blocks != NULL ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------- free blocks */

/* The search goes block by block, and passes over those known to be full. */
static bool search(struct slab *s, uint32_t *offset)
{
	uint32_t data_blocks = (uint32_t)s->zone->depot->geo.data_blocks;
	uint32_t at = s->cursor;

	VDO_CHECK(s->cursor <= data_blocks);
	while (at < data_blocks) {
		uint32_t i = at / COUNTS_PER_BLOCK;
		uint32_t size = refs_block_size(s, i);
		uint32_t end = i * COUNTS_PER_BLOCK + size;
		const uint8_t *p = &s->counts[at];

		if (s->blocks[i].allocated < size) {
			p = memchr(p, 0, end - at);
			if (p != NULL) {
				*offset = (uint32_t)(p - s->counts);
				s->cursor = *offset + 1;
				return true;
			}
		}
		at = end;
	}
	s->cursor = data_blocks;
	return false;
}

bool refs_find(struct slab *s, uint32_t *offset)
{
	uint32_t at = s->cursor;

	VDO_CHECK(s->counts != NULL && at <= s->zone->depot->geo.data_blocks);
	/* In a stream of writes the free block is the very next one. */
	if (unlikely(at >= s->zone->depot->geo.data_blocks ||
		     s->counts[at] != 0))
		return search(s, offset);
	*offset = at;
	s->cursor = at + 1;
	return true;
}

/* @sign 1: a block got taken, -1: a block got free. */
static inline void count_allocated(struct slab *s, uint32_t offset, int sign)
{
	struct depot_zone *z = s->zone;

	VDO_CHECK(sign > 0
			  ? s->free_count > 0
			  : s->blocks[offset / COUNTS_PER_BLOCK].allocated > 0);
	s->blocks[offset / COUNTS_PER_BLOCK].allocated += (uint16_t)sign;
	s->free_count -= (uint32_t)sign;
	counter_add(&z->stats.allocated, (uint64_t)(int64_t)sign);
	if (unlikely((counter_get(&z->stats.allocated) & z->fill_mask) == 0 ||
		     s->free_count == 0))
		fill_look(z);
	if (sign < 0)
		fill_freed(z);
	alloc_reorder(s);
}

void refs_claim(struct slab *s, uint32_t offset)
{
	VDO_CHECK(s->counts[offset] == 0);
	s->counts[offset] = COUNT_PROVISIONAL;
	s->provisional++;
	count_allocated(s, offset, 1);
}

void refs_unclaim(struct slab *s, uint32_t offset)
{
	VDO_CHECK(s->counts[offset] == COUNT_PROVISIONAL && s->provisional > 0);
	s->counts[offset] = 0;
	s->provisional--;
	count_allocated(s, offset, -1);
}

static void count_run(struct slab *s, uint32_t offset, uint32_t n, bool taken)
{
	uint32_t end = offset + n;

	VDO_CHECK(end <= s->zone->depot->geo.data_blocks);
	for (uint32_t at = offset; at < end;) {
		uint32_t i = at / COUNTS_PER_BLOCK;
		uint32_t next = MIN(end, (i + 1) * COUNTS_PER_BLOCK);

		if (taken)
			s->blocks[i].allocated += (uint16_t)(next - at);
		else
			s->blocks[i].allocated -= (uint16_t)(next - at);
		at = next;
	}
	s->free_count = taken ? s->free_count - n : s->free_count + n;
	s->provisional = taken ? s->provisional + n : s->provisional - n;
	alloc_reorder(s);
}

void refs_claim_run(struct slab *s, uint32_t offset, uint32_t n)
{
	VDO_CHECK(s->state == SLAB_REBUILT && n <= s->free_count);
	memset(s->counts + offset, COUNT_PROVISIONAL, n);
	count_run(s, offset, n, true);
}

void refs_unclaim_run(struct slab *s, uint32_t offset, uint32_t n)
{
	VDO_CHECK(s->state == SLAB_REBUILT && n <= s->provisional);
	for (uint32_t i = 0; i < n; i++)
		VDO_CHECK(s->counts[offset + i] == COUNT_PROVISIONAL);
	memset(s->counts + offset, 0, n);
	count_run(s, offset, n, false);
}

/* ------------------------------------------------------------ dirty blocks */

static inline void set_dirty(struct slab *s, struct ref_block *b)
{
	VDO_CHECK(b >= s->blocks && b < s->blocks + s->zone->depot->ref_blocks);
	if (b->dirty)
		return;
	b->dirty = true;
	if (!b->writing)
		waitq_push(&s->dirty, &b->link);
}

/* The block misses an entry of the journal's tail. */
static inline void mark_dirty(struct slab *s, struct ref_block *b)
{
	VDO_CHECK(s->journal->entries > 0 || s->journal->tail_lock != NULL);
	if (b->lock == 0) {
		b->lock = s->journal->tail;
		s->journal->tail_lock->count++;
	}
	set_dirty(s, b);
}

void refs_dirty_all(struct slab *s)
{
	VDO_ASSERT(s->journal->tail == 1); /* once, for the first entry */
	for (uint32_t i = 0; i < s->zone->depot->ref_blocks; i++)
		mark_dirty(s, &s->blocks[i]);
}

void refs_dirty_block(struct slab *s, uint32_t index)
{
	VDO_ASSERT(index < s->zone->depot->ref_blocks);
	set_dirty(s, &s->blocks[index]);
}

/* ----------------------------------------------------------------- changes */

/* The lock of a provisional block no longer owns its reference. */
static void confirm(struct slab *s, uint32_t offset)
{
	struct pbn_lock *lock = pbnlock_find(s->zone, s->start + offset);

	VDO_CHECK(lock == NULL || lock->holders > 0);
	VDO_CHECK(s->provisional > 0);
	s->provisional--;
	if (lock != NULL)
		lock->provisional = false;
}

static bool increment(struct slab *s, uint32_t offset)
{
	uint8_t *c = &s->counts[offset];

	VDO_CHECK(*c == 0 || s->blocks[offset / COUNTS_PER_BLOCK].allocated > 0);
	if (*c == COUNT_PROVISIONAL) {
		if (unlikely(reclaim_has(s, offset)))
			return false;
		confirm(s, offset);
		*c = 1;
		return true;
	}
	if (unlikely(*c == REFS_MAX))
		return false;
	if (++*c == 1)
		count_allocated(s, offset, 1);
	return true;
}

static bool map_increment(struct slab *s, uint32_t offset)
{
	if (s->counts[offset] != COUNT_PROVISIONAL || reclaim_has(s, offset))
		return false;
	confirm(s, offset);
	s->counts[offset] = REFS_MAX;
	return true;
}

/* Drop the last reference; a lock keeps the block from being handed out (E trap
 * 6). */
static void drop_last(struct slab *s, uint32_t offset)
{
	struct pbn_lock *lock = pbnlock_find(s->zone, s->start + offset);

	VDO_CHECK(s->counts[offset] == 1 ||
		  s->counts[offset] == COUNT_PROVISIONAL);
	reclaim_note(s, offset);
	if (lock != NULL) {
		s->provisional += s->counts[offset] == 1;
		s->counts[offset] = COUNT_PROVISIONAL;
		lock->provisional = true;
		return;
	}
	s->provisional -= s->counts[offset] == COUNT_PROVISIONAL;
	s->counts[offset] = 0;
	count_allocated(s, offset, -1);
}

static bool decrement(struct slab *s, uint32_t offset)
{
	uint8_t *c = &s->counts[offset];

	if (*c == 0 ||
	    (unlikely(*c == COUNT_PROVISIONAL) && reclaim_has(s, offset)))
		return false;
	if (*c == 1 || *c == COUNT_PROVISIONAL)
		drop_last(s, offset);
	else
		--*c;
	return true;
}

static bool change(struct slab *s, uint32_t offset, enum refs_kind kind)
{
	VDO_CHECK(offset < s->zone->depot->geo.data_blocks);
	switch (kind) {
	case REFS_INCREMENT:
		return increment(s, offset);
	case REFS_MAP_INCREMENT:
		return map_increment(s, offset);
	case REFS_DECREMENT:
		return decrement(s, offset);
	}
	return false;
}

int refs_adjust(struct slab *s, uint32_t offset, enum refs_kind kind,
		struct journal_point at)
{
	uint8_t before = s->counts[offset];

	VDO_CHECK(s->state == SLAB_REBUILT && at.seq == s->journal->tail);
	s->recent = true;
	if (unlikely(!change(s, offset, kind))) {
		readonly_enter(s->zone->depot->readonly, -VDO_ECORRUPT,
			       "depot: reference count out of range, pbn=%llu "
			       "count=%u kind=%d",
			       (unsigned long long)s->start + offset, before,
			       (int)kind);
		return -VDO_ECORRUPT;
	}
	/* A provisional count is 0 on disk already, so nothing is dirty. */
	if (unlikely(kind == REFS_DECREMENT && before == COUNT_PROVISIONAL))
		return 0;
	s->applied = point_pack(at);
	mark_dirty(s, &s->blocks[offset / COUNTS_PER_BLOCK]);
	return 0;
}

/* ----------------------------------------------------------------- on disk */

void refs_encode(const struct slab *s, uint32_t index, uint8_t *block)
{
	const uint8_t *counts = s->counts + (size_t)index * COUNTS_PER_BLOCK;
	uint32_t left = refs_block_size(s, index);

	VDO_ASSERT(index < s->zone->depot->ref_blocks);
	for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++) {
		uint8_t *out = block + i * SECTOR_SIZE;
		uint32_t n = MIN(left, COUNTS_PER_SECTOR);

		put_u64(out, s->applied);
		out += sizeof(uint64_t);
		for (uint32_t k = 0; k < n; k++)
			out[k] = counts[k] == COUNT_PROVISIONAL ? 0 : counts[k];
		memset(out + n, 0, COUNTS_PER_SECTOR - n);
		counts += n;
		left -= n;
	}
}

void refs_decode(struct slab *s, uint32_t index, const uint8_t *block,
		 uint64_t *points)
{
	uint8_t *counts = s->counts + (size_t)index * COUNTS_PER_BLOCK;
	uint32_t left = refs_block_size(s, index);
	uint32_t allocated = 0;

	VDO_ASSERT(index < s->zone->depot->ref_blocks);
	for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++) {
		const uint8_t *in = block + i * SECTOR_SIZE;
		uint32_t n = MIN(left, COUNTS_PER_SECTOR);

		points[i] = get_u64(in);
		in += sizeof(uint64_t);
		for (uint32_t k = 0; k < n; k++) {
			counts[k] = in[k] == COUNT_PROVISIONAL ? 0 : in[k];
			allocated += counts[k] != 0;
		}
		counts += n;
		left -= n;
	}
	s->blocks[index].allocated = (uint16_t)allocated;
}

/* ------------------------------------------------------------------ writes */

static void clean_done(struct summary_op *op, int result)
{
	struct slab *s = container_of(op, struct slab, clean_op);

	VDO_ASSERT(s->cleaning);
	s->cleaning = false;
	if (result != 0)
		return;
	slabspace_clean(s->journal, s->clean_tail, !s->clean_dirty);
	refs_check_clean(s);
}

/* Have the counts all entries, wherever they are? */
static bool are_complete(const struct slab *s)
{
	VDO_ASSERT(!s->behind || s->state != SLAB_REBUILT);
	return s->state <= SLAB_UNLOADED && !s->behind;
}

void refs_check_clean(struct slab *s)
{
	struct summary_entry e = summary_get(s);
	seq_t tail = s->journal->updating_to;
	uint8_t offset = (uint8_t)(tail % slabjournal_ring(s->journal));

	/* Counts of unscrubbed slabs lack what is in the journal. */
	bool dirty = !are_complete(s) && e.dirty;
	bool said = e.load && e.dirty == dirty && e.tail_offset == offset;

	if (s->cleaning || s->writing != 0 || !waitq_empty(&s->dirty) || said)
		return;
	s->cleaning = true;
	s->clean_dirty = dirty;
	e.load = true;
	e.dirty = dirty;
	e.tail_offset = offset;
	s->clean_tail = tail;
	s->clean_op.fn = clean_done;
	summary_update(s, e, &s->clean_op);
}

static void write_done(struct completion *c)
{
	struct meta_io *io = container_of(c, struct meta_io, mio.done);
	struct slab *s = io->slab;
	struct ref_block *b = &s->blocks[io->index];

	VDO_ASSERT(b->writing && s->writing > 0);
	b->writing = false;
	s->writing--;
	if (b->dirty)
		waitq_push(&s->dirty, &b->link);
	if (c->result != 0) {
		readonly_enter(s->zone->depot->readonly, c->result,
			       "depot: reference counts not written, slab=%u",
			       (unsigned)s->number);
	} else {
		counter_inc(&s->zone->stats.reference_blocks_written);
		refs_check_clean(s);
		if (io->seq != 0)
			slabspace_release(s->journal, io->seq);
		if (s->journal->blocked || s->leaving)
			refs_write_all(s);
		counts_written(s);
	}
	metaio_release(io);
}

static void sync_done(struct completion *c)
{
	struct meta_io *io = container_of(c, struct meta_io, sync.done);
	const struct slab *s = io->slab;
	const struct depot *d = s->zone->depot;

	VDO_ASSERT(s->blocks[io->index].writing);
	completion_init(&io->mio.done, s->zone->queue, write_done);
	if (c->result != 0) {
		completion_finish(&io->mio.done, c->result);
		return;
	}
	mio_write(&io->mio, d->storage, MIO_SLAB,
		  s->start + d->slab.data_blocks + io->index, 1, io->buf,
		  false);
}

static void begin(struct slab *s, struct meta_io *io)
{
	struct ref_block *b =
		container_of(waitq_pop(&s->dirty), struct ref_block, link);

	VDO_ASSERT(b->dirty && !b->writing);
	io->slab = s;
	io->index = (uint32_t)(b - s->blocks);
	io->seq = b->lock;
	b->lock = 0;
	b->dirty = false;
	b->writing = true;
	s->writing++;
	s->wanted--;
	refs_encode(s, io->index, io->buf);
	completion_init(&io->sync.done, s->zone->queue, sync_done);
	sync_request(s->zone->depot->sync, &io->sync);
}

static void buffer_ready(struct metaio_wait *w, struct meta_io *io);

static void pump(struct slab *s)
{
	VDO_ASSERT(s->wanted <= s->dirty.count);
	while (s->wanted > 0 && !s->waiting) {
		struct meta_io *io = metaio_take(s->zone, s);

		if (io != NULL) {
			begin(s, io);
			continue;
		}
		s->waiting = true;
		s->metaio_wait.ready = buffer_ready;
		metaio_wait(s->zone, &s->metaio_wait);
	}
}

static void buffer_ready(struct metaio_wait *w, struct meta_io *io)
{
	struct slab *s = container_of(w, struct slab, metaio_wait);

	VDO_ASSERT(s->waiting && s->wanted > 0);
	s->waiting = false;
	if (zone_read_only(s->zone)) {
		s->wanted = 0;
		metaio_release(io);
		return;
	}
	begin(s, io);
	pump(s);
}

void refs_write(struct slab *s, size_t n)
{
	VDO_CHECK(s->wanted <= s->dirty.count);
	if (zone_read_only(s->zone))
		return;
	s->wanted = (uint32_t)MIN(s->wanted + n, s->dirty.count);
	pump(s);
}
