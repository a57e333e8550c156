/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Headers of compressed blocks: a real one both ways, and what makes a
 * fragment unreadable.
 */
#include "build.h"

#include "format/fragment.h"

#include <string.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"
#include "tests/unit/golden.h"

static uint8_t block[4096];

START_TEST(golden_header)
{
	static const uint16_t sizes[] = {630, 630};
	uint8_t want[FRAGMENT_HEADER] = {0};
	const uint8_t *data;
	size_t size;

	golden(want, "0100 0000 0000 0000 7602 7602 0000 0000");
	memset(block, 0xee, sizeof(block));
	fragment_header_encode(block, sizes, 2);
	ck_assert_mem_eq(block, want, FRAGMENT_HEADER);
	ck_assert_uint_eq(block[FRAGMENT_HEADER], 0xee);
	ck_assert_int_eq(fragment_find(block, 2, &data, &size), 0);
	ck_assert_ptr_eq(data, block + 36);
	ck_assert_uint_eq(size, 630);
	ck_assert_int_eq(fragment_find(block, 3, &data, &size), 0);
	ck_assert_ptr_eq(data, block + 36 + 630);
	ck_assert_uint_eq(size, 630);
}
END_TEST

START_TEST(fourteen)
{
	uint16_t sizes[FRAGMENTS_MAX];
	const uint8_t *data;
	size_t size;

	for (unsigned i = 0; i < FRAGMENTS_MAX; i++)
		sizes[i] = 290; /* 14 * 290 = 4060: just full */
	fragment_header_encode(block, sizes, FRAGMENTS_MAX);
	for (uint8_t i = 0; i < FRAGMENTS_MAX; i++) {
		ck_assert_int_eq(fragment_find(block, 2 + i, &data, &size), 0);
		ck_assert_ptr_eq(data, block + 36 + 290 * i);
		ck_assert_uint_eq(size, 290);
	}
}
END_TEST

/* Sizes as they stand in a header, and what a state then gives. */
static const struct {
	uint16_t sizes[14];
	uint8_t state;
	int want;
} cases[] = {
	{{630, 630}, 0, -VDO_EFRAGMENT},
	{{630, 630}, 1, -VDO_EFRAGMENT},
	{{630, 630}, 2, 0},
	{{630, 630}, 4, -VDO_EFRAGMENT}, /* unused slot */
	{{630, 630}, 15, -VDO_EFRAGMENT},
	{{630, 630}, 16, -VDO_EFRAGMENT},
	{{630, 630}, 255, -VDO_EFRAGMENT},
	{{4059}, 2, 0},
	{{4060}, 2, 0},
	{{4061}, 2, -VDO_EFRAGMENT},
	{{4059, 1}, 3, 0},
	{{4059, 2}, 3, -VDO_EFRAGMENT},
	{{4059, 2}, 2, 0}, /* only what is behind it is damaged */
	{{4060, 1}, 3, -VDO_EFRAGMENT},
	{{65535, 1}, 3, -VDO_EFRAGMENT},
	{{65535, 1, 10}, 4, -VDO_EFRAGMENT}, /* no wrap at 2^16 */
	{{65535, 65535, 65535, 65535, 65535, 65535, 65535, 65535, 65535, 65535,
	  65535, 65535, 65535, 65535},
	 15,
	 -VDO_EFRAGMENT},
};

START_TEST(find)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	memset(block, 0, sizeof(block));
	put_u32(block, 1);
	for (unsigned i = 0; i < 14; i++)
		put_u16(block + 8 + 2 * i, cases[_i].sizes[i]);
	ck_assert_int_eq(fragment_find(block, cases[_i].state, &data, &size),
			 cases[_i].want);
	if (cases[_i].want == 0)
		ck_assert(data + size <= block + sizeof(block));
}
END_TEST

START_TEST(version)
{
	static const uint16_t sizes[] = {10, 20};
	const uint8_t *data;
	size_t size;

	for (unsigned at = 0; at < 8; at++) {
		fragment_header_encode(block, sizes, 2);
		ck_assert_int_eq(fragment_find(block, 2, &data, &size), 0);
		block[at] ^= 2;
		ck_assert_int_eq(fragment_find(block, 2, &data, &size),
				 -VDO_EFRAGMENT);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("fragments");

	tcase_add_test(tc, golden_header);
	tcase_add_test(tc, fourteen);
	tcase_add_loop_test(tc, find, 0, ARRAY_SIZE(cases));
	tcase_add_test(tc, version);
	return unit_run();
}
