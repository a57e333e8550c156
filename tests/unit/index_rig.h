/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index for tests: on any executor and device, asked one request at a time
 * or many.
 *
 * Lifetime: rig_init() to rig_fini(); the device is the caller's.
 */
#ifndef TESTS_UNIT_INDEX_RIG_H
#define TESTS_UNIT_INDEX_RIG_H

#include "index/index.h"
#include "io/device.h"

struct rig {
	struct executor *x;
	struct queue *asker; /* requests come back here */
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct index_config config;
	struct index *index;
	struct log log;
	unsigned warnings;
	int sync_failed;
	struct completion *before_wait; /* posted when opening has begun */
};

/* The executor becomes the rig's. Sets up everything but r->index. */
void rig_init(struct rig *r, struct executor *x, struct vdo_device *device,
	      int32_t memory, bool sparse, unsigned zones, uint64_t nonce,
	      uint64_t first_block);
void rig_fini(struct rig *r);

/* Create r->index and open it; without one afterwards if that fails. */
int rig_open(struct rig *r, enum index_open how);
int rig_close(struct rig *r, bool save);
int rig_suspend(struct rig *r, bool save);
int rig_resume(struct rig *r);

/* One request; @op has all but the completion. Returns its result. */
int rig_ask(struct rig *r, struct index_op *op);

/* POST name(i), data(i, 0) for each number, many at a time; how many were
 * found, or a negative error. */
long rig_post_range(struct rig *r, uint64_t low, uint64_t high, unsigned depth);

/* Query a golden number: its generation, -1 if not found, -2 if wrong. */
int rig_generation(struct rig *r, uint64_t i);

struct index_stats rig_stats(struct rig *r);

#endif
