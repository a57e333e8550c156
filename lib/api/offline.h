/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs on volumes that are not open: what usage, check, rebuild and the index's
 * calls have in common. The storage is opened by its path, or lent; the work is
 * made and run as a job; and its result can be had when it has succeeded.
 *
 * Lifetime: as struct vdo_job.
 */
#ifndef API_OFFLINE_H
#define API_OFFLINE_H

#include <vdo/config.h>

#include "api/job.h"

/* One kind of work. @work is what create made. */
struct offline_kind {
	/* @arg is what who starts it asks for. NULL, or refuse what makes no
	 * sense before anything is opened; 0 or an error that is told. */
	int (*accept)(const void *arg, struct vdo_error *error);
	/* After an error what *work is set to, if it is, is destroyed. */
	int (*create)(struct vdo_device *device, const struct settings *s,
		      void *arg, void **work, struct vdo_error *error);
	int (*run)(void *work, struct vdo_error *error);
	void (*stop)(void *work);
	void (*progress)(void *work, struct vdo_job_progress *p);
	void (*destroy)(void *work); /* NULL is fine */
	const void *(*result)(void *work);
	size_t result_size;
};

/* The calls that only pass on to work of type struct NAME: stop, progress and
 * destroy are NAME_stop(), NAME_progress() and NAME_destroy(). */
#define OFFLINE_WORK(name)                                               \
	static void stop(void *work)                                     \
	{                                                                \
		name##_stop(work);                                       \
	}                                                                \
	static void progress(void *work, struct vdo_job_progress *p)     \
	{                                                                \
		name##_progress(work, p);                                \
	}                                                                \
	static void destroy(void *work)                                  \
	{                                                                \
		name##_destroy(work);                                    \
	}

/* After that: @kind, whose work is made by @make after @check, run by @go, and
 * has a result of type @type by @get. */
#define OFFLINE_KIND(kind, check, make, go, get, type)                   \
	static int kind##_run(void *work, struct vdo_error *error)       \
	{                                                                \
		return go(work, error);                                  \
	}                                                                \
	static const void *kind##_result(void *work)                     \
	{                                                                \
		const type *result = get(work);                          \
		return result;                                           \
	}                                                                \
	static const struct offline_kind kind = {                        \
		.accept = check,                                         \
		.create = make,                                          \
		.run = kind##_run,                                       \
		.stop = stop,                                            \
		.progress = progress,                                    \
		.destroy = destroy,                                      \
		.result = kind##_result,                                 \
		.result_size = sizeof(type),                             \
	}

/*
 * Start a job on the storage at @path, opened with @open_flags; or on @device,
 * which is in use until the job is freed. Errors, if there are any, are
 * finished. @error may be NULL.
 */
int offline_start(const struct offline_kind *kind, const char *path,
		  unsigned open_flags, const struct vdo_config *config,
		  void *arg, struct vdo_job **job,
		  struct vdo_error *error) MUST_CHECK;
int offline_start_device(const struct offline_kind *kind,
			 struct vdo_device *device,
			 const struct vdo_config *config, void *arg,
			 struct vdo_job **job,
			 struct vdo_error *error) MUST_CHECK;

/*
 * Copy the result of a job of this kind. A host built with an older header has a
 * smaller @size, and gets the fields that it knows. -EINVAL: it is another kind,
 * or something is NULL; -VDO_EFORKED; -EAGAIN: not over, or it failed.
 */
int offline_get(struct vdo_job *job, const struct offline_kind *kind, void *to,
		size_t size) MUST_CHECK;

/*
 * For calls that say what would be: the settings of @config, and the storage at
 * @path; *@device becomes NULL if there is none, or no path, and formatting would
 * make a file of option size.
 */
int offline_look(const char *path, const struct vdo_config *config,
		 struct settings *s, struct vdo_device **device,
		 struct vdo_error *error) MUST_CHECK;

/* The same with a device that is lent, and may not be in use. */
int offline_look_at(struct vdo_device *device, const struct vdo_config *config,
		    struct settings *s, struct vdo_error *error) MUST_CHECK;

#endif
