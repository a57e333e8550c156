/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is saved in a volume that is not open, and why the rest is not. Nothing
 * is written.
 *
 * Runs on: savings_stop(), savings_progress() on any thread; the rest on one at
 * a time, outside of queues.
 * Lifetime: savings_create() to savings_destroy(); the device is in use between.
 */
#ifndef CHECK_SAVINGS_H
#define CHECK_SAVINGS_H

#include <vdo/job.h>
#include <vdo/savings.h>

#include "base/compiler.h"

struct savings;

/* @range: NULL is all. */
int savings_create(struct vdo_device *device,
		   const struct vdo_savings_range *range, unsigned flags,
		   struct savings **savings, struct vdo_error *error) MUST_CHECK;
void savings_destroy(struct savings *s);

/* Once. -ECANCELED after savings_stop(). */
int savings_run(struct savings *s, struct vdo_error *error) MUST_CHECK;
void savings_stop(struct savings *s);
void savings_progress(struct savings *s, struct vdo_job_progress *p);
const struct vdo_savings *savings_result(const struct savings *s);

#endif
