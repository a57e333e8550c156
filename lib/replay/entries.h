/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of one block of a recovery journal, as far as a crash or damage
 * left them (V 6.2 to 6.4, 10.3 B, 10.4).
 *
 * A block is written as a whole, but a device may tear it between sectors. Each
 * sector has the check byte and the recovery count of the header if it was
 * written with it. A recovery believes entries up to the first that is missing.
 * A rebuild takes whatever is there.
 *
 * Runs on: any thread. All functions are pure.
 */
#ifndef REPLAY_ENTRIES_H
#define REPLAY_ENTRIES_H

#include <stdbool.h>

#include "format/journal.h"
#include "format/layout.h"

/* Entries of a block of the old format, which has more of them (V 6.6). */
#define REPLAY_OLD_ENTRIES_PER_BLOCK 311u

/* What has to be known of a volume to read its journal. */
struct replay_facts {
	uint64_t blocks; /* of the ring; a power of two */
	uint64_t nonce;
	uint8_t recovery_count;
	seq_t start; /* of the super block */
	uint64_t physical_blocks;
	struct slab_geometry slabs;
	pbn_t root_origin;
	unsigned root_count;
	/* The super block's; they hold if there is nothing to replay. */
	uint64_t logical_blocks_used, block_map_data_blocks;
};

void replay_facts_init(struct replay_facts *f, const struct superblock *sb);

/* Is @pbn the root of a tree? */
static inline bool replay_is_root(const struct replay_facts *f, pbn_t pbn)
{
	return pbn >= f->root_origin && pbn - f->root_origin < f->root_count;
}

struct replay_entry {
	struct journal_entry entry;
	struct journal_point at; /* block and index of the entry */
};

/* Was the block with header @h written by this volume since its last recovery
 * (V 6.4)? It may be of the old format. */
bool replay_is_ours(const struct replay_facts *f,
		    const struct journal_header *h);

/*
 * The entries of @block, whose header is @h, into @out, which has room for 217
 * of them, or 311 in the old format; NULL: count them. With @tolerant sectors
 * that are missing are skipped; else they end the block. Of the old format only
 * increments are given, since these alone change a mapping.
 */
unsigned replay_take(const struct replay_facts *f,
		     const struct journal_header *h, const uint8_t *block,
		     bool tolerant, struct replay_entry *out);

/*
 * What is wrong with an entry, in words, or NULL. Only pages of the block map
 * may change: a page must be a root, or a block in which one can be.
 */
const char *replay_entry_check(const struct replay_facts *f,
			       const struct journal_entry *e);

#endif
