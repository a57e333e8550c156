/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of an index by its first blocks: super block, config, headers of
 * the saves and, to tell whether the newest save still counts, one block more.
 *
 * The blocks are read one by one from the device, without an executor, so that
 * looking needs no more than a device that can be read.
 */
#include "build.h"

#include "index/inspect.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/zero.h"
#include "format/types.h"
#include "index_format/chapter_index.h"
#include "index_format/layout.h"
#include "io/device.h"

/* What is known of an index by its first blocks. */
struct look {
	struct vdo_device *device;
	struct index_geometry shape;
	struct index_layout layout;
	uint64_t nonce;
	uint64_t first; /* block of the device, as all here */
	struct index_save saves[SAVES];
	int newest; /* save, or -1 */
	uint8_t *page;
};

static int read_blocks(struct look *l, uint64_t block, unsigned count,
		       struct vdo_error *error)
{
	int r = device_read(l->device, block * BLOCK_SIZE, l->page,
			    (size_t)count * BLOCK_SIZE);

	VDO_ASSERT(count > 0 && count <= PAGE_BLOCKS);
	if (r != 0)
		return error_set(error, r,
				 "block %llu of the index cannot be read: %s; "
				 "check the storage",
				 (unsigned long long)block, vdo_strerror(r));
	return 0;
}

/* The state as far as super block and config tell it. It is FORMATTED if both
 * are good. */
static int look_at_header(struct look *l, enum vdo_index_state *state,
			  struct vdo_error *error)
{
	int super, config, r;
	bool zero;

	VDO_ASSERT(l->page != NULL);
	r = read_blocks(l, l->first, 1, error);
	if (r != 0)
		return r;
	zero = is_zero(l->page, BLOCK_SIZE);
	super = index_super_decode(&l->layout, &l->shape, l->first, l->page);
	r = read_blocks(l, l->first + 1, 1, error);
	if (r != 0)
		return r;
	config = index_config_decode(&l->shape, l->nonce, l->page);
	if (super == -VDO_EVERSION)
		*state = VDO_INDEX_UNSUPPORTED;
	else if (super == -VDO_ENOINDEX)
		/* A new index gets its super block last. */
		*state = config == 0 && !zero ? VDO_INDEX_DAMAGED
					      : VDO_INDEX_NONE;
	else if (super != 0 || config == -VDO_ECORRUPT)
		*state = VDO_INDEX_DAMAGED;
	else
		*state = config != 0 ? VDO_INDEX_FOREIGN : VDO_INDEX_FORMATTED;
	return 0;
}

static int look_at_saves(struct look *l, struct vdo_error *error)
{
	VDO_ASSERT(l->page != NULL);
	l->newest = -1;
	for (unsigned i = 0; i < SAVES; i++) {
		struct extent e = layout_save_part(&l->layout, i, SAVE_HEADER,
						   0, 1);
		int r = read_blocks(l, e.start, 1, error);

		if (r != 0)
			return r;
		index_save_decode(&l->layout, i, l->page, &l->saves[i]);
		if (l->saves[i].timestamp != 0 &&
		    (l->newest < 0 || l->saves[i].timestamp >
					      l->saves[l->newest].timestamp))
			l->newest = (int)i;
	}
	return 0;
}

/*
 * Before the first chapter that follows a save is written, the beginning of the
 * save's open chapter is made zero.
 */
static int look_at_open_chapter(struct look *l, enum vdo_index_state *state,
				struct vdo_error *error)
{
	unsigned slot = (unsigned)l->newest;
	struct extent e = layout_save_part(&l->layout, slot, SAVE_OPEN_CHAPTER,
					   0, l->saves[slot].zone_count);
	int r = read_blocks(l, e.start, 1, error);

	VDO_ASSERT(l->newest >= 0 && l->newest < (int)SAVES);
	*state = is_zero(l->page, SECTOR_SIZE) ? VDO_INDEX_DIRTY
					       : VDO_INDEX_SAVED;
	return r;
}

