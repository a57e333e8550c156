/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing a volume that is in use (V 11, D13).
 *
 *	before   ... | slabs      | journal | summary |
 *	after    ... | slabs        more slabs            | journal | summary |
 *
 * Journal and summary move to the end of the storage, and lie there in the space
 * that is added, so that the old ones stay whole until the super block names the
 * new ones: a crash before that leaves the old volume, one after it the new one.
 * What memory holds of the journal stays: the ring is copied as it is. Most of it
 * is copied while calls are carried out; only what was written since, and the
 * summary, is when they wait. The map grows by its size alone: pages are made when
 * they are needed.
 *
 * A flush follows the super block, before anything is written where the old
 * journal was: also a device whose FUA is worth nothing keeps one of the two.
 *
 * Whatever fails before the super block is written changes nothing. If that
 * fails, the storage may say either, and the volume is read-only.
 *
 * The index does not rest, and a flush of its own that fails makes the volume
 * read-only at any time. While nothing else moves, that waits: no zone looks at what
 * is being changed, and nobody else writes the super block.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/error.h"
#include "format/mapping.h"
#include "format/slab.h"
#include "map/map.h"

/* Row, function, where it runs; what it does. */
#define GROW_ROWS(X)							       \
	/* the ring is copied while it is in use */			       \
	X(GROW_BEGIN, grow_begin, ON_JOURNAL)				       \
	X(GROW_COPY, grow_copy, ON_JOURNAL)				       \
	X(GROW_COPIED, grow_copied, ON_JOURNAL)				       \
	/* calls wait, and all but the index is at rest */		       \
	X(GROW_REST, grow_rest, ON_JOURNAL)				       \
	/* is it the same storage? */					       \
	X(GROW_LOOK, grow_look, ON_JOURNAL)				       \
	/* memory for more; the rest of the ring */			       \
	X(GROW_ROOM, grow_room, ON_JOURNAL)				       \
	/* the summary */						       \
	X(GROW_SUMMARY, grow_summary, ON_JOURNAL)			       \
	X(GROW_STORE, grow_store, ON_JOURNAL)				       \
	/* all of it is durable; the super block says so, durably */	       \
	X(GROW_MARK, grow_mark, ON_JOURNAL)				       \
	X(GROW_MARKED, grow_marked, ON_JOURNAL)				       \
	/* journal, depot and map are larger */				       \
	X(GROW_SWITCH, grow_switch, ON_JOURNAL)				       \
	/* who makes it read-only may go on, and does */		       \
	X(GROW_RESUME, grow_resume, ON_JOURNAL)				       \
	/* calls are carried out */					       \
	X(GROW_SERVE, grow_serve, ON_JOURNAL)				       \
	X(GROW_END, grow_end, ON_JOURNAL)

enum { GROW_ROWS(FLOW_ROW) };
GROW_ROWS(FLOW_FUNCTION)
FLOW_TABLE(grow_table, GROW_RESUME, GROW_ROWS);

static struct volume *volume_of(struct flow *f)
{
	struct volume *v = life_of(f)->volume;

	VDO_ASSERT(v->growing.life.done != NULL);
	return v;
}

static int grow_begin(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	VDO_ASSERT(v->service == SERVICE_ON && !v->opened_read_only);
	g->resting = false;
	VDO_ASSERT(!g->alone);
	if (!g->physical)
		return GROW_REST;
	life_does(&g->life, "copying the journal");
	g->settled = journal_settled(v->journal);
	reader_begin(&g->reader, 0, g->reader.ring.count);
	return GROW_COPY;
}

/* Comes here twice: with all of the ring, and with what changed meanwhile. */
static int grow_copy(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;
	pbn_t to = g->sb.partitions[PARTITION_JOURNAL].start;
	struct reader_chunk *k;

	if (!reader_get(&g->reader, f, GROW_COPY, &k))
		return FLOW_WAIT;
	if (g->reader.result != 0)
		return flow_fail(f, g->reader.result);
	if (k == NULL)
		return g->resting ? GROW_SUMMARY : GROW_REST;
	flow_await(f, &g->mio.done, GROW_COPIED);
	mio_write(&g->mio, &v->storage, MIO_JOURNAL,
		  to + k->first % g->reader.ring.count, k->count, k->bytes,
		  false);
	return FLOW_WAIT;
}

static int grow_copied(struct flow *f)
{
	reader_drop(&volume_of(f)->growing.reader);
	return GROW_COPY;
}

