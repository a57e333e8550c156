/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery journal blocks: a real one both ways, full ones, and the limits of
 * every field of an entry.
 */
#include "build.h"

#include "format/journal.h"

#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

static const char header_dump[] =
	"0100 0000 0000 0000 0100 0000 0000 0000"
	"0100 0000 0000 0000 7248 c9e4 d760 0600"
	"0309 0000 0000 0000 0000 0000 0000 0000"
	"0000 0080 0000 0000 0000 0000 0000 0000";
static const char sector_dump[] =
	"8000 0901 00d9 5c0a 0001 155d 0a00 0000"
	"0000 0001 0015 5d0a 0001 165d 0a00 0000"
	"0000 0001 0016 5d0a 0001 175d 0a00 0000"
	"0000 0001 0017 5d0a 0001 185d 0a00 0000"
	"0000 0000 0018 5d0a 0001 195d 0a00 0000"
	"0000 0004 0018 5d0a 0001 0000 0000 0000"
	"0000 0008 0018 5d0a 0001 195d 0a00 0000"
	"0000 000c 0018 5d0a 0001 1b5d 0a00 0000"
	"0000 000c 0018 5d0a 0000 0000 0000 011b"
	"5d0a 0000 0000 0000 0000 0000 0000 0000";

static const struct journal_entry used[] = {
	{JOURNAL_BLOCK_MAP, 679129, 0, {679189, 1}, {0, 0}},
	{JOURNAL_BLOCK_MAP, 679189, 0, {679190, 1}, {0, 0}},
	{JOURNAL_BLOCK_MAP, 679190, 0, {679191, 1}, {0, 0}},
	{JOURNAL_BLOCK_MAP, 679191, 0, {679192, 1}, {0, 0}},
	{JOURNAL_DATA, 679192, 0, {679193, 1}, {0, 0}},
	{JOURNAL_DATA, 679192, 1, {0, 1}, {0, 0}},
	{JOURNAL_DATA, 679192, 2, {679193, 1}, {0, 0}},
	{JOURNAL_DATA, 679192, 3, {679195, 1}, {0, 0}},
	{JOURNAL_DATA, 679192, 3, {0, 0}, {679195, 1}},
};

static uint8_t want[4096], block[4096];

static void load(void)
{
	memset(want, 0, sizeof(want));
	golden(want, header_dump);
	golden(want + 512, sector_dump);
}

static void assert_entry_eq(const struct journal_entry *a,
			    const struct journal_entry *b)
{
	ck_assert_int_eq(a->operation, b->operation);
	ck_assert_uint_eq(a->page, b->page);
	ck_assert_uint_eq(a->slot, b->slot);
	ck_assert(mapping_equal(a->new_mapping, b->new_mapping));
	ck_assert(mapping_equal(a->old_mapping, b->old_mapping));
}

