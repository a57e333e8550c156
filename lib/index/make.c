/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index is put together and taken apart.
 *
 * Each part is told in its configuration which of the others it works with, and
 * sees no more of the index than that. So this is the only place that knows all
 * of them; index.c has the flows in which they work.
 */
#include "build.h"

#include "index/index_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"

static void init_media(struct index *index)
{
	const struct index_config *c = &index->c;

	VDO_ASSERT(c->queue != NULL && c->storage != NULL && c->sync != NULL);
	index->failure.log = c->log;
	index->media = (struct index_media){
		.geometry = &index->geometry,
		.first_block = c->first_block,
		.block_count = c->block_count,
		.nonce = c->nonce,
		.storage = c->storage,
		.sync = c->sync,
		.kind = c->kind,
		.block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE),
		.log = c->log,
	};
}

static int init_zones(struct index *index)
{
	const struct index_config *c = &index->c;
	int r = 0;

	VDO_ASSERT(c->zone_count <= INDEX_ZONES_MAX);
	for (unsigned i = 0; i < c->zone_count && r == 0; i++) {
		r = index_zone_init(&index->zones[i], &(struct zone_config){
			.media = &index->media,
			.page_map = &index->page_map,
			.failure = &index->failure,
			.sparse = &index->sparse,
			.writer = &index->writer,
			.queue = c->zones[i],
			.number = i,
			.zone_count = c->zone_count,
		});
		index->contents.volumes[i] = &index->zones[i].volume;
	}
	return r;
}

static void init_contents(struct index *index)
{
	index->contents.geometry = &index->geometry;
	index->contents.page_map = &index->page_map;
	index->contents.zone_count = index->c.zone_count;
}

static void init_opener(struct index *index)
{
	VDO_ASSERT(index->pages != NULL);
	opener_init(&index->opener, &(struct opener_config){
		.media = &index->media,
		.saves = &index->saves,
		.contents = &index->contents,
		.range = &index->range,
		.stream = &index->stream,
		.pages = index->pages,
		.stop = &index->stop,
		.queue = index->c.queue,
		.wall_ms = index->c.wall_ms,
		.wall_arg = index->c.wall_arg,
	});
}

static void init_saver(struct index *index)
{
	index_saves_forget(&index->saves);
	saver_init(&index->saver, &(struct saver_config){
		.media = &index->media,
		.saves = &index->saves,
		.contents = &index->contents,
		.range = &index->range,
		.stream = &index->stream,
		.queue = index->c.queue,
		.wall_ms = index->c.wall_ms,
		.wall_arg = index->c.wall_arg,
	});
}

static int init_sparse(struct index *index)
{
	return sparse_init(&index->sparse, &(struct sparse_config){
		.media = &index->media,
		.page_map = &index->page_map,
		.range = &index->range,
		.queue = index->c.queue,
	});
}

static int init_writer(struct index *index)
{
	VDO_ASSERT(index->pages != NULL);
	return writer_init(&index->writer, &(struct writer_config){
		.media = &index->media,
		.page_map = &index->page_map,
		.range = &index->range,
		.failure = &index->failure,
		.saver = &index->saver,
		.pages = index->pages,
		.queue = index->c.queue,
		.zones = index->c.zones,
		.zone_count = index->c.zone_count,
	});
}

/* Zones come last: they tell the sparse cache and the writer of themselves. */
static int init_all(struct index *index)
{
	const struct index_config *c = &index->c;
	int r = index_geometry_init(&index->geometry, c->memory, c->sparse,
				    c->block_count);

	if (r == 0 && index->geometry.total_blocks > c->block_count)
		r = -ENOSPC;
	if (r != 0)
		return r;
	init_media(index);
	index->zones = alloc_aligned(CACHE_LINE, c->zone_count,
				     sizeof(struct index_zone));
	index->pages = alloc_spare(BLOCK_SIZE, index->geometry.chapter_pages,
				   PAGE_BYTES);
	if (index->media.block == NULL || index->zones == NULL ||
	    index->pages == NULL)
		return -ENOMEM;
	init_contents(index);
	init_opener(index);
	init_saver(index);
	r = page_map_init(&index->page_map, &index->geometry);
	if (r == 0)
		r = stream_init(&index->stream, &index->media);
	if (r == 0)
		r = init_sparse(index);
	if (r == 0)
		r = init_writer(index);
	if (r == 0)
		r = init_zones(index);
	return r;
}

int index_create(const struct index_config *c, struct index **result)
{
	struct index *index = alloc_zeroed(1, sizeof(*index));
	int r;

	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= INDEX_ZONES_MAX);
	if (index == NULL)
		return -ENOMEM;
	index->c = *c;
	flow_init(&index->flow, NULL);
	index->flow.queues[ON_MAIN] = c->queue;
	r = init_all(index);
	if (r != 0) {
		index_destroy(index);
		return r;
	}
	*result = index;
	return 0;
}

void index_destroy(struct index *index)
{
	if (index == NULL)
		return;
	VDO_ASSERT(index->done == NULL);
	for (unsigned i = 0; index->zones != NULL && i < index->c.zone_count;
	     i++)
		index_zone_fini(&index->zones[i]);
	writer_fini(&index->writer);
	sparse_fini(&index->sparse);
	stream_fini(&index->stream);
	page_map_fini(&index->page_map);
	alloc_free(index->pages);
	alloc_free(index->zones);
	alloc_free(index->media.block);
	alloc_free(index);
}
