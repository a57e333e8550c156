/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a recovery journal: its bounds, with whatever a crash may have left
 * of the newest blocks; entries that cannot be; the last mapping of each place.
 */
#include "build.h"

#include "replay/made.h"
#include "replay/scan.h"
#include "replay/table.h"

#include <string.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"

#define ANY (REPLAY_LEAF | REPLAY_INTERIOR)

#define RING 8
#define FULL JOURNAL_ENTRIES_PER_BLOCK

static const struct replay_facts facts = {
	.blocks = RING,
	.nonce = 77,
	.recovery_count = 3,
	.start = 5,
	.physical_blocks = 20000,
	.slabs = {.first_block = 1000,
		  .slab_shift = 13,
		  .slab_count = 2,
		  .data_blocks = 8000},
	.root_origin = 100,
	.root_count = 60,
	.logical_blocks_used = 11,
	.block_map_data_blocks = 22,
};

static uint8_t ring[RING][BLOCK_SIZE];
static struct replay_scan *scan;
static struct replay_bounds bounds;
static struct replay_entry entries[REPLAY_OLD_ENTRIES_PER_BLOCK];

static uint8_t *block_of(seq_t seq)
{
	return ring[seq % RING];
}

/* Entry @i of block @seq. */
static struct journal_entry entry(seq_t seq, unsigned i)
{
	return (struct journal_entry){
		.operation = JOURNAL_DATA,
		.page = 1000 + seq,
		.slot = (uint16_t)i,
		.new_mapping = {1000 + 10 * i, 1},
	};
}

static void set_header(seq_t seq, seq_t map_head, seq_t slab_head,
		       unsigned count)
{
	struct journal_header h = {
		.map_head = map_head,
		.slab_head = slab_head,
		.seq = seq,
		.nonce = facts.nonce,
		.type = JOURNAL_TYPE,
		.entries = (uint16_t)count,
		.logical_blocks_used = 1000 * seq,
		.block_map_data_blocks = 100 * seq,
		.check = journal_check(seq, RING),
		.recovery_count = facts.recovery_count,
	};

	journal_header_encode(&h, block_of(seq));
}

static void put(seq_t seq, seq_t map_head, seq_t slab_head, unsigned count)
{
	uint8_t *b = block_of(seq);
	uint8_t check = journal_check(seq, RING);

	memset(b, 0, BLOCK_SIZE);
	set_header(seq, map_head, slab_head, count);
	journal_block_start(b, check, facts.recovery_count);
	for (unsigned i = 0; i < count; i++) {
		struct journal_entry e = entry(seq, i);

		journal_block_put(b, i, check, facts.recovery_count, &e);
	}
}

static void setup(void)
{
	memset(ring, 0, sizeof(ring));
	ck_assert_int_eq(replay_scan_create(&facts, &scan), 0);
}

static void teardown(void)
{
	replay_scan_destroy(scan);
}

static void show(void)
{
	for (uint64_t i = 0; i < RING; i++)
		replay_scan_block(scan, i, ring[i]);
}

static int end(void)
{
	const char *wrong;
	int result;

	show();
	result = replay_scan_end(scan, &bounds, &wrong);
	ck_assert_int_eq(wrong != NULL, result != 0);
	return result;
}

/* Blocks 5 to @last, all full. */
static void put_full(seq_t last)
{
	for (seq_t q = 5; q <= last; q++)
		put(q, 5, 6, FULL);
}

static void assert_last(seq_t last, unsigned count)
{
	ck_assert_int_eq(end(), 0);
	ck_assert(bounds.found);
	ck_assert_uint_eq(bounds.first, 5);
	ck_assert_uint_eq(bounds.last, last);
	ck_assert_uint_eq(replay_entries(scan, last), count);
	ck_assert_uint_eq(replay_entries(scan, last + 1), 0);
	ck_assert_uint_eq(replay_entries(scan, 4), 0);
	ck_assert_uint_eq(bounds.logical_blocks_used, 1000 * last + count);
	ck_assert_uint_eq(bounds.block_map_data_blocks, 100 * last);
	ck_assert_uint_eq(bounds.points_end, last << 16 | 2 * count);
}

/* After good order old blocks remain, and count for nothing. */
START_TEST(nothing)
{
	put(3, 1, 1, FULL);
	put(4, 1, 1, 9);
	ck_assert_int_eq(end(), 0);
	ck_assert(!bounds.found);
	ck_assert_uint_eq(bounds.highest, 5);
	ck_assert_uint_eq(bounds.points_end, 5 << 16);
	ck_assert_uint_lt(bounds.last, bounds.first);
	ck_assert_uint_eq(bounds.logical_blocks_used, 11);
	ck_assert_uint_eq(bounds.block_map_data_blocks, 22);
	ck_assert_uint_eq(replay_entries(scan, 4), 0);
}
END_TEST

