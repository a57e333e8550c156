/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super block, config and save headers: the dumps of X 13.1 to 13.3, damage to
 * each field, and headers of saves with any number of zones.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <string.h>

#include <vdo/error.h>

#include "format/types.h"
#include "index/saves.h"
#include "index_format/layout.h"
#include "tests/unit/golden.h"

static const char super_hex[] =
	"31306e6752626c4157070000000000000100010007006800"
	"0000000000000000010000000000000000000000 0100ffff"
	"0100000000000000010000000000000000000000 6400ffff"
	"0200000000000000540700000000000000000000 65000000"
	"0200000000000000680400000000000000000000 c900ffff"
	"6a04000000000000760100000000000000000000 ca000000"
	"e005000000000000760100000000000000000000 ca000100"
	"5607000000000000010000000000000000000000 6600ffff"
	"2a414c424952454f2a53494e474c452a46494c452a4c41594f55542a3030312a"
	"fa0699767947ea1867458bc6fa0699767947ea1867458bc6fa0699767947ea18"
	"a09e813c9cc8da38030000000010000001000200000000000101000000000000"
	"0100000000000000";

static const char config_hex[] =
	"414c424943 30362e3032 20000000 04000000 00000000 07000000"
	"00000000 00100000 00800000 00000000 8877665544332211";

/* tiny-3zones */
static const char save_hex[] =
	"31306e6752626c4176010000000000000200010007004000"
	"6a04000000000000010000000000000000000000 0100ffff"
	"6b04000000000000010000000000000000000000 2d01ffff"
	"6c04000000000000260000000000000000000000 2e010000"
	"9204000000000000260000000000000000000000 2e010100"
	"b804000000000000260000000000000000000000 2e010200"
	"de04000000000000010100000000000000000000 2f01ffff"
	"df05000000000000010000000000000000000000 0000ffff"
	"1c95c801a2010000174856dc9f404bf70100000000000000ffffffff2d010000"
	"0100000000000000000000000000000000000000000000000000000000000000";

static struct index_geometry tiny;
static uint8_t block[BLOCK_SIZE], want[BLOCK_SIZE];

/* Twelve bytes, again and again, as X 3.3 tells. */
static void unique(uint8_t *to, const char *hex)
{
	uint8_t bytes[12];

	golden(bytes, hex);
	for (unsigned i = 0; i < NONCE_INFO_MAX; i++)
		to[i] = bytes[i % 12];
}

static void layout(struct index_layout *l, const char *hex, uint64_t first)
{
	uint8_t info[NONCE_INFO_MAX];

	unique(info, hex);
	layout_init(l, &tiny, first, info);
}

static void setup(void)
{
	ck_assert_int_eq(index_geometry_init(&tiny, -1, false, 0), 0);
	memset(want, 0, sizeof(want));
}

static const struct {
	const char *info;
	int32_t memory;
	bool sparse;
	uint64_t first, primary, volume;
} nonces[] = {
	{"fa0699767947ea1867458bc6", -1, false, 0,
	 UINT64_C(0x38dac89c3c819ea0), UINT64_C(0x2e976b0b306dd953)},
	{"610473aab247ea1867458bc6", -1, false, 0,
	 UINT64_C(0xaf6df7808877dd09), UINT64_C(0xb6fc43b2bbbc0bca)},
	{"e21b56d0ba47ea1867458bc6", -1, true, 0,
	 UINT64_C(0x02b27f2a1dac6c5a), UINT64_C(0xac44936132f2bef8)},
	{"3a8ecc75e947ea18f6496fef", -256, false, 1,
	 UINT64_C(0xa9a95023ca652fa3), UINT64_C(0xc87db390b712e427)},
};

static const struct {
	uint64_t timestamp;
	unsigned slot;
	uint64_t start, nonce;
} save_nonces[] = {
	{1795326059977, 0, 1130, UINT64_C(0x221e186827dff04c)},
	{1795326252316, 0, 1130, UINT64_C(0xf74b409fdc564817)},
	{1795326333165, 0, 11210, UINT64_C(0x9ff8f91a64bb2bf9)},
	{1795326502923, 1, 626289, UINT64_C(0x9dc4f132177893ef)},
};

START_TEST(golden_nonces)
{
	struct index_save s = {.timestamp = save_nonces[_i].timestamp,
			       .zone_count = 1};
	struct index_layout l;
	uint8_t info[NONCE_INFO_MAX];
	struct extent e;

	ck_assert_int_eq(index_geometry_init(&tiny, nonces[_i].memory,
					     nonces[_i].sparse, 0), 0);
	unique(info, nonces[_i].info);
	layout_init(&l, &tiny, nonces[_i].first, info);
	ck_assert_uint_eq(l.primary_nonce, nonces[_i].primary);
	ck_assert_uint_eq(l.volume_nonce, nonces[_i].volume);
	e = layout_save_part(&l, save_nonces[_i].slot, SAVE_HEADER, 0, 1);
	ck_assert_uint_eq(e.start, save_nonces[_i].start);
	index_save_encode(&l, save_nonces[_i].slot, &s, block);
	/* Behind four or, with free space, five entries and the time. */
	ck_assert_uint_eq(get_u64(block + 24 + 24 * get_u16(block + 20) + 8),
			  save_nonces[_i].nonce);
}
END_TEST

