/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading a save: each part of it is a stream of bytes, which saved_read.c
 * takes apart. Streams of the volume index are read twice, because lists can be
 * laid out in memory only when the sizes of all are known; the headers, which
 * are read the first time, are small.
 */
#include "build.h"

#include "index/loader.h"

#include <vdo/error.h>

#include "base/assert.h"

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define LOAD_ROWS(X)							       \
	/* are its chapters those of such an index? Then the page map */       \
	X(L_PAGE_MAP, load_page_map, ON_MAIN)				       \
	/* the records of the open chapter */				       \
	X(L_OPEN_CHAPTER, load_open_chapter, ON_MAIN)			       \
	/* the headers of each stream */				       \
	X(L_HEADERS, load_headers, ON_MAIN)				       \
	/* lay out the lists */						       \
	X(L_ARRANGE, load_arrange, ON_MAIN)				       \
	/* the lists of each stream */					       \
	X(L_LISTS, load_lists, ON_MAIN)					       \
	/* with an error: forget everything */				       \
	X(L_END, load_end, ON_MAIN)

enum { LOAD_ROWS(FLOW_ROW) };
LOAD_ROWS(FLOW_FUNCTION)
FLOW_TABLE(load_table, L_END, LOAD_ROWS);

static struct index_loader *loader_of(struct flow *f)
{
	return container_of(f, struct index_loader, flow);
}

void loader_init(struct index_loader *l, const struct loader_config *c)
{
	VDO_ASSERT(c->queue != NULL);
	*l = (struct index_loader){.c = *c};
	flow_init(&l->flow, &load_table);
	l->flow.queues[ON_MAIN] = c->queue;
}

void loader_start(struct index_loader *l)
{
	VDO_ASSERT(l->c.saves->newest != NO_SAVE);
	flow_start(&l->flow);
}

/* Read a part of the save with @consume, then go on at row @next. */
static int read_part(struct index_loader *l, enum save_part part,
		     stream_consume consume, int next)
{
	struct extent e = layout_save_part(&l->c.media->layout,
					   (unsigned)l->c.saves->newest, part,
					   l->stream, l->reader.stream_count);

	VDO_ASSERT(l->c.saves->newest != NO_SAVE);
	flow_await(&l->flow, &l->c.stream->done, next);
	stream_read(l->c.stream, e, consume, &l->reader);
	return FLOW_WAIT;
}

static int load_page_map(struct flow *f)
{
	struct index_loader *l = loader_of(f);
	const struct index_save *save = index_saves_newest(l->c.saves);

	if (save->newest - save->oldest >= l->c.media->geometry->chapters)
		return flow_fail(f, -VDO_ECORRUPT);
	chapter_range_set(l->c.range, save->oldest, save->newest);
	saved_read_init(&l->reader, l->c.contents,
			l->c.media->layout.volume_nonce, save->newest,
			save->zone_count);
	l->stream = 0;
	saved_read_begin(&l->reader);
	return read_part(l, SAVE_PAGE_MAP, saved_read_page_map,
			 L_OPEN_CHAPTER);
}

static int load_open_chapter(struct flow *f)
{
	struct index_loader *l = loader_of(f);

	VDO_ASSERT(l->stream == 0);
	saved_read_begin(&l->reader);
	return read_part(l, SAVE_OPEN_CHAPTER, saved_read_open_chapter,
			 L_HEADERS);
}

static int load_headers(struct flow *f)
{
	struct index_loader *l = loader_of(f);
	int r;

	VDO_ASSERT(l->stream <= l->reader.stream_count);
	if (l->stream == l->reader.stream_count)
		return L_ARRANGE;
	saved_read_begin_stream(&l->reader, l->stream, false);
	r = read_part(l, SAVE_ZONE, saved_read_stream, L_HEADERS);
	l->stream++;
	return r;
}

static int load_arrange(struct flow *f)
{
	struct index_loader *l = loader_of(f);

	VDO_ASSERT(l->stream == l->reader.stream_count);
	l->stream = 0;
	return flow_next(f, saved_read_arrange(&l->reader), L_LISTS);
}

static int load_lists(struct flow *f)
{
	struct index_loader *l = loader_of(f);
	int r;

	VDO_ASSERT(l->stream <= l->reader.stream_count);
	if (l->stream == l->reader.stream_count)
		return L_END;
	saved_read_begin_stream(&l->reader, l->stream, true);
	r = read_part(l, SAVE_ZONE, saved_read_stream, L_LISTS);
	l->stream++;
	return r;
}

static int load_end(struct flow *f)
{
	struct index_loader *l = loader_of(f);

	VDO_ASSERT(queue_is_current(l->c.queue));
	if (f->result != 0)
		contents_clear(l->c.contents);
	completion_finish(&l->done, f->result);
	return FLOW_END;
}
