/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Layouts that vdoformat wrote, slab configurations, refusals, and the
 * arithmetic of data blocks.
 */
#include "build.h"

#include "format/layout.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "index_format/geometry.h"
#include "tests/lib/unit.h"

#define MIB (UINT64_C(1) << 8) /* blocks */
#define GIB (UINT64_C(1) << 18)
#define TIB (UINT64_C(1) << 28)

/* V 12.3 */
static const struct {
	uint64_t physical;
	unsigned slab_bits;
	int32_t memory;
	bool sparse;
	uint64_t logical; /* asked for */
	pbn_t data_start;
	uint64_t data_blocks, slabs;
	pbn_t last_block;
	uint64_t want_logical;
} rows[] = {
	{720213, 13, -256, false, 0, 679128, 7966, 1, 687381, 7776},
	{2816 * MIB, 13, -256, false, 0, 679128, 7966, 1, 687381, 7776},
	{3 * GIB, 13, -256, false, 10, 679128, 7966, 9, 752917, 10},
	{3 * GIB, 9, -256, false, 0, 679128, 256, 145, 753429, 36894},
	{3 * GIB, 10, -256, false, 0, 679128, 799, 72, 752917, 57277},
	{20 * GIB, 13, -256, false, 0, 679128, 7966, 553, 5209365, 4399593},
	{20 * GIB, 13, -512, false, 0, 1366400, 7966, 469, 5208509, 3731273},
	{20 * GIB, 16, -768, false, 0, 2053670, 65295, 48, 5199459, 3130120},
	{20 * GIB, 16, 1, false, 0, 2732748, 65295, 37, 5157641, 2412759},
	{20 * GIB, 15, -1280, false, 0, 678568, 32535, 138, 5200613, 4484120},
	{40 * GIB, 13, -256, true, 0, 5822252, 7966, 565, 10450793, 4495067},
	{40 * GIB, 16, 2, false, 0, 5496230, 65295, 75, 10411491, 4890914},
	{100 * GIB, 19, -256, false, TIB, 679128, 523934, 48, 25845013, TIB},
	{200 * GIB, 16, 1, true, 0, 23452646, 65295, 441, 52354083, 28759453},
	{200 * GIB, 23, -256, false, 4096 * TIB, 679128, 8386303, 6, 51010837,
	 4096 * TIB},
	{5 * TIB, 19, -256, false, 10 * TIB, 679128, 523934, 2558, 1341807893,
	 10 * TIB},
};

static struct layout_request request(uint64_t physical, unsigned slab_bits,
				     int32_t memory, bool sparse)
{
	return (struct layout_request){
		.physical_blocks = physical,
		.slab_bits = slab_bits,
		.slab_journal_blocks = 224,
		.recovery_journal_blocks = 32768,
		.index_blocks = index_geometry_kernel_blocks(memory, sparse),
		.index_memory = memory,
		.index_sparse = sparse,
		.nonce = 77,
		.uuid = {1, 2, 3},
	};
}

static struct geometry g;
static struct superblock sb;

