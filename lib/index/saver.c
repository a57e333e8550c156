/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving: into the slot of the older save, in rows each of which is durable
 * before the next begins. First its header says that there is none, at last
 * that it is complete. All the while the other slot is what a crash finds: the
 * newest save, if no chapter was closed since, or nothing.
 *
 * Discarding: a save can be loaded only as long as no chapter was closed after
 * it. Its open chapter's magic goes, in one sector: if that write is torn, the
 * save is either without its magic or as it was, never with half of its
 * records.
 */
#include "build.h"

#include "index/saver.h"

#include <string.h>

#include "base/assert.h"

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define SAVE_ROWS(X)							       \
	/* choose the slot; its header says: no save */			       \
	X(S_UNSAVED, save_unsaved, ON_MAIN)				       \
	/* the records of the open chapter */				       \
	X(S_OPEN_CHAPTER, save_open_chapter, ON_MAIN)			       \
	/* the volume index, a stream for each zone */			       \
	X(S_STREAMS, save_streams, ON_MAIN)				       \
	X(S_PAGE_MAP, save_page_map, ON_MAIN)				       \
	/* the header says: a save */					       \
	X(S_SAVED, save_saved, ON_MAIN)					       \
	/* it is the newest, or the slot has none */			       \
	X(S_END, save_end, ON_MAIN)

#define DISCARD_ROWS(X)							       \
	/* the first block of its open chapter */			       \
	X(D_READ, discard_read, ON_MAIN)				       \
	/* write it without its first sector */				       \
	X(D_WIPE, discard_wipe, ON_MAIN)				       \
	/* there is no save to be used */				       \
	X(D_END, discard_end, ON_MAIN)

enum { SAVE_ROWS(FLOW_ROW) };
SAVE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(save_table, S_END, SAVE_ROWS);

enum { DISCARD_ROWS(FLOW_ROW) };
DISCARD_ROWS(FLOW_FUNCTION)
FLOW_TABLE(discard_table, D_END, DISCARD_ROWS);

static struct index_saver *saver_of(struct flow *f)
{
	return container_of(f, struct index_saver, flow);
}

void saver_init(struct index_saver *s, const struct saver_config *c)
{
	VDO_ASSERT(c->queue != NULL);
	*s = (struct index_saver){.c = *c};
	flow_init(&s->flow, &save_table);
	s->flow.queues[ON_MAIN] = c->queue;
}

/* ------------------------------------------------------------------- saving */

void saver_save(struct index_saver *s)
{
	s->slot = index_saves_older(s->c.saves);
	VDO_ASSERT((int)s->slot != s->c.saves->newest);
	flow_set_table(&s->flow, &save_table);
	flow_start(&s->flow);
}

static struct index_save *save_at_hand(struct index_saver *s)
{
	return &s->c.saves->slots[s->slot];
}

static struct extent extent_of(const struct index_saver *s,
			       enum save_part part, unsigned zone)
{
	VDO_ASSERT(s->slot < SAVES);
	return layout_save_part(&s->c.media->layout, s->slot, part, zone,
				s->c.contents->zone_count);
}

static int write_header(struct index_saver *s, int next)
{
	struct extent e = extent_of(s, SAVE_HEADER, 0);

	VDO_ASSERT((int)s->slot != s->c.saves->newest);
	index_save_encode(&s->c.media->layout, s->slot, save_at_hand(s),
			  s->c.media->block);
	flow_await(&s->flow, &s->io.done, next);
	media_store(s->c.media, &s->io, e.start, 1, s->c.media->block);
	return FLOW_WAIT;
}

static int write_part(struct index_saver *s, enum save_part part, unsigned zone,
		      stream_produce produce, int next)
{
	VDO_ASSERT(zone < s->c.contents->zone_count);
	saved_write_begin(&s->writer, s->c.contents,
			  s->c.media->layout.volume_nonce, zone);
	flow_await(&s->flow, &s->c.stream->done, next);
	stream_write(s->c.stream, extent_of(s, part, zone), produce,
		     &s->writer);
	return FLOW_WAIT;
}

