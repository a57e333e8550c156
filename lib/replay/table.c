/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An item is two words, so that comparing them as one number sorts by page,
 * slot, and order of entries:
 *
 *	place	36 page | 10 slot + 1 | 18 order, high part
 *	value	23 order, low part | 1 of an interior page | 40 mapping
 *
 * In place of slot + 1 a page that is made has 0, in an item of its own, its
 * first; the state of its mapping is not 0 once it was refuted. When items are
 * sorted, the low part of the order of the first one of a page becomes the notes
 * on that page.
 *
 * Three bits of a word, which a hash of its number chooses, are set for each page
 * that has items; of nearly all other blocks they say that they have none, without
 * a search.
 */
#include "build.h"

#include "replay/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define PAGE_SHIFT  28u
#define SLOT_SHIFT  18u
#define ORDER_SHIFT 41u
#define ORDER_BITS  23u
#define ORDER_LOW   0x7fffffu
#define INTERIOR    (UINT64_C(1) << 40)
#define MAKES_PAGE  0u
#define ENTRIES_MAX (UINT64_C(1) << 41)

/* Words are 2 to the power of it. */
#define NAMED_ORDER_MIN 6u
#define NAMED_ORDER_MAX 17u /* 1 MiB */

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
	uint64_t *named; /* bits of pages that have items; set when sorted */
	unsigned named_order;
};

static size_t named_words(const struct replay_table *t)
{
	return (size_t)1 << t->named_order;
}

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
	t->named_order = NAMED_ORDER_MIN;
	while (t->named_order < NAMED_ORDER_MAX &&
	       entries_max >> (t->named_order + 4) > 0)
		t->named_order++;
	t->named = alloc_zeroed(named_words(t), sizeof(*t->named));
	if (t->items == NULL || t->named == NULL) {
		replay_table_destroy(t);
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
	if (t->items != NULL)
		alloc_table_free(t->items, t->size * sizeof(*t->items));
	alloc_free(t->named);
	alloc_free(t);
}

static void add_item(struct replay_table *t, pbn_t page, unsigned slot_code,
		     struct mapping m, uint64_t flag)
{
	uint64_t order = t->count;

	VDO_ASSERT(!t->sorted && t->count < t->size);
	VDO_ASSERT(page < PHYSICAL_BLOCKS_MAX && m.pbn < PHYSICAL_BLOCKS_MAX);
	t->items[t->count++] = (struct item){
		.place = page << PAGE_SHIFT |
			 (uint64_t)slot_code << SLOT_SHIFT |
			 order >> ORDER_BITS,
		.value = (order & ORDER_LOW) << ORDER_SHIFT | flag |
			 m.pbn << 4 | m.state,
	};
}

bool replay_table_add(struct replay_table *t, const struct journal_entry *e)
{
	VDO_ASSERT(e->slot < MAP_PAGE_ENTRIES && e->new_mapping.state <= 15);
	if (t->entries == t->entries_max)
		return false;
	t->entries++;
	add_item(t, e->page, e->slot + 1u, e->new_mapping,
		 e->operation == JOURNAL_BLOCK_MAP ? INTERIOR : 0);
	return true;
}

void replay_table_make(struct replay_table *t, pbn_t page)
{
	VDO_ASSERT(t->count < 2 * t->entries);
	add_item(t, page, MAKES_PAGE, (struct mapping){0}, 0);
	t->made++;
}

static unsigned slot_code_of(const struct replay_table *t, size_t i)
{
	return t->items[i].place >> SLOT_SHIFT & 0x3ff;
}

static struct mapping mapping_of(const struct replay_table *t, size_t i)
{
	return (struct mapping){
		.pbn = t->items[i].value >> 4 & (PHYSICAL_BLOCKS_MAX - 1),
		.state = t->items[i].value & 15,
	};
}

static unsigned kind_of(const struct replay_table *t, size_t i)
{
	if (slot_code_of(t, i) == MAKES_PAGE)
		return 0;
	return (t->items[i].value & INTERIOR) != 0 ? REPLAY_INTERIOR
						   : REPLAY_LEAF;
}

static pbn_t page_of(const struct replay_table *t, size_t i)
{
	VDO_CHECK(i < t->count);
	return t->items[i].place >> PAGE_SHIFT;
}

