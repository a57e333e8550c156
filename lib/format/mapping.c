/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole block map pages, and the way from a logical block to its page.
 *
 * An LBN is written in base 812, least digit first: the digits are the slots
 * from the leaf up. Between the first and the second digit the number of the
 * tree is taken out, so that consecutive leaf pages belong to consecutive
 * trees.
 */
#include "build.h"

#include "format/mapping.h"

#include <string.h>

#include "base/assert.h"

#define VERSION_MAJOR 4
#define VERSION_MINOR 1

#define NONCE_OFFSET       8
#define PBN_OFFSET         16
#define INITIALISED_OFFSET 32

_Static_assert(MAP_PAGE_HEADER + MAP_PAGE_ENTRIES * MAPPING_SIZE == BLOCK_SIZE,
	       "entries fill a page");

static bool version_is_right(const uint8_t *page)
{
	return get_u32(page) == VERSION_MAJOR &&
	       get_u32(page + 4) == VERSION_MINOR;
}

enum map_page_validity mapping_page_check(const uint8_t *page, uint64_t nonce,
					  pbn_t pbn)
{
	bool in_place = get_u64(page + PBN_OFFSET) == pbn;

	if (get_u64(page + NONCE_OFFSET) != nonce)
		return MAP_PAGE_INVALID;
	if (!version_is_right(page))
		return in_place ? MAP_PAGE_BAD : MAP_PAGE_INVALID;
	if (page[INITIALISED_OFFSET] == 0)
		return MAP_PAGE_INVALID;
	return in_place && page[INITIALISED_OFFSET] == 1 ? MAP_PAGE_VALID
							 : MAP_PAGE_BAD;
}

enum map_page_validity mapping_root_check(const uint8_t *page, uint64_t nonce,
					  pbn_t pbn)
{
	static const uint8_t unwritten[MAP_PAGE_HEADER];
	enum map_page_validity validity = mapping_page_check(page, nonce, pbn);

	/* The header is in one sector, so no crash leaves a part of it. */
	if (validity != MAP_PAGE_INVALID ||
	    memcmp(page, unwritten, sizeof(unwritten)) == 0)
		return validity;
	return version_is_right(page) && get_u64(page + NONCE_OFFSET) == nonce &&
			       get_u64(page + PBN_OFFSET) == pbn
		       ? MAP_PAGE_INVALID
		       : MAP_PAGE_BAD;
}

void mapping_page_format(uint8_t *page, uint64_t nonce, pbn_t pbn,
			 bool initialised)
{
	struct writer w = {page};

	write_u32(&w, VERSION_MAJOR);
	write_u32(&w, VERSION_MINOR);
	write_u64(&w, nonce);
	write_u64(&w, pbn);
	write_u64(&w, 0);
	write_u8(&w, initialised);
	write_zeroes(&w, BLOCK_SIZE - INITIALISED_OFFSET - 1);
	VDO_ASSERT(w.p == page + BLOCK_SIZE);
}

/* Entries are compared eight at a time, as bytes. */
#define SKIP_ENTRIES 8u

unsigned mapping_page_skip(const uint8_t *page, unsigned slot, unsigned end,
			   struct mapping m)
{
	uint8_t same[SKIP_ENTRIES * MAPPING_SIZE];

	VDO_CHECK(slot <= end && end <= MAP_PAGE_ENTRIES);
	for (unsigned i = 0; i < SKIP_ENTRIES; i++)
		mapping_encode(same + i * MAPPING_SIZE, m);
	page += MAP_PAGE_HEADER;
	while (slot + SKIP_ENTRIES <= end &&
	       memcmp(page + slot * MAPPING_SIZE, same, sizeof(same)) == 0)
		slot += SKIP_ENTRIES;
	while (slot < end &&
	       memcmp(page + slot * MAPPING_SIZE, same, MAPPING_SIZE) == 0)
		slot++;
	return slot;
}

void mapping_tree_place(lbn_t lbn, unsigned root_count,
			struct tree_place *place)
{
	uint64_t leaf = lbn / MAP_PAGE_ENTRIES;
	uint64_t page = leaf / root_count;

	VDO_CHECK(lbn < LOGICAL_BLOCKS_MAX && root_count > 0);
	place->root = (unsigned)(leaf % root_count);
	place->page[0] = page;
	place->slot[0] = (uint16_t)(lbn % MAP_PAGE_ENTRIES);
	for (unsigned level = 1; level < MAP_LEVELS; level++) {
		place->slot[level] = (uint16_t)(page % MAP_PAGE_ENTRIES);
		page /= MAP_PAGE_ENTRIES;
		place->page[level] = page;
	}
	VDO_CHECK(page == 0);
}
