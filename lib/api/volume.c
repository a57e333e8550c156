/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Format, close, inspect, and what an open volume says of itself: the public
 * calls around volume/. open.c has the rest.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "api/host_config.h"
#include "api/offline.h"
#include "api/options.h"
#include "api/pool.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "io/file.h"

/* ------------------------------------------------------------------- format */

static int format_device(struct vdo_device *device, const struct settings *s,
			 struct vdo_error *error)
{
	if (device_is_claimed(device))
		return error_set(error, -VDO_EINUSE,
				 "the storage is in use by an open volume");
	return volume_format(device, s, error);
}

int vdo_format_device(struct vdo_device *device,
		      const struct vdo_config *config, struct vdo_error *error)
{
	struct settings s;
	int result;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	result = host_config_apply(config, &s, error);
	if (result == 0)
		result = format_device(device, &s, error);
	return error_finish(error, result);
}

int vdo_format(const char *path, const struct vdo_config *config,
	       struct vdo_error *error)
{
	struct vdo_device *device;
	struct settings s;
	int result;

	error_clear(error);
	if (path == NULL)
		return error_missing(error, "path");
	result = host_config_apply(config, &s, error);
	if (result != 0)
		return error_finish(error, result);
	result = file_open(path,
			   s.format.size_bytes != 0 ? VDO_OPEN_CREATE : 0,
			   &s.device, &device, error);
	if (result != 0)
		return error_finish(error, result);
	result = volume_format(device, &s, error);
	if (result != 0)
		device_remove_created(device);
	vdo_device_close(device);
	return error_finish(error, result);
}

/* @device: NULL for a new file. */
static int plan_on(struct vdo_device *device, const struct settings *s,
		   struct vdo_plan *plan, size_t size, struct vdo_error *error)
{
	struct vdo_plan whole;
	int result = volume_plan(device, s, &whole, error);

	VDO_ASSERT(result != 0 || whole.slab_count > 0);
	if (result == 0)
		memcpy(plan, &whole, MIN(size, sizeof(whole)));
	return result;
}

int vdo_format_plan_device(struct vdo_device *device,
			   const struct vdo_config *config,
			   struct vdo_plan *plan, size_t size,
			   struct vdo_error *error)
{
	struct settings s;
	int result;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (plan == NULL)
		return error_missing(error, "plan");
	result = offline_look_at(device, config, &s, error);
	if (result == 0)
		result = plan_on(device, &s, plan, size, error);
	return error_finish(error, result);
}

int vdo_format_plan(const char *path, const struct vdo_config *config,
		    struct vdo_plan *plan, size_t size,
		    struct vdo_error *error)
{
	struct vdo_device *device;
	struct settings s;
	int result;

	error_clear(error);
	if (plan == NULL)
		return error_missing(error, "plan");
	result = offline_look(path, config, &s, &device, error);
	if (result == 0)
		result = plan_on(device, &s, plan, size, error);
	vdo_device_close(device);
	return error_finish(error, result);
}

/* -------------------------------------------------------------------- close */

int vdo_close(struct vdo_volume *v)
{
	int result;

	if (v == NULL)
		return 0;
	result = handle_check(v, true);
	if (result != 0)
		return result;
	if (v->sub != NULL) {
		sub_close(v);
		return 0;
	}
	if (pool_is_busy(v))
		return -EBUSY;
	front_end_parking(v->front);
	result = volume_close(v->volume);
	handle_free(v);
	return result;
}

void vdo_abandon(struct vdo_volume *v)
{
	if (v == NULL || handle_check(v, true) != 0)
		return;
	if (v->sub != NULL) {
		sub_close(v);
		return;
	}
	if (pool_is_busy(v))
		return;
	front_end_parking(v->front);
	volume_abandon(v->volume);
	handle_free(v);
}

/* ------------------------------------------------------- suspend and resume */

static void resume(struct vdo_volume *v)
{
	atomic_store(&v->suspended, false);
	/* Without its super block it is read-only: calls hear of that. */
	(void)volume_resume(v->volume);
}

