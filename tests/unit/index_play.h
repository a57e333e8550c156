/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The golden indexes that the reference wrote, the requests that made them and
 * what they must answer. For tests on any executor.
 *
 * Runs on: the thread of the rig.
 */
#ifndef TESTS_UNIT_INDEX_PLAY_H
#define TESTS_UNIT_INDEX_PLAY_H

#include "tests/unit/index_rig.h"

struct golden_image {
	const char *name;
	int32_t memory;
	bool sparse;
	uint64_t nonce, blocks;
};

enum {
	TINY_DENSE,
	TINY_EXPIRED,
	TINY_DIRTY,
	TINY_3ZONES,
	TINY_SPARSE,
};

extern const struct golden_image golden_images[];

/* Carry out the log of requests of an index. */
void play_log(struct rig *r, const char *name, unsigned depth);

/* Ask what its .expect file says, each @step-th number. */
void play_expect(struct rig *r, const char *name, unsigned step);

#endif