START_TEST(vdoformat)
{
	struct layout_request r = request(rows[_i].physical, rows[_i].slab_bits,
					  rows[_i].memory, rows[_i].sparse);
	uint64_t d = rows[_i].data_start, p = rows[_i].physical;
	const struct partition *part = sb.partitions;
	uint8_t block[4096];

	r.logical_blocks = rows[_i].logical;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL), 0);
	ck_assert_uint_eq(g.data_start, d);
	ck_assert_uint_eq(g.index_start, 1);
	ck_assert_uint_eq(g.nonce, 77);
	ck_assert_mem_eq(g.uuid, r.uuid, 16);
	ck_assert_int_eq(g.index_memory, rows[_i].memory);
	ck_assert(g.index_sparse == rows[_i].sparse);
	ck_assert_uint_eq(sb.state, VOLUME_NEW);
	ck_assert_uint_eq(sb.nonce, 77);
	ck_assert_uint_eq(sb.journal_start, 1);
	ck_assert_uint_eq(sb.zone_count, 0);
	ck_assert_uint_eq(sb.slab.data_blocks, rows[_i].data_blocks);
	ck_assert_uint_eq(sb.depot_first_block, d + 61);
	ck_assert_uint_eq(sb.depot_last_block, rows[_i].last_block);
	ck_assert_uint_eq((sb.depot_last_block - d - 61) >> rows[_i].slab_bits,
			  rows[_i].slabs);
	ck_assert_uint_eq(sb.logical_blocks, rows[_i].want_logical);
	ck_assert_uint_eq(sb.physical_blocks, p);
	ck_assert_uint_eq(part[PARTITION_BLOCK_MAP].start, d + 1);
	ck_assert_uint_eq(part[PARTITION_DEPOT].start, d + 61);
	ck_assert_uint_eq(part[PARTITION_DEPOT].count, p - d - 61 - 32832);
	ck_assert_uint_eq(part[PARTITION_JOURNAL].start, p - 32832);
	ck_assert_uint_eq(part[PARTITION_SUMMARY].start, p - 64);

	superblock_encode(&sb, block);
	ck_assert_int_eq(superblock_decode(block, d, &sb), 0);
	ck_assert_int_eq(superblock_validate(&sb, &g, NULL), 0);
}
END_TEST

/* V 4.3, for slab journals of 224 blocks */
static const struct {
	unsigned bits;
	uint64_t counts, data, used;
} slabs[] = {
	{9, 1, 256, 1},           {10, 1, 799, 1},
	{11, 1, 1823, 1},         {12, 1, 3871, 1},
	{13, 2, 7966, 2},         {14, 5, 16155, 5},
	{15, 9, 32535, 9},        {16, 17, 65295, 17},
	{17, 33, 130815, 33},     {18, 65, 261855, 65},
	{19, 130, 523934, 130},   {20, 261, 1048091, 260},
	{21, 521, 2096407, 520},  {22, 1041, 4193039, 1040},
	{23, 2081, 8386303, 2080},
};

START_TEST(slab_table)
{
	struct slab_config c;

	ck_assert_int_eq(
		slab_config_compute(UINT64_C(1) << slabs[_i].bits, 224, &c), 0);
	ck_assert_uint_eq(c.slab_blocks, UINT64_C(1) << slabs[_i].bits);
	ck_assert_uint_eq(c.reference_count_blocks, slabs[_i].counts);
	ck_assert_uint_eq(c.data_blocks, slabs[_i].data);
	ck_assert_uint_eq((c.data_blocks + 4031) / 4032, slabs[_i].used);
	ck_assert_uint_eq(c.flushing_threshold, 168);
	ck_assert_uint_eq(c.blocking_threshold, 208);
	ck_assert_uint_eq(c.scrubbing_threshold, 222);
}
END_TEST

/* Thresholds worked out by hand from the formulas. */
static const struct {
	uint64_t journal, flush, block, scrub;
} thresholds[] = {
	{2, 2, 2, 2},      {3, 3, 1, 1},       {4, 3, 2, 2},
	{8, 6, 6, 6},      {16, 12, 14, 14},   {32, 24, 29, 30},
	{64, 48, 59, 62},  {256, 192, 237, 254},
};

START_TEST(threshold)
{
	struct slab_config c;

	ck_assert_int_eq(
		slab_config_compute(8192, thresholds[_i].journal, &c), 0);
	ck_assert_uint_eq(c.flushing_threshold, thresholds[_i].flush);
	ck_assert_uint_eq(c.blocking_threshold, thresholds[_i].block);
	ck_assert_uint_eq(c.scrubbing_threshold, thresholds[_i].scrub);
}
END_TEST

/* No data block may be left, or one. */
static const struct {
	uint64_t slab, journal;
	int want;
	uint64_t data;
} tiny[] = {
	{4, 4, -VDO_ECONFLICT, 0},  {4, 5, -VDO_ECONFLICT, 0},
	{4, 3, -VDO_ECONFLICT, 0},  {4, 2, 0, 1},
	{8, 2, 0, 4},               {256, 224, 0, 16},
	{128, 224, -VDO_ECONFLICT, 0}, {0, 0, -VDO_ECONFLICT, 0},
};

