/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a volume: the table.
 *
 *	geometry     blocks 0 and D are read and checked
 *	state        can it be served as it is?
 *	topology     queues and zones
 *	components   journal, depot, map, packer, dedupe, path
 *	reserve      of a sparse file: storage for roots, journal and summary
 *	depot        summary, slab journals, reference counts
 *	dirty        the super block says that the volume is in use (I13)
 *	index        loaded, or made; a rebuild goes on while the volume is used
 *
 * An error leaves the disk as it was before "depot"; what that phase writes (the
 * merged summary, scrubbed counts) is good in any state.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static int load_geometry(struct volume *v)
{
	int result = super_read(v->device, &v->geometry, &v->sb, v->error);

	if (result == 0)
		v->device->needed_bytes = v->sb.physical_blocks * BLOCK_SIZE;
	return result;
}

static int refuse(struct volume *v, int result, const char *what)
{
	return error_set(v->error, result, "the volume %s", what);
}

static int load_state(struct volume *v)
{
	v->opened_read_only = v->settings.open.read_only;
	if ((v->device->flags & VDO_DEVICE_READ_ONLY) != 0 &&
	    !v->opened_read_only)
		return error_set(v->error, -EROFS,
				 "the storage is read-only; open the volume "
				 "with option read-only=on");
	switch (v->sb.state) {
	case VOLUME_DIRTY:
	case VOLUME_REPLAYING:
		return refuse(v, -VDO_EDIRTY,
			      "was not closed and needs recovery, which this "
			      "version cannot do; start and stop it once with "
			      "Linux's dm-vdo");
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return refuse(v, -VDO_EREBUILD,
			      "is marked for a rebuild, which this version "
			      "cannot do; start and stop it once with Linux's "
			      "dm-vdo");
	case VOLUME_READ_ONLY:
		v->opened_read_only = true;
		log_warning(&v->log,
			    "volume: in read-only mode since an earlier "
			    "error; until it is rebuilt, blocks may have "
			    "older contents or those of other blocks");
		break;
	default:
		break;
	}
	storage_init(&v->storage, v->device, v->geometry.bio_offset);
	return 0;
}

static int load_topology(struct volume *v)
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
	return result != 0 ? result : read_only_init(v);
}

static int load_components(struct volume *v)
{
	v->super_block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	if (v->super_block == NULL)
		return -ENOMEM;
	return components_create(v);
}

static int reserve(struct volume *v, unsigned id)
{
	const struct partition *p = &v->sb.partitions[id];

	return device_reserve(v->device,
			      (p->start - v->geometry.bio_offset) * BLOCK_SIZE,
			      p->count * BLOCK_SIZE);
}

/* What could not be written later would put the volume into read-only mode. */
static int load_reserve(struct volume *v)
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

static void start_depot(struct volume *v, struct completion *done)
{
	depot_load(v->depot, v->sb.state == VOLUME_NEW, done);
}

static int load_depot(struct volume *v)
{
	int result;

	if (v->opened_read_only) {
		atomic_store(&v->readonly.reason, -VDO_EREADONLY);
		storage_set_read_only(&v->storage);
		return 0;
	}
	result = await_run(v, v->topology.journal, start_depot);
	if (result == -VDO_ECORRUPT || result == -VDO_EREADONLY)
		return error_set(v->error, -VDO_ECORRUPT,
				 "a slab's metadata is damaged (the log says "
				 "which); open it with read-only=on to save "
				 "its data");
	if (error_is_no_space(result))
		return error_set(v->error, result,
				 "no storage for the journal and counts of a "
				 "slab: %s; or open it with read-only=on",
				 error_space_advice(result));
	return result;
}

static int load_dirty(struct volume *v)
{
	int result;

	if (v->opened_read_only)
		return 0;
	v->sb.state = VOLUME_DIRTY;
	v->sb.zone_count = (uint8_t)v->topology.physical_zones;
	v->sb.unused = v->geometry.unused;
	result = super_write(v);
	/* If that failed, the state on disk is as good as it was. */
	if (result == 0)
		v->online = true;
	return result;
}

static void open_index(struct volume *v, struct completion *done)
{
	advice_open(v->advice, v->settings.open.index_wait, done);
}

static int load_index(struct volume *v)
{
	if (!v->has_index)
		return 0;
	v->index_open = true;
	return await_run(v, v->topology.index, open_index);
}

static const struct phase load_phases[] = {
	{load_geometry, "reading geometry and super block"},
	{load_state, "checking the state"},
	{load_topology, "making queues"},
	{load_components, "making components"},
	{load_reserve, "reserving storage"},
	{load_depot, "loading the slab depot"},
	{load_dirty, "marking the volume as in use"},
	{load_index, "opening the index"},
	{NULL, NULL},
};

int volume_open(struct vdo_device *device, struct executor *x,
		const struct settings *s, struct volume **volume,
		struct vdo_error *error)
{
	struct volume *v = alloc_aligned(CACHE_LINE, 1, sizeof(*v));
	int result;

	*volume = NULL;
	if (v == NULL)
		return -ENOMEM;
	v->device = device;
	v->executor = x;
	v->settings = *s;
	v->log = s->log;
	v->error = error;
	result = phases_run(v, load_phases);
	v->error = NULL;
	if (result != 0) {
		volume_abandon(v);
		return result;
	}
	log_info(&v->log,
		 "volume: opened, logical=%llu physical=%llu zones=%u/%u/%u",
		 (unsigned long long)v->sb.logical_blocks,
		 (unsigned long long)v->sb.physical_blocks,
		 v->topology.logical_zones, v->topology.physical_zones,
		 v->topology.hash_zones);
	*volume = v;
	return 0;
}
