/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about what a closed volume uses: a job around check/usage.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/usage.h>

#include "api/offline.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/usage.h"

static int accept_flags(const void *arg, struct vdo_error *error)
{
	const unsigned *flags = arg;

	if ((*flags & ~VDO_USAGE_MAP) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	return 0;
}

static int create(struct vdo_device *device, const struct settings *s,
		  void *arg, void **work, struct vdo_error *error)
{
	const unsigned *flags = arg;
	struct usage *u = NULL;
	int r = usage_create(device, (*flags & VDO_USAGE_MAP) != 0, &u, error);

	(void)s;
	*work = u;
	return r;
}

OFFLINE_WORK(usage)
OFFLINE_KIND(usage_kind, accept_flags, create, usage_run, usage_result,
	     struct vdo_usage);

int vdo_usage_count(const char *path, const struct vdo_config *config,
		    unsigned flags, struct vdo_job **job,
		    struct vdo_error *error)
{
	return offline_start(&usage_kind, path, VDO_OPEN_READ_ONLY, config,
			     &flags, job, error);
}

int vdo_usage_count_device(struct vdo_device *device,
			   const struct vdo_config *config, unsigned flags,
			   struct vdo_job **job, struct vdo_error *error)
{
	return offline_start_device(&usage_kind, device, config, &flags, job,
				    error);
}

int vdo_usage_get(struct vdo_job *job, struct vdo_usage *usage, size_t size)
{
	return offline_get(job, &usage_kind, usage, size);
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
