/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full a closed volume is.
 *
 *	super block   logical blocks used, pages of the block map, sizes
 *	summary       slabs that were never used, and how full the others are, in
 *	              64 steps
 *	counts        of the slabs that are in use: exact
 *	block map     usage_map.c
 *
 * What is on disk belongs together only if the volume was closed; else the
 * numbers of the super block are all that can be told. A slab whose counts wait
 * for its journal, as Linux may leave some, is estimated.
 */
#include "build.h"

#include "check/usage_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "format/slab.h"
#include "io/device.h"
#include "volume/super.h"

#define COUNT_PROVISIONAL 255u /* in memory; as good as free on disk */

int usage_read(struct usage *u, pbn_t pbn, uint64_t count, void *to)
{
	int result;

	VDO_ASSERT(pbn >= u->geometry.bio_offset);
	VDO_ASSERT(count > 0 && pbn + count <= u->sb.physical_blocks);
	if (atomic_load_explicit(&u->stop, memory_order_relaxed))
		return -ECANCELED;
	result = device_read(u->device,
			     (pbn - u->geometry.bio_offset) * BLOCK_SIZE, to,
			     count * BLOCK_SIZE);
	counter_add(&u->done, count * BLOCK_SIZE);
	return result;
}

struct summary_entry usage_summary(const struct usage *u, uint64_t slab)
{
	unsigned zones = MIN(MAX(u->sb.zone_count, 1), PHYSICAL_ZONES_MAX);

	VDO_ASSERT(slab < u->slabs.slab_count);
	return slab_summary_decode(u->summary +
			      slab % zones * SUMMARY_ZONE_BLOCKS * BLOCK_SIZE +
			      slab * SUMMARY_ENTRY_SIZE);
}

/* NULL: it was closed in good order. */
static const char *why_unknown(uint32_t state)
{
	switch (state) {
	case VOLUME_NEW:
	case VOLUME_CLEAN:
		return NULL;
	case VOLUME_READ_ONLY:
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return "it went read-only and needs a rebuild";
	default:
		return "it is open or was not closed";
	}
}

static void take_super(struct usage *u)
{
	const struct superblock *sb = &u->sb;
	struct vdo_usage *r = &u->result;

	layout_slab_geometry_init(&u->slabs, sb);
	*r = (struct vdo_usage){
		.level = VDO_USAGE_SAVED,
		.state_name = superblock_state_name(sb->state),
		.why = why_unknown(sb->state),
		.logical_blocks = sb->logical_blocks,
		.logical_blocks_used =
			MIN(sb->logical_blocks_used, sb->logical_blocks),
		.physical_blocks = sb->physical_blocks,
		.block_map_blocks =
			MIN(sb->block_map_data_blocks,
			    u->slabs.slab_count * u->slabs.data_blocks),
	};
	/* superblock_validate() has seen that the slabs are in the volume. */
	VDO_ASSERT(u->slabs.slab_count * u->slabs.data_blocks <
		   sb->physical_blocks);
	r->overhead_blocks = sb->physical_blocks -
			     u->slabs.slab_count * u->slabs.data_blocks;
}

/* The blocks of all slabs that are in use, map pages among them, are known. */
static void set_allocated(struct usage *u, uint64_t allocated)
{
	struct vdo_usage *r = &u->result;
	uint64_t all = u->slabs.slab_count * u->slabs.data_blocks;

	VDO_ASSERT(r->block_map_blocks <= all);
	allocated = MIN(MAX(allocated, r->block_map_blocks), all);
	r->data_blocks = allocated - r->block_map_blocks;
	r->free_blocks = all - allocated;
}

