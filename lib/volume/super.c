/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Geometry and super block: reading them with errors that people can use, and
 * the states that the super block goes through (super_writer.c writes it).
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <string.h>

#include "base/error.h"

static int read_geometry(struct vdo_device *device, uint8_t *block,
			 struct geometry *g, struct vdo_error *error)
{
	int result;

	if (device->size_bytes < BLOCK_SIZE)
		return error_set(error, -VDO_ENOTVDO,
				 "this holds no volume, it has only %llu "
				 "bytes; format it first",
				 (unsigned long long)device->size_bytes);
	result = device_read(device, 0, block, BLOCK_SIZE);
	if (result != 0)
		return error_set(error, result,
				 "block 0 cannot be read: %s; check the storage",
				 vdo_strerror(result));
	result = geometry_decode(block, g);
	switch (result) {
	case 0:
		return 0;
	case -VDO_ENOTVDO:
		return error_set(error, result,
				 "no VDO volume is here (the magic number is "
				 "missing); format it first, or give another "
				 "file");
	case -VDO_EVERSION:
		return error_set(error, result,
				 "the geometry block has an unknown version; "
				 "this needs a newer library");
	default:
		return error_set(error, result,
				 "the geometry block is damaged; restore block "
				 "0 from a copy");
	}
}

static int read_super(struct vdo_device *device, uint8_t *block,
		      const struct geometry *g, struct superblock *sb,
		      struct vdo_error *error)
{
	const char *why = NULL;
	int result;

	if (g->data_start <= g->bio_offset ||
	    g->data_start - g->bio_offset >=
		    device->size_bytes / BLOCK_SIZE)
		return error_set(error, -VDO_ESIZE,
				 "the super block should be in block %llu, "
				 "behind the end of the storage; was it "
				 "truncated?",
				 (unsigned long long)g->data_start);
	result = device_read(device,
			     (g->data_start - g->bio_offset) * BLOCK_SIZE,
			     block, BLOCK_SIZE);
	if (result != 0)
		return error_set(error, result,
				 "the super block cannot be read: %s; check "
				 "the storage",
				 vdo_strerror(result));
	result = superblock_decode(block, g->data_start, sb);
	if (result != 0)
		return error_set(error, result,
				 "the super block in block %llu is unusable: "
				 "%s; restore it from a copy",
				 (unsigned long long)g->data_start,
				 vdo_strerror(result));
	result = superblock_validate(sb, g, &why);
	if (result != 0)
		return error_set(error, result,
				 "the super block makes no sense: %s; restore "
				 "it from a copy",
				 why != NULL ? why : vdo_strerror(result));
	return 0;
}

int geometry_read(struct vdo_device *device, struct geometry *g,
		  struct vdo_error *error)
{
	uint8_t block[BLOCK_SIZE];

	return read_geometry(device, block, g, error);
}

int super_read(struct vdo_device *device, struct geometry *g,
	       struct superblock *sb, struct vdo_error *error)
{
	uint8_t block[BLOCK_SIZE];
	uint64_t blocks = device->size_bytes / BLOCK_SIZE;
	int result = read_geometry(device, block, g, error);

	if (result == 0)
		result = read_super(device, block, g, sb, error);
	if (result == 0 && sb->physical_blocks > blocks)
		return error_set(error, -VDO_ESIZE,
				 "the volume has %llu blocks, but the storage "
				 "only %llu; was it truncated?",
				 (unsigned long long)sb->physical_blocks,
				 (unsigned long long)blocks);
	return result;
}

/*
 * Whoever had a volume that was not closed may have met a failed flush and ended
 * there. What is built on must be on the storage (D14), so it is looked at again
 * without what only a cache shows.
 */
int super_read_claimed(struct vdo_device *device, struct geometry *g,
		       struct superblock *sb, struct vdo_error *error)
{
	int result = super_read(device, g, sb, error);

	VDO_ASSERT(device_is_claimed(device));
	if (result != 0 || sb->state == VOLUME_NEW ||
	    sb->state == VOLUME_CLEAN ||
	    (device->flags & VDO_DEVICE_READ_ONLY))
		return result;
	result = device_forget(device);
	if (result != 0)
		return error_set(error, result,
				 "what was written to the storage cannot be "
				 "made durable: %s; check the storage",
				 vdo_strerror(result));
	return super_read(device, g, sb, error);
}

/* ------------------------------------------------------------------ writing */

static struct volume *volume_of(struct super_op *op)
{
	return container_of(op, struct volume, mark);
}

static bool to_dirty(struct super_op *op, struct superblock *sb)
{
	struct volume *v = volume_of(op);

	VDO_ASSERT(sb->state != VOLUME_READ_ONLY);
	sb->state = VOLUME_DIRTY;
	sb->zone_count = (uint8_t)v->topology.physical_zones;
	sb->unused = v->geometry.unused;
	return true;
}

/* All entries are in map and slab journals, durably: the journal begins anew,
 * after the last of its blocks (V 10.3 E). */
