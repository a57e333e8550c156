/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Geometries: the tables of X 2, and what is chosen for small indexes.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>

#include "index_format/geometry.h"

static const struct {
	int32_t memory;
	bool sparse;
	uint32_t chapters;
	uint64_t volume, vi, map, open, save; /* 0: not in the table */
	uint64_t total;
} sizes[] = {
	{-1, false, 4, 1128, 115, 1, 257, 374, 1879},
	{-256, false, 1024, 573448, 52321, 3, 513, 52838, 679127},
	{-512, false, 1024, 1155080, 104625, 7, 1025, 105658, 1366399},
	{-768, false, 1024, 1736712, 156929, 10, 1537, 158477, 2053669},
	{1, false, 1024, 2310152, 209233, 13, 2049, 211296, 2732747},
	{2, false, 2048, 4620296, 435889, 26, 2049, 437965, 5496229},
	{4, false, 4096, 9240584, 906609, 51, 2049, 908710, 11058007},
	{8, false, 8192, 0, 0, 0, 0, 0, 22251355},
	{16, false, 16384, 0, 0, 0, 0, 0, 44777475},
	{32, false, 32768, 0, 0, 0, 0, 0, 90108723},
	{64, false, 65536, 0, 0, 0, 0, 0, 181329075},
	{128, false, 131072, 0, 0, 0, 0, 0, 364885683},
	{256, false, 262144, 0, 0, 0, 0, 0, 734230515},
	{512, false, 524288, 0, 0, 0, 0, 0, 1477383539},
	{1024, false, 1048576, 0, 0, 0, 0, 0, 2972616243},
	{-1280, false, 1023, 572888, 52321, 3, 513, 52838, 678567},
	{-1536, false, 1023, 0, 0, 0, 0, 0, 1365269},
	{-1792, false, 1023, 0, 0, 0, 0, 0, 2051973},
	{4097, false, 1023, 2307896, 209233, 13, 2049, 211296, 2730491},
	{-1, true, 40, 11208, 115, 1, 257, 374, 11959},
	{-256, true, 10240, 5734408, 43380, 26, 513, 43920, 5822251},
	{-512, true, 10240, 11550728, 86727, 61, 1025, 87814, 11726359},
	{-768, true, 10240, 17367048, 130074, 96, 1537, 131708, 17630467},
	{1, true, 10240, 23101448, 173421, 126, 2049, 175597, 23452645},
	{2, true, 20480, 46202888, 360697, 251, 2049, 362998, 46928887},
	{4, true, 40960, 92405768, 749153, 501, 2049, 751704, 93909179},
	{64, true, 655360, 0, 0, 0, 0, 0, 1506041331},
	{1024, true, 10485760, 0, 0, 0, 0, 0, UINT64_C(24153506003)},
	{-1280, true, 10239, 5733848, 43380, 26, 513, 43920, 5821691},
	{4097, true, 10239, 23099192, 173421, 125, 2049, 175596, 23450387},
};

START_TEST(sizes_on_disk)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, sizes[_i].memory,
					     sizes[_i].sparse, 0), 0);
	ck_assert_uint_eq(g.chapters, sizes[_i].chapters);
	ck_assert_uint_eq(g.total_blocks, sizes[_i].total);
	if (sizes[_i].memory != -1)
		ck_assert_uint_eq(
			index_geometry_kernel_blocks(sizes[_i].memory,
						     sizes[_i].sparse),
			sizes[_i].total);
	if (sizes[_i].volume == 0)
		return;
	ck_assert_uint_eq(g.volume_blocks, sizes[_i].volume);
	ck_assert_uint_eq(g.volume_index_blocks, sizes[_i].vi);
	ck_assert_uint_eq(g.page_map_blocks, sizes[_i].map);
	ck_assert_uint_eq(g.open_chapter_blocks, sizes[_i].open);
	ck_assert_uint_eq(g.save_blocks, sizes[_i].save);
}
END_TEST

