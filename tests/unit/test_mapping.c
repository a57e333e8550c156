/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block map pages and entries: bytes of real pages, every state, damage; the
 * way from an LBN to its page.
 */
#include "build.h"

#include "format/mapping.h"

#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

/* The root of tree 0, and the leaf of LBN 0..811. */
static const char root_dump[] =
	"0400 0000 0100 0000 7248 c9e4 d760 0600"
	"d95c 0a00 0000 0000 0000 0000 0000 0000"
	"0100 0000 0115 5d0a 0000 0000";
static const char leaf_dump[] =
	"0400 0000 0100 0000 7248 c9e4 d760 0600"
	"185d 0a00 0000 0000 0000 0000 0000 0000"
	"0100 0000 0119 5d0a 0001 0000 0000 0119"
	"5d0a 0000 0000 0000 0000 0000 0000 0000";

static uint8_t page[4096], got[4096];

static void load(const char *dump)
{
	memset(page, 0, sizeof(page));
	golden(page, dump);
}

START_TEST(golden_pages)
{
	static const struct mapping leaf[] = {
		{679193, 1}, {0, 1}, {679193, 1}, {0, 0}, {0, 0}};

	load(root_dump);
	ck_assert_int_eq(mapping_page_check(page, GOLDEN_NONCE, 679129),
			 MAP_PAGE_VALID);
	ck_assert(mapping_equal(mapping_page_get(page, 0),
				(struct mapping){679189, 1}));
	load(leaf_dump);
	ck_assert_int_eq(mapping_page_check(page, GOLDEN_NONCE, 679192),
			 MAP_PAGE_VALID);
	memset(got, 0xee, sizeof(got));
	mapping_page_format(got, GOLDEN_NONCE, 679192, true);
	for (unsigned i = 0; i < ARRAY_SIZE(leaf); i++) {
		ck_assert(mapping_equal(mapping_page_get(page, i), leaf[i]));
		mapping_page_put(got, i, leaf[i]);
	}
	ck_assert_mem_eq(got, page, sizeof(page));
}
END_TEST

static enum map_page_validity damage_result(unsigned at)
{
	if (at >= 8 && at < 16)
		return MAP_PAGE_INVALID; /* the nonce: of another volume */
	return at < 24 || at == 32 ? MAP_PAGE_BAD : MAP_PAGE_VALID;
}

START_TEST(each_byte_damaged)
{
	for (unsigned at = 0; at < 64; at++) {
		load(leaf_dump);
		page[at] ^= 0xff;
		ck_assert_int_eq(mapping_page_check(page, GOLDEN_NONCE, 679192),
				 damage_result(at));
	}
}
END_TEST

START_TEST(initialised_flag)
{
	mapping_page_format(page, 5, 6, false);
	ck_assert(!mapping_page_initialised(page));
	ck_assert_int_eq(mapping_page_check(page, 5, 6), MAP_PAGE_INVALID);
	/* Empty rather than misplaced. */
	ck_assert_int_eq(mapping_page_check(page, 5, 7), MAP_PAGE_INVALID);
	mapping_page_set_initialised(page, true);
	ck_assert(mapping_page_initialised(page));
	ck_assert_int_eq(mapping_page_check(page, 5, 6), MAP_PAGE_VALID);
	ck_assert_int_eq(mapping_page_check(page, 5, 7), MAP_PAGE_BAD);
	ck_assert_int_eq(mapping_page_check(page, 4, 6), MAP_PAGE_INVALID);
	mapping_page_set_initialised(page, false);
	ck_assert_uint_eq(page[32], 0);
	memset(page, 0, sizeof(page));
	ck_assert_int_eq(mapping_page_check(page, 5, 6), MAP_PAGE_INVALID);
}
END_TEST

/* A root is all zeroes at first, and then one of ours. */
START_TEST(roots)
{
	memset(page, 0, sizeof(page));
	ck_assert_int_eq(mapping_root_check(page, 5, 6), MAP_PAGE_INVALID);
	/* The first write was torn. */
	page[4095] = 1;
	ck_assert_int_eq(mapping_root_check(page, 5, 6), MAP_PAGE_INVALID);
	mapping_page_format(page, 5, 6, false);
	ck_assert_int_eq(mapping_root_check(page, 5, 6), MAP_PAGE_INVALID);
	mapping_page_set_initialised(page, true);
	ck_assert_int_eq(mapping_root_check(page, 5, 6), MAP_PAGE_VALID);
	for (unsigned at = 0; at < 64; at++) {
		bool header = at < 24 || at == 32;

		page[at] ^= 2;
		ck_assert_int_eq(mapping_root_check(page, 5, 6),
				 header ? MAP_PAGE_BAD : MAP_PAGE_VALID);
		page[at] ^= 2;
	}
	memset(page, 0, 35);
	page[35] = 1;
	ck_assert_int_eq(mapping_root_check(page, 5, 6), MAP_PAGE_BAD);
}
END_TEST