START_TEST(tiny_slab)
{
	struct slab_config c;

	ck_assert_int_eq(
		slab_config_compute(tiny[_i].slab, tiny[_i].journal, &c),
		tiny[_i].want);
	if (tiny[_i].want == 0)
		ck_assert_uint_eq(c.data_blocks, tiny[_i].data);
}
END_TEST

START_TEST(logical_of_small_depots)
{
	for (uint64_t n = 0; n <= 181; n++)
		ck_assert_uint_eq(layout_default_logical_blocks(1, n), 0);
	ck_assert_uint_eq(layout_default_logical_blocks(1, 182), 1);
	ck_assert_uint_eq(layout_default_logical_blocks(1, 7966), 7776);
}
END_TEST

/* What is said to be the minimum will do, and one block less will not. */
static const struct {
	unsigned slab_bits;
	uint64_t slab_journal, journal, logical;
	int32_t memory;
	uint64_t want;
} minima[] = {
	{13, 224, 32768, 0, -256, 720213},
	{13, 224, 512, 0, 0, 8830},
	{13, 224, 4, 0, 0, 8322},
	{8, 224, 512, 1, 0, 894},
	{8, 224, 512, 0, 0, 638 + 12 * 256},
	{3, 3, 4, 0, 0, 130 + 46 * 8},
};

START_TEST(minimum)
{
	struct layout_request r = request(0, minima[_i].slab_bits,
					  minima[_i].memory, false);
	uint64_t blocks = 0;
	const char *why = NULL;

	r.slab_journal_blocks = minima[_i].slab_journal;
	r.recovery_journal_blocks = minima[_i].journal;
	r.logical_blocks = minima[_i].logical;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, &blocks, &why), -ENOSPC);
	ck_assert_ptr_nonnull(why);
	ck_assert_uint_eq(blocks, minima[_i].want);
	r.physical_blocks = blocks - 1;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL), -ENOSPC);
	r.physical_blocks = blocks;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, &why), 0);
	ck_assert_ptr_null(why);
	ck_assert_uint_ge(sb.logical_blocks, 1);
}
END_TEST

#define FIELD(f) offsetof(struct layout_request, f)

/* One number changed in a request of 20 GiB. */
static const struct {
	size_t field;
	uint64_t value;
	int want;
} refusals[] = {
	{FIELD(physical_blocks), (UINT64_C(1) << 36) + 1, -ERANGE},
	{FIELD(logical_blocks), UINT64_C(1) << 40, 0},
	{FIELD(logical_blocks), (UINT64_C(1) << 40) + 1, -ERANGE},
	{FIELD(slab_journal_blocks), 1, -ERANGE},
	/* Not safe against a crash, see SLAB_JOURNAL_BLOCKS_NEW_MIN. */
	{FIELD(slab_journal_blocks), 2, -ERANGE},
	{FIELD(slab_journal_blocks), 3, 0},
	{FIELD(slab_journal_blocks), 256, 0},
	{FIELD(slab_journal_blocks), 257, -ERANGE},
	{FIELD(recovery_journal_blocks), 0, -ERANGE},
	{FIELD(recovery_journal_blocks), 2, -ERANGE},
	{FIELD(recovery_journal_blocks), 4, 0},
	{FIELD(recovery_journal_blocks), 1000, -ERANGE},
	{FIELD(recovery_journal_blocks), UINT64_C(1) << 63, -ERANGE},
	{FIELD(index_blocks), UINT64_MAX, -ERANGE},
	{FIELD(index_blocks), 0, -VDO_ECONFLICT},
	{FIELD(index_blocks), 5242880, -ENOSPC},
};

START_TEST(refusal)
{
	struct layout_request r = request(20 * GIB, 13, -256, false);
	const char *why = NULL;
	int result;

	memcpy((char *)&r + refusals[_i].field, &refusals[_i].value, 8);
	result = layout_compute(&r, &g, &sb, NULL, &why);
	ck_assert_int_eq(result, refusals[_i].want);
	ck_assert((why != NULL) == (result != 0));
}
END_TEST

