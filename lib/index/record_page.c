/*
 * Record pages. Sorting moves pointers; the tree is then filled by walking it
 * in order without a stack: from a slot the next one is the leftmost below its
 * right child or, without one, the first ancestor that is reached from the
 * left.
 */
#include "config.h"

#include "index/record_page.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS RECORDS_PER_PAGE

static int compare_names(const struct hash128 *a, const struct hash128 *b)
{
	uint64_t x = get_u64be(a->bytes), y = get_u64be(b->bytes);

	if (x == y) {
		x = get_u64be(a->bytes + 8);
		y = get_u64be(b->bytes + 8);
	}
	return x < y ? -1 : x > y;
}

static int compare_records(const void *a, const void *b)
{
	const struct index_record *const *x = a, *const *y = b;

	return compare_names(&(*x)->name, &(*y)->name);
}

static unsigned leftmost(unsigned slot)
{
	while (2 * slot + 1 < SLOTS)
		slot = 2 * slot + 1;
	return slot;
}

static unsigned successor(unsigned slot)
{
	if (2 * slot + 2 < SLOTS)
		return leftmost(2 * slot + 2);
	/* Right children have even numbers. */
	while (slot != 0 && slot % 2 == 0)
		slot = (slot - 1) / 2;
	return (slot - 1) / 2;
}

void record_page_encode(uint8_t *page, const struct index_record *records,
			const struct index_record **scratch)
{
	unsigned slot = leftmost(0);

	for (unsigned i = 0; i < SLOTS; i++)
		scratch[i] = &records[i];
	qsort(scratch, SLOTS, sizeof(*scratch), compare_records);
	for (unsigned i = 0; i < SLOTS; i++) {
		memcpy(page + slot * RECORD_BYTES, scratch[i], RECORD_BYTES);
		if (i + 1 < SLOTS)
			slot = successor(slot);
	}
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
