/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes: from what the user asks for to geometry and super block (V 4).
 */
#ifndef FORMAT_LAYOUT_H
#define FORMAT_LAYOUT_H

#include "base/assert.h"
#include "format/superblock.h"

struct layout_request {
	uint64_t physical_blocks;
	uint64_t logical_blocks;  /* 0: as many as will fit (V 4.4) */
	unsigned slab_bits;
	uint64_t slab_journal_blocks;
	uint64_t recovery_journal_blocks;
	uint64_t index_blocks;    /* size of the index region; may be 0 */
	uint64_t spare_blocks;    /* to stay unused after the last slab */
	int32_t index_memory;
	bool index_sparse;
	uint64_t nonce;
	uint8_t uuid[16];
};

/*
 * Compute geometry and super block (state NEW). @why, if not NULL, is set to
 * static text that says what is wrong, or to NULL. 0, -ENOSPC (too small;
 * *@minimum_blocks, if not NULL, says what would do), -VDO_ECONFLICT, -ERANGE.
 */
int layout_compute(const struct layout_request *r, struct geometry *g,
		   struct superblock *sb, uint64_t *minimum_blocks,
		   const char **why) MUST_CHECK;

/* The blocks that no slab can have. */
uint64_t layout_around(const struct layout_request *r);

/* V 4.4; 0 if the block map would take all there is. */
uint64_t layout_default_logical_blocks(uint64_t slab_count,
				       uint64_t data_blocks);

/* Slabs: arithmetic on PBNs that everybody needs. */
struct slab_geometry {
	pbn_t first_block;
	unsigned slab_shift;
	uint64_t slab_count;
	uint64_t data_blocks;
};

void layout_slab_geometry_init(struct slab_geometry *g,
			       const struct superblock *sb);

static inline uint64_t slab_of(const struct slab_geometry *g, pbn_t pbn)
{
	VDO_CHECK(pbn >= g->first_block);
	return (pbn - g->first_block) >> g->slab_shift;
}

static inline uint64_t slab_offset_of(const struct slab_geometry *g, pbn_t pbn)
{
	VDO_ASSERT(pbn >= g->first_block);
	return (pbn - g->first_block) & ((UINT64_C(1) << g->slab_shift) - 1);
}

static inline pbn_t slab_start(const struct slab_geometry *g, uint64_t slab)
{
	VDO_ASSERT(slab <= g->slab_count);
	return g->first_block + (slab << g->slab_shift);
}

/* Is @pbn a block that can hold data? PBN 0 is not. */
static inline bool is_data_block(const struct slab_geometry *g, pbn_t pbn)
{
	return pbn >= g->first_block && slab_of(g, pbn) < g->slab_count &&
	       slab_offset_of(g, pbn) < g->data_blocks;
}

/* A mapping that may stand in a leaf page: valid, and 0 or a data block. */
static inline bool mapping_plausible(const struct slab_geometry *g,
				     struct mapping m)
{
	return mapping_valid(m) &&
	       (m.pbn == ZERO_BLOCK || is_data_block(g, m.pbn));
}

#endif
