/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a volume read-only that was not closed: its recovery journal is read,
 * and the mappings in it are kept in memory, where the block map applies them to
 * each page that it reads. So reads find what replaying the journal would make,
 * and nothing is written.
 *
 * An entry takes 16 bytes, and a block has 217 of them at most: 114 MB for a
 * full journal of the default size.
 *
 * A damaged journal is no reason to show nothing: what can be told from it is
 * used, as a rebuild would (V 10.4), and the log says that something is missing.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "map/map.h"
#include "replay/scan.h"
#include "replay/table.h"

#define READ_BLOCKS 64u

/* Row, function, where it runs; what it does. */
#define OVERLAY_ROWS(X)							       \
	/* memory to read into */					       \
	X(OVERLAY_BEGIN, overlay_begin, ON_JOURNAL)			       \
	/* the whole ring, some blocks at a time: where it begins and ends */  \
	X(OVERLAY_RING, overlay_ring, ON_JOURNAL)			       \
	X(OVERLAY_SCAN, overlay_scan, ON_JOURNAL)			       \
	X(OVERLAY_BOUNDS, overlay_bounds, ON_JOURNAL)			       \
	/* once more the blocks with entries that pages may lack */	       \
	X(OVERLAY_FETCH, overlay_fetch, ON_JOURNAL)			       \
	X(OVERLAY_ADD, overlay_add, ON_JOURNAL)				       \
	/* the map has it */						       \
	X(OVERLAY_SHOW, overlay_show, ON_JOURNAL)			       \
	/* who asked is told */						       \
	X(OVERLAY_END, overlay_end, ON_JOURNAL)

enum { OVERLAY_ROWS(FLOW_ROW) };
OVERLAY_ROWS(FLOW_FUNCTION)
FLOW_TABLE(overlay_table, OVERLAY_END, OVERLAY_ROWS);

static struct volume *volume_of(struct flow *f)
{
	struct volume *v = container_of(f, struct volume, overlay.flow);

	VDO_ASSERT(v->opened_read_only && v->overlay.done != NULL);
	return v;
}

bool overlay_wanted(const struct volume *v)
{
	VDO_ASSERT(v->opened_read_only);
	switch (v->sb.state) {
	case VOLUME_DIRTY:
	case VOLUME_REPLAYING:
	case VOLUME_READ_ONLY:
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return true;
	default:
		return false;
	}
}

static int overlay_begin(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;
	struct replay_facts facts;

	replay_facts_init(&facts, &v->sb);
	counter_set(&o->total, facts.blocks);
	o->buf = alloc_aligned(BLOCK_SIZE, READ_BLOCKS, BLOCK_SIZE);
	o->entries = alloc_zeroed(REPLAY_OLD_ENTRIES_PER_BLOCK,
				  sizeof(*o->entries));
	if (o->buf == NULL || o->entries == NULL)
		return flow_fail(f, -ENOMEM);
	return flow_next(f, replay_scan_create(&facts, &o->scan),
			 OVERLAY_RING);
}

/* Read up to @left blocks of the ring from @index on, not beyond its end. */
static int read_ring(struct volume *v, uint64_t index, uint64_t left, int next)
{
	struct overlay *o = &v->overlay;
	uint64_t ring = v->sb.recovery_journal_size;

	VDO_ASSERT(index < ring && left > 0);
	o->count = MIN(MIN(left, READ_BLOCKS), ring - index);
	flow_await(&o->flow, &o->mio.done, next);
	mio_read(&o->mio, &v->storage, MIO_JOURNAL,
		 v->sb.partitions[PARTITION_JOURNAL].start + index, o->count,
		 o->buf);
	return FLOW_WAIT;
}

static int overlay_ring(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;

	if (atomic_load(&v->stop))
		return flow_fail(f, -ECANCELED);
	if (o->at == v->sb.recovery_journal_size)
		return OVERLAY_BOUNDS;
	return read_ring(v, o->at, v->sb.recovery_journal_size - o->at,
			 OVERLAY_SCAN);
}

static int overlay_scan(struct flow *f)
{
	struct overlay *o = &volume_of(f)->overlay;

	for (uint64_t i = 0; i < o->count; i++)
		replay_scan_block(o->scan, o->at + i, o->buf + i * BLOCK_SIZE);
	o->at += o->count;
	counter_add(&o->read, o->count);
	return OVERLAY_RING;
}

