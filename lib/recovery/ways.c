/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to pages: does the block map lead to a block that entries take for a
 * page, and that holds none? Or to one that entries have lead to a page, of
 * which nothing else tells that it is not a leaf page?
 *
 * The first write of a page may be lost while its entries are left, and then a
 * recovery makes it anew. An entry that is not what was written looks the same,
 * and has a block with data taken for a page. The map tells them apart.
 *
 * A page that no entry of the journal makes was made by one that the map has: a
 * block of the journal is given up when what it has is in the pages. So its
 * parent was written with the entry that leads to it; and so on up to the root,
 * since each parent was made before its child. Hence the map as it is on the
 * storage leads to each such page, and to none through a page that the journal
 * makes. Entries of this batch and those before it, which may be in it by now,
 * only add to that; those of later ones are not needed. What a page is, a leaf
 * or one that leads to pages, is known from its level.
 *
 * Interior pages are read, some at a time; leaf pages are only met. What is
 * left to be read is a stack, of which the top has the lowest level as a rule:
 * the children of some pages of each level. Pages have numbers, which end where
 * the logical blocks do, and none is read twice for the same number; so the
 * walk ends whatever pages say. A damaged page leads nowhere.
 */
#include "build.h"

#include "recovery/recovery_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"

#define TOP (MAP_LEVELS - 1)

void ways_set_aside(struct recovery *r, pbn_t page, bool is_there)
{
	VDO_ASSERT(!replay_is_root(&r->facts, page));
	replay_table_note(r->table, page,
			  PAGE_ASIDE | (is_there ? PAGE_IS_THERE : 0));
	r->aside_count++;
}

void ways_clear(struct recovery *r)
{
	VDO_ASSERT(r->working == 0);
	alloc_free(r->ways);
	r->ways = NULL;
	r->aside_count = r->aside_met = 0;
	r->way_count = r->way_room = 0;
}

/* ----------------------------------------------------------------- the walk */

static int push(struct recovery *r, struct way way)
{
	VDO_ASSERT(way.level > 0);
	if (r->way_count == r->way_room) {
		struct way *more =
			alloc_more(r->ways, &r->way_room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		r->ways = more;
	}
	r->ways[r->way_count++] = way;
	return 0;
}

/* Pages of @level in a tree. */
static uint64_t pages_of(const struct recovery *r, unsigned level)
{
	uint64_t n = div_up(r->sb.logical_blocks, MAP_PAGE_ENTRIES);

	n = div_up(n, r->facts.root_count);
	for (; level > 0; level--)
		n = div_up(n, MAP_PAGE_ENTRIES);
	return n;
}

int ways_begin(struct recovery *r)
{
	int result = 0;

	VDO_ASSERT(r->aside_count > 0 && r->way_count == 0);
	for (unsigned i = 0; result == 0 && i < r->facts.root_count; i++)
		result =
			push(r, (struct way){r->facts.root_origin + i, 0, TOP});
	return result;
}

/* The map leads to @pbn, a page of @level. */
static int meet(struct recovery *r, pbn_t pbn, unsigned level)
{
	unsigned kind = level > 0 ? REPLAY_INTERIOR : REPLAY_LEAF;
	unsigned notes = replay_table_notes(r->table, pbn);

	if ((notes & PAGE_ASIDE) == 0 || (notes & PAGE_MET) != 0)
		return 0;
	if (replay_table_kinds(r->table, pbn) != kind)
		return recovery_page_wrong(
			r, pbn,
			kind == REPLAY_LEAF
				? "an entry has a page that leads to data lead "
				  "to a page"
				: "an entry has a page that leads to pages "
				  "lead to data");
	replay_table_note(r->table, pbn, notes | PAGE_MET);
	r->aside_met++;
	return 0;
}

/* Is slot @slot torn, as it leads to a page of @level that entries take for
 * another kind? */
static bool is_torn(const struct recovery *r, unsigned slot, pbn_t page,
		    unsigned level)
{
	unsigned other = level > 0 ? REPLAY_LEAF : REPLAY_INTERIOR;

	return mapping_spans_sectors(slot) &&
	       (replay_table_kinds(r->table, page) & other) != 0;
}

static int take_child(struct recovery *r, const struct way *w, unsigned slot,
		      struct mapping m)
{
	struct way child = {m.pbn, w->number * MAP_PAGE_ENTRIES + slot,
			    w->level - 1};
	int result;

	if (m.state != STATE_UNCOMPRESSED ||
	    !is_data_block(&r->facts.slabs, m.pbn) ||
	    child.number >= pages_of(r, child.level) ||
	    is_torn(r, slot, child.pbn, child.level))
		return 0;
	result = meet(r, child.pbn, child.level);
	/* What the journal makes leads nowhere yet. */
	if (result != 0 || child.level == 0 ||
	    replay_table_makes(r->table, child.pbn))
		return result;
	return push(r, child);
}

static int take_page(struct recovery *r, const struct way *w,
		     const uint8_t *bytes)
{
	int result = 0;

	if (mapping_page_check(bytes, r->facts.nonce, w->pbn) != MAP_PAGE_VALID)
		return 0;
	if ((replay_table_kinds(r->table, w->pbn) & REPLAY_LEAF) != 0)
		return recovery_page_wrong(r, w->pbn,
					   "an entry has a page that leads to "
					   "pages lead to data");
	for (unsigned slot = 0; result == 0 && slot < MAP_PAGE_ENTRIES; slot++)
		result = take_child(r, w, slot, mapping_page_get(bytes, slot));
	return result;
}

static void page_read(struct completion *c)
{
	struct page_worker *w = container_of(c, struct page_worker, mio.done);
	struct recovery *r = w->recovery;

	VDO_ASSERT(queue_is_current(r->c.queue) && r->working > 0);
	if (--r->working == 0)
		flow_go(&r->flow);
}

bool ways_read(struct recovery *r, int next)
{
	unsigned n = (unsigned)MIN(r->way_count, PAGE_WORKERS);

	VDO_ASSERT(r->working == 0);
	r->reading = 0;
	if (n == 0 || r->aside_met == r->aside_count)
		return false;
	flow_park(&r->flow, next);
	r->working = n;
	r->reading = n;
	for (unsigned i = 0; i < n; i++) {
		struct page_worker *w = &r->workers[i];

		w->way = r->ways[--r->way_count];
		completion_init(&w->mio.done, r->c.queue, page_read);
		mio_read(&w->mio, r->c.storage, MIO_MAP, w->way.pbn, 1,
			 w->bytes);
	}
	return true;
}

int ways_look(struct recovery *r)
{
	int result = 0;

	VDO_ASSERT(r->working == 0 && r->reading > 0);
	for (unsigned i = 0; result == 0 && i < r->reading; i++) {
		struct page_worker *w = &r->workers[i];

		result = w->mio.done.result;
		if (result != 0)
			log_error(r->c.log,
				  "recovery: page not read, pbn=%" PRIu64
				  " result=%d",
				  w->way.pbn, result);
		else
			result = take_page(r, &w->way, w->bytes);
	}
	return result;
}

int ways_end(struct recovery *r)
{
	size_t pos = 0;
	pbn_t page;

	if (r->aside_met == r->aside_count)
		return 0;
	do
		page = replay_table_page(r->table, &pos);
	while ((replay_table_notes(r->table, page) & (PAGE_ASIDE | PAGE_MET)) !=
	       PAGE_ASIDE);
	return recovery_page_wrong(r, page,
				   "an entry takes a block for a page of the "
				   "block map, which does not lead to it");
}
