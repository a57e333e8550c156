/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about what a closed volume saves: a job around check/savings.
 */
#include "build.h"

#include <errno.h>

#include <vdo/savings.h>

#include "api/offline.h"
#include "base/error.h"
#include "check/savings.h"
#include "format/types.h"

struct query {
	const struct vdo_savings_range *range;
	unsigned flags;
};

static int accept_query(const void *arg, struct vdo_error *error)
{
	const struct query *q = arg;

	if ((q->flags & ~(VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE)) != 0)
		return error_set(error, -EINVAL, "there are no such flags");
	if (q->flags == VDO_SAVINGS_EVERYWHERE)
		return error_set(error, -EINVAL,
				 "VDO_SAVINGS_EVERYWHERE needs "
				 "VDO_SAVINGS_WHY");
	if (q->range != NULL && (q->range->offset % BLOCK_SIZE != 0 ||
				 q->range->length % BLOCK_SIZE != 0))
		return error_set(error, -EINVAL,
				 "the range is not of whole blocks of 4096 "
				 "bytes");
	return 0;
}

static int create(struct vdo_device *device, const struct settings *s,
		  void *arg, void **work, struct vdo_error *error)
{
	const struct query *q = arg;
	struct savings *made = NULL;
	int r = savings_create(device, q->range, q->flags, &made, error);

	(void)s;
	*work = made;
	return r;
}

OFFLINE_WORK(savings)
OFFLINE_KIND(savings_kind, accept_query, create, savings_run, savings_result,
	     struct vdo_savings);

int vdo_savings(const char *path, const struct vdo_config *config,
		const struct vdo_savings_range *range, unsigned flags,
		struct vdo_job **job, struct vdo_error *error)
{
	struct query q = {.range = range, .flags = flags};

	return offline_start(&savings_kind, path, VDO_OPEN_READ_ONLY, config,
			     &q, job, error);
}

int vdo_savings_device(struct vdo_device *device,
		       const struct vdo_config *config,
		       const struct vdo_savings_range *range, unsigned flags,
		       struct vdo_job **job, struct vdo_error *error)
{
	struct query q = {.range = range, .flags = flags};

	return offline_start_device(&savings_kind, device, config, &q, job,
				    error);
}

int vdo_savings_get(struct vdo_job *job, struct vdo_savings *savings,
		    size_t size)
{
	return offline_get(job, &savings_kind, savings, size);
}