/* Without a save, see whether any chapter was written: the first slot has had
 * one then. */
static int look_at_chapter(struct look *l, enum vdo_index_state *state,
			   struct vdo_error *error)
{
	struct index_page p;
	uint64_t block = layout_volume_block(&l->layout) +
			 geometry_page_block(&l->shape, 0, 0);
	int r = read_blocks(l, block, PAGE_BLOCKS, error);

	VDO_ASSERT(l->newest < 0);
	if (r == 0 && index_page_open(l->page, &l->shape,
				      l->layout.volume_nonce, &p) == 0)
		*state = VDO_INDEX_DIRTY;
	return r;
}

static int look_at_all(struct look *l, enum vdo_index_state *state,
		       struct vdo_error *error)
{
	int r = look_at_header(l, state, error);

	if (r != 0 || *state != VDO_INDEX_FORMATTED)
		return r;
	r = look_at_saves(l, error);
	if (r != 0)
		return r;
	return l->newest >= 0 ? look_at_open_chapter(l, state, error)
			      : look_at_chapter(l, state, error);
}

static void fill_shape(struct vdo_index_info *i, const struct index_geometry *g)
{
	i->chapters = g->chapters;
	i->sparse_chapters = g->sparse_chapters;
	i->record_pages = g->record_pages;
	i->index_pages = g->index_pages;
	i->records_per_chapter = g->records;
	i->names_max = (uint64_t)g->records * g->chapters;
	i->total_blocks = g->total_blocks;
	i->volume_blocks = g->volume_blocks;
	i->save_blocks = g->save_blocks;
	i->volume_index_blocks = g->volume_index_blocks;
	i->page_map_blocks = g->page_map_blocks;
	i->open_chapter_blocks = g->open_chapter_blocks;
}

static void fill_saves(struct vdo_index_info *i, const struct look *l)
{
	for (unsigned k = 0; k < SAVES; k++) {
		const struct index_save *s = &l->saves[k];

		if (s->timestamp == 0)
			continue;
		i->saves[k] = (struct vdo_index_save){
			.valid = true,
			.newest_save = (int)k == l->newest,
			.zones = s->zone_count,
			.oldest = s->oldest,
			.newest = s->newest,
			.time_ms = s->timestamp,
		};
	}
}

/* The place of the index must be on the storage. */
static int check_size(const struct vdo_device *device,
		      const struct index_place *p,
		      struct vdo_error *error)
{
	uint64_t blocks = device->size_bytes / BLOCK_SIZE;

	if (p->first_block < blocks &&
	    p->block_count <= blocks - p->first_block)
		return 0;
	return error_set(error, -VDO_ESIZE,
			 "the index should take %llu blocks from block %llu "
			 "on, but the storage has %llu; was it truncated?",
			 (unsigned long long)p->block_count,
			 (unsigned long long)p->first_block,
			 (unsigned long long)blocks);
}

int index_inspect(struct vdo_device *device, const struct index_place *p,
		  struct vdo_index_info *i, struct vdo_error *error)
{
	struct look l = {
		.device = device,
		.newest = -1,
		.first = p->first_block,
		.nonce = p->nonce,
	};
	int r = index_geometry_init(&l.shape, p->memory, p->sparse,
				    p->block_count);

	*i = (struct vdo_index_info){
		.memory = p->memory,
		.sparse = p->sparse,
		.state = VDO_INDEX_NONE,
		.region = true,
		.first_block = p->first_block,
		.region_blocks = p->block_count,
	};
	if (r == 0)
		r = check_size(device, p, error);
	if (r != 0)
		return r;
	l.page = alloc_aligned(BLOCK_SIZE, 1, PAGE_BYTES);
	if (l.page == NULL)
		return -ENOMEM;
	r = look_at_all(&l, &i->state, error);
	alloc_free(l.page);
	fill_shape(i, &l.shape);
	fill_saves(i, &l);
	return r;
}
