/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block map of a rebuild: walks over it (walk.h).
 *
 *	refute what the journal makes a page, and has data, is none: only if the
 *	       journal makes pages; nothing is written yet. A recovery that was
 *	       refused may have left a slot of the map that leads to it, which
 *	       is emptied
 *	make   a page that is only in the journal, or is damaged, gets an image
 *	       whose flag is off, so that a write of it that is torn later
 *	       leaves nothing of what was in its block before (D9)
 *	fix    each page is brought up to date; entries that cannot be, or are of
 *	       no logical block, or lead to a page for the second time, go
 *	count  once for each part of the slabs: entries whose block has 254
 *	       references already, or is a page of the map, go
 *
 * Whatever goes would go again if the rebuild was interrupted and begun anew,
 * and nothing else: the walk has one order, and the first to lead somewhere
 * stays.
 */
#include "build.h"

#include "check/rebuild_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

static const struct mapping nothing = {ZERO_BLOCK, STATE_UNMAPPED};

static struct vdo_blocks lbns_of(const struct rebuild *r,
				const struct walk_page *p)
{
	return walk_page_lbns(&r->sb, p->root, p->level, p->number);
}

static int walk(struct rebuild *r, const struct walk_config *how)
{
	struct walk_config c = *how;

	c.sb = &r->sb;
	c.slabs = &r->slabs;
	c.arg = r;
	c.read = rebuild_read;
	return walk_run(&c);
}

static int write_page(void *arg, pbn_t pbn, const void *from)
{
	return rebuild_write(arg, pbn, 1, from);
}

/* ------------------------------------------------------------------- refute */

/* Data become a page only after the last mapping to them is gone; so an entry
 * that makes a page of some that are mapped is not what was written. */
static int refute_in_leaf(struct rebuild *r, const struct walk_page *p)
{
	struct replay_table *t = r->journal.table;

	for (unsigned slot = 0; slot < p->slots; slot++) {
		struct mapping m = mapping_page_get(p->bytes, slot);

		if (m.pbn == ZERO_BLOCK || !mapping_plausible(&r->slabs, m) ||
		    !replay_table_makes(t, m.pbn))
			continue;
		replay_table_refute(t, m.pbn);
		r->result.invalid_entries++;
		log_warning(&r->log,
			    "rebuild: the journal makes a page of data, "
			    "pbn=%llu: left out",
			    (unsigned long long)m.pbn);
	}
	return WALK_IN;
}

static int refute_in_page(void *arg, struct walk_page *p)
{
	if (p->again || p->error != 0 || p->validity != MAP_PAGE_VALID)
		return WALK_PAST;
	return p->level == 0 ? refute_in_leaf(arg, p) : WALK_IN;
}

/* What is beyond the end leads to no page of a logical block. */
static int child_in_size(void *arg, struct walk_page *p, unsigned slot,
			 struct mapping m)
{
	(void)arg;
	(void)m;
	return slot < p->slots ? WALK_IN : WALK_PAST;
}

int rebuild_refute(struct rebuild *r)
{
	struct walk_config c = {
		.overlay = r->journal.table,
		.page = refute_in_page,
		.child = child_in_size,
	};

	if (r->journal.table == NULL ||
	    replay_table_made(r->journal.table) == 0)
		return 0;
	rebuild_phase(r, "comparing the journal",
		      r->sb.block_map_data_blocks * BLOCK_SIZE);
	return walk(r, &c);
}

/* What @p was refuted to be may be there all the same: then it is a page, and
 * whoever has it as data is wrong. */
static bool is_refuted(const struct rebuild *r, const struct walk_page *p)
{
	const struct replay_table *t = r->journal.table;

	VDO_ASSERT(!p->again);
	return t != NULL && replay_table_refuted(t, p->pbn) &&
	       (p->fresh || p->error != 0 || p->validity != MAP_PAGE_VALID);
}

/* --------------------------------------------------------------------- make */

static bool is_damaged(const struct walk_page *p)
{
	return p->error != 0 || p->validity == MAP_PAGE_BAD;
}

