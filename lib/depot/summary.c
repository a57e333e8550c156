/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The zone's copy of the slab summary.
 *
 *	[summary_update]   [begin]           [sync_done]      [write_done]
 *	waiting ----------> covered, synced --> covered, written --> told
 *
 * The image is taken before the sync: an update that comes later may refer to
 * a journal block that the sync does not cover (D5). One write of a block is
 * under way at a time; what is changed meanwhile goes with the next.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include "base/alloc.h"

int summary_init(struct depot_zone *z)
{
	struct summary *m = &z->summary;

	m->entries = alloc_zeroed(1, SUMMARY_ZONE_BYTES);
	m->out = alloc_aligned(BLOCK_SIZE, 1, SUMMARY_ZONE_BYTES);
	if (m->entries == NULL || m->out == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < SUMMARY_ZONE_BLOCKS; i++) {
		struct summary_block *b = &m->blocks[i];

		b->zone = z;
		b->index = i;
		b->out = m->out + i * BLOCK_SIZE;
		waitq_init(&b->waiting);
		waitq_init(&b->covered);
	}
	return 0;
}

void summary_fini(struct depot_zone *z)
{
	alloc_free(z->summary.entries);
	alloc_free(z->summary.out);
}

struct summary_entry summary_get(const struct slab *s)
{
	VDO_CHECK(s->number < s->zone->depot->geo.slab_count);
	return slab_summary_decode(s->zone->summary.entries +
				   s->number * SUMMARY_ENTRY_SIZE);
}

unsigned summary_write_number(const struct slab *s)
{
	return s->zone->summary.blocks[s->number / SUMMARY_PER_BLOCK]
		.write_number;
}

static void sync_done(struct completion *c);
static void write_done(struct completion *c);

static void begin(struct summary_block *b)
{
	struct depot_zone *z = b->zone;

	VDO_ASSERT(!b->writing && waitq_empty(&b->covered));
	b->writing = true;
	b->write_number++;
	zone_enter(z);
	waitq_splice(&b->covered, &b->waiting);
	memcpy(b->out, z->summary.entries + b->index * BLOCK_SIZE, BLOCK_SIZE);
	completion_init(&b->sync.done, z->queue, sync_done);
	sync_request(z->depot->sync, &b->sync);
}

static void end_write(struct summary_block *b, int result)
{
	struct depot_zone *z = b->zone;
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(b->writing);
	if (result != 0)
		readonly_enter(z->depot->readonly, result,
			       "depot: slab summary not written, zone=%u",
			       z->number);
	waitq_take_all(&b->covered, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct summary_op *op =
			container_of(w, struct summary_op, link);

		op->fn(op, result);
	}
	b->writing = false;
	if (!waitq_empty(&b->waiting))
		begin(b);
	zone_leave(z);
}

static void sync_done(struct completion *c)
{
	struct summary_block *b =
		container_of(c, struct summary_block, sync.done);
	struct depot *d = b->zone->depot;
	pbn_t pbn = d->summary_start + b->zone->number * SUMMARY_ZONE_BLOCKS +
		    b->index;

	VDO_ASSERT(b->writing && b->index < SUMMARY_ZONE_BLOCKS);
	if (c->result != 0) {
		end_write(b, c->result);
		return;
	}
	counter_inc(&b->zone->stats.summary_blocks_written);
	completion_init(&b->mio.done, b->zone->queue, write_done);
	mio_write(&b->mio, d->storage, MIO_SLAB, pbn, 1, b->out, false);
}

static void write_done(struct completion *c)
{
	end_write(container_of(c, struct summary_block, mio.done), c->result);
}

void summary_update(struct slab *s, struct summary_entry e,
		    struct summary_op *op)
{
	struct depot_zone *z = s->zone;
	struct summary_block *b =
		&z->summary.blocks[s->number / SUMMARY_PER_BLOCK];

	VDO_ASSERT(op->fn != NULL);
	/* What is provisional is free on disk, and after a crash. */
	e.hint = slab_summary_hint(z->depot->geo.slab_shift,
				   s->free_count + s->provisional);
	slab_summary_encode(z->summary.entries + s->number * SUMMARY_ENTRY_SIZE,
			    e);
	waitq_push(&b->waiting, &op->link);
	if (!b->writing)
		begin(b);
}
