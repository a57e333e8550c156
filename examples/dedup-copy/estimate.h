/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume would save, without one: zero blocks, equal blocks (by a
 * 128-bit hash), and fragments that share a block, packed the way a volume
 * packs them.
 *
 * The index is followed as well: a name goes into its open chapter when it comes
 * up, and is forgotten with the chapter that had it last. It is an estimate: a
 * volume packs in another order, and its zones fill chapters unevenly.
 *
 * Lifetime: estimate_init() to estimate_fini().
 */
#ifndef DEDUP_COPY_ESTIMATE_H
#define DEDUP_COPY_ESTIMATE_H

#include "report.h"
#include "table.h"

#define BINS 16u

struct bin {
	unsigned bytes, fragments;
};

struct estimate {
	struct table seen; /* names: the chapter that has each last */
	/* the index; chapters_max 0: nothing is forgotten */
	uint64_t chapters_max, records_max; /* of a chapter */
	uint64_t chapter, records;	    /* the open one, and what is in it */
	uint64_t first_chapter;		    /* open when the run began */
	uint64_t recorded;		    /* names, by this run */
	struct counts counts; /* data_used without what is in the bins */
	bool compress, deduplicate;
	bool learning; /* blocks are there already: nothing is counted */
	struct bin bins[BINS];
};

void estimate_init(struct estimate *e, const struct vdo_config *config);
void estimate_fini(struct estimate *e);

/* Whole blocks. A writer_sink; @arg is the estimate. */
int estimate_blocks(void *arg, const uint8_t *data, size_t bytes);

/* The index has @chapters of @records names. */
void estimate_set_index(struct estimate *e, uint64_t chapters,
			uint64_t records);

/* From here on, or up to here, blocks are there already. */
void estimate_learn(struct estimate *e, bool learning);

/* Close the bins. */
void estimate_end(struct estimate *e);

#endif
