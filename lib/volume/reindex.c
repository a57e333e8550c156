/*
 * The index of a volume that is not open.
 */
#include "config.h"

#include "volume/volume_priv.h"

#include "index/index.h"

bool index_config_from(const struct geometry *g, struct index_config *c)
{
	struct index_geometry shape;

	if (g->index_memory == 0 || g->index_start < g->bio_offset ||
	    g->data_start <= g->index_start)
		return false;
	c->memory = g->index_memory;
	c->sparse = g->index_sparse;
	c->nonce = g->nonce;
	c->first_block = g->index_start;
	c->block_count = g->data_start - g->index_start;
	return index_geometry_init(&shape, c->memory, c->sparse,
				   c->block_count) == 0 &&
	       shape.total_blocks <= c->block_count;
}
