/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free blocks of a volume that was closed go back to its storage.
 *
 * Invariants
 *  (1) Only blocks whose count on disk is 0, in slabs whose counts are complete,
 *      are given up, and only while the volume is closed: whoever opens it may
 *      use them from then on.
 *  (2) Nothing is written.
 *
 * Runs on: trim_stop(), trim_progress() on any thread; the rest on one at a time,
 * outside of queues.
 * Lifetime: trim_create() to trim_destroy(); the device is in use between.
 */
#ifndef CHECK_TRIM_H
#define CHECK_TRIM_H

#include <vdo/trim.h>

#include "base/compiler.h"

struct trim;

int trim_create(struct vdo_device *device, struct trim **trim,
		struct vdo_error *error) MUST_CHECK;
void trim_destroy(struct trim *t);

/* Do it, once. -ECANCELED after trim_stop(). */
int trim_run(struct trim *t, struct vdo_error *error) MUST_CHECK;
void trim_stop(struct trim *t);
void trim_progress(struct trim *t, struct vdo_job_progress *p);
const struct vdo_trimmed *trim_result(const struct trim *t);

#endif
