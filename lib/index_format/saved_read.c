/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the parts of a save, with any number of zones that wrote it.
 *
 * Nothing here trusts a byte: each number has its bound where it is read, and
 * everything that two places say is compared. Whatever is wrong makes the save
 * as a whole unusable; what was filled in by then is the caller's to clear.
 *
 * Lists go to where the zones of today have them. Streams are contiguous and in
 * order, so each begins with the list after the last one of the stream before.
 */
#include "build.h"

#include "index_format/saved.h"

#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/counter.h"

#define BAD	(-VDO_ECORRUPT)
#define PARTIAL 1 /* the item is not all there yet */

static_assert(LIST_BITS_MAX / 8 + 2 <= SAVED_LIST_BYTES_MAX, "any list");

void saved_read_init(struct save_reader *s, const struct index_contents *c,
		     uint64_t nonce, uint64_t newest, unsigned stream_count)
{
	VDO_ASSERT(stream_count >= 1 && stream_count <= INDEX_ZONES_MAX);
	*s = (struct save_reader){
		.contents = c,
		.nonce = nonce,
		.newest = newest,
		.stream_count = stream_count,
	};
}

void saved_read_begin(struct save_reader *s)
{
	VDO_ASSERT(s->contents != NULL);
	s->at = (struct saved_place){.part = PART_START};
}

void saved_read_begin_stream(struct save_reader *s, unsigned stream,
			     bool lists)
{
	VDO_ASSERT(stream < s->stream_count);
	s->stream = stream;
	s->lists = lists;
	s->at = (struct saved_place){
		.part = lists ? PART_LISTS : PART_START,
	};
	s->skip = lists ? s->streams[stream].header_bytes : 0;
}

/* ------------------------------------------------------------------- pieces */

static void begin_piece(struct save_reader *s, const uint8_t *p, size_t n)
{
	s->p = p;
	s->n = n;
	s->taken = 0;
}

static bool there(const struct save_reader *s, size_t n)
{
	VDO_CHECK(s->taken <= s->n);
	return s->n - s->taken >= n;
}

static struct reader take(struct save_reader *s, size_t n)
{
	struct reader r = {s->p + s->taken};

	VDO_ASSERT(there(s, n));
	s->taken += n;
	return r;
}

static bool magic_is(struct reader *r, const char *magic, size_t n)
{
	bool same = memcmp(r->p, magic, n) == 0;

	r->p += n;
	return same;
}

/* ------------------------------------------------ page map and open chapter */

static int take_page_map_header(struct save_reader *s)
{
	struct reader r = take(s, 16);

	VDO_ASSERT(s->at.item == 0);
	if (!magic_is(&r, PAGE_MAP_MAGIC, 8))
		return BAD;
	s->contents->page_map->last_update = read_u64(&r);
	s->at.part = PART_LISTS;
	return s->contents->page_map->last_update > s->newest ? BAD : 0;
}

int saved_read_page_map(void *reader, const uint8_t *p, size_t n,
			size_t *taken)
{
	struct save_reader *s = reader;
	const struct index_geometry *g = s->contents->geometry;
	uint64_t entries = page_map_entries(g);

	VDO_ASSERT(s->at.part == PART_START || s->at.part == PART_LISTS);
	begin_piece(s, p, n);
	if (s->at.part == PART_START && take_page_map_header(s) != 0)
		return BAD;
	for (; s->at.item < entries && there(s, 2); s->at.item++) {
		struct reader r = take(s, 2);
		uint16_t last = read_u16(&r);

		if (last >= g->lists)
			return BAD;
		s->contents->page_map->last_lists[s->at.item] = last;
	}
	*taken = s->taken;
	return s->at.item < entries;
}

static int take_open_header(struct save_reader *s)
{
	struct reader r = take(s, 14);

	VDO_ASSERT(s->at.item == 0);
	if (!magic_is(&r, OPEN_CHAPTER_MAGIC, 10))
		return BAD;
	s->count = read_u32(&r);
	s->at.part = PART_LISTS;
	return s->count > s->contents->geometry->records ? BAD : 0;
}

static void take_record(struct save_reader *s)
{
	const struct index_contents *c = s->contents;
	struct reader r = take(s, RECORD_BYTES);
	struct index_record record;
	struct index_name name;
	struct open_chapter *o;

	read_bytes(&r, &record, sizeof(record));
	index_name_init(&name, c->geometry, c->zone_count, &record.name);
	o = c->open[name.zone];
	/* One place stays free: the next record must close the chapter. */
	if (o->capacity - open_chapter_used(o) > 1)
		open_chapter_put(o, &name, record.data);
}

