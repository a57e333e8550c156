/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery journal blocks.
 *
 * An entry is two 64-bit words of little-endian fields, least bit first:
 *
 *	2 operation | 10 slot | 4+32 page PBN (high part first) | 40 new | 40 old
 *
 * so it is put together in registers and stored at once.
 */
#include "build.h"

#include "format/journal.h"

#include "base/assert.h"

#define HEADER_SIZE        53
#define SECTOR_HEADER_SIZE 3

_Static_assert(SECTOR_HEADER_SIZE +
			       JOURNAL_ENTRIES_PER_SECTOR * JOURNAL_ENTRY_SIZE <=
		       SECTOR_SIZE,
	       "entries fit in a sector");
_Static_assert(JOURNAL_ENTRIES_PER_SECTOR * JOURNAL_SECTORS ==
		       JOURNAL_ENTRIES_PER_BLOCK,
	       "entries of a block");

void journal_header_encode(const struct journal_header *h, uint8_t *block)
{
	struct writer w = {block};

	write_u64(&w, h->map_head);
	write_u64(&w, h->slab_head);
	write_u64(&w, h->seq);
	write_u64(&w, h->nonce);
	write_u8(&w, h->type);
	write_u16(&w, h->entries);
	write_u64(&w, h->logical_blocks_used);
	write_u64(&w, h->block_map_data_blocks);
	write_u8(&w, h->check);
	write_u8(&w, h->recovery_count);
	write_zeroes(&w, SECTOR_SIZE - HEADER_SIZE);
	VDO_ASSERT(w.p == block + SECTOR_SIZE);
}

void journal_header_decode(const uint8_t *block, struct journal_header *h)
{
	struct reader r = {block};

	h->map_head = read_u64(&r);
	h->slab_head = read_u64(&r);
	h->seq = read_u64(&r);
	h->nonce = read_u64(&r);
	h->type = read_u8(&r);
	h->entries = read_u16(&r);
	h->logical_blocks_used = read_u64(&r);
	h->block_map_data_blocks = read_u64(&r);
	h->check = read_u8(&r);
	h->recovery_count = read_u8(&r);
	VDO_ASSERT(r.p == block + HEADER_SIZE);
}

static inline void start_sector(uint8_t *sector, uint8_t check,
				uint8_t recovery_count)
{
	sector[0] = check;
	sector[1] = recovery_count;
	sector[2] = 0;
}

void journal_block_start(uint8_t *block, uint8_t check, uint8_t recovery_count)
{
	VDO_ASSERT(check >= 0x80);
	start_sector(block + SECTOR_SIZE, check, recovery_count);
}

void journal_block_put(uint8_t *block, unsigned i, uint8_t check,
		       uint8_t recovery_count, const struct journal_entry *e)
{
	unsigned in_sector = i % JOURNAL_ENTRIES_PER_SECTOR;
	uint8_t *sector =
		block + SECTOR_SIZE * (1 + i / JOURNAL_ENTRIES_PER_SECTOR);

	VDO_CHECK(i < JOURNAL_ENTRIES_PER_BLOCK && check >= 0x80);
	if (in_sector == 0)
		start_sector(sector, check, recovery_count);
	sector[2] = (uint8_t)(in_sector + 1);
	journal_entry_encode(e, sector + SECTOR_HEADER_SIZE +
					JOURNAL_ENTRY_SIZE * in_sector);
}

/* The five bytes of a mapping as a number. */
static inline uint64_t mapping_word(struct mapping m)
{
	VDO_CHECK(m.pbn < PHYSICAL_BLOCKS_MAX);
	VDO_CHECK(m.state <= STATE_FRAGMENT_LAST);
	return (m.state & 15) | (m.pbn >> 32 & 15) << 4 |
	       (m.pbn & UINT32_MAX) << 8;
}

void journal_entry_encode(const struct journal_entry *e, uint8_t *p)
{
	uint64_t to = mapping_word(e->new_mapping);
	uint64_t from = mapping_word(e->old_mapping);

	VDO_CHECK(e->slot < MAP_PAGE_ENTRIES);
	put_u64(p, ((uint64_t)e->operation & 3) | (uint64_t)e->slot << 2 |
			   (e->page >> 32 & 15) << 12 |
			   (e->page & UINT32_MAX) << 16 | to << 48);
	put_u64(p + 8, to >> 16 | from << 24);
}

void journal_entry_decode(const uint8_t *p, struct journal_entry *e)
{
	unsigned word = get_u16(p);

	e->operation = (enum journal_operation)(word & 3);
	e->slot = word >> 2 & 0x3ff;
	e->page = (pbn_t)(word >> 12) << 32 | get_u32(p + 2);
	e->new_mapping = mapping_decode(p + 6);
	e->old_mapping = mapping_decode(p + 11);
}
