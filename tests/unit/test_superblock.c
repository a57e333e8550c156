/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The super block: bytes of a real one both ways, every byte damaged, every
 * header and version wrong, and each limit of its configuration.
 */
#include "build.h"

#include "format/superblock.h"

#include <string.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

#define CRC_AT 434

/* A volume of one slab after some use. */
static const char dump[] =
	"0000 0000 0c00 0000 0000 0000 a201 0000"
	"0000 0000 0000 0000 4300 0000 0000 0000"
	"2900 0000 0000 0000 0200 0000 0000 0000"
	"0000 0000 0000 0000 0000 0000 601e 0000"
	"0000 0000 0000 0b00 0000 0000 0020 0000"
	"0000 0000 0080 0000 0000 0000 e000 0000"
	"0000 0000 7248 c9e4 d760 0600 0100 0000"
	"0300 0000 0000 0000 7500 0000 0000 0000"
	"c07f 0a00 0000 0000 c07f 0a00 0000 0000"
	"0401 155d 0a00 0000 0000 0000 0000 0000"
	"0000 ab22 0000 0000 0000 02c0 7f0a 0000"
	"0000 0000 0000 0000 0000 0000 8000 0000"
	"0000 0003 c0ff 0a00 0000 0000 0000 0000"
	"0000 0000 4000 0000 0000 0000 00d9 5c0a"
	"0000 0000 0000 0000 0000 0000 003c 0000"
	"0000 0000 0002 0000 0007 0000 0000 0000"
	"0018 0000 0000 0000 0003 0000 0000 0000"
	"0005 0000 0000 0000 0008 0000 0000 0000"
	"0003 0000 0002 0000 0000 0000 0049 0000"
	"0000 0000 0000 2000 0000 0000 001e 1f00"
	"0000 0000 0002 0000 0000 0000 00e0 0000"
	"0000 0000 00a8 0000 0000 0000 00d0 0000"
	"0000 0000 00de 0000 0000 0000 0015 5d0a"
	"0000 0000 0015 7d0a 0000 0000 0001 0400"
	"0000 0200 0000 0000 0000 2000 0000 0000"
	"0000 0100 0000 0000 0000 0000 0000 0000"
	"0000 d95c 0a00 0000 0000 3c00 0000 0000"
	"0000 8929 dc26 0000";

static const struct geometry geometry = {
	.version_major = 5,
	.nonce = GOLDEN_NONCE,
	.index_start = 1,
	.data_start = GOLDEN_DATA_START,
	.index_memory = -256,
};

static uint8_t block[4096];
static struct superblock sb;

static void load(void)
{
	memset(block, 0, sizeof(block));
	golden(block, dump);
}

static int decode(void)
{
	return superblock_decode(block, GOLDEN_DATA_START, &sb);
}

static void sign(void)
{
	put_u32(block + CRC_AT, format_crc(block, CRC_AT));
}

static void decode_good(void)
{
	load();
	ck_assert_int_eq(decode(), 0);
}

