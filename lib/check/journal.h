/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal of a volume that is not open: its bounds, and its
 * entries in order, or as an overlay of the block map.
 *
 * The ring is read twice: once for the bounds, all of it, and then the blocks
 * with entries as often as wanted.
 *
 * Runs on: the calling thread; the caller's function reads.
 * Lifetime: check_journal_load() to check_journal_free(), also if it failed.
 */
#ifndef CHECK_JOURNAL_H
#define CHECK_JOURNAL_H

#include "format/superblock.h"
#include "replay/made.h"
#include "replay/scan.h"
#include "replay/table.h"

struct check_journal {
	const struct superblock *sb;
	void *arg;
	int (*read)(void *arg, pbn_t pbn, uint64_t count, void *to);
	struct replay_facts facts;
	struct replay_scan *scan;
	struct replay_bounds bounds;
	const char *wrong;   /* why there are no bounds; NULL */
	int why;	     /* the same as a result */
	uint64_t unreadable; /* blocks of the ring */
	pbn_t first_unreadable;
	/* Blocks of this volume: a bit for each block of the ring. */
	uint8_t *ahead; /* from the super block's start on */
	uint8_t *odd;	/* with heads that no block can have */
	uint64_t ahead_count, odd_count;
	uint64_t invalid; /* entries that cannot be; left out */
	struct journal_point first_invalid;
	const char *why_invalid;
	struct replay_made made;
	const char *clash; /* the first of entries in turn; NULL */
	pbn_t clash_block;
	struct replay_table *table; /* sorted; NULL: nothing to be replayed */
};

/*
 * Read the ring and find the bounds; with @tolerant those for a rebuild. A
 * block that cannot be read counts as one that is not there. A journal that is
 * damaged is no error, see wrong: there is nothing to be replayed then.
 * -ENOMEM, -ECANCELED.
 */
int check_journal_load(struct check_journal *j, const struct superblock *sb,
		       bool tolerant,
		       int (*read)(void *arg, pbn_t pbn, uint64_t count,
				   void *to),
		       void *arg) MUST_CHECK;
void check_journal_free(struct check_journal *j);

/* Make the table of what the block map may lack. */
int check_journal_overlay(struct check_journal *j) MUST_CHECK;

/* Hand each valid entry from block @first on, in order. The result is that of a
 * call, if it is not 0, or of reading. */
int check_journal_each(struct check_journal *j, seq_t first,
		       int (*take)(void *arg, const struct replay_entry *e),
		       void *arg) MUST_CHECK;

#endif
