/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another engine for a volume that is open, with other zones, queues or caches:
 *
 *	the old one	comes to rest, and saves (save.c); calls wait
 *	the new one	is made (create.c) and opened (load.c) from the storage
 *	the front	starts with the new one
 *
 * Between the two the storage holds a volume that was closed, and what the new
 * one does before it is open leaves it good for the old one, which stays at rest
 * until then: if anything fails it is resumed, and nothing was changed. So both
 * are in memory for a moment.
 *
 * What an engine has counted goes on with the next one.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <vdo/error.h>

#include "base/error.h"
#include "exec/clock.h"

static int rest(struct volume *v, struct vdo_error *error)
{
	int result = volume_saved(v, volume_suspend(v, true));
	const char *text;

	if (result == -VDO_EREADONLY || readonly_entered(&v->readonly)) {
		(void)volume_read_only_reason(v, &text);
		if (result != 0)
			return error_set(error, result,
					 "the volume is in read-only mode, so "
					 "its engine stays as it is: %s",
					 text);
	}
	if (result == 0)
		return 0;
	return error_set(error, result,
			 "the volume cannot be saved, so its engine stays as it "
			 "is: %s",
			 vdo_strerror(result));
}

/* What does not end with an engine. */
static void inherit(struct volume *v, struct volume *old)
{
	struct space_level warn = v->space.levels[0];

	VDO_ASSERT(v->recovery == NULL && old->service == SERVICE_STOPPED);
	v->space = old->space;
	if (v->space.levels[0].percent != warn.percent)
		v->space.levels[0] = warn;
	v->recovered = old->recovered;
	v->recovery_ms = old->recovery_ms;
	volume_get_stats(old, &v->past);
}

static int start(struct volume *old, const struct settings *s,
		 struct volume **engine, struct vdo_error *error)
{
	struct volume *v;
	int result = volume_create(old->device, old->executor, old->front, s,
				   &v, error);

	if (result != 0)
		return result;
	inherit(v, old);
	result = volume_open(v, error);
	if (result == 0)
		*engine = v;
	else
		volume_destroy(v);
	return result;
}

int volume_renew(struct volume *v, const struct settings *s,
		 struct volume **engine, struct vdo_error *error)
{
	uint64_t began = executor_now(v->executor);
	int result = rest(v, error);

	VDO_ASSERT(v->service == SERVICE_STOPPED);
	front_join(v->front); /* they still look at the engine */
	if (result == 0)
		result = start(v, s, engine, error);
	if (result != 0) {
		(void)volume_resume(v);
		return result;
	}
	log_info(&v->log, "volume: has another engine, calls waited ms=%llu",
		 (unsigned long long)((executor_now(v->executor) - began) /
				      NS_PER_MS));
	return 0;
}
