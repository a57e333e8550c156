/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls that look over a volume: a job around check/check.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/check.h>

#include "api/host_config.h"
#include "api/job.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/check.h"
#include "exec/executor.h"
#include "io/device.h"
#include "io/file.h"

#define FLAGS                                                     \
	(VDO_CHECK_DATA | VDO_CHECK_NO_INDEX | VDO_CHECK_REPAIR | \
	 VDO_CHECK_LOSE)

struct check_job {
	struct vdo_job job;
	struct check *work;
	/* Opened here: to be closed. */
	struct vdo_device *own_device, *own_undo;
};

static struct check_job *check_job(struct vdo_job *job)
{
	struct check_job *j = container_of(job, struct check_job, job);

	VDO_ASSERT(j->work != NULL);
	return j;
}

static int job_run(struct vdo_job *job, struct vdo_error *error)
{
	return check_run(check_job(job)->work, error);
}

static void job_stop(struct vdo_job *job)
{
	check_stop(check_job(job)->work);
}

static void job_progress(struct vdo_job *job, struct vdo_job_progress *p)
{
	check_progress(check_job(job)->work, p);
}

/* An undo file that was made for nothing goes again. */
static void close_undo(struct vdo_device *undo)
{
	if (undo != NULL && undo->size_bytes == 0)
		device_remove_created(undo);
	vdo_device_close(undo);
}

static void job_destroy(struct vdo_job *job)
{
	struct check_job *j = check_job(job);

	check_destroy(j->work);
	vdo_device_close(j->own_device);
	close_undo(j->own_undo);
	alloc_free(j);
}

static const struct job_ops check_ops = {
	.run = job_run,
	.stop = job_stop,
	.progress = job_progress,
	.destroy = job_destroy,
};

/* Of @path, or of @device; @undo_path, or @undo. */
struct storage_of_check {
	const char *path, *undo_path;
	struct vdo_device *device, *undo;
	struct vdo_device *own_device, *own_undo;
};

static int open_undo(struct storage_of_check *s,
		     const struct settings *settings, struct vdo_error *error)
{
	int r = file_open(s->undo_path, VDO_OPEN_CREATE, &settings->device,
			  &s->own_undo, error);

	if (r != 0)
		return r;
	s->undo = s->own_undo;
	if (s->undo->size_bytes > 0)
		return error_set(error, -EEXIST,
				 "%s is there already; give another name for "
				 "the undo file",
				 s->undo_path);
	return 0;
}

static int open_storage(struct storage_of_check *s, unsigned flags,
			const struct settings *settings,
			struct vdo_error *error)
{
	bool repairs = (flags & VDO_CHECK_REPAIR) != 0;
	int r = 0;

	if (s->device == NULL) {
		r = file_open(s->path, repairs ? 0 : VDO_OPEN_READ_ONLY,
			      &settings->device, &s->own_device, error);
		s->device = s->own_device;
	}
	if (r == 0 && repairs && s->undo == NULL)
		r = open_undo(s, settings, error);
	return r;
}

static int start_on(struct check_config *config, struct storage_of_check *s,
		    struct vdo_job **job, struct vdo_error *error)
{
	struct check_job *j = alloc_zeroed(1, sizeof(*j));
	int r;

	if (j == NULL)
		return -ENOMEM;
	config->device = s->device;
	config->undo = s->undo;
	r = check_create(config, &j->work, error);
	if (r == 0)
		r = job_start(&j->job, &check_ops, config->settings);
	if (r != 0) {
		check_destroy(j->work);
		alloc_free(j);
		return r;
	}
	j->own_device = s->own_device;
	j->own_undo = s->own_undo;
	*job = &j->job;
	return 0;
}

static int check_flags(unsigned flags, bool has_undo, struct vdo_error *error)
{
	if ((flags & ~FLAGS) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	if ((flags & VDO_CHECK_LOSE) != 0 && (flags & VDO_CHECK_REPAIR) == 0)
		return error_set(error, -EINVAL,
				 "to lose data is for repairs only");
	if ((flags & VDO_CHECK_REPAIR) != 0 && !has_undo)
		return error_missing(error, "undo");
	return 0;
}

static int start(struct storage_of_check *s, const struct vdo_config *host,
		 struct check_config *config, struct vdo_job **job,
		 struct vdo_error *error)
{
	struct settings settings;
	int r = check_flags(config->flags,
			    s->undo != NULL || s->undo_path != NULL, error);

	if (r == 0 && queue_running != NULL)
		r = -EDEADLK;
	if (r == 0)
		r = host_config_apply(host, &settings, error);
	if (r == 0)
		r = open_storage(s, config->flags, &settings, error);
	config->settings = &settings;
	if (r == 0)
		r = start_on(config, s, job, error);
	if (r != 0) {
		close_undo(s->own_undo);
		vdo_device_close(s->own_device);
	}
	return error_finish(error, r);
}

int vdo_check(const char *path, const struct vdo_config *config, unsigned flags,
	      const char *undo, vdo_check_fn fn, void *arg,
	      struct vdo_job **job, struct vdo_error *error)
{
	struct storage_of_check s = {.path = path, .undo_path = undo};
	struct check_config c = {.flags = flags, .fn = fn, .arg = arg};

	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	return start(&s, config, &c, job, error);
}

int vdo_check_device(struct vdo_device *device, const struct vdo_config *config,
		     unsigned flags, struct vdo_device *undo, vdo_check_fn fn,
		     void *arg, struct vdo_job **job, struct vdo_error *error)
{
	struct storage_of_check s = {.device = device, .undo = undo};
	struct check_config c = {.flags = flags, .fn = fn, .arg = arg};

	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	*job = NULL;
	if (device == NULL)
		return error_missing(error, "device");
	return start(&s, config, &c, job, error);
}

/* A host built with an older header gets the fields that it knows. */
int vdo_check_report_get(struct vdo_job *job, struct vdo_check_report *report,
			 size_t size)
{
	if (job == NULL || job->ops != &check_ops || report == NULL)
		return -EINVAL;
	if (!job_succeeded(job))
		return -EAGAIN;
	memcpy(report, check_report(check_job(job)->work),
	       MIN(size, sizeof(*report)));
	return 0;
}

int vdo_check_undo_device(struct vdo_device *device, struct vdo_device *undo,
			  uint64_t *blocks, struct vdo_error *error)
{
	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (undo == NULL)
		return error_missing(error, "undo");
	if (queue_running != NULL)
		return error_finish(error, -EDEADLK);
	return error_finish(error, undo_apply(device, undo, blocks, error));
}

int vdo_check_undo(const char *path, const struct vdo_config *config,
		   const char *undo, uint64_t *blocks, struct vdo_error *error)
{
	struct vdo_device *device = NULL, *file = NULL;
	struct settings s;
	int r = -EDEADLK;

	error_clear(error);
	if (path == NULL)
		return error_missing(error, "path");
	if (undo == NULL)
		return error_missing(error, "undo");
	if (queue_running == NULL)
		r = host_config_apply(config, &s, error);
	if (r == 0)
		r = file_open(path, 0, &s.device, &device, error);
	if (r == 0)
		r = file_open(undo, VDO_OPEN_READ_ONLY, &s.device, &file,
			      error);
	if (r == 0)
		r = undo_apply(device, file, blocks, error);
	vdo_device_close(file);
	vdo_device_close(device);
	return error_finish(error, r);
}
