/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bucket numbers: with s = HISTOGRAM_SUB_BITS, a value of n > s significant
 * bits keeps its s + 1 leading bits. The top one of these is implied by n, the
 * others number the bucket within the group of n - s.
 */
#include "build.h"

#include "tests/lib/histogram.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < SUB_COUNT)
		return (unsigned)value;
	shift = log2_floor(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static uint64_t bucket_last(unsigned bucket)
{
	unsigned shift;
	uint64_t leading;

	if (bucket < SUB_COUNT)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	leading = SUB_COUNT + (bucket & (SUB_COUNT - 1));
	return (leading << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_record(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	h->min = MIN(h->min, value);
	h->max = MAX(h->max, value);
	h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	to->count += from->count;
	to->sum += from->sum;
	to->min = MIN(to->min, from->min);
	to->max = MAX(to->max, from->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *h, unsigned per_10000)
{
	uint64_t rank, seen = 0;

	VDO_ASSERT(per_10000 <= 10000);
	/* In two parts, so that the product cannot overflow. */
	rank = h->count / 10000 * per_10000 +
	       div_up(h->count % 10000 * per_10000, 10000);
	rank = MAX(rank, 1);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return MIN(bucket_last(i), h->max);
	}
	return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->count == 0 ? 0 : h->sum / h->count;
}
