/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before a volume can be opened: what is there, and the components in memory.
 *
 *	geometry     blocks 0 and D are read and checked
 *	state        can it be served as it is?
 *	topology     queues and zones
 *	components   journal, depot, map, packer, dedupe, path
 *	reserve      of a sparse file: storage for roots, journal and summary
 *
 * This runs on the thread of the caller. The two blocks tell which queues there
 * are to be, so no queue could read them; the rest takes no I/O, except that a
 * file system is asked for space. Nothing is written: all that changes a volume
 * is in the table of load.c, which runs on its queues.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/plug.h"

#define DEPTH_MIN 16u

static int read_blocks(struct volume *v)
{
	int result = super_read_claimed(v->device, &v->geometry, &v->sb,
					v->error);

	if (result == 0)
		v->device->needed_bytes = v->sb.physical_blocks * BLOCK_SIZE;
	return result;
}

static int refuse(struct volume *v, int result, const char *what)
{
	return error_set(v->error, result, "the volume %s", what);
}

static int make_storage(struct volume *v)
{
	storage_init(&v->storage, v->device, v->geometry.bio_offset);
	return plug_init(&v->storage, v->settings.open.io_merge);
}

/* Opened read-only any state will do: nothing depends on counts (overlay.c). */
static int check_state(struct volume *v)
{
	VDO_ASSERT(v->sb.nonce == v->geometry.nonce);
	v->opened_read_only = v->settings.open.read_only;
	if ((v->device->flags & VDO_DEVICE_READ_ONLY) != 0 &&
	    !v->opened_read_only)
		return error_set(v->error, -EROFS,
				 "the storage is read-only; open the volume "
				 "with option read-only=on");
	switch (v->sb.state) {
	case VOLUME_DIRTY:
	case VOLUME_REPLAYING:
		if (v->opened_read_only)
			break;
		if (!v->settings.open.recover)
			return refuse(v, -VDO_EDIRTY,
				      "was not closed, and option recover is "
				      "off; open it with recover=on, which "
				      "loses nothing that was flushed");
		break;
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		if (v->opened_read_only)
			break;
		return refuse(v, -VDO_EREBUILD,
			      "is marked for a rebuild: vdo_rebuild() or "
			      "'vdoctl rebuild' does it; until then open it "
			      "with read-only=on");
	case VOLUME_READ_ONLY:
		v->opened_read_only = true;
		log_warning(&v->log,
			    "volume: in read-only mode since an earlier "
			    "error; it can be read, and will be written again "
			    "after a rebuild");
		break;
	default:
		break;
	}
	return 0;
}

/*
 * After a crash a slab journal takes all entries that it was waiting to take,
 * two a request at worst, and they could all be of one slab. So no more requests
 * are let in than its blocks above the blocking threshold have room for (I40).
 * They have it for any depth, unless the journals are very short; those of 2
 * blocks, which nobody makes any more, have no such blocks at all.
 */
static void limit_depth(struct volume *v)
{
	const struct slab_config *c = &v->sb.slab;
	uint64_t blocks = c->slab_journal_blocks - c->blocking_threshold;
	uint64_t most = blocks * SLAB_FULL_ENTRIES_MAX / 2;

	VDO_ASSERT(c->blocking_threshold <= c->slab_journal_blocks);
	v->requests = MIN(4 * v->settings.open.depth, REQUESTS_MAX);
	if (blocks == 0 || v->requests <= most)
		return;
	v->requests = (unsigned)most;
	if (v->settings.open.depth <= most)
		return;
	v->settings.open.depth = (unsigned)most;
	log_info(&v->log,
		 "volume: depth is %u, as its slab journals have %llu blocks",
		 v->settings.open.depth,
		 (unsigned long long)c->slab_journal_blocks);
}

static int make_queues(struct volume *v)
{
	uint64_t slabs = (v->sb.depot_last_block - v->sb.depot_first_block) /
			 v->sb.slab.slab_blocks;
	struct index_config index;
	int result;

	v->has_index = !v->opened_read_only &&
		       v->settings.open.index == INDEX_AUTO &&
		       volume_index_config(&v->geometry, &index);
	result = topology_create(&v->topology, v->executor, &v->settings.open,
				 slabs, v->has_index);
	VDO_ASSERT(!v->opened_read_only || !v->has_index);
	return result != 0 ? result : read_only_init(v);
}

static void init_lives(struct volume *v)
{
	VDO_ASSERT(v->service == SERVICE_NOT_YET);
	life_init_open(v);
	life_init_close(v);
	life_init_suspend(v);
	life_init_resume(v);
	life_init_grow(v);
}

static bool may_lower_depth(const struct volume *v)
{
	return v->settings.open.memory != 0 && !v->settings.open.depth_given &&
	       v->settings.open.memory < v->memory.least &&
	       v->settings.open.depth / 2 >= DEPTH_MIN;
}

