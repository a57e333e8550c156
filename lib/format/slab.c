/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slabs: how one is divided, journal blocks and summary entries.
 *
 * The bitmap of a slab journal block takes the place of the last 54 entries,
 * so it can be kept only in a block of at most 1299 of them.
 */
#include "build.h"

#include "format/slab.h"

#include <vdo/error.h>

#include "base/assert.h"
#include "format/journal.h"

#define HEADER_SIZE   36
#define ENTRY_SIZE    3
#define BITMAP_OFFSET 3933
#define BITMAP_SIZE   163

/* Smaller slabs have their data blocks rounded down to a power of two. */
#define SLAB_ROUNDED_BELOW 1024

#define HINT_BITS 6
#define HINT_MAX  ((1u << HINT_BITS) - 1)
#define LOAD_BIT  0x40
#define DIRTY_BIT 0x80

_Static_assert(HEADER_SIZE + ENTRY_SIZE * SLAB_FULL_ENTRIES_MAX ==
		       BITMAP_OFFSET,
	       "the bitmap follows the entries");
_Static_assert(BITMAP_OFFSET + BITMAP_SIZE == BLOCK_SIZE &&
		       BITMAP_SIZE * 8 >= SLAB_FULL_ENTRIES_MAX,
	       "the bitmap fills the block");
_Static_assert(HEADER_SIZE + ENTRY_SIZE * SLAB_ENTRIES_MAX <= BLOCK_SIZE,
	       "entries without bitmap fit");

int slab_config_compute(uint64_t slab_blocks, uint64_t slab_journal_blocks,
			struct slab_config *c)
{
	uint64_t j = slab_journal_blocks;
	uint64_t counts, data, flush, block, scrub;

	if (j >= slab_blocks)
		return -VDO_ECONFLICT;
	counts = div_up(slab_blocks - j, COUNTS_PER_BLOCK);
	if (counts >= slab_blocks - j)
		return -VDO_ECONFLICT;
	data = slab_blocks - j - counts;
	if (slab_blocks < SLAB_ROUNDED_BELOW)
		data = UINT64_C(1) << log2_floor(data);

	flush = (3 * j + 3) / 4;
	block = flush + 5 * (j - flush) / 7;
	scrub = j > 2 ? j - 2 : block;
	VDO_ASSERT(data > 0 && data + counts + j <= slab_blocks);
	VDO_ASSERT(flush <= j && block <= j && scrub <= j);
	*c = (struct slab_config){
		.slab_blocks = slab_blocks,
		.data_blocks = data,
		.reference_count_blocks = counts,
		.slab_journal_blocks = j,
		.flushing_threshold = flush,
		.blocking_threshold = MIN(block, scrub),
		.scrubbing_threshold = scrub,
	};
	return 0;
}

void slab_journal_header_encode(const struct slab_journal_header *h,
				uint8_t *block)
{
	struct writer w = {block};

	write_u64(&w, h->head);
	write_u64(&w, h->seq);
	write_u64(&w, point_pack(h->recovery_point));
	write_u64(&w, h->nonce);
	write_u8(&w, h->type);
	write_u8(&w, h->has_map_increments);
	write_u16(&w, h->entries);
	VDO_ASSERT(w.p == block + HEADER_SIZE);
}

void slab_journal_header_decode(const uint8_t *block,
				struct slab_journal_header *h)
{
	struct reader r = {block};

	h->head = read_u64(&r);
	h->seq = read_u64(&r);
	h->recovery_point = point_unpack(read_u64(&r));
	h->nonce = read_u64(&r);
	h->type = read_u8(&r);
	h->has_map_increments = read_u8(&r) != 0;
	h->entries = read_u16(&r);
	VDO_ASSERT(r.p == block + HEADER_SIZE);
}

