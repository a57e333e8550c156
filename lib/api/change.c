/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of an open volume. Some are switches of its engine; for others it gets
 * another engine (volume/renew.c), on an executor that has threads for it:
 *
 *	threads that are missing are started	else nothing else is done
 *	the engine is exchanged			else the other one goes on
 *	the other one is dropped
 *	threads that are too many end
 *
 * Calls, callbacks, descriptors and sub-volumes have to do with the front and the
 * executor, which stay. Whoever asks the engine has the lock of the handle, or
 * looks at it for a moment.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>
#include <string.h>

#include "api/options.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"

static int resize(struct vdo_volume *v, const struct settings *s,
		  struct vdo_error *error)
{
	struct native_config c = handle_native_config(s);
	int result = executor_resize(v->executor, &c);

	if (result == -EAGAIN)
		return error_set(error, result,
				 "there can be no more threads; raise the limit "
				 "of processes (ulimit -u)");
	return result;
}

static void take_over(struct vdo_volume *v, struct volume *engine)
{
	struct volume *old = v->volume;

	VDO_ASSERT(engine != old);
	pthread_mutex_lock(&v->look);
	v->volume = engine;
	pthread_mutex_unlock(&v->look);
	volume_destroy(old);
}

int handle_change(struct vdo_volume *v, const struct settings *s,
		  struct vdo_error *error)
{
	struct native_config before = handle_native_config(&v->settings);
	struct volume *engine;
	int result;

	/* As many as there are: what "auto" is may be another number by now. */
	before.threads = v->executor->thread_count;
	result = resize(v, s, error);

	VDO_ASSERT(v->whole == NULL && queue_running == NULL);
	if (result != 0)
		return result;
	result = volume_renew(v->volume, s, &engine, error);
	if (result == 0) {
		take_over(v, engine);
		v->settings = *s;
	} else {
		int back = executor_resize(v->executor, &before);

		VDO_ASSERT(back == 0); /* it has these threads */
		(void)back;
	}
	executor_trim(v->executor);
	return result;
}

/* The three switches. */
static void set_online(struct vdo_volume *v, const struct settings *s)
{
	if (s->open.compression != v->settings.open.compression)
		volume_set_compression(v->volume, s->open.compression);
	if (s->open.deduplication != v->settings.open.deduplication)
		volume_set_deduplication(v->volume, s->open.deduplication);
	if (s->open.on_full != v->settings.open.on_full)
		front_set_parking(v->front, s->open.on_full == FULL_HOLD);
	v->settings = *s;
}

static int set(struct vdo_volume *v, const char *name, const char *value,
	       struct vdo_error *error)
{
	struct settings s = v->settings;
	bool pause;
	int result = options_change(name, value, &s, &pause, error);

	if (result != 0)
		return result;
	if (!pause) {
		set_online(v, &s);
		return 0;
	}
	if (atomic_load(&v->suspended))
		return error_set(error, -VDO_EBUSY,
				 "the volume is suspended; resume it first");
	return handle_change(v, &s, error);
}

int vdo_volume_set(struct vdo_volume *v, const char *name, const char *value,
		   struct vdo_error *error)
{
	int result;

	error_clear(error);
	if (v == NULL)
		return error_missing(error, "volume");
	result = handle_enter(v);
	if (result != 0)
		return error_finish(error, result);
	result = set(whole_of(v), name, value, error);
	handle_leave(v);
	return error_finish(error, result);
}
