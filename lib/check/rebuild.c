/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rebuild, step by step. Each writes only what the volume that needs it does
 * not depend on, or what a rebuild would write again:
 *
 *	journal   bounds and mappings; nothing is written yet
 *	refute	  those that cannot be, by what the map has
 *	mark      another state becomes FORCE_REBUILD: a recovery must not meet
 *		  slab journals that are gone
 *	map       pages brought up to date and mended (rebuild_map.c)
 *	slabs     empty, then counted (rebuild_slabs.c)
 *	super     last: CLEAN
 *
 * The kernel's driver ends with DIRTY, since it goes on to serve the volume.
 * Here it is not open afterwards: all that CLEAN promises is durable, the old
 * blocks of the journal are those of an earlier recovery count, and it begins
 * after them.
 */
#include "build.h"

#include "check/rebuild_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "volume/super.h"

int rebuild_read(void *arg, pbn_t pbn, uint64_t count, void *to)
{
	struct rebuild *r = arg;
	int result;

	VDO_ASSERT(pbn >= r->geometry.bio_offset);
	VDO_ASSERT(count > 0 && pbn + count <= r->sb.physical_blocks);
	if (atomic_load_explicit(&r->stop, memory_order_relaxed))
		return -ECANCELED;
	result = device_read(r->device,
			     (pbn - r->geometry.bio_offset) * BLOCK_SIZE, to,
			     count * BLOCK_SIZE);
	/* What is lost by an error that comes once is lost for good. */
	if (result != 0 && count == 1)
		result = device_read(r->device,
				     (pbn - r->geometry.bio_offset) *
					     BLOCK_SIZE,
				     to, BLOCK_SIZE);
	counter_add(&r->done, count * BLOCK_SIZE);
	return result;
}

int rebuild_write(struct rebuild *r, pbn_t pbn, uint64_t count,
		  const void *from)
{
	VDO_ASSERT(pbn > r->geometry.data_start);
	VDO_ASSERT(count > 0 && pbn + count <= r->sb.physical_blocks);
	if (atomic_load_explicit(&r->stop, memory_order_relaxed))
		return -ECANCELED;
	return device_write(r->device,
			    (pbn - r->geometry.bio_offset) * BLOCK_SIZE, from,
			    count * BLOCK_SIZE);
}

void rebuild_phase(struct rebuild *r, const char *name, uint64_t bytes)
{
	atomic_store(&r->phase, name);
	counter_set(&r->total, bytes);
	counter_set(&r->done, 0);
}

/* --------------------------------------------------------------------- lost */

/* The range before goes on with @l. */
static bool extend(struct rebuild *r, const struct vdo_blocks *l,
		   const char *why)
{
	struct vdo_lost *last;

	if (r->result.lost_count == 0 || r->lost_total > r->result.lost_count)
		return false;
	last = &r->lost[r->result.lost_count - 1];
	return last->why == why && walk_join(&last->blocks, l);
}

void rebuild_lose(struct rebuild *r, struct vdo_blocks l, const char *why)
{
	VDO_ASSERT(why != NULL);
	if (l.count == 0)
		return;
	r->result.lost_blocks += l.count * l.repeats;
	if (extend(r, &l, why))
		return;
	r->lost_total++;
	if (r->result.lost_count < REBUILD_LOST_MAX)
		r->lost[r->result.lost_count++] = (struct vdo_lost){l, why};
}

static void log_lost(const struct rebuild *r)
{
	size_t n = MIN(r->result.lost_count, REBUILD_LOST_LINES);

	for (size_t i = 0; i < n; i++) {
		const struct vdo_blocks *l = &r->lost[i].blocks;
		const char *why = r->lost[i].why;

		if (l->repeats == 1)
			log_warning(&r->log,
				    "rebuild: logical blocks dropped, "
				    "first=%llu count=%llu: %s",
				    (unsigned long long)l->first,
				    (unsigned long long)l->count, why);
		else
			log_warning(&r->log,
				    "rebuild: logical blocks dropped, "
				    "first=%llu count=%llu, %llu times each "
				    "%llu: %s",
				    (unsigned long long)l->first,
				    (unsigned long long)l->count,
				    (unsigned long long)l->repeats,
				    (unsigned long long)l->stride, why);
	}
	if (r->lost_total > n)
		log_warning(&r->log,
			    "rebuild: %llu more ranges were dropped",
			    (unsigned long long)(r->lost_total - n));
}