static const struct {
	int32_t memory;
	uint32_t records;
	unsigned payload, list_bits;
	uint32_t lists;
	unsigned address;
	uint32_t index_pages, pages;
} chapters[] = {
	{-1, 32768, 5, 9, 512, 22, 3, 35},
	{-256, 65536, 6, 10, 1024, 22, 6, 70},
	{-512, 131072, 7, 11, 2048, 22, 13, 141},
	{-768, 196608, 8, 12, 4096, 22, 20, 212},
	{1, 262144, 8, 12, 4096, 22, 26, 282},
};

START_TEST(chapter_geometry)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, chapters[_i].memory, false,
					     0), 0);
	ck_assert_uint_eq(g.records, chapters[_i].records);
	ck_assert_uint_eq(g.chapter_coding.value_bits, chapters[_i].payload);
	ck_assert_uint_eq(g.list_bits, chapters[_i].list_bits);
	ck_assert_uint_eq(g.lists, chapters[_i].lists);
	ck_assert_uint_eq(g.address_bits, chapters[_i].address);
	ck_assert_uint_eq(g.index_pages, chapters[_i].index_pages);
	ck_assert_uint_eq(g.chapter_pages, chapters[_i].pages);
}
END_TEST

static const struct {
	int32_t memory;
	bool sparse;
	unsigned sub;
	uint32_t lists;
	unsigned chapter_bits, min_bits;
	uint32_t min_keys, incr_keys;
	uint64_t memory_size;
} subs[] = {
	{-1, false, SUB_NAMES, 512, 2, 11, 156, 1892, 377733},
	{-1, true, SUB_NAMES, 256, 1, 11, 583, 1465, 227128},
	{-1, true, SUB_SAMPLES, 256, 6, 13, 3866, 4326, 116820},
	{-256, false, SUB_NAMES, 262144, 10, 12, 1268, 2828, 209776476},
	{-1280, false, SUB_NAMES, 262144, 10, 12, 1268, 2828, 209776476},
	{-512, false, SUB_NAMES, 524288, 10, 12, 1268, 2828, 419552952},
	{-768, false, SUB_NAMES, 786432, 10, 12, 1268, 2828, 629329428},
	{1, false, SUB_NAMES, 1048576, 10, 12, 1268, 2828, 839105904},
	{2, false, SUB_NAMES, 2097152, 11, 12, 1268, 2828, 1749625077},
	{4, false, SUB_NAMES, 4194304, 12, 12, 1268, 2828, 3642076692},
	{-256, true, SUB_NAMES, 126976, 9, 12, 1268, 2828, 97286630},
	{-256, true, SUB_SAMPLES, 81920, 14, 12, 1268, 2828, 76713472},
	{1, true, SUB_NAMES, 507904, 9, 12, 1268, 2828, 389146521},
	{1, true, SUB_SAMPLES, 327680, 14, 12, 1268, 2828, 306853888},
};

START_TEST(volume_index_geometry)
{
	struct index_geometry g;
	const struct sub_geometry *s;

	ck_assert_int_eq(index_geometry_init(&g, subs[_i].memory,
					     subs[_i].sparse, 0), 0);
	s = &g.subs[subs[_i].sub];
	ck_assert_uint_eq(s->list_count, subs[_i].lists);
	ck_assert_uint_eq(s->chapter_bits, subs[_i].chapter_bits);
	ck_assert_uint_eq(s->coding.min_bits, subs[_i].min_bits);
	ck_assert_uint_eq(s->coding.min_keys, subs[_i].min_keys);
	ck_assert_uint_eq(s->coding.incr_keys, subs[_i].incr_keys);
	ck_assert_uint_eq(s->memory_size, subs[_i].memory_size);
}
END_TEST

static const int32_t wrong[] = {0, 1025, 4096, 5121, -257, -1000, -1792 - 256,
				INT32_MIN, INT32_MAX};

START_TEST(no_such_code)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, wrong[_i], false, 1 << 20),
			 -EINVAL);
}
END_TEST

