/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing pages.
 *
 *	read:   queued --[start]--> at the device --[read_done]--> *_load_done()
 *
 *	write:  DIRTY, queued
 *	          |[write_start]   copy the page, take its hold along
 *	        OUTGOING: flush    D3: what the copy shows is durable
 *	          |[write_synced]
 *	        OUTGOING: write
 *	          |[write_done]    first write of the page: flag on, again from
 *	          |                the flush, which is the barrier of D9
 *	        RESIDENT, or DIRTY if it was changed meanwhile [write_end]
 *
 * The image is a copy, so puts never wait for a write, and the second image of
 * a first write has the content of the first. The barrier between the two is
 * there for leaf and interior pages alike: without it a device that tears and
 * reorders could show the flag on a page of which parts were never written.
 *
 * All pages that become ready while a flush runs share the next one: the
 * durability service sees to that. A failed write leaves the page DIRTY, with
 * its old hold, in no list: the volume is read-only by then, and memory goes
 * on to serve reads.
 *
 * Each zone has a fixed number of page_io; pages wait for one in the order in
 * which they came, reads and writes alike, so neither can starve.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "replay/table.h"

int pageio_init(struct map_zone *z)
{
	list_init(&z->pending);
	z->ios = alloc_zeroed(PAGE_IOS_MAX, sizeof(*z->ios));
	z->io_buffers = alloc_spare(BLOCK_SIZE, PAGE_IOS_MAX, BLOCK_SIZE);
	if (z->ios == NULL || z->io_buffers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < PAGE_IOS_MAX; i++) {
		struct page_io *io = &z->ios[i];

		io->zone = z;
		io->buffer = z->io_buffers + (size_t)i * BLOCK_SIZE;
		io->next_free = z->free_io;
		z->free_io = io;
	}
	return 0;
}

void pageio_fini(struct map_zone *z)
{
	alloc_free(z->io_buffers);
	alloc_free(z->ios);
}

static void write_synced(struct completion *c);

static void request_flush(struct page_io *io)
{
	struct map_zone *z = io->zone;

	VDO_ASSERT(io->page != NULL && io->page->state == PAGE_OUTGOING);
	counter_inc(&z->stats.flush_count);
	completion_init(&io->sync.done, z->queue, write_synced);
	sync_request(z->map->sync, &io->sync);
}

static void write_start(struct map_zone *z, struct page_io *io, struct page *p)
{
	VDO_ASSERT(p->state == PAGE_DIRTY && p->era != 0);
	memcpy(io->buffer, p->bytes, BLOCK_SIZE);
	io->era = p->era;
	io->hold = p->hold;
	p->era = 0;
	p->hold = 0;
	page_set_state(z, p, PAGE_OUTGOING);
	request_flush(io);
}

static void read_done(struct completion *c);

static void read_start(struct map_zone *z, struct page_io *io, struct page *p)
{
	VDO_ASSERT(p->pbn != 0);
	completion_init(&io->mio.done, z->queue, read_done);
	mio_read(&io->mio, z->map->storage, MIO_MAP, p->pbn, 1,
		 p->level == 0 ? p->bytes : io->buffer);
}

static void start_pending(struct map_zone *z)
{
	while (z->free_io != NULL && !list_empty(&z->pending)) {
		struct page *p =
			list_entry(list_pop(&z->pending), struct page, link);
		struct page_io *io = z->free_io;

		z->free_io = io->next_free;
		io->page = p;
		p->queued = false;
		if (p->state == PAGE_INCOMING)
			read_start(z, io, p);
		else
			write_start(z, io, p);
	}
}

static void enqueue(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(!p->queued);
	p->queued = true;
	list_push_back(&z->pending, &p->link);
	gate_enter(&z->gate);
	start_pending(z);
}

static void page_io_release(struct map_zone *z, struct page_io *io)
{
	VDO_ASSERT(io->page != NULL && io->zone == z);
	io->page = NULL;
	io->next_free = z->free_io;
	z->free_io = io;
	start_pending(z);
	gate_leave(&z->gate);
}

void pageio_read(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(!page_loaded(p));
	page_set_state(z, p, PAGE_INCOMING);
	enqueue(z, p);
}

void pageio_write(struct map_zone *z, struct page *p)
{
	VDO_ASSERT(page_loaded(p) && p->era != 0);
	if (p->queued)
		return;
	list_remove(&p->link);
	if (p->state == PAGE_OUTGOING)
		p->again = true;
	else
		enqueue(z, p);
}

