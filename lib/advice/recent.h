/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names seen last, in memory: advice for volumes that keep no index.
 *
 * Each zone has a table of its own. When it is full, a name is forgotten that
 * was touched about as long ago as any.
 *
 * Runs on: each zone on one queue at a time; prefetching and counts anywhere.
 * Lifetime: recent_create() to recent_destroy().
 */
#ifndef ADVICE_RECENT_H
#define ADVICE_RECENT_H

#include "advice/advice.h"

struct recent;

/* @entries_max: the entries of all zones; with 0 nothing is remembered.
 * -ENOMEM */
int recent_create(unsigned zone_count, uint64_t entries_max,
		  struct recent **recent) MUST_CHECK;
void recent_destroy(struct recent *r);

/* Serve an op, which is over at once. */
void recent_serve(struct recent *r, unsigned zone, struct advice_op *op);

void recent_prefetch(const struct recent *r, unsigned zone,
		     const struct hash128 *name);

/* Adds to @stats. */
void recent_get_stats(const struct recent *r, struct advice_stats *stats);

#endif
