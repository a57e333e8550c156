/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free blocks go back: the slabs one after another, each as a row of free ranges.
 * What a slab has in use is looked up as usage does (usage_priv.h).
 */
#include "build.h"

#include "check/trim.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/usage_priv.h"
#include "exec/executor.h"
#include "format/slab.h"
#include "io/device.h"

/* Blocks that are given up at a time. */
#define DISCARD_BLOCKS (UINT64_C(1) << 18)

struct trim {
	struct usage *usage;
	struct vdo_device *device;
	pbn_t free;	     /* the first block of a range that goes on */
	uint64_t free_count; /* of it; 0: none */
	counter_t done; /* bytes of slabs */
	struct vdo_trimmed result;
};

static int refuse(struct vdo_device *device, const struct usage *u,
		  struct vdo_error *error)
{
	switch (u->sb.state) {
	case VOLUME_NEW:
	case VOLUME_CLEAN:
		break;
	case VOLUME_READ_ONLY:
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return error_set(error, -VDO_EREBUILD,
				 "the volume went read-only, so that what is "
				 "free may not be: rebuild it first ('vdoctl "
				 "rebuild')");
	default:
		return error_set(error, -VDO_EDIRTY,
				 "the volume was not closed: open and close it "
				 "first, which recovers it");
	}
	if (device->flags & VDO_DEVICE_READ_ONLY)
		return error_set(error, -EROFS, "the storage is read-only");
	if (!(device->flags & VDO_DEVICE_CAN_DISCARD))
		return error_set(error, -EOPNOTSUPP,
				 "this storage gives no space back");
	return 0;
}

int trim_create(struct vdo_device *device, struct trim **trim,
		struct vdo_error *error)
{
	struct trim *t = alloc_zeroed(1, sizeof(*t));
	int result;

	VDO_ASSERT(queue_running == NULL);
	if (t == NULL)
		return -ENOMEM;
	t->device = device;
	result = usage_create(device, false, &t->usage, error);
	if (result == 0)
		result = refuse(device, t->usage, error);
	if (result != 0) {
		trim_destroy(t);
		return result;
	}
	t->result.slabs = t->usage->slabs.slab_count;
	*trim = t;
	return 0;
}

void trim_destroy(struct trim *t)
{
	if (t == NULL)
		return;
	usage_destroy(t->usage);
	alloc_free(t);
}

/* The range has ended. */
static int give_up(struct trim *t)
{
	const struct usage *u = t->usage;
	int result = 0;

	VDO_ASSERT(t->free_count <= u->slabs.data_blocks);
	t->result.ranges += t->free_count > 0;
	while (result == 0 && t->free_count > 0) {
		uint64_t n = MIN(t->free_count, DISCARD_BLOCKS);

		VDO_ASSERT(t->free > u->geometry.data_start);
		VDO_ASSERT(t->free + n <= u->sb.physical_blocks);
		if (atomic_load_explicit(&u->stop, memory_order_relaxed))
			return -ECANCELED;
		result = device_discard(
			t->device,
			(t->free - u->geometry.bio_offset) * BLOCK_SIZE,
			n * BLOCK_SIZE);
		t->free += n;
		t->free_count -= n;
		t->result.free_blocks += result == 0 ? n : 0;
	}
	return result;
}

static int take(void *arg, pbn_t pbn, uint8_t count)
{
	struct trim *t = arg;

	if (count != 0)
		return t->free_count > 0 ? give_up(t) : 0;
	if (t->free_count++ == 0)
		t->free = pbn;
	VDO_ASSERT(t->free + t->free_count == pbn + 1);
	return 0;
}

static int trim_used(struct trim *t, uint64_t slab, uint8_t *buf)
{
	int result = usage_each_count(t->usage, slab, buf, take, t);

	return result == 0 ? give_up(t) : result;
}

static int trim_slab(struct trim *t, uint64_t slab, uint8_t *buf)
{
	static const struct summary_entry never_used;
	const struct usage *u = t->usage;
	pbn_t start = slab_start(&u->slabs, slab);
	struct summary_entry e =
		u->summary == NULL ? never_used : usage_summary(u, slab);

	VDO_ASSERT(t->free_count == 0);
	if (usage_is_unused(e)) {
		t->free = start;
		t->free_count = u->slabs.data_blocks;
		return give_up(t);
	}
	if (!e.load || e.dirty) {
		t->result.slabs_left++;
		return 0;
	}
	return trim_used(t, slab, buf);
}

static int trim_all(struct trim *t)
{
	uint8_t *buf = alloc_aligned(BLOCK_SIZE, USAGE_READ_BLOCKS, BLOCK_SIZE);
	int result = 0;

	if (buf == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; result == 0 && i < t->result.slabs; i++) {
		result = trim_slab(t, i, buf);
		counter_add(&t->done, t->usage->slabs.data_blocks * BLOCK_SIZE);
	}
	alloc_free(buf);
	/* What comes next is not to overtake it. */
	return result == 0 ? device_flush(t->device) : result;
}

int trim_run(struct trim *t, struct vdo_error *error)
{
	uint64_t free_bytes, before, after;
	bool known = device_space(t->device, &free_bytes, &before);
	int result = atomic_load(&t->usage->stop) ? -ECANCELED : trim_all(t);

	if (result == 0 && known &&
	    device_space(t->device, &free_bytes, &after))
		t->result.freed_bytes = before - MIN(before, after);
	if (result == -EOPNOTSUPP)
		return error_set(error, result,
				 "this storage, or its file system, gives no "
				 "space back");
	if (result != 0 && result != -ECANCELED && result != -ENOMEM)
		error_set(error, result,
			  "not all free blocks were given back: %s; the volume "
			  "is as it was; check the storage, and try again",
			  vdo_strerror(result));
	return result;
}

void trim_stop(struct trim *t)
{
	usage_stop(t->usage);
}

void trim_progress(struct trim *t, struct vdo_job_progress *p)
{
	p->phase = "giving space back";
	p->total = t->result.slabs * t->usage->slabs.data_blocks * BLOCK_SIZE;
	p->done = MIN(counter_get(&t->done), p->total);
}

const struct vdo_trimmed *trim_result(const struct trim *t)
{
	return &t->result;
}
