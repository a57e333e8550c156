/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The geometry block: bytes of a real one both ways, damage, old version; the
 * sizes of index regions.
 */
#include "build.h"

#include "format/geometry.h"

#include <string.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

static const char dump[] =
	"646d 7664 6f30 3031 0500 0000 0500 0000"
	"0000 0000 6500 0000 0000 0000 0000 0000"
	"7248 c9e4 d760 0600 1ed0 94d5 8943 4704"
	"b168 5417 d27d d5f6 0000 0000 0000 0000"
	"0000 0000 0100 0000 0000 0000 0100 0000"
	"d85c 0a00 0000 0000 00ff ffff 0000 0000"
	"0047 f882 8f";

static const uint8_t uuid[] = {0x1e, 0xd0, 0x94, 0xd5, 0x89, 0x43, 0x47, 0x04,
			       0xb1, 0x68, 0x54, 0x17, 0xd2, 0x7d, 0xd5, 0xf6};

static uint8_t block[4096];

static void load(void)
{
	memset(block, 0, sizeof(block));
	ck_assert_uint_eq(golden(block, dump), 101);
}

START_TEST(crc)
{
	static const uint8_t zeroes[100];

	ck_assert_uint_eq(format_crc("123456789", 9), 0xd202d277);
	ck_assert_uint_eq(format_crc(zeroes, 0), 0xffffffff);
	ck_assert_uint_eq(format_crc(zeroes, 100), 0xffffffff);
}
END_TEST

START_TEST(decode_golden)
{
	struct geometry g;

	load();
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	ck_assert_uint_eq(g.version_major, 5);
	ck_assert_uint_eq(g.unused, 0);
	ck_assert_uint_eq(g.nonce, GOLDEN_NONCE);
	ck_assert_mem_eq(g.uuid, uuid, 16);
	ck_assert_uint_eq(g.bio_offset, 0);
	ck_assert_uint_eq(g.index_start, 1);
	ck_assert_uint_eq(g.data_start, GOLDEN_DATA_START);
	ck_assert_int_eq(g.index_memory, -256);
	ck_assert(!g.index_sparse);
}
END_TEST

START_TEST(encode_golden)
{
	struct geometry g = {
		.version_major = 5,
		.nonce = GOLDEN_NONCE,
		.index_start = 1,
		.data_start = GOLDEN_DATA_START,
		.index_memory = -256,
	};
	uint8_t out[4096];

	memcpy(g.uuid, uuid, 16);
	load();
	memset(out, 0xee, sizeof(out));
	geometry_encode(&g, out);
	ck_assert_mem_eq(out, block, sizeof(out));
}
END_TEST

static const struct geometry full = {
	.unused = 133524,
	.nonce = UINT64_C(0x1122334455667788),
	.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	.bio_offset = 512,
	.index_start = 1,
	.data_start = UINT64_C(0x123456789),
	.index_memory = 4097,
	.index_sparse = true,
};

/* Both versions, with every field in use. */
START_TEST(round_trip)
{
	struct geometry g = full, got;

	g.version_major = (uint32_t)_i;
	if (_i == 4)
		g.bio_offset = 0;
	geometry_encode(&g, block);
	ck_assert_uint_eq(get_u32(block + 12), _i);
	ck_assert_uint_eq(get_u64(block + 20), _i == 4 ? 93 : 101);
	ck_assert_uint_eq(get_u64(block + (_i == 4 ? 72 : 80)),
			  full.data_start);
	ck_assert_uint_eq(block[_i == 4 ? 88 : 96], 1);
	ck_assert_int_eq(geometry_decode(block, &got), 0);
	ck_assert_uint_eq(got.version_major, g.version_major);
	ck_assert_uint_eq(got.unused, g.unused);
	ck_assert_uint_eq(got.nonce, g.nonce);
	ck_assert_mem_eq(got.uuid, g.uuid, 16);
	ck_assert_uint_eq(got.bio_offset, g.bio_offset);
	ck_assert_uint_eq(got.index_start, g.index_start);
	ck_assert_uint_eq(got.data_start, g.data_start);
	ck_assert_int_eq(got.index_memory, g.index_memory);
	ck_assert(got.index_sparse);
}
END_TEST

/* What an inverted byte does: magic, then header, then CRC. */
static int damage_result(unsigned at)
{
	if (at < 8)
		return -VDO_ENOTVDO;
	if (at < 28)
		return -VDO_EVERSION;
	return at < 101 ? -VDO_ECHECKSUM : 0;
}

START_TEST(each_byte_damaged)
{
	struct geometry g;

	for (unsigned at = 0; at < 200; at++) {
		load();
		block[at] ^= 0xff;
		ck_assert_int_eq(geometry_decode(block, &g), damage_result(at));
	}
}
END_TEST

/* A header is that of 4.0 or that of 5.0 as a whole. */
static const struct {
	uint32_t id, major, minor;
	uint64_t size;
	int want;
} headers[] = {
	{5, 5, 0, 101, 0},
	{5, 4, 0, 93, 0},
	{5, 4, 0, 101, -VDO_EVERSION},
	{5, 5, 0, 93, -VDO_EVERSION},
	{5, 5, 1, 101, -VDO_EVERSION},
	{5, 4, 1, 93, -VDO_EVERSION},
	{5, 3, 0, 93, -VDO_EVERSION},
	{5, 6, 0, 101, -VDO_EVERSION},
	{4, 5, 0, 101, -VDO_EVERSION},
	{5, 5, 0, 101 | UINT64_C(1) << 32, -VDO_EVERSION},
};

START_TEST(header)
{
	unsigned end = headers[_i].major == 4 ? 89 : 97;
	struct geometry g;

	load();
	put_u32(block + 8, headers[_i].id);
	put_u32(block + 12, headers[_i].major);
	put_u32(block + 16, headers[_i].minor);
	put_u64(block + 20, headers[_i].size);
	put_u32(block + end, format_crc(block, end));
	ck_assert_int_eq(geometry_decode(block, &g), headers[_i].want);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("geometry");

	tcase_add_test(tc, crc);
	tcase_add_test(tc, decode_golden);
	tcase_add_test(tc, encode_golden);
	tcase_add_loop_test(tc, round_trip, 4, 6);
	tcase_add_test(tc, each_byte_damaged);
	tcase_add_loop_test(tc, header, 0, ARRAY_SIZE(headers));
	return unit_run();
}
