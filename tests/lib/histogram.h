/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Histogram of durations: log-linear buckets, 1/32 of relative error.
 *
 * Values below 32 have a bucket each; from there every power of two is divided
 * into 32 buckets. Any 64-bit value can be recorded.
 *
 * Invariants
 *  (1) @count is the sum of all buckets.
 *  (2) With count > 0, min <= every recorded value <= max.
 *
 * Runs on: whoever owns it; no locks. One per thread, merged at the end.
 */
#ifndef TESTS_HISTOGRAM_H
#define TESTS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t count;
	uint64_t sum; /* wraps after 584 years of nanoseconds */
	uint64_t min;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);

/*
 * The largest value that can be in the bucket which holds the value of rank
 * ceil(per_10000 * count / 10000), no more than the maximum; 0 without
 * values. 5000 is the median, 9990 the 99.9th percentile.
 */
uint64_t histogram_percentile(const struct histogram *h,
			      unsigned per_10000);

uint64_t histogram_mean(const struct histogram *h);

#endif
