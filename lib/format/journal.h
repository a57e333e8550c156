/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of the recovery journal (type 3; V 6).
 *
 * Sector 0: header
 *	OFFSET	SIZE	MEANING
 *	0	8	block map head
 *	8	8	slab journal head
 *	16	8	sequence number
 *	24	8	nonce
 *	32	1	metadata type: 3
 *	33	2	entries in the block
 *	35	8	logical blocks used when it was opened
 *	43	8	block map data blocks when it was opened
 *	51	1	check byte
 *	52	1	recovery count
 *
 * Sectors 1..7: check byte, recovery count, entries (1 byte each), then 16
 * bytes per entry, up to 31.
 */
#ifndef FORMAT_JOURNAL_H
#define FORMAT_JOURNAL_H

#include "base/bytes.h"
#include "format/mapping.h"
#include "format/types.h"

#define JOURNAL_ENTRIES_PER_SECTOR 31u
#define JOURNAL_SECTORS            7u
#define JOURNAL_ENTRIES_PER_BLOCK  217u
#define JOURNAL_ENTRY_SIZE         16u
#define JOURNAL_TYPE               3u
#define JOURNAL_OLD_TYPE           1u

enum journal_operation {
	JOURNAL_DATA = 0,      /* a leaf page's entry changes */
	JOURNAL_BLOCK_MAP = 1, /* a page gets a child */
};

struct journal_entry {
	enum journal_operation operation;
	pbn_t page;    /* the block map page that changes */
	uint16_t slot; /* and the entry in it */
	struct mapping new_mapping;
	struct mapping old_mapping;
};

struct journal_header {
	seq_t map_head;
	seq_t slab_head;
	seq_t seq;
	uint64_t nonce;
	uint8_t type;
	uint16_t entries;
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;
	uint8_t check;
	uint8_t recovery_count;
};

/* The check byte of a block: changes on each trip around the ring. */
static inline uint8_t journal_check(seq_t seq, uint64_t journal_blocks)
{
	VDO_ASSERT(journal_blocks > 0);
	return (uint8_t)(0x80 | ((seq / journal_blocks) & 0x7f));
}

/* Blocks of the ring that are kept free of entries (V 6.1). */
static inline uint64_t journal_reserved(uint64_t journal_blocks)
{
	return MIN(journal_blocks / 4, 11);
}

void journal_header_encode(const struct journal_header *h, uint8_t *block);
void journal_header_decode(const uint8_t *block, struct journal_header *h);

/*
 * Put entry number @i (0..216) into a block whose bytes after it are zero;
 * entries are put in order. Starts its sector when it is the first there.
 */
void journal_block_put(uint8_t *block, unsigned i, uint8_t check,
		       uint8_t recovery_count, const struct journal_entry *e);

/* Start sector 1 of a block without entries. */
void journal_block_start(uint8_t *block, uint8_t check, uint8_t recovery_count);

void journal_entry_encode(const struct journal_entry *e, uint8_t *p);
void journal_entry_decode(const uint8_t *p, struct journal_entry *e);

#endif
