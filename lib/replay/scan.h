/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bounds of what is to be replayed of a recovery journal (V 10.3 A and B).
 *
 * A scan is shown all blocks of the ring once. It keeps what their headers say
 * and how many entries are whole, so that the blocks with entries, which lie
 * anywhere in the ring, are read again only to be replayed, in order.
 *
 * Runs on: one thread at a time. Lifetime: replay_scan_create() to
 * replay_scan_destroy(). Memory: 40 bytes a block, 1.3 MB by default.
 */
#ifndef REPLAY_SCAN_H
#define REPLAY_SCAN_H

#include "replay/entries.h"

struct replay_scan;

struct replay_bounds {
	bool found;	   /* false: there is nothing to replay */
	seq_t highest;	   /* of all blocks, or the super block's start */
	seq_t map_head;	   /* the oldest block that the map may lack */
	seq_t slab_head;   /* the oldest block that slab journals may lack */
	seq_t first, last; /* blocks with entries; last < first: none */
	/* For a recovery: no entry of a slab journal is of this point (packed)
	 * or a later one, as it is made when the block of the recovery journal
	 * is durable. */
	uint64_t points_end;
	/* All entries are there from map_head on to here: those that make a page
	 * have all that is in it. */
	seq_t whole;
	/* What the super block is to say when all has been replayed. */
	uint64_t logical_blocks_used, block_map_data_blocks;
};

int replay_scan_create(const struct replay_facts *f,
		       struct replay_scan **scan) MUST_CHECK;
void replay_scan_destroy(struct replay_scan *scan);

const struct replay_facts *replay_scan_facts(const struct replay_scan *scan);

/* Look at the block at @index of the ring. All of them, in order. */
void replay_scan_block(struct replay_scan *scan, uint64_t index,
		       const uint8_t *block);

/*
 * The bounds for a recovery. 0; -VDO_ECORRUPT if no journal that was written in
 * order looks like this; -VDO_EVERSION if it is of the old format, which can
 * only be rebuilt from. *@wrong then says what is wrong, in words.
 */
int replay_scan_end(struct replay_scan *scan, struct replay_bounds *b,
		    const char **wrong) MUST_CHECK;

/*
 * The bounds for a rebuild (V 10.4), which counts for itself: those for a
 * recovery, if it is only that nothing was closed. Else what is missing is
 * skipped, but for the newest blocks, which may have been under I/O at a crash:
 * there the first gap is the end, as data may be missing, too, that was to be
 * durable before its entry was.
 */
void replay_scan_end_tolerant(struct replay_scan *scan,
			      struct replay_bounds *b);

/* How many entries of block @seq are to be replayed, after one of these two; 0
 * outside of the bounds and for a gap. */
unsigned replay_entries(const struct replay_scan *scan, seq_t seq);

/*
 * Take block @seq apart, which was read again: into @out, with room for 311
 * entries. Returns how many, which is replay_entries(), or 0: the block is not
 * the one that was scanned.
 */
unsigned replay_decode(const struct replay_scan *scan, seq_t seq,
		       const uint8_t *block, struct replay_entry *out);

#endif
