/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about the index of a volume that is not open: a job around
 * index/reindex.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/index.h>

#include "api/host_config.h"
#include "api/job.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "volume/reindex.h"
#include "volume/settings.h"

struct index_job {
	struct vdo_job job;
	struct reindex *work;
	struct vdo_device *own_device; /* opened by us: to be closed */
};

static struct index_job *index_job(struct vdo_job *job)
{
	struct index_job *j = container_of(job, struct index_job, job);

	VDO_ASSERT(j->work != NULL);
	return j;
}

static int verify_run(struct vdo_job *job, struct vdo_error *error)
{
	VDO_ASSERT(queue_running == NULL);
	return reindex_verify(index_job(job)->work, error);
}

static int rebuild_run(struct vdo_job *job, struct vdo_error *error)
{
	VDO_ASSERT(queue_running == NULL);
	return reindex_rebuild(index_job(job)->work, error);
}

static void job_stop(struct vdo_job *job)
{
	reindex_stop(index_job(job)->work);
}

static void job_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	reindex_progress(index_job(job)->work, p);
}

static void job_destroy(struct vdo_job *job)
{
	struct index_job *j = index_job(job);

	VDO_ASSERT(queue_running == NULL);
	reindex_destroy(j->work);
	vdo_device_close(j->own_device);
	alloc_free(j);
}

