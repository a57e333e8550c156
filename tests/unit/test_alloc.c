/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Areas of all sizes and alignments: zeroed, aligned, apart from each other;
 * large ones cost what is touched of them, and nothing after they are freed.
 */
#include "build.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/lib/unit.h"

static const size_t sizes[] = {0,     1,     15,    16,	   4095,  4096,	  4097,
			       16367, 16368, 16384, 20480, 65536, 1 << 20};
static const size_t aligns[] = {8, 16, 64, 512, 4096};
#define COUNT (ARRAY_SIZE(sizes) * ARRAY_SIZE(aligns))

static bool is_filled(const uint8_t *p, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return false;
	return true;
}

START_TEST(all_sizes_and_alignments)
{
	uint8_t *areas[COUNT];

	for (size_t i = 0; i < COUNT; i++) {
		size_t size = sizes[i % ARRAY_SIZE(sizes)];
		size_t align = aligns[i / ARRAY_SIZE(sizes)];

		areas[i] = alloc_aligned(align, size, 1);
		ck_assert_ptr_nonnull(areas[i]);
		ck_assert_uint_eq((uintptr_t)areas[i] % align, 0);
		ck_assert(is_filled(areas[i], size, 0));
		memset(areas[i], (int)i + 1, size);
	}
	for (size_t i = 0; i < COUNT; i++) {
		size_t size = sizes[i % ARRAY_SIZE(sizes)];

		ck_assert(is_filled(areas[i], size, (uint8_t)(i + 1)));
		alloc_free(areas[i]);
	}
}
END_TEST

START_TEST(too_much)
{
	ck_assert_ptr_null(alloc_zeroed(SIZE_MAX, 2));
	ck_assert_ptr_null(alloc_zeroed(SIZE_MAX, 1));
	ck_assert_ptr_null(alloc_zeroed(SIZE_MAX - 15, 1));
	ck_assert_ptr_null(alloc_aligned(4096, SIZE_MAX - 4096, 1));
	ck_assert_ptr_null(alloc_aligned(4096, SIZE_MAX / 2, 3));
	alloc_free(NULL);
}
END_TEST

static void *zeroed(void)
{
	return alloc_zeroed(1, 40000);
}

static void *aligned(void)
{
	return alloc_aligned(4096, 10, 4096);
}

static void *small(void)
{
	return alloc_zeroed(1, 1);
}

static void *copied(void)
{
	return alloc_strdup("text");
}

START_TEST(fails_on_purpose)
{
	static void *(*const calls[])(void) = {zeroed, aligned, small, copied};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		void *p, *q;

		alloc_fail_at(2);
		p = calls[i]();
		q = calls[i]();
		ck_assert_ptr_nonnull(p);
		ck_assert_ptr_null(q);
		alloc_free(p);
		p = calls[i]();
		ck_assert_ptr_nonnull(p);
		alloc_free(p);
	}
}
END_TEST

START_TEST(more)
{
	uint32_t *a = NULL;
	size_t room = 0, before = 0;

	for (unsigned times = 0; times < 12; times++) {
		uint32_t *b;

		alloc_fail_at(1);
		ck_assert_ptr_null(alloc_more(a, &room, sizeof(*a)));
		alloc_fail_at(0);
		ck_assert_uint_eq(room, before);
		b = alloc_more(a, &room, sizeof(*a));
		ck_assert_ptr_nonnull(b);
		ck_assert_uint_gt(room, before);
		for (uint32_t i = 0; i < room; i++) {
			ck_assert_uint_eq(b[i], i < before ? i + 1 : 0);
			b[i] = i + 1;
		}
		a = b;
		before = room;
	}
	alloc_free(a);
}
END_TEST

#ifndef UNIT_SANITIZED
#define AREAS	 2000
#define EACH	 ((size_t)40 << 10)
#define ALLOWED ((size_t)10 << 20)

/* What lies between areas stays, as a process's other memory does. */
START_TEST(goes_back)
{
	static char *areas[AREAS], *between[AREAS];
	size_t before = unit_resident_bytes();
	char *huge = alloc_zeroed(1, (size_t)512 << 20);

	ck_assert_ptr_nonnull(huge);
	huge[0] = 1;
	ck_assert_uint_lt(unit_resident_bytes(), before + ALLOWED);
	alloc_free(huge);
	for (unsigned i = 0; i < AREAS; i++) {
		areas[i] = alloc_zeroed(1, EACH);
		between[i] = alloc_zeroed(1, 100);
		ck_assert_ptr_nonnull(areas[i]);
		memset(areas[i], 1, EACH);
	}
	ck_assert_uint_gt(unit_resident_bytes(), before + AREAS * EACH / 2);
	for (unsigned i = 0; i < AREAS; i++)
		alloc_free(areas[i]);
	ck_assert_uint_lt(unit_resident_bytes(), before + ALLOWED);
	for (unsigned i = 0; i < AREAS; i++)
		alloc_free(between[i]);
}
END_TEST
#endif

int main(void)
{
	TCase *tc = unit_case("alloc");

	tcase_add_test(tc, all_sizes_and_alignments);
	tcase_add_test(tc, too_much);
	tcase_add_test(tc, fails_on_purpose);
	tcase_add_test(tc, more);
#ifndef UNIT_SANITIZED
	tcase_add_test(tc, goes_back);
#endif
	return unit_run();
}