START_TEST(decode_golden)
{
	static const uint8_t order[] = {0, 3, 2, 1}; /* reversed */
	const struct partition *p = sb.partitions;

	decode_good();
	ck_assert_uint_eq(sb.state, VOLUME_CLEAN);
	ck_assert_uint_eq(sb.logical_blocks, 7776);
	ck_assert_uint_eq(sb.physical_blocks, 720896);
	ck_assert_uint_eq(sb.slab_size, 8192);
	ck_assert_uint_eq(sb.recovery_journal_size, 32768);
	ck_assert_uint_eq(sb.slab_journal_blocks, 224);
	ck_assert_uint_eq(sb.nonce, GOLDEN_NONCE);
	ck_assert_uint_eq(p[PARTITION_BLOCK_MAP].start, 679129);
	ck_assert_uint_eq(p[PARTITION_BLOCK_MAP].count, 60);
	ck_assert_uint_eq(p[PARTITION_DEPOT].start, 679189);
	ck_assert_uint_eq(p[PARTITION_DEPOT].count, 8875);
	ck_assert_uint_eq(p[PARTITION_JOURNAL].start, 688064);
	ck_assert_uint_eq(p[PARTITION_JOURNAL].count, 32768);
	ck_assert_uint_eq(p[PARTITION_SUMMARY].start, 720832);
	ck_assert_uint_eq(p[PARTITION_SUMMARY].count, 64);
	ck_assert_mem_eq(sb.partition_order, order, 4);
	ck_assert_uint_eq(sb.journal_start, 3);
	ck_assert_uint_eq(sb.logical_blocks_used, 5);
	ck_assert_uint_eq(sb.block_map_data_blocks, 8);
	ck_assert_uint_eq(sb.slab.data_blocks, 7966);
	ck_assert_uint_eq(sb.slab.reference_count_blocks, 2);
	ck_assert_uint_eq(sb.slab.slab_journal_blocks, 224);
	ck_assert_uint_eq(sb.slab.flushing_threshold, 168);
	ck_assert_uint_eq(sb.slab.blocking_threshold, 208);
	ck_assert_uint_eq(sb.slab.scrubbing_threshold, 222);
	ck_assert_uint_eq(sb.depot_first_block, 679189);
	ck_assert_uint_eq(sb.depot_last_block, 687381);
	ck_assert_uint_eq(sb.zone_count, 1);
	ck_assert_uint_eq(sb.root_origin, 679129);
	ck_assert_uint_eq(sb.root_count, 60);
	ck_assert_int_eq(superblock_validate(&sb, &geometry, NULL), 0);
}
END_TEST

/* Loaded and saved twice it is the same; once, only partitions swap. */
START_TEST(encode_golden)
{
	uint8_t once[4096], twice[4096];

	decode_good();
	memset(once, 0xee, sizeof(once));
	superblock_encode(&sb, once);
	ck_assert_mem_eq(once, block, 145);
	ck_assert_mem_eq(once + 145, block + 145 + 3 * 25, 25);
	ck_assert_mem_eq(once + 145 + 25, block + 145 + 2 * 25, 25);
	ck_assert_mem_eq(once + 145 + 2 * 25, block + 145 + 25, 25);
	ck_assert_mem_eq(once + 145 + 3 * 25, block + 145, 25);
	ck_assert_mem_eq(once + 245, block + 245, CRC_AT - 245);
	ck_assert_int_eq(superblock_decode(once, GOLDEN_DATA_START, &sb), 0);
	superblock_encode(&sb, twice);
	ck_assert_mem_eq(twice, block, 4096);
}
END_TEST

START_TEST(each_byte_damaged)
{
	for (unsigned at = 0; at < CRC_AT + 4; at++) {
		load();
		block[at] ^= 0xff;
		if (at < 4 || (at >= 13 && at < 20))
			ck_assert_int_eq(decode(), -VDO_ECORRUPT);
		else if (at < 12) /* byte 12: still a size Linux takes */
			ck_assert_int_eq(decode(), -VDO_EVERSION);
		else
			ck_assert_int_eq(decode(), -VDO_ECHECKSUM);
	}
	load();
	memset(block + CRC_AT + 4, 0xff, 4096 - CRC_AT - 4);
	ck_assert_int_eq(decode(), 0);
}
END_TEST