static void log_end(const struct rebuild *r)
{
	const struct vdo_rebuilt *b = &r->result;

	log_lost(r);
	log_info(&r->log,
		 "rebuild: done, replayed=%llu logical_used=%llu pages=%llu "
		 "data=%llu lost=%llu",
		 (unsigned long long)b->replayed,
		 (unsigned long long)b->logical_blocks_used,
		 (unsigned long long)b->block_map_blocks,
		 (unsigned long long)b->data_blocks,
		 (unsigned long long)b->lost_blocks);
}

/* -------------------------------------------------------------- super block */

/* After all that was written, durably. */
static int write_super(struct vdo_device *device, const struct geometry *g,
		       const struct superblock *sb)
{
	uint8_t *block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	int result;

	if (block == NULL)
		return -ENOMEM;
	superblock_encode(sb, block);
	result = device_flush(device);
	if (result == 0)
		result = device_write(device,
				      (g->data_start - g->bio_offset) *
					      BLOCK_SIZE,
				      block, BLOCK_SIZE);
	if (result == 0)
		result = device_flush(device);
	alloc_free(block);
	return result;
}

static bool needs_rebuild(uint32_t state)
{
	return state == VOLUME_READ_ONLY || state == VOLUME_FORCE_REBUILD ||
	       state == VOLUME_REBUILD_FOR_UPGRADE;
}

/* What was read is durable before anything is written (D14). */
static int mark(struct rebuild *r)
{
	if (needs_rebuild(r->sb.state))
		return device_flush(r->device);
	r->sb.state = VOLUME_FORCE_REBUILD;
	return write_super(r->device, &r->geometry, &r->sb);
}

static int finish(struct rebuild *r)
{
	struct superblock sb = r->sb;

	VDO_ASSERT(needs_rebuild(sb.state));
	sb.complete_recoveries++;
	if (sb.state != VOLUME_REBUILD_FOR_UPGRADE)
		sb.read_only_recoveries++;
	sb.state = VOLUME_CLEAN;
	if (r->journal.bounds.found)
		sb.journal_start = r->journal.bounds.highest + 1;
	sb.logical_blocks_used = r->result.logical_blocks_used;
	sb.block_map_data_blocks = r->result.block_map_blocks;
	return write_super(r->device, &r->geometry, &sb);
}

/* -------------------------------------------------------------------- steps */

static int read_journal(struct rebuild *r)
{
	struct check_journal *j = &r->journal;
	int result;

	rebuild_phase(r, "reading the recovery journal",
		      r->sb.recovery_journal_size * BLOCK_SIZE);
	result = check_journal_load(j, &r->sb, true, rebuild_read, r);
	if (result == 0)
		result = check_journal_overlay(j);
	if (result != 0)
		return result;
	if (j->table != NULL)
		r->result.replayed = replay_table_count(j->table);
	r->result.invalid_entries = j->invalid;
	r->result.unreadable_blocks = j->unreadable;
	return 0;
}

static int begin_to_write(struct rebuild *r)
{
	log_info(&r->log, "rebuild: begun, state=%s entries=%llu",
		 r->result.found, (unsigned long long)r->result.replayed);
	return mark(r);
}

static int (*const steps[])(struct rebuild *r) = {
	read_journal,	    rebuild_refute,	   begin_to_write,
	rebuild_make_pages, rebuild_fix_pages,	   rebuild_empty_slabs,
	rebuild_counts,	    rebuild_write_summary, finish,
};

int rebuild_run(struct rebuild *r, struct vdo_error *error)
{
	int result = 0;

	VDO_ASSERT(r->claimed);
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(steps); i++)
		result = atomic_load(&r->stop) ? -ECANCELED : steps[i](r);
	if (result == 0) {
		counter_set(&r->done, counter_get(&r->total));
		log_end(r);
	} else if (result != -ECANCELED && result != -ENOMEM) {
		error_set(error, result,
			  "the volume cannot be rebuilt: %s; check the storage "
			  "and begin again, nothing is lost by that",
			  vdo_strerror(result));
	}
	return result;
}

void rebuild_stop(struct rebuild *r)
{
	atomic_store(&r->stop, true);
}

void rebuild_progress(struct rebuild *r, struct vdo_job_progress *p)
{
	p->phase = atomic_load(&r->phase);
	p->total = counter_get(&r->total);
	p->done = MIN(counter_get(&r->done), p->total);
}

