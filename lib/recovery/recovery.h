/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery: what the recovery journal of a volume says that was not closed goes
 * into the block map and into the slab journals (V 10.3).
 *
 * Invariants
 *  (1) Nothing is written before each entry of the journal that is to be used
 *      was read and found to be good, and before what was read is durable (D14).
 *  (2) The journal and the super block stay as they are, so that a recovery that
 *      was interrupted is done once more, from the same journal: mappings are
 *      absolute, and slab journals know which entries they have (I43). Whoever
 *      asked for it writes the super block that makes the entries old, after
 *      recovery_run() is over and all is durable.
 *  (3) Memory is bounded: entries are sorted in batches, each of which is in the
 *      pages before the next one is.
 *
 * Runs on: the queue of the journal. Lifetime: recovery_create() to
 * recovery_destroy(); the large parts of its memory are gone when it is over.
 */
#ifndef RECOVERY_RECOVERY_H
#define RECOVERY_RECOVERY_H

#include "base/log.h"
#include "depot/depot.h"
#include "exec/completion.h"
#include "format/superblock.h"
#include "io/mio.h"
#include "io/sync.h"

struct recovery;

/* Entries of one batch: 32 MiB. A journal as the kernel makes it has up to 7.1
 * million, which is four batches. */
#define RECOVERY_BATCH_ENTRIES (UINT64_C(1) << 21)

struct recovery_config {
	struct queue *queue;
	struct storage *storage;
	struct sync *sync;
	struct depot *depot; /* not loaded yet */
	const struct log *log;
	const struct superblock *sb; /* as on the storage; copied */
	uint64_t batch_entries;	     /* 0: RECOVERY_BATCH_ENTRIES */
	const atomic_bool *stop;     /* true: it shall end soon */
	/*
	 * NULL, or: all copies of the slab summary are alike and durable, so the
	 * super block may name those of other zones, and must before their
	 * journals grow: in a ring of a few blocks an entry that is not written
	 * any more would soon lead to a block of a later round. On the queue;
	 * @done is finished from there.
	 */
	void (*summary_merged)(void *arg, struct completion *done);
	void *arg;
};

/* What was found in the journal, and what became of it. */
struct recovery_result {
	seq_t next; /* the first block of the journal from now on */
	uint64_t logical_blocks_used, block_map_data_blocks;
	uint64_t blocks;  /* of the journal, with entries */
	uint64_t entries; /* in them */
	uint64_t pages;   /* writes of block map pages, one each batch */
	/* With -VDO_ECORRUPT or -VDO_EVERSION: what is wrong, if that was found
	 * here; and the block of the journal, or the page, if it is one's. */
	const char *wrong;
	seq_t wrong_block;
	pbn_t wrong_page;
};

/* -ENOMEM */
int recovery_create(const struct recovery_config *c, struct recovery **recovery)
	MUST_CHECK;
void recovery_destroy(struct recovery *r);

/*
 * Do it, once: pages and slab journals are durable when @done runs, and the
 * depot is loaded as depot_load(DEPOT_CRASHED) and depot_replayed() leave it.
 * -ECANCELED; -VDO_ECORRUPT, -VDO_EVERSION: the journal cannot be used, nothing
 * was written, or a page or slab is damaged; -ENOSPC and its like, -ENOMEM,
 * -EIO. Any queue.
 */
void recovery_run(struct recovery *r, struct completion *done);

/* When it is over. */
const struct recovery_result *recovery_result(const struct recovery *r);

/* What it does and how far it is, in bytes. Any thread. */
const char *recovery_progress(const struct recovery *r, uint64_t *done,
			      uint64_t *total);

#endif
