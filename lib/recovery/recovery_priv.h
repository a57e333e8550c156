/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery, for the files of this folder.
 *
 *	recovery.c  the order of everything; the journal
 *	pages.c     a batch of entries into the pages of the block map
 *	ways.c      blocks that hold no page: does the map lead to them?
 *	reader.c    blocks of the journal, in order
 */
#ifndef RECOVERY_RECOVERY_PRIV_H
#define RECOVERY_RECOVERY_PRIV_H

#include "recovery/recovery.h"

#include "base/counter.h"
#include "exec/flow.h"
#include "recovery/reader.h"
#include "replay/made.h"
#include "replay/scan.h"
#include "replay/table.h"

/* The place of all rows. */
enum { ON_JOURNAL = ANYWHERE + 1 };

/* Pages that are read and written at the same time: those that wait for a flush
 * share it. */
#define PAGE_WORKERS 64u

/* An interior page that is to be read (ways.c). */
struct way {
	pbn_t pbn;
	uint64_t number; /* in its level of its tree */
	unsigned level;
};

/* Notes in the table. Aside: on a block with entries that none of them makes a
 * page; only the map can tell that it is what they take it for. */
enum {
	PAGE_ASIDE = 1,
	PAGE_IS_THERE = 2, /* it holds a page */
	PAGE_MET = 4,	   /* the map leads to it */
	PAGE_LATE = 8,	   /* it leads to others, and is good */
};

/* Takes one page at a time, until none is left in the batch. */
struct page_worker {
	struct flow flow;
	struct recovery *recovery;
	pbn_t page;
	struct mio mio;
	struct sync_op sync;
	uint8_t *bytes;
	struct way way;
};

struct recovery {
	struct recovery_config c;
	struct superblock sb;
	struct replay_facts facts;
	struct recovery_result result;
	struct flow flow;
	struct completion step;	 /* of what has no op of its own */
	struct completion *done; /* of who asked; NULL: idle */
	struct sync_op sync;

	/* The journal. */
	struct replay_scan *scan;
	struct replay_bounds bounds;
	struct journal_reader reader;
	struct replay_entry *entries; /* of a chunk */

	/* The batch. */
	struct replay_table *table;
	uint64_t table_size; /* entries */
	struct replay_made made; /* in all batches */
	seq_t batch_first; /* blocks before it are in pages */
	seq_t batch_next;  /* those from batch_first on to here in the table */
	size_t position;   /* in the table; beyond the pages that were taken */
	unsigned working;
	bool late; /* pages that the map was asked for, or that are made */
	int pages_result; /* the first error of a page */
	uint8_t *page_buffers;
	struct page_worker *workers;

	/* Of the batch; and what is left to be read of the map, the last one
	 * next. */
	size_t aside_count, aside_met;
	struct way *ways;
	size_t way_count, way_room;
	unsigned reading; /* workers that read one */

	/* For whoever asks how far it is. */
	_Atomic(const char *) phase;
	counter_t phase_done, phase_total;
};

static inline bool recovery_is_stopped(const struct recovery *r)
{
	return r->c.stop != NULL &&
	       atomic_load_explicit(r->c.stop, memory_order_relaxed);
}

/* -ENOMEM; the fields are to be freed in any case. */
int pages_init(struct recovery *r) MUST_CHECK;
void pages_fini(struct recovery *r);

/*
 * Bring the entries of the table, which is sorted, into the pages that are
 * there, or with r->late into those that are not, or were set aside; what a row
 * of the recovery's flow returns, which goes on at @next and then looks at
 * r->pages_result.
 */
int pages_replay(struct recovery *r, int next);

/* Page @page is wrong, as @wrong says: that is the result. -VDO_ECORRUPT */
int recovery_page_wrong(struct recovery *r, pbn_t page, const char *wrong);

/* Ask for @page, too. */
void ways_set_aside(struct recovery *r, pbn_t page, bool is_there);
void ways_clear(struct recovery *r);

/*
 * Look for all that was set aside: begin; read some pages, go on at @next and
 * look at them, until ways_read() is false; end. -ENOMEM, -EIO, and what
 * recovery_page_wrong() returns.
 */
int ways_begin(struct recovery *r) MUST_CHECK;
bool ways_read(struct recovery *r, int next) MUST_CHECK;
int ways_look(struct recovery *r) MUST_CHECK;
int ways_end(struct recovery *r) MUST_CHECK;

#endif
