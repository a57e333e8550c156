/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of vdoplay.
 *
 * Runs on: one thread. Lifetime: the program's.
 */
#ifndef TESTS_VDOPLAY_H
#define TESTS_VDOPLAY_H

#include <stdbool.h>

#include <vdo/vdo.h>

#include "tests/kernel/plan.h"

#define WINDOW_MAX 256u

struct play_options {
	uint64_t from, to; /* operations, counted from 1 */
	unsigned window;   /* requests at the same time */
	const char *tag;   /* before "reached N", "flushed N"; or NULL */
	bool quiet;
	bool copy; /* what is there already, instead of writing it */
};

struct check_options {
	bool gaps; /* all blocks that are in no line are zero */
	bool near; /* those at most 8 from one that is */
};

/* Do what a plan says; dies if an operation fails. */
void play(struct vdo_volume *volume, const struct plan *plan,
	  const struct play_options *options);

/* The number of blocks that are not what the manifest says. */
uint64_t check(struct vdo_volume *volume, const char *manifest,
	       const struct check_options *options);

#endif
