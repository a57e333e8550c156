/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls that look over a volume: a job around check/check.
 */
#include "build.h"

#include <errno.h>

#include <vdo/check.h>

#include "api/host_config.h"
#include "api/offline.h"
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

/* A check, and the undo file if it was opened here. */
struct checking {
	struct check *check;
	struct vdo_device *own_undo;
};

/* What the caller has asked for. */
struct request {
	struct check_config config;
	const char *undo_path; /* or config.undo is set */
};

/* An undo file that was made for nothing goes again. */
static void close_undo(struct vdo_device *undo)
{
	if (undo != NULL && undo->size_bytes == 0)
		device_remove_created(undo);
	vdo_device_close(undo);
}

static int open_undo(const char *path, const struct settings *s,
		     struct vdo_device **undo, struct vdo_error *error)
{
	int r = file_open(path, VDO_OPEN_CREATE, &s->device, undo, error);

	if (r == 0 && (*undo)->size_bytes > 0)
		return error_set(error, -EEXIST,
				 "%s is there already; give another name for "
				 "the undo file",
				 path);
	return r;
}

static int accept_request(const void *arg, struct vdo_error *error)
{
	const struct request *r = arg;
	unsigned flags = r->config.flags;

	if ((flags & ~FLAGS) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	if ((flags & VDO_CHECK_LOSE) != 0 && (flags & VDO_CHECK_REPAIR) == 0)
		return error_set(error, -EINVAL,
				 "to lose data is for repairs only");
	if ((flags & VDO_CHECK_REPAIR) != 0 && r->undo_path == NULL &&
	    r->config.undo == NULL)
		return error_missing(error, "undo");
	return 0;
}

static int create(struct vdo_device *device, const struct settings *s,
		  void *arg, void **work, struct vdo_error *error)
{
	const struct request *request = arg;
	struct check_config c = request->config;
	struct checking *k = alloc_zeroed(1, sizeof(*k));
	int r = 0;

	if (k == NULL)
		return -ENOMEM;
	*work = k;
	c.device = device;
	c.settings = s;
	if ((c.flags & VDO_CHECK_REPAIR) != 0 && c.undo == NULL) {
		r = open_undo(request->undo_path, s, &k->own_undo, error);
		c.undo = k->own_undo;
	}
	return r != 0 ? r : check_create(&c, &k->check, error);
}

static int checking_run(struct checking *k, struct vdo_error *error)
{
	return check_run(k->check, error);
}

static void checking_stop(struct checking *k)
{
	check_stop(k->check);
}

static void checking_progress(struct checking *k, struct vdo_job_progress *p)
{
	check_progress(k->check, p);
}

static void checking_destroy(struct checking *k)
{
	if (k == NULL)
		return;
	check_destroy(k->check);
	close_undo(k->own_undo);
	alloc_free(k);
}

static const struct vdo_check_report *checking_report(struct checking *k)
{
	return check_report(k->check);
}

OFFLINE_WORK(checking)
OFFLINE_KIND(check_kind, accept_request, create, checking_run, checking_report,
	     struct vdo_check_report);

int vdo_check(const char *path, const struct vdo_config *config, unsigned flags,
	      const char *undo, vdo_check_fn fn, void *arg,
	      struct vdo_job **job, struct vdo_error *error)
{
	struct request request = {
		.config = {.flags = flags, .fn = fn, .arg = arg},
		.undo_path = undo,
	};
	bool repairs = (flags & VDO_CHECK_REPAIR) != 0;

	return offline_start(&check_kind, path,
			     repairs ? 0 : VDO_OPEN_READ_ONLY, config, &request,
			     job, error);
}

int vdo_check_device(struct vdo_device *device, const struct vdo_config *config,
		     unsigned flags, struct vdo_device *undo, vdo_check_fn fn,
		     void *arg, struct vdo_job **job, struct vdo_error *error)
{
	struct request request = {
		.config = {.flags = flags, .fn = fn, .arg = arg, .undo = undo},
	};

	return offline_start_device(&check_kind, device, config, &request, job,
				    error);
}

int vdo_check_report_get(struct vdo_job *job, struct vdo_check_report *report,
			 size_t size)
{
	return offline_get(job, &check_kind, report, size);
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