static int save_unsaved(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT((int)s->slot != s->c.saves->newest);
	*save_at_hand(s) = (struct index_save){0};
	s->zone = 0;
	return write_header(s, S_OPEN_CHAPTER);
}

static int save_open_chapter(struct flow *f)
{
	return write_part(saver_of(f), SAVE_OPEN_CHAPTER, 0,
			  saved_write_open_chapter, S_STREAMS);
}

static int save_streams(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT(s->zone <= s->c.contents->zone_count);
	if (s->zone == s->c.contents->zone_count)
		return S_PAGE_MAP;
	s->zone++;
	return write_part(s, SAVE_ZONE, s->zone - 1, saved_write_stream,
			  S_STREAMS);
}

static int save_page_map(struct flow *f)
{
	return write_part(saver_of(f), SAVE_PAGE_MAP, 0, saved_write_page_map,
			  S_SAVED);
}

static int save_saved(struct flow *f)
{
	struct index_saver *s = saver_of(f);
	const struct index_save *other = &s->c.saves->slots[s->slot ^ 1];
	uint64_t now = s->c.wall_ms == NULL ? 0
					    : s->c.wall_ms(s->c.wall_arg);

	VDO_ASSERT(s->zone == s->c.contents->zone_count);
	VDO_ASSERT(s->c.range->oldest <= s->c.range->newest);
	*save_at_hand(s) = (struct index_save){
		/* Newer than the other, whatever the clock says. */
		.timestamp = MAX(now, other->timestamp + 1),
		.newest = s->c.range->newest,
		.oldest = s->c.range->oldest,
		.last_save = s->c.range->newest - 1, /* or NO_LAST_SAVE */
		.zone_count = s->c.contents->zone_count,
	};
	return write_header(s, S_END);
}

static int save_end(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT(queue_is_current(s->c.queue));
	if (f->result == 0)
		s->c.saves->newest = (int)s->slot;
	else
		*save_at_hand(s) = (struct index_save){0};
	completion_finish(&s->done, f->result);
	return FLOW_END;
}

/* --------------------------------------------------------------- discarding */

bool saver_discard(struct index_saver *s)
{
	VDO_ASSERT(queue_is_current(s->c.queue));
	if (s->c.saves->newest == NO_SAVE)
		return true;
	flow_set_table(&s->flow, &discard_table);
	flow_start(&s->flow);
	return false;
}

static uint64_t open_chapter_block(const struct index_saver *s)
{
	const struct index_saves *saves = s->c.saves;
	const struct index_save *save = index_saves_newest(saves);

	return layout_save_part(&s->c.media->layout, (unsigned)saves->newest,
				SAVE_OPEN_CHAPTER, 0, save->zone_count)
		.start;
}

static int discard_read(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT(s->c.saves->newest != NO_SAVE);
	flow_await(f, &s->io.done, D_WIPE);
	media_read(s->c.media, &s->io, open_chapter_block(s), 1,
		   s->c.media->block);
	return FLOW_WAIT;
}

static int discard_wipe(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT(s->io.done.result == 0);
	memset(s->c.media->block, 0, SECTOR_SIZE);
	flow_await(f, &s->io.done, D_END);
	media_store(s->c.media, &s->io, open_chapter_block(s), 1,
		    s->c.media->block);
	return FLOW_WAIT;
}

static int discard_end(struct flow *f)
{
	struct index_saver *s = saver_of(f);

	VDO_ASSERT(s->c.saves->newest != NO_SAVE);
	/* Its time stays: the next save then goes to the other slot, and this
	 * one keeps that from being taken for the newest. */
	if (f->result == 0)
		s->c.saves->newest = NO_SAVE;
	completion_finish(&s->done, f->result);
	return FLOW_END;
}