static int grow_rest(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	VDO_ASSERT(!g->resting);
	g->resting = true;
	life_does(&g->life, "bringing the volume to rest");
	flow_await_any(f, &g->life.step, GROW_LOOK);
	volume_start_suspend(v, false, &g->life.step);
	return FLOW_WAIT;
}

static int grow_look(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	VDO_ASSERT(v->service == SERVICE_STOPPED);
	if (readonly_entered(&v->readonly)) {
		life_does(&g->life, NULL);
		return flow_fail(f, -VDO_EREADONLY);
	}
	g->alone = true;
	life_does(&g->life, "looking after the storage");
	flow_await(f, &g->life.step, GROW_ROOM);
	still_there(v, &g->life.step);
	return FLOW_WAIT;
}

static uint64_t slab_count(const struct superblock *sb)
{
	return (sb->depot_last_block - sb->depot_first_block) /
	       sb->slab.slab_blocks;
}

static int grow_room(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;
	struct journal_state state;
	uint64_t changed;
	int result;

	if (!g->physical)
		return GROW_MARK;
	life_does(&g->life, "making room for more slabs");
	result = depot_make_room(v->depot, slab_count(&g->sb));
	if (result != 0)
		return flow_fail(f, result);
	life_does(&g->life, "copying the journal");
	journal_get_state(v->journal, &state);
	VDO_ASSERT(state.tail >= g->settled);
	changed = MIN(state.tail - g->settled, g->reader.ring.count);
	reader_begin(&g->reader, state.tail - changed, changed);
	return GROW_COPY;
}

static int grow_summary(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	VDO_ASSERT(g->physical && g->resting);
	life_does(&g->life, "copying the slab summary");
	flow_await(f, &g->mio.done, GROW_STORE);
	mio_read(&g->mio, &v->storage, MIO_SLAB,
		 v->sb.partitions[PARTITION_SUMMARY].start, SUMMARY_BLOCKS,
		 g->summary);
	return FLOW_WAIT;
}

static int grow_store(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	flow_await(f, &g->mio.done, GROW_MARK);
	mio_write(&g->mio, &v->storage, MIO_SLAB,
		  g->sb.partitions[PARTITION_SUMMARY].start, SUMMARY_BLOCKS,
		  g->summary, false);
	return FLOW_WAIT;
}

static bool to_grown(struct super_op *op, struct superblock *sb)
{
	const struct growing *g = container_of(op, struct growing, op);

	VDO_ASSERT(sb->state == VOLUME_DIRTY);
	sb->logical_blocks = g->sb.logical_blocks;
	sb->physical_blocks = g->sb.physical_blocks;
	sb->depot_last_block = g->sb.depot_last_block;
	memcpy(sb->partitions, g->sb.partitions, sizeof(sb->partitions));
	return true;
}

static int grow_mark(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	life_does(&g->life, "writing the super block");
	g->op.change = to_grown;
	flow_await_any(f, &g->op.done, GROW_MARKED);
	super_writer_write(&v->super, &g->op);
	return FLOW_WAIT;
}

static int grow_marked(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	if (g->op.done.result != 0) {
		readonly_enter(&v->readonly, g->op.done.result,
			       "the super block cannot be written");
		return flow_fail(f, g->op.done.result);
	}
	flow_await_any(f, &g->sync.done, GROW_SWITCH);
	sync_request(&v->sync, &g->sync);
	return FLOW_WAIT;
}

/* A flush that failed has made it read-only; but the storage says that it is
 * larger. */
static int grow_switch(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;
	const struct partition *p = g->sb.partitions;

	life_does(&g->life, NULL);
	if (g->physical) {
		journal_move(v->journal, p[PARTITION_JOURNAL].start);
		depot_grow(v->depot, slab_count(&g->sb),
			   p[PARTITION_SUMMARY].start);
	}
	if (g->logical)
		map_grow(v->map);
	v->sb.logical_blocks = g->sb.logical_blocks;
	v->sb.physical_blocks = g->sb.physical_blocks;
	v->sb.depot_last_block = g->sb.depot_last_block;
	memcpy(v->sb.partitions, p, sizeof(v->sb.partitions));
	v->device->needed_bytes = v->sb.physical_blocks * BLOCK_SIZE;
	return flow_next(f, g->sync.done.result, GROW_RESUME);
}

