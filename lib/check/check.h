/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking over a volume that is not open, and mending it; include/vdo/check.h
 * says what is found and what becomes of it.
 *
 * Runs on: check_stop(), check_progress() on any thread; the rest on one at a
 * time, outside of queues.
 * Lifetime: check_create() to check_destroy(); the device is in use between.
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include <vdo/check.h>

#include "base/compiler.h"
#include "volume/settings.h"

struct check;

struct check_config {
	struct vdo_device *device;
	struct vdo_device *undo; /* of a repair; an empty file, or any device */
	unsigned flags;
	vdo_check_fn fn; /* or NULL */
	void *arg;
	const struct settings *settings; /* read by check_create() only */
};

int check_create(const struct check_config *config, struct check **check,
		 struct vdo_error *error) MUST_CHECK;
void check_destroy(struct check *c);

/* Once. -ECANCELED after check_stop(). */
int check_run(struct check *c, struct vdo_error *error) MUST_CHECK;
void check_stop(struct check *c);
void check_progress(struct check *c, struct vdo_job_progress *p);
const struct vdo_check_report *check_report(const struct check *c);

/* Put back what @undo has; see vdo_check_undo(). */
int undo_apply(struct vdo_device *device, struct vdo_device *undo,
	       uint64_t *blocks, struct vdo_error *error) MUST_CHECK;

#endif