/* One field changed in a block whose CRC is right. */
static const struct {
	unsigned at;
	unsigned size;
	uint64_t value;
	int want;
} changes[] = {
	{0, 4, 1, -VDO_ECORRUPT},
	{4, 4, 11, -VDO_EVERSION},
	{8, 4, 1, -VDO_EVERSION},
	{12, 8, 3, -VDO_ECORRUPT},
	{12, 8, 4, 0},
	{12, 8, 419, -VDO_ECORRUPT},
	{24, 4, 66, -VDO_EVERSION},
	{28, 4, 1, -VDO_EVERSION},
	{32, 4, 42, -VDO_EVERSION},
	{36, 4, 1, -VDO_EVERSION},
	{40, 4, 8, 0}, /* superblock_validate() looks at the state */
	{68, 8, 720897, -VDO_ESIZE},
	{108, 4, 2, -VDO_ECORRUPT},
	{112, 4, 2, -VDO_EVERSION},
	{116, 4, 1, -VDO_EVERSION},
	{120, 8, 116, -VDO_ECORRUPT},
	{120, 8, 118, 0},
	{128, 8, 0, 0}, /* nor the bounds of free space */
	{136, 8, 0, 0},
	{144, 1, 3, -VDO_ECORRUPT},
	{144, 1, 5, -VDO_ECORRUPT},
	{145, 1, 2, -VDO_ECORRUPT}, /* twice the same */
	{145, 1, 4, -VDO_ECORRUPT},
	{154, 8, 77, 0}, /* unused */
	{162, 8, 8874, -VDO_ESIZE},
	{162, 8, UINT64_MAX, -VDO_ESIZE},
	{245, 4, 3, -VDO_ECORRUPT},
	{249, 4, 8, -VDO_EVERSION},
	{257, 8, 25, -VDO_ECORRUPT},
	{289, 4, 0, -VDO_ECORRUPT},
	{293, 4, 3, -VDO_EVERSION},
	{301, 8, 72, -VDO_ECORRUPT},
	{382, 4, 5, -VDO_ECORRUPT},
	{390, 4, 9, -VDO_EVERSION},
	{394, 8, 33, -VDO_ECORRUPT},
	{402, 8, 0, -VDO_ECORRUPT},
	{410, 8, 1, -VDO_ECORRUPT},
};

START_TEST(change)
{
	uint8_t value[8];

	load();
	put_u64(value, changes[_i].value);
	memcpy(block + changes[_i].at, value, changes[_i].size);
	sign();
	ck_assert_int_eq(decode(), changes[_i].want);
}
END_TEST

#define FIELD(f) offsetof(struct superblock, f)

/* One number changed in a decoded super block. */
static const struct {
	size_t field;
	uint64_t value;
	int want;
} limits[] = {
	{FIELD(nonce), 1, -VDO_ENONCE},
	{FIELD(slab_size), 0, -VDO_ECORRUPT},
	{FIELD(slab_size), 8191, -VDO_ECORRUPT},
	{FIELD(slab_size), 1 << 23, 0},
	{FIELD(slab_size), 1 << 24, -VDO_ECORRUPT},
	{FIELD(slab_size), 256, 0},
	{FIELD(slab_size), 128, -VDO_ECORRUPT},
	{FIELD(slab_journal_blocks), 1, -VDO_ECORRUPT},
	{FIELD(slab_journal_blocks), 2, 0},
	{FIELD(slab_journal_blocks), 256, 0},
	{FIELD(slab_journal_blocks), 257, -VDO_ECORRUPT},
	{FIELD(physical_blocks), 0, -VDO_ECORRUPT},
	{FIELD(physical_blocks), (UINT64_C(1) << 36) + 1, -VDO_ECORRUPT},
	{FIELD(physical_blocks), UINT64_C(1) << 36, 0},
	{FIELD(physical_blocks), GOLDEN_DATA_START, -VDO_ECORRUPT},
	{FIELD(logical_blocks), UINT64_C(1) << 40, 0},
	{FIELD(logical_blocks), (UINT64_C(1) << 40) + 1, -VDO_ECORRUPT},
	{FIELD(recovery_journal_size), 0, -VDO_ECORRUPT},
	{FIELD(recovery_journal_size), 3, -VDO_ECORRUPT},
	{FIELD(recovery_journal_size), 2, -VDO_ECORRUPT},
	{FIELD(recovery_journal_size), 4, 0},
	{FIELD(recovery_journal_size), 65536, -VDO_ECORRUPT},
	{FIELD(state), 7, 0},
	{FIELD(state), 8, -VDO_ECORRUPT},
	{FIELD(journal_start), 0, -VDO_ECORRUPT},
	{FIELD(journal_start), 1, 0},
	{FIELD(journal_start), UINT64_C(1) << 48, 0},
	{FIELD(journal_start), (UINT64_C(1) << 48) + 1, -VDO_ECORRUPT},
	{FIELD(journal_start), UINT64_MAX, -VDO_ECORRUPT},
	{FIELD(slab.slab_blocks), 0, -VDO_ECORRUPT},
	{FIELD(slab.slab_blocks), 8000, -VDO_ECORRUPT},
	{FIELD(slab.slab_blocks), 1 << 24, -VDO_ECORRUPT},
	{FIELD(slab.data_blocks), 0, -VDO_ECORRUPT},
	{FIELD(slab.data_blocks), 7967, -VDO_ECORRUPT},
	{FIELD(slab.data_blocks), UINT64_MAX, -VDO_ECORRUPT},
	{FIELD(slab.reference_count_blocks), 1, -VDO_ECORRUPT},
	{FIELD(slab.reference_count_blocks), UINT64_MAX, -VDO_ECORRUPT},
	{FIELD(slab.slab_journal_blocks), 0, -VDO_ECORRUPT},
	{FIELD(slab.slab_journal_blocks), 1, -VDO_ECORRUPT},
	{FIELD(slab.slab_journal_blocks), 257, -VDO_ECORRUPT},
	{FIELD(slab.flushing_threshold), 225, -VDO_ECORRUPT},
	{FIELD(slab.blocking_threshold), 0, -VDO_ECORRUPT},
	{FIELD(slab.blocking_threshold), 225, -VDO_ECORRUPT},
	{FIELD(slab.scrubbing_threshold), 225, -VDO_ECORRUPT},
	{FIELD(depot_first_block), 679188, -VDO_ECORRUPT},
	{FIELD(depot_first_block), 687381, -VDO_ECORRUPT},
	{FIELD(depot_last_block), 687380, -VDO_ECORRUPT},
	{FIELD(depot_last_block), 687381 + 8192, -VDO_ECORRUPT},
	{FIELD(root_origin), 679128, -VDO_ECORRUPT},
	{FIELD(root_origin), 679130, -VDO_ECORRUPT},
	{FIELD(root_count), 0, -VDO_ECORRUPT},
	{FIELD(root_count), 59, 0},
	{FIELD(root_count), 61, -VDO_ECORRUPT},
	{FIELD(root_count), UINT64_MAX, -VDO_ECORRUPT},
	{FIELD(partitions[0].start), 679128, -VDO_ECORRUPT},
	{FIELD(partitions[0].start), UINT64_MAX, -VDO_ECORRUPT},
	{FIELD(partitions[1].start), 679190, -VDO_ECORRUPT},
	{FIELD(partitions[2].start), 688063, -VDO_ECORRUPT},
	{FIELD(partitions[3].start), 720833, -VDO_ECORRUPT},
	{FIELD(partitions[3].count), 63, -VDO_ECORRUPT},
	{FIELD(partitions[3].count), UINT64_MAX, -VDO_ECORRUPT},
};