/* A slab that is full to some 64th: the middle, and how far that may be off. */
static uint64_t estimate(const struct usage *u, struct summary_entry e,
			 uint64_t *off)
{
	uint64_t step = MAX((UINT64_C(1) << u->slabs.slab_shift) / 64, 1);
	uint64_t least = MIN(e.hint * step, u->slabs.data_blocks);
	uint64_t most = MIN(least + step - 1, u->slabs.data_blocks);

	if (e.hint == 0) {
		*off = 0;
		return u->slabs.data_blocks;
	}
	if (e.hint == 1) /* few, but one at least */
		least = 1;
	if (e.hint == 63)
		most = u->slabs.data_blocks;
	VDO_ASSERT(least <= most && most <= u->slabs.data_blocks);
	*off = (most - least + 1) / 2;
	return u->slabs.data_blocks - (least + most) / 2;
}

static int read_summary(struct usage *u)
{
	const struct partition *p = &u->sb.partitions[PARTITION_SUMMARY];

	VDO_ASSERT(u->summary == NULL);
	u->summary = alloc_aligned(BLOCK_SIZE, SUMMARY_BLOCKS, BLOCK_SIZE);
	if (u->summary == NULL)
		return -ENOMEM;
	VDO_ASSERT(p->count >= SUMMARY_BLOCKS);
	return usage_read(u, p->start, SUMMARY_BLOCKS, u->summary);
}

/* Level VDO_USAGE_ESTIMATED, or more where there is nothing to be read. */
static int take_summary(struct usage *u)
{
	struct vdo_usage *r = &u->result;
	uint64_t allocated = 0, unsure = 0, off;
	int result;

	VDO_ASSERT(r->level == VDO_USAGE_SAVED && r->why == NULL);
	if (u->sb.state == VOLUME_NEW) {
		set_allocated(u, 0);
		r->unmapped = r->logical_blocks;
		r->level = VDO_USAGE_MAPPED;
		return 0;
	}
	result = read_summary(u);
	if (result != 0)
		return result;
	for (uint64_t i = 0; i < u->slabs.slab_count; i++) {
		struct summary_entry e = usage_summary(u, i);

		if (usage_is_unused(e))
			continue;
		allocated += estimate(u, e, &off);
		unsure += off;
		counter_add(&u->total,
			    u->sb.slab.reference_count_blocks * BLOCK_SIZE);
	}
	set_allocated(u, allocated);
	r->unsure_blocks = unsure;
	r->level = VDO_USAGE_ESTIMATED;
	return 0;
}

static int begin(struct usage *u, struct vdo_device *device,
		 struct vdo_error *error)
{
	int result;

	u->device = device;
	atomic_init(&u->stop, false);
	atomic_init(&u->phase, "counting");
	result = super_read(device, &u->geometry, &u->sb, error);
	if (result != 0)
		return result;
	take_super(u);
	result = u->result.why == NULL ? take_summary(u) : 0;
	counter_set(&u->done, 0);
	return result;
}

int usage_inspect(struct vdo_device *device, struct vdo_usage *usage,
		  struct vdo_error *error)
{
	struct usage u = {0};
	int result = begin(&u, device, error);

	alloc_free(u.summary);
	*usage = u.result;
	return result;
}

/* ------------------------------------------------------------------- counts */

int usage_each_count(struct usage *u, uint64_t slab, uint8_t *buf,
		     usage_count_fn take, void *arg)
{
	const struct slab_config *c = &u->sb.slab;
	pbn_t pbn = slab_start(&u->slabs, slab);
	pbn_t end = pbn + c->data_blocks, at = end;
	int result = 0;

	VDO_ASSERT(div_up(c->data_blocks, COUNTS_PER_BLOCK) <=
		   c->reference_count_blocks);
	while (pbn < end) {
		uint64_t n = MIN(USAGE_READ_BLOCKS,
				 div_up(end - pbn, COUNTS_PER_BLOCK));
		const uint8_t *sector = buf;

		result = usage_read(u, at, n, buf);
		if (result != 0)
			return result;
		at += n;
		n = MIN(end - pbn, n * COUNTS_PER_BLOCK);
		for (uint64_t i = 0; result == 0 && i < n; i++) {
			if (i > 0 && i % COUNTS_PER_SECTOR == 0)
				sector += SECTOR_SIZE;
			result = take(arg, pbn++,
				      sector[SECTOR_SIZE - COUNTS_PER_SECTOR +
					     i % COUNTS_PER_SECTOR]);
		}
		if (result != 0)
			return result;
	}
	return 0;
}