START_TEST(whole)
{
	put_full(8);
	put(9, 5, 6, 40);
	assert_last(9, 40);
	ck_assert_uint_eq(bounds.highest, 9);
	ck_assert_uint_eq(bounds.map_head, 5);
	ck_assert_uint_eq(bounds.slab_head, 6);
	ck_assert_uint_eq(replay_entries(scan, 5), FULL);
	ck_assert_uint_eq(replay_decode(scan, 9, block_of(9), entries), 40);
	for (unsigned i = 0; i < 40; i++) {
		ck_assert_uint_eq(entries[i].at.seq, 9);
		ck_assert_uint_eq(entries[i].at.entry, i);
		ck_assert_uint_eq(entries[i].entry.slot, i);
		ck_assert_uint_eq(entries[i].entry.page, 1009);
	}
	/* It was another block when it was scanned. */
	ck_assert_uint_eq(replay_decode(scan, 9, block_of(8), entries), 0);
	put(9, 5, 6, 39);
	ck_assert_uint_eq(replay_decode(scan, 9, block_of(9), entries), 0);
}
END_TEST

/* A batch of blocks may be written in any order. */
START_TEST(hole)
{
	put_full(9);
	memset(block_of(8), 0, BLOCK_SIZE);
	assert_last(7, FULL);
	ck_assert_uint_eq(bounds.highest, 9);
}
END_TEST

/* No more blocks than a writer has buffers are under I/O. */
START_TEST(hole_too_old)
{
	put_full(11);
	memset(block_of(_i), 0, BLOCK_SIZE);
	if (_i > 9)
		assert_last((seq_t)_i - 1, FULL);
	else
		ck_assert_int_eq(end(), -VDO_ECORRUPT);
}
END_TEST

/* In the place of a block that was not written is the one of the trip before. */
START_TEST(stale)
{
	for (seq_t q = 5; q <= 12; q++)
		put(q, q < 9 ? 1 : 5, q < 9 ? 1 : 6, FULL);
	put(3, 1, 1, FULL); /* 11 */
	assert_last(10, FULL);
	ck_assert_uint_eq(bounds.highest, 12);
}
END_TEST

START_TEST(not_full)
{
	put_full(9);
	put(7, 5, 6, 31);
	assert_last(7, 31);
}
END_TEST

/* Sector @_i is that of an older image, or of a trip before. */
START_TEST(torn)
{
	unsigned s = (unsigned)_i;

	put_full(9);
	if (s % 2 == 0)
		memset(block_of(8) + (size_t)s * 512, 0, 512);
	else
		block_of(8)[(size_t)s * 512]++;
	assert_last(8, 31 * (s - 1));
}
END_TEST

START_TEST(torn_count)
{
	put_full(9);
	block_of(8)[(size_t)4 * 512 + 2] = 7;
	assert_last(8, 31 * 3 + 7);
}
END_TEST

START_TEST(bad_count)
{
	put_full(9);
	block_of(8)[(size_t)4 * 512 + 2] = 32;
	assert_last(8, 31 * 3);
}
END_TEST

/* The header is older than the sectors: what it does not promise is not there. */
START_TEST(old_header)
{
	put_full(9);
	set_header(8, 5, 6, 50);
	assert_last(8, 50);
}
END_TEST

START_TEST(other_recovery)
{
	put_full(9);
	block_of(9)[52]++;
	assert_last(8, FULL);
	ck_assert_uint_eq(bounds.highest, 8);
}
END_TEST

START_TEST(head_missing)
{
	put_full(9);
	memset(block_of(5), 0, BLOCK_SIZE);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
	ck_assert_uint_eq(replay_entries(scan, 6), 0);
}
END_TEST

/* The journal ends before one of its heads. */
START_TEST(head_beyond)
{
	put_full(9);
	put(9, 5, 8, FULL);
	memset(block_of(7), 0, BLOCK_SIZE);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
}
END_TEST

START_TEST(head_zero)
{
	put(5, 0, 5, FULL);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
}
END_TEST

static void put_old(seq_t seq, unsigned count)
{
	uint8_t *b = block_of(seq);
	uint8_t check = journal_check(seq, RING);

	memset(b, 0, BLOCK_SIZE);
	set_header(seq, 5, 5, count);
	b[32] = JOURNAL_OLD_TYPE;
	for (unsigned i = 0; i < count; i++) {
		uint8_t *sector = b + (1 + i / 46) * (size_t)512;
		uint8_t *e = sector + 3 + i % 46 * (size_t)11;

		sector[0] = check;
		sector[1] = facts.recovery_count;
		sector[2] = (uint8_t)(i % 46 + 1);
		/* data decrement, data increment, ..., map increment */
		put_u16(e, (uint16_t)(i << 2 | (i == 300 ? 3 : i % 2)));
		put_u32(e + 2, 1000 + (uint32_t)seq);
		mapping_encode(e + 6, (struct mapping){1000 + i, 1});
	}
}

