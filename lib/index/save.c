/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving (X 3.7): into the slot of the older save, in steps that are durable
 * before the next begins.
 *
 *	unsaved header
 *	open chapter		[make_records]
 *	volume index		[make_volume], a stream for each zone
 *	page map		[make_page_map]
 *	saved header
 *
 * While this goes on the other slot is what a crash would find: the newest
 * save, if no chapter was closed since, or nothing.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "index/index_priv.h"
#include "index_format/saved.h"

static void synced_step(struct index *index, int result);

/* The slot to write: the one with the older save, or without. */
static unsigned slot_to_use(const struct index *index)
{
	return index->saves[1].timestamp < index->saves[0].timestamp ? 1 : 0;
}

/* Put as many whole items as there is room for. */
static bool room_for(const struct saver *s, size_t n)
{
	return s->room - s->made >= n;
}

static struct writer writer_at(struct saver *s, size_t n)
{
	struct writer w = {s->p + s->made};

	s->made += n;
	return w;
}

static int make_records(void *arg, uint8_t *p, size_t room, size_t *made)
{
	struct index *index = arg;
	struct saver *s = &index->saver;
	const struct index_geometry *g = &index->geometry;
	unsigned zones = index->c.zone_count;
	struct writer w;

	*s = (struct saver){.p = p, .room = room, .item = s->item};
	if (s->item == 0) {
		uint32_t count = 0;

		for (unsigned i = 0; i < zones; i++)
			count += index->zones[i].open->used -
				 index->zones[i].open->deleted_count;
		w = writer_at(s, 14);
		write_bytes(&w, OPEN_CHAPTER_MAGIC, 10);
		write_u32(&w, count);
	}
	for (; s->item < g->records && room_for(s, RECORD_BYTES); s->item++) {
		const struct open_chapter *o =
			index->zones[s->item % zones].open;
		uint32_t number = 1 + (uint32_t)s->item / zones;
		const struct index_record *r =
			number > o->capacity ? NULL
					     : open_chapter_record(o, number);

		if (r == NULL)
			continue;
		w = writer_at(s, RECORD_BYTES);
		write_bytes(&w, r, RECORD_BYTES);
	}
	*made = s->made;
	return s->item < g->records;
}

static int make_page_map(void *arg, uint8_t *p, size_t room, size_t *made)
{
	struct index *index = arg;
	struct saver *s = &index->saver;
	const struct page_map *m = &index->page_map;
	uint64_t entries = (uint64_t)index->geometry.chapters *
			   (index->geometry.index_pages - 1);
	struct writer w;

	*s = (struct saver){.p = p, .room = room, .item = s->item};
	if (s->item == 0) {
		w = writer_at(s, 16);
		write_bytes(&w, PAGE_MAP_MAGIC, 8);
		write_u64(&w, m->last_update);
	}
	for (; s->item < entries && room_for(s, 2); s->item++) {
		w = writer_at(s, 2);
		write_u16(&w, m->last_lists[s->item]);
	}
	*made = s->made;
	return s->item < entries;
}

static void put_sub_header(struct index *index, const struct sub_zone *sub,
			   struct writer *w)
{
	write_bytes(w, SUB_INDEX_MAGIC, 8);
	write_u64(w, index->layout.volume_nonce);
	write_u64(w, sub->low);
	write_u64(w, sub->high);
	write_u32(w, sub->first_list);
	write_u32(w, sub->lists.list_count);
}

static void put_delta_header(struct index *index, const struct sub_zone *sub,
			     struct writer *w)
{
	write_bytes(w, DELTA_MAGIC, 8);
	write_u32(w, index->at);
	write_u32(w, index->c.zone_count);
	write_u32(w, sub->first_list);
	write_u32(w, sub->lists.list_count);
	write_u64(w, sub->lists.record_count);
	write_u64(w, sub->lists.collision_count);
}

/* The items of one part; true when it is through. */
static bool make_part(struct index *index, struct saver *s,
		      const struct sub_zone *sub)
{
	const struct delta_lists *d = &sub->lists;
	struct writer w;

	if (s->part == PART_SUB_HEADER || s->part == PART_DELTA_HEADER) {
		if (!room_for(s, 40))
			return false;
		w = writer_at(s, 40);
		if (s->part == PART_SUB_HEADER)
			put_sub_header(index, sub, &w);
		else
			put_delta_header(index, sub, &w);
		return true;
	}
	for (; s->item < d->list_count; s->item++) {
		uint32_t list = (uint32_t)s->item;
		uint32_t bits = delta_list_bits(d, list);
		uint32_t bytes = (bits + 7) / 8;

		if (!room_for(s, LIST_HEADER + LIST_BYTES_MAX))
			return false;
		if (s->part == PART_FLUSH) {
			w = writer_at(s, 8);
			write_u64(&w, d->heads[list].tag);
		} else if (s->part == PART_SIZES) {
			w = writer_at(s, 2);
			write_u16(&w, (uint16_t)bits);
		} else if (bits != 0) {
			w = writer_at(s, LIST_HEADER + bytes);
			write_u8(&w, saved_tag(&index->geometry, s->sub));
			write_u8(&w, 0);
			write_u16(&w, (uint16_t)bytes);
			write_u32(&w, sub->first_list + list);
			write_bytes(&w, delta_list_data(d, list), bytes);
		}
	}
	return true;
}

