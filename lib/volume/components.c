/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building the components of a volume, lowest first, and wiring the upcalls.
 *
 * Sizes that follow from others are chosen here: how long a changed page may
 * stay in memory, how many fragments may be parked. What shares the memory gets
 * its size when all are there (memory.c).
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"

/*
 * The era length, in journal blocks. Half of the ring at most, so that old
 * blocks are let go of before the ring is full (I38).
 */
static uint64_t maximum_age(const struct volume *v)
{
	uint64_t ring = v->sb.recovery_journal_size;
	uint64_t usable = ring - journal_reserved(ring);
	uint64_t age = v->settings.open.maximum_age;

	VDO_ASSERT(usable <= ring);
	if (age == 0)
		age = 11738; /* what Linux makes of its default, 16380 */
	return MAX(1, MIN(age, usable / 2));
}

/* What may be parked in the packer: less than half of the requests. */
static unsigned bin_count(unsigned depth)
{
	return MAX(1, MIN(16, depth / 28));
}

static int create_journal(struct volume *v)
{
	struct journal_config c = {
		.queue = v->topology.journal,
		.storage = &v->storage,
		.sync = &v->sync,
		.readonly = &v->readonly,
		.log = &v->log,
		.partition = v->sb.partitions[PARTITION_JOURNAL],
		.nonce = v->sb.nonce,
		.recovery_count = (uint8_t)v->sb.complete_recoveries,
		.start = v->sb.journal_start,
		/* Counts for people only: no reason to refuse a volume. */
		.logical_blocks_used = MIN(v->sb.logical_blocks_used,
					   v->sb.logical_blocks),
		.block_map_data_blocks = MIN(v->sb.block_map_data_blocks,
					     v->sb.physical_blocks),
	};

	VDO_ASSERT(c.partition.count >= v->sb.recovery_journal_size);
	c.partition.count = v->sb.recovery_journal_size;
	return journal_create(&c, &v->journal);
}

static bool storage_is_file(const struct volume *v)
{
	return v->device->file != NULL && !v->device->block_device;
}

/* Somebody may have set all storage of a file aside on purpose. */
static bool is_preallocated(struct volume *v)
{
	uint64_t free_bytes, taken_bytes;

	return device_space(v->device, &free_bytes, &taken_bytes) &&
	       taken_bytes >= v->device->size_bytes;
}

static enum depot_reclaim choose_reclaim(struct volume *v)
{
	enum settings_reclaim setting = v->settings.open.reclaim;
	bool automatic = setting == RECLAIM_SETTING_AUTO;

	VDO_ASSERT(v->depot == NULL);
	if (setting == RECLAIM_SETTING_OFF || v->opened_read_only ||
	    (automatic && !storage_is_file(v)))
		return RECLAIM_OFF;
	if ((v->device->flags & VDO_DEVICE_CAN_DISCARD) == 0) {
		log_warning(&v->log,
			    "volume: this storage gives no space back; option "
			    "reclaim does nothing");
		return RECLAIM_OFF;
	}
	if (automatic && is_preallocated(v)) {
		log_info(&v->log,
			 "volume: the file had all of its storage when it was "
			 "opened, and keeps it; reclaim=on gives free blocks "
			 "back");
		return RECLAIM_OFF;
	}
	return setting == RECLAIM_SETTING_CLOSE ? RECLAIM_AT_CLOSE : RECLAIM_ON;
}

static int create_depot(struct volume *v)
{
	struct depot_config c = {
		.zone_count = v->topology.physical_zones,
		.queues = v->topology.physical,
		.storage = &v->storage,
		.sync = &v->sync,
		.readonly = &v->readonly,
		.log = &v->log,
		.journal = v->journal,
		.sb = &v->sb,
		.locks_max = 2 * v->requests,
		.buffers = v->settings.open.slab_buffers,
		.stop = &v->stop,
		.fill = {v->topology.journal, space_told, v},
		.reclaim = choose_reclaim(v),
		.reclaim_blocks = v->settings.open.reclaim_blocks,
	};

	VDO_ASSERT(v->journal != NULL && v->depot == NULL);
	space_init(v);
	return depot_create(&c, &v->depot);
}

static int create_map(struct volume *v)
{
	struct map_config c = {
		.zone_count = v->topology.logical_zones,
		.queues = v->topology.logical,
		.journal_queue = v->topology.journal,
		.storage = &v->storage,
		.sync = &v->sync,
		.readonly = &v->readonly,
		.log = &v->log,
		.journal = v->journal,
		.depot = v->depot,
		.sb = &v->sb,
		.maximum_age = maximum_age(v),
		.journal_tail = v->sb.journal_start,
	};

	VDO_ASSERT(v->depot != NULL && v->map == NULL);
	return map_create(&c, &v->map);
}

static int create_packer(struct volume *v)
{
	struct packer_config c = {
		.queue = v->topology.packer,
		.bin_count = bin_count(v->settings.open.depth),
		.enabled = v->settings.open.compression,
	};

	return packer_create(&c, &v->packer);
}

