/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls that give space back: a job around check/trim.
 */
#include "build.h"

#include <vdo/trim.h>

#include "api/offline.h"
#include "check/trim.h"

static int create(struct vdo_device *device, const struct settings *s,
		  void *arg, void **work, struct vdo_error *error)
{
	struct trim *t = NULL;
	int r = trim_create(device, &t, error);

	(void)s;
	(void)arg;
	*work = t;
	return r;
}

OFFLINE_WORK(trim)
OFFLINE_KIND(trim_kind, NULL, create, trim_run, trim_result,
	     struct vdo_trimmed);

int vdo_trim(const char *path, const struct vdo_config *config,
	     struct vdo_job **job, struct vdo_error *error)
{
	return offline_start(&trim_kind, path, 0, config, NULL, job, error);
}

int vdo_trim_device(struct vdo_device *device, const struct vdo_config *config,
		    struct vdo_job **job, struct vdo_error *error)
{
	return offline_start_device(&trim_kind, device, config, NULL, job,
				    error);
}

int vdo_trimmed_get(struct vdo_job *job, struct vdo_trimmed *trimmed,
		    size_t size)
{
	return offline_get(job, &trim_kind, trimmed, size);
}
