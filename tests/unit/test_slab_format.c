/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slab journal blocks and summary entries: real ones both ways, full ones of
 * either kind, hints.
 */
#include "build.h"

#include "format/slab.h"

#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

static const char dump[] =
	"0100 0000 0000 0000 0100 0000 0000 0000"
	"1100 0100 0000 0000 7248 c9e4 d760 0600"
	"0201 0800 0000 8001 0080 0200 8003 0080"
	"0400 8004 0080 0600 8006 0000 0000 0000";

static const struct slab_journal_entry used[] = {
	{0, true, true},  {1, true, true},  {2, true, true},  {3, true, true},
	{4, true, false}, {4, true, false}, {6, true, false}, {6, false, false},
};

static uint8_t want[4096], block[4096];

static void load(void)
{
	memset(want, 0, sizeof(want));
	golden(want, dump);
	want[3933] = 0x0f;
}

START_TEST(encode_golden)
{
	struct slab_journal_header h = {
		.head = 1,
		.seq = 1,
		.recovery_point = {1, 17},
		.nonce = GOLDEN_NONCE,
		.type = SLAB_JOURNAL_TYPE,
		.has_map_increments = true,
		.entries = ARRAY_SIZE(used),
	};

	load();
	memset(block, 0, sizeof(block));
	for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
		slab_journal_put(block, i, &used[i]);
	slab_journal_header_encode(&h, block);
	ck_assert_mem_eq(block, want, sizeof(block));
}
END_TEST

START_TEST(decode_golden)
{
	struct slab_journal_header h;
	struct slab_journal_entry e;

	load();
	slab_journal_header_decode(want, &h);
	ck_assert_uint_eq(h.head, 1);
	ck_assert_uint_eq(h.seq, 1);
	ck_assert_uint_eq(h.recovery_point.seq, 1);
	ck_assert_uint_eq(h.recovery_point.entry, 17);
	ck_assert_uint_eq(h.nonce, GOLDEN_NONCE);
	ck_assert_uint_eq(h.type, SLAB_JOURNAL_TYPE);
	ck_assert(h.has_map_increments);
	ck_assert_uint_eq(h.entries, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
		slab_journal_get(want, true, i, &e);
		ck_assert_uint_eq(e.offset, used[i].offset);
		ck_assert(e.increment == used[i].increment);
		ck_assert(e.map == used[i].map);
		/* Without the flag the bitmap means nothing. */
		slab_journal_get(want, false, i, &e);
		ck_assert(!e.map);
	}
}
END_TEST

START_TEST(header_round_trip)
{
	struct slab_journal_header h = {
		.head = UINT64_C(0xf1f2f3f4f5f6f7f8),
		.seq = UINT64_C(0xe1e2e3e4e5e6e7e8),
		.recovery_point = {UINT64_C(0xd1d2d3d4d5d6), 433},
		.nonce = UINT64_C(0xc1c2c3c4c5c6c7c8),
		.type = 0xb1,
		.entries = 1353,
	};
	struct slab_journal_header got;

	slab_journal_header_encode(&h, block);
	slab_journal_header_decode(block, &got);
	ck_assert_uint_eq(got.head, h.head);
	ck_assert_uint_eq(got.seq, h.seq);
	ck_assert_uint_eq(got.recovery_point.seq, h.recovery_point.seq);
	ck_assert_uint_eq(got.recovery_point.entry, 433);
	ck_assert_uint_eq(got.nonce, h.nonce);
	ck_assert_uint_eq(got.type, 0xb1);
	ck_assert(!got.has_map_increments);
	ck_assert_uint_eq(got.entries, 1353);
}
END_TEST