static int count_used(void *arg, pbn_t pbn, uint8_t count)
{
	uint64_t *used = arg;

	(void)pbn;
	*used += count != 0 && count != COUNT_PROVISIONAL;
	return 0;
}

static int count_slabs(struct usage *u, uint8_t *buf)
{
	uint64_t used = 0, unsure = 0, off;

	VDO_ASSERT(u->summary != NULL && u->result.why == NULL);
	for (uint64_t i = 0; i < u->slabs.slab_count; i++) {
		struct summary_entry e = usage_summary(u, i);
		int result = 0;

		if (usage_is_unused(e))
			continue;
		if (e.load && !e.dirty) {
			result = usage_each_count(u, i, buf, count_used,
						  &used);
		} else {
			used += estimate(u, e, &off);
			unsure += off;
			u->result.why = "counts of some slabs wait for their "
					"journals";
		}
		if (result != 0)
			return result;
	}
	VDO_ASSERT(used <= u->slabs.slab_count * u->slabs.data_blocks);
	set_allocated(u, used);
	u->result.unsure_blocks = unsure;
	if (u->result.why == NULL)
		u->result.level = VDO_USAGE_COUNTED;
	return 0;
}

/* ---------------------------------------------------------------------- job */

int usage_create(struct vdo_device *device, bool map, struct usage **usage,
		 struct vdo_error *error)
{
	struct usage *u = alloc_zeroed(1, sizeof(*u));
	int result;

	VDO_ASSERT(queue_running == NULL);
	if (u == NULL)
		return -ENOMEM;
	u->device = device;
	u->map = map;
	u->part_blocks = USAGE_PART_BLOCKS;
	result = executor_inline_create(&u->executor);
	if (result == 0)
		result = device_claim(device, u->executor);
	u->claimed = result == 0;
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	if (result == 0)
		result = begin(u, device, error);
	if (result != 0) {
		usage_destroy(u);
		return result;
	}
	*usage = u;
	return 0;
}

void usage_destroy(struct usage *u)
{
	if (u == NULL)
		return;
	VDO_ASSERT(queue_running == NULL);
	if (u->claimed)
		device_release(u->device);
	executor_destroy(u->executor);
	alloc_free(u->summary);
	alloc_free(u);
}

int usage_run(struct usage *u, struct vdo_error *error)
{
	uint8_t *buf;
	int result;

	VDO_ASSERT(u->claimed && queue_running == NULL);
	if (atomic_load(&u->stop))
		return -ECANCELED;
	if (u->result.level != VDO_USAGE_ESTIMATED)
		return 0;
	buf = alloc_aligned(BLOCK_SIZE, USAGE_READ_BLOCKS, BLOCK_SIZE);
	if (buf == NULL)
		return -ENOMEM;
	result = count_slabs(u, buf);
	alloc_free(buf);
	if (result == 0 && u->map && u->result.level == VDO_USAGE_COUNTED)
		result = usage_walk_map(u);
	if (result == 0) /* of what is damaged less was read */
		counter_set(&u->done, counter_get(&u->total));
	if (result == -VDO_ECORRUPT)
		return error_set(error, result,
				 "pages of the block map lead to each other: it "
				 "is damaged, and what is mapped cannot be "
				 "told");
	if (result != 0 && result != -ECANCELED && result != -ENOMEM)
		error_set(error, result,
			  "the volume cannot be read: %s; check the storage",
			  vdo_strerror(result));
	return result;
}

void usage_stop(struct usage *u)
{
	atomic_store(&u->stop, true);
}

void usage_progress(struct usage *u, struct vdo_job_progress *p)
{
	p->phase = atomic_load(&u->phase);
	p->total = counter_get(&u->total);
	p->done = MIN(counter_get(&u->done), p->total);
}

const struct vdo_usage *usage_result(const struct usage *u)
{
	return &u->result;
}
