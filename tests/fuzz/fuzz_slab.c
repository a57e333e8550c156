/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slab journal block, and the same bytes as a block of the slab summary.
 *
 * Header and entries are encoded again to the same bytes.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/slab.h"

const unsigned fuzz_replays = 5000;

static void check_journal(uint8_t *block)
{
	uint8_t again[BLOCK_SIZE] = {0};
	struct slab_journal_header h;
	unsigned max;

	slab_journal_header_decode(block, &h);
	block[33] = block[33] != 0;
	slab_journal_header_encode(&h, again);
	FUZZ_CHECK(memcmp(block, again, 36) == 0);
	FUZZ_CHECK(h.recovery_point.seq < SEQ_MAX);
	max = h.has_map_increments ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX;
	for (unsigned i = 0; i < max; i++) {
		struct slab_journal_entry e, back;

		slab_journal_get(block, h.has_map_increments, i, &e);
		FUZZ_CHECK(e.offset < UINT32_C(1) << SLAB_BITS_MAX);
		FUZZ_CHECK(h.has_map_increments || !e.map);
		slab_journal_put(again, i, &e);
		slab_journal_get(again, h.has_map_increments, i, &back);
		FUZZ_CHECK(e.offset == back.offset && e.map == back.map &&
			   e.increment == back.increment);
	}
	FUZZ_CHECK(memcmp(block, again, 36 + 3 * (size_t)max) == 0);
}

static void check_summary(const uint8_t *block)
{
	for (unsigned i = 0; i < SUMMARY_PER_BLOCK; i++) {
		const uint8_t *p = block + SUMMARY_ENTRY_SIZE * i;
		struct summary_entry e = slab_summary_decode(p);
		uint8_t again[SUMMARY_ENTRY_SIZE];

		slab_summary_encode(again, e);
		FUZZ_CHECK(memcmp(p, again, sizeof(again)) == 0);
		FUZZ_CHECK(e.hint < 64);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint8_t block[BLOCK_SIZE];
	unsigned shift, hint;

	fuzz_fill(&f, block, sizeof(block));
	check_summary(block);
	shift = block[0] % (SLAB_BITS_MAX + 1);
	hint = slab_summary_hint(shift,
				 get_u32(block + 1) >> (32 - shift - 1) >> 1);
	FUZZ_CHECK(hint < 64);
	check_journal(block);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct slab_journal_header h = {3, 5, {77, 9}, 4711, SLAB_JOURNAL_TYPE,
					i == 1, 100};
	size_t size = i == 1 ? BLOCK_SIZE : 36 + 3 * 100;

	if (i > 1)
		return 0;
	memset(input, 0, BLOCK_SIZE);
	slab_journal_header_encode(&h, input);
	for (unsigned k = 0; k < 100; k++) {
		struct slab_journal_entry e = {5 * k, k % 3 != 0,
					       i == 1 && k % 9 == 1};

		slab_journal_put(input, k, &e);
	}
	return size;
}