/* ---------------------------------------------------------------- sorting */

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->value < y->value ? -1 : 1;
}

static uint64_t page_hash(pbn_t page)
{
	return page * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t *named_word(const struct replay_table *t, pbn_t page)
{
	return &t->named[page_hash(page) >> (64 - t->named_order)];
}

static uint64_t named_bits(pbn_t page)
{
	uint64_t hash = page_hash(page);

	return UINT64_C(1) << (hash >> 20 & 63) |
	       UINT64_C(1) << (hash >> 27 & 63) |
	       UINT64_C(1) << (hash >> 34 & 63);
}

static void name_pages(struct replay_table *t)
{
	size_t pos = 0;
	pbn_t page;

	while ((page = replay_table_page(t, &pos)) != 0)
		*named_word(t, page) |= named_bits(page);
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
	for (size_t i = 0; i < kept; i++)
		t->items[i].value &= (UINT64_C(1) << ORDER_SHIFT) - 1;
	t->count = kept;
	t->sorted = true;
	name_pages(t);
}

void replay_table_clear(struct replay_table *t)
{
	t->count = 0;
	t->entries = 0;
	t->made = 0;
	t->sorted = false;
	memset(t->named, 0, named_words(t) * sizeof(*t->named));
}

/* ---------------------------------------------------------------- looking */

size_t replay_table_count(const struct replay_table *t)
{
	return t->sorted ? t->count - t->made : t->entries;
}

size_t replay_table_bytes(const struct replay_table *t)
{
	VDO_ASSERT(t->sorted && t->count <= t->size);
	return t->count * sizeof(*t->items) + named_words(t) * sizeof(*t->named);
}

size_t replay_table_made(const struct replay_table *t)
{
	VDO_ASSERT(t->sorted);
	return t->made;
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

static bool is_item_of(const struct replay_table *t, size_t i, pbn_t page)
{
	return i < t->count && page_of(t, i) == page;
}

static bool is_named(const struct replay_table *t, pbn_t page)
{
	uint64_t bits = named_bits(page);

	return (*named_word(t, page) & bits) == bits &&
	       is_item_of(t, find(t, page), page);
}

/* The item of @page that has @slot_code; false: there is none. */
static bool find_item(const struct replay_table *t, pbn_t page,
		      unsigned slot_code, size_t *i)
{
	VDO_ASSERT(t->sorted);
	*i = find(t, page);
	while (is_item_of(t, *i, page) && slot_code_of(t, *i) < slot_code)
		++*i;
	return is_item_of(t, *i, page) && slot_code_of(t, *i) == slot_code;
}

/* The item that makes @page; false: there is none. */
static bool find_made(const struct replay_table *t, pbn_t page, size_t *i)
{
	return find_item(t, page, MAKES_PAGE, i);
}

bool replay_table_makes(const struct replay_table *t, pbn_t page)
{
	size_t i;

	return find_made(t, page, &i) &&
	       mapping_of(t, i).state == STATE_UNMAPPED;
}

unsigned replay_table_kinds(const struct replay_table *t, pbn_t page)
{
	unsigned kinds = 0;

	VDO_ASSERT(t->sorted);
	for (size_t i = find(t, page); is_item_of(t, i, page); i++)
		kinds |= kind_of(t, i);
	return kinds;
}

bool replay_table_has(const struct replay_table *t, pbn_t page, unsigned slot)
{
	size_t i;

	return find_item(t, page, slot + 1, &i);
}

bool replay_table_data(const struct replay_table *t, size_t *at,
		       struct replay_place *place)
{
	VDO_ASSERT(t->sorted);
	for (; *at < t->count; ++*at) {
		pbn_t to = mapping_of(t, *at).pbn;

		if (kind_of(t, *at) != REPLAY_LEAF || to == ZERO_BLOCK)
			continue;
		*place = (struct replay_place){
			.page = page_of(t, *at),
			.slot = slot_code_of(t, *at) - 1,
			.to = to,
		};
		++*at;
		return true;
	}
	return false;
}

unsigned replay_table_notes(const struct replay_table *t, pbn_t page)
{
	VDO_ASSERT(t->sorted);
	return is_named(t, page) ? (unsigned)(t->items[find(t, page)].value >>
					      ORDER_SHIFT)
				 : 0;
}

void replay_table_note(struct replay_table *t, pbn_t page, unsigned notes)
{
	struct item *item = &t->items[find(t, page)];

	VDO_ASSERT(t->sorted && is_named(t, page) && notes <= ORDER_LOW);
	item->value &= (UINT64_C(1) << ORDER_SHIFT) - 1;
	item->value |= (uint64_t)notes << ORDER_SHIFT;
}

/* --------------------------------------------------------------- applying */

bool replay_table_refuted(const struct replay_table *t, pbn_t page)
{
	size_t i;

	return find_made(t, page, &i) &&
	       mapping_of(t, i).state != STATE_UNMAPPED;
}

void replay_table_refute(struct replay_table *t, pbn_t page)
{
	size_t i;
	bool made = find_made(t, page, &i);

	VDO_ASSERT(made);
	t->items[i].value |= STATE_UNCOMPRESSED;
}

/* Does a slot hold only a part of @m, as power failed between two sectors?
 * Before it was to hold @m it led nowhere. */
static bool is_torn(const uint8_t *bytes, unsigned slot, struct mapping m)
{
	const uint8_t *is = bytes + MAP_PAGE_HEADER + MAPPING_SIZE * slot;
	static const uint8_t nothing[MAPPING_SIZE];
	uint8_t whole[MAPPING_SIZE];
	size_t n = SECTOR_SIZE - (size_t)(is - bytes) % SECTOR_SIZE;

	if (!mapping_spans_sectors(slot))
		return false;
	VDO_CHECK(n > 0 && n < MAPPING_SIZE);
	mapping_encode(whole, m);
	return (memcmp(is, whole, n) == 0 &&
		memcmp(is + n, nothing, MAPPING_SIZE - n) == 0) ||
	       (memcmp(is, nothing, n) == 0 &&
		memcmp(is + n, whole + n, MAPPING_SIZE - n) == 0);
}

/* A slot of an interior page leads to one page for ever. */
static bool takes_child(const struct replay_table *t, const uint8_t *bytes,
			unsigned slot, struct mapping m)
{
	static const struct mapping nothing = {ZERO_BLOCK, STATE_UNMAPPED};
	struct mapping old = mapping_page_get(bytes, slot);

	return (mapping_equal(old, nothing) || mapping_equal(old, m) ||
		is_torn(bytes, slot, m)) &&
	       !replay_table_refuted(t, m.pbn);
}

unsigned replay_table_apply(const struct replay_table *t, pbn_t page,
			    uint8_t *bytes, unsigned kinds)
{
	unsigned n = 0;

	VDO_ASSERT(t->sorted);
	for (size_t i = find(t, page); is_item_of(t, i, page); i++) {
		struct mapping m = mapping_of(t, i);
		unsigned slot = slot_code_of(t, i) - 1, kind = kind_of(t, i);

		if (kind == 0) {
			n += m.state == STATE_UNMAPPED;
			continue;
		}
		if ((kind & kinds) == 0 || (kind == REPLAY_INTERIOR &&
					    !takes_child(t, bytes, slot, m)))
			continue;
		mapping_page_put(bytes, slot, m);
		n++;
	}
	return n;
}

/* ----------------------------------------------------------------- the lies */

const char replay_page_and_data[] =
	"entries take a block for a page of the block map and for data";
static const char both_kinds[] =
	"entries have a page lead both to pages and to data";

const char *replay_table_clash(const struct replay_table *t, pbn_t *page)
{
	unsigned kinds = 0;

	VDO_ASSERT(t->sorted);
	for (size_t i = 0; i < t->count; i++) {
		pbn_t to = mapping_of(t, i).pbn;

		*page = page_of(t, i);
		kinds = i > 0 && page_of(t, i - 1) == *page ? kinds : 0;
		kinds |= kind_of(t, i);
		if (kinds == (REPLAY_LEAF | REPLAY_INTERIOR))
			return both_kinds;
		if (kind_of(t, i) != REPLAY_LEAF || to == ZERO_BLOCK ||
		    !is_named(t, to))
			continue;
		*page = to;
		return replay_page_and_data;
	}
	*page = 0;
	return NULL;
}

/* Does an entry have a slot of @bytes lead to another page than it does? */
static bool replaces_child(const struct replay_table *t, pbn_t page,
			   const uint8_t *bytes)
{
	for (size_t i = find(t, page); is_item_of(t, i, page); i++)
		if (kind_of(t, i) == REPLAY_INTERIOR &&
		    !takes_child(t, bytes, slot_code_of(t, i) - 1,
				 mapping_of(t, i)))
			return true;
	return false;
}

/* What the slots of a page tell of it. */
struct look {
	bool leads_to_data; /* what only a leaf page has */
	pbn_t child; /* a page that has entries or is made; 0: none */
};

/* The slots of @bytes that may lead to a page with items, which are few. What
 * may be torn tells nothing. Nothing branches, so that words are fetched side
 * by side. */
static unsigned find_named(const struct replay_table *t, const uint8_t *bytes,
			   uint16_t *slots, bool *leads_to_data)
{
	bool data = false;
	unsigned n = 0;

	for (unsigned slot = 0; slot < MAP_PAGE_ENTRIES; slot++) {
		struct mapping m = mapping_page_get(bytes, slot);
		uint64_t bits = named_bits(m.pbn);
		uint64_t word = *named_word(t, m.pbn);
		bool whole = !mapping_spans_sectors(slot);

		slots[n] = (uint16_t)slot;
		n += whole & ((word & bits) == bits);
		data |= whole & ((m.state > STATE_UNCOMPRESSED) |
				 ((m.state == STATE_UNCOMPRESSED) &
				  (m.pbn == ZERO_BLOCK)));
	}
	*leads_to_data = data;
	return n;
}

/* Does an entry replace the mapping in slot @slot of page @page? */
static bool is_replaced(const struct replay_table *t, pbn_t page, unsigned slot)
{
	size_t i;

	return find_item(t, page, slot + 1, &i) && kind_of(t, i) == REPLAY_LEAF;
}

/* A mapping that an entry replaces may be to what was data then, and was made a
 * page since. In a page that may be an interior one only a page that is made can
 * be that. */
static struct look look_at(const struct replay_table *t, pbn_t page,
			   const uint8_t *bytes)
{
	uint16_t slots[MAP_PAGE_ENTRIES];
	struct look l = {0};
	unsigned n = find_named(t, bytes, slots, &l.leads_to_data);

	for (unsigned i = 0; i < n; i++) {
		struct mapping m = mapping_page_get(bytes, slots[i]);
		bool may_be_old =
			l.leads_to_data || replay_table_makes(t, m.pbn);

		if (m.state != STATE_UNMAPPED && m.pbn != ZERO_BLOCK &&
		    is_named(t, m.pbn) &&
		    !(may_be_old && is_replaced(t, page, slots[i])))
			l.child = m.pbn;
	}
	return l;
}

const char *replay_table_misfit(const struct replay_table *t, pbn_t page,
				const uint8_t *bytes, pbn_t *which)
{
	unsigned kinds = replay_table_kinds(t, page);
	struct look l = look_at(t, page, bytes);

	*which = page;
	if (kinds == (REPLAY_LEAF | REPLAY_INTERIOR))
		return both_kinds;
	if ((kinds & REPLAY_INTERIOR) != 0 && replaces_child(t, page, bytes))
		return "an entry has a page lead to another page than it does";
	if ((kinds & REPLAY_INTERIOR) != 0 && l.leads_to_data)
		return "an entry has a page that leads to data lead to a page";
	if ((kinds & REPLAY_LEAF) == 0 || l.child == ZERO_BLOCK)
		return NULL;
	*which = l.child;
	return replay_page_and_data;
}

bool replay_table_doubts(const struct replay_table *t, pbn_t page,
			 const uint8_t *bytes)
{
	bool doubtful = false;

	for (size_t i = find(t, page); is_item_of(t, i, page); i++) {
		if (kind_of(t, i) == REPLAY_LEAF)
			return false;
		doubtful |= kind_of(t, i) == REPLAY_INTERIOR &&
			    replay_table_kinds(t, mapping_of(t, i).pbn) == 0;
	}
	return doubtful && look_at(t, page, bytes).child == ZERO_BLOCK;
}
