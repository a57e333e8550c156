/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls about the index of a volume that is not open: a job around
 * index/reindex.
 */
#include "build.h"

#include <string.h>

#include <vdo/index.h>

#include "api/offline.h"
#include "base/assert.h"
#include "base/error.h"
#include "volume/reindex.h"

static int create_verify(struct vdo_device *device, const struct settings *s,
			 void *arg, void **work, struct vdo_error *error)
{
	struct reindex *reindex = NULL;
	int r = volume_reindex_create(device, NULL, s, false, &reindex, error);

	VDO_ASSERT(arg == NULL);
	*work = reindex;
	return r;
}

static int create_rebuild(struct vdo_device *device, const struct settings *s,
			  void *arg, void **work, struct vdo_error *error)
{
	struct reindex *reindex = NULL;
	int r = volume_reindex_create(device, NULL, s, true, &reindex, error);

	VDO_ASSERT(arg == NULL);
	*work = reindex;
	return r;
}

OFFLINE_WORK(reindex)
OFFLINE_KIND(verify_kind, NULL, create_verify, reindex_verify, reindex_report,
	     struct vdo_index_report);
OFFLINE_KIND(rebuild_kind, NULL, create_rebuild, reindex_rebuild,
	     reindex_rebuilt, struct vdo_index_rebuilt);

int vdo_index_verify(const char *path, const struct vdo_config *config,
		     struct vdo_job **job, struct vdo_error *error)
{
	return offline_start(&verify_kind, path, VDO_OPEN_READ_ONLY, config,
			     NULL, job, error);
}

int vdo_index_verify_device(struct vdo_device *device,
			    const struct vdo_config *config,
			    struct vdo_job **job, struct vdo_error *error)
{
	return offline_start_device(&verify_kind, device, config, NULL, job,
				    error);
}

int vdo_index_rebuild(const char *path, const struct vdo_config *config,
		      struct vdo_job **job, struct vdo_error *error)
{
	return offline_start(&rebuild_kind, path, 0, config, NULL, job, error);
}

int vdo_index_rebuild_device(struct vdo_device *device,
			     const struct vdo_config *config,
			     struct vdo_job **job, struct vdo_error *error)
{
	return offline_start_device(&rebuild_kind, device, config, NULL, job,
				    error);
}

int vdo_index_report_get(struct vdo_job *job, struct vdo_index_report *report,
			 size_t size)
{
	return offline_get(job, &verify_kind, report, size);
}

int vdo_index_rebuilt_get(struct vdo_job *job,
			  struct vdo_index_rebuilt *rebuilt, size_t size)
{
	return offline_get(job, &rebuild_kind, rebuilt, size);
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
