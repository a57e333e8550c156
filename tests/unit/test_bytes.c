/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers in bytes, and helpers for numbers.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include "base/bytes.h"

START_TEST(orders)
{
	uint8_t b[16];

	for (size_t at = 0; at < 8; at++) {
		put_u64(b + at, UINT64_C(0x0102030405060708));
		ck_assert_uint_eq(get_u64(b + at),
				  UINT64_C(0x0102030405060708));
		for (unsigned i = 0; i < 8; i++)
			ck_assert_uint_eq(b[at + i], 8 - i);
		put_u32(b + at, 0x01020304);
		ck_assert_uint_eq(get_u32(b + at), 0x01020304);
		ck_assert_uint_eq(b[at], 4);
		put_u16(b + at, 0x0102);
		ck_assert_uint_eq(get_u16(b + at), 0x0102);
		ck_assert_uint_eq(b[at], 2);
	}
}
END_TEST

START_TEST(logarithm)
{
	for (unsigned i = 0; i < 64; i++) {
		uint64_t n = UINT64_C(1) << i;

		ck_assert_uint_eq(log2_floor(n), i);
		ck_assert_uint_eq(log2_floor(n | (n - 1)), i);
		if (i > 0)
			ck_assert_uint_eq(log2_floor(n - 1), i - 1);
	}
}
END_TEST

START_TEST(division)
{
	for (uint64_t a = 0; a < 50; a++) {
		for (uint64_t b = 1; b < 50; b++) {
			uint64_t q = div_up(a, b);

			ck_assert(q * b >= a);
			ck_assert(q == 0 || (q - 1) * b < a);
		}
	}
	ck_assert_uint_eq(div_up(UINT64_MAX, 1), UINT64_MAX);
	ck_assert_uint_eq(div_up(UINT64_MAX, 2), UINT64_C(1) << 63);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("bytes");

	tcase_add_test(tc, orders);
	tcase_add_test(tc, logarithm);
	tcase_add_test(tc, division);
	return unit_run();
}
