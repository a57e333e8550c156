/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about read-only mode of a closed volume: the mark, and a job
 * around check/rebuild.
 */
#include "build.h"

#include <errno.h>

#include <vdo/rebuild.h>

#include "api/offline.h"
#include "base/error.h"
#include "check/rebuild.h"
#include "exec/executor.h"

static int accept_flags(const void *arg, struct vdo_error *error)
{
	const unsigned *flags = arg;

	if ((*flags & ~VDO_REBUILD_FORCE) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	return 0;
}

static int create(struct vdo_device *device, const struct settings *s,
		  void *arg, void **work, struct vdo_error *error)
{
	const unsigned *flags = arg;
	struct rebuild *rebuild = NULL;
	int r = rebuild_create(device, (*flags & VDO_REBUILD_FORCE) != 0,
			       &s->log, &rebuild, error);

	*work = rebuild;
	return r;
}

OFFLINE_WORK(rebuild)
OFFLINE_KIND(rebuild_kind, accept_flags, create, rebuild_run, rebuild_result,
	     struct vdo_rebuilt);

int vdo_rebuild(const char *path, const struct vdo_config *config,
		unsigned flags, struct vdo_job **job, struct vdo_error *error)
{
	return offline_start(&rebuild_kind, path, 0, config, &flags, job,
			     error);
}

int vdo_rebuild_device(struct vdo_device *device,
		       const struct vdo_config *config, unsigned flags,
		       struct vdo_job **job, struct vdo_error *error)
{
	return offline_start_device(&rebuild_kind, device, config, &flags, job,
				    error);
}

int vdo_rebuilt_get(struct vdo_job *job, struct vdo_rebuilt *rebuilt,
		    size_t size)
{
	return offline_get(job, &rebuild_kind, rebuilt, size);
}

int vdo_mark_read_only_device(struct vdo_device *device,
			      struct vdo_error *error)
{
	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (queue_running != NULL)
		return error_finish(error, -EDEADLK);
	return error_finish(error, rebuild_mark_read_only(device, error));
}

int vdo_mark_read_only(const char *path, struct vdo_error *error)
{
	struct vdo_device *device;
	int r;

	error_clear(error);
	if (path == NULL)
		return error_missing(error, "path");
	if (queue_running != NULL)
		return error_finish(error, -EDEADLK);
	r = vdo_device_open(path, 0, &device, error);
	if (r != 0)
		return r;
	r = vdo_mark_read_only_device(device, error);
	vdo_device_close(device);
	return r;
}