START_TEST(old_format)
{
	put_old(5, 311);
	put_old(6, 47);
	ck_assert_int_eq(end(), -VDO_EVERSION);
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(replay_entries(scan, 5), 156);
	ck_assert_uint_eq(replay_entries(scan, 6), 23);
	ck_assert_uint_eq(replay_decode(scan, 5, block_of(5), entries), 156);
	for (unsigned i = 0; i < 156; i++) {
		struct journal_entry *e = &entries[i].entry;
		unsigned n = i < 150 ? 2 * i + 1 : i == 150 ? 300 : 2 * i - 1;

		ck_assert_uint_eq(e->slot, n);
		ck_assert_uint_eq(e->new_mapping.pbn, 1000 + n);
		ck_assert_int_eq(e->operation, n == 300 ? JOURNAL_BLOCK_MAP
							: JOURNAL_DATA);
	}
}
END_TEST

START_TEST(two_formats)
{
	put_old(5, 311);
	put(6, 5, 5, FULL);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(replay_entries(scan, 5), 0);
	ck_assert_uint_eq(replay_entries(scan, 6), FULL);
}
END_TEST

/* A rebuild takes what is there: gaps are skipped, in blocks and in the ring. */
START_TEST(tolerant)
{
	put_full(9);
	memset(block_of(6), 0, BLOCK_SIZE);
	memset(block_of(7) + (size_t)3 * 512, 0, 512);
	show();
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert(bounds.found);
	ck_assert_uint_eq(bounds.first, 5);
	ck_assert_uint_eq(bounds.last, 9);
	ck_assert_uint_eq(replay_entries(scan, 5), FULL);
	ck_assert_uint_eq(replay_entries(scan, 6), 0);
	ck_assert_uint_eq(replay_entries(scan, 7), FULL - 31);
	ck_assert_uint_eq(replay_decode(scan, 7, block_of(7), entries),
			  FULL - 31);
	ck_assert_uint_eq(entries[61].at.entry, 61);
	ck_assert_uint_eq(entries[62].at.entry, 93);
	ck_assert_uint_eq(entries[62].entry.slot, 93);
}
END_TEST

/* What was under I/O at the crash had told nobody, and its data may be lost: a
 * rebuild ends where a recovery would. */
START_TEST(tolerant_ends_as_recovery)
{
	put_full(9);
	memset(block_of(8), 0, BLOCK_SIZE);
	memset(block_of(7) + (size_t)3 * 512, 0, 512);
	ck_assert_int_eq(end(), 0);
	ck_assert_uint_eq(bounds.last, 7);
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(bounds.first, 5);
	ck_assert_uint_eq(bounds.last, 7);
	ck_assert_uint_eq(bounds.highest, 9);
	ck_assert_uint_eq(replay_entries(scan, 7), 62);
	ck_assert_uint_eq(replay_entries(scan, 9), 0);
}
END_TEST

/* So it does behind a gap that no crash makes. */
START_TEST(tolerant_end_in_flight)
{
	put_full(10);
	memset(block_of(6), 0, BLOCK_SIZE);
	memset(block_of(9) + (size_t)3 * 512, 0, 512);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(bounds.last, 9);
	ck_assert_uint_eq(replay_entries(scan, 8), FULL);
	ck_assert_uint_eq(replay_entries(scan, 9), 62);
	ck_assert_uint_eq(replay_decode(scan, 9, block_of(9), entries), 62);
}
END_TEST

/* What a head has passed was durable, as new as it may be. */
START_TEST(tolerant_heads_are_certain)
{
	put_full(8);
	set_header(8, 5, 8, FULL);
	memset(block_of(6), 0, BLOCK_SIZE);
	ck_assert_int_eq(end(), -VDO_ECORRUPT);
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(bounds.first, 5);
	ck_assert_uint_eq(bounds.last, 8);
	ck_assert_uint_eq(replay_entries(scan, 6), 0);
	ck_assert_uint_eq(replay_entries(scan, 7), FULL);
}
END_TEST

/* No head that lies leads further back than the ring is long. */
START_TEST(tolerant_head)
{
	put(98, 1, 1, FULL);
	put(99, 1, 1, FULL);
	put(100, 1, 1, 5);
	show();
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(bounds.first, 100 - RING + 1);
	ck_assert_uint_eq(bounds.last, 100);
}
END_TEST

/* A head that is newer than all blocks leaves none. */
START_TEST(tolerant_head_beyond)
{
	put(100, 200, 1, 5);
	show();
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert_uint_eq(bounds.first, 101);
	ck_assert_uint_eq(bounds.last, 100);
	ck_assert_uint_eq(replay_entries(scan, 100), 0);
}
END_TEST

