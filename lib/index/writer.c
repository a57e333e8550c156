/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a chapter.
 *
 * Encoding a chapter of 65,536 records takes milliseconds, for which all
 * requests would wait if it were done at once. So it is cut into turns, each a
 * message of its own: a page or some lists on the queue of each zone in turn,
 * so that all threads have the same to do. It is one activity all the same, and
 * at one place at a time.
 */
#include "build.h"

#include "index/writer.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/counter.h"
#include "index_format/record_page.h"

/* Turns: records that are encoded, and names in the chapter's index. */
#define STEP_MIN  16u
#define LISTS_MIN 512u
#define LISTS_MAX 4096u

#define SHARE_LISTS 32u /* lists on one zone's queue, before the next's */

/* ON_ZONES is the queue of the zone whose turn it is. */
enum { ON_MAIN = 1, ON_ZONES };

/* Row, function, where it runs; what it does. */
#define WRITER_ROWS(X)							       \
	/* the first after a save: the save cannot be used any more */	       \
	X(W_DISCARD, writer_discard, ON_MAIN)				       \
	/* choose the record that fills up the chapter */		       \
	X(W_BEGIN, writer_begin, ON_MAIN)				       \
	/* some records: noted for the chapter's index */		       \
	X(W_RECORDS, writer_records, ON_ZONES)				       \
	/* a page of them is complete: encode it */			       \
	X(W_RECORD_PAGE, writer_record_page, ON_ZONES)			       \
	/* write all record pages, durably */				       \
	X(W_STORE_RECORDS, writer_store_records, ON_MAIN)		       \
	/* some lists of the chapter's index */				       \
	X(W_LISTS, writer_lists, ON_ZONES)				       \
	/* an index page; its lists go into the page map */		       \
	X(W_INDEX_PAGE, writer_index_page, ON_MAIN)			       \
	/* write all index pages, durably */				       \
	X(W_STORE_INDEX, writer_store_index, ON_MAIN)			       \
	/* count it */							       \
	X(W_WRITTEN, writer_written, ON_MAIN)				       \
	/* the next chapter is open; tell the zones */			       \
	X(W_END, writer_end, ON_MAIN)

enum { WRITER_ROWS(FLOW_ROW) };
WRITER_ROWS(FLOW_FUNCTION)
FLOW_TABLE(writer_table, W_END, WRITER_ROWS);

static struct chapter_writer *writer_of(struct flow *f)
{
	return container_of(f, struct chapter_writer, flow);
}

static const struct index_geometry *geometry(const struct chapter_writer *w)
{
	return w->c.media->geometry;
}

static void handover_arrived(struct completion *c);

/* --------------------------------------------------------------------- life */

/* Record @i of the chapter, in the order of X 7.3, or NULL: a fill record. */
static const struct index_record *collated(const struct chapter_writer *w,
					   uint32_t i)
{
	const struct open_chapter *o =
		w->sources[i % w->c.zone_count]->full;
	uint32_t number = 1 + i / w->c.zone_count;

	VDO_CHECK(i < geometry(w)->records);
	return number > o->capacity ? NULL : open_chapter_record(o, number);
}

static const struct hash128 *name_of(void *arg, uint32_t record)
{
	return &collated(arg, record)->name;
}

int writer_init(struct chapter_writer *w, const struct writer_config *c)
{
	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= INDEX_ZONES_MAX);
	*w = (struct chapter_writer){.c = *c};
	flow_init(&w->flow, &writer_table);
	w->flow.queues[ON_MAIN] = c->queue;
	w->flow.queues[ON_ZONES] = c->zones[0];
	w->records = alloc_spare(CACHE_LINE, RECORDS_PER_PAGE, sizeof(*w->records));
	w->scratch = alloc_spare(CACHE_LINE, RECORDS_PER_PAGE, sizeof(*w->scratch));
	if (w->records == NULL || w->scratch == NULL)
		return -ENOMEM;
	return chapter_builder_init(&w->builder, c->media->geometry, name_of,
				    w);
}

void writer_fini(struct chapter_writer *w)
{
	chapter_builder_fini(&w->builder);
	alloc_free(w->records);
	alloc_free(w->scratch);
}

void writer_add_source(struct chapter_writer *w, struct chapter_source *s,
		       unsigned zone)
{
	VDO_ASSERT(zone < w->c.zone_count && w->sources[zone] == NULL);
	s->writer = w;
	completion_init(&s->handover, w->c.queue, handover_arrived);
	w->sources[zone] = s;
}

