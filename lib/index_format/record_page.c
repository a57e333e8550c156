/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record pages.
 *
 * Names are hashes: sorting them by their first bits brings them nearly in
 * order, and insertion does the rest, without any memory of its own. (Names
 * that were made to spoil this cost less than a millisecond a page.)
 *
 * The tree is then filled by walking it in order, without a stack: the slot
 * after another is the leftmost below its right child or, if it has none, the
 * first ancestor that is reached from the left.
 */
#include "build.h"

#include "index_format/record_page.h"

#include <assert.h>
#include <string.h>

#include "base/assert.h"

#define SLOTS	    RECORDS_PER_PAGE
#define BUCKET_BITS 10u
#define BUCKETS	    (1u << BUCKET_BITS)

static_assert(SLOTS <= UINT16_MAX, "counts");
static_assert(SLOTS * RECORD_BYTES == PAGE_BYTES, "a page is full");

static int compare_names(const struct hash128 *a, const struct hash128 *b)
{
	uint64_t x = get_u64be(a->bytes), y = get_u64be(b->bytes);

	if (x == y) {
		x = get_u64be(a->bytes + 8);
		y = get_u64be(b->bytes + 8);
	}
	return x < y ? -1 : x > y;
}

static unsigned bucket_of(const struct index_record *r)
{
	return (unsigned)(get_u64be(r->name.bytes) >> (64 - BUCKET_BITS));
}

/* Put pointers to all records into @sorted, in the order of their names. */
static void sort_records(const struct index_record *records,
			 const struct index_record **sorted)
{
	uint16_t first[BUCKETS + 1] = {0};

	for (unsigned i = 0; i < SLOTS; i++)
		first[bucket_of(&records[i]) + 1]++;
	for (unsigned i = 1; i < BUCKETS; i++)
		first[i] = (uint16_t)(first[i] + first[i - 1]);
	for (unsigned i = 0; i < SLOTS; i++)
		sorted[first[bucket_of(&records[i])]++] = &records[i];
	for (unsigned i = 1; i < SLOTS; i++) {
		const struct index_record *r = sorted[i];
		unsigned to = i;

		for (; to > 0; to--) {
			if (compare_names(&sorted[to - 1]->name, &r->name) <= 0)
				break;
			sorted[to] = sorted[to - 1];
		}
		sorted[to] = r;
	}
}

static unsigned leftmost(unsigned slot)
{
	VDO_CHECK(slot < SLOTS);
	while (2 * slot + 1 < SLOTS)
		slot = 2 * slot + 1;
	return slot;
}

static unsigned successor(unsigned slot)
{
	VDO_CHECK(slot < SLOTS);
	if (2 * slot + 2 < SLOTS)
		return leftmost(2 * slot + 2);
	/*
	 * Climb as long as the slot is a right child; those have even numbers.
	 */
	while (slot != 0 && slot % 2 == 0)
		slot = (slot - 1) / 2;
	return (slot - 1) / 2;
}

void record_page_encode(uint8_t *page, const struct index_record *records,
			const struct index_record **scratch)
{
	unsigned slot = leftmost(0);

	sort_records(records, scratch);
	for (unsigned i = 0; i < SLOTS; i++) {
		memcpy(page + slot * RECORD_BYTES, scratch[i], RECORD_BYTES);
		if (i + 1 < SLOTS)
			slot = successor(slot);
	}
	VDO_CHECK(record_page_in_order(page));
}

const struct index_record *record_page_find(const uint8_t *page,
					    const struct hash128 *name)
{
	const struct index_record *records = (const void *)page;
	unsigned slot = 0;

	while (slot < SLOTS) {
		int order = compare_names(name, &records[slot].name);

		if (order == 0)
			return &records[slot];
		slot = 2 * slot + (order < 0 ? 1 : 2);
	}
	return NULL;
}

bool record_page_in_order(const uint8_t *page)
{
	const struct index_record *records = (const void *)page;
	unsigned slot = leftmost(0);

	for (unsigned i = 1; i < SLOTS; i++) {
		unsigned next = successor(slot);

		if (compare_names(&records[slot].name, &records[next].name) > 0)
			return false;
		slot = next;
	}
	return true;
}