START_TEST(tolerant_nothing)
{
	show();
	replay_scan_end_tolerant(scan, &bounds);
	ck_assert(!bounds.found);
	ck_assert_uint_lt(bounds.last, bounds.first);
}
END_TEST

/* The totals follow the entries that are whole. */
START_TEST(totals)
{
	struct journal_entry e[4] = {
		{JOURNAL_BLOCK_MAP, 1001, 0, {1002, 1}, {0, 0}},
		{JOURNAL_DATA, 1002, 0, {0, 0}, {1003, 1}},
		{JOURNAL_DATA, 1002, 1, {0, 0}, {0, 1}},
		{JOURNAL_DATA, 1002, 2, {1004, 1}, {1005, 1}},
	};

	put(5, 5, 5, 0);
	set_header(5, 5, 5, 4);
	for (unsigned i = 0; i < 4; i++)
		journal_block_put(block_of(5), i, journal_check(5, RING), 3,
				  &e[i]);
	ck_assert_int_eq(end(), 0);
	ck_assert_uint_eq(bounds.logical_blocks_used, 5000 - 2);
	ck_assert_uint_eq(bounds.block_map_data_blocks, 501);
}
END_TEST

static const struct {
	struct journal_entry e;
	bool fine;
} checks[] = {
	{{JOURNAL_DATA, 1000, 0, {1001, 1}, {0, 0}}, true},
	{{JOURNAL_DATA, 1000, 811, {1001, 15}, {17191, 2}}, true},
	{{JOURNAL_DATA, 1000, 0, {0, 1}, {0, 1}}, true},
	{{JOURNAL_BLOCK_MAP, 100, 0, {1001, 1}, {0, 0}}, true},
	{{JOURNAL_BLOCK_MAP, 159, 0, {1001, 1}, {0, 0}}, true},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {1001, 1}, {0, 0}}, true},
	{{2, 1000, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 1000, 812, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 9000, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 999, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 17384, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 100, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_BLOCK_MAP, 160, 0, {1001, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 1000, 0, {9000, 1}, {0, 0}}, false},
	{{JOURNAL_DATA, 1000, 0, {1001, 0}, {0, 0}}, false},
	{{JOURNAL_DATA, 1000, 0, {0, 2}, {0, 0}}, false},
	{{JOURNAL_DATA, 1000, 0, {1001, 1}, {9000, 1}}, false},
	{{JOURNAL_DATA, 1000, 0, {1001, 1}, {1001, 0}}, false},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {1001, 2}, {0, 0}}, false},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {0, 1}, {0, 0}}, false},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {0, 0}, {0, 0}}, false},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {1001, 1}, {0, 1}}, false},
	{{JOURNAL_BLOCK_MAP, 1000, 0, {1001, 1}, {1002, 1}}, false},
};

START_TEST(entry_check)
{
	ck_assert_int_eq(replay_entry_check(&facts, &checks[_i].e) == NULL,
			 checks[_i].fine);
}
END_TEST

/* Pages that entries make come up even if nothing is put there, once, and not as
 * places. */
START_TEST(made_pages)
{
	struct journal_entry make = {.operation = JOURNAL_BLOCK_MAP,
				     .page = 5,
				     .slot = 811,
				     .new_mapping = {9, STATE_UNCOMPRESSED}};
	struct journal_entry first = {.page = 9,
				      .new_mapping = {70, STATE_UNCOMPRESSED}};
	uint8_t page[BLOCK_SIZE] = {0};
	struct replay_table *t;
	size_t pos = 0;

	ck_assert_int_eq(replay_table_create(3, &t), 0);
	ck_assert(replay_table_add(t, &make));
	replay_table_make(t, 9);
	ck_assert(replay_table_add(t, &first));
	make.page = 9;
	make.new_mapping.pbn = 12;
	ck_assert(replay_table_add(t, &make));
	replay_table_make(t, 12);
	ck_assert(!replay_table_add(t, &first));
	ck_assert_uint_eq(replay_table_count(t), 3);
	replay_table_sort(t);
	ck_assert_uint_eq(replay_table_count(t), 3);
	ck_assert_uint_eq(replay_table_page(t, &pos), 5);
	ck_assert_uint_eq(replay_table_page(t, &pos), 9);
	ck_assert_uint_eq(replay_table_page(t, &pos), 12);
	ck_assert_uint_eq(replay_table_page(t, &pos), 0);
	ck_assert(!replay_table_makes(t, 5));
	ck_assert(replay_table_makes(t, 9));
	ck_assert(replay_table_makes(t, 12));
	ck_assert(!replay_table_makes(t, 70));
	ck_assert_uint_eq(replay_table_apply(t, 5, page, ANY), 1);
	memset(page, 0, sizeof(page));
	ck_assert_uint_eq(replay_table_apply(t, 9, page, ANY), 3);
	ck_assert_uint_eq(mapping_page_get(page, 0).pbn, 70);
	ck_assert_uint_eq(mapping_page_get(page, 811).pbn, 12);
	/* It leads to that page for ever. */
	ck_assert_uint_eq(replay_table_apply(t, 5, page, REPLAY_INTERIOR), 0);
	ck_assert_uint_eq(mapping_page_get(page, 811).pbn, 12);
	ck_assert_uint_eq(replay_table_apply(t, 12, page, ANY), 1);
	ck_assert_uint_eq(mapping_page_get(page, 0).pbn, 70);
	replay_table_clear(t);
	replay_table_sort(t);
	ck_assert(!replay_table_makes(t, 12));
	replay_table_destroy(t);
}
END_TEST

