/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs on volumes that are not open: what usage, check, rebuild and the index's
 * calls have in common. The storage is opened by its path, or lent; the work is
 * made and run as a job; and its result can be had when it has succeeded.
 *
 * Lifetime: as struct vdo_job.
 */
#ifndef API_OFFLINE_H
#define API_OFFLINE_H

#include <vdo/config.h>

#include "api/job.h"

/* One kind of work. @work is what create made. */
struct offline_kind {
	/* @arg is who starts it. After an error create has made nothing, but
	 * *work may be set, and is destroyed then. */
	int (*create)(struct vdo_device *device, const struct settings *s,
		      void *arg, void **work, struct vdo_error *error);
	int (*run)(void *work, struct vdo_error *error);
	void (*stop)(void *work);
	void (*progress)(void *work, struct vdo_job_progress *p);
	void (*destroy)(void *work); /* NULL is fine */
	const void *(*result)(void *work);
	size_t result_size;
};

/*
 * Start a job on the storage at @path, opened with @open_flags; or on @device,
 * which is in use until the job is freed. Errors, if there are any, are
 * finished. @error may be NULL.
 */
int offline_start(const struct offline_kind *kind, const char *path,
		  unsigned open_flags, const struct vdo_config *config,
		  void *arg, struct vdo_job **job,
		  struct vdo_error *error) MUST_CHECK;
int offline_start_device(const struct offline_kind *kind,
			 struct vdo_device *device,
			 const struct vdo_config *config, void *arg,
			 struct vdo_job **job,
			 struct vdo_error *error) MUST_CHECK;

/*
 * Copy the result of a job of this kind. A host built with an older header has a
 * smaller @size, and gets the fields that it knows. -EINVAL: it is another kind,
 * or something is NULL; -VDO_EFORKED; -EAGAIN: not over, or it failed.
 */
int offline_get(struct vdo_job *job, const struct offline_kind *kind, void *to,
		size_t size) MUST_CHECK;

#endif
