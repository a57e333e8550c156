/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block map pages and their entries.
 *
 * Page (4096 bytes)
 *	OFFSET	SIZE	MEANING
 *	0	8	version 4.1
 *	8	8	nonce of the volume
 *	16	8	own PBN
 *	24	8	unused
 *	32	1	initialised: 0 or 1
 *	33	3	unused
 *	36	5*812	entries
 *
 * Entry (5 bytes)
 *	0	1	bits 3..0 state, bits 7..4 PBN bits 35..32
 *	1	4	PBN bits 31..0
 */
#ifndef FORMAT_MAPPING_H
#define FORMAT_MAPPING_H

#include "base/assert.h"
#include "base/bytes.h"
#include "format/types.h"

#define MAP_PAGE_ENTRIES 812u
#define MAP_PAGE_HEADER  36u
#define MAPPING_SIZE     5u
#define MAP_LEVELS       5u /* leaf = 0 .. root = 4 */

static inline struct mapping mapping_decode(const uint8_t *p)
{
	return (struct mapping){
		.pbn = (pbn_t)(p[0] >> 4) << 32 | get_u32(p + 1),
		.state = p[0] & 15,
	};
}

static inline void mapping_encode(uint8_t *p, struct mapping m)
{
	VDO_ASSERT(m.pbn < PHYSICAL_BLOCKS_MAX);
	VDO_ASSERT(m.state <= STATE_FRAGMENT_LAST);
	p[0] = (uint8_t)((m.state & 15) | (m.pbn >> 32) << 4);
	put_u32(p + 1, (uint32_t)m.pbn);
}

static inline struct mapping mapping_page_get(const uint8_t *page,
					      unsigned slot)
{
	VDO_CHECK(slot < MAP_PAGE_ENTRIES);
	return mapping_decode(page + MAP_PAGE_HEADER + MAPPING_SIZE * slot);
}

static inline void mapping_page_put(uint8_t *page, unsigned slot,
				    struct mapping m)
{
	VDO_CHECK(slot < MAP_PAGE_ENTRIES);
	mapping_encode(page + MAP_PAGE_HEADER + MAPPING_SIZE * slot, m);
}

/*
 * Does slot @slot lie in two sectors? A page is written over in place, and
 * where power fails meanwhile, such a slot may be old in one of them and new in
 * the other, until its journal entry is replayed.
 */
static inline bool mapping_spans_sectors(unsigned slot)
{
	return (MAP_PAGE_HEADER + MAPPING_SIZE * slot) % SECTOR_SIZE >
	       SECTOR_SIZE - MAPPING_SIZE;
}

/* The first slot of @page from @slot on, but before @end, with another mapping
 * than @m; @end: there is none. */
unsigned mapping_page_skip(const uint8_t *page, unsigned slot, unsigned end,
			   struct mapping m);

enum map_page_validity {
	MAP_PAGE_VALID,
	MAP_PAGE_INVALID, /* never written: to be taken as empty */
	MAP_PAGE_BAD,     /* ours, but damaged or of another place */
};

/*
 * A page below the roots. What lies in a block before its page is first written
 * may be anything, but for something of this volume: so only what carries our
 * nonce can be told to be damaged.
 */
enum map_page_validity mapping_page_check(const uint8_t *page, uint64_t nonce,
					  pbn_t pbn);

/* A root, whose block was zeroed when the volume was formatted. */
enum map_page_validity mapping_root_check(const uint8_t *page, uint64_t nonce,
					  pbn_t pbn);

/* Make @page an empty page (all 4096 bytes); the flag is as told. */
void mapping_page_format(uint8_t *page, uint64_t nonce, pbn_t pbn,
			 bool initialised);

static inline bool mapping_page_initialised(const uint8_t *page)
{
	return page[32] != 0;
}

static inline void mapping_page_set_initialised(uint8_t *page, bool on)
{
	page[32] = on;
}

/* The place of an LBN in the forest. */
struct tree_place {
	unsigned root;
	/* Page number in its level of the tree, and slot in that page, for
	 * levels 0 (leaf) to 4 (root, page 0). */
	uint64_t page[MAP_LEVELS];
	uint16_t slot[MAP_LEVELS];
};

void mapping_tree_place(lbn_t lbn, unsigned root_count,
			struct tree_place *place);

#endif