bool pageio_is_made(const struct map_zone *z, const struct page *p)
{
	return z->map->overlay != NULL &&
	       replay_table_makes(z->map->overlay, p->pbn);
}

void pageio_overlay(const struct map_zone *z, const struct page *p,
		    uint8_t *bytes)
{
	VDO_ASSERT(p->state == PAGE_INCOMING && p->era == 0);
	if (z->map->overlay != NULL)
		(void)replay_table_apply(z->map->overlay, p->pbn, bytes,
					 p->level > 0 ? REPLAY_INTERIOR
						      : REPLAY_LEAF);
}

int pageio_damaged(struct map_zone *z, const struct page *p,
		   const uint8_t *image)
{
	VDO_ASSERT(p->pbn != 0);
	readonly_enter(z->map->readonly, -VDO_ECORRUPT,
		       "map: page is damaged or of another place, pbn=%llu "
		       "level=%u version=%u.%u found=%llu flag=%u",
		       (unsigned long long)p->pbn, p->level, get_u32(image),
		       get_u32(image + 4),
		       (unsigned long long)get_u64(image + 16), image[32]);
	return -VDO_ECORRUPT;
}

static void read_done(struct completion *c)
{
	struct page_io *io = container_of(c, struct page_io, mio.done);
	struct map_zone *z = io->zone;
	struct page *p = io->page;

	VDO_ASSERT(p != NULL && p->state == PAGE_INCOMING);
	if (c->result != 0)
		readonly_enter(z->map->readonly, c->result,
			       "map: page not read, pbn=%llu level=%u",
			       (unsigned long long)p->pbn, p->level);
	if (p->level == 0)
		leaves_load_done(z, p, c->result);
	else
		tree_load_done(z, p, io->buffer, c->result);
	page_io_release(z, io);
}

static void write_succeeded(struct map_zone *z, struct page_io *io)
{
	struct page *p = io->page;

	VDO_ASSERT(io->era != 0 && mapping_page_initialised(io->buffer));
	mapping_page_set_initialised(p->bytes, true);
	if (io->hold != 0)
		journal_release_map(z->map->journal, io->hold);
	page_set_state(z, p, p->era != 0 ? PAGE_DIRTY : PAGE_RESIDENT);
	counter_inc(&z->stats.pages_saved);
	if (p->again) {
		p->again = false;
		enqueue(z, p);
	}
}

static void write_failed(struct map_zone *z, struct page_io *io, int result)
{
	struct page *p = io->page;

	VDO_ASSERT(result < 0 && io->era != 0);
	counter_inc(&z->stats.failed_writes);
	readonly_enter(z->map->readonly, result,
		       "map: page not written, pbn=%llu level=%u",
		       (unsigned long long)p->pbn, p->level);
	list_remove(&p->link);
	p->again = false;
	p->era = p->era == 0 ? io->era : MIN(p->era, io->era);
	if (p->hold == 0) {
		p->hold = io->hold;
	} else if (io->hold != 0) {
		/* One hold a page, on the older block. */
		journal_release_map(z->map->journal, MAX(p->hold, io->hold));
		p->hold = MIN(p->hold, io->hold);
	}
	page_set_state(z, p, PAGE_DIRTY);
}

static void write_end(struct page_io *io, int result)
{
	struct map_zone *z = io->zone;
	struct page *p = io->page;

	VDO_ASSERT(p->state == PAGE_OUTGOING && !p->queued);
	if (result == 0)
		write_succeeded(z, io);
	else
		write_failed(z, io, result);
	if (p->level == 0)
		leaves_write_done(z, p);
	page_io_release(z, io);
}

static void write_done(struct completion *c)
{
	struct page_io *io = container_of(c, struct page_io, mio.done);

	VDO_ASSERT(io->page->state == PAGE_OUTGOING);
	if (c->result != 0 || mapping_page_initialised(io->buffer)) {
		write_end(io, c->result);
		return;
	}
	mapping_page_set_initialised(io->buffer, true);
	request_flush(io);
}

static void write_synced(struct completion *c)
{
	struct page_io *io = container_of(c, struct page_io, sync.done);
	struct map_zone *z = io->zone;

	VDO_ASSERT(io->page->state == PAGE_OUTGOING);
	if (c->result != 0) {
		write_end(io, c->result);
		return;
	}
	completion_init(&io->mio.done, z->queue, write_done);
	mio_write(&io->mio, z->map->storage, MIO_MAP, io->page->pbn, 1,
		  io->buffer, false);
}