static int create_advice(struct volume *v)
{
	struct topology *t = &v->topology;
	struct index_config index = {
		.storage = &v->storage,
		.sync = &v->sync,
		.queue = t->index,
		.zone_count = t->index_zones,
		.log = &v->log,
	};
	struct advice_config c = {
		.zone_count = t->hash_zones,
		.queues = t->hash,
		.asks_max = v->requests,
		.entries_max = memory_names(v),
	};
	int result;

	for (unsigned i = 0; i < t->index_zones; i++)
		index.zones[i] = t->index_zone[i];
	if (v->has_index && volume_index_config(&v->geometry, &index))
		c.index = &index;
	result = advice_create(&c, &v->advice);
	if (result == -ENOMEM && v->has_index)
		error_set(v->error, result,
			  "there is not enough memory for the index of the "
			  "volume; option index=memory does without it");
	return result;
}

static int create_dedupe(struct volume *v)
{
	struct dedupe_config c = {
		.zone_count = v->topology.hash_zones,
		.queues = v->topology.hash,
		.packer = v->packer,
		.slabs = depot_geometry(v->depot),
		.locks_max = v->requests,
		.enabled = v->settings.open.deduplication,
	};

	VDO_ASSERT(v->advice != NULL && v->packer != NULL);
	c.advice = v->advice;
	return dedupe_create(&c, &v->dedupe);
}

static int create_path(struct volume *v)
{
	struct path_config c = {
		.depth = v->settings.open.depth,
		.requests = v->requests,
		.front = v->front,
		.logical_zones = v->topology.logical_zones,
		.logical_queues = v->topology.logical,
		.hash_zones = v->topology.hash_zones,
		.hash_queues = v->topology.hash,
		.journal_queue = v->topology.journal,
		.packer_queue = v->topology.packer,
		.storage = &v->storage,
		.readonly = &v->readonly,
		.log = &v->log,
		.journal = v->journal,
		.depot = v->depot,
		.map = v->map,
		.packer = v->packer,
		.dedupe = v->dedupe,
		.deduplication = v->settings.open.deduplication,
		.holding = space_holding,
		.holding_arg = v,
	};

	VDO_ASSERT(v->front != NULL && v->map != NULL && v->dedupe != NULL);
	return path_create(&c, &v->path);
}

static void tail_moved(void *arg, seq_t tail)
{
	struct volume *v = arg;

	VDO_ASSERT(queue_is_current(v->topology.journal));
	map_tail_moved(v->map, tail);
}

static void commit_slab_journals(void *arg, seq_t head)
{
	struct volume *v = arg;

	VDO_ASSERT(queue_is_current(v->topology.journal));
	depot_commit_tails(v->depot, head);
}

static void flush_failed(void *arg, int result)
{
	struct volume *v = arg;

	VDO_ASSERT(result < 0);
	readonly_enter(&v->readonly, result, "a flush of the storage failed");
}

/* In this order, as each stands on those before it. */
static const struct {
	int (*create)(struct volume *v);
	enum memory_kind kind;
} components[] = {
	{create_journal, MEMORY_JOURNAL}, {create_depot, MEMORY_SLABS},
	{create_map, MEMORY_MAP},	  {create_packer, MEMORY_REQUESTS},
	{create_advice, MEMORY_INDEX},	  {create_dedupe, MEMORY_REQUESTS},
	{create_path, MEMORY_REQUESTS},
};

int components_create(struct volume *v)
{
	struct journal_holders holders = {
		.arg = v,
		.tail_moved = tail_moved,
		.commit_slab_journals = commit_slab_journals,
	};
	int result = 0;

	VDO_ASSERT(v->path == NULL && v->service == SERVICE_NOT_YET);
	memory_note(v, MEMORY_ENGINE);
	sync_init(&v->sync, v->topology.journal, &v->storage, flush_failed, v);
	for (size_t i = 0; i < ARRAY_SIZE(components) && result == 0; i++) {
		result = components[i].create(v);
		memory_note(v, components[i].kind);
	}
	if (result != 0)
		return result;
	journal_set_holders(v->journal, &holders);
	return 0;
}

void components_destroy(struct volume *v)
{
	/* They are built in one order: who is there stands on all below it. */
	VDO_ASSERT(v->path == NULL || v->dedupe != NULL);
	VDO_ASSERT(v->map == NULL || (v->depot != NULL && v->journal != NULL));
	recovery_destroy(v->recovery);
	path_destroy(v->path);
	dedupe_destroy(v->dedupe);
	advice_destroy(v->advice);
	packer_destroy(v->packer);
	map_destroy(v->map);
	depot_destroy(v->depot);
	journal_destroy(v->journal);
	v->recovery = NULL;
	v->path = NULL;
	v->dedupe = NULL;
	v->advice = NULL;
	v->packer = NULL;
	v->map = NULL;
	v->depot = NULL;
	v->journal = NULL;
}
