/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume that is not open uses, read from its super block, slab summary,
 * reference counts and block map. Nothing is written.
 *
 * Runs on: usage_stop(), usage_progress() on any thread; the rest on one at a
 * time, outside of queues.
 * Lifetime: usage_create() to usage_destroy(); the device is in use between.
 */
#ifndef CHECK_USAGE_H
#define CHECK_USAGE_H

#include <stdbool.h>

#include <vdo/usage.h>

#include "base/compiler.h"

struct usage;

/* Estimate from the first blocks alone. */
int usage_inspect(struct vdo_device *device, struct vdo_usage *usage,
		  struct vdo_error *error) MUST_CHECK;

/* @map: the block map as well. */
int usage_create(struct vdo_device *device, bool map, struct usage **usage,
		 struct vdo_error *error) MUST_CHECK;
void usage_destroy(struct usage *u);

/* Read and count, once. -ECANCELED after usage_stop(). */
int usage_run(struct usage *u, struct vdo_error *error) MUST_CHECK;
void usage_stop(struct usage *u);
void usage_progress(struct usage *u, struct vdo_job_progress *p);
const struct vdo_usage *usage_result(const struct usage *u);

#endif
