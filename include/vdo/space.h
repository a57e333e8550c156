/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space: what a host does before a volume is full.
 *
 * Threads: as with the functions of volume.h that take an open volume.
 */
#ifndef VDO_SPACE_H
#define VDO_SPACE_H

#include <stdint.h>

#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum vdo_space_event {
	VDO_SPACE_ROSE = 1, /* that many percent are in use */
	VDO_SPACE_FELL = 2, /* not any more, by one percent of all blocks */
	VDO_SPACE_HELD = 3, /* no space is left, and calls are held (on-full) */
	VDO_SPACE_GOES_ON = 4 /* none is any more */
};

struct vdo_space {
	enum vdo_space_event event;
	unsigned percent; /* the threshold; else 100 */
	/* Blocks of 4096 bytes that data and the pages of the block map can have, and
	 * have. */
	uint64_t used, total;
};

/* Runs on a thread of the volume, as callbacks of I/O do: it must not wait, and calls
 * of the volume that wait return -EDEADLK there. */
typedef void (*vdo_space_callback)(void *arg, const struct vdo_space *space);

#define VDO_SPACE_THRESHOLDS_MAX 16

/*
 * Have @callback told once when at least as many percent of the blocks are in use as
 * one of @percents says (1..100, in any order), and once when it is less again, by one
 * percent of all; with option on-full=hold also when calls are held, and when none is any
 * more. What is so already is told at once. It takes the place of the one before, which
 * does not run any more when this returns; NULL: there is none.
 *
 * Looked at is about each thousandth of the blocks, each 64th at least, so it may
 * come by so much late. Blocks on their way to be free are in use. A volume that was
 * opened read-only tells nothing.
 *
 * -EINVAL: a sub-volume, or other percents; -EDEADLK from a callback; -VDO_EFORKED.
 */
int vdo_space_watch(struct vdo_volume *volume, const unsigned *percents,
		    unsigned n, vdo_space_callback callback, void *arg);

/*
 * With option on-full=hold a write, or zeroes, that find no space do not fail, but are
 * held: the callback comes when a discard, or vdo_grow(), has made some, or with the
 * error when the option is set to fail (vdo_volume_set()), or the handle is closed.
 * Reads, discards and flushes go on, and a flush does not cover what is held. At once
 * fail, as ever: what has VDO_IO_NOWAIT, copies, and discards of parts of blocks.
 *
 * This has what is held tried again, where space has come that the volume cannot know of:
 * in the file system below. -EDEADLK from a callback, -VDO_EFORKED.
 */
int vdo_space_retry(struct vdo_volume *volume);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
