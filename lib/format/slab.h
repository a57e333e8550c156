/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a slab keeps beside data: reference counts, slab journal; and the slab
 * summary (V 7).
 *
 * Reference block: 8 sectors of { u64 commit point; u8 counts[504]; }.
 *
 * Slab journal block
 *	OFFSET	SIZE	MEANING
 *	0	8	head
 *	8	8	sequence number
 *	16	8	recovery point of the last entry
 *	24	8	nonce
 *	32	1	metadata type: 2
 *	33	1	1: has block map increments
 *	34	2	entries
 *	36	3*n	entries; with the flag n <= 1299 and a bitmap at 3933
 *
 * Summary entry: byte 0 tail offset, byte 1 hint (0..5), load (6), dirty (7).
 */
#ifndef FORMAT_SLAB_H
#define FORMAT_SLAB_H

#include "base/bytes.h"
#include "format/types.h"

#define COUNTS_PER_SECTOR      504u
#define COUNTS_PER_BLOCK       4032u
#define SLAB_JOURNAL_TYPE      2u
#define SLAB_ENTRIES_MAX       1353u
#define SLAB_FULL_ENTRIES_MAX  1299u /* with block map increments */
#define SUMMARY_ENTRY_SIZE     2u
#define SUMMARY_PER_BLOCK      2048u
#define SUMMARY_BLOCKS         64u
#define SUMMARY_ZONE_BLOCKS    4u

/* How a slab is divided (V 4.3). */
struct slab_config {
	uint64_t slab_blocks; /* a power of two */
	uint64_t data_blocks;
	uint64_t reference_count_blocks;
	uint64_t slab_journal_blocks;
	uint64_t flushing_threshold; /* journal lengths, in blocks */
	uint64_t blocking_threshold;
	uint64_t scrubbing_threshold;
};

struct slab_journal_header {
	seq_t head;
	seq_t seq;
	struct journal_point recovery_point;
	uint64_t nonce;
	uint8_t type;
	bool has_map_increments;
	uint16_t entries;
};

struct slab_journal_entry {
	uint32_t offset; /* of the block in its slab */
	bool increment;
	bool map; /* a block map increment */
};

struct summary_entry {
	uint8_t tail_offset;
	uint8_t hint; /* 0..63 */
	bool load;
	bool dirty;
};

/* 0, or -VDO_ECONFLICT if no data block would be left. */
int slab_config_compute(uint64_t slab_blocks, uint64_t slab_journal_blocks,
			struct slab_config *c) MUST_CHECK;

void slab_journal_header_encode(const struct slab_journal_header *h,
				uint8_t *block);
void slab_journal_header_decode(const uint8_t *block,
				struct slab_journal_header *h);

/*
 * Can a slab journal of @ring blocks, in the volume of @nonce, hold a block with
 * this header? NULL, or what is wrong: "nonce" and "metadata type" stand for a
 * block of somebody else.
 */
const char *slab_journal_header_check(const struct slab_journal_header *h,
				      uint64_t nonce, uint64_t ring);

/*
 * Entry @i. Entries are put in order into a block that was all zero. The bit of
 * a map increment is set; the caller sets the flag in the header and keeps to
 * the limits. slab_journal_get() wants @i below the capacity for the flag.
 */
void slab_journal_put(uint8_t *block, unsigned i,
		      const struct slab_journal_entry *e);
void slab_journal_get(const uint8_t *block, bool has_map_increments,
		      unsigned i, struct slab_journal_entry *e);

void slab_summary_encode(uint8_t *p, struct summary_entry e);
struct summary_entry slab_summary_decode(const uint8_t *p);

/* Can this stand in the summary of slabs with journals of @ring blocks (V 7.5)?
 * NULL, or what is wrong. */
const char *slab_summary_check(struct summary_entry e, uint64_t ring);

/* The fullness hint of a slab (V 7.3). */
uint8_t slab_summary_hint(unsigned slab_shift, uint64_t free_blocks);

/* What that says of free blocks: the least of what rounds to it, but for 1. */
uint64_t slab_summary_free(unsigned slab_shift, uint8_t hint);

#endif
