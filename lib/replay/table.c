/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An item is two words, so that comparing them as one number sorts by page,
 * slot, and order of entries:
 *
 *	place	36 page | 10 slot + 1 | 18 order, high part
 *	value	24 order, low part | 40 mapping
 *
 * In place of slot + 1 a page that is made has 0, in an item of its own, its first.
 */
#include "build.h"

#include "replay/table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"

#define PAGE_SHIFT  28u
#define SLOT_SHIFT  18u
#define ORDER_SHIFT 40u
#define ORDER_LOW   0xffffffu
#define MAKES_PAGE  0u
#define ENTRIES_MAX (UINT64_C(1) << 42)

struct item {
	uint64_t place;
	uint64_t value;
};

struct replay_table {
	struct item *items;
	size_t size, count; /* items */
	size_t entries, entries_max;
	size_t made; /* pages */
	bool sorted;
};

int replay_table_create(size_t entries_max, struct replay_table **table)
{
	struct replay_table *t = alloc_zeroed(1, sizeof(*t));

	VDO_ASSERT(entries_max > 0 && entries_max < ENTRIES_MAX);
	*table = NULL;
	if (t == NULL)
		return -ENOMEM;
	/* Each of them may make a page. */
	t->size = 2 * entries_max;
	t->items = alloc_table(t->size * sizeof(*t->items));
	if (t->items == NULL) {
		alloc_free(t);
		return -ENOMEM;
	}
	t->entries_max = entries_max;
	*table = t;
	return 0;
}

void replay_table_destroy(struct replay_table *t)
{
	if (t == NULL)
		return;
	alloc_table_free(t->items, t->size * sizeof(*t->items));
	alloc_free(t);
}

static void add_item(struct replay_table *t, pbn_t page, unsigned slot_code,
		     struct mapping m)
{
	uint64_t order = t->count;

	VDO_ASSERT(!t->sorted && t->count < t->size);
	VDO_ASSERT(page < PHYSICAL_BLOCKS_MAX && m.pbn < PHYSICAL_BLOCKS_MAX);
	t->items[t->count++] = (struct item){
		.place = page << PAGE_SHIFT |
			 (uint64_t)slot_code << SLOT_SHIFT | order >> 24,
		.value = (order & ORDER_LOW) << ORDER_SHIFT | m.pbn << 4 |
			 m.state,
	};
}

bool replay_table_add(struct replay_table *t, const struct journal_entry *e)
{
	VDO_ASSERT(e->slot < MAP_PAGE_ENTRIES && e->new_mapping.state <= 15);
	if (t->entries == t->entries_max)
		return false;
	t->entries++;
	add_item(t, e->page, e->slot + 1u, e->new_mapping);
	return true;
}

void replay_table_make(struct replay_table *t, pbn_t page)
{
	VDO_ASSERT(t->count < 2 * t->entries);
	add_item(t, page, MAKES_PAGE, (struct mapping){0});
	t->made++;
}

static unsigned slot_code_of(const struct replay_table *t, size_t i)
{
	return t->items[i].place >> SLOT_SHIFT & 0x3ff;
}

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->value < y->value ? -1 : 1;
}

void replay_table_sort(struct replay_table *t)
{
	size_t kept = 0;

	VDO_ASSERT(!t->sorted);
	if (t->count > 1)
		qsort(t->items, t->count, sizeof(*t->items), compare);
	for (size_t i = 0; i < t->count; i++) {
		if (i + 1 < t->count && t->items[i].place >> SLOT_SHIFT ==
						t->items[i + 1].place >>
							SLOT_SHIFT)
			t->made -= slot_code_of(t, i) == MAKES_PAGE;
		else
			t->items[kept++] = t->items[i];
	}
	t->count = kept;
	t->sorted = true;
}

void replay_table_clear(struct replay_table *t)
{
	t->count = 0;
	t->entries = 0;
	t->made = 0;
	t->sorted = false;
}

size_t replay_table_count(const struct replay_table *t)
{
	return t->sorted ? t->count - t->made : t->entries;
}

static pbn_t page_of(const struct replay_table *t, size_t i)
{
	VDO_CHECK(i < t->count);
	return t->items[i].place >> PAGE_SHIFT;
}

pbn_t replay_table_page(const struct replay_table *t, size_t *pos)
{
	pbn_t page;

	VDO_ASSERT(t->sorted && *pos <= t->count);
	if (*pos == t->count)
		return 0;
	page = page_of(t, *pos);
	while (*pos < t->count && page_of(t, *pos) == page)
		(*pos)++;
	return page;
}

/* The first item of page @page, or of the next one. */
static size_t find(const struct replay_table *t, pbn_t page)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (page_of(t, middle) < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool replay_table_makes(const struct replay_table *t, pbn_t page)
{
	size_t first = find(t, page);

	VDO_ASSERT(t->sorted);
	return first < t->count && page_of(t, first) == page &&
	       slot_code_of(t, first) == MAKES_PAGE;
}

unsigned replay_table_apply(const struct replay_table *t, pbn_t page,
			    uint8_t *bytes)
{
	size_t first = find(t, page), i = first;

	VDO_ASSERT(t->sorted);
	for (; i < t->count && page_of(t, i) == page; i++) {
		const struct item *item = &t->items[i];
		struct mapping m = {
			.pbn = item->value >> 4 & (PHYSICAL_BLOCKS_MAX - 1),
			.state = item->value & 15,
		};

		if (slot_code_of(t, i) != MAKES_PAGE)
			mapping_page_put(bytes, slot_code_of(t, i) - 1, m);
	}
	return (unsigned)(i - first);
}
