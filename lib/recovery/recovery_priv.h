/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery, for the files of this folder.
 *
 *	recovery.c  the order of everything; the journal
 *	pages.c     a batch of entries into the pages of the block map
 *	reader.c    blocks of the journal, in order
 */
#ifndef RECOVERY_RECOVERY_PRIV_H
#define RECOVERY_RECOVERY_PRIV_H

#include "recovery/recovery.h"

#include "base/counter.h"
#include "exec/flow.h"
#include "recovery/reader.h"
#include "replay/scan.h"
#include "replay/table.h"

/* The place of all rows. */
enum { ON_JOURNAL = ANYWHERE + 1 };

/* Pages that are read and written at the same time: those that wait for a flush
 * share it. */
#define PAGE_WORKERS 64u

/* Takes one page at a time, until none is left in the batch. */
struct page_worker {
	struct flow flow;
	struct recovery *recovery;
	pbn_t page;
	struct mio mio;
	struct sync_op sync;
	uint8_t *bytes;
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
	seq_t batch_first; /* blocks before it are in pages */
	seq_t batch_next;  /* those from batch_first on to here in the table */
	size_t position;   /* in the table; beyond the pages that were taken */
	unsigned working;
	int pages_result; /* the first error of a page */
	uint8_t *page_buffers;
	struct page_worker *workers;

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

/* Bring the entries of the table, which is sorted, into the pages; what a row of
 * the recovery's flow returns, which goes on at @next and then looks at
 * r->pages_result. */
int pages_replay(struct recovery *r, int next);

#endif