int vdo_suspend(struct vdo_volume *v, bool save)
{
	int result = handle_enter_whole(v);

	if (result != 0)
		return result;
	if (atomic_load(&v->suspended)) {
		result = -EALREADY;
	} else {
		atomic_store(&v->said_waits, false);
		atomic_store(&v->suspended, true);
		result = volume_suspend(v->volume, save);
		if (save)
			result = volume_saved(v->volume, result);
		if (result != 0)
			resume(v);
	}
	handle_leave(v);
	return result;
}

int vdo_resume(struct vdo_volume *v)
{
	int result = handle_enter_whole(v);

	if (result != 0)
		return result;
	if (atomic_load(&v->suspended))
		resume(v);
	else
		result = -EALREADY;
	handle_leave(v);
	return result;
}

/* --------------------------------------------------------------------- grow */

int vdo_grow(struct vdo_volume *v, uint64_t physical_size,
	     uint64_t logical_size, struct vdo_error *error)
{
	int result;

	error_clear(error);
	if (v == NULL)
		return error_missing(error, "volume");
	if (v->sub != NULL)
		return error_set(error, -EINVAL,
				 "this is a sub-volume: vdo_sub_resize() is for it");
	result = handle_enter(v);
	if (result != 0)
		return error_finish(error, result);
	if (atomic_load(&v->suspended))
		result = error_set(error, -VDO_EBUSY,
				   "the volume is suspended; resume it first");
	else
		result = volume_grow(v->volume, physical_size, logical_size,
				     error);
	v->size_bytes = volume_logical_blocks(v->volume) * BLOCK_SIZE;
	handle_leave(v);
	return error_finish(error, result);
}

/* ----------------------------------------------------------------- the rest */

uint64_t vdo_volume_size(const struct vdo_volume *v)
{
	return v == NULL ? 0 : handle_size(v);
}

unsigned vdo_volume_alignment(const struct vdo_volume *v)
{
	return v == NULL ? 0 : v->alignment;
}

bool vdo_volume_is_read_only(const struct vdo_volume *v)
{
	bool is;

	if (v == NULL || v->read_only)
		return true;
	is = volume_is_read_only(handle_look(v));
	handle_look_away(v);
	return is;
}

int vdo_volume_read_only_reason(const struct vdo_volume *v,
				struct vdo_error *error)
{
	const char *text;
	int reason;

	error_clear(error);
	if (v == NULL)
		return error_missing(error, "volume");
	reason = volume_read_only_reason(handle_look(v), &text);
	if (reason != 0 && *text != '\0')
		(void)error_set(error, reason, "%s", text);
	handle_look_away(v);
	return error_finish(error, reason);
}

int vdo_poll(struct vdo_volume *v, int timeout_ms)
{
	uint64_t ns = timeout_ms < 0 ? UINT64_MAX
				     : (uint64_t)timeout_ms * 1000000;
	int result = handle_check(v, true);
	unsigned ran;

	if (result != 0)
		return result;
	ran = v->executor->ops->poll(v->executor, ns);
	VDO_ASSERT(ran <= INT_MAX);
	return (int)ran;
}

int vdo_volume_fd(struct vdo_volume *v)
{
	int result = handle_check(v, false);

	if (result != 0)
		return result;
	if (v->executor->ops->fd == NULL)
		return -ENOTSUP;
	return v->executor->ops->fd(v->executor);
}

/* ------------------------------------------------------------------ inspect */

int vdo_inspect_device(struct vdo_device *device, struct vdo_info *info,
		       size_t size, struct vdo_error *error)
{
	struct vdo_info whole;
	int result;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (info == NULL)
		return error_missing(error, "info");
	result = volume_inspect(device, &whole, error);
	VDO_ASSERT(result != 0 || whole.state_name != NULL);
	/* A host built with an older header gets the fields that it knows. */
	if (result == 0)
		memcpy(info, &whole, MIN(size, sizeof(whole)));
	return error_finish(error, result);
}

int vdo_inspect(const char *path, struct vdo_info *info, size_t size,
		struct vdo_error *error)
{
	struct vdo_device *device;
	int result;

	if (info == NULL)
		return error_missing(error, "info");
	result = vdo_device_open(path, VDO_OPEN_READ_ONLY, &device, error);
	if (result != 0)
		return result;
	result = vdo_inspect_device(device, info, size, error);
	vdo_device_close(device);
	return result;
}