/* Blocks filled to the last entry; 0: data only, 1: with map increments. */
START_TEST(full)
{
	unsigned max = _i ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX;
	struct slab_journal_entry e;

	memset(block, 0, sizeof(block));
	for (unsigned i = 0; i < max; i++) {
		bool map = _i && i % 3 == 0;

		slab_journal_put(block, i,
				 &(struct slab_journal_entry){
					 0x7fffff - i * 6000, map || i % 2,
					 map});
	}
	for (unsigned i = 0; i < max; i++) {
		bool map = _i && i % 3 == 0;

		slab_journal_get(block, _i, i, &e);
		ck_assert_uint_eq(e.offset, 0x7fffff - i * 6000);
		ck_assert(e.increment == (map || i % 2));
		ck_assert(e.map == map);
	}
	ck_assert_uint_eq(block[35], 0);
	/* Behind entry 1352; with a bitmap, the bit of entry 1296. */
	ck_assert_uint_eq(block[4095], _i);
}
END_TEST

START_TEST(last_bit)
{
	memset(block, 0, sizeof(block));
	slab_journal_put(block, 1298,
			 &(struct slab_journal_entry){1, true, true});
	ck_assert_uint_eq(block[3930], 1);
	ck_assert_uint_eq(block[3932], 0x80);
	ck_assert_uint_eq(block[3933 + 162], 1 << 2);
}
END_TEST

static const struct {
	struct summary_entry e;
	uint8_t bytes[2];
} summaries[] = {
	{{0, 62, false, false}, {0x00, 0x3e}}, /* slab of 2^13, pristine */
	{{0, 63, false, false}, {0x00, 0x3f}},
	{{3, 62, true, true}, {0x03, 0xfe}},
	{{2, 62, true, true}, {0x02, 0xfe}},
	{{255, 0, true, false}, {0xff, 0x40}},
	{{1, 1, false, true}, {0x01, 0x81}},
};

START_TEST(summary)
{
	struct summary_entry e = slab_summary_decode(summaries[_i].bytes);
	uint8_t p[2];

	slab_summary_encode(p, summaries[_i].e);
	ck_assert_mem_eq(p, summaries[_i].bytes, 2);
	ck_assert_uint_eq(e.tail_offset, summaries[_i].e.tail_offset);
	ck_assert_uint_eq(e.hint, summaries[_i].e.hint);
	ck_assert(e.load == summaries[_i].e.load);
	ck_assert(e.dirty == summaries[_i].e.dirty);
}
END_TEST

static const struct {
	unsigned shift;
	uint64_t free;
	unsigned want;
} hints[] = {
	{13, 7966, 62}, {13, 0, 0},     {13, 1, 1},   {13, 127, 1},
	{13, 128, 1},   {13, 256, 2},   {19, 523934, 63}, {19, 8191, 1},
	{23, 8386303, 63}, {9, 256, 32}, {6, 5, 5},    {4, 3, 3},
	{4, 0, 0},
};

START_TEST(hint)
{
	ck_assert_uint_eq(slab_summary_hint(hints[_i].shift, hints[_i].free),
			  hints[_i].want);
}
END_TEST

/* Packed points have the order of points. */
START_TEST(points)
{
	struct journal_point a = {1, 0xffff}, b = {2, 0}, got;

	ck_assert_uint_eq(point_pack((struct journal_point){2, 5}), 0x20005);
	ck_assert(point_before(a, b) && !point_before(b, a));
	ck_assert(!point_before(a, a));
	ck_assert_uint_lt(point_pack(a), point_pack(b));
	got = point_unpack(point_pack(a));
	ck_assert_uint_eq(got.seq, 1);
	ck_assert_uint_eq(got.entry, 0xffff);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("slab structures");

	tcase_add_test(tc, encode_golden);
	tcase_add_test(tc, decode_golden);
	tcase_add_test(tc, header_round_trip);
	tcase_add_loop_test(tc, full, 0, 2);
	tcase_add_test(tc, last_bit);
	tcase_add_loop_test(tc, summary, 0, ARRAY_SIZE(summaries));
	tcase_add_loop_test(tc, hint, 0, ARRAY_SIZE(hints));
	tcase_add_test(tc, points);
	return unit_run();
}
