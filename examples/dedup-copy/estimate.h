/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume would save, without one: zero blocks, equal blocks (by a
 * 128-bit hash), and fragments that share a block, packed the way a volume
 * packs them.
 *
 * It is an estimate: a volume forgets old blocks and packs in another order.
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
	struct table seen;
	struct counts counts; /* data_used without what is in the bins */
	bool compress, deduplicate;
	bool learning; /* blocks are there already: nothing is counted */
	struct bin bins[BINS];
};

void estimate_init(struct estimate *e, const struct vdo_config *config);
void estimate_fini(struct estimate *e);

/* Whole blocks. A writer_sink; @arg is the estimate. */
int estimate_blocks(void *arg, const uint8_t *data, size_t bytes);

/* Close the bins. */
void estimate_end(struct estimate *e);

#endif