static size_t count_entries(const struct overlay *o)
{
	size_t n = 0;

	VDO_ASSERT(o->seq >= o->bounds.map_head);
	for (seq_t q = o->seq; q <= o->bounds.last; q++)
		n += replay_entries(o->scan, q);
	return n;
}

static int overlay_bounds(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;
	const char *wrong = NULL;
	size_t entries;
	int result = replay_scan_end(o->scan, &o->bounds, &wrong);

	if (result != 0) {
		log_warning(&v->log,
			    "volume: the recovery journal is damaged (%s): "
			    "blocks that were written last may have older "
			    "contents, or those of other blocks",
			    wrong != NULL ? wrong : vdo_strerror(result));
		replay_scan_end_tolerant(o->scan, &o->bounds);
	}
	if (!o->bounds.found)
		return OVERLAY_END;
	o->seq = MAX(o->bounds.first, o->bounds.map_head);
	entries = count_entries(o);
	if (entries == 0)
		return OVERLAY_END;
	counter_add(&o->total, o->bounds.last + 1 - o->seq);
	return flow_next(f, replay_table_create(entries, &o->table),
			 OVERLAY_FETCH);
}

static int overlay_fetch(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;

	if (atomic_load(&v->stop))
		return flow_fail(f, -ECANCELED);
	if (o->seq > o->bounds.last)
		return OVERLAY_SHOW;
	return read_ring(v, o->seq % v->sb.recovery_journal_size,
			 o->bounds.last + 1 - o->seq, OVERLAY_ADD);
}

static void add_entries(struct overlay *o, const uint8_t *block)
{
	unsigned expected = replay_entries(o->scan, o->seq);
	unsigned n = replay_decode(o->scan, o->seq, block, o->entries);

	/* Of a block that somebody has written meanwhile there are none. */
	VDO_ASSERT(n == expected || n == 0);
	o->skipped += expected - n;
	for (unsigned i = 0; i < n; i++) {
		const struct journal_entry *e = &o->entries[i].entry;

		if (replay_entry_check(replay_scan_facts(o->scan), e) != NULL ||
		    !replay_table_add(o->table, e))
			o->skipped++;
	}
}

static int overlay_add(struct flow *f)
{
	struct overlay *o = &volume_of(f)->overlay;

	for (uint64_t i = 0; i < o->count; i++) {
		add_entries(o, o->buf + i * BLOCK_SIZE);
		o->seq++;
	}
	counter_add(&o->read, o->count);
	return OVERLAY_FETCH;
}

static int overlay_show(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;

	if (o->skipped != 0)
		log_warning(&v->log,
			    "volume: %llu entries of the recovery journal make "
			    "no sense: the blocks that they are of may have "
			    "older contents, or those of other blocks",
			    (unsigned long long)o->skipped);
	replay_table_sort(o->table);
	map_set_overlay(v->map, o->table);
	log_info(&v->log,
		 "volume: not closed; shown as recovery would make it, "
		 "entries=%zu",
		 replay_table_count(o->table));
	return OVERLAY_END;
}

static int overlay_end(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;
	struct completion *done = o->done;

	alloc_free(o->buf);
	alloc_free(o->entries);
	o->buf = NULL;
	o->entries = NULL;
	replay_scan_destroy(o->scan);
	o->scan = NULL;
	o->done = NULL;
	completion_finish(done, f->result);
	return FLOW_END;
}

void overlay_read(struct volume *v, struct completion *done)
{
	struct overlay *o = &v->overlay;

	VDO_ASSERT(queue_is_current(v->topology.journal));
	VDO_ASSERT(o->done == NULL && o->table == NULL);
	flow_init(&o->flow, &overlay_table);
	o->flow.queues[ON_JOURNAL] = v->topology.journal;
	o->done = done;
	flow_start(&o->flow);
}

void overlay_progress(const struct volume *v, uint64_t *done, uint64_t *total)
{
	*total = counter_get(&v->overlay.total) * BLOCK_SIZE;
	*done = MIN(counter_get(&v->overlay.read) * BLOCK_SIZE, *total);
}

void overlay_fini(struct volume *v)
{
	VDO_ASSERT(v->overlay.done == NULL && v->overlay.buf == NULL);
	replay_table_destroy(v->overlay.table);
}
