/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of a recovery journal, scanned as for a recovery and as for a rebuild.
 *
 * Byte 0 says how much of what follows fits together: from bit 0 on, headers
 * that are ours and in place; then 2 bytes a block of what its header has, and
 * the patches (fuzz_patch) over the whole ring.
 *
 * What is found lies in the ring; each block gives as many entries when it is
 * read as when it was scanned; none but plausible ones come into the table, and
 * what the table makes of pages does not depend on how often it is applied.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "replay/scan.h"
#include "replay/table.h"

const unsigned fuzz_replays = 3000;

#define RING 8u
#define ANY  (REPLAY_LEAF | REPLAY_INTERIOR)

static const struct replay_facts facts = {
	.blocks = RING,
	.nonce = 4711,
	.recovery_count = 1,
	.start = 3,
	.physical_blocks = 20000,
	.slabs = {.first_block = 1000,
		  .slab_shift = 13,
		  .slab_count = 2,
		  .data_blocks = 8000},
	.root_origin = 100,
	.root_count = 60,
};

static void make_block(uint8_t *block, seq_t seq, unsigned count, seq_t head)
{
	struct journal_header h = {
		.map_head = head,
		.slab_head = head,
		.seq = seq,
		.nonce = facts.nonce,
		.type = JOURNAL_TYPE,
		.entries = (uint16_t)count,
		.check = journal_check(seq, RING),
		.recovery_count = facts.recovery_count,
	};

	journal_header_encode(&h, block);
	journal_block_start(block, h.check, h.recovery_count);
	for (unsigned i = 0; i < count; i++) {
		struct journal_entry e = {
			i % 7 == 0 ? JOURNAL_BLOCK_MAP : JOURNAL_DATA,
			1000 + i / 9,
			(uint16_t)(i * 3),
			{1000 + i, 1},
			{0, 0},
		};

		journal_block_put(block, i, h.check, h.recovery_count, &e);
	}
}

static void take(struct replay_table *table, const struct journal_entry *e)
{
	if (replay_entry_check(&facts, e) != NULL)
		return;
	FUZZ_CHECK(replay_table_add(table, e));
	if (e->operation == JOURNAL_BLOCK_MAP)
		replay_table_make(table, e->new_mapping.pbn);
}

/* Both ends of a scan, and all that lies between. */
static void walk(struct replay_scan *scan, const struct replay_bounds *b,
		 const uint8_t *ring, struct replay_table *table)
{
	struct replay_entry entries[REPLAY_OLD_ENTRIES_PER_BLOCK];

	FUZZ_CHECK(b->last + 1 >= b->first);
	FUZZ_CHECK(b->last + 1 - b->first <= RING);
	FUZZ_CHECK(b->found || b->last < b->first);
	FUZZ_CHECK(b->highest >= facts.start && b->highest < SEQ_MAX);
	FUZZ_CHECK(replay_entries(scan, b->first - 1) == 0);
	FUZZ_CHECK(replay_entries(scan, b->last + 1) == 0);
	for (seq_t q = b->first; q <= b->last; q++) {
		const uint8_t *block = ring + q % RING * BLOCK_SIZE;
		unsigned n = replay_entries(scan, q);

		FUZZ_CHECK(n <= ARRAY_SIZE(entries));
		FUZZ_CHECK(replay_decode(scan, q, block, entries) == n);
		for (unsigned i = 0; i < n; i++) {
			FUZZ_CHECK(entries[i].at.seq == q);
			FUZZ_CHECK(i == 0 || entries[i].at.entry >
						     entries[i - 1].at.entry);
			take(table, &entries[i].entry);
		}
	}
}

/* What is told of a page is told each time, and of a block that it has to do
 * with.
 */
static void judge(const struct replay_table *table, pbn_t page,
		  const uint8_t *bytes)
{
	pbn_t which = 0;
	const char *wrong = replay_table_misfit(table, page, bytes, &which);

	FUZZ_CHECK(wrong == NULL || which != 0);
	FUZZ_CHECK(replay_table_kinds(table, page) != ANY || wrong != NULL);
	FUZZ_CHECK(!replay_table_doubts(table, page, bytes) ||
		   replay_table_kinds(table, page) == REPLAY_INTERIOR);
}

static void use_table(struct replay_table *table)
{
	size_t pos = 0, places = 0;
	pbn_t page, last = 0, clash;
	const char *wrong;

	replay_table_sort(table);
	wrong = replay_table_clash(table, &clash);
	FUZZ_CHECK((wrong == NULL) == (clash == 0));
	while ((page = replay_table_page(table, &pos)) != 0) {
		uint8_t once[BLOCK_SIZE] = {0}, twice[BLOCK_SIZE];
		unsigned n = replay_table_apply(table, page, once, ANY);

		FUZZ_CHECK(page > last && n > 0 && n <= MAP_PAGE_ENTRIES + 1);
		memcpy(twice, once, sizeof(once));
		FUZZ_CHECK(replay_table_apply(table, page, twice, ANY) == n);
		FUZZ_CHECK(memcmp(once, twice, sizeof(once)) == 0);
		judge(table, page, once);
		places += n - replay_table_makes(table, page);
		last = page;
	}
	FUZZ_CHECK(places == replay_table_count(table));
	replay_table_clear(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ring[RING * BLOCK_SIZE];
	struct fuzz f = {data, size};
	unsigned ours = (unsigned)fuzz_take(&f, 1);
	struct replay_scan *scan;
	struct replay_table *table;
	struct replay_bounds b;
	const char *wrong;
	int r;

	memset(ring, 0, sizeof(ring));
	for (unsigned i = 0; i < RING; i++) {
		unsigned has = (unsigned)fuzz_take(&f, 2);

		if (ours & 1u << i)
			make_block(ring + i * BLOCK_SIZE,
				   i + RING * (has >> 14), has % 218,
				   1 + (has >> 8) % 16);
	}
	fuzz_patch(&f, ring, sizeof(ring));
	FUZZ_CHECK(replay_scan_create(&facts, &scan) == 0);
	FUZZ_CHECK(replay_table_create(RING * REPLAY_OLD_ENTRIES_PER_BLOCK,
				       &table) == 0);
	for (unsigned i = 0; i < RING; i++)
		replay_scan_block(scan, i, ring + i * BLOCK_SIZE);
	r = replay_scan_end(scan, &b, &wrong);
	FUZZ_CHECK((r == 0) == (wrong == NULL));
	walk(scan, &b, ring, table);
	use_table(table);
	replay_scan_end_tolerant(scan, &b);
	walk(scan, &b, ring, table);
	use_table(table);
	replay_table_destroy(table);
	replay_scan_destroy(scan);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	size_t n = 1;

	if (i > 2)
		return 0;
	input[0] = i == 0 ? 0x38 : 0xff;
	for (unsigned k = 0; k < RING; k++) {
		input[n++] = i == 2 ? (uint8_t)(200 + k) : 217;
		input[n++] = i == 1 ? (uint8_t)(k < 3 ? 0x42 : 0x02) : 2;
	}
	return n;
}
