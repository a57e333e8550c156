/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the block map says of how data is stored: one walk over it (walk.h).
 *
 * Which blocks and fragments were met is kept in 16 bits for each block of a
 * part of the slabs: a bit for each of 14 fragments, and two for a block that
 * is not compressed, met once and met again. So memory is bounded, and a large
 * volume is walked over once for each part that has slabs in use.
 *
 * Pages are checked as in service. A page that is met twice ends it: nothing
 * that is counted would mean anything.
 */
#include "build.h"

#include "check/usage_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/walk.h"
#include "format/mapping.h"

#define FRAGMENTS 0x3fffu
#define MET	  0x4000u
#define MET_AGAIN 0x8000u

struct count {
	struct usage *u;
	bool first;	     /* the first part: what does not depend on it */
	uint64_t part_first; /* by offset from the first slab */
	uint64_t part_count;
	uint16_t *met;
	uint64_t pages; /* that were read, without roots */
};

static void meet(struct count *w, struct mapping m)
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

static void take_mapping(struct count *w, struct mapping m)
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

static int take_page(void *arg, struct walk_page *p)
{
	struct count *w = arg;

	if (p->error != 0)
		return p->error;
	if (p->again)
		return -VDO_ECORRUPT;
	w->pages += w->first && p->level < MAP_LEVELS - 1;
	w->u->result.damaged_pages += w->first && p->validity == MAP_PAGE_BAD;
	if (p->validity != MAP_PAGE_VALID)
		return WALK_PAST;
	for (unsigned slot = 0; p->level == 0 && slot < p->slots; slot++)
		take_mapping(w, mapping_page_get(p->bytes, slot));
	return WALK_IN;
}

static int take_child(void *arg, struct walk_page *p, unsigned slot,
		      struct mapping m)
{
	struct count *w = arg;

	VDO_ASSERT(p->level > 0);
	if (slot < p->slots && !walk_leads_to_page(&w->u->slabs, m))
		w->u->result.damaged_mappings += w->first;
	return WALK_IN;
}

static int read_for_walk(void *arg, pbn_t pbn, uint64_t count, void *to)
{
	struct count *w = arg;

	return usage_read(w->u, pbn, count, to);
}

static int walk_part(struct count *w)
{
	size_t bytes = w->part_count * sizeof(*w->met);
	struct walk_config c = {
		.sb = &w->u->sb,
		.slabs = &w->u->slabs,
		.arg = w,
		.read = read_for_walk,
		.page = take_page,
		.child = take_child,
	};
	int result;

	w->met = alloc_table(bytes);
	if (w->met == NULL)
		return -ENOMEM;
	result = walk_run(&c);
	alloc_table_free(w->met, bytes);
	w->first = false;
	return result;
}

/* Is a slab in use of which a block lies in the part? */
static bool part_is_used(const struct count *w)
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
static bool next_part(struct count *w)
{
	uint64_t end = w->u->slabs.slab_count << w->u->slabs.slab_shift;

	do {
		w->part_first += w->part_count;
		VDO_ASSERT(w->part_first <= end);
		w->part_count = MIN(w->u->part_blocks, end - w->part_first);
	} while (w->part_count > 0 && !part_is_used(w));
	return w->part_count > 0;
}

static void sum_up(const struct count *w)
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
	r->unmapped =
		r->logical_blocks - r->zero - r->uncompressed - r->compressed;
	r->logical_blocks_used = r->logical_blocks - r->unmapped;
	r->saved_by_deduplication = r->uncompressed + r->compressed - distinct;
	r->saved_by_compression = distinct - stored;
	r->unreferenced_blocks =
		r->data_blocks > stored ? r->data_blocks - stored : 0;
	r->level = VDO_USAGE_MAPPED;
}

static uint64_t count_parts(struct count w)
{
	uint64_t n = 0;

	while (next_part(&w))
		n++;
	return n;
}

int usage_walk_map(struct usage *u)
{
	uint64_t leaves = div_up(u->sb.logical_blocks, MAP_PAGE_ENTRIES);
	struct count w = {.u = u, .first = true};
	int result = 0;

	VDO_ASSERT(u->result.level == VDO_USAGE_COUNTED && u->part_blocks > 0);
	atomic_store(&u->phase, "reading the block map");
	counter_set(&u->done, 0);
	counter_set(&u->total, count_parts(w) * BLOCK_SIZE *
				       (u->result.block_map_blocks +
					MIN(leaves, u->sb.root_count)));
	while (result == 0 && next_part(&w))
		result = walk_part(&w);
	if (result == 0)
		sum_up(&w);
	return result;
}
