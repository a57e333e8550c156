/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk over the block map: depth first, a page of each level in memory.
 *
 * Which blocks and fragments were met is kept in 16 bits for each block of a
 * part of the slabs: a bit for each of 14 fragments, and two for a block that
 * is not compressed, met once and met again. So memory is bounded, and a large
 * volume is walked over once for each part that has slabs in use.
 *
 * Pages are checked as in service. A level has its limits from the number of
 * logical blocks, and all pages are blocks of slabs; whoever meets more pages
 * than there are blocks has met one twice, and does not go on for years.
 */
#include "build.h"

#include "volume/usage_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "format/mapping.h"

#define FRAGMENTS 0x3fffu
#define MET	  0x4000u
#define MET_AGAIN 0x8000u

struct level {
	uint8_t *page;
	uint64_t number; /* of the page in its level of the tree */
	unsigned slot;	 /* the next one */
};

struct walk {
	struct usage *u;
	uint64_t leaves;     /* of all trees */
	unsigned root;
	bool first;	     /* the first part: what does not depend on it */
	uint64_t part_first; /* by offset from the first slab */
	uint64_t part_count;
	uint16_t *met;
	struct level levels[MAP_LEVELS];
	uint64_t pages, pages_of_part; /* that were read, without roots */
};

/* Leaves of the tree that lie below a page of @level. */
static uint64_t span(unsigned level)
{
	uint64_t n = 1;

	for (; level > 0; level--)
		n *= MAP_PAGE_ENTRIES;
	return n;
}

/* Does page @number of @level have logical blocks below it? */
static bool is_needed(const struct walk *w, unsigned level, uint64_t number)
{
	uint64_t leaf = number * span(level);

	VDO_ASSERT(level < MAP_LEVELS);
	return leaf * ROOT_COUNT + w->root < w->leaves;
}

static void meet(struct walk *w, struct mapping m)
{
	struct vdo_usage *r = &w->u->result;
	uint64_t at = m.pbn - w->u->slabs.first_block;
	uint16_t *met, bit;

	VDO_CHECK(is_data_block(&w->u->slabs, m.pbn));
	if (at < w->part_first || at - w->part_first >= w->part_count)
		return;
	met = &w->met[at - w->part_first];
	if (mapping_is_compressed(m)) {
		bit = (uint16_t)(1u << (m.state - STATE_FRAGMENT_0));
		VDO_CHECK((bit & FRAGMENTS) != 0);
		r->compressed_blocks += (*met & FRAGMENTS) == 0;
		r->distinct_compressed += (*met & bit) == 0;
	} else {
		bit = *met & MET ? MET_AGAIN : MET;
		r->distinct_uncompressed += bit == MET;
		r->shared_blocks += bit == MET_AGAIN && (*met & bit) == 0;
	}
	*met |= bit;
}

static void take_mapping(struct walk *w, struct mapping m)
{
	struct vdo_usage *r = &w->u->result;
	bool plausible = mapping_plausible(&w->u->slabs, m);

	if (w->first) {
		r->damaged_mappings += !plausible;
		r->zero += plausible && m.pbn == ZERO_BLOCK &&
			   m.state != STATE_UNMAPPED;
		if (plausible && m.pbn != ZERO_BLOCK) {
			r->compressed += mapping_is_compressed(m);
			r->uncompressed += !mapping_is_compressed(m);
		}
	}
	if (plausible && m.pbn != ZERO_BLOCK)
		meet(w, m);
}

static void take_leaf(struct walk *w)
{
	const struct level *l = &w->levels[0];
	uint64_t leaf = l->number * ROOT_COUNT + w->root;
	uint64_t left = w->u->sb.logical_blocks - leaf * MAP_PAGE_ENTRIES;

	VDO_ASSERT(leaf < w->leaves);
	for (unsigned slot = 0; slot < MIN(left, MAP_PAGE_ENTRIES); slot++)
		take_mapping(w, mapping_page_get(l->page, slot));
}

/* Read a page; false: there is nothing in it, or an error. */
static bool load_page(struct walk *w, unsigned level, pbn_t pbn, int *result)
{
	struct usage *u = w->u;
	bool is_root = level == MAP_LEVELS - 1;
	enum map_page_validity v;

	VDO_ASSERT(is_root || is_data_block(&u->slabs, pbn));
	*result = usage_read(u, pbn, 1, w->levels[level].page);
	w->pages_of_part += !is_root;
	if (*result == 0 && w->pages_of_part > u->slabs.slab_count *
						     u->slabs.data_blocks)
		*result = -VDO_ECORRUPT;
	if (*result != 0)
		return false;
	w->pages += w->first && !is_root;
	v = is_root ? mapping_root_check(w->levels[level].page, u->sb.nonce, pbn)
		    : mapping_page_check(w->levels[level].page, u->sb.nonce, pbn);
	u->result.damaged_pages += w->first && v == MAP_PAGE_BAD;
	return v == MAP_PAGE_VALID;
}