START_TEST(golden_super_block)
{
	struct index_layout l, read;

	layout(&l, "fa0699767947ea1867458bc6", 0);
	ck_assert_uint_eq(golden(want, super_hex), 296);
	index_super_encode(&l, block);
	ck_assert_mem_eq(block, want, BLOCK_SIZE);
	ck_assert_int_eq(index_super_decode(&read, &tiny, 0, block), 0);
	ck_assert_mem_eq(&read, &l, sizeof(l));
	/* Moved elsewhere it is no index any more. */
	ck_assert_int_eq(index_super_decode(&read, &tiny, 1, block), -VDO_ECORRUPT);
}
END_TEST

static const struct {
	unsigned at;
	int error;
} super_damage[] = {
	{0, -VDO_ENOINDEX},   {7, -VDO_ENOINDEX},  {8, -VDO_ECORRUPT},
	{16, -VDO_ECORRUPT},  {18, -VDO_EVERSION}, {20, -VDO_ECORRUPT},
	{21, -VDO_ECORRUPT},  {24, -VDO_ECORRUPT}, {32, -VDO_ECORRUPT},
	{44, -VDO_ECORRUPT},  {46, -VDO_ECORRUPT}, {72, -VDO_ECORRUPT},
	{80, -VDO_ECORRUPT},  {96, -VDO_ECORRUPT}, {104, -VDO_ECORRUPT},
	{128, -VDO_ECORRUPT}, {151, -VDO_ECORRUPT}, {176, -VDO_ECORRUPT},
	{192, -VDO_ECORRUPT}, {223, -VDO_ECORRUPT}, {224, -VDO_ECORRUPT},
	{256, -VDO_ECORRUPT}, {264, -VDO_EVERSION}, {268, -VDO_ECORRUPT},
	{272, -VDO_ECORRUPT}, {274, -VDO_ECORRUPT}, {280, -VDO_ECORRUPT},
	{288, -VDO_ECORRUPT}, {295, -VDO_ECORRUPT},
};

START_TEST(damaged_super_block)
{
	struct index_layout l;

	golden(want, super_hex);
	want[super_damage[_i].at] ^= 0x41;
	ck_assert_int_eq(index_super_decode(&l, &tiny, 0, want),
			 super_damage[_i].error);
}
END_TEST

START_TEST(golden_config)
{
	struct index_geometry g = tiny;

	golden(want, config_hex);
	index_config_encode(&g, UINT64_C(0x1122334455667788), block);
	ck_assert_mem_eq(block, want, BLOCK_SIZE);
	ck_assert_int_eq(index_config_decode(&g, UINT64_C(0x1122334455667788),
					     block), 0);
	ck_assert_int_eq(index_config_decode(&g, 1, block), -VDO_ENOINDEX);
	for (unsigned i = 0; i < 50; i++) {
		int r;

		want[i] ^= 0x10;
		r = index_config_decode(&g, UINT64_C(0x1122334455667788), want);
		if (i < 10)
			ck_assert_int_eq(r, -VDO_ECORRUPT);
		else
			ck_assert_int_eq(r, i >= 26 && i < 30 ? 0
							      : -VDO_ENOINDEX);
		want[i] ^= 0x10;
	}
}
END_TEST

START_TEST(remapped_config)
{
	struct index_geometry g;

	ck_assert_int_eq(index_geometry_init(&g, -1280, false, 0), 0);
	index_config_encode(&g, 5, block);
	block[6] = '8';
	put_u64(block + 50, 3000);
	put_u64(block + 58, 17);
	ck_assert_int_eq(index_config_decode(&g, 5, block), 0);
	ck_assert_uint_eq(g.remapped_virtual, 3000);
	ck_assert_uint_eq(g.remapped_physical, 17);
	put_u64(block + 58, 1023);
	ck_assert_int_eq(index_config_decode(&g, 5, block), -VDO_ECORRUPT);
	put_u64(block + 58, 17);
	put_u64(block + 50, CHAPTERS_END - 1);
	ck_assert_int_eq(index_config_decode(&g, 5, block), 0);
	put_u64(block + 50, CHAPTERS_END);
	ck_assert_int_eq(index_config_decode(&g, 5, block), -VDO_ECORRUPT);
}
END_TEST

/* Numbers of a save from which it would not be possible to go on. */
static const struct {
	uint64_t timestamp, newest, oldest;
	bool good;
} save_numbers[] = {
	{UINT64_C(1) << 61, 9, 9, true},
	{UINT64_C(1) << 62, 9, 9, false},
	{UINT64_MAX, 9, 9, false},
	{1, CHAPTERS_END - 1, CHAPTERS_END - 5, true},
	{1, CHAPTERS_END, CHAPTERS_END - 5, false},
	{1, UINT64_MAX, UINT64_MAX - 3, false},
	{1, UINT64_MAX, UINT64_MAX, false},
	{1, 9, 10, false},
	{1, 9, UINT64_MAX, false},
};