static void add(struct replay_table *t, enum journal_operation operation,
		pbn_t page, unsigned slot, pbn_t to, unsigned state)
{
	struct journal_entry e = {
		.operation = operation,
		.page = page,
		.slot = (uint16_t)slot,
		.new_mapping = {to, (uint8_t)state},
	};

	ck_assert(replay_table_add(t, &e));
	if (operation == JOURNAL_BLOCK_MAP)
		replay_table_make(t, to);
}

/* Entries that no journal has which was written: each line is one of two. */
static const struct {
	struct {
		enum journal_operation operation;
		pbn_t page;
		unsigned slot;
		pbn_t to;
	} e[2];
	pbn_t clash; /* 0: none */
} clashes[] = {
	{{{JOURNAL_DATA, 5, 1, 70}, {JOURNAL_DATA, 6, 1, 70}}, 0},
	{{{JOURNAL_BLOCK_MAP, 5, 1, 9}, {JOURNAL_DATA, 9, 1, 70}}, 0},
	/* What is mapped no more may become a page. */
	{{{JOURNAL_DATA, 5, 1, 9}, {JOURNAL_DATA, 5, 1, 0}}, 0},
	{{{JOURNAL_BLOCK_MAP, 5, 1, 9}, {JOURNAL_DATA, 5, 2, 70}}, 5},
	{{{JOURNAL_DATA, 5, 1, 9}, {JOURNAL_BLOCK_MAP, 6, 1, 9}}, 9},
	{{{JOURNAL_DATA, 5, 1, 9}, {JOURNAL_DATA, 9, 1, 70}}, 9},
};

START_TEST(entries_that_clash)
{
	for (size_t i = 0; i < ARRAY_SIZE(clashes); i++) {
		struct replay_table *t;
		const char *wrong;
		pbn_t page;

		ck_assert_int_eq(replay_table_create(2, &t), 0);
		for (unsigned k = 0; k < 2; k++)
			add(t, clashes[i].e[k].operation, clashes[i].e[k].page,
			    clashes[i].e[k].slot, clashes[i].e[k].to,
			    STATE_UNCOMPRESSED);
		replay_table_sort(t);
		wrong = replay_table_clash(t, &page);
		ck_assert_uint_eq(page, clashes[i].clash);
		ck_assert_int_eq(wrong != NULL, page != 0);
		replay_table_destroy(t);
	}
}
END_TEST

static const char *misfit(const struct replay_table *t, pbn_t page,
			  const uint8_t *bytes, pbn_t wanted)
{
	pbn_t which = 0;
	const char *wrong = replay_table_misfit(t, page, bytes, &which);

	ck_assert(wrong == NULL || which == wanted);
	return wrong;
}

/* Entries and the page that they are of. */
START_TEST(entries_that_do_not_fit)
{
	struct mapping one = {60, STATE_UNCOMPRESSED};
	struct mapping leaf = {70, STATE_UNCOMPRESSED};
	struct mapping fragment = {60, STATE_FRAGMENT_0};
	uint8_t page[BLOCK_SIZE] = {0};
	struct replay_table *t;

	ck_assert_int_eq(replay_table_create(4, &t), 0);
	add(t, JOURNAL_DATA, 5, 1, 80, STATE_UNCOMPRESSED);
	add(t, JOURNAL_BLOCK_MAP, 6, 2, 70, STATE_UNCOMPRESSED);
	add(t, JOURNAL_BLOCK_MAP, 7, 2, 71, STATE_UNCOMPRESSED);
	add(t, JOURNAL_DATA, 70, 1, 81, STATE_UNCOMPRESSED);
	replay_table_sort(t);
	ck_assert_ptr_null(misfit(t, 5, page, 0));
	ck_assert_ptr_null(misfit(t, 6, page, 0));
	/* The page that 6 leads to has an entry; that of 7 has none. */
	ck_assert(!replay_table_doubts(t, 5, page));
	ck_assert(!replay_table_doubts(t, 6, page));
	ck_assert(replay_table_doubts(t, 7, page));
	/* A page that leads to one with entries. */
	mapping_page_put(page, 4, leaf);
	ck_assert_ptr_nonnull(misfit(t, 5, page, 70));
	ck_assert(!replay_table_doubts(t, 7, page));
	/* A leaf page that has what is made a page, until an entry replaces it. */
	mapping_page_put(page, 9, fragment);
	ck_assert_ptr_nonnull(misfit(t, 5, page, 70));
	mapping_page_put(page, 4, one);
	ck_assert_ptr_null(misfit(t, 5, page, 0));
	mapping_page_put(page, 1, leaf);
	ck_assert_ptr_null(misfit(t, 5, page, 0));
	ck_assert_ptr_nonnull(misfit(t, 6, page, 6));
	/* What leads to another page. */
	memset(page, 0, sizeof(page));
	mapping_page_put(page, 2, one);
	ck_assert_ptr_nonnull(misfit(t, 6, page, 6));
	ck_assert_uint_eq(replay_table_apply(t, 6, page, ANY), 0);
	mapping_page_put(page, 2, leaf);
	ck_assert_ptr_null(misfit(t, 6, page, 0));
	/* Entries of the other kind are left out. */
	ck_assert_uint_eq(replay_table_apply(t, 6, page, REPLAY_LEAF), 0);
	ck_assert_uint_eq(replay_table_apply(t, 6, page, REPLAY_INTERIOR), 1);
	ck_assert_uint_eq(replay_table_kinds(t, 6), REPLAY_INTERIOR);
	ck_assert_uint_eq(replay_table_kinds(t, 70), REPLAY_LEAF);
	ck_assert_uint_eq(replay_table_kinds(t, 71), 0);
	replay_table_destroy(t);
}
END_TEST

