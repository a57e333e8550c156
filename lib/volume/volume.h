/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume: all components, and their life together.
 *
 * volume_open() runs the table of load.c, volume_close() that of save.c, each
 * a list of named phases run one after the other by the calling thread, which
 * waits for what happens on the queues. In between the volume serves requests
 * (path/).
 *
 * Invariants
 *  (1) The super block says DIRTY before the first journal block is written, and
 *      CLEAN only when everything is saved (I13).
 *  (2) READ_ONLY is recorded once, and nothing is written after it (I42).
 *
 * Runs on: open, close and abandon outside of any queue; the rest anywhere.
 * Lifetime: the executor and the device are the caller's and outlive it.
 */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

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

/* What that would make, or why it would be refused. Without a device it would be
 * a new file. */
int volume_plan(struct vdo_device *device, const struct settings *s,
		struct vdo_plan *plan, struct vdo_error *error) MUST_CHECK;

/* Read geometry and super block; for vdo_inspect(). */
int volume_inspect(struct vdo_device *device, struct vdo_info *info,
		   struct vdo_error *error) MUST_CHECK;

int volume_open(struct vdo_device *device, struct executor *x,
		const struct settings *s, struct volume **volume,
		struct vdo_error *error) MUST_CHECK;

/* Save and drop. The error, if any, says that it was not saved. */
int volume_close(struct volume *v);

/* Wait for what is under way, save nothing, drop. */
void volume_abandon(struct volume *v);

/* Where calls are submitted. */
struct front *volume_front(struct volume *v);
struct executor *volume_executor(struct volume *v);
uint64_t volume_logical_blocks(const struct volume *v);
bool volume_is_read_only(const struct volume *v);

/* Switches; from outside of the queues. */
void volume_set_compression(struct volume *v, bool on);
void volume_set_deduplication(struct volume *v, bool on);

#endif
