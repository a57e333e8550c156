/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a volume: device, executor, volume; closing goes the other way round.
 * The executor is chosen here, so nothing below knows which one it runs on.
 *
 *	prepare     options, the file, the executor, what is in memory: whatever
 *		    the caller has done wrong is found out here
 *	then        volume_open(), at once or as a job
 *
 * A job that has opened a volume keeps it until somebody asks for it. It does
 * not touch it any more once it is over: what asked for it may have closed it.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>
#include <string.h>

#include "api/host_config.h"
#include "api/job.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "io/device.h"
#include "io/file.h"

struct native_config handle_native_config(const struct settings *s)
{
	return (struct native_config){
		.threads = volume_thread_count(s),
		.pin = s->open.pin,
		.spin_us = s->open.spin_us,
		.name_prefix = "vdo-",
	};
}

static int create_executor(const struct settings *s, struct executor **x,
			   struct vdo_error *error)
{
	struct native_config native = handle_native_config(s);
	int result = 0;

	VDO_ASSERT(native.threads > 0);
	switch (s->open.executor) {
	case EXECUTOR_NATIVE:
		result = executor_native_create(&native, x);
		break;
	case EXECUTOR_INLINE:
		result = executor_inline_create(x);
		break;
	case EXECUTOR_POOL:
		/* host_config_apply() has seen that there is a pool. */
		VDO_ASSERT(s->pool.submit != NULL);
		result = executor_strand_create(&s->pool, s->pool_arg, x);
		break;
	}
	if (result == -EAGAIN)
		error_set(error, result,
			  "there can be no more threads; raise the limit of "
			  "processes (ulimit -u)");
	return result;
}

static int open_file(const char *path, const struct settings *s,
		     struct vdo_device **device, struct vdo_error *error)
{
	return file_open(path, s->open.read_only ? VDO_OPEN_READ_ONLY : 0,
			 &s->device, device, error);
}

int vdo_device_open_config(const char *path, const struct vdo_config *config,
			   struct vdo_device **device, struct vdo_error *error)
{
	struct settings s;
	int result;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	*device = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	result = host_config_apply(config, &s, error);
	if (result == 0)
		result = open_file(path, &s, device, error);
	return error_finish(error, result);
}

/* A handle on the storage at @path, which becomes the handle's, or on @device. */
static int prepare(const char *path, struct vdo_device *device,
		   const struct vdo_config *config, struct settings *s,
		   struct vdo_volume **volume, struct vdo_error *error)
{
	struct vdo_device *own = NULL;
	struct executor *x;
	int result = -EDEADLK;

	VDO_ASSERT((path == NULL) != (device == NULL));
	if (queue_running == NULL)
		result = host_config_apply(config, s, error);
	if (result == 0 && device == NULL)
		result = open_file(path, s, &own, error);
	if (result != 0)
		return result;
	result = create_executor(s, &x, error);
	if (result == 0)
		result = handle_create(own != NULL ? own : device, x, s, volume,
				       error);
	if (result == 0)
		(*volume)->own_device = own;
	else
		vdo_device_close(own);
	return result;
}

static int open_now(const char *path, struct vdo_device *device,
		    const struct vdo_config *config,
		    struct vdo_volume **volume, struct vdo_error *error)
{
	struct vdo_volume *v;
	struct settings s;
	int result = prepare(path, device, config, &s, &v, error);

	if (result == 0)
		result = handle_start(v, error);
	if (result == 0)
		*volume = v;
	return error_finish(error, result);
}

int vdo_open_device(struct vdo_device *device, const struct vdo_config *config,
		    struct vdo_volume **volume, struct vdo_error *error)
{
	error_clear(error);
	if (volume == NULL)
		return error_missing(error, "volume");
	*volume = NULL;
	if (device == NULL)
		return error_missing(error, "device");
	return open_now(NULL, device, config, volume, error);
}

int vdo_open(const char *path, const struct vdo_config *config,
	     struct vdo_volume **volume, struct vdo_error *error)
{
	error_clear(error);
	if (volume == NULL)
		return error_missing(error, "volume");
	*volume = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	return open_now(path, NULL, config, volume, error);
}

/* --------------------------------------------------------------------- jobs */

struct open_job {
	struct vdo_job job;
	struct vdo_volume *volume; /* NULL: somebody has it */
	bool is_open;
	struct vdo_job_progress last;
};

static struct open_job *open_job(struct vdo_job *job)
{
	return container_of(job, struct open_job, job);
}

static int open_run(struct vdo_job *job, struct vdo_error *error)
{
	struct open_job *j = open_job(job);
	struct volume *v = j->volume->volume;
	int result = volume_open(v, error);

	VDO_ASSERT(!j->is_open);
	volume_open_progress(v, &j->last);
	j->is_open = result == 0;
	return result;
}

static void open_stop(struct vdo_job *job)
{
	VDO_ASSERT(open_job(job)->volume != NULL);
	volume_open_stop(open_job(job)->volume->volume);
}

static void open_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	struct open_job *j = open_job(job);

	if (!p->over) {
		VDO_ASSERT(j->volume != NULL); /* nobody can have it yet */
		volume_open_progress(j->volume->volume, p);
		return;
	}
	*p = j->last;
	p->over = true;
}

static void open_destroy(struct vdo_job *job)
{
	struct open_job *j = open_job(job);

	if (j->volume != NULL && j->is_open) {
		(void)vdo_close(j->volume);
	} else if (j->volume != NULL) {
		volume_destroy(j->volume->volume);
		handle_free(j->volume);
	}
	alloc_free(j);
}

static const struct job_ops open_ops = {
	.run = open_run,
	.stop = open_stop,
	.progress = open_progress,
	.destroy = open_destroy,
};

static int start(const char *path, struct vdo_device *device,
		 const struct vdo_config *config, struct vdo_job **job,
		 struct vdo_error *error)
{
	struct open_job *j = alloc_zeroed(1, sizeof(*j));
	struct settings s;
	int result = -ENOMEM;

	if (j != NULL)
		result = prepare(path, device, config, &s, &j->volume, error);
	if (result == 0) {
		result = job_start(&j->job, &open_ops, &s);
		if (result == 0) {
			*job = &j->job;
			return 0;
		}
		volume_destroy(j->volume->volume);
		handle_free(j->volume);
	}
	alloc_free(j);
	return error_finish(error, result);
}

int vdo_open_start(const char *path, const struct vdo_config *config,
		   struct vdo_job **job, struct vdo_error *error)
{
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	return start(path, NULL, config, job, error);
}

int vdo_open_device_start(struct vdo_device *device,
			  const struct vdo_config *config,
			  struct vdo_job **job, struct vdo_error *error)
{
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (device == NULL)
		return error_missing(error, "device");
	return start(NULL, device, config, job, error);
}

int vdo_opened_get(struct vdo_job *job, struct vdo_volume **volume)
{
	struct open_job *j;

	if (volume == NULL)
		return -EINVAL;
	*volume = NULL;
	if (job == NULL || job->ops != &open_ops)
		return -EINVAL;
	if (!job_is_here(job))
		return -VDO_EFORKED;
	if (!job_succeeded(job))
		return -EAGAIN;
	j = open_job(job);
	VDO_ASSERT(j->is_open);
	*volume = j->volume;
	j->volume = NULL;
	return *volume != NULL ? 0 : -EINVAL;
}
