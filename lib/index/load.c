/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading a save (X 10.2), with any number of zones that wrote it.
 *
 *	page map		[take_page_map]
 *	open chapter		[take_records]
 *	volume index, headers	[take_volume], each stream up to its lists
 *	lay out the lists	[arrange]
 *	volume index, lists	[take_volume], each stream again, to its end
 *
 * The streams are read twice because lists can be laid out only when the sizes
 * of all are known; the headers are small.
 *
 * Whatever is wrong makes the save unusable, and all of the index is empty
 * again: a rebuild follows.
 */
#include "build.h"

#include <string.h>

#include <vdo/error.h>

#include "base/counter.h"
#include "index/index_priv.h"

#define BAD (-VDO_ECORRUPT)

/* Nothing of an item was taken: it is not all there yet. */
static bool there(const struct loader *l, size_t n)
{
	return l->n - l->taken >= n;
}

static struct reader take(struct loader *l, size_t n)
{
	struct reader r = {l->p + l->taken};

	l->taken += n;
	return r;
}

static void begin(struct loader *l, const uint8_t *p, size_t n)
{
	l->p = p;
	l->n = n;
	l->taken = 0;
}

static bool magic_is(struct reader *r, const char *magic, size_t n)
{
	bool same = memcmp(r->p, magic, n) == 0;

	r->p += n;
	return same;
}

static int take_page_map(void *arg, const uint8_t *p, size_t n, size_t *taken)
{
	struct index *index = arg;
	struct loader *l = &index->loader;
	uint64_t entries = (uint64_t)index->geometry.chapters *
			   (index->geometry.index_pages - 1);
	struct reader r;

	begin(l, p, n);
	if (l->item == 0 && l->part == PART_START) {
		r = take(l, 16);
		if (!magic_is(&r, PAGE_MAP_MAGIC, 8))
			return BAD;
		index->page_map.last_update = read_u64(&r);
		if (index->page_map.last_update > index->newest)
			return BAD;
		l->part = PART_LISTS;
	}
	for (; l->item < entries && there(l, 2); l->item++) {
		uint16_t last;

		r = take(l, 2);
		last = read_u16(&r);
		if (last >= index->geometry.lists)
			return BAD;
		index->page_map.last_lists[l->item] = last;
	}
	*taken = l->taken;
	return l->item < entries;
}

static void take_record(struct index *index, const struct index_record *record)
{
	struct index_zone *z;
	struct index_name name;

	index_set_name(index, &name, &record->name);
	z = &index->zones[name.zone];

	/* One place stays free: the next record must close the chapter. */
	if (z->open->capacity - z->open->used > 1)
		open_chapter_put(z->open, &name, record->data);
}

static int take_records(void *arg, const uint8_t *p, size_t n, size_t *taken)
{
	struct index *index = arg;
	struct loader *l = &index->loader;
	struct reader r;

	begin(l, p, n);
	if (l->part == PART_START) {
		r = take(l, 14);
		if (!magic_is(&r, OPEN_CHAPTER_MAGIC, 10))
			return BAD;
		l->count = read_u32(&r);
		if (l->count > index->geometry.records)
			return BAD;
		l->part = PART_LISTS;
	}
	for (; l->item < l->count && there(l, RECORD_BYTES); l->item++) {
		struct index_record record;

		r = take(l, RECORD_BYTES);
		read_bytes(&r, &record, sizeof(record));
		take_record(index, &record);
	}
	*taken = l->taken;
	return l->item < l->count;
}

/* The zone's share that has @list, which becomes a number in it. */
static struct sub_zone *find_list(struct index *index, unsigned sub,
				  uint32_t *list)
{
	uint32_t each = sub_zone_lists(&index->geometry.subs[sub],
				       index->c.zone_count);
	struct sub_zone *s = &index->zones[*list / each].volume.subs[sub];

	*list -= s->first_list;
	return s;
}

static int take_sub_header(struct index *index, struct loader *l)
{
	struct loaded_sub *sub = &l->subs[l->sub];
	struct reader r = take(l, 40);
	uint64_t nonce, low, high;

	if (!magic_is(&r, SUB_INDEX_MAGIC, 8))
		return BAD;
	nonce = read_u64(&r);
	low = read_u64(&r);
	high = read_u64(&r);
	sub->first = read_u32(&r);
	sub->count = read_u32(&r);
	if (nonce != index->layout.volume_nonce ||
	    high != index->newest || low > high ||
	    high - low >= index->geometry.chapters ||
	    sub->first != sub->next ||
	    sub->count > index->geometry.subs[l->sub].list_count - sub->next)
		return BAD;
	sub->next += sub->count;
	sub->low = MAX(sub->low, low);
	l->header_bytes += 80 + 10 * (uint64_t)sub->count;
	return 0;
}

