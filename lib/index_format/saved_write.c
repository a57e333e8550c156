/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing the parts of a save. A part is made piece by piece, each from where
 * the one before ended, so nothing of it is ever in memory as a whole.
 */
#include "build.h"

#include "index_format/saved.h"

#include "base/assert.h"

void saved_write_begin(struct save_writer *s, const struct index_contents *c,
		       uint64_t nonce, unsigned zone)
{
	VDO_ASSERT(zone < c->zone_count);
	*s = (struct save_writer){
		.contents = c,
		.nonce = nonce,
		.zone = zone,
	};
}

static void begin_piece(struct save_writer *s, uint8_t *p, size_t room)
{
	VDO_ASSERT(room >= SAVED_ITEM_MAX); /* or it would never go on */
	s->p = p;
	s->room = room;
	s->made = 0;
}

static bool room_for(const struct save_writer *s, size_t n)
{
	VDO_CHECK(s->made <= s->room);
	return s->room - s->made >= n;
}

static struct writer writer_at(struct save_writer *s, size_t n)
{
	struct writer w = {s->p + s->made};

	VDO_ASSERT(room_for(s, n));
	s->made += n;
	return w;
}

/* Records of the zones in turn, as they lie in a chapter (X 7.3). */
static const struct index_record *record_at(const struct index_contents *c,
					    uint64_t i)
{
	const struct open_chapter *o = c->open[i % c->zone_count];
	uint32_t number = 1 + (uint32_t)i / c->zone_count;

	VDO_CHECK(i < c->geometry->records);
	return number > o->capacity ? NULL : open_chapter_record(o, number);
}

int saved_write_open_chapter(void *writer, uint8_t *p, size_t room,
			     size_t *made)
{
	struct save_writer *s = writer;
	const struct index_contents *c = s->contents;
	uint32_t records = c->geometry->records;
	struct saved_place *at = &s->at;
	struct writer w;

	VDO_ASSERT(s->at.part == PART_START || s->at.part == PART_LISTS);
	begin_piece(s, p, room);
	if (at->part == PART_START) {
		w = writer_at(s, 14);
		write_bytes(&w, OPEN_CHAPTER_MAGIC, 10);
		write_u32(&w, contents_open_records(c));
		at->part = PART_LISTS;
	}
	for (; at->item < records && room_for(s, RECORD_BYTES); at->item++) {
		const struct index_record *r = record_at(c, at->item);

		if (r == NULL)
			continue;
		w = writer_at(s, RECORD_BYTES);
		write_bytes(&w, r, RECORD_BYTES);
	}
	*made = s->made;
	return at->item < records;
}

int saved_write_page_map(void *writer, uint8_t *p, size_t room, size_t *made)
{
	struct save_writer *s = writer;
	const struct page_map *m = s->contents->page_map;
	uint64_t entries = page_map_entries(s->contents->geometry);
	struct saved_place *at = &s->at;
	struct writer w;

	VDO_ASSERT(s->at.part == PART_START || s->at.part == PART_LISTS);
	begin_piece(s, p, room);
	if (at->part == PART_START) {
		w = writer_at(s, 16);
		write_bytes(&w, PAGE_MAP_MAGIC, 8);
		write_u64(&w, m->last_update);
		at->part = PART_LISTS;
	}
	for (; at->item < entries && room_for(s, 2); at->item++) {
		w = writer_at(s, 2);
		write_u16(&w, m->last_lists[at->item]);
	}
	*made = s->made;
	return at->item < entries;
}

static void write_sub_header(const struct save_writer *s,
			     const struct sub_zone *sub, struct writer *w)
{
	VDO_ASSERT(sub->low <= sub->high);
	write_bytes(w, SUB_INDEX_MAGIC, 8);
	write_u64(w, s->nonce);
	write_u64(w, sub->low);
	write_u64(w, sub->high);
	write_u32(w, sub->first_list);
	write_u32(w, sub->lists.list_count);
}

static void write_delta_header(const struct save_writer *s,
			       const struct sub_zone *sub, struct writer *w)
{
	write_bytes(w, DELTA_MAGIC, 8);
	write_u32(w, s->zone);
	write_u32(w, s->contents->zone_count);
	write_u32(w, sub->first_list);
	write_u32(w, sub->lists.list_count);
	write_u64(w, counter_get(&sub->lists.record_count));
	write_u64(w, counter_get(&sub->lists.collision_count));
}

static void write_list(struct save_writer *s, const struct sub_zone *sub,
		       uint32_t list)
{
	uint32_t bits = delta_list_bits(&sub->lists, list);
	uint32_t bytes = (bits + 7) / 8;
	struct writer w;

	if (bits == 0)
		return;
	VDO_ASSERT(bytes <= SAVED_LIST_BYTES_MAX);
	w = writer_at(s, SAVED_LIST_HEADER + bytes);
	write_u8(&w, saved_tag(s->contents->geometry, s->at.sub));
	write_u8(&w, 0);
	write_u16(&w, (uint16_t)bytes);
	write_u32(&w, sub->first_list + list);
	write_bytes(&w, delta_list_data(&sub->lists, list), bytes);
}

static void write_item(struct save_writer *s, const struct sub_zone *sub,
		       uint32_t list)
{
	struct writer w;

	VDO_CHECK(list < sub->lists.list_count);
	if (s->at.part == PART_FLUSH) {
		w = writer_at(s, 8);
		write_u64(&w, sub->lists.heads[list].tag);
	} else if (s->at.part == PART_SIZES) {
		w = writer_at(s, 2);
		write_u16(&w, (uint16_t)delta_list_bits(&sub->lists, list));
	} else {
		write_list(s, sub, list);
	}
}

/* The items of a part; false if there was no room for all. */
static bool write_part(struct save_writer *s)
{
	const struct volume_index *v = s->contents->volumes[s->zone];
	const struct sub_zone *sub = &v->subs[s->at.sub];
	struct writer w;

	VDO_ASSERT(s->at.part != PART_START && s->at.part <= PART_LISTS);
	if (s->at.part == PART_SUB_HEADER || s->at.part == PART_DELTA_HEADER) {
		if (!room_for(s, 40))
			return false;
		w = writer_at(s, 40);
		if (s->at.part == PART_SUB_HEADER)
			write_sub_header(s, sub, &w);
		else
			write_delta_header(s, sub, &w);
		return true;
	}
	for (; s->at.item < sub->lists.list_count; s->at.item++) {
		if (!room_for(s, SAVED_ITEM_MAX))
			return false;
		write_item(s, sub, (uint32_t)s->at.item);
	}
	return true;
}

int saved_write_stream(void *writer, uint8_t *p, size_t room, size_t *made)
{
	struct save_writer *s = writer;
	const struct index_geometry *g = s->contents->geometry;
	struct writer w;

	VDO_ASSERT(s->at.part != PART_END);
	begin_piece(s, p, room);
	if (s->at.part == PART_START && g->sparse) {
		w = writer_at(s, 12);
		write_bytes(&w, SPARSE_MAGIC, 8);
		write_u32(&w, SPARSE_SAMPLE_RATE);
	}
	if (s->at.part == PART_START)
		saved_next(&s->at, g);
	while (s->at.part != PART_GUARD && write_part(s))
		saved_next(&s->at, g);
	if (s->at.part == PART_GUARD && room_for(s, 8)) {
		w = writer_at(s, 8);
		write_u8(&w, SAVED_GUARD_TAG);
		write_zeroes(&w, 7);
		s->at.part = PART_END;
	}
	*made = s->made;
	return s->at.part != PART_END;
}
