/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk: row after row, a row being one leaf page of each tree.
 *
 *	row 0:	leaf 0 of tree 0, leaf 0 of tree 1 ...	LBN 0, 812 ...
 *	row 1:	leaf 1 of tree 0 ...
 *
 * Each tree holds its way down to the row [descend], and knows from which row on
 * it may have something; a row that no tree needs costs nothing [next_row].
 * Interior pages are taken apart when they are met, all slots at once; those
 * that lead nowhere are emptied in memory, in a page that is not changed as
 * well, and so the way down asks nobody.
 *
 * What was met before is known by a bitmap for each slab that has pages.
 */
#include "build.h"

#include "check/walk.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "replay/table.h"

#define TOP	      (MAP_LEVELS - 1)
#define WINDOW_BLOCKS 64u
#define NEVER	      UINT64_MAX

struct held {
	struct walk_page page;
	bool is_held;
};

struct tree {
	struct held held[MAP_LEVELS]; /* by level; that of leaves is unused */
	uint64_t next; /* no row before this one has a leaf page */
};

struct walk {
	const struct walk_config *c;
	unsigned roots;
	struct tree *trees;
	uint8_t *pages;	 /* of the trees, by tree and level, and a leaf page */
	uint8_t **met;	 /* by slab: a bit for each block, or NULL */
	uint8_t *window; /* blocks that were read at once */
	pbn_t window_start;
	uint64_t window_count;
	pbn_t last_read;
};

/* Rows that lie below a page of @level. */
static uint64_t span(unsigned level)
{
	uint64_t n = 1;

	VDO_ASSERT(level < MAP_LEVELS);
	for (; level > 0; level--)
		n *= MAP_PAGE_ENTRIES;
	return n;
}

static uint64_t leaf_count(const struct superblock *sb)
{
	return div_up(sb->logical_blocks, MAP_PAGE_ENTRIES);
}

/* Rows in which tree @root has a leaf page. */
static uint64_t rows_of(const struct superblock *sb, unsigned root)
{
	uint64_t leaves = leaf_count(sb);

	VDO_ASSERT(root < sb->root_count);
	return leaves <= root ? 0 : div_up(leaves - root, sb->root_count);
}

/* ------------------------------------------------------------ logical blocks */

struct vdo_blocks walk_page_lbns(const struct superblock *sb, unsigned root,
				unsigned level, uint64_t number)
{
	uint64_t rows = rows_of(sb, root);
	uint64_t first = number * span(level);
	struct vdo_blocks l = {.stride = sb->root_count * MAP_PAGE_ENTRIES};

	if (first >= rows)
		return l;
	l.first = (first * sb->root_count + root) * MAP_PAGE_ENTRIES;
	l.repeats = MIN(span(level), rows - first);
	l.count = MAP_PAGE_ENTRIES;
	if (l.repeats == 1) /* the last leaf page may be needed in part */
		l.count = MIN(l.count, sb->logical_blocks - l.first);
	VDO_ASSERT(l.count > 0 && l.first < sb->logical_blocks);
	return l;
}

struct vdo_blocks walk_slot_lbns(const struct superblock *sb,
				const struct walk_page *p, unsigned slot)
{
	struct vdo_blocks l;

	VDO_ASSERT(slot < MAP_PAGE_ENTRIES);
	if (p->level > 0)
		return walk_page_lbns(sb, p->root, p->level - 1,
				      p->number * MAP_PAGE_ENTRIES + slot);
	l = walk_page_lbns(sb, p->root, 0, p->number);
	if (slot >= l.count)
		return (struct vdo_blocks){0};
	l.first += slot;
	l.count = 1;
	return l;
}

bool walk_join(struct vdo_blocks *last, const struct vdo_blocks *more)
{
	VDO_ASSERT(more->count > 0 && more->repeats > 0);
	if (last->repeats != 1 || more->repeats != 1 ||
	    last->first + last->count != more->first)
		return false;
	last->count += more->count;
	return true;
}

