/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The zero test: all zero, then each single byte that is not; every length.
 */
#include "build.h"

#include "base/zero.h"

#include <stdint.h>

#include "tests/lib/unit.h"

static uint8_t block[4096 + 64];

START_TEST(lengths)
{
	for (unsigned offset = 0; offset < 33; offset += 3)
		for (unsigned n = 16; n <= 4096; n += 16)
			ck_assert(zero_test(block + offset, n));
}
END_TEST

START_TEST(single_bytes)
{
	for (unsigned i = 0; i < 4096; i++) {
		block[7 + i] = 1;
		ck_assert_msg(!zero_test(block + 7, 4096), "byte %u", i);
		block[7 + i] = 0;
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("zero");

	tcase_add_test(tc, lengths);
	tcase_add_test(tc, single_bytes);
	return unit_run();
}