/* With less depth if they are more than option memory has space for. */
static int fit_components(struct volume *v)
{
	int result;

	for (;;) {
		limit_depth(v);
		memory_begin(v);
		result = components_create(v);
		if (result != 0)
			return result;
		result = memory_share(v);
		if (result == 0 || !may_lower_depth(v))
			return result;
		components_destroy(v);
		error_clear(v->error);
		v->settings.open.depth /= 2;
	}
}

static int make_components(struct volume *v)
{
	struct super_writer_config c = {
		.queue = v->topology.journal,
		.storage = &v->storage,
		.sync = &v->sync,
		.readonly = &v->readonly,
		.pbn = v->geometry.data_start,
		.sb = &v->sb,
	};
	int result = super_writer_init(&v->super, &c);

	VDO_ASSERT(v->geometry.data_start > v->geometry.bio_offset);
	if (result == 0)
		result = still_there_init(v);
	if (result != 0)
		return result;
	init_lives(v);
	memory_note(v, MEMORY_ENGINE);
	return fit_components(v);
}

/* What a volume that was not closed needs beside its components. */
static int make_recovery(struct volume *v)
{
	struct recovery_config c = {
		.queue = v->topology.journal,
		.storage = &v->storage,
		.sync = &v->sync,
		.depot = v->depot,
		.log = &v->log,
		.sb = &v->sb,
		.batch_entries = v->settings.open.recovery_batch,
		.stop = &v->stop,
		.summary_merged = v->sb.zone_count ==
						  v->topology.physical_zones
					  ? NULL
					  : super_mark_zones,
		.arg = v,
	};

	if (v->opened_read_only || (v->sb.state != VOLUME_DIRTY &&
				    v->sb.state != VOLUME_REPLAYING))
		return 0;
	return recovery_create(&c, &v->recovery);
}

static int reserve(struct volume *v, unsigned id)
{
	const struct partition *p = &v->sb.partitions[id];

	VDO_ASSERT(!v->opened_read_only && p->start > v->geometry.bio_offset);
	return device_reserve(v->device,
			      (p->start - v->geometry.bio_offset) * BLOCK_SIZE,
			      p->count * BLOCK_SIZE);
}

/* What could not be written later would put the volume into read-only mode. */
static int reserve_storage(struct volume *v)
{
	int result;

	if (v->opened_read_only)
		return 0;
	result = reserve(v, PARTITION_BLOCK_MAP);
	if (result == 0)
		result = reserve(v, PARTITION_JOURNAL);
	if (result == 0)
		result = reserve(v, PARTITION_SUMMARY);
	if (result == 0)
		return 0;
	return error_set(v->error, result,
			 "no storage for the journal and summary: %s",
			 error_space_advice(result));
}

/* What is done, in order, and what the log calls it. */
static const struct {
	int (*run)(struct volume *v);
	const char *name;
	bool measured; /* also if all that is wanted is its memory */
} steps[] = {
	{read_blocks, "reading geometry and super block", false},
	{check_state, "checking the state", true},
	{make_storage, "preparing the storage", true},
	{make_queues, "making queues", true},
	{make_components, "making components", true},
	{make_recovery, "preparing the recovery", false},
	{reserve_storage, "reserving storage", false},
};

static struct volume *begin(struct vdo_device *device, struct executor *x,
			    struct front *front, const struct settings *s,
			    struct vdo_error *error)
{
	uint64_t own = alloc_own(), spare = alloc_own_spare();
	struct volume *v = alloc_aligned(CACHE_LINE, 1, sizeof(*v));

	VDO_ASSERT(device != NULL && x != NULL && front != NULL);
	VDO_ASSERT(queue_running == NULL);
	if (v == NULL)
		return NULL;
	v->device = device;
	v->executor = x;
	v->front = front;
	v->settings = *s;
	v->log = s->log;
	v->error = error;
	v->memory.own = own;
	v->memory.own_spare = spare;
	return v;
}

static int take_steps(struct volume *v, bool measure)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && result == 0; i++) {
		if (measure && !steps[i].measured)
			continue;
		result = steps[i].run(v);
		if (result != 0)
			log_error(&v->log, "volume: %s failed, result=%d",
				  steps[i].name, result);
	}
	return result;
}

int volume_create(struct vdo_device *device, struct executor *x,
		  struct front *front, const struct settings *s,
		  struct volume **volume, struct vdo_error *error)
{
	struct volume *v = begin(device, x, front, s, error);
	int result;

	*volume = NULL;
	if (v == NULL)
		return -ENOMEM;
	result = take_steps(v, false);
	v->error = NULL;
	if (result != 0)
		volume_destroy(v);
	else
		*volume = v;
	return result;
}

int volume_measure(struct vdo_device *device, struct executor *x,
		   struct front *front, const struct settings *s,
		   const struct geometry *g, const struct superblock *sb,
		   struct volume_memory *memory, struct vdo_error *error)
{
	struct volume *v = begin(device, x, front, s, error);
	int result;

	if (v == NULL)
		return -ENOMEM;
	v->geometry = *g;
	v->sb = *sb;
	result = take_steps(v, true);
	*memory = v->memory;
	v->error = NULL;
	volume_destroy(v);
	return result;
}
