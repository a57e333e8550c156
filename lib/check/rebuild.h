/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rebuild of a volume that is read-only, or cannot be opened otherwise (V
 * 10.4); and the mark that makes it read-only.
 *
 * Invariants
 *  (1) Until all is durable the super block says what needs a rebuild: a rebuild
 *      that was interrupted is begun again, and gives the same.
 *  (2) The journal is not written.
 *
 * Runs on: rebuild_stop(), rebuild_progress() on any thread; the rest on one at
 * a time, outside of queues.
 * Lifetime: rebuild_create() to rebuild_destroy(); the device is in use between.
 */
#ifndef CHECK_REBUILD_H
#define CHECK_REBUILD_H

#include <stdbool.h>

#include <vdo/rebuild.h>

#include "base/compiler.h"
#include "base/log.h"

struct rebuild;

/* @force: whatever the state is. */
int rebuild_create(struct vdo_device *device, bool force, const struct log *log,
		   struct rebuild **rebuild, struct vdo_error *error)
	MUST_CHECK;
void rebuild_destroy(struct rebuild *r);

/* Do it, once. -ECANCELED after rebuild_stop(). */
int rebuild_run(struct rebuild *r, struct vdo_error *error) MUST_CHECK;
void rebuild_stop(struct rebuild *r);
void rebuild_progress(struct rebuild *r, struct vdo_job_progress *p);
const struct vdo_rebuilt *rebuild_result(const struct rebuild *r);

/* Have the super block say READ_ONLY. */
int rebuild_mark_read_only(struct vdo_device *device, struct vdo_error *error)
	MUST_CHECK;

#endif
