/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over the block map of a volume that is not open.
 *
 * Leaf pages come in the order of their logical blocks, which is, where a volume
 * was written from one end to the other, that of their places; so neighbours
 * are read at once. A page of each level of each tree is in memory, and a leaf
 * page: one megabyte, whatever the size.
 *
 * Invariants
 *  (1) A page is met once for each entry that leads to it, and gone into once;
 *      so the walk ends, whatever the pages say.
 *  (2) Nothing that is not a data block, or a root, is read.
 *  (3) A page is written, if it was changed, after all pages below it.
 *
 * Runs on: the calling thread; the calls of the caller do all I/O.
 */
#ifndef CHECK_WALK_H
#define CHECK_WALK_H

#include <vdo/blocks.h>

#include "format/layout.h"
#include "format/mapping.h"
#include "format/superblock.h"

struct replay_table;

struct walk_page {
	uint8_t *bytes;
	pbn_t pbn;
	pbn_t parent;	      /* the page that leads to it; 0: a root */
	unsigned parent_slot;
	unsigned level;	      /* 0: leaf; MAP_LEVELS - 1: root */
	unsigned root;	      /* number of its tree */
	uint64_t number;      /* of the page in its level of the tree */
	unsigned slots;	      /* that logical blocks need; all others are to
			       * be empty */
	bool again;	      /* met before: not read */
	int error;	      /* it cannot be read: why; or 0 */
	enum map_page_validity validity; /* of what is on the storage */
	unsigned replayed;    /* entries of the overlay that are in it now */
	bool fresh;	      /* on the storage there is no such page yet: it
			       * came to be by them */
	bool changed;	      /* set it to have the page written */
};

struct walk_config {
	const struct superblock *sb;
	const struct slab_geometry *slabs;
	const struct replay_table *overlay; /* sorted; or NULL */
	void *arg; /* of the calls; a result that is negative ends the walk */
	int (*read)(void *arg, pbn_t pbn, uint64_t count, void *to);
	int (*write)(void *arg, pbn_t pbn, const void *from); /* or NULL */

	/*
	 * A page was met. WALK_IN: go into it; who says so of a page that is
	 * not valid has made it one. WALK_PAST: there is nothing in it.
	 * WALK_CLEAR: and nothing shall lead to it, of a page with a parent.
	 */
	int (*page)(void *arg, struct walk_page *p);

	/*
	 * Slot @slot of an interior page has @m, which is not (0, 0); all
	 * slots, also those beyond page->slots. WALK_PAST: as if it were
	 * empty; if page->changed is set it is from now on.
	 */
	int (*child)(void *arg, struct walk_page *p, unsigned slot,
		     struct mapping m);
};

enum { WALK_IN = 0, WALK_PAST = 1, WALK_CLEAR = 2 };

/* 0, -ENOMEM, or what a call returned. */
int walk_run(const struct walk_config *c) MUST_CHECK;

/* Can @m stand in an interior page and lead to a page? */
bool walk_leads_to_page(const struct slab_geometry *slabs, struct mapping m);

/* What entries of the journal have to take @p for (replay/table.h). */
unsigned walk_kind(const struct walk_page *p);

/* Does @last go on with @more? Then that is part of it now. */
bool walk_join(struct vdo_blocks *last, const struct vdo_blocks *more);

/* The logical blocks that need page @number of @level in tree @root, within the
 * size; count 0: none. */
struct vdo_blocks walk_page_lbns(const struct superblock *sb, unsigned root,
				unsigned level, uint64_t number);

/* Those that need slot @slot of @p. */
struct vdo_blocks walk_slot_lbns(const struct superblock *sb,
				const struct walk_page *p, unsigned slot);

#endif
