/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map against an array, with keys that crowd together; allocation failure.
 */
#include "build.h"

#include "base/intmap.h"

#include <errno.h>

#include "base/alloc.h"
#include "tests/lib/unit.h"

#define KEYS    97
#define ENTRIES 40
#define STEPS   200000

/* Patterns of keys: small, page-like, and differing only in high bits. */
static const struct {
	uint64_t factor;
	uint64_t base;
} patterns[] = {
	{1, 0},
	{812, 1},
	{UINT64_C(1) << 32, 5},
	{UINT64_C(1) << 52, 0},
	{UINT64_C(0x100000001), UINT64_MAX - 500},
};

static uint64_t key_of(int pattern, unsigned i)
{
	return patterns[pattern].base + i * patterns[pattern].factor;
}

static uint64_t rng(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

START_TEST(like_an_array)
{
	struct intmap m;
	void *want[KEYS] = {NULL};
	char values[KEYS][2];
	unsigned count = 0;
	uint64_t state = 0x1234567 + (unsigned)_i;

	ck_assert_int_eq(intmap_init(&m, ENTRIES), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t r = rng(&state);
		unsigned i = (unsigned)(r % KEYS);
		uint64_t key = key_of(_i, i);
		void *value = &values[i][r >> 40 & 1];
		unsigned what = (unsigned)(r >> 32) % 4;

		if (what < 2 && want[i] == NULL && count == ENTRIES)
			what = 3;
		switch (what) {
		case 0:
			ck_assert_ptr_eq(intmap_put(&m, key, value), want[i]);
			count += want[i] == NULL;
			want[i] = value;
			break;
		case 1:
			ck_assert_ptr_eq(intmap_put_new(&m, key, value),
					 want[i]);
			count += want[i] == NULL;
			if (want[i] == NULL)
				want[i] = value;
			break;
		case 2:
			ck_assert_ptr_eq(intmap_remove(&m, key), want[i]);
			count -= want[i] != NULL;
			want[i] = NULL;
			break;
		default:
			ck_assert_ptr_eq(intmap_get(&m, key), want[i]);
		}
		ck_assert_uint_eq(m.count, count);
		if (step % 100 == 0)
			ck_assert(intmap_sane(&m));
		if (step % 1000 == 0)
			for (unsigned k = 0; k < KEYS; k++)
				ck_assert_ptr_eq(intmap_get(&m, key_of(_i, k)),
						 want[k]);
	}
	intmap_fini(&m);
}
END_TEST

/* Filled to the limit, all is found, and no more than half is in use. */
START_TEST(fill_to_limit)
{
	struct intmap m;
	size_t max = (size_t)_i;
	char value;

	ck_assert_int_eq(intmap_init(&m, max), 0);
	for (size_t i = 0; i < max; i++)
		ck_assert_ptr_null(intmap_put_new(&m, i * 3, &value));
	ck_assert_uint_eq(m.count, max);
	ck_assert_uint_ge(m.mask + 1, 2 * max);
	for (size_t i = 0; i < max; i++) {
		ck_assert_ptr_eq(intmap_get(&m, i * 3), &value);
		ck_assert_ptr_null(intmap_get(&m, i * 3 + 1));
	}
	for (size_t i = 0; i < max; i++)
		ck_assert_ptr_eq(intmap_remove(&m, i * 3), &value);
	for (uint64_t i = 0; i <= m.mask; i++)
		ck_assert_ptr_null(m.slots[i].value);
	intmap_fini(&m);
}
END_TEST

/* From nothing on; what does not get memory is as it was. */
START_TEST(grow)
{
	struct intmap m = {0};
	char value;

	for (uint64_t i = 0; i < 1000; i++) {
		if (m.count == m.entries_max) {
			alloc_fail_at(1);
			ck_assert_int_eq(intmap_grow(&m), -ENOMEM);
			alloc_fail_at(0);
			ck_assert_uint_eq(m.count, i);
			ck_assert_int_eq(intmap_grow(&m), 0);
			ck_assert(intmap_sane(&m));
		}
		ck_assert_ptr_null(intmap_put_new(&m, i * 3, &value));
	}
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_ptr_eq(intmap_get(&m, i * 3), &value);
		ck_assert_ptr_null(intmap_get(&m, i * 3 + 1));
	}
	intmap_fini(&m);
}
END_TEST

START_TEST(no_memory)
{
	struct intmap m;

	alloc_fail_at(1);
	ck_assert_int_eq(intmap_init(&m, 10), -ENOMEM);
	alloc_fail_at(0);
	intmap_fini(&m);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("intmap");

	tcase_add_loop_test(tc, like_an_array, 0, ARRAY_SIZE(patterns));
	tcase_add_loop_test(tc, fill_to_limit, 0, 70);
	tcase_add_test(tc, grow);
	tcase_add_test(tc, no_memory);
	return unit_run();
}