static const struct {
	uint64_t physical;
	unsigned slab_bits;
	int want;
} slab_bits[] = {
	{20 * GIB, 8, -VDO_ECONFLICT}, /* too many slabs */
	{300 * GIB, 13, -VDO_ECONFLICT},
	{300 * GIB, 14, 0},
	{20 * GIB, 7, -VDO_ECONFLICT}, /* no room for the slab journal */
	{20 * GIB, 0, -VDO_ECONFLICT},
	{100 * GIB, 23, 0},
	{100 * GIB, 24, -ERANGE},
	{100 * GIB, 64, -ERANGE},
	{712021 + 8193 * 8192 - 1, 13, 0}, /* 8192 slabs, almost one more */
	{712021 + 8193 * 8192, 13, -VDO_ECONFLICT},
};

START_TEST(slab_bits_refused)
{
	struct layout_request r = request(slab_bits[_i].physical,
					  slab_bits[_i].slab_bits, -256, false);

	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL),
			 slab_bits[_i].want);
}
END_TEST

/* Without room for an index there is no memory code. */
START_TEST(no_index)
{
	struct layout_request r = request(8830, 13, 0, false);

	r.recovery_journal_blocks = 512;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL), 0);
	ck_assert_uint_eq(g.data_start, 1);
	ck_assert_uint_eq(sb.depot_first_block, 62);
	r.index_memory = 1;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL),
			 -VDO_ECONFLICT);
	r.index_memory = -32;
	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL),
			 -VDO_ECONFLICT);
}
END_TEST

START_TEST(data_blocks)
{
	struct layout_request r = request(3 * GIB, 13, -256, false);
	struct slab_geometry s;
	struct {
		pbn_t pbn;
		bool want;
	} cases[] = {
		{0, false},
		{679188, false},
		{679189, true},
		{679189 + 7965, true},
		{679189 + 7966, false},
		{679189 + 8191, false},
		{679189 + 8192, true},
		{752917 - 227, true},
		{752917 - 226, false},
		{752917, false},
		{UINT64_MAX, false},
	};

	ck_assert_int_eq(layout_compute(&r, &g, &sb, NULL, NULL), 0);
	layout_slab_geometry_init(&s, &sb);
	ck_assert_uint_eq(s.slab_count, 9);
	ck_assert_uint_eq(s.slab_shift, 13);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert(is_data_block(&s, cases[i].pbn) == cases[i].want);
	ck_assert_uint_eq(slab_of(&s, 679189 + 8192 + 5), 1);
	ck_assert_uint_eq(slab_offset_of(&s, 679189 + 8192 + 5), 5);
	ck_assert_uint_eq(slab_start(&s, 1), 679189 + 8192);
	ck_assert(mapping_plausible(&s, (struct mapping){0, 0}));
	ck_assert(mapping_plausible(&s, (struct mapping){0, 1}));
	ck_assert(!mapping_plausible(&s, (struct mapping){0, 2}));
	ck_assert(!mapping_plausible(&s, (struct mapping){679189, 0}));
	ck_assert(mapping_plausible(&s, (struct mapping){679189, 15}));
	ck_assert(!mapping_plausible(&s, (struct mapping){679188, 1}));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("layout");

	tcase_add_loop_test(tc, vdoformat, 0, ARRAY_SIZE(rows));
	tcase_add_loop_test(tc, slab_table, 0, ARRAY_SIZE(slabs));
	tcase_add_loop_test(tc, threshold, 0, ARRAY_SIZE(thresholds));
	tcase_add_loop_test(tc, tiny_slab, 0, ARRAY_SIZE(tiny));
	tcase_add_test(tc, logical_of_small_depots);
	tcase_add_loop_test(tc, minimum, 0, ARRAY_SIZE(minima));
	tcase_add_loop_test(tc, refusal, 0, ARRAY_SIZE(refusals));
	tcase_add_loop_test(tc, slab_bits_refused, 0, ARRAY_SIZE(slab_bits));
	tcase_add_test(tc, no_index);
	tcase_add_test(tc, data_blocks);
	return unit_run();
}
