/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request: one block of a call on its way through the engine.
 *
 * The head is what most rows look at. After it comes one member for each stage
 * of the way, which is valid only between two rows of the request's table; with
 * --enable-debug the runner checks that (request_check_stages()): a stage that
 * ends is filled with a pattern, and the pattern must still be there when the
 * stage begins again. So nobody writes to a stage that is not valid, and
 * whoever reads one finds nonsense.
 *
 *	stage   writes                 reads             ranges
 *	lbn     lock .. wake           lock .. wake      lock .. wake
 *	map     slot .. map            find .. deliver   find .. mapped
 *	alloc   enter .. release       -                 -
 *	counts  journal .. map         -                 journal .. map
 *	mio     fill .. publish        fetch .. wake     -
 *	pack    always                 -                 -
 *	dedupe  name: always, rest:    -                 -
 *	        dedupe .. hand over
 *
 * "pack" is valid for all of a write, since whoever waits for its logical block
 * cancels its compression at any time.
 *
 * Invariants
 *  (1) A request runs on one queue at a time, but for "counts", whose increment
 *      and decrement run in their two zones at once.
 *  (2) owner is true exactly while the request holds the lock of a block of its
 *      own, alloc.lock; member exactly while it is a member of a hash lock.
 *
 * Runs on: see the tables.
 * Lifetime: path_create() to path_destroy(), in a pool.
 */
#ifndef PATH_REQUEST_H
#define PATH_REQUEST_H

#include <stdatomic.h>

#include "dedupe/dedupe.h"
#include "depot/depot.h"
#include "exec/flow.h"
#include "front/io.h"
#include "io/mio.h"
#include "journal/journal.h"
#include "map/map.h"
#include "pack/pack.h"

struct path;

/* Where rows run; see flow.h. */
enum place {
	ON_LOGICAL = ANYWHERE + 1, /* the zone of the LBN */
	ON_PHYSICAL,  /* the zone of the own allocation */
	ON_CANDIDATE, /* the physical zone of the candidate for sharing */
	ON_SHARED,    /* the physical zone of the hash lock's block */
	ON_HASH,      /* the zone of the name */
	ON_PACKER,
	ON_JOURNAL,
};

/* The lock on the logical block: lbn.c. */
struct request_lbn {
	struct request *chain; /* other holders with the same hash */
	struct waitq waiters;
	struct waiter link;    /* in the holder's waiters */
	struct pack_fetch fetch; /* takes the holder out of the packer */
	atomic_bool readable;  /* a write that cannot fail for want of space */
};

/* The mapping: where it stands, and what it was. */
struct request_map {
	struct map_op op;
	struct mapping old;
};

/* The journal entry, and the counts that follow from it. */
struct request_counts {
	struct journal_op entry;
	struct refs_op increment;
	struct refs_op decrement;
	struct completion increment_go; /* to the zone of the new block */
	struct completion decrement_go; /* to the zone of the old one */
	atomic_uint pending;
	atomic_int failed;
};

struct request {
	/* The head. */
	struct flow flow;
	struct path *path;
	struct io_block what; /* what.io is NULL: acknowledged */
	struct mapping new;   /* where the block is to be found */
	uint8_t *data;        /* the block's content */
	uint8_t *block;       /* scratch: compressed block, old content */
	unsigned zone;        /* logical */
	unsigned hash_zone;
	uint32_t number;      /* in the pool */
	uint8_t parity;       /* of the flush generation, while active */
	uint8_t fate;         /* enum write_fate */
	bool zero;            /* all zeroes: maps to the zero block */
	bool no_dedupe;
	bool owner;           /* has a block of its own */
	bool shared;          /* new is somebody else's block, claimed */
	bool packed;          /* new is a fragment */
	bool member;          /* of a hash lock */
	bool active;          /* counted for flushes */
	bool verified;        /* the candidate's bytes are ours */
	bool incompressible;
	bool packed_alone;
	bool refused;         /* the storage had no space for the data */
	bool range;           /* of many blocks: range.c, copy.c */
	bool turn;            /* of a copy: it holds one block, no range */
	uint8_t copying;      /* of a copy: enum copy_phase */
	unsigned blocks;      /* of a range: how many are locked */
	struct request *spare; /* not begun: set aside for the same io, or
				* lent to the same range */

	/* The stages. */
	struct request_lbn lbn;
	struct request_map map;
	struct alloc_op alloc;
	struct pack_op pack;
	struct dedupe_op dedupe;
	struct lock_op candidate;
	struct request_counts counts;
	struct mio mio;
#ifdef VDO_DEBUG
	unsigned valid; /* stages, a bit each */
#endif
} __attribute__((aligned(CACHE_LINE)));

#ifdef VDO_DEBUG
/* The stages that are checked. */
enum stage {
	STAGE_LBN,
	STAGE_MAP,
	STAGE_ALLOC,
	STAGE_COUNTS,
	STAGE_MIO,
	STAGES,
};

/* The rows from the first to the last of which a stage is valid. */
struct stage_rows {
	int first, last;
};

#define STAGE_NEVER {FLOW_AT(1, ANYWHERE), FLOW_AT(0, ANYWHERE)}

/* All stages of a new request end. */
void request_init_stages(struct request *r);

/* @r is about to run @row: begin and end the stages that @rows says. */
void request_check_stages(struct request *r, const struct stage_rows *rows,
			  int row);
#endif

#endif
