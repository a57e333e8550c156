/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Percentiles against exact ranks, at every power of two and its neighbours.
 */
#include "build.h"

#include "tests/lib/histogram.h"

#include "tests/lib/unit.h"

static struct histogram h, other;

START_TEST(nothing)
{
	histogram_init(&h);
	ck_assert_uint_eq(histogram_percentile(&h, 5000), 0);
	ck_assert_uint_eq(histogram_mean(&h), 0);
}
END_TEST

/* The bucket's end is never below the value, nor 1/32 above it. */
START_TEST(error_bound)
{
	for (unsigned bit = 0; bit < 64; bit++)
		for (int d = -1; d <= 1; d++) {
			uint64_t v = (UINT64_C(1) << bit) + (uint64_t)d;
			uint64_t got;

			histogram_init(&h);
			histogram_record(&h, v);
			histogram_record(&h, UINT64_MAX);
			got = histogram_percentile(&h, 5000);
			ck_assert_uint_ge(got, v);
			ck_assert_uint_le(got - v, v / 32);
		}
}
END_TEST

static const struct {
	unsigned per_10000;
	uint64_t want;
} ranks[] = {
	{0, 1}, {1, 1}, {1000, 1}, {1001, 2}, {5000, 5}, {5001, 6},
	{9000, 9}, {9999, 10}, {10000, 10},
};

START_TEST(rank)
{
	histogram_init(&h);
	for (uint64_t v = 10; v >= 1; v--)
		histogram_record(&h, v);
	ck_assert_uint_eq(histogram_percentile(&h, ranks[_i].per_10000),
			  ranks[_i].want);
}
END_TEST

START_TEST(merge)
{
	histogram_init(&h);
	histogram_init(&other);
	histogram_record(&h, 10);
	histogram_record(&other, 1000000);
	histogram_record(&other, 2);
	histogram_merge(&h, &other);
	ck_assert_uint_eq(h.count, 3);
	ck_assert_uint_eq(h.min, 2);
	ck_assert_uint_eq(h.max, 1000000);
	ck_assert_uint_eq(histogram_mean(&h), 1000012 / 3);
	ck_assert_uint_eq(histogram_percentile(&h, 5000), 10);
	ck_assert_uint_eq(histogram_percentile(&h, 10000), 1000000);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("histogram");

	tcase_add_test(tc, nothing);
	tcase_add_test(tc, error_bound);
	tcase_add_loop_test(tc, rank, 0,
			    (int)(sizeof(ranks) / sizeof(ranks[0])));
	tcase_add_test(tc, merge);
	return unit_run();
}
