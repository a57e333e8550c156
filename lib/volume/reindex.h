/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work on the index of a volume that is not open.
 *
 *	reindex_create() -> reindex_verify() or reindex_rebuild(), once
 *			 -> reindex_destroy()
 *
 * It has an executor of its own without threads: whoever calls verify or
 * rebuild does the work.
 *
 * Invariants
 *  (1) The device is claimed from create to destroy.
 *  (2) Only a rebuild writes, and nothing but the place of the index.
 *
 * Runs on: outside of any queue, one thread at a time; reindex_stop() and
 * reindex_progress() on any thread.
 * Lifetime: the device is the caller's and outlives it.
 */
#ifndef VOLUME_REINDEX_H
#define VOLUME_REINDEX_H

#include <vdo/index.h>

#include "volume/settings.h"

struct reindex;

/* Look at the first blocks; for vdo_index_inspect(), which adds state_name. */
int reindex_inspect(struct vdo_device *device, struct vdo_index_info *info,
		    struct vdo_error *error) MUST_CHECK;

/* @writes: for a rebuild. */
int reindex_create(struct vdo_device *device, const struct settings *s,
		   bool writes, struct reindex **reindex,
		   struct vdo_error *error) MUST_CHECK;
void reindex_destroy(struct reindex *r);

int reindex_verify(struct reindex *r, struct vdo_error *error) MUST_CHECK;
int reindex_rebuild(struct reindex *r, struct vdo_error *error) MUST_CHECK;

/* What they found or made; valid once they have succeeded. */
const struct vdo_index_report *reindex_report(const struct reindex *r);
const struct vdo_index_rebuilt *reindex_rebuilt(const struct reindex *r);

/* Let the work end soon, with -ECANCELED; also before it has begun. */
void reindex_stop(struct reindex *r);
void reindex_progress(const struct reindex *r, struct vdo_job_progress *p);

#endif
