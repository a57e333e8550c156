/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <errno.h>

#include "base/alloc.h"
#include "map/map_priv.h"
#include "tests/lib/unit.h"

#define L1 ((uint64_t)MAP_PAGE_ENTRIES * MAP_PAGE_ENTRIES * ROOT_COUNT)

/* Pages of one tree in levels 1 to 4. */
static const struct {
	uint64_t logical_blocks;
	uint64_t want[4];
} sizes[] = {
	{1, {1, 1, 1, 1}},
	{L1, {1, 1, 1, 1}},
	{L1 + 1, {2, 1, 1, 1}},
	{L1 * MAP_PAGE_ENTRIES, {812, 1, 1, 1}},
	{L1 * MAP_PAGE_ENTRIES + 1, {813, 2, 1, 1}},
	{UINT64_C(1) << 28, {7, 1, 1, 1}}, /* 1 TB */
	{LOGICAL_BLOCKS_MAX, {27794, 35, 1, 1}},
};

START_TEST(page_counts)
{
	struct forest f = {0};

	ck_assert_int_eq(
		forest_init(&f, sizes[_i].logical_blocks, ROOT_COUNT), 0);
	for (unsigned level = 1; level < MAP_LEVELS; level++)
		ck_assert_uint_eq(f.page_count[level],
				  sizes[_i].want[level - 1]);
	forest_fini(&f);
}
END_TEST

/* Each logical block has its pages in the directories, the last one as well. */
START_TEST(ends_fit)
{
	const lbn_t last = sizes[_i].logical_blocks - 1;
	struct forest f = {0};
	struct tree_place place;

	ck_assert_int_eq(
		forest_init(&f, sizes[_i].logical_blocks, ROOT_COUNT), 0);
	mapping_tree_place(last, ROOT_COUNT, &place);
	for (unsigned level = MAP_LEVELS - 1; level > 0; level--) {
		uint64_t n = place.page[level];
		struct page *p = forest_get(&f, place.root, level, n);

		ck_assert_ptr_null(p);
		p = &forest_page()->page;
		ck_assert_ptr_nonnull(p);
		forest_put(&f, place.root, level, n, p);
		ck_assert_ptr_eq(forest_get(&f, place.root, level, n), p);
		ck_assert_uint_eq(p->level, level);
		ck_assert(!page_loaded(p));
	}
	forest_fini(&f);
}
END_TEST

START_TEST(memory_is_short)
{
	struct forest f = {0};
	int r = -ENOMEM;

	for (unsigned long n = 1; r != 0; n++) {
		alloc_fail_at(n);
		r = forest_init(&f, 1000000, ROOT_COUNT);
		alloc_fail_at(0);
		ck_assert(r == 0 || r == -ENOMEM);
		ck_assert(r == -ENOMEM || n == MAP_LEVELS);
	}
	alloc_fail_at(1);
	ck_assert_ptr_null(forest_page());
	alloc_fail_at(0);
	forest_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("forest");

	tcase_add_loop_test(tc, page_counts, 0, ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, ends_fit, 0, ARRAY_SIZE(sizes));
	tcase_add_test(tc, memory_is_short);
	return unit_run();
}