static bool to_recovered(struct super_op *op, struct superblock *sb)
{
	const struct recovery_result *r = &volume_of(op)->recovered;

	VDO_ASSERT(r->next > sb->journal_start);
	sb->complete_recoveries++;
	sb->journal_start = r->next;
	sb->logical_blocks_used = r->logical_blocks_used;
	sb->block_map_data_blocks = r->block_map_data_blocks;
	return to_dirty(op, sb);
}

static bool to_clean(struct super_op *op, struct superblock *sb)
{
	struct journal_state state;

	VDO_ASSERT(sb->state == VOLUME_DIRTY);
	journal_get_state(volume_of(op)->journal, &state);
	VDO_ASSERT(state.tail >= sb->journal_start);
	/* Slabs that are left to be scrubbed say so themselves (V 10.2). */
	sb->state = depot_unscrubbed(volume_of(op)->depot) ? VOLUME_RECOVERING
							   : VOLUME_CLEAN;
	sb->journal_start = state.tail;
	sb->logical_blocks_used = state.logical_blocks_used;
	sb->block_map_data_blocks = state.block_map_data_blocks;
	return true;
}

static bool to_other_zones(struct super_op *op, struct superblock *sb)
{
	VDO_ASSERT(sb->state != VOLUME_READ_ONLY);
	sb->zone_count = (uint8_t)volume_of(op)->topology.physical_zones;
	return true;
}

static void zones_marked(struct completion *c)
{
	struct volume *v = container_of(c, struct volume, mark.done);

	completion_finish(v->zones_marked, c->result);
}

void super_mark_zones(void *arg, struct completion *done)
{
	struct volume *v = arg;

	VDO_ASSERT(v->service == SERVICE_NOT_YET && v->recovery != NULL);
	v->zones_marked = done;
	v->mark.change = to_other_zones;
	completion_init(&v->mark.done, v->topology.journal, zones_marked);
	super_writer_write(&v->super, &v->mark);
}

void super_mark_dirty(struct volume *v)
{
	VDO_ASSERT(v->service != SERVICE_ON && !v->opened_read_only);
	v->mark.change = to_dirty;
	super_writer_write(&v->super, &v->mark);
}

void super_mark_recovered(struct volume *v)
{
	VDO_ASSERT(v->service == SERVICE_NOT_YET && v->recovery != NULL);
	v->mark.change = to_recovered;
	super_writer_write(&v->super, &v->mark);
}

void super_mark_clean(struct volume *v)
{
	VDO_ASSERT(v->service == SERVICE_STOPPED && v->save);
	v->mark.change = to_clean;
	super_writer_write(&v->super, &v->mark);
}

/* -------------------------------------------------------------- inspection */

static void fill_layout(struct vdo_info *i, const struct superblock *sb)
{
	i->slab_blocks = sb->slab.slab_blocks;
	i->slab_data_blocks = sb->slab.data_blocks;
	i->slab_count = (sb->depot_last_block - sb->depot_first_block) /
			sb->slab.slab_blocks;
	i->slab_journal_blocks = sb->slab.slab_journal_blocks;
	i->reference_count_blocks = sb->slab.reference_count_blocks;
	i->root_origin = sb->root_origin;
	i->root_count = sb->root_count;
	i->block_map_start = sb->partitions[PARTITION_BLOCK_MAP].start;
	i->block_map_count = sb->partitions[PARTITION_BLOCK_MAP].count;
	i->depot_start = sb->partitions[PARTITION_DEPOT].start;
	i->depot_count = sb->partitions[PARTITION_DEPOT].count;
	i->journal_partition_start = sb->partitions[PARTITION_JOURNAL].start;
	i->journal_partition_count = sb->partitions[PARTITION_JOURNAL].count;
	i->summary_start = sb->partitions[PARTITION_SUMMARY].start;
	i->summary_count = sb->partitions[PARTITION_SUMMARY].count;
}

int volume_inspect(struct vdo_device *device, struct vdo_info *i,
		   struct vdo_error *error)
{
	struct geometry g;
	struct superblock sb;
	int result = super_read(device, &g, &sb, error);

	if (result != 0)
		return result;
	memset(i, 0, sizeof(*i));
	i->geometry_major = g.version_major;
	i->nonce = g.nonce;
	memcpy(i->uuid, g.uuid, sizeof(i->uuid));
	i->bio_offset = (int64_t)g.bio_offset;
	i->index_start = g.index_start;
	i->data_start = g.data_start;
	i->index_memory = g.index_memory;
	i->index_sparse = g.index_sparse;
	i->state = sb.state;
	i->state_name = superblock_state_name(sb.state);
	i->complete_recoveries = sb.complete_recoveries;
	i->read_only_recoveries = sb.read_only_recoveries;
	i->logical_blocks = sb.logical_blocks;
	i->physical_blocks = sb.physical_blocks;
	i->recovery_journal_blocks = sb.recovery_journal_size;
	i->journal_start = sb.journal_start;
	i->logical_blocks_used = sb.logical_blocks_used;
	i->block_map_data_blocks = sb.block_map_data_blocks;
	i->zone_count = sb.zone_count;
	fill_layout(i, &sb);
	return 0;
}