void writer_wait_idle(struct chapter_writer *w, struct completion *idle)
{
	VDO_ASSERT(queue_is_current(w->c.queue) && w->idle == NULL);
	if (w->handed_over == 0)
		completion_post(idle);
	else
		w->idle = idle;
}

/* ------------------------------------------------------------- handing over */

void writer_hand_over(struct chapter_source *s,
		      const struct open_chapter *full,
		      const struct open_chapter *next)
{
	VDO_ASSERT(s->writer != NULL);
	VDO_ASSERT(full != next && open_chapter_used(next) == 0);
	s->full = full;
	atomic_store_explicit(&s->filling, next, memory_order_relaxed);
	completion_post(&s->handover);
}

/* All zones but that of @from are to hand over, however full they are. */
static void announce(struct chapter_writer *w,
		     const struct chapter_source *from)
{
	VDO_ASSERT(w->handed_over == 1);
	for (unsigned i = 0; i < w->c.zone_count; i++) {
		struct chapter_announce *a =
			&w->sources[i]->announces[w->vcn % 2];

		if (w->sources[i] == from)
			continue;
		a->vcn = w->vcn;
		completion_post(&a->go);
	}
}

static void handover_arrived(struct completion *c)
{
	struct chapter_source *s =
		container_of(c, struct chapter_source, handover);
	struct chapter_writer *w = s->writer;

	VDO_ASSERT(w->handed_over < w->c.zone_count);
	if (w->handed_over++ == 0) {
		w->vcn = w->c.range->newest;
		announce(w, s);
	}
	if (w->handed_over == w->c.zone_count)
		flow_start(&w->flow);
}

/* -------------------------------------------------------------------- turns */

/*
 * Zones that share the thread are to wait for a moment only, so each turn does
 * little; but as much as it takes to have the records encoded when the next
 * chapter is half full, and the lists written when it is three quarters full.
 */
static uint32_t pace(uint32_t done, uint32_t due, uint32_t least, uint32_t most)
{
	VDO_ASSERT(least > 0);
	return MIN(MAX(due, done + least) - done, most);
}

/* How much of the next chapter is there, in records. */
static uint32_t filled(const struct chapter_writer *w)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < w->c.zone_count; i++) {
		const struct open_chapter *open = atomic_load_explicit(
			&w->sources[i]->filling, memory_order_relaxed);

		used = MAX(used, open_chapter_used(open));
	}
	return used * w->c.zone_count;
}

/* Rows on the zones run from now on where it is the turn of share @number. */
static void give_turn(struct chapter_writer *w, uint32_t number)
{
	VDO_ASSERT(w->handed_over == w->c.zone_count);
	w->flow.queues[ON_ZONES] = w->c.zones[number % w->c.zone_count];
}

/* It is the turn of share @number, with row @next. */
static int share_turn(struct chapter_writer *w, uint32_t number, int next)
{
	give_turn(w, number);
	return flow_turn(&w->flow, next);
}

/* --------------------------------------------------------------------- rows */

static int writer_discard(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);

	VDO_ASSERT(w->handed_over == w->c.zone_count);
	if (index_failure_get(w->c.failure) != 0)
		return W_END;
	flow_await(f, &w->c.saver->done, W_BEGIN);
	if (!saver_discard(w->c.saver))
		return FLOW_WAIT;
	return flow_over(f, &w->c.saver->done, true);
}

static int writer_begin(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);

	w->fill = NULL;
	for (unsigned i = w->c.zone_count; i-- > 0;) {
		const struct open_chapter *o = w->sources[i]->full;

		if (open_chapter_full(o))
			w->fill = &o->records[o->capacity - 1];
	}
	VDO_ASSERT(w->fill != NULL); /* or who handed over first? */
	chapter_builder_clear(&w->builder);
	w->record = 0;
	return share_turn(w, 0, W_RECORDS);
}

static void put_record(struct chapter_writer *w, uint32_t i)
{
	const struct index_record *r = collated(w, i);

	VDO_CHECK(i == w->record - 1);
	w->records[i % RECORDS_PER_PAGE] = r != NULL ? *r : *w->fill;
	if (r != NULL)
		chapter_builder_add(&w->builder, i, &r->name);
}

