/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume: all components, and their life together.
 *
 *	volume_create --> not yet -- volume_open --> on <---------------.
 *	                                              |                 |
 *	                               volume_suspend |  volume_resume  |
 *	                                              v                 |
 *	          gone <-- volume_close            stopped -------------'
 *	                   (from on or stopped)       |
 *	                                              | volume_renew: another is on
 *	          gone <-- volume_destroy <-----------'
 *
 * Each of the first four is a flow, a table of rows that run on the volume's queues;
 * the caller waits once, for its end. While the volume is on it serves requests
 * (front/, path/).
 *
 * Invariants
 *  (1) The super block says DIRTY before the first journal block is written, and
 *      CLEAN only when everything is saved (I13).
 *  (2) READ_ONLY is recorded once, and nothing is written after it (I42).
 *  (3) The super block has one writer (super_writer.h).
 *
 * Runs on: what waits outside of any queue; the rest anywhere.
 * Lifetime: the executor, the device and the front, through which calls come, are
 * the caller's and outlive it.
 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include <vdo/space.h>
#include <vdo/volume.h>

#include "volume/settings.h"

struct executor;
struct front;
struct vdo_device;
struct volume;

/* How many threads an executor of its own should have for @s. */
unsigned volume_thread_count(const struct settings *s);

/* Make a new volume on @device (lib/volume/format.c). Outside of any queue. */
int volume_format(struct vdo_device *device, const struct settings *s,
		  struct vdo_error *error) MUST_CHECK;

/* What volume_format() would make, or why it would refuse to. Without a device
 * it would be a new file. */
int volume_plan(struct vdo_device *device, const struct settings *s,
		struct vdo_plan *plan, struct vdo_error *error) MUST_CHECK;

/* Read geometry and super block; for vdo_inspect(). */
int volume_inspect(struct vdo_device *device, struct vdo_info *info,
		   struct vdo_error *error) MUST_CHECK;

/*
 * Read geometry and super block, and make what serves such a volume (create.c),
 * once it is open, with the calls of @front.
 * Nothing is written; what the caller has done wrong, and what the volume cannot
 * be opened for, is found out here. Outside of any queue.
 */
int volume_create(struct vdo_device *device, struct executor *x,
		  struct front *front, const struct settings *s,
		  struct volume **volume, struct vdo_error *error) MUST_CHECK;

/* Drop a volume that is not open, or that another engine has come for. What is
 * posted to its queues runs first; they go back to the executor. Outside of any
 * queue. */
void volume_destroy(struct volume *v);

/*
 * Load all that is needed and bring it into service (load.c), once. After an
 * error, -ECANCELED among them, only volume_destroy() may follow. @error may be
 * NULL.
 */
int volume_open(struct volume *v, struct vdo_error *error) MUST_CHECK;

/* Let volume_open() end soon, with -ECANCELED, if it has changed nothing yet.
 * Any thread, from volume_create() to the end of volume_open(). */
void volume_open_stop(struct volume *v);

/* How far opening is. Any thread, as long as the volume exists. */
struct vdo_job_progress;
void volume_open_progress(const struct volume *v, struct vdo_job_progress *p);

/* Save and drop. The error, if any, says that it was not saved. */
int volume_close(struct volume *v);

/* Wait for what is under way, save nothing, drop. */
void volume_abandon(struct volume *v);

/*
 * Bring everything to rest (save.c): calls wait in the front until
 * volume_resume(). With @save the storage then holds the whole volume, and its
 * super block says CLEAN, so that a copy of it can be opened; an error says that
 * it does not, though all is at rest. Of a volume that was opened read-only
 * nothing is to be saved.
 */
int volume_suspend(struct volume *v, bool save) MUST_CHECK;

/*
 * Make it larger while it is in use (grow.c); 0: as it is. VDO_GROW_ALL: as large
 * as the storage is. Outside of any queue; it is not suspended.
 */
int volume_grow(struct volume *v, uint64_t physical_bytes,
		uint64_t logical_bytes, struct vdo_error *error) MUST_CHECK;

/* What to tell whoever had it saved with @result: what was acknowledged may be
 * lost though all else is saved. While it is suspended. */
int volume_saved(struct volume *v, int result) MUST_CHECK;

/*
 * Serve again, the calls that wait first (load.c). This never fails; an error
 * says that the super block could not be written, so that the volume is in
 * read-only mode now.
 */
int volume_resume(struct volume *v);

/*
 * The same volume with another engine (renew.c): of @s, which may differ in what an
 * engine is made of. Calls wait meanwhile. Then *@engine serves them, and @v, which
 * is at rest, is for volume_destroy(). After an error @v serves them as before, but
 * may be in read-only mode as volume_resume() has it. Outside of any queue; it is
 * not suspended.
 */
int volume_renew(struct volume *v, const struct settings *s,
		 struct volume **engine, struct vdo_error *error) MUST_CHECK;

uint64_t volume_logical_blocks(const struct volume *v);
bool volume_is_read_only(const struct volume *v);
/* 0, or the first reason for which it is read-only, and its text. */
int volume_read_only_reason(const struct volume *v, const char **text);

/* Have the log say that a call waits until it is resumed. Any thread. */
void volume_say_waits(const struct volume *v);

/* As vdo_space_watch(); from outside of the queues. */
void volume_watch_space(struct volume *v, const unsigned *percents, unsigned n,
			vdo_space_callback callback, void *arg);

/* Switches; from outside of the queues. */
void volume_set_compression(struct volume *v, bool on);
void volume_set_deduplication(struct volume *v, bool on);

#endif