/* Write an image of @p whose flag is off; it is valid in memory. */
static int write_off(struct rebuild *r, struct walk_page *p)
{
	int result;

	VDO_ASSERT(!p->again && p->pbn != 0);
	mapping_page_set_initialised(p->bytes, false);
	result = rebuild_write(r, p->pbn, 1, p->bytes);
	mapping_page_set_initialised(p->bytes, true);
	return result;
}

static int make_page(void *arg, struct walk_page *p)
{
	struct rebuild *r = arg;
	const struct replay_table *t = r->journal.table;
	int result;

	if (p->again || is_refuted(r, p))
		return WALK_PAST;
	r->pages_met++;
	if (is_damaged(p)) {
		rebuild_lose(r, lbns_of(r, p),
			     p->error != 0
				     ? "their page of the block map cannot be "
				       "read"
				     : "their page of the block map is damaged");
		r->result.lost_pages++;
		mapping_page_format(p->bytes, r->sb.nonce, p->pbn, true);
		if (t != NULL)
			p->replayed = replay_table_apply(t, p->pbn, p->bytes,
							 walk_kind(p));
	} else if (!p->fresh) {
		return p->validity == MAP_PAGE_VALID ? WALK_IN : WALK_PAST;
	}
	result = write_off(r, p);
	return result != 0 ? result : WALK_IN;
}

int rebuild_make_pages(struct rebuild *r)
{
	struct walk_config c = {
		.overlay = r->journal.table,
		.page = make_page,
		.child = child_in_size,
	};
	int result;

	rebuild_phase(r, "reading the block map",
		      r->sb.block_map_data_blocks * BLOCK_SIZE);
	result = walk(r, &c);
	return result != 0 ? result : device_flush(r->device);
}

/* ---------------------------------------------------------------------- fix */

/* @p is a page of the map, which is counted as such. */
static int note_page(struct rebuild *r, const struct walk_page *p)
{
	uint64_t slab, offset;
	uint8_t **bits;

	if (p->level == MAP_LEVELS - 1)
		return 0; /* roots are in no slab */
	slab = slab_of(&r->slabs, p->pbn);
	offset = slab_offset_of(&r->slabs, p->pbn);
	bits = &r->pages[slab];
	if (*bits == NULL)
		*bits = alloc_zeroed(div_up(r->slabs.data_blocks, 8), 1);
	if (*bits == NULL)
		return -ENOMEM;
	VDO_ASSERT(!rebuild_is_page(r, p->pbn));
	(*bits)[offset / 8] |= (uint8_t)(1u << offset % 8);
	r->used[slab] = true;
	r->result.block_map_blocks++;
	return 0;
}

static void drop(struct rebuild *r, struct walk_page *p, unsigned slot,
		 const char *why)
{
	mapping_page_put(p->bytes, slot, nothing);
	p->changed = true;
	if (slot >= p->slots) {
		r->result.stray_mappings++;
		return;
	}
	r->result.lost_mappings++;
	rebuild_lose(r, walk_slot_lbns(&r->sb, p, slot), why);
}

static void fix_leaf(struct rebuild *r, struct walk_page *p)
{
	for (unsigned slot = 0; slot < MAP_PAGE_ENTRIES; slot++) {
		struct mapping m = mapping_page_get(p->bytes, slot);

		if (mapping_equal(m, nothing))
			continue;
		if (slot >= p->slots || !mapping_plausible(&r->slabs, m)) {
			drop(r, p, slot,
			     "their mappings led to no block for data");
			continue;
		}
		r->result.logical_blocks_used++;
		if (m.pbn != ZERO_BLOCK)
			r->used[slab_of(&r->slabs, m.pbn)] = true;
	}
}