static int writer_records(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	uint32_t page = w->record / RECORDS_PER_PAGE;
	uint32_t page_end = (page + 1) * RECORDS_PER_PAGE;
	uint32_t end = w->record + pace(w->record, 2 * filled(w), STEP_MIN,
					page_end - w->record);

	VDO_ASSERT(page < geometry(w)->record_pages);
	while (w->record < end)
		put_record(w, w->record++);
	return share_turn(w, page, end == page_end ? W_RECORD_PAGE : W_RECORDS);
}

static int writer_record_page(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	const struct index_geometry *g = geometry(w);
	uint32_t page = w->record / RECORDS_PER_PAGE - 1;

	VDO_ASSERT(w->record % RECORDS_PER_PAGE == 0);
	record_page_encode(w->c.pages +
				   (size_t)(g->index_pages + page) * PAGE_BYTES,
			   w->records, w->scratch);
	if (w->record < g->records)
		return share_turn(w, page + 1, W_RECORDS);
	return flow_turn(f, W_STORE_RECORDS);
}

/* Write @count pages of the chapter from @page on, then go on at row @next. */
static int store_pages(struct chapter_writer *w, uint32_t page, uint32_t count,
		       int next)
{
	const struct index_media *m = w->c.media;

	VDO_ASSERT(page + count <= geometry(w)->chapter_pages);
	flow_await(&w->flow, &w->io.done, next);
	media_store(m, &w->io, media_page_block(m, w->vcn, page),
		    (uint64_t)count * PAGE_BLOCKS,
		    w->c.pages + (size_t)page * PAGE_BYTES);
	return FLOW_WAIT;
}

static int writer_store_records(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	const struct index_geometry *g = geometry(w);

	VDO_ASSERT(w->record == g->records);
	w->page = w->next_list = w->lost = 0;
	give_turn(w, 0);
	return store_pages(w, g->index_pages, g->record_pages, W_LISTS);
}

static int writer_lists(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	struct chapter_builder *b = &w->builder;
	const struct index_geometry *g = geometry(w);
	uint32_t now = 4 * filled(w);
	uint32_t due = now > 2 * g->records ? now - 2 * g->records : 0;
	uint32_t done = b->next * (g->records / g->lists);
	int r = chapter_builder_go_on(b, pace(done, due, LISTS_MIN, LISTS_MAX));

	VDO_ASSERT(w->record == g->records);
	if (r != 0)
		return flow_fail(f, r);
	if (chapter_builder_done(b))
		return flow_turn(f, W_INDEX_PAGE);
	return share_turn(w, b->next / SHARE_LISTS, W_LISTS);
}

static int writer_index_page(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	uint32_t pages = geometry(w)->index_pages;

	VDO_ASSERT(w->page < pages);
	w->next_list = chapter_index_pack(
		&w->builder.lists, w->c.media->layout.volume_nonce, w->vcn,
		w->next_list, w->page + 1 == pages,
		w->c.pages + (size_t)w->page * PAGE_BYTES, &w->lost);
	/* Nobody looks the chapter up before it is written. */
	page_map_set(w->c.page_map, w->vcn, w->page, w->next_list - 1);
	if (++w->page < pages)
		return flow_turn(f, W_INDEX_PAGE);
	VDO_ASSERT(w->next_list == geometry(w)->lists);
	return W_STORE_INDEX;
}

static int writer_store_index(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);

	VDO_ASSERT(w->page == geometry(w)->index_pages);
	return store_pages(w, 0, geometry(w)->index_pages, W_WRITTEN);
}

static int writer_written(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);

	VDO_ASSERT(w->io.done.result == 0);
	counter_inc(&w->chapters_written);
	if (w->lost != 0)
		log_warning(w->c.media->log,
			    "index: lists too long for a chapter's pages, "
			    "vcn=%llu, lists=%u",
			    (unsigned long long)w->vcn, w->lost);
	return W_END;
}

static int writer_end(struct flow *f)
{
	struct chapter_writer *w = writer_of(f);
	struct completion *idle = w->idle;

	VDO_ASSERT(w->vcn == w->c.range->newest);
	if (f->result != 0)
		index_failure_note(w->c.failure, f->result,
				   "cannot write a chapter");
	chapter_range_advance(w->c.range, geometry(w));
	w->handed_over = 0;
	w->idle = NULL;
	for (unsigned i = 0; i < w->c.zone_count; i++)
		completion_post(&w->sources[i]->written);
	if (idle != NULL)
		completion_post(idle);
	return FLOW_END;
}
