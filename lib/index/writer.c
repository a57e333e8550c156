/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chapter writer (X 6, 9.2).
 *
 *	all zones handed over
 *	  [start]		first after a load or save: the save is made
 *	    |			unusable, durably
 *	  [encode] * +		some records: noted for the chapter's index
 *	  [encode_page] * +	and, when it is complete, their page
 *	  [write_records]	then flush
 *	  [write_lists] * +	of the chapter's index, some a turn
 *	  [pack_page] *		one index page a turn
 *	  [write_index]		then flush
 *	  [finish]		page map, oldest, newest; tell the zones
 *
 * A chapter exists if all its index pages are there; they are written after all
 * records are durable, so a rebuild never meets a chapter without its records.
 *
 * What is marked + is done on the queues of the zones, a page or some lists on
 * each in turn, so that all threads have the same to do. It is one activity all
 * the same: it goes from queue to queue as a message, and is at one at a time.
 *
 * After an error chapters still pass through here, unwritten, so that nobody
 * waits for ever.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/counter.h"
#include "index/index_priv.h"

/* Steps: records that are encoded, and names in the chapter's index. */
#define STEP_MIN  16u
#define LISTS_MIN 512u
#define LISTS_MAX 4096u

#define SHARE_LISTS 32u /* lists on one zone's queue, before the next's */

static void turn(struct completion *c);
static void encode(struct index *index);
static void begin(struct index *index);

/* Record @i of the chapter, in the order of X 7.3, or NULL: a fill record. */
static const struct index_record *collated(const struct index *index,
					   uint32_t i)
{
	const struct open_chapter *o =
		index->zones[i % index->c.zone_count].writing;
	uint32_t number = 1 + i / index->c.zone_count;

	return number > o->capacity ? NULL : open_chapter_record(o, number);
}

static const struct hash128 *name_of(void *arg, uint32_t record)
{
	return &collated(arg, record)->name;
}

static int init_builder(struct index *index)
{
	struct chapter_builder *b = &index->writer.builder;
	int r = chapter_builder_init(b, &index->geometry);

	b->name_of = name_of;
	b->arg = index;
	return r;
}

int writer_init(struct index *index)
{
	struct chapter_writer *w = &index->writer;
	const struct index_geometry *g = &index->geometry;
	size_t size = (size_t)g->chapter_pages * PAGE_BYTES;

	w->pages = alloc_aligned(BLOCK_SIZE, size, 1);
	w->records = alloc_zeroed(RECORDS_PER_PAGE, sizeof(*w->records));
	w->scratch = alloc_zeroed(RECORDS_PER_PAGE, sizeof(*w->scratch));
	if (w->pages == NULL || w->records == NULL || w->scratch == NULL)
		return -ENOMEM;
	return init_builder(index);
}

void writer_fini(struct index *index)
{
	struct chapter_writer *w = &index->writer;

	chapter_builder_fini(&w->builder);
	alloc_free(w->pages);
	alloc_free(w->records);
	alloc_free(w->scratch);
}

void writer_wait_idle(struct index *index, struct completion *idle)
{
	VDO_ASSERT(index->writer.idle == NULL);
	if (index->writer.handed_over == 0)
		completion_post(idle);
	else
		index->writer.idle = idle;
}

static void announce(struct index *index, const struct index_zone *from)
{
	uint64_t vcn = index->writer.vcn;

	for (unsigned i = 0; i < index->c.zone_count; i++) {
		struct announce *a = &index->zones[i].announces[vcn % 2];

		if (&index->zones[i] == from)
			continue;
		a->vcn = vcn;
		completion_post(&a->go);
	}
}

void writer_handover(struct completion *c)
{
	struct index_zone *z = container_of(c, struct index_zone, handover);
	struct index *index = z->index;
	struct chapter_writer *w = &index->writer;

	if (w->handed_over++ == 0) {
		w->vcn = index->newest;
		announce(index, z);
	}
	if (w->handed_over == index->c.zone_count)
		begin(index);
}

