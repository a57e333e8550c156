/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block map page: nonce and PBN that are expected (16 bytes), an LBN (5), a
 * number of roots (1), then the page.
 *
 * Each entry is encoded again to the same bytes; the way to an LBN leads back
 * to it.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/layout.h"
#include "format/mapping.h"

const unsigned fuzz_replays = 3000;

static void check_entries(const uint8_t *page)
{
	static const struct slab_geometry s = {1000, 9, 16, 256};
	uint8_t again[BLOCK_SIZE];

	memcpy(again, page, BLOCK_SIZE);
	memset(again + MAP_PAGE_HEADER, 0, BLOCK_SIZE - MAP_PAGE_HEADER);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++) {
		struct mapping m = mapping_page_get(page, i);

		FUZZ_CHECK(m.pbn < PHYSICAL_BLOCKS_MAX);
		FUZZ_CHECK(!mapping_valid(m) ||
			   (m.pbn == ZERO_BLOCK) <=
				   (m.state <= STATE_UNCOMPRESSED));
		if (mapping_plausible(&s, m) && m.pbn != ZERO_BLOCK)
			FUZZ_CHECK(m.pbn >= 1000 && m.pbn < 1000 + 16 * 512);
		mapping_page_put(again, i, m);
	}
	FUZZ_CHECK(memcmp(page, again, BLOCK_SIZE) == 0);
}

static void check_place(lbn_t lbn, unsigned roots)
{
	struct tree_place p;
	uint64_t page = 0;

	mapping_tree_place(lbn, roots, &p);
	FUZZ_CHECK(p.root < roots);
	for (unsigned level = MAP_LEVELS; level-- > 0;) {
		FUZZ_CHECK(p.slot[level] < MAP_PAGE_ENTRIES);
		FUZZ_CHECK(p.page[level] == page);
		page = page * MAP_PAGE_ENTRIES + p.slot[level];
		if (level == 1)
			FUZZ_CHECK(p.page[0] == page);
	}
	FUZZ_CHECK((p.page[0] * roots + p.root) * MAP_PAGE_ENTRIES +
			   p.slot[0] ==
		   lbn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint64_t nonce = fuzz_take(&f, 8), pbn = fuzz_take(&f, 8);
	lbn_t lbn = fuzz_take(&f, 5);
	unsigned roots = 1 + (unsigned)fuzz_take(&f, 1);
	uint8_t page[BLOCK_SIZE];

	fuzz_fill(&f, page, sizeof(page));
	check_entries(page);
	check_place(lbn % ((uint64_t)roots * MAP_PAGE_ENTRIES *
			   MAP_PAGE_ENTRIES * MAP_PAGE_ENTRIES),
		    roots);
	switch (mapping_page_check(page, nonce, pbn)) {
	case MAP_PAGE_VALID:
		FUZZ_CHECK(mapping_page_initialised(page));
		mapping_page_set_initialised(page, false);
		FUZZ_CHECK(mapping_page_check(page, nonce, pbn) ==
			   MAP_PAGE_INVALID);
		break;
	case MAP_PAGE_BAD:
		FUZZ_CHECK(get_u64(page + 8) == nonce);
		break;
	default:
		mapping_page_format(page, nonce, pbn, true);
		FUZZ_CHECK(mapping_page_check(page, nonce, pbn) ==
			   MAP_PAGE_VALID);
	}
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	uint8_t *page = input + 22;

	if (i > 1)
		return 0;
	put_u64(input, 4711);
	put_u64(input + 8, 77 + i);
	put_u64(input + 16, UINT64_C(123456789));
	input[21] = 59;
	mapping_page_format(page, 4711, 77, true);
	for (unsigned k = 0; k < 15; k++)
		mapping_page_put(page, k, (struct mapping){1000 + k, k + 1});
	return 22 + MAP_PAGE_HEADER + 20 * MAPPING_SIZE;
}