static int fix_page(void *arg, struct walk_page *p)
{
	struct rebuild *r = arg;
	int result;

	if (p->again) {
		VDO_ASSERT(p->parent != 0);
		r->result.lost_mappings++;
		rebuild_lose(r, lbns_of(r, p),
			     "their page of the block map is that of other "
			     "blocks");
		return WALK_CLEAR;
	}
	if (is_refuted(r, p)) {
		log_warning(&r->log,
			    "rebuild: page %llu leads to data, pbn=%llu: "
			    "emptied",
			    (unsigned long long)p->parent,
			    (unsigned long long)p->pbn);
		r->result.lost_mappings++;
		if (p->error != 0)
			rebuild_lose(r, lbns_of(r, p),
				     "their page of the block map cannot be "
				     "read, and others have its block");
		return WALK_CLEAR;
	}
	if (p->error != 0)
		return p->error;
	result = note_page(r, p);
	if (result != 0)
		return result;
	if (p->validity == MAP_PAGE_BAD)
		return -EIO; /* it was made good a moment ago */
	if (p->validity == MAP_PAGE_INVALID)
		return WALK_PAST;
	p->changed = p->replayed > 0;
	if (p->level == 0)
		fix_leaf(r, p);
	return WALK_IN;
}

static int fix_child(void *arg, struct walk_page *p, unsigned slot,
		     struct mapping m)
{
	struct rebuild *r = arg;

	VDO_ASSERT(p->level > 0 && !mapping_equal(m, nothing));
	if (slot < p->slots && walk_leads_to_page(&r->slabs, m))
		return WALK_IN;
	drop(r, p, slot, "the way to their page of the block map is damaged");
	return WALK_PAST;
}

int rebuild_fix_pages(struct rebuild *r)
{
	struct walk_config c = {
		.overlay = r->journal.table,
		.write = write_page,
		.page = fix_page,
		.child = fix_child,
	};

	VDO_ASSERT(r->result.block_map_blocks == 0);
	rebuild_phase(r, "mending the block map", r->pages_met * BLOCK_SIZE);
	return walk(r, &c);
}

/* -------------------------------------------------------------------- count */

/* The counter of block @pbn; NULL: it lies in another part. */
static uint8_t *counter_of(struct rebuild *r, pbn_t pbn)
{
	uint64_t slab = slab_of(&r->slabs, pbn);

	if (slab < r->part_slab || slab - r->part_slab >= r->part_slabs)
		return NULL;
	return &r->counts[(slab - r->part_slab) * r->slabs.data_blocks +
			  slab_offset_of(&r->slabs, pbn)];
}

static void count_mapping(struct rebuild *r, struct walk_page *p, unsigned slot)
{
	struct mapping m = mapping_page_get(p->bytes, slot);
	uint8_t *count;

	if (m.pbn == ZERO_BLOCK)
		return;
	VDO_ASSERT(mapping_plausible(&r->slabs, m));
	count = counter_of(r, m.pbn);
	if (count == NULL)
		return;
	if (*count < REFS_MAX) {
		++*count;
		return;
	}
	VDO_ASSERT(r->result.logical_blocks_used > 0);
	r->result.logical_blocks_used--;
	drop(r, p, slot,
	     rebuild_is_page(r, m.pbn)
		     ? "their blocks are pages of the block map"
		     : "their blocks have 254 references already");
}

static int count_page(void *arg, struct walk_page *p)
{
	struct rebuild *r = arg;

	if (p->error != 0)
		return p->error;
	/* What was not so a moment ago somebody else has written. */
	if (p->again || p->validity == MAP_PAGE_BAD)
		return -EIO;
	if (p->validity == MAP_PAGE_INVALID)
		return WALK_PAST;
	for (unsigned slot = 0; p->level == 0 && slot < p->slots; slot++) {
		if (!mapping_plausible(&r->slabs,
				       mapping_page_get(p->bytes, slot)))
			return -EIO;
		count_mapping(r, p, slot);
	}
	return WALK_IN;
}

static int count_child(void *arg, struct walk_page *p, unsigned slot,
		       struct mapping m)
{
	struct rebuild *r = arg;

	return slot < p->slots && walk_leads_to_page(&r->slabs, m) ? WALK_IN
								   : -EIO;
}

int rebuild_count_part(struct rebuild *r)
{
	struct walk_config c = {
		.write = write_page,
		.page = count_page,
		.child = count_child,
	};

	VDO_ASSERT(r->part_slabs > 0 && r->counts != NULL);
	return walk(r, &c);
}