int saved_read_open_chapter(void *reader, const uint8_t *p, size_t n,
			    size_t *taken)
{
	struct save_reader *s = reader;

	VDO_ASSERT(s->at.part == PART_START || s->at.part == PART_LISTS);
	begin_piece(s, p, n);
	if (s->at.part == PART_START && take_open_header(s) != 0)
		return BAD;
	for (; s->at.item < s->count && there(s, RECORD_BYTES); s->at.item++)
		take_record(s);
	*taken = s->taken;
	return s->at.item < s->count;
}

/* ------------------------------------------------------------------ streams */

static struct saved_share *share_of(struct save_reader *s)
{
	VDO_CHECK(s->stream < s->stream_count);
	return &s->streams[s->stream].shares[s->at.sub];
}

/* The number of the list at hand. */
static uint32_t list_number(struct save_reader *s)
{
	VDO_CHECK(s->at.item < share_of(s)->count);
	return share_of(s)->first + (uint32_t)s->at.item;
}

/* The zone's part that has list @number, and the list's number in it. */
static struct sub_zone *find_list(struct save_reader *s, uint32_t number,
				  uint32_t *list)
{
	const struct index_contents *c = s->contents;
	const struct sub_geometry *g = &c->geometry->subs[s->at.sub];
	uint32_t zone = number / geometry_zone_lists(g, c->zone_count);
	struct sub_zone *z = &c->volumes[zone]->subs[s->at.sub];

	VDO_ASSERT(number < g->list_count && zone < c->zone_count);
	*list = number - z->first_list;
	return z;
}

static int take_start(struct save_reader *s)
{
	struct reader r = take(s, 12);

	if (!magic_is(&r, SPARSE_MAGIC, 8) ||
	    read_u32(&r) != SPARSE_SAMPLE_RATE)
		return BAD;
	s->streams[s->stream].header_bytes = 12;
	return 0;
}

static int take_sub_header(struct save_reader *s)
{
	const struct index_geometry *g = s->contents->geometry;
	struct saved_sub *sub = &s->subs[s->at.sub];
	struct saved_share *share = share_of(s);
	struct reader r = take(s, 40);
	uint64_t nonce, low, high;

	VDO_ASSERT(s->at.sub < g->sub_count);
	if (!magic_is(&r, SUB_INDEX_MAGIC, 8))
		return BAD;
	nonce = read_u64(&r);
	low = read_u64(&r);
	high = read_u64(&r);
	share->first = read_u32(&r);
	share->count = read_u32(&r);
	if (nonce != s->nonce || high != s->newest || low > high ||
	    high - low >= g->chapters || share->first != sub->next ||
	    share->count > g->subs[s->at.sub].list_count - sub->next)
		return BAD;
	sub->next += share->count;
	sub->low = MAX(sub->low, low);
	s->streams[s->stream].header_bytes += 80 + 10 * (uint64_t)share->count;
	return 0;
}

/* The counts are sums, so it does not matter which zone is told. */
static void add_counts(struct save_reader *s, uint64_t records,
		       uint64_t collisions)
{
	const struct index_contents *c = s->contents;
	struct delta_lists *d =
		&c->volumes[s->stream % c->zone_count]->subs[s->at.sub].lists;

	VDO_ASSERT(collisions <= records);
	counter_add(&d->record_count, records);
	counter_add(&d->collision_count, collisions);
}

static int take_delta_header(struct save_reader *s)
{
	struct saved_sub *sub = &s->subs[s->at.sub];
	const struct saved_share *share = share_of(s);
	struct reader r = take(s, 40);
	uint32_t zone, zones, first, count;
	uint64_t records, collisions;

	if (!magic_is(&r, DELTA_MAGIC, 8))
		return BAD;
	zone = read_u32(&r);
	zones = read_u32(&r);
	first = read_u32(&r);
	count = read_u32(&r);
	records = read_u64(&r);
	collisions = read_u64(&r);
	if (zone != s->stream || zones != s->stream_count ||
	    first != share->first || count != share->count ||
	    records > (uint64_t)count * LIST_BITS_MAX || collisions > records)
		return BAD;
	sub->records += records;
	sub->collisions += collisions;
	if (zones == s->contents->zone_count)
		add_counts(s, records, collisions);
	return 0;
}

static int take_flush(struct save_reader *s)
{
	uint32_t list;
	struct sub_zone *z = find_list(s, list_number(s), &list);
	struct reader r = take(s, 8);
	uint64_t flush = read_u64(&r);

	z->lists.heads[list].tag = flush;
	return flush > s->newest ? BAD : 0;
}

static int take_size(struct save_reader *s)
{
	uint32_t list;
	struct sub_zone *z = find_list(s, list_number(s), &list);
	struct reader r = take(s, 2);

	delta_list_expect(&z->lists, list, read_u16(&r));
	return 0;
}

