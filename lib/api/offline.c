/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "api/offline.h"

#include <errno.h>
#include <string.h>

#include "api/host_config.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "io/device.h"
#include "io/file.h"

struct offline_job {
	struct vdo_job job;
	const struct offline_kind *kind;
	void *work;
	struct vdo_device *own_device; /* opened by us: to be closed */
};

static struct offline_job *offline_job(struct vdo_job *job)
{
	struct offline_job *j = container_of(job, struct offline_job, job);

	VDO_ASSERT(j->kind != NULL && j->work != NULL);
	return j;
}

static int job_run(struct vdo_job *job, struct vdo_error *error)
{
	struct offline_job *j = offline_job(job);

	VDO_ASSERT(queue_running == NULL);
	return j->kind->run(j->work, error);
}

static void job_stop(struct vdo_job *job)
{
	struct offline_job *j = offline_job(job);

	j->kind->stop(j->work);
}

static void job_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	struct offline_job *j = offline_job(job);

	j->kind->progress(j->work, p);
}

static void job_destroy(struct vdo_job *job)
{
	struct offline_job *j = offline_job(job);

	VDO_ASSERT(queue_running == NULL);
	j->kind->destroy(j->work);
	vdo_device_close(j->own_device);
	alloc_free(j);
}

static const struct job_ops offline_ops = {
	.run = job_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

/* @own: @device if it is the job's to close, when there is no error. */
static int start_on(const struct offline_kind *kind, struct vdo_device *device,
		    struct vdo_device *own, const struct settings *s, void *arg,
		    struct vdo_job **job, struct vdo_error *error)
{
	struct offline_job *j = alloc_zeroed(1, sizeof(*j));
	int r;

	VDO_ASSERT(own == NULL || own == device);
	if (j == NULL)
		return -ENOMEM;
	j->kind = kind;
	j->own_device = own;
	r = kind->create(device, s, arg, &j->work, error);
	if (r == 0)
		r = job_start(&j->job, &offline_ops, s);
	if (r != 0) {
		kind->destroy(j->work);
		alloc_free(j);
		return r;
	}
	*job = &j->job;
	return 0;
}

/* Clear what is told, and look at what is asked for. */
static int begin(const struct offline_kind *kind, const void *arg,
		 struct vdo_job **job, const void *storage, const char *name,
		 struct vdo_error *error)
{
	int r = 0;

	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (storage == NULL)
		return error_missing(error, name);
	if (kind->accept != NULL)
		r = kind->accept(arg, error);
	if (r == 0 && queue_running != NULL)
		r = error_finish(error, -EDEADLK);
	return r;
}

int offline_start(const struct offline_kind *kind, const char *path,
		  unsigned open_flags, const struct vdo_config *config,
		  void *arg, struct vdo_job **job, struct vdo_error *error)
{
	struct vdo_device *own = NULL;
	struct settings s;
	int r = begin(kind, arg, job, path, "path", error);

	if (r != 0)
		return r;
	r = host_config_apply(config, &s, error);
	if (r == 0)
		r = file_open(path, open_flags, &s.device, &own, error);
	if (r == 0)
		r = start_on(kind, own, own, &s, arg, job, error);
	if (r != 0)
		vdo_device_close(own);
	return error_finish(error, r);
}

int offline_start_device(const struct offline_kind *kind,
			 struct vdo_device *device,
			 const struct vdo_config *config, void *arg,
			 struct vdo_job **job, struct vdo_error *error)
{
	struct settings s;
	int r = begin(kind, arg, job, device, "device", error);

	if (r != 0)
		return r;
	r = host_config_apply(config, &s, error);
	if (r == 0)
		r = start_on(kind, device, NULL, &s, arg, job, error);
	return error_finish(error, r);
}

int offline_get(struct vdo_job *job, const struct offline_kind *kind, void *to,
		size_t size)
{
	struct offline_job *j;

	if (job == NULL || to == NULL || job->ops != &offline_ops)
		return -EINVAL;
	j = offline_job(job);
	if (j->kind != kind)
		return -EINVAL;
	if (!job_is_here(job))
		return -VDO_EFORKED;
	if (!job_succeeded(job))
		return -EAGAIN;
	memcpy(to, kind->result(j->work), MIN(size, kind->result_size));
	return 0;
}

/* --------------------------------------------------------------------- looks */

int offline_look(const char *path, const struct vdo_config *config,
		 struct settings *s, struct vdo_device **device,
		 struct vdo_error *error)
{
	int result = host_config_apply(config, s, error);

	*device = NULL;
	if (result != 0 || path == NULL)
		return result;
	result = file_open(path, VDO_OPEN_READ_ONLY, &s->device, device, error);
	if (result != -ENOENT || s->format.size_bytes == 0)
		return result;
	error_clear(error); /* it would be made */
	return 0;
}

int offline_look_at(struct vdo_device *device, const struct vdo_config *config,
		    struct settings *s, struct vdo_error *error)
{
	int result = host_config_apply(config, s, error);

	VDO_ASSERT(device != NULL);
	if (result == 0 && device_is_claimed(device))
		result = error_set(error, -VDO_EINUSE,
				   "the storage is in use by an open volume");
	return result;
}