static int take_delta_header(struct index *index, struct loader *l)
{
	struct loaded_sub *sub = &l->subs[l->sub];
	struct delta_lists *d = &index->zones[index->at % index->c.zone_count]
					 .volume.subs[l->sub].lists;
	struct reader r = take(l, 40);
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
	if (zone != index->at || zones != l->zone_count ||
	    first != sub->first || count != sub->count ||
	    records > (uint64_t)count * LIST_BITS_MAX || collisions > records)
		return BAD;
	sub->records += records;
	sub->collisions += collisions;
	if (zones == index->c.zone_count) {
		counter_add(&d->record_count, records);
		counter_add(&d->collision_count, collisions);
	}
	return 0;
}

static int take_flush(struct index *index, struct loader *l)
{
	uint32_t list = l->subs[l->sub].first + (uint32_t)l->item;
	struct sub_zone *s = find_list(index, l->sub, &list);
	struct reader r = take(l, 8);
	uint64_t flush = read_u64(&r);

	s->lists.heads[list].tag = flush;
	return flush > index->newest ? BAD : 0;
}

static int take_size(struct index *index, struct loader *l)
{
	uint32_t list = l->subs[l->sub].first + (uint32_t)l->item;
	struct sub_zone *s = find_list(index, l->sub, &list);
	struct reader r = take(l, 2);

	delta_list_expect(&s->lists, list, read_u16(&r));
	return 0;
}