/* Slots of a page that logical blocks need. */
static unsigned slots_needed(const struct walk *w, const struct walk_page *p)
{
	uint64_t first = p->number * span(p->level);
	uint64_t rows = rows_of(w->c->sb, p->root);

	if (p->level == 0)
		return (unsigned)walk_page_lbns(w->c->sb, p->root, 0, p->number)
			.count;
	if (first >= rows)
		return 0;
	return (unsigned)MIN(div_up(rows - first, span(p->level - 1)),
			     MAP_PAGE_ENTRIES);
}

bool walk_leads_to_page(const struct slab_geometry *slabs, struct mapping m)
{
	return m.state == STATE_UNCOMPRESSED && is_data_block(slabs, m.pbn);
}

/* ------------------------------------------------------------------- reading */

/* Was @pbn met before? It is now. -ENOMEM */
static int meet(struct walk *w, pbn_t pbn, bool *again)
{
	const struct slab_geometry *g = w->c->slabs;
	uint64_t offset = slab_offset_of(g, pbn);
	uint8_t **bits = &w->met[slab_of(g, pbn)];
	uint8_t bit = (uint8_t)(1u << offset % 8);

	VDO_ASSERT(is_data_block(g, pbn));
	if (*bits == NULL)
		*bits = alloc_zeroed(div_up(g->data_blocks, 8), 1);
	if (*bits == NULL)
		return -ENOMEM;
	*again = ((*bits)[offset / 8] & bit) != 0;
	(*bits)[offset / 8] |= bit;
	return 0;
}

static uint8_t *in_window(const struct walk *w, pbn_t pbn)
{
	if (pbn < w->window_start ||
	    pbn - w->window_start >= w->window_count)
		return NULL;
	return w->window + (pbn - w->window_start) * BLOCK_SIZE;
}

/* Whoever reads one block after the other gets some more, within the slab. */
static bool fill_window(struct walk *w, pbn_t pbn)
{
	const struct slab_geometry *g = w->c->slabs;
	uint64_t n;

	if (pbn != w->last_read + 1 || !is_data_block(g, pbn))
		return false;
	n = MIN(WINDOW_BLOCKS, g->data_blocks - slab_offset_of(g, pbn));
	w->window_count = 0;
	if (w->c->read(w->c->arg, pbn, n, w->window) != 0)
		return false; /* one of the others may be bad */
	w->window_start = pbn;
	w->window_count = n;
	return true;
}

static int read_page(struct walk *w, pbn_t pbn, uint8_t *to)
{
	int result = 0;

	VDO_ASSERT(to != NULL);
	if (in_window(w, pbn) != NULL || fill_window(w, pbn))
		memcpy(to, in_window(w, pbn), BLOCK_SIZE);
	else
		result = w->c->read(w->c->arg, pbn, 1, to);
	w->last_read = pbn;
	return result;
}

static int write_page(struct walk *w, struct walk_page *p)
{
	int result;

	if (!p->changed)
		return 0;
	VDO_ASSERT(w->c->write != NULL && !p->again);
	p->changed = false;
	result = w->c->write(w->c->arg, p->pbn, p->bytes);
	if (in_window(w, p->pbn) != NULL)
		memcpy(in_window(w, p->pbn), p->bytes, BLOCK_SIZE);
	return result;
}

unsigned walk_kind(const struct walk_page *p)
{
	return p->level > 0 ? REPLAY_INTERIOR : REPLAY_LEAF;
}

/* What is in the journal goes into the page, which may come to be by it. */
static void overlay(struct walk *w, struct walk_page *p)
{
	VDO_ASSERT(p->replayed == 0);
	if (w->c->overlay == NULL || p->validity == MAP_PAGE_BAD)
		return;
	if (p->validity == MAP_PAGE_INVALID)
		mapping_page_format(p->bytes, w->c->sb->nonce, p->pbn, true);
	p->replayed = replay_table_apply(w->c->overlay, p->pbn, p->bytes,
					 walk_kind(p));
	p->fresh = p->replayed > 0 && p->validity == MAP_PAGE_INVALID;
	if (p->replayed > 0)
		p->validity = MAP_PAGE_VALID;
}