START_TEST(encode_golden)
{
	struct journal_header h = {
		.map_head = 1,
		.slab_head = 1,
		.seq = 1,
		.nonce = GOLDEN_NONCE,
		.type = JOURNAL_TYPE,
		.entries = ARRAY_SIZE(used),
		.check = journal_check(1, 32768),
	};

	load();
	memset(block, 0, sizeof(block));
	memset(block, 0xee, 512); /* the header writes all of its sector */
	journal_block_start(block, 0x80, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
		journal_block_put(block, i, 0x80, 0, &used[i]);
	journal_header_encode(&h, block);
	ck_assert_mem_eq(block, want, sizeof(block));
}
END_TEST

START_TEST(decode_golden)
{
	struct journal_header h;
	struct journal_entry e;

	load();
	journal_header_decode(want, &h);
	ck_assert_uint_eq(h.map_head, 1);
	ck_assert_uint_eq(h.slab_head, 1);
	ck_assert_uint_eq(h.seq, 1);
	ck_assert_uint_eq(h.nonce, GOLDEN_NONCE);
	ck_assert_uint_eq(h.type, JOURNAL_TYPE);
	ck_assert_uint_eq(h.entries, 9);
	ck_assert_uint_eq(h.check, 0x80);
	ck_assert_uint_eq(h.recovery_count, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
		journal_entry_decode(want + 515 + 16 * i, &e);
		assert_entry_eq(&e, &used[i]);
	}
}
END_TEST

/* No field of the header overlaps another. */
START_TEST(header_round_trip)
{
	struct journal_header h = {
		.map_head = UINT64_C(0xf1f2f3f4f5f6),
		.slab_head = UINT64_C(0xe1e2e3e4e5e6),
		.seq = UINT64_C(0xd1d2d3d4d5d6),
		.nonce = UINT64_C(0xc1c2c3c4c5c6c7c8),
		.type = 1,
		.entries = 311,
		.logical_blocks_used = UINT64_C(0xb1b2b3b4b5b6b7b8),
		.block_map_data_blocks = UINT64_C(0xa1a2a3a4a5a6a7a8),
		.check = 0xfe,
		.recovery_count = 0xab,
	};
	struct journal_header got;

	journal_header_encode(&h, block);
	journal_header_decode(block, &got);
	ck_assert_uint_eq(got.map_head, h.map_head);
	ck_assert_uint_eq(got.slab_head, h.slab_head);
	ck_assert_uint_eq(got.seq, h.seq);
	ck_assert_uint_eq(got.nonce, h.nonce);
	ck_assert_uint_eq(got.type, 1);
	ck_assert_uint_eq(got.entries, 311);
	ck_assert_uint_eq(got.logical_blocks_used, h.logical_blocks_used);
	ck_assert_uint_eq(got.block_map_data_blocks, h.block_map_data_blocks);
	ck_assert_uint_eq(block[51], 0xfe);
	ck_assert_uint_eq(block[52], 0xab);
	ck_assert_uint_eq(got.check, 0xfe);
	ck_assert_uint_eq(got.recovery_count, 0xab);
	ck_assert_uint_eq(block[53], 0);
}
END_TEST

#define PBN_MAX UINT64_C(0xfffffffff)

static const struct {
	struct journal_entry e;
	const char *bytes;
} limits[] = {
	{{JOURNAL_BLOCK_MAP, PBN_MAX, 811, {0, 0}, {0, 0}},
	 "adfc ffff ffff 0000 0000 0000 0000 0000"},
	{{JOURNAL_DATA, 0, 0, {PBN_MAX, 15}, {0, 0}},
	 "0000 0000 0000 ffff ffff ff00 0000 0000"},
	{{JOURNAL_DATA, 0, 0, {0, 0}, {PBN_MAX, 15}},
	 "0000 0000 0000 0000 0000 00ff ffff ffff"},
	{{JOURNAL_DATA, UINT64_C(0x912345678), 64, {UINT64_C(0x8abcdef01), 3},
	  {UINT64_C(0x7fedcba98), 14}},
	 "0091 7856 3412 8301 efcd ab7e 98ba dcfe"},
};

START_TEST(entry_limits)
{
	uint8_t bytes[16], got[16];
	struct journal_entry e;

	ck_assert_uint_eq(golden(bytes, limits[_i].bytes), 16);
	journal_entry_encode(&limits[_i].e, got);
	ck_assert_mem_eq(got, bytes, 16);
	journal_entry_decode(bytes, &e);
	assert_entry_eq(&e, &limits[_i].e);
}
END_TEST

/* At every fill level just the sectors begun have their three bytes. */
START_TEST(fill)
{
	struct journal_entry e = used[0], got;

	memset(block, 0, sizeof(block));
	journal_block_start(block, 0x85, 7);
	for (unsigned n = 0; n <= JOURNAL_ENTRIES_PER_BLOCK; n++) {
		for (unsigned s = 0; s < JOURNAL_SECTORS; s++) {
			const uint8_t *p = block + 512 * (s + 1);
			bool begun = s == 0 || n > 31 * s;
			unsigned count = n > 31 * s ? MIN(n - 31 * s, 31) : 0;

			ck_assert_uint_eq(p[0], begun ? 0x85 : 0);
			ck_assert_uint_eq(p[1], begun ? 7 : 0);
			ck_assert_uint_eq(p[2], count);
			for (unsigned i = 499; i < 512; i++)
				ck_assert_uint_eq(p[i], 0);
		}
		if (n == JOURNAL_ENTRIES_PER_BLOCK)
			break;
		e.slot = (uint16_t)n;
		journal_block_put(block, n, 0x85, 7, &e);
	}
	for (unsigned i = 0; i < JOURNAL_ENTRIES_PER_BLOCK; i++) {
		journal_entry_decode(
			block + 512 * (1 + i / 31) + 3 + 16 * (i % 31), &got);
		ck_assert_uint_eq(got.slot, i);
	}
}
END_TEST

START_TEST(check_byte)
{
	ck_assert_uint_eq(journal_check(1, 8), 0x80);
	ck_assert_uint_eq(journal_check(7, 8), 0x80);
	ck_assert_uint_eq(journal_check(8, 8), 0x81);
	ck_assert_uint_eq(journal_check(8 * 127, 8), 0xff);
	ck_assert_uint_eq(journal_check(8 * 128, 8), 0x80);
	ck_assert_uint_eq(journal_reserved(32768), 11);
	ck_assert_uint_eq(journal_reserved(32), 8);
	ck_assert_uint_eq(journal_reserved(64), 11);
	ck_assert_uint_eq(journal_reserved(4), 1);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("journal blocks");

	tcase_add_test(tc, encode_golden);
	tcase_add_test(tc, decode_golden);
	tcase_add_test(tc, header_round_trip);
	tcase_add_loop_test(tc, entry_limits, 0, ARRAY_SIZE(limits));
	tcase_add_test(tc, fill);
	tcase_add_test(tc, check_byte);
	return unit_run();
}