static const struct job_ops verify_ops = {
	.run = verify_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

static const struct job_ops rebuild_ops = {
	.run = rebuild_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

/* @own: @device if it is the job's to close, when there is no error. */
static int start_on(struct vdo_device *device, struct vdo_device *own,
		    const struct settings *s, const struct job_ops *ops,
		    struct vdo_job **job, struct vdo_error *error)
{
	struct index_job *j = alloc_zeroed(1, sizeof(*j));
	int r;

	VDO_ASSERT(ops == &verify_ops || ops == &rebuild_ops);
	VDO_ASSERT(own == NULL || own == device);
	if (j == NULL)
		return -ENOMEM;
	r = volume_reindex_create(device, NULL, s, ops == &rebuild_ops,
				  &j->work, error);
	if (r == 0)
		r = job_start(&j->job, ops, s);
	if (r != 0) {
		reindex_destroy(j->work);
		alloc_free(j);
		return r;
	}
	j->own_device = own;
	*job = &j->job;
	return 0;
}

/* Start a job on the storage at @path, or on @device. */
static int start(const char *path, struct vdo_device *device,
		 const struct vdo_config *config, const struct job_ops *ops,
		 struct vdo_job **job, struct vdo_error *error)
{
	unsigned flags = ops == &rebuild_ops ? 0 : VDO_OPEN_READ_ONLY;
	struct vdo_device *own = NULL;
	struct settings s;
	int r = -EDEADLK;

	VDO_ASSERT(path == NULL || device == NULL);
	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (path == NULL && device == NULL)
		return error_missing(error, "path or device");
	if (queue_running == NULL)
		r = host_config_apply(config, &s, error);
	if (r == 0 && device == NULL) {
		r = file_open(path, flags, &s.device, &own, error);
		device = own;
	}
	if (r == 0)
		r = start_on(device, own, &s, ops, job, error);
	if (r != 0)
		vdo_device_close(own);
	return error_finish(error, r);
}

int vdo_index_verify(const char *path, const struct vdo_config *config,
		     struct vdo_job **job, struct vdo_error *error)
{
	return start(path, NULL, config, &verify_ops, job, error);
}

int vdo_index_verify_device(struct vdo_device *device,
			    const struct vdo_config *config,
			    struct vdo_job **job, struct vdo_error *error)
{
	return start(NULL, device, config, &verify_ops, job, error);
}

int vdo_index_rebuild(const char *path, const struct vdo_config *config,
		      struct vdo_job **job, struct vdo_error *error)
{
	return start(path, NULL, config, &rebuild_ops, job, error);
}

int vdo_index_rebuild_device(struct vdo_device *device,
			     const struct vdo_config *config,
			     struct vdo_job **job, struct vdo_error *error)
{
	return start(NULL, device, config, &rebuild_ops, job, error);
}

/* ------------------------------------------------------------------ results */

static int has_result(struct vdo_job *job, const struct job_ops *ops,
		      const void *result)
{
	if (job == NULL || job->ops != ops || result == NULL)
		return -EINVAL;
	return job_succeeded(job) ? 0 : -EAGAIN;
}

/* A host built with an older header gets the fields that it knows. */
int vdo_index_report_get(struct vdo_job *job, struct vdo_index_report *report,
			 size_t size)
{
	int r = has_result(job, &verify_ops, report);

	if (r == 0)
		memcpy(report, reindex_report(index_job(job)->work),
		       MIN(size, sizeof(*report)));
	return r;
}

int vdo_index_rebuilt_get(struct vdo_job *job,
			  struct vdo_index_rebuilt *rebuilt, size_t size)
{
	int r = has_result(job, &rebuild_ops, rebuilt);

	if (r == 0)
		memcpy(rebuilt, reindex_rebuilt(index_job(job)->work),
		       MIN(size, sizeof(*rebuilt)));
	return r;
}

const char *vdo_index_fault_name(enum vdo_index_fault_kind kind)
{
	static const char *const names[] = {
		[VDO_INDEX_FAULT_SUPER] = "super block",
		[VDO_INDEX_FAULT_SAVE] = "save",
		[VDO_INDEX_FAULT_READ] = "storage",
		[VDO_INDEX_FAULT_CHAPTER] = "chapter",
		[VDO_INDEX_FAULT_INDEX_PAGE] = "index page",
		[VDO_INDEX_FAULT_PAGE_MAP] = "page map",
		[VDO_INDEX_FAULT_RECORD_PAGE] = "record page",
		[VDO_INDEX_FAULT_RECORD] = "record",
		[VDO_INDEX_FAULT_VOLUME_INDEX] = "volume index",
	};

	return (unsigned)kind < ARRAY_SIZE(names) ? names[kind] : NULL;
}

/* ------------------------------------------------------------------ inspect */

const char *vdo_index_state_name(enum vdo_index_state state)
{
	static const char *const names[] = {
		[VDO_INDEX_NONE] = "none",
		[VDO_INDEX_FOREIGN] = "foreign",
		[VDO_INDEX_DAMAGED] = "damaged",
		[VDO_INDEX_UNSUPPORTED] = "unsupported",
		[VDO_INDEX_FORMATTED] = "formatted",
		[VDO_INDEX_SAVED] = "saved",
		[VDO_INDEX_DIRTY] = "needs rebuild",
	};

	return (unsigned)state < ARRAY_SIZE(names) ? names[state] : NULL;
}

int vdo_index_inspect_device(struct vdo_device *device,
			     struct vdo_index_info *info, size_t size,
			     struct vdo_error *error)
{
	struct vdo_index_info whole;
	int r;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (info == NULL)
		return error_missing(error, "info");
	r = volume_index_inspect(device, &whole, error);
	if (r == 0) {
		whole.state_name = vdo_index_state_name(whole.state);
		VDO_ASSERT(whole.state_name != NULL);
		memcpy(info, &whole, MIN(size, sizeof(whole)));
	}
	return error_finish(error, r);
}

int vdo_index_inspect(const char *path, struct vdo_index_info *info,
		      size_t size, struct vdo_error *error)
{
	struct vdo_device *device;
	int r;

	if (info == NULL)
		return error_missing(error, "info");
	r = vdo_device_open(path, VDO_OPEN_READ_ONLY, &device, error);
	if (r != 0)
		return r;
	r = vdo_index_inspect_device(device, info, size, error);
	vdo_device_close(device);
	return r;
}