/* Read a page, unless the journal makes it. */
static void look_at(struct walk *w, struct walk_page *p)
{
	uint64_t nonce = w->c->sb->nonce;

	if (w->c->overlay != NULL && replay_table_makes(w->c->overlay, p->pbn))
		return;
	p->error = read_page(w, p->pbn, p->bytes);
	if (p->error == 0)
		p->validity = p->level == TOP
				      ? mapping_root_check(p->bytes, nonce,
							   p->pbn)
				      : mapping_page_check(p->bytes, nonce,
							   p->pbn);
}

/* Read a page and ask what to do with it: WALK_, or an error. */
static int load(struct walk *w, struct walk_page *p)
{
	int result = p->level == TOP ? 0 : meet(w, p->pbn, &p->again);

	if (result != 0)
		return result;
	p->slots = slots_needed(w, p);
	p->validity = MAP_PAGE_INVALID;
	if (!p->again)
		look_at(w, p);
	if (p->error == -ECANCELED || p->error == -ENOMEM)
		return p->error;
	if (!p->again && p->error == 0)
		overlay(w, p);
	result = w->c->page(w->c->arg, p);
	VDO_ASSERT(result <= WALK_CLEAR && (result != WALK_IN || !p->again));
	VDO_ASSERT(result != WALK_CLEAR || p->parent != 0);
	return result;
}

/* Have nothing lead to the page in slot @slot of @p. */
static void clear_child(struct walk_page *p, unsigned slot)
{
	VDO_ASSERT(p->level > 0);
	mapping_page_put(p->bytes, slot,
			 (struct mapping){ZERO_BLOCK, STATE_UNMAPPED});
	p->changed = true;
}

/* Ask for each child; empty the slots that lead nowhere. */
static int take_children(struct walk *w, struct walk_page *p)
{
	static const struct mapping nothing = {ZERO_BLOCK, STATE_UNMAPPED};

	VDO_ASSERT(p->level > 0);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++) {
		struct mapping m = mapping_page_get(p->bytes, i);
		int result;

		if (mapping_equal(m, nothing))
			continue;
		result = w->c->child(w->c->arg, p, i, m);
		if (result < 0)
			return result;
		if (result == WALK_PAST || !walk_leads_to_page(w->c->slabs, m))
			mapping_page_put(p->bytes, i, nothing);
	}
	return 0;
}

/* ------------------------------------------------------------------- walking */

/* Let go of the pages of a tree, from the leaves up to @level. */
static int release(struct walk *w, struct tree *t, unsigned level)
{
	int result = 0;

	VDO_ASSERT(level <= TOP);
	for (unsigned i = 1; result == 0 && i <= level; i++) {
		if (t->held[i].is_held)
			result = write_page(w, &t->held[i].page);
		t->held[i].is_held = false;
	}
	return result;
}

/* Have the page of @level above @row. WALK_PAST: there is none. */
static int hold(struct walk *w, unsigned root, unsigned level, uint64_t row,
		struct walk_page *parent, pbn_t pbn)
{
	struct tree *t = &w->trees[root];
	struct held *h = &t->held[level];
	uint64_t number = row / span(level);
	int result;

	if (h->is_held && h->page.number == number)
		return WALK_IN;
	result = release(w, t, level);
	if (result != 0)
		return result;
	h->page = (struct walk_page){
		.bytes = h->page.bytes,
		.pbn = pbn,
		.parent = parent != NULL ? parent->pbn : 0,
		.parent_slot = (unsigned)(number % MAP_PAGE_ENTRIES),
		.level = level,
		.root = root,
		.number = number,
	};
	result = load(w, &h->page);
	if (result == WALK_IN)
		result = take_children(w, &h->page);
	if (result == WALK_CLEAR) {
		clear_child(parent, h->page.parent_slot);
		result = WALK_PAST;
	}
	h->is_held = result == WALK_IN || h->page.changed;
	return result;
}

/* The next slot of @p that is not empty, from that of @row on; the row where it
 * begins. */
static uint64_t next_row_of(const struct walk_page *p, uint64_t row)
{
	uint64_t below = span(p->level - 1);
	uint64_t slot = row / below % MAP_PAGE_ENTRIES;
	uint64_t first = row - row % below;

	VDO_ASSERT(p->level > 0 && row / span(p->level) == p->number);
	for (; slot < MAP_PAGE_ENTRIES; slot++, first += below)
		if (mapping_page_get(p->bytes, (unsigned)slot).pbn != ZERO_BLOCK)
			break;
	return first;
}