/* Of a slot that lies in two sectors, one may be old: the entry is in the
 * journal still, and whether the page fits does not hang on it. */
START_TEST(torn_slots)
{
	struct mapping to = {UINT64_C(0x312345678), STATE_UNCOMPRESSED};
	struct mapping fragment = {to.pbn, STATE_FRAGMENT_0};
	struct mapping page_70 = {70, STATE_UNCOMPRESSED};
	unsigned found = 0;

	for (unsigned slot = 0; slot < MAP_PAGE_ENTRIES; slot++) {
		size_t at = MAP_PAGE_HEADER + MAPPING_SIZE * slot;
		size_t cut = (size_t)div_up(at, SECTOR_SIZE) * SECTOR_SIZE;
		uint8_t first[BLOCK_SIZE] = {0}, last[BLOCK_SIZE] = {0};
		struct replay_table *t;

		ck_assert_int_eq(mapping_spans_sectors(slot),
				 cut > at && cut < at + MAPPING_SIZE);
		if (!mapping_spans_sectors(slot))
			continue;
		found++;
		ck_assert_int_eq(replay_table_create(3, &t), 0);
		add(t, JOURNAL_BLOCK_MAP, 6, slot, to.pbn, STATE_UNCOMPRESSED);
		add(t, JOURNAL_DATA, 5, 1, 80, STATE_UNCOMPRESSED);
		add(t, JOURNAL_DATA, 70, 1, 81, STATE_UNCOMPRESSED);
		replay_table_sort(t);
		mapping_page_put(first, slot, to);
		memset(first + cut, 0, sizeof(first) - cut);
		mapping_page_put(last, slot, to);
		memset(last, 0, cut);
		ck_assert_ptr_null(misfit(t, 6, first, 0));
		ck_assert_ptr_null(misfit(t, 6, last, 0));
		ck_assert_uint_eq(replay_table_apply(t, 6, first, ANY), 1);
		ck_assert_uint_eq(replay_table_apply(t, 6, last, ANY), 1);
		ck_assert(mapping_equal(mapping_page_get(first, slot), to));
		ck_assert(mapping_equal(mapping_page_get(last, slot), to));
		/* Parts of something else are no part of it. */
		mapping_page_put(first, slot, fragment);
		memset(first + cut, 0, sizeof(first) - cut);
		ck_assert_uint_eq(replay_table_apply(t, 6, first, ANY), 0);
		/* Nor does it tell what kind of page this is. */
		mapping_page_put(first, slot, page_70);
		ck_assert_ptr_null(misfit(t, 5, first, 0));
		replay_table_destroy(t);
	}
	ck_assert_uint_ge(found, 4);
}
END_TEST