/* The next child of the page of @level that is there; false: none is left. */
static bool next_child(struct walk *w, unsigned level, pbn_t *pbn)
{
	struct level *l = &w->levels[level];

	VDO_ASSERT(level > 0 && level < MAP_LEVELS);
	for (; l->slot < MAP_PAGE_ENTRIES; l->slot++) {
		uint64_t number = l->number * MAP_PAGE_ENTRIES + l->slot;
		struct mapping m = mapping_page_get(l->page, l->slot);

		if (!is_needed(w, level - 1, number))
			return false;
		if (m.state == STATE_UNMAPPED && m.pbn == ZERO_BLOCK)
			continue;
		if (m.state != STATE_UNCOMPRESSED ||
		    !is_data_block(&w->u->slabs, m.pbn)) {
			w->u->result.damaged_mappings += w->first;
			continue;
		}
		l->slot++;
		*pbn = m.pbn;
		w->levels[level - 1].number = number;
		return true;
	}
	return false;
}

static int walk_tree(struct walk *w)
{
	unsigned level = MAP_LEVELS - 1;
	int result;
	pbn_t pbn;

	w->levels[level].number = 0;
	w->levels[level].slot = 0;
	if (!is_needed(w, level, 0))
		return 0;
	if (!load_page(w, level, w->u->sb.root_origin + w->root, &result))
		return result;
	while (level < MAP_LEVELS) {
		if (!next_child(w, level, &pbn)) {
			level++;
			continue;
		}
		if (!load_page(w, level - 1, pbn, &result)) {
			if (result != 0)
				return result;
			continue;
		}
		w->levels[level - 1].slot = 0;
		if (level == 1)
			take_leaf(w);
		else
			level--;
	}
	return 0;
}

static int walk_part(struct walk *w)
{
	size_t bytes = w->part_count * sizeof(*w->met);
	int result = 0;

	w->pages_of_part = 0;
	w->met = alloc_table(bytes);
	if (w->met == NULL)
		return -ENOMEM;
	for (w->root = 0; result == 0 && w->root < w->u->sb.root_count;
	     w->root++)
		result = walk_tree(w);
	alloc_table_free(w->met, bytes);
	w->first = false;
	return result;
}

/* Is a slab in use of which a block lies in the part? */
static bool part_is_used(const struct walk *w)
{
	unsigned shift = w->u->slabs.slab_shift;
	uint64_t last = (w->part_first + w->part_count - 1) >> shift;

	VDO_ASSERT(w->part_count > 0 && last < w->u->slabs.slab_count);
	for (uint64_t i = w->part_first >> shift; i <= last; i++)
		if (!usage_is_unused(usage_summary(w->u, i)))
			return true;
	return false;
}

/* False: there is none. */
static bool next_part(struct walk *w)
{
	uint64_t end = w->u->slabs.slab_count << w->u->slabs.slab_shift;

	do {
		w->part_first += w->part_count;
		VDO_ASSERT(w->part_first <= end);
		w->part_count = MIN(w->u->part_blocks, end - w->part_first);
	} while (w->part_count > 0 && !part_is_used(w));
	return w->part_count > 0;
}

static void sum_up(const struct walk *w)
{
	struct vdo_usage *r = &w->u->result;
	uint64_t allocated = r->data_blocks + r->block_map_blocks;
	uint64_t distinct = r->distinct_uncompressed + r->distinct_compressed;
	uint64_t stored = r->distinct_uncompressed + r->compressed_blocks;

	r->block_map_blocks = MIN(w->pages, allocated);
	r->data_blocks = allocated - r->block_map_blocks;
	/* Each logical block was met once at most, whatever the pages say. */
	VDO_ASSERT(r->zero + r->uncompressed + r->compressed <=
		   r->logical_blocks);
	r->unmapped = r->logical_blocks - r->zero - r->uncompressed -
		      r->compressed;
	r->logical_blocks_used = r->logical_blocks - r->unmapped;
	r->saved_by_deduplication = r->uncompressed + r->compressed - distinct;
	r->saved_by_compression = distinct - stored;
	r->unreferenced_blocks =
		r->data_blocks > stored ? r->data_blocks - stored : 0;
	r->level = VDO_USAGE_MAPPED;
}

static uint64_t count_parts(struct walk w)
{
	uint64_t n = 0;

	while (next_part(&w))
		n++;
	return n;
}

int usage_walk_map(struct usage *u)
{
	uint8_t *pages = alloc_aligned(BLOCK_SIZE, MAP_LEVELS, BLOCK_SIZE);
	struct walk w = {
		.u = u,
		.leaves = div_up(u->sb.logical_blocks, MAP_PAGE_ENTRIES),
		.first = true,
	};
	int result = 0;

	VDO_ASSERT(u->result.level == VDO_USAGE_COUNTED && u->part_blocks > 0);
	if (pages == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < MAP_LEVELS; i++)
		w.levels[i].page = pages + (size_t)i * BLOCK_SIZE;
	atomic_store(&u->phase, "reading the block map");
	counter_set(&u->done, 0);
	counter_set(&u->total, count_parts(w) * BLOCK_SIZE *
				       (u->result.block_map_blocks +
					MIN(w.leaves, u->sb.root_count)));
	while (result == 0 && next_part(&w))
		result = walk_part(&w);
	if (result == 0)
		sum_up(&w);
	alloc_free(pages);
	return result;
}