const char *slab_journal_header_check(const struct slab_journal_header *h,
				      uint64_t nonce, uint64_t ring)
{
	unsigned entries_max = h->has_map_increments ? SLAB_FULL_ENTRIES_MAX
						     : SLAB_ENTRIES_MAX;

	VDO_ASSERT(ring >= SLAB_JOURNAL_BLOCKS_MIN);
	if (h->nonce != nonce)
		return "nonce";
	if (h->type != SLAB_JOURNAL_TYPE)
		return "metadata type";
	if (h->seq == 0 || h->seq >= SEQ_MAX)
		return "sequence number";
	if (h->head == 0 || h->head > h->seq || h->seq - h->head >= ring)
		return "head";
	if (h->recovery_point.entry >= 2 * JOURNAL_ENTRIES_PER_BLOCK)
		return "recovery point";
	if (h->entries > entries_max)
		return "number of entries";
	return NULL;
}

void slab_journal_put(uint8_t *block, unsigned i,
		      const struct slab_journal_entry *e)
{
	uint8_t *p = block + HEADER_SIZE + ENTRY_SIZE * i;

	VDO_CHECK(i < (e->map ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX));
	VDO_CHECK(e->offset < UINT32_C(1) << SLAB_BITS_MAX);
	p[0] = (uint8_t)e->offset;
	p[1] = (uint8_t)(e->offset >> 8);
	p[2] = (uint8_t)(e->offset >> 16 | (unsigned)e->increment << 7);
	if (e->map)
		block[BITMAP_OFFSET + i / 8] |= (uint8_t)(1u << i % 8);
}

void slab_journal_get(const uint8_t *block, bool has_map_increments,
		      unsigned i, struct slab_journal_entry *e)
{
	const uint8_t *p = block + HEADER_SIZE + ENTRY_SIZE * i;

	VDO_ASSERT(i < (has_map_increments ? SLAB_FULL_ENTRIES_MAX
					   : SLAB_ENTRIES_MAX));
	e->offset = p[0] | (uint32_t)p[1] << 8 | (uint32_t)(p[2] & 0x7f) << 16;
	e->increment = p[2] >> 7;
	e->map = has_map_increments &&
		 (block[BITMAP_OFFSET + i / 8] >> i % 8 & 1);
}

void slab_summary_encode(uint8_t *p, struct summary_entry e)
{
	VDO_ASSERT(e.hint <= HINT_MAX);
	p[0] = e.tail_offset;
	p[1] = (uint8_t)((e.hint & HINT_MAX) | (e.load ? LOAD_BIT : 0) |
			 (e.dirty ? DIRTY_BIT : 0));
}

struct summary_entry slab_summary_decode(const uint8_t *p)
{
	return (struct summary_entry){
		.tail_offset = p[0],
		.hint = p[1] & HINT_MAX,
		.load = p[1] & LOAD_BIT,
		.dirty = p[1] & DIRTY_BIT,
	};
}

const char *slab_summary_check(struct summary_entry e, uint64_t ring)
{
	if (e.tail_offset >= ring)
		return "tail offset";
	/* Whoever moves the tail sets one of them. */
	if (e.tail_offset != 0 && !e.load && !e.dirty)
		return "flags";
	return NULL;
}

uint8_t slab_summary_hint(unsigned slab_shift, uint64_t free_blocks)
{
	unsigned shift = slab_shift > HINT_BITS ? slab_shift - HINT_BITS : 0;
	uint64_t hint = free_blocks >> shift;

	VDO_ASSERT(slab_shift <= SLAB_BITS_MAX);
	if (free_blocks == 0)
		return 0;
	return (uint8_t)MIN(MAX(hint, 1), HINT_MAX);
}

uint64_t slab_summary_free(unsigned slab_shift, uint8_t hint)
{
	unsigned shift = slab_shift > HINT_BITS ? slab_shift - HINT_BITS : 0;

	VDO_ASSERT(hint <= HINT_MAX);
	return (uint64_t)hint << shift;
}
