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

int scrub_damaged(const struct slab *s, seq_t seq, const char *what)
{
	readonly_enter(s->zone->depot->readonly, -VDO_ECORRUPT,
		       "depot: slab journal is damaged, slab=%u block=%llu: %s",
		       (unsigned)s->number, (unsigned long long)seq, what);
	return -VDO_ECORRUPT;
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

	VDO_ASSERT(e->offset < s->zone->depot->geo.data_blocks);
	if (points[index * SECTORS_PER_BLOCK + sector] >= at)
		return 0;
	after = count_after(*count, e);
	if (after < 0)
		return -VDO_ECORRUPT;
	s->blocks[index].allocated += (uint16_t)((after != 0) - (*count != 0));
	*count = (uint8_t)after;
	if (after == 0)
		reclaim_note(s, e->offset);
	refs_dirty_block(s, index);
	return 0;
}

static int apply_block(struct slab *s, seq_t seq, const uint8_t *block,
		       const uint64_t *points)
{
	const struct depot *d = s->zone->depot;
	struct journal_point at = {seq, 0};
	struct slab_journal_header h;
	const char *wrong;

	VDO_ASSERT(seq > 0);
	slab_journal_header_decode(block, &h);
	wrong = slab_journal_header_check(&h, d->nonce,
					  d->slab.slab_journal_blocks);
	if (wrong == NULL && h.seq != seq)
		wrong = "sequence number";
	if (wrong != NULL)
		return scrub_damaged(s, seq, wrong);
	for (; at.entry < h.entries; at.entry++) {
		struct slab_journal_entry e;

		slab_journal_get(block, h.has_map_increments, at.entry, &e);
		if (e.offset >= d->geo.data_blocks)
			return scrub_damaged(s, seq, "offset of an entry");
		if (e.map && !e.increment)
			return scrub_damaged(s, seq, "kind of an entry");
		if (apply_entry(s, &e, point_pack(at), points) != 0)
			return scrub_damaged(s, seq, "entry and count disagree");
		s->applied = point_pack(at);
	}
	return 0;
}

int scrub_apply(struct slab *s, const uint8_t *ring, const uint64_t *points)
{
	const struct slab_journal *sj = s->journal;
	uint64_t size = s->zone->depot->slab.slab_journal_blocks;

	VDO_ASSERT(s->state == SLAB_REBUILDING);
	VDO_ASSERT(sj->head <= sj->tail && sj->tail - sj->head <= size);
	for (seq_t seq = sj->head; seq < sj->tail; seq++) {
		int r = apply_block(s, seq, ring + seq % size * BLOCK_SIZE,
				    points);

		if (r != 0)
			return r;
	}
	return 0;
}