static const struct {
	struct mapping m;
	uint8_t bytes[5];
	bool valid;
} entries[] = {
	{{0, 0}, {0x00, 0, 0, 0, 0}, true},
	{{0, 1}, {0x01, 0, 0, 0, 0}, true},
	{{0, 2}, {0x02, 0, 0, 0, 0}, false},
	{{0, 15}, {0x0f, 0, 0, 0, 0}, false},
	{{1, 0}, {0x00, 1, 0, 0, 0}, false},
	{{UINT64_C(0xfffffffff), 15}, {0xff, 0xff, 0xff, 0xff, 0xff}, true},
	{{UINT64_C(0x912345678), 2}, {0x92, 0x78, 0x56, 0x34, 0x12}, true},
	{{UINT64_C(0x800000000), 0}, {0x80, 0, 0, 0, 0}, false},
};

START_TEST(entry)
{
	uint8_t p[5];

	mapping_encode(p, entries[_i].m);
	ck_assert_mem_eq(p, entries[_i].bytes, 5);
	ck_assert(mapping_equal(mapping_decode(p), entries[_i].m));
	ck_assert(mapping_valid(entries[_i].m) == entries[_i].valid);
}
END_TEST

/* Every slot is its own, and the last one ends the page. */
START_TEST(slots)
{
	mapping_page_format(page, 1, 2, true);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		mapping_page_put(page, i,
				 (struct mapping){i * 5309u + 1, i % 15 + 1});
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		ck_assert(mapping_equal(
			mapping_page_get(page, i),
			(struct mapping){i * 5309u + 1, i % 15 + 1}));
	ck_assert_int_eq(mapping_page_check(page, 1, 2), MAP_PAGE_VALID);
	mapping_page_put(page, 811,
			 (struct mapping){UINT64_C(0xfffffffff), 15});
	ck_assert_uint_eq(page[4091], 0xff);
	ck_assert_uint_eq(page[4095], 0xff);
}
END_TEST

static const struct {
	lbn_t lbn;
	unsigned root;
	uint64_t page[5];
	uint16_t slot[5];
} places[] = {
	{0, 0, {0}, {0}},
	{811, 0, {0}, {811}},
	{812, 1, {0}, {0}},
	{812 * 60 - 1, 59, {0}, {811}},
	{812 * 60, 0, {1}, {0, 1}},
	{UINT64_C(812) * 812 * 60, 0, {812, 1}, {0, 0, 1}},
	{UINT64_C(812) * 812 * 812 * 60 + 813, 1, {659344, 812, 1},
	 {1, 0, 0, 1}},
	/* The last block of the largest volume, in leaf 1354078359. */
	{(UINT64_C(1) << 40) - 1, 39, {22567972, 27793, 34},
	 {267, 56, 185, 34, 0}},
};

START_TEST(place)
{
	struct tree_place p;

	mapping_tree_place(places[_i].lbn, 60, &p);
	ck_assert_uint_eq(p.root, places[_i].root);
	for (unsigned level = 0; level < MAP_LEVELS; level++) {
		ck_assert_uint_eq(p.page[level], places[_i].page[level]);
		ck_assert_uint_eq(p.slot[level], places[_i].slot[level]);
	}
}
END_TEST

/* The first slot that differs, wherever it is and wherever the search begins. */
START_TEST(skip)
{
	const struct mapping m = {0, (uint8_t)_i};
	uint8_t full[BLOCK_SIZE];

	mapping_page_format(full, 1, 2, true);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		mapping_page_put(full, i, m);
	for (unsigned at = 0; at < MAP_PAGE_ENTRIES; at++) {
		mapping_page_put(full, at, (struct mapping){at + 1, 1});
		for (unsigned from = at > 20 ? at - 20 : 0; from <= at; from++)
			ck_assert_uint_eq(mapping_page_skip(full, from,
							    MAP_PAGE_ENTRIES,
							    m),
					  at);
		ck_assert_uint_eq(mapping_page_skip(full, 0, at, m), at);
		ck_assert_uint_eq(mapping_page_skip(full, at + 1,
						    MAP_PAGE_ENTRIES, m),
				  MAP_PAGE_ENTRIES);
		mapping_page_put(full, at, m);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("mapping");

	tcase_add_test(tc, golden_pages);
	tcase_add_test(tc, each_byte_damaged);
	tcase_add_test(tc, roots);
	tcase_add_test(tc, initialised_flag);
	tcase_add_loop_test(tc, entry, 0, ARRAY_SIZE(entries));
	tcase_add_test(tc, slots);
	tcase_add_loop_test(tc, skip, 0, 2);
	tcase_add_loop_test(tc, place, 0, ARRAY_SIZE(places));
	return unit_run();
}