/* Notes on pages, and pages that are none. */
START_TEST(notes)
{
	uint8_t page[BLOCK_SIZE] = {0};
	struct replay_table *t;

	ck_assert_int_eq(replay_table_create(2, &t), 0);
	add(t, JOURNAL_BLOCK_MAP, 6, 2, 70, STATE_UNCOMPRESSED);
	add(t, JOURNAL_DATA, 70, 1, 81, STATE_UNCOMPRESSED);
	replay_table_sort(t);
	ck_assert_uint_eq(replay_table_made(t), 1);
	ck_assert_uint_eq(replay_table_notes(t, 6), 0);
	ck_assert_uint_eq(replay_table_notes(t, 81), 0);
	replay_table_note(t, 6, 5);
	replay_table_note(t, 6, 6);
	ck_assert_uint_eq(replay_table_notes(t, 6), 6);
	ck_assert_uint_eq(replay_table_notes(t, 70), 0);
	ck_assert_uint_eq(replay_table_apply(t, 6, page, ANY), 1);
	ck_assert_uint_eq(mapping_page_get(page, 2).pbn, 70);
	memset(page, 0, sizeof(page));
	replay_table_refute(t, 70);
	ck_assert(!replay_table_makes(t, 70));
	ck_assert_uint_eq(replay_table_apply(t, 6, page, ANY), 0);
	ck_assert_uint_eq(replay_table_apply(t, 70, page, ANY), 1);
	replay_table_destroy(t);
}
END_TEST

static const char *take(struct replay_made *m, enum journal_operation operation,
			pbn_t to)
{
	struct journal_entry e = {
		.operation = operation,
		.page = 5,
		.new_mapping = {to, STATE_UNCOMPRESSED},
	};
	const char *wrong;

	ck_assert_int_eq(replay_made_take(m, &e, &wrong), 0);
	return wrong;
}

/* A block is made a page once, and has no data ever after; of as many as there is
 * room for. */
START_TEST(made_once)
{
	const unsigned n = REPLAY_MADE_PAGES_MAX;
	struct replay_made m = {0};

	ck_assert_ptr_null(take(&m, JOURNAL_DATA, 100));
	for (unsigned i = 0; i <= n; i++)
		ck_assert_ptr_null(take(&m, JOURNAL_BLOCK_MAP, 100 + i));
	ck_assert_ptr_null(take(&m, JOURNAL_DATA, 0));
	ck_assert_ptr_null(take(&m, JOURNAL_DATA, 99));
	ck_assert_ptr_nonnull(take(&m, JOURNAL_DATA, 100));
	ck_assert_ptr_nonnull(take(&m, JOURNAL_BLOCK_MAP, 163));
	ck_assert_ptr_nonnull(take(&m, JOURNAL_DATA, 164));
	ck_assert_ptr_nonnull(take(&m, JOURNAL_BLOCK_MAP, 100 + n - 1));
	ck_assert_ptr_null(take(&m, JOURNAL_DATA, 100 + n));
	ck_assert_ptr_null(take(&m, JOURNAL_BLOCK_MAP, 100 + n));
	replay_made_fini(&m);
}
END_TEST

static const char *put_batch(struct replay_made *m, struct replay_table *t,
			     bool is_last, pbn_t wanted)
{
	const char *wrong;
	pbn_t page;

	replay_table_sort(t);
	ck_assert_int_eq(replay_made_batch(m, t, is_last, &page, &wrong), 0);
	ck_assert_uint_eq(page, wanted);
	replay_table_clear(t);
	return wrong;
}

static void fill_with_data(struct replay_table *t, unsigned n, pbn_t to)
{
	for (unsigned i = 0; i < n; i++)
		add(t, JOURNAL_DATA, 1000 + i / MAP_PAGE_ENTRIES,
		    i % MAP_PAGE_ENTRIES, to, STATE_UNCOMPRESSED);
}

/* Places that lead to what a later batch makes a page, as many as there is room
 * for, and until they lead elsewhere. */
START_TEST(made_of_data)
{
	const unsigned n = REPLAY_MADE_PLACES_MAX;
	struct replay_made m = {0};
	struct replay_table *t;

	ck_assert_int_eq(replay_table_create(n + 1, &t), 0);
	ck_assert_ptr_null(take(&m, JOURNAL_BLOCK_MAP, 7));
	ck_assert_ptr_null(take(&m, JOURNAL_BLOCK_MAP, 9));
	add(t, JOURNAL_DATA, 1000, 3, 7, STATE_FRAGMENT_0);
	add(t, JOURNAL_DATA, 1000, 4, 8, STATE_UNCOMPRESSED);
	add(t, JOURNAL_DATA, 1001, 4, 9, STATE_UNCOMPRESSED);
	ck_assert_ptr_null(put_batch(&m, t, false, 0));
	ck_assert_uint_eq(m.place_count, 2);
	add(t, JOURNAL_DATA, 1001, 4, 9, STATE_UNCOMPRESSED);
	add(t, JOURNAL_DATA, 1001, 5, 9, STATE_UNCOMPRESSED);
	ck_assert_ptr_null(put_batch(&m, t, false, 0));
	ck_assert_uint_eq(m.place_count, 3);
	add(t, JOURNAL_DATA, 1000, 3, 0, STATE_UNMAPPED);
	add(t, JOURNAL_BLOCK_MAP, 6, 1, 7, STATE_UNCOMPRESSED);
	ck_assert_ptr_null(put_batch(&m, t, false, 0));
	ck_assert_uint_eq(m.place_count, 2);
	add(t, JOURNAL_DATA, 1001, 5, 0, STATE_UNMAPPED);
	add(t, JOURNAL_BLOCK_MAP, 6, 2, 9, STATE_UNCOMPRESSED);
	ck_assert_ptr_nonnull(put_batch(&m, t, true, 9));
	fill_with_data(t, n + 1, 9);
	ck_assert_ptr_null(put_batch(&m, t, true, 0));
	ck_assert_uint_eq(m.place_count, 0);
	fill_with_data(t, n + 1, 9);
	ck_assert_ptr_null(put_batch(&m, t, false, 0));
	ck_assert_uint_eq(m.place_count, n);
	add(t, JOURNAL_BLOCK_MAP, 6, 2, 9, STATE_UNCOMPRESSED);
	ck_assert_ptr_nonnull(put_batch(&m, t, true, 9));
	replay_table_destroy(t);
	replay_made_fini(&m);
}
END_TEST