static int take_leaf(struct walk *w, struct walk_page *parent, uint64_t row,
		     pbn_t pbn)
{
	struct walk_page p = {
		.bytes = w->pages + (size_t)w->roots * TOP * BLOCK_SIZE,
		.pbn = pbn,
		.parent = parent->pbn,
		.parent_slot = (unsigned)(row % MAP_PAGE_ENTRIES),
		.root = parent->root,
		.number = row,
	};
	int result = load(w, &p);

	VDO_ASSERT(parent->level == 1);
	if (result == WALK_CLEAR)
		clear_child(parent, p.parent_slot);
	return result < 0 ? result : write_page(w, &p);
}

/* What tree @root has in @row; sets from where on it may have more. */
static int descend(struct walk *w, unsigned root, uint64_t row)
{
	struct tree *t = &w->trees[root];
	struct walk_page *p = NULL;
	pbn_t pbn = w->c->sb->root_origin + root;

	VDO_ASSERT(t->next <= row);
	for (unsigned level = TOP; level > 0; level--) {
		uint64_t below = span(level - 1);
		int result = hold(w, root, level, row, p, pbn);

		if (result < 0)
			return result;
		if (result == WALK_PAST) {
			t->next = (row / span(level) + 1) * span(level);
			return 0;
		}
		p = &t->held[level].page;
		pbn = mapping_page_get(p->bytes,
				       (unsigned)(row / below %
						  MAP_PAGE_ENTRIES))
			      .pbn;
		if (pbn == ZERO_BLOCK) {
			t->next = next_row_of(p, row);
			return 0;
		}
	}
	t->next = row + 1;
	return take_leaf(w, p, row, pbn);
}

/* The next row that some tree may need, or NEVER. */
static uint64_t next_row(const struct walk *w)
{
	uint64_t row = NEVER;

	VDO_ASSERT(w->roots > 0);
	for (unsigned i = 0; i < w->roots; i++)
		if (w->trees[i].next < rows_of(w->c->sb, i))
			row = MIN(row, w->trees[i].next);
	return row;
}

static int walk_rows(struct walk *w)
{
	uint64_t row;
	int result = 0;

	while (result == 0 && (row = next_row(w)) != NEVER)
		for (unsigned i = 0; result == 0 && i < w->roots; i++)
			if (w->trees[i].next <= row &&
			    row < rows_of(w->c->sb, i))
				result = descend(w, i, row);
	for (unsigned i = 0; result == 0 && i < w->roots; i++)
		result = release(w, &w->trees[i], TOP);
	return result;
}

static int create(struct walk *w)
{
	w->trees = alloc_zeroed(w->roots, sizeof(*w->trees));
	w->pages = alloc_aligned(BLOCK_SIZE, (size_t)w->roots * TOP + 1,
				 BLOCK_SIZE);
	w->window = alloc_aligned(BLOCK_SIZE, WINDOW_BLOCKS, BLOCK_SIZE);
	w->met = alloc_zeroed(w->c->slabs->slab_count, sizeof(*w->met));
	if (w->trees == NULL || w->pages == NULL || w->window == NULL ||
	    w->met == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < w->roots; i++)
		for (unsigned level = 1; level <= TOP; level++)
			w->trees[i].held[level].page.bytes =
				w->pages +
				((size_t)i * TOP + level - 1) * BLOCK_SIZE;
	return 0;
}

int walk_run(const struct walk_config *c)
{
	struct walk w = {
		.c = c,
		.roots = (unsigned)c->sb->root_count,
	};
	int result;

	VDO_ASSERT(w.roots > 0 && w.roots <= ROOT_COUNT);
	result = create(&w);
	if (result == 0)
		result = walk_rows(&w);
	for (uint64_t i = 0; w.met != NULL && i < c->slabs->slab_count; i++)
		alloc_free(w.met[i]);
	alloc_free(w.met);
	alloc_free(w.window);
	alloc_free(w.pages);
	alloc_free(w.trees);
	return result;
}
