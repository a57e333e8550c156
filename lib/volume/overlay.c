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

/* Row, function, where it runs; what it does. */
#define OVERLAY_ROWS(X)							       \
	/* memory to read into */					       \
	X(OVERLAY_BEGIN, overlay_begin, ON_JOURNAL)			       \
	/* the whole ring: where it begins and ends */			       \
	X(OVERLAY_SCAN, overlay_scan, ON_JOURNAL)			       \
	X(OVERLAY_BOUNDS, overlay_bounds, ON_JOURNAL)			       \
	/* once more the blocks with entries that pages may lack */	       \
	X(OVERLAY_ADD, overlay_add, ON_JOURNAL)				       \
	/* the map has it */						       \
	X(OVERLAY_SHOW, overlay_show, ON_JOURNAL)			       \
	/* nothing is read any more; who asked is told */		       \
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
	struct partition ring = v->sb.partitions[PARTITION_JOURNAL];
	struct replay_facts facts;
	int result;

	replay_facts_init(&facts, &v->sb);
	VDO_ASSERT(ring.count >= facts.blocks);
	ring.count = facts.blocks;
	counter_set(&o->total, facts.blocks);
	result = reader_init(&o->reader, v->topology.journal, &v->storage,
			     ring);
	o->entries = alloc_zeroed(REPLAY_OLD_ENTRIES_PER_BLOCK,
				  sizeof(*o->entries));
	if (result == 0 && o->entries == NULL)
		result = -ENOMEM;
	if (result == 0)
		result = replay_scan_create(&facts, &o->scan);
	if (result != 0)
		return flow_fail(f, result);
	reader_begin(&o->reader, 0, facts.blocks);
	return OVERLAY_SCAN;
}

/* Have the next chunk, and count it as read. False: *@next is what the row has
 * to return, which is @end after the last one. */
static bool next_chunk(struct flow *f, int row, int end,
		       struct reader_chunk **chunk, int *next)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;

	*next = FLOW_WAIT;
	if (!reader_get(&o->reader, f, row, chunk))
		return false;
	if (o->reader.result != 0 || atomic_load(&v->stop)) {
		*next = flow_fail(f, o->reader.result != 0 ? o->reader.result
							   : -ECANCELED);
		return false;
	}
	*next = end;
	if (*chunk == NULL)
		return false;
	counter_add(&o->read, (*chunk)->count);
	return true;
}

static int overlay_scan(struct flow *f)
{
	struct overlay *o = &volume_of(f)->overlay;
	struct reader_chunk *k;
	int next;

	if (!next_chunk(f, OVERLAY_SCAN, OVERLAY_BOUNDS, &k, &next))
		return next;
	for (unsigned i = 0; i < k->count; i++)
		replay_scan_block(o->scan, k->first + i,
				  k->bytes + (size_t)i * BLOCK_SIZE);
	reader_drop(&o->reader);
	return OVERLAY_SCAN;
}

static size_t count_entries(const struct overlay *o, seq_t first)
{
	size_t n = 0;

	VDO_ASSERT(first >= o->bounds.map_head);
	for (seq_t q = first; q <= o->bounds.last; q++)
		n += replay_entries(o->scan, q);
	return n;
}

static int overlay_bounds(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct overlay *o = &v->overlay;
	const char *wrong = NULL;
	size_t entries;
	seq_t first;
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
	first = MAX(o->bounds.first, o->bounds.map_head);
	entries = count_entries(o, first);
	if (entries == 0)
		return OVERLAY_END;
	counter_add(&o->total, o->bounds.last + 1 - first);
	reader_begin(&o->reader, first, o->bounds.last + 1 - first);
	return flow_next(f, replay_table_create(entries, &o->table),
			 OVERLAY_ADD);
}

static void add_entries(struct overlay *o, seq_t seq, const uint8_t *block)
{
	unsigned expected = replay_entries(o->scan, seq);
	unsigned n = replay_decode(o->scan, seq, block, o->entries);

	/* Of a block that somebody has written meanwhile there are none. */
	VDO_ASSERT(n == expected || n == 0);
	o->skipped += expected - n;
	for (unsigned i = 0; i < n; i++) {
		const struct journal_entry *e = &o->entries[i].entry;

		if (replay_entry_check(replay_scan_facts(o->scan), e) != NULL ||
		    !replay_table_add(o->table, e))
			o->skipped++;
		else if (e->operation == JOURNAL_BLOCK_MAP &&
			 seq <= o->bounds.whole)
			replay_table_make(o->table, e->new_mapping.pbn);
	}
}

static int overlay_add(struct flow *f)
{
	struct overlay *o = &volume_of(f)->overlay;
	struct reader_chunk *k;
	int next;

	if (!next_chunk(f, OVERLAY_ADD, OVERLAY_SHOW, &k, &next))
		return next;
	for (unsigned i = 0; i < k->count; i++)
		add_entries(o, k->first + i,
			    k->bytes + (size_t)i * BLOCK_SIZE);
	reader_drop(&o->reader);
	return OVERLAY_ADD;
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
	v->memory.parts[MEMORY_MAP].fixed += replay_table_bytes(o->table);
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

	if (!reader_rest(&o->reader, f, OVERLAY_END))
		return FLOW_WAIT;
	reader_fini(&o->reader);
	alloc_free(o->entries);
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
	VDO_ASSERT(v->overlay.done == NULL && v->overlay.entries == NULL);
	replay_table_destroy(v->overlay.table);
}