START_TEST(table)
{
	static uint8_t page[BLOCK_SIZE];
	struct replay_table *t;
	size_t pos = 0;

	ck_assert_int_eq(replay_table_create(5000, &t), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct journal_entry e = {
			.page = (UINT64_C(1) << 36) - 1 - i % 3 * 1000,
			.slot = (uint16_t)(i % 812),
			.new_mapping = {(UINT64_C(1) << 36) - 1 - i,
					(uint8_t)(i % 16)},
		};

		ck_assert_uint_eq(replay_table_count(t), i);
		ck_assert(replay_table_add(t, &e));
	}
	ck_assert(!replay_table_add(t, &(struct journal_entry){.page = 1}));
	replay_table_sort(t);
	ck_assert_uint_eq(replay_table_count(t), 3 * 812);
	for (unsigned p = 3; p-- > 0;) {
		pbn_t pbn = (UINT64_C(1) << 36) - 1 - p * 1000;

		ck_assert_uint_eq(replay_table_page(t, &pos), pbn);
		memset(page, 0, sizeof(page));
		ck_assert_uint_eq(replay_table_apply(t, pbn, page, ANY), 812);
		for (unsigned s = 0; s < 812; s++) {
			struct mapping m = mapping_page_get(page, s);
			unsigned last = 4999;

			while (last % 812 != s || last % 3 != p)
				last--;
			ck_assert_uint_eq(m.pbn, (UINT64_C(1) << 36) - 1 - last);
			ck_assert_uint_eq(m.state, last % 16);
		}
		ck_assert_uint_eq(replay_table_apply(t, pbn - 1, page, ANY), 0);
		ck_assert_uint_eq(replay_table_apply(t, 1, page, ANY), 0);
	}
	ck_assert_uint_eq(replay_table_page(t, &pos), 0);
	replay_table_clear(t);
	ck_assert(replay_table_add(t, &(struct journal_entry){.page = 9}));
	replay_table_sort(t);
	ck_assert_uint_eq(replay_table_count(t), 1);
	replay_table_clear(t);
	replay_table_sort(t);
	pos = 0;
	ck_assert_uint_eq(replay_table_page(t, &pos), 0);
	replay_table_destroy(t);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("replay");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing);
	tcase_add_test(tc, whole);
	tcase_add_test(tc, hole);
	tcase_add_loop_test(tc, hole_too_old, 7, 12);
	tcase_add_test(tc, stale);
	tcase_add_test(tc, not_full);
	tcase_add_loop_test(tc, torn, 1, 8);
	tcase_add_test(tc, torn_count);
	tcase_add_test(tc, bad_count);
	tcase_add_test(tc, old_header);
	tcase_add_test(tc, other_recovery);
	tcase_add_test(tc, head_missing);
	tcase_add_test(tc, head_beyond);
	tcase_add_test(tc, head_zero);
	tcase_add_test(tc, old_format);
	tcase_add_test(tc, two_formats);
	tcase_add_test(tc, tolerant);
	tcase_add_test(tc, tolerant_ends_as_recovery);
	tcase_add_test(tc, tolerant_end_in_flight);
	tcase_add_test(tc, tolerant_heads_are_certain);
	tcase_add_test(tc, tolerant_head);
	tcase_add_test(tc, tolerant_head_beyond);
	tcase_add_test(tc, tolerant_nothing);
	tcase_add_test(tc, totals);
	tcase_add_loop_test(tc, entry_check, 0, ARRAY_SIZE(checks));
	tcase_add_test(tc, table);
	tcase_add_test(tc, entries_that_clash);
	tcase_add_test(tc, entries_that_do_not_fit);
	tcase_add_test(tc, torn_slots);
	tcase_add_test(tc, notes);
	tcase_add_test(tc, made_pages);
	tcase_add_test(tc, made_once);
	tcase_add_test(tc, made_of_data);
	return unit_run();
}
