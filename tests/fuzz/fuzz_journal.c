/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block of the recovery journal: its header, and all entries.
 *
 * Both are encoded again to the same bytes; what journal_block_put() makes of
 * the entries is read back.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "format/journal.h"

const unsigned fuzz_replays = 10000;

static uint8_t *at(uint8_t *block, unsigned i)
{
	return block + SECTOR_SIZE * (1 + i / JOURNAL_ENTRIES_PER_SECTOR) + 3 +
	       JOURNAL_ENTRY_SIZE * (i % JOURNAL_ENTRIES_PER_SECTOR);
}

static bool same(const struct journal_entry *a, const struct journal_entry *b)
{
	return a->operation == b->operation && a->page == b->page &&
	       a->slot == b->slot &&
	       mapping_equal(a->new_mapping, b->new_mapping) &&
	       mapping_equal(a->old_mapping, b->old_mapping);
}

static void check_entries(uint8_t *block)
{
	uint8_t made[BLOCK_SIZE] = {0}, again[JOURNAL_ENTRY_SIZE];
	unsigned i, good = 0;

	for (i = 0; i < JOURNAL_ENTRIES_PER_BLOCK; i++) {
		struct journal_entry e, back;

		journal_entry_decode(at(block, i), &e);
		FUZZ_CHECK(e.page < PHYSICAL_BLOCKS_MAX && e.slot < 1024);
		/* Others are refused by who reads the journal. */
		if (e.slot >= MAP_PAGE_ENTRIES)
			continue;
		journal_entry_encode(&e, again);
		FUZZ_CHECK(memcmp(again, at(block, i), sizeof(again)) == 0);
		journal_block_put(made, good, 0x81, 7, &e);
		journal_entry_decode(at(made, good), &back);
		FUZZ_CHECK(same(&e, &back));
		good++;
	}
	for (i = 0; i < good; i += JOURNAL_ENTRIES_PER_SECTOR) {
		const uint8_t *sector = at(made, i) - 3;

		FUZZ_CHECK(sector[0] == 0x81 && sector[1] == 7 &&
			   sector[2] == MIN(good - i,
					    JOURNAL_ENTRIES_PER_SECTOR));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint8_t block[BLOCK_SIZE], again[BLOCK_SIZE];
	struct journal_header h;

	fuzz_fill(&f, block, sizeof(block));
	journal_header_decode(block, &h);
	journal_header_encode(&h, again);
	FUZZ_CHECK(memcmp(block, again, 53) == 0);
	FUZZ_CHECK(journal_check(h.seq, 1 + (h.entries & 7)) & 0x80);
	check_entries(block);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct journal_header h = {1, 1, 5, 4711, JOURNAL_TYPE, 40, 3, 2,
				   0x80, 1};

	if (i > 0)
		return 0;
	journal_header_encode(&h, input);
	memset(input + SECTOR_SIZE, 0, BLOCK_SIZE - SECTOR_SIZE);
	for (unsigned k = 0; k < 40; k++) {
		struct journal_entry e = {
			k % 5 == 0 ? JOURNAL_BLOCK_MAP : JOURNAL_DATA,
			1000 + k / 3, (uint16_t)(20 * k), {2000 + k, 1},
			{k, k % 3}};

		journal_block_put(input, k, 0x80, 1, &e);
	}
	return 3 * SECTOR_SIZE;
}