/* Of all codes near the known ones, Linux knows exactly these. */
START_TEST(codes_of_linux)
{
	for (int32_t code = -10000; code <= 10000; code++) {
		bool known = (code >= 1 && code <= 1024) ||
			     (code >= 4097 && code <= 5120) || code == -256 ||
			     code == -512 || code == -768 || code == -1280 ||
			     code == -1536 || code == -1792;

		for (int sparse = 0; sparse < 2; sparse++)
			ck_assert(known == (index_geometry_kernel_blocks(
						    code, sparse) != 0));
	}
	ck_assert_uint_eq(index_geometry_kernel_blocks(INT32_MAX, false), 0);
	ck_assert_uint_eq(index_geometry_kernel_blocks(INT32_MIN, false), 0);
}
END_TEST

/* A chapter fewer is a smaller index, more memory a larger one. */
START_TEST(sizes_ordered)
{
	for (int sparse = 0; sparse < 2; sparse++) {
		uint64_t before = 0;

		for (int32_t gib = 1; gib <= 1024; gib++) {
			uint64_t n = index_geometry_kernel_blocks(gib, sparse);

			ck_assert_uint_lt(index_geometry_kernel_blocks(
						  4096 + gib, sparse), n);
			ck_assert_uint_gt(n, before);
			before = n;
		}
	}
}
END_TEST

/* Volumes as the small profile makes them. */
START_TEST(small_geometry)
{
	uint64_t before = 0;

	for (uint64_t mib = 32; mib <= 64 * 1024; mib *= 2) {
		uint64_t blocks = mib * 256;
		uint64_t region = div_up(blocks, 64) + 64;
		int32_t code = -(int32_t)MAX(mib / 1024, UINT64_C(2));
		struct index_geometry g;
		uint64_t records;

		ck_assert_int_eq(index_geometry_init(&g, code, false, region),
				 0);
		ck_assert_uint_le(g.total_blocks, region);
		ck_assert_uint_eq(g.chapters % 2, 0);
		ck_assert_uint_ge(g.chapters, 4);
		ck_assert_uint_ge(g.cache_pages, 4);
		records = (uint64_t)g.records * g.chapters;
		ck_assert_uint_gt(records, before);
		/* Most of the volume, as long as the memory allows. */
		if (mib <= 512)
			ck_assert_uint_gt(records, blocks / 4);
		before = records;
	}
}
END_TEST

START_TEST(small_without_room)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, -2, false, 64), -ENOSPC);
	ck_assert_int_eq(index_geometry_init(&g, -2, false, 0), -ENOSPC);
	ck_assert_int_eq(index_geometry_init(&g, -2, true, 192), -ENOSPC);
}
END_TEST

START_TEST(physical_chapters)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, -1280, false, 0), 0);
	for (uint64_t v = 0; v < 5000; v++)
		ck_assert_uint_eq(geometry_physical(&g, v), v % 1023);
	ck_assert_uint_eq(geometry_expires(&g, 1022), 0);
	ck_assert_uint_eq(geometry_expires(&g, 1023), 1);
	/* Chapter 3000 lived in slot 0 and was moved to 5. */
	g.remapped_virtual = 3000;
	g.remapped_physical = 5;
	ck_assert_uint_eq(geometry_physical(&g, 3000), 5);
	ck_assert_uint_eq(geometry_physical(&g, 3001), 0);
	ck_assert_uint_eq(geometry_physical(&g, 3005), 4);
	ck_assert_uint_eq(geometry_physical(&g, 3006), 6);
	ck_assert_uint_eq(geometry_physical(&g, 2999), 1022);
	ck_assert_uint_eq(geometry_expires(&g, 3000 + 1023), 2);
	ck_assert_uint_eq(geometry_expires(&g, 3005 + 1023), 0);
	ck_assert_uint_eq(geometry_expires(&g, 3006 + 1023), 1);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("geometry");

	tcase_add_loop_test(tc, sizes_on_disk, 0, ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, chapter_geometry, 0, ARRAY_SIZE(chapters));
	tcase_add_loop_test(tc, volume_index_geometry, 0, ARRAY_SIZE(subs));
	tcase_add_loop_test(tc, no_such_code, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, codes_of_linux);
	tcase_add_test(tc, sizes_ordered);
	tcase_add_test(tc, small_geometry);
	tcase_add_test(tc, small_without_room);
	tcase_add_test(tc, physical_chapters);
	return unit_run();
}