const struct vdo_rebuilt *rebuild_result(const struct rebuild *r)
{
	return &r->result;
}

/* ----------------------------------------------------------- create, destroy */

static int check_state(const struct superblock *sb, bool force,
		       struct vdo_error *error)
{
	if (force || needs_rebuild(sb->state))
		return 0;
	if (sb->state == VOLUME_NEW || sb->state == VOLUME_CLEAN)
		return error_set(error, -EINVAL,
				 "the volume is %s and needs no rebuild; if it "
				 "cannot be opened all the same, force it",
				 superblock_state_name(sb->state));
	return error_set(error, -VDO_EDIRTY,
			 "the volume was not closed: opening it recovers it, "
			 "and nothing that was flushed is lost; force a "
			 "rebuild only if that is refused");
}

static int claim(struct vdo_device *device, struct executor **x,
		 struct vdo_error *error)
{
	int result;

	if ((device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	result = executor_inline_create(x);
	if (result != 0)
		return result;
	result = device_claim(device, *x);
	if (result == 0)
		return 0;
	executor_destroy(*x);
	*x = NULL;
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	return result;
}

static int allocate(struct rebuild *r)
{
	r->buf = alloc_aligned(BLOCK_SIZE, REBUILD_BUF_BLOCKS, BLOCK_SIZE);
	r->summary = alloc_aligned(BLOCK_SIZE, SUMMARY_ZONE_BLOCKS, BLOCK_SIZE);
	r->pages = alloc_zeroed(r->slabs.slab_count, sizeof(*r->pages));
	r->used = alloc_zeroed(r->slabs.slab_count, sizeof(*r->used));
	return r->buf == NULL || r->summary == NULL || r->pages == NULL ||
			       r->used == NULL
		       ? -ENOMEM
		       : 0;
}

int rebuild_create(struct vdo_device *device, bool force, const struct log *log,
		   struct rebuild **rebuild, struct vdo_error *error)
{
	struct rebuild *r = alloc_zeroed(1, sizeof(*r));
	int result;

	VDO_ASSERT(queue_running == NULL);
	if (r == NULL)
		return -ENOMEM;
	r->device = device;
	r->log = *log;
	r->part_blocks = REBUILD_PART_BLOCKS;
	atomic_init(&r->phase, "");
	r->result.lost = r->lost;
	result = claim(device, &r->executor, error);
	r->claimed = result == 0;
	if (result == 0)
		result = super_read_claimed(device, &r->geometry, &r->sb, error);
	if (result == 0)
		result = check_state(&r->sb, force, error);
	if (result == 0) {
		device->needed_bytes = r->sb.physical_blocks * BLOCK_SIZE;
		layout_slab_geometry_init(&r->slabs, &r->sb);
		r->result.found = superblock_state_name(r->sb.state);
		result = allocate(r);
	}
	if (result != 0) {
		rebuild_destroy(r);
		return result;
	}
	*rebuild = r;
	return 0;
}

void rebuild_destroy(struct rebuild *r)
{
	if (r == NULL)
		return;
	VDO_ASSERT(queue_running == NULL && r->counts == NULL);
	check_journal_free(&r->journal);
	for (uint64_t i = 0; r->pages != NULL && i < r->slabs.slab_count; i++)
		alloc_free(r->pages[i]);
	alloc_free(r->pages);
	alloc_free(r->used);
	alloc_free(r->summary);
	alloc_free(r->buf);
	if (r->claimed)
		device_release(r->device);
	executor_destroy(r->executor);
	alloc_free(r);
}

/* ----------------------------------------------------------- mark read-only */

int rebuild_mark_read_only(struct vdo_device *device, struct vdo_error *error)
{
	struct executor *x = NULL;
	struct superblock sb;
	struct geometry g;
	int result;

	VDO_ASSERT(queue_running == NULL);
	result = claim(device, &x, error);
	if (result != 0)
		return result;
	result = super_read(device, &g, &sb, error);
	if (result == 0 && sb.state != VOLUME_READ_ONLY) {
		sb.state = VOLUME_READ_ONLY;
		result = write_super(device, &g, &sb);
		if (result != 0)
			error_set(error, result,
				  "the super block cannot be written: %s; check "
				  "the storage",
				  vdo_strerror(result));
	}
	device_release(device);
	executor_destroy(x);
	return result;
}