START_TEST(limit)
{
	const char *why = NULL;
	int result;

	decode_good();
	memcpy((char *)&sb + limits[_i].field, &limits[_i].value, 8);
	result = superblock_validate(&sb, &geometry, &why);
	ck_assert_int_eq(result, limits[_i].want);
	ck_assert((why != NULL) == (result != 0));
}
END_TEST

START_TEST(zones)
{
	decode_good();
	sb.zone_count = 16;
	ck_assert_int_eq(superblock_validate(&sb, &geometry, NULL), 0);
	sb.zone_count = 17;
	ck_assert_int_eq(superblock_validate(&sb, &geometry, NULL),
			 -VDO_ECORRUPT);
}
END_TEST

START_TEST(state_names)
{
	ck_assert_str_eq(superblock_state_name(VOLUME_DIRTY), "dirty");
	ck_assert_str_eq(superblock_state_name(VOLUME_READ_ONLY), "read-only");
	ck_assert_str_eq(superblock_state_name(7), "rebuild-for-upgrade");
	ck_assert_str_eq(superblock_state_name(8), "unknown");
	ck_assert_str_eq(superblock_state_name(UINT32_MAX), "unknown");
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("superblock");

	tcase_add_test(tc, decode_golden);
	tcase_add_test(tc, encode_golden);
	tcase_add_test(tc, each_byte_damaged);
	tcase_add_loop_test(tc, change, 0, ARRAY_SIZE(changes));
	tcase_add_loop_test(tc, limit, 0, ARRAY_SIZE(limits));
	tcase_add_test(tc, zones);
	tcase_add_test(tc, state_names);
	return unit_run();
}