static int make_volume(void *arg, uint8_t *p, size_t room, size_t *made)
{
	struct index *index = arg;
	struct saver *s = &index->saver;
	struct index_zone *z = &index->zones[index->at];
	struct writer w;

	s->p = p;
	s->room = room;
	s->made = 0;
	if (s->part == PART_START && index->geometry.sparse) {
		w = writer_at(s, 12);
		write_bytes(&w, SPARSE_MAGIC, 8);
		write_u32(&w, SPARSE_SAMPLE_RATE);
	}
	if (s->part == PART_START)
		saver_next(s, &index->geometry);
	while (s->part != PART_GUARD &&
	       make_part(index, s, &z->volume.subs[s->sub]))
		saver_next(s, &index->geometry);
	if (s->part == PART_GUARD && room_for(s, 8)) {
		w = writer_at(s, 8);
		write_u8(&w, GUARD_TAG);
		write_zeroes(&w, 7);
		s->part = PART_END;
	}
	*made = s->made;
	return s->part != PART_END;
}

static void stream_synced(void *ctx, int result)
{
	struct index *index = ctx;

	if (result != 0)
		synced_step(index, result);
	else
		index_sync(index, synced_step);
}

static void write_part(struct index *index, enum save_part part, unsigned zone,
		       stream_produce produce)
{
	struct extent e = layout_save_part(&index->layout, index->saver_slot,
					   part, zone, index->c.zone_count);

	index->saver = (struct saver){.part = PART_START};
	stream_write(&index->stream, e.start, e.blocks, produce, index,
		     stream_synced, index);
}

static void write_header(struct index *index, bool saved)
{
	unsigned slot = index->saver_slot;
	struct index_save *save = &index->saves[slot];
	struct extent e = layout_save_part(&index->layout, slot, SAVE_HEADER, 0,
					   index->c.zone_count);

	*save = (struct index_save){0};
	if (saved) {
		uint64_t now = index->c.wall_ms == NULL
				       ? 0
				       : index->c.wall_ms(index->c.wall_arg);

		*save = (struct index_save){
			/* Newer than the other, whatever the clock says. */
			.timestamp = MAX(now, index->saves[slot ^ 1].timestamp +
						      1),
			.newest = index->newest,
			.oldest = index->oldest,
			.last_save = index->newest - 1, /* or NO_LAST_SAVE */
			.zone_count = index->c.zone_count,
		};
	}
	save_encode(&index->layout, slot, save, index->block);
	index_write_block(index, e.start, synced_step);
}

static void finish(struct index *index, int result)
{
	index_then then = index->outer;

	if (result == 0)
		index->save_slot = (int)index->saver_slot;
	else
		index->saves[index->saver_slot] = (struct index_save){0};
	then(index, result);
}

/* The step before is durable: begin the next. */
static void synced_step(struct index *index, int result)
{
	unsigned step = index->saver_step;

	if (result != 0) {
		finish(index, result);
		return;
	}
	if (step != SAVER_VOLUME || ++index->at == index->c.zone_count)
		index->saver_step = ++step;
	switch (step) {
	case SAVER_RECORDS:
		write_part(index, SAVE_OPEN_CHAPTER, 0, make_records);
		break;
	case SAVER_VOLUME:
		write_part(index, SAVE_ZONE, index->at, make_volume);
		break;
	case SAVER_PAGE_MAP:
		write_part(index, SAVE_PAGE_MAP, 0, make_page_map);
		break;
	case SAVER_SAVED:
		write_header(index, true);
		break;
	default:
		finish(index, 0);
		break;
	}
}

void index_save(struct index *index, index_then then)
{
	index->outer = then;
	index->saver_slot = slot_to_use(index);
	index->saver_step = SAVER_UNSAVED;
	index->at = 0;
	write_header(index, false);
}

static void save_discarded(struct index *index, int result)
{
	/* Its time stays: the next save must go to the other slot, so that
	 * this one keeps that from being taken for the newest. */
	if (result == 0)
		index->save_slot = -1;
	index->outer(index, result);
}

static struct extent open_chapter_extent(const struct index *index)
{
	unsigned slot = (unsigned)index->save_slot;

	VDO_ASSERT(index->save_slot >= 0);
	return layout_save_part(&index->layout, slot, SAVE_OPEN_CHAPTER, 0,
				index->saves[slot].zone_count);
}

/*
 * Only the first sector is made zero. Should the write be torn, the save is
 * either without its magic or as it was; never with half of its records.
 */
static void discard_read(struct index *index, int result)
{
	if (result != 0) {
		save_discarded(index, result);
		return;
	}
	memset(index->block, 0, SECTOR_SIZE);
	index_write_block(index, open_chapter_extent(index).start,
			  save_discarded);
}

void index_discard_save(struct index *index, index_then then)
{
	index->outer = then;
	index_read_block(index, open_chapter_extent(index).start,
			 discard_read);
}