static void go_on(struct index *index, struct queue *queue,
		  void (*then)(struct index *index))
{
	struct chapter_writer *w = &index->writer;

	w->then = then;
	completion_init(&w->step, queue, turn);
	completion_post(&w->step);
}

/* Go on with @then in a turn of its own. */
static void next_turn(struct index *index, void (*then)(struct index *index))
{
	go_on(index, index->c.queue, then);
}

/* The same where it is the turn of share @number of the work. */
static void share_turn(struct index *index, uint32_t number,
		       void (*then)(struct index *index))
{
	go_on(index, index->c.zones[number % index->c.zone_count], then);
}

static void turn(struct completion *c)
{
	struct chapter_writer *w = container_of(c, struct chapter_writer, step);

	w->then(container_of(w, struct index, writer));
}

static void finish(struct index *index)
{
	struct chapter_writer *w = &index->writer;
	struct completion *idle = w->idle;

	counter_add(&index->oldest,
		    geometry_expires(&index->geometry, w->vcn + 1));
	counter_inc(&index->newest);
	w->handed_over = 0;
	w->idle = NULL;
	for (unsigned i = 0; i < index->c.zone_count; i++)
		completion_post(&index->zones[i].written);
	if (idle != NULL)
		completion_post(idle);
}

static void fail(struct index *index, int error)
{
	index_fail(index, error, "cannot write a chapter");
	finish(index);
}

static void index_synced(struct completion *c)
{
	struct chapter_writer *w = container_of(c, struct chapter_writer,
						sync.done);
	struct index *index = container_of(w, struct index, writer);

	if (c->result != 0) {
		fail(index, c->result);
		return;
	}
	counter_inc(&w->chapters_written);
	if (w->lost != 0)
		log_warning(index->c.log,
			    "index: lists too long for a chapter's pages, "
			    "vcn=%llu, lists=%u",
			    (unsigned long long)w->vcn, w->lost);
	finish(index);
}

/* The mio is done: flush, then @then. */
static void flush_after(struct completion *c, completion_fn then)
{
	struct chapter_writer *w = container_of(c, struct chapter_writer,
						mio.done);
	struct index *index = container_of(w, struct index, writer);

	if (c->result != 0) {
		fail(index, c->result);
		return;
	}
	completion_init(&w->sync.done, index->c.queue, then);
	sync_request(index->c.sync, &w->sync);
}

static void index_written(struct completion *c)
{
	flush_after(c, index_synced);
}

/* Write @count pages of the chapter from @page on. */
static void write_pages(struct index *index, uint32_t page, uint32_t count,
			completion_fn then)
{
	struct chapter_writer *w = &index->writer;
	const struct index_geometry *g = &index->geometry;
	uint64_t block = geometry_page_block(g, geometry_physical(g, w->vcn),
					     page);

	completion_init(&w->mio.done, index->c.queue, then);
	mio_write(&w->mio, index->c.storage, index->c.kind,
		  index->volume_block + block, count * PAGE_BLOCKS,
		  w->pages + (size_t)page * PAGE_BYTES, false);
}

static void pack_page(struct index *index)
{
	struct chapter_writer *w = &index->writer;
	uint32_t pages = index->geometry.index_pages;

	w->next_list = chapter_index_pack(
		&w->builder.lists, index->layout.volume_nonce, w->vcn,
		w->next_list, w->page + 1 == pages,
		w->pages + (size_t)w->page * PAGE_BYTES, &w->lost);
	/* Nobody looks the chapter up before it is written. */
	page_map_set(&index->page_map, w->vcn, w->page, w->next_list - 1);
	if (++w->page < pages)
		next_turn(index, pack_page);
	else
		write_pages(index, 0, pages, index_written);
}

static void lists_written(struct index *index)
{
	if (index->writer.result != 0)
		fail(index, index->writer.result);
	else
		pack_page(index);
}