/* Also after an error. */
static int grow_resume(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	if (f->result != 0)
		life_log(&g->life);
	life_does(&g->life, NULL);
	if (g->physical && !reader_rest(&g->reader, f, GROW_RESUME))
		return FLOW_WAIT;
	if (!g->resting)
		return GROW_END;
	if (g->alone && g->delayed)
		completion_finish(&g->over, 0);
	g->alone = false;
	g->delayed = false;
	flow_await_any(f, &g->life.step, GROW_SERVE);
	read_only_wait(v, &g->life.step);
	return FLOW_WAIT;
}

static int grow_serve(struct flow *f)
{
	struct volume *v = volume_of(f);
	struct growing *g = &v->growing;

	flow_await_any(f, &g->life.step, GROW_END);
	volume_start_resume(v, &g->life.step);
	return FLOW_WAIT;
}

static int grow_end(struct flow *f)
{
	VDO_ASSERT(volume_of(f)->service == SERVICE_ON);
	return life_end(life_of(f));
}

void life_init_grow(struct volume *v)
{
	life_init(&v->growing.life, v, &grow_table);
}

/* ------------------------------------------------------------------ the sizes */

static int refuse_size(struct vdo_error *error, int result, const char *what,
		       uint64_t now, uint64_t wanted)
{
	return error_set(error, result, "%s: it has %llu MiB, not %llu", what,
			 (unsigned long long)(now >> 8),
			 (unsigned long long)(wanted >> 8));
}

/* Journal and summary move by as much as the storage grows, and must not meet
 * themselves. */
static uint64_t least_growth(const struct superblock *sb)
{
	uint64_t moved = sb->partitions[PARTITION_JOURNAL].count +
			 sb->partitions[PARTITION_SUMMARY].count;
	uint64_t slab_end = sb->depot_last_block + sb->slab.slab_blocks;
	pbn_t end = sb->partitions[PARTITION_JOURNAL].start;

	return MAX(moved, slab_end > end ? slab_end - end : 0);
}

static int choose_physical(struct volume *v, uint64_t blocks,
			   struct vdo_error *error)
{
	struct superblock *sb = &v->growing.sb;
	struct partition *p = sb->partitions;
	uint64_t now = sb->physical_blocks, least = least_growth(sb);
	uint64_t more, slabs;

	if (blocks == now)
		return 0;
	if (blocks < now)
		return refuse_size(error, -EINVAL,
				   "a volume cannot be made smaller; copy what "
				   "is in it to another one",
				   now, blocks);
	if (blocks > PHYSICAL_BLOCKS_MAX)
		return error_set(error, -ERANGE,
				 "physical size is more than 256 TiB");
	more = blocks - now;
	if (more < least)
		return error_set(error, -EINVAL,
				 "that is too little for another slab, and for "
				 "the journal, which moves to the new end; the "
				 "next size that will do is %llu bytes",
				 (unsigned long long)((now + least) *
						      BLOCK_SIZE));
	p[PARTITION_DEPOT].count += more;
	p[PARTITION_JOURNAL].start += more;
	p[PARTITION_SUMMARY].start += more;
	slabs = (p[PARTITION_JOURNAL].start - sb->depot_first_block) /
		sb->slab.slab_blocks;
	if (slabs > SLABS_MAX)
		return error_set(error, -VDO_ECONFLICT,
				 "a volume has 8192 slabs at most, of the size "
				 "that it was formatted with: this one can have "
				 "%llu bytes; copy it to one with larger slabs",
				 (unsigned long long)((blocks -
						       (slabs - SLABS_MAX) *
							       sb->slab.slab_blocks) *
						      BLOCK_SIZE));
	sb->physical_blocks = blocks;
	sb->depot_last_block =
		sb->depot_first_block + slabs * sb->slab.slab_blocks;
	v->growing.physical = true;
	return 0;
}

static int choose_logical(struct volume *v, uint64_t blocks,
			  struct vdo_error *error)
{
	struct superblock *sb = &v->growing.sb;

	if (blocks == 0 || blocks == sb->logical_blocks)
		return 0;
	if (blocks < sb->logical_blocks)
		return refuse_size(error, -EINVAL,
				   "the logical size cannot be made smaller",
				   sb->logical_blocks, blocks);
	if (blocks > LOGICAL_BLOCKS_MAX)
		return error_set(error, -ERANGE,
				 "logical size is more than 4 PiB");
	sb->logical_blocks = blocks;
	v->growing.logical = true;
	return 0;
}

