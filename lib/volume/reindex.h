/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a volume that is not open: finding it. What is done with it then
 * is in index/inspect.h and index/reindex.h.
 *
 * Runs on: the calling thread, outside of any queue.
 */
#ifndef VOLUME_REINDEX_H
#define VOLUME_REINDEX_H

#include "index/reindex.h"
#include "volume/settings.h"

/* Look at its first blocks; all of *info but state_name. */
int volume_index_inspect(struct vdo_device *device,
			 struct vdo_index_info *info,
			 struct vdo_error *error) MUST_CHECK;

/* @executor: that has claimed the device, or NULL. @writes: for a rebuild.
 * -VDO_ENOINDEX: the volume has none. */
int volume_reindex_create(struct vdo_device *device, struct executor *executor,
			  const struct settings *s, bool writes,
			  struct reindex **reindex,
			  struct vdo_error *error) MUST_CHECK;

#endif
