/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the index of a volume is, for opening it and for work on the index of a
 * volume that is not open.
 *
 * The geometry block says it all. A rebuild reads the super block as well: it
 * writes, and so wants to be sure where the index ends.
 */
#include "build.h"

#include "volume/reindex.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/error.h"
#include "exec/clock.h"
#include "volume/volume_priv.h"

static uint64_t wall_ms(void *arg)
{
	return clock_wall_us() / 1000;
}

bool volume_index_config(const struct geometry *g, struct index_config *c)
{
	struct index_geometry shape;

	/* The geometry block is block 0 of the device: no index goes there. */
	if (g->index_memory == 0 || g->index_start <= g->bio_offset ||
	    g->data_start <= g->index_start)
		return false;
	c->memory = g->index_memory;
	c->sparse = g->index_sparse;
	c->nonce = g->nonce;
	c->first_block = g->index_start;
	c->block_count = g->data_start - g->index_start;
	c->kind = MIO_INDEX;
	c->wall_ms = wall_ms;
	return index_geometry_init(&shape, c->memory, c->sparse,
				   c->block_count) == 0 &&
	       shape.total_blocks <= c->block_count;
}

/* False: the volume has no index. */
static bool place_of(const struct geometry *g, struct index_place *p)
{
	struct index_config c = {0};

	if (!volume_index_config(g, &c))
		return false;
	VDO_ASSERT(c.first_block > g->bio_offset);
	*p = (struct index_place){
		.memory = c.memory,
		.sparse = c.sparse,
		.nonce = c.nonce,
		.first_block = c.first_block - g->bio_offset,
		.block_count = c.block_count,
	};
	return true;
}

int volume_index_inspect(struct vdo_device *device,
			 struct vdo_index_info *info, struct vdo_error *error)
{
	struct index_place place;
	struct geometry g;
	int r = geometry_read(device, &g, error);

	if (r != 0)
		return r;
	if (place_of(&g, &place))
		return index_inspect(device, &place, info, error);
	*info = (struct vdo_index_info){
		.memory = g.index_memory,
		.sparse = g.index_sparse,
		.state = VDO_INDEX_NONE,
	};
	return 0;
}

int volume_reindex_create(struct vdo_device *device, struct executor *executor,
			  const struct settings *s, bool writes,
			  struct reindex **reindex, struct vdo_error *error)
{
	struct reindex_config c = {
		.device = device,
		.executor = executor,
		.writes = writes,
		.kind = MIO_INDEX,
		.wall_ms = wall_ms,
		.log = s->log,
	};
	struct geometry g;
	struct superblock sb;
	int r;

	VDO_ASSERT(queue_running == NULL);
	if (writes && (device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	r = writes ? super_read(device, &g, &sb, error)
		   : geometry_read(device, &g, error);
	if (r != 0)
		return r;
	if (!place_of(&g, &c.place))
		return error_set(error, -VDO_ENOINDEX,
				 "the volume was formatted without an index");
	VDO_ASSERT(!writes || sb.nonce == g.nonce); /* it is validated */
	c.bio_offset = g.bio_offset;
	r = reindex_create(&c, reindex, error);
	/* A flush says so if somebody makes it shorter meanwhile. */
	if (r == 0 && writes)
		device->needed_bytes = sb.physical_blocks * BLOCK_SIZE;
	return r;
}
