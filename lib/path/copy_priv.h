/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of copies: what a step knows.
 *
 * Runs on: as copy.c says. Lifetime: a step.
 */
#ifndef PATH_COPY_PRIV_H
#define PATH_COPY_PRIV_H

#include "path/write.h"

/* Six steps for a leaf page. */
#define COPY_BLOCKS 136u

/* Slabs whose counts have a place in a request that is lent. */
#define COUNTS_LENT 32u
#define COUNTS_OWN  2u

#define NO_ZONE PHYSICAL_ZONES_MAX

enum copy_phase {
	COPY_SOURCE,
	COPY_TARGET,
	COPY_DATA, /* of the source, too; struct copy is overwritten */
};

/* Blocks of one slab, on their way to be counted. */
struct copy_count {
	struct refs_op op;
	struct completion go;
	struct request *request;
	uint64_t slab;
};

/* What a step knows, in the memory for its data. */
struct copy {
	lbn_t end;	 /* of the source, for a walk backward */
	lbn_t target;	 /* where block 0 of those below goes */
	unsigned want;	 /* blocks, at most */
	unsigned first, last; /* of the blocks below, these may be locked */
	unsigned from, to; /* and these are copied */
	unsigned at;	 /* of these: looked at, or done */
	unsigned part;	 /* blocks of the target that are locked */
	unsigned count;	 /* changes among these, from "at" on */
	unsigned made;	 /* of these, by runs that are over */
	unsigned run;	 /* and by the one that is not */
	unsigned zones;	 /* physical ones that are to be asked, a bit each */
	unsigned locked; /* those with read locks */
	struct request *lent;
	struct copy_count counts[COUNTS_OWN];
	uint8_t zone[COPY_BLOCKS]; /* that has the block, or NO_ZONE */
	struct pbn_lock *locks[COPY_BLOCKS];
	struct mapping news[COPY_BLOCKS];
	struct journal_change changes[COPY_BLOCKS];
};

_Static_assert(sizeof(struct copy) <= 2 * BLOCK_SIZE,
	       "a request has two blocks");
_Static_assert(COUNTS_LENT * sizeof(struct copy_count) <= 2 * BLOCK_SIZE,
	       "the same");
_Static_assert(PHYSICAL_ZONES_MAX <= 32, "a bit each");

static inline struct copy *copy_of(struct request *r)
{
	VDO_CHECK(r->range && r->copying != COPY_DATA);
	VDO_CHECK(r->block == r->data + BLOCK_SIZE);
	return (struct copy *)(void *)r->data;
}

/*
 * Have the blocks of the run that is durable counted (copy_counts.c); @f, the
 * step's, goes on at row @next when they are. False: there are none. On the
 * journal's queue, in the order of entries.
 */
bool copy_count(struct flow *f, int next) MUST_CHECK;

#endif