/* The storage has so many blocks, or gets them. */
static int grow_storage(struct volume *v, uint64_t blocks,
			struct vdo_error *error)
{
	uint64_t bytes = blocks * BLOCK_SIZE, now;
	int result = 0;

	if (bytes > v->device->size_bytes)
		result = device_grow(v->device, bytes);
	if (result == 0) {
		storage_grow(&v->storage);
		return 0;
	}
	if (result != -ENOTSUP)
		return error_set(error, result,
				 "the file cannot be made larger: %s",
				 vdo_strerror(result));
	result = device_measure(v->device, &now);
	if (result != 0)
		return result;
	return error_set(error, -ENOSPC,
			 "the storage has %llu bytes; make it larger first",
			 (unsigned long long)now);
}

static int reserve(struct volume *v, unsigned id, struct vdo_error *error)
{
	const struct partition *p = &v->growing.sb.partitions[id];
	int result = device_reserve(
		v->device, (p->start - v->geometry.bio_offset) * BLOCK_SIZE,
		p->count * BLOCK_SIZE);

	if (result == 0)
		return 0;
	return error_set(error, result,
			 "no storage for the journal and summary: %s",
			 error_space_advice(result));
}

static int prepare(struct volume *v, struct vdo_error *error)
{
	struct growing *g = &v->growing;
	struct partition ring = v->sb.partitions[PARTITION_JOURNAL];
	int result = 0;

	if (g->logical)
		result = map_make_room(v->map, g->sb.logical_blocks);
	if (result != 0 || !g->physical)
		return result;
	VDO_ASSERT(ring.count >= v->sb.recovery_journal_size);
	ring.count = v->sb.recovery_journal_size;
	g->summary = alloc_aligned(BLOCK_SIZE, SUMMARY_BLOCKS, BLOCK_SIZE);
	result = reader_init(&g->reader, v->topology.journal, &v->storage,
			     ring);
	if (result == 0 && g->summary == NULL)
		result = -ENOMEM;
	if (result == 0)
		result = grow_storage(v, g->sb.physical_blocks, error);
	if (result == 0)
		result = reserve(v, PARTITION_JOURNAL, error);
	return result == 0 ? reserve(v, PARTITION_SUMMARY, error) : result;
}

static void clean_up(struct volume *v, uint64_t size_before)
{
	struct growing *g = &v->growing;

	map_drop_room(v->map);
	if (!g->physical)
		return;
	reader_fini(&g->reader);
	alloc_free(g->summary);
	g->summary = NULL;
	/* A file that was made larger for nothing; not if its super block may
	 * say that it is. */
	if (!volume_is_read_only(v) &&
	    v->sb.physical_blocks != g->sb.physical_blocks) {
		if (size_before < v->device->size_bytes)
			device_ungrow(v->device, size_before);
		v->storage.block_count = v->device->size_bytes / BLOCK_SIZE;
	}
}

int volume_grow(struct volume *v, uint64_t physical_bytes,
		uint64_t logical_bytes, struct vdo_error *error)
{
	struct growing *g = &v->growing;
	uint64_t before, bytes = physical_bytes;
	int result = device_measure(v->device, &before);

	VDO_ASSERT(queue_running == NULL && v->service == SERVICE_ON);
	if (volume_is_read_only(v))
		return error_set(error, -VDO_EREADONLY,
				 "the volume is read-only; it grows after a "
				 "rebuild, or when it is opened for writing");
	if ((physical_bytes != VDO_GROW_ALL &&
	     physical_bytes % BLOCK_SIZE != 0) ||
	    logical_bytes % BLOCK_SIZE != 0)
		return error_set(error, -EINVAL,
				 "sizes are multiples of 4096 bytes");
	if (bytes == VDO_GROW_ALL)
		bytes = before;
	if (result != 0)
		return result;
	g->sb = v->sb;
	g->physical = g->logical = false;
	if (bytes != 0)
		result = choose_physical(v, bytes / BLOCK_SIZE, error);
	if (result == 0)
		result = choose_logical(v, logical_bytes / BLOCK_SIZE, error);
	if (result != 0 || (!g->physical && !g->logical))
		return result;
	memset(&g->reader, 0, sizeof(g->reader));
	result = prepare(v, error);
	if (result == 0)
		result = life_run(&g->life);
	clean_up(v, before);
	if (result == 0)
		log_info(&v->log, "volume: grown, logical=%llu physical=%llu",
			 (unsigned long long)v->sb.logical_blocks,
			 (unsigned long long)v->sb.physical_blocks);
	return result;
}