/*
 * Zones that share the thread are to wait for a moment only, so each turn does
 * little; but as much as it takes to have the records encoded when the next
 * chapter is half full, and the lists written when it is three quarters full.
 */
static uint32_t pace(uint32_t done, uint32_t due, uint32_t least, uint32_t most)
{
	return MIN(MAX(due, done + least) - done, most);
}

/* How much of the next chapter is there, in records. */
static uint32_t filled(const struct index *index)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < index->c.zone_count; i++) {
		const struct open_chapter *open = __atomic_load_n(
			&index->zones[i].open, __ATOMIC_RELAXED);

		used = MAX(used, open_chapter_used(open));
	}
	return used * index->c.zone_count;
}

static void write_lists(struct index *index)
{
	struct chapter_builder *b = &index->writer.builder;
	const struct index_geometry *g = &index->geometry;
	uint32_t now = 4 * filled(index);
	uint32_t due = now > 2 * g->records ? now - 2 * g->records : 0;
	uint32_t done = b->next * (g->records / g->lists);
	int r = chapter_builder_go_on(b, pace(done, due, LISTS_MIN, LISTS_MAX));

	index->writer.result = r;
	if (r != 0 || chapter_builder_done(b))
		next_turn(index, lists_written);
	else
		share_turn(index, b->next / SHARE_LISTS, write_lists);
}

static void records_synced(struct completion *c)
{
	struct chapter_writer *w = container_of(c, struct chapter_writer,
						sync.done);
	struct index *index = container_of(w, struct index, writer);

	if (c->result != 0) {
		fail(index, c->result);
		return;
	}
	w->page = 0;
	w->next_list = w->lost = 0;
	share_turn(index, 0, write_lists);
}

static void records_written(struct completion *c)
{
	flush_after(c, records_synced);
}

static void put_record(struct index *index, uint32_t i)
{
	struct chapter_writer *w = &index->writer;
	const struct index_record *r = collated(index, i);

	w->records[i % RECORDS_PER_PAGE] = r != NULL ? *r : *w->fill;
	if (r != NULL)
		chapter_builder_add(&w->builder, i, &r->name);
}

static void write_records(struct index *index)
{
	const struct index_geometry *g = &index->geometry;

	write_pages(index, g->index_pages, g->record_pages, records_written);
}

static void encode_page(struct index *index)
{
	struct chapter_writer *w = &index->writer;
	const struct index_geometry *g = &index->geometry;
	uint32_t page = w->record / RECORDS_PER_PAGE - 1;

	record_page_encode(w->pages +
				   (size_t)(g->index_pages + page) * PAGE_BYTES,
			   w->records, w->scratch);
	if (w->record < g->records)
		share_turn(index, page + 1, encode);
	else
		next_turn(index, write_records);
}

static void encode(struct index *index)
{
	struct chapter_writer *w = &index->writer;
	uint32_t page = w->record / RECORDS_PER_PAGE;
	uint32_t page_end = (page + 1) * RECORDS_PER_PAGE;
	uint32_t end = w->record + pace(w->record, 2 * filled(index), STEP_MIN,
					page_end - w->record);

	while (w->record < end)
		put_record(index, w->record++);
	share_turn(index, page, end == page_end ? encode_page : encode);
}

static void start(struct index *index)
{
	struct chapter_writer *w = &index->writer;

	for (unsigned i = index->c.zone_count; i-- > 0;) {
		const struct open_chapter *o = index->zones[i].writing;

		if (open_chapter_full(o))
			w->fill = &o->records[o->capacity - 1];
	}
	chapter_builder_clear(&w->builder);
	w->record = 0;
	share_turn(index, 0, encode);
}

static void discarded(struct index *index, int result)
{
	if (result != 0)
		fail(index, result);
	else
		start(index);
}

static void begin(struct index *index)
{
	if (index_error(index) != 0)
		finish(index);
	else if (index->save_slot >= 0)
		index_discard_save(index, discarded);
	else
		start(index);
}