START_TEST(impossible_save)
{
	struct index_layout l;
	struct index_save read, s = {
		.timestamp = save_numbers[_i].timestamp,
		.newest = save_numbers[_i].newest,
		.oldest = save_numbers[_i].oldest,
		.zone_count = 2,
	};

	layout(&l, "610473aab247ea1867458bc6", 77);
	index_save_encode(&l, 0, &s, block);
	index_save_decode(&l, 0, block, &read);
	ck_assert_int_eq(read.timestamp != 0, save_numbers[_i].good);
}
END_TEST

START_TEST(golden_save)
{
	struct index_save s;
	struct index_layout l;
	struct extent e;

	layout(&l, "610473aab247ea1867458bc6", 0);
	golden(want, save_hex);
	index_save_decode(&l, 0, want, &s);
	ck_assert_uint_eq(s.timestamp, 1795326252316);
	ck_assert_uint_eq(s.zone_count, 3);
	ck_assert_uint_eq(s.newest, 1);
	ck_assert_uint_eq(s.oldest, 0);
	ck_assert_uint_eq(s.last_save, 0);
	e = layout_save_part(&l, 0, SAVE_ZONE, 2, 3);
	ck_assert_uint_eq(e.start, 1208);
	ck_assert_uint_eq(e.blocks, 38);
	e = layout_save_part(&l, 0, SAVE_OPEN_CHAPTER, 0, 3);
	ck_assert_uint_eq(e.start, 1246);
	ck_assert_uint_eq(e.blocks, 257);
	index_save_encode(&l, 0, &s, block);
	ck_assert_mem_eq(block, want, BLOCK_SIZE);
	/* In the other slot it means nothing. */
	index_save_decode(&l, 1, want, &s);
	ck_assert_uint_eq(s.timestamp, 0);
}
END_TEST

START_TEST(damaged_save)
{
	struct index_save s;
	struct index_layout l;

	layout(&l, "610473aab247ea1867458bc6", 0);
	golden(want, save_hex);
	for (unsigned i = 0; i < 24 + 7 * 24 + 32; i++) {
		/* The ignored number of an entry, and of the payload. */
		bool free = i >= 24 && i < 192 && i % 24 >= 16 && i % 24 < 20;

		free |= i >= 192 + 20 && i < 192 + 24;
		want[i] ^= 1;
		index_save_decode(&l, 0, want, &s);
		/* Save version 0 is fine too. */
		ck_assert_msg((s.timestamp != 0) == (free || i == 192 + 16),
			      "byte %u", i);
		want[i] ^= 1;
	}
}
END_TEST

START_TEST(saves_of_all_zone_counts)
{
	struct index_layout l;
	struct index_save s = {.timestamp = 1, .newest = 9, .oldest = 6,
			       .last_save = 8}, read;

	layout(&l, "610473aab247ea1867458bc6", 77);
	for (unsigned zones = 1; zones <= INDEX_ZONES_MAX; zones++) {
		s.zone_count = zones;
		index_save_encode(&l, 1, &s, block);
		index_save_decode(&l, 1, block, &read);
		ck_assert_uint_eq(read.zone_count, zones);
		ck_assert_uint_eq(read.newest, 9);
	}
	s.timestamp = 0;
	index_save_encode(&l, 1, &s, block);
	ck_assert_uint_eq(block[16], 4);
	index_save_decode(&l, 1, block, &read);
	ck_assert_uint_eq(read.timestamp, 0);
}
END_TEST

/* Also where both have the same time, which nobody writes but a disk may say. */
START_TEST(save_spares_the_newest)
{
	for (unsigned first = 0; first < 4; first++)
		for (unsigned second = 0; second < 4; second++) {
			struct index_saves s = {
				.slots = {{.timestamp = first},
					  {.timestamp = second}},
			};

			index_saves_choose(&s);
			ck_assert_int_eq(s.newest == NO_SAVE,
					 first == 0 && second == 0);
			ck_assert_int_ne((int)index_saves_older(&s), s.newest);
		}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("layout");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, golden_nonces, 0, 4);
	tcase_add_loop_test(tc, impossible_save, 0, ARRAY_SIZE(save_numbers));
	tcase_add_test(tc, golden_super_block);
	tcase_add_loop_test(tc, damaged_super_block, 0,
			    ARRAY_SIZE(super_damage));
	tcase_add_test(tc, golden_config);
	tcase_add_test(tc, remapped_config);
	tcase_add_test(tc, golden_save);
	tcase_add_test(tc, damaged_save);
	tcase_add_test(tc, saves_of_all_zone_counts);
	tcase_add_test(tc, save_spares_the_newest);
	return unit_run();
}
