/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about what a closed volume uses: a job around check/usage.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/usage.h>

#include "api/host_config.h"
#include "api/job.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "io/file.h"
#include "volume/settings.h"
#include "check/usage.h"

struct usage_job {
	struct vdo_job job;
	struct usage *work;
	struct vdo_device *own_device; /* opened by us: to be closed */
};

static struct usage_job *usage_job(struct vdo_job *job)
{
	struct usage_job *j = container_of(job, struct usage_job, job);

	VDO_ASSERT(j->work != NULL);
	return j;
}

static int job_run(struct vdo_job *job, struct vdo_error *error)
{
	return usage_run(usage_job(job)->work, error);
}

static void job_stop(struct vdo_job *job)
{
	usage_stop(usage_job(job)->work);
}

static void job_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	usage_progress(usage_job(job)->work, p);
}

static void job_destroy(struct vdo_job *job)
{
	struct usage_job *j = usage_job(job);

	usage_destroy(j->work);
	vdo_device_close(j->own_device);
	alloc_free(j);
}

static const struct job_ops usage_ops = {
	.run = job_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

static int start_on(struct vdo_device *device, const struct settings *s,
		    bool map, struct usage_job **job, struct vdo_error *error)
{
	struct usage_job *j = alloc_zeroed(1, sizeof(*j));
	int r;

	if (j == NULL)
		return -ENOMEM;
	r = usage_create(device, map, &j->work, error);
	if (r == 0)
		r = job_start(&j->job, &usage_ops, s);
	if (r != 0) {
		usage_destroy(j->work);
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
	struct usage_job *j;
	struct settings s;
	int r = -EDEADLK;

	if ((flags & ~VDO_USAGE_MAP) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	if (queue_running == NULL)
		r = host_config_apply(config, &s, error);
	if (r == 0 && device == NULL) {
		r = file_open(path, VDO_OPEN_READ_ONLY, &s.device, &own, error);
		device = own;
	}
	if (r == 0)
		r = start_on(device, &s, flags & VDO_USAGE_MAP, &j, error);
	if (r != 0) {
		vdo_device_close(own);
		return error_finish(error, r);
	}
	j->own_device = own;
	*job = &j->job;
	return 0;
}

int vdo_usage_count(const char *path, const struct vdo_config *config,
		    unsigned flags, struct vdo_job **job,
		    struct vdo_error *error)
{
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	return start(path, NULL, config, flags, job, error);
}

int vdo_usage_count_device(struct vdo_device *device,
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
int vdo_usage_get(struct vdo_job *job, struct vdo_usage *usage, size_t size)
{
	if (job == NULL || job->ops != &usage_ops || usage == NULL)
		return -EINVAL;
	if (!job_succeeded(job))
		return -EAGAIN;
	memcpy(usage, usage_result(usage_job(job)->work),
	       MIN(size, sizeof(*usage)));
	return 0;
}

int vdo_usage_inspect_device(struct vdo_device *device,
			     struct vdo_usage *usage, size_t size,
			     struct vdo_error *error)
{
	struct vdo_usage whole;
	int r;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (usage == NULL)
		return error_missing(error, "usage");
	r = usage_inspect(device, &whole, error);
	VDO_ASSERT(r != 0 || whole.state_name != NULL);
	if (r == 0)
		memcpy(usage, &whole, MIN(size, sizeof(whole)));
	return error_finish(error, r);
}

int vdo_usage_inspect(const char *path, struct vdo_usage *usage, size_t size,
		      struct vdo_error *error)
{
	struct vdo_device *device;
	int r;

	if (usage == NULL)
		return error_missing(error, "usage");
	r = vdo_device_open(path, VDO_OPEN_READ_ONLY, &device, error);
	if (r != 0)
		return r;
	r = vdo_usage_inspect_device(device, usage, size, error);
	vdo_device_close(device);
	return r;
}
