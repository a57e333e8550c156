/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A survey: the leaf pages of a range of logical blocks, in order, for somebody
 * who asks where blocks are.
 *
 * Whoever wants one sets first and end, and submits it as an IO_SURVEY again and
 * again. Each time it comes back with the next pages that exist, up to SURVEY_PAGES
 * of them; all blocks before "done" that are in none of them are unmapped.
 *
 * Invariants
 *  (1) Pages are in the order of blocks, and no block before "done" comes again.
 *  (2) A page is as it was at one moment, and what does not exist did not at one
 *      moment, since the survey began.
 *
 * It neither takes locks nor waits for them: a write that was acknowledged may
 * not be in its page yet. Who wants those to be seen has them flushed before: a
 * flush ends when all that it covers is in the map (I14). References are counted
 * after the pages, as they are then.
 *
 * Runs on: logical zones, then physical ones. Lifetime: its owner's; it is nobody's business between
 * two calls.
 */
#ifndef PATH_SURVEY_H
#define PATH_SURVEY_H

#include "depot/depot.h"
#include "exec/flow.h"
#include "format/mapping.h"
#include "map/map.h"

struct io;
struct path;

#define SURVEY_PAGES 16u

struct survey_page {
	lbn_t lbn; /* of its first slot */
	uint8_t bytes[BLOCK_SIZE];
	/* With "references": those of the block of each slot; 0: none, or not
	 * known. */
	uint8_t references[MAP_PAGE_ENTRIES];
};

/* Of each tree: its next page, or where that can be if it has not been looked
 * for (page 0). */
struct survey_tree {
	lbn_t lbn;
	pbn_t page;
};

struct survey {
	/* in, once; not empty, inside of the volume */
	lbn_t first, end;
	bool references; /* are asked for, of blocks in the range */
	/* out */
	lbn_t done;
	unsigned count; /* of pages */
	struct slab_geometry slabs; /* when these pages were copied */
	pbn_t origin; /* the first block of the storage */
	/* private: as many pages are looked for this time */
	unsigned max;
	bool begun;
	struct path *path;
	struct io *io;
	struct flow flow;
	struct map_op op;
	unsigned tree;
	struct survey_tree trees[ROOT_COUNT];
	struct lock_op count_op;
	uint32_t zones; /* physical ones that are to be asked, a bit each */
	unsigned page, slot; /* how far the one that is asked is */

	struct survey_page pages[SURVEY_PAGES];
};

/* Go on with the survey of @io, which comes with a hold. All of *s but what goes in is
 * zero the first time. */
void survey_start(struct path *p, struct io *io);

#endif