/* The saved counts are of other zones: count again. */
static int count_list(struct delta_lists *d, uint32_t list)
{
	struct delta_entry e = {0};
	uint64_t records = 0, collisions = 0;

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

/* The next list that is not empty must be in the stream. */
static int take_list(struct index *index, struct loader *l)
{
	uint32_t number = l->subs[l->sub].first + (uint32_t)l->item;
	uint32_t list = number, bits, offset, bytes;
	struct sub_zone *s = find_list(index, l->sub, &list);
	struct reader r = {l->p + l->taken};
	bool tagged;

	bits = delta_list_bits(&s->lists, list);
	if (bits == 0)
		return 0;
	if (!there(l, LIST_HEADER))
		return 1;
	tagged = read_u8(&r) == saved_tag(&index->geometry, l->sub);
	offset = read_u8(&r);
	bytes = read_u16(&r);
	if (!tagged || offset > 7 || bytes > LIST_BYTES_MAX ||
	    bytes != (offset + bits + 7) / 8 || read_u32(&r) != number)
		return BAD;
	if (!there(l, LIST_HEADER + bytes))
		return 1;
	take(l, LIST_HEADER + bytes);
	bits_copy(delta_list_data(&s->lists, list), 0, r.p, offset, bits);
	if (l->zone_count != index->c.zone_count)
		return count_list(&s->lists, list);
	return 0;
}

static int take_start(struct loader *l)
{
	struct reader r = take(l, 12);

	if (!magic_is(&r, SPARSE_MAGIC, 8) ||
	    read_u32(&r) != SPARSE_SAMPLE_RATE)
		return BAD;
	l->header_bytes = 12;
	return 0;
}

/* One item of the part; 1: it is not all there. */
static int take_item(struct index *index, struct loader *l)
{
	static const uint8_t sizes[] = {
		[PART_START] = 12,	  [PART_SUB_HEADER] = 40,
		[PART_FLUSH] = 8,	  [PART_DELTA_HEADER] = 40,
		[PART_SIZES] = 2,	  [PART_LISTS] = 0,
		[PART_GUARD] = 8,
	};
	struct reader r;

	if (!there(l, sizes[l->part]))
		return 1;
	switch (l->part) {
	case PART_START:
		return take_start(l);
	case PART_SUB_HEADER:
		return take_sub_header(index, l);
	case PART_FLUSH:
		return take_flush(index, l);
	case PART_DELTA_HEADER:
		return take_delta_header(index, l);
	case PART_SIZES:
		return take_size(index, l);
	case PART_LISTS:
		return take_list(index, l);
	default:
		r = take(l, 8);
		return read_u8(&r) == GUARD_TAG ? 0 : BAD;
	}
}

/* How many items the part has. */
static uint64_t items_of(const struct index *index, const struct loader *l)
{
	switch (l->part) {
	case PART_START:
		return index->geometry.sparse ? 1 : 0;
	case PART_FLUSH:
	case PART_SIZES:
	case PART_LISTS:
		return l->subs[l->sub].count;
	default:
		return 1;
	}
}

/* The same order of parts as in saver_next(). */
static void next_part(struct loader *l, const struct index_geometry *g)
{
	struct saver s = {.part = l->part, .sub = l->sub};

	saver_next(&s, g);
	l->part = s.part;
	l->sub = s.sub;
	l->item = 0;
}

static int take_volume(void *arg, const uint8_t *p, size_t n, size_t *taken)
{
	struct index *index = arg;
	struct loader *l = &index->loader;
	enum saved_part end = l->second ? PART_END : PART_LISTS;

	begin(l, p, n);
	if (l->skip != 0) {
		l->taken = MIN(l->skip, n);
		l->skip -= l->taken;
	}
	while (l->part != end && l->skip == 0) {
		int r = 0;

		for (; l->item < items_of(index, l); l->item++) {
			r = take_item(index, l);
			if (r != 0)
				break;
		}
		if (r < 0)
			return r;
		if (r > 0)
			break;
		next_part(l, &index->geometry);
	}
	*taken = l->taken;
	return l->part != end;
}

static void part_read(void *ctx, int result);

static void read_part(struct index *index, enum save_part part,
		      stream_consume consume)
{
	struct loader *l = &index->loader;
	struct extent e = layout_save_part(&index->layout, l->slot, part,
					   index->at, l->zone_count);

	l->part = PART_START;
	l->sub = 0;
	l->item = 0;
	l->step = part;
	stream_read(&index->stream, e.start, e.blocks, consume, index,
		    part_read, index);
}

static void read_volume(struct index *index)
{
	struct loader *l = &index->loader;
	struct extent e = layout_save_part(&index->layout, l->slot, SAVE_ZONE,
					   index->at, l->zone_count);
	struct loaded_zone *z = &l->zones[index->at];

	if (!l->second) {
		l->header_bytes = 0;
		read_part(index, SAVE_ZONE, take_volume);
		return;
	}
	l->part = PART_LISTS;
	l->sub = 0;
	l->item = 0;
	l->skip = z->header_bytes;
	for (unsigned i = 0; i < index->geometry.sub_count; i++) {
		l->subs[i].first = z->first[i];
		l->subs[i].count = z->count[i];
	}
	stream_read(&index->stream, e.start, e.blocks, take_volume, index,
		    part_read, index);
}

/* All headers are known. */
static int arrange(struct index *index)
{
	struct loader *l = &index->loader;

	for (unsigned i = 0; i < index->geometry.sub_count; i++) {
		if (l->subs[i].next != index->geometry.subs[i].list_count ||
		    l->subs[i].collisions > l->subs[i].records)
			return BAD;
		for (unsigned k = 0; k < index->c.zone_count; k++) {
			struct sub_zone *s = &index->zones[k].volume.subs[i];
			int r = delta_lists_arrange(&s->lists);

			if (r != 0)
				return r;
			s->low = l->subs[i].low;
			s->high = index->newest;
		}
	}
	return 0;
}

static void finish(struct index *index, int result)
{
	for (unsigned i = 0; result != 0 && i < index->c.zone_count; i++) {
		volume_index_clear(&index->zones[i].volume);
		open_chapter_clear(index->zones[i].open);
	}
	if (result != 0)
		page_map_clear(&index->page_map);
	index->outer(index, result);
}

/* The stream of a zone was read, once or twice. */
static void zone_read(struct index *index)
{
	struct loader *l = &index->loader;
	struct loaded_zone *z = &l->zones[index->at];
	int r = 0;

	if (!l->second) {
		z->header_bytes = l->header_bytes;
		for (unsigned i = 0; i < index->geometry.sub_count; i++) {
			z->first[i] = l->subs[i].first;
			z->count[i] = l->subs[i].count;
		}
	}
	if (++index->at < l->zone_count) {
		read_volume(index);
		return;
	}
	if (!l->second)
		r = arrange(index);
	if (r != 0 || l->second) {
		finish(index, r);
		return;
	}
	l->second = true;
	index->at = 0;
	read_volume(index);
}

static void part_read(void *ctx, int result)
{
	struct index *index = ctx;

	if (result != 0)
		finish(index, result);
	else if (index->loader.step == SAVE_PAGE_MAP)
		read_part(index, SAVE_OPEN_CHAPTER, take_records);
	else if (index->loader.step == SAVE_ZONE)
		zone_read(index);
	else {
		index->loader.step = SAVE_ZONE;
		read_volume(index);
	}
}

void index_load(struct index *index, index_then then)
{
	const struct index_save *save = &index->saves[index->save_slot];

	VDO_ASSERT(index->save_slot >= 0);
	index->outer = then;
	index->at = 0;
	index->loader = (struct loader){
		.slot = (unsigned)index->save_slot,
		.zone_count = save->zone_count,
	};
	if (save->newest - save->oldest >= index->geometry.chapters) {
		finish(index, BAD);
		return;
	}
	index_set_chapters(index, save->oldest, save->newest);
	read_part(index, SAVE_PAGE_MAP, take_page_map);
}
