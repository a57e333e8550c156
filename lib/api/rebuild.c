/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about read-only mode of a closed volume: the mark, and a job
 * around check/rebuild.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/rebuild.h>

#include "api/host_config.h"
#include "api/job.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/rebuild.h"
#include "exec/executor.h"
#include "io/file.h"
#include "volume/settings.h"

struct rebuild_job {
	struct vdo_job job;
	struct rebuild *work;
	struct vdo_device *own_device; /* opened by us: to be closed */
};

static struct rebuild_job *rebuild_job(struct vdo_job *job)
{
	struct rebuild_job *j = container_of(job, struct rebuild_job, job);

	VDO_ASSERT(j->work != NULL);
	return j;
}

static int job_run(struct vdo_job *job, struct vdo_error *error)
{
	return rebuild_run(rebuild_job(job)->work, error);
}

static void job_stop(struct vdo_job *job)
{
	rebuild_stop(rebuild_job(job)->work);
}

static void job_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	rebuild_progress(rebuild_job(job)->work, p);
}

static void job_destroy(struct vdo_job *job)
{
	struct rebuild_job *j = rebuild_job(job);

	rebuild_destroy(j->work);
	vdo_device_close(j->own_device);
	alloc_free(j);
}

static const struct job_ops rebuild_ops = {
	.run = job_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

static int start_on(struct vdo_device *device, const struct settings *s,
		    bool force, struct rebuild_job **job,
		    struct vdo_error *error)
{
	struct rebuild_job *j = alloc_zeroed(1, sizeof(*j));
	int r;

	if (j == NULL)
		return -ENOMEM;
	r = rebuild_create(device, force, &s->log, &j->work, error);
	if (r == 0)
		r = job_start(&j->job, &rebuild_ops, s);
	if (r != 0) {
		rebuild_destroy(j->work);
		alloc_free(j);
		return r;
	}
	*job = j;
	return 0;
}

/* Start a job on the storage at @path, or on @device. */
static int start(const char *path, struct vdo_device *device,
		 const struct vdo_config *config, unsigned flags,
		 struct vdo_job **job, struct vdo_error *error)
{
	struct vdo_device *own = NULL;
	struct rebuild_job *j;
	struct settings s;
	int r = -EDEADLK;

	if ((flags & ~VDO_REBUILD_FORCE) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	if (queue_running == NULL)
		r = host_config_apply(config, &s, error);
	if (r == 0 && device == NULL) {
		r = file_open(path, 0, &s.device, &own, error);
		device = own;
	}
	if (r == 0)
		r = start_on(device, &s, (flags & VDO_REBUILD_FORCE) != 0, &j,
			     error);
	if (r != 0) {
		vdo_device_close(own);
		return error_finish(error, r);
	}
	j->own_device = own;
	*job = &j->job;
	return 0;
}

int vdo_rebuild(const char *path, const struct vdo_config *config,
		unsigned flags, struct vdo_job **job, struct vdo_error *error)
{
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	return start(path, NULL, config, flags, job, error);
}

int vdo_rebuild_device(struct vdo_device *device,
		       const struct vdo_config *config, unsigned flags,
		       struct vdo_job **job, struct vdo_error *error)
{
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (device == NULL)
		return error_missing(error, "device");
	return start(NULL, device, config, flags, job, error);
}

/* A host built with an older header gets the fields that it knows. */
int vdo_rebuilt_get(struct vdo_job *job, struct vdo_rebuilt *rebuilt,
		    size_t size)
{
	if (job == NULL || job->ops != &rebuild_ops || rebuilt == NULL)
		return -EINVAL;
	if (!job_is_here(job))
		return -VDO_EFORKED;
	if (!job_succeeded(job))
		return -EAGAIN;
	memcpy(rebuilt, rebuild_result(rebuild_job(job)->work),
	       MIN(size, sizeof(*rebuilt)));
	return 0;
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
