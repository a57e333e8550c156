/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scrubbing: the journal of a slab applied to its counters (V 7.5).
 *
 * Each sector of a reference block has its own commit point, so a torn block
 * is repaired by itself: an entry is applied where it is newer than the sector
 * it falls into. All of the ring comes from disk; nothing is believed.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <vdo/error.h>

static int damaged(const struct slab *s, seq_t seq, const char *what)
{
	readonly_enter(s->zone->depot->readonly, -VDO_ECORRUPT,
		       "depot: slab journal is damaged, slab=%u block=%llu: %s",
		       (unsigned)s->number, (unsigned long long)seq, what);
	return -VDO_ECORRUPT;
}

static int check_header(const struct slab *s, seq_t seq,
			const struct slab_journal_header *h)
{
	unsigned entries_max = h->has_map_increments ? SLAB_FULL_ENTRIES_MAX
						     : SLAB_ENTRIES_MAX;

	if (h->nonce != s->zone->depot->nonce)
		return damaged(s, seq, "nonce");
	if (h->type != SLAB_JOURNAL_TYPE)
		return damaged(s, seq, "metadata type");
	if (h->seq != seq)
		return damaged(s, seq, "sequence number");
	if (h->entries > entries_max)
		return damaged(s, seq, "number of entries");
	return 0;
}

/* The count after @e, or -1 if the entry cannot be. */
static int count_after(uint8_t count, const struct slab_journal_entry *e)
{
	if (!e->increment)
		return count == 0 ? -1 : count - 1;
	if (e->map)
		return count == 0 ? (int)REFS_MAX : -1;
	return count == REFS_MAX ? -1 : count + 1;
}

static int apply_entry(struct slab *s, const struct slab_journal_entry *e,
		       uint64_t at, const uint64_t *points)
{
	uint32_t index = e->offset / COUNTS_PER_BLOCK;
	uint32_t sector = e->offset % COUNTS_PER_BLOCK / COUNTS_PER_SECTOR;
	uint8_t *count = &s->counts[e->offset];
	int after;

	if (points[index * SECTORS_PER_BLOCK + sector] >= at)
		return 0;
	after = count_after(*count, e);
	if (after < 0)
		return -VDO_ECORRUPT;
	s->blocks[index].allocated += (uint16_t)((after != 0) - (*count != 0));
	*count = (uint8_t)after;
	refs_dirty_block(s, index);
	return 0;
}

static int apply_block(struct slab *s, seq_t seq, const uint8_t *block,
		       const uint64_t *points)
{
	struct journal_point at = {seq, 0};
	struct slab_journal_header h;
	int r;

	slab_journal_header_decode(block, &h);
	r = check_header(s, seq, &h);
	if (r != 0)
		return r;
	for (; at.entry < h.entries; at.entry++) {
		struct slab_journal_entry e;

		slab_journal_get(block, h.has_map_increments, at.entry, &e);
		if (e.offset >= s->zone->depot->geo.data_blocks)
			return damaged(s, seq, "offset of an entry");
		if (e.map && !e.increment)
			return damaged(s, seq, "kind of an entry");
		if (apply_entry(s, &e, point_pack(at), points) != 0)
			return damaged(s, seq, "entry and count disagree");
		s->applied = point_pack(at);
	}
	return 0;
}

int scrub_apply(struct slab *s, const uint8_t *ring, const uint64_t *points)
{
	const struct slab_journal *sj = s->journal;
	uint64_t size = s->zone->depot->slab.slab_journal_blocks;

	VDO_ASSERT(s->state == SLAB_REBUILDING);
	if (sj->head == 0 || sj->head > sj->tail || sj->tail - sj->head > size)
		return damaged(s, sj->tail, "head");
	for (seq_t seq = sj->head; seq < sj->tail; seq++) {
		int r = apply_block(s, seq, ring + seq % size * BLOCK_SIZE,
				    points);

		if (r != 0)
			return r;
	}
	return 0;
}