/* Other zones than ours were counted in the headers, so count again. */
static int count_list(struct delta_lists *d, uint32_t list)
{
	struct delta_entry e = {0};
	uint64_t records = 0, collisions = 0;

	VDO_ASSERT(list < d->list_count);
	while (e.at < delta_list_bits(d, list)) {
		int r = delta_list_at(d, list, e.key, &e);

		if (r != 0)
			return r;
		records++;
		collisions += e.collision;
		e.at += e.bits;
	}
	counter_add(&d->record_count, records);
	counter_add(&d->collision_count, collisions);
	return 0;
}

/* A list that is empty is not in the stream; the next that is not must be. */
static int take_list(struct save_reader *s)
{
	uint32_t number = list_number(s), list, bits, offset, bytes;
	struct sub_zone *z = find_list(s, number, &list);
	struct reader r = {s->p + s->taken};
	bool tagged;

	bits = delta_list_bits(&z->lists, list);
	if (bits == 0)
		return 0;
	if (!there(s, SAVED_LIST_HEADER))
		return PARTIAL;
	tagged = read_u8(&r) == saved_tag(s->contents->geometry, s->at.sub);
	offset = read_u8(&r);
	bytes = read_u16(&r);
	if (!tagged || offset > 7 || bytes > SAVED_LIST_BYTES_MAX ||
	    bytes != (offset + bits + 7) / 8 || read_u32(&r) != number)
		return BAD;
	if (!there(s, SAVED_LIST_HEADER + bytes))
		return PARTIAL;
	take(s, SAVED_LIST_HEADER + bytes);
	bits_copy(delta_list_data(&z->lists, list), 0, r.p, offset, bits);
	if (s->stream_count != s->contents->zone_count)
		return count_list(&z->lists, list);
	return 0;
}

static int take_guard(struct save_reader *s)
{
	struct reader r = take(s, 8);

	return read_u8(&r) == SAVED_GUARD_TAG ? 0 : BAD;
}

/* Each part: how long an item is, and who takes one. */
static const struct part {
	size_t bytes; /* 0: it says itself whether it is all there */
	int (*take)(struct save_reader *s);
} parts[] = {
	[PART_START] = {12, take_start},
	[PART_SUB_HEADER] = {40, take_sub_header},
	[PART_FLUSH] = {8, take_flush},
	[PART_DELTA_HEADER] = {40, take_delta_header},
	[PART_SIZES] = {2, take_size},
	[PART_LISTS] = {0, take_list},
	[PART_GUARD] = {8, take_guard},
};

static_assert(ARRAY_SIZE(parts) == PART_END, "all parts");

/* How many items the part at hand has. */
static uint64_t item_count(struct save_reader *s)
{
	switch (s->at.part) {
	case PART_START:
		return s->contents->geometry->sparse ? 1 : 0;
	case PART_FLUSH:
	case PART_SIZES:
	case PART_LISTS:
		return share_of(s)->count;
	default:
		return 1;
	}
}

/* All items of the part: 0, PARTIAL or an error. */
static int take_part(struct save_reader *s)
{
	const struct part *part = &parts[s->at.part];

	VDO_ASSERT(s->at.part < PART_END);
	for (; s->at.item < item_count(s); s->at.item++) {
		int r = there(s, part->bytes) ? part->take(s) : PARTIAL;

		if (r != 0)
			return r;
	}
	return 0;
}

int saved_read_stream(void *reader, const uint8_t *p, size_t n, size_t *taken)
{
	struct save_reader *s = reader;
	enum saved_part end = s->lists ? PART_END : PART_LISTS;
	int r = 0;

	VDO_ASSERT(s->at.part != PART_END);
	begin_piece(s, p, n);
	if (s->skip != 0) {
		s->taken = MIN(s->skip, n);
		s->skip -= s->taken;
	}
	while (r == 0 && s->at.part != end && s->skip == 0) {
		r = take_part(s);
		if (r == 0)
			saved_next(&s->at, s->contents->geometry);
	}
	*taken = s->taken;
	return r < 0 ? r : s->at.part != end;
}

static int arrange_sub(struct save_reader *s, unsigned sub)
{
	const struct index_contents *c = s->contents;

	VDO_ASSERT(sub < c->geometry->sub_count);
	if (s->subs[sub].next != c->geometry->subs[sub].list_count ||
	    s->subs[sub].collisions > s->subs[sub].records)
		return BAD;
	for (unsigned i = 0; i < c->zone_count; i++) {
		struct sub_zone *z = &c->volumes[i]->subs[sub];
		int r = delta_lists_arrange(&z->lists);

		if (r != 0)
			return r;
		z->low = s->subs[sub].low;
		z->high = s->newest;
	}
	return 0;
}

int saved_read_arrange(struct save_reader *s)
{
	int r = 0;

	VDO_ASSERT(!s->lists && s->stream + 1 == s->stream_count);
	for (unsigned i = 0; r == 0 && i < s->contents->geometry->sub_count;
	     i++)
		r = arrange_sub(s, i);
	return r;
}
