/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: struct vdo_device.
 *
 * A device is a table of calls and a context. Built in: file.c (files and
 * block devices, through uring.c or worker threads) and mem.c. The pointers are
 * copied here so that the hot path follows one indirection only.
 *
 * Runs on: any thread. Lifetime: vdo_device_open*() to vdo_device_close(); a
 * volume borrows it (device_claim()/device_release()), one at a time.
 */
#ifndef IO_DEVICE_H
#define IO_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <vdo/device.h>

#include "exec/executor.h"
#include "exec/inside.h"

/*
 * What can be asked of files and block devices alone; in the calling thread,
 * attached or not. device_reserve() and the others say what each does.
 */
struct device_file_ops {
	int (*resize)(void *ctx, uint64_t size_bytes);
	int (*reserve)(void *ctx, uint64_t offset, uint64_t length);
	int (*find_data)(void *ctx, uint64_t *offset);
	int (*measure)(void *ctx, uint64_t *size_bytes);
	bool (*lost_name)(void *ctx);
	bool (*space)(void *ctx, uint64_t *free_bytes, uint64_t *taken_bytes);
	void (*remove_created)(void *ctx);
};

enum device_use {
	DEVICE_IS_FREE,
	DEVICE_IS_CLAIMED,
	DEVICE_IS_LEAVING, /* claimed, and to be closed at its release */
};

struct vdo_device {
	void (*submit)(void *ctx, struct vdo_device_io *io);
	/* Several at a time, linked through host_data[0] from @first to @last.
	 * May be NULL: submit() each. */
	void (*submit_all)(void *ctx, struct vdo_device_io *first,
			   struct vdo_device_io *last);
	void *ctx;
	_Atomic uint64_t size_bytes;   /* it may grow while it is in use */
	_Atomic uint64_t needed_bytes; /* by the volume that has claimed it; or 0 */
	atomic_bool cut;       /* found to be shorter than that */
	unsigned flags; /* VDO_DEVICE_* */
	bool block_device;
	bool discard_zeroes; /* what was discarded reads as zeroes */
	bool immediate; /* an operation is over when submit() returns */
	atomic_int use; /* an enum device_use */
	/* The host's: its threads complete, and nothing of ours joins them. */
	bool foreign;
	struct inside completing; /* foreign: threads inside of complete() */
	void (*close)(void *ctx);
	uint64_t (*get_size)(void *ctx); /* NULL: it stays as it is */
	const struct device_file_ops *file; /* NULL: it is none */

	/* Built-in devices that need it: tie completion reaping to the
	 * executor of the volume that claims the device. May be NULL. */
	int (*attach)(void *ctx, struct executor *x);
	void (*detach)(void *ctx);

	/* A cache may go on showing what a failed write or flush has left
	 * unwritten for good: have it show what the storage has, after one more
	 * flush. In the calling thread. May be NULL: there is none. */
	int (*forget)(void *ctx);
	atomic_bool unsure; /* a write or a flush has failed since */

	/* Carry out @io in the calling thread and return its result; works
	 * whether attached or not. May be NULL: submit() and wait. */
	int (*blocking)(void *ctx, struct vdo_device_io *io);
};

/* Operations in a row, linked through host_data[0]. {NULL, NULL}: none. */
struct device_chain {
	struct vdo_device_io *first, *last;
};

static inline void device_chain_add(struct device_chain *c,
				    struct vdo_device_io *io)
{
	io->host_data[0] = NULL;
	if (c->first == NULL)
		c->first = io;
	else
		c->last->host_data[0] = io;
	c->last = io;
}

/* Take a device for a volume run by @x. -VDO_EINUSE, -ENOMEM */
int device_claim(struct vdo_device *d, struct executor *x) MUST_CHECK;

static inline bool device_is_claimed(const struct vdo_device *d)
{
	return atomic_load(&d->use) != DEVICE_IS_FREE;
}

/*
 * Give it back. Everything that was submitted is complete; this waits until
 * each complete() has returned as well, so that the executor can be destroyed.
 * The device is gone afterwards if its owner has closed it meanwhile.
 */
void device_release(struct vdo_device *d);

/*
 * Around whatever complete() does that may end the volume: the operation may be
 * gone when device_leave() is called, the device is not.
 */
static inline void device_enter(struct vdo_device *d)
{
	if (d->foreign)
		inside_enter(&d->completing);
}

static inline void device_leave(struct vdo_device *d)
{
	if (d->foreign)
		inside_leave(&d->completing);
}

/* Blocking I/O from outside of any queue: open, format, inspect. */
int device_read(struct vdo_device *d, uint64_t offset, void *buf, size_t n)
	MUST_CHECK;
int device_write(struct vdo_device *d, uint64_t offset, const void *buf,
		 size_t n) MUST_CHECK;
int device_flush(struct vdo_device *d) MUST_CHECK;

/* The range, whole blocks, may lose its content. -EOPNOTSUPP: not here. */
int device_discard(struct vdo_device *d, uint64_t offset, uint64_t length)
	MUST_CHECK;

/*
 * Read any number of bytes from any place, outside of any queue; of a host's
 * device, which knows only blocks, whole blocks.
 */
int device_read_bytes(struct vdo_device *d, uint64_t offset, void *buf,
		      size_t n) MUST_CHECK;

/*
 * Move *@offset to the first byte from there on that the file may have stored,
 * or to its end. -ENOTSUP: it is no file.
 */
int device_find_data(struct vdo_device *d, uint64_t *offset) MUST_CHECK;

/*
 * Have the file system set space aside for the range, so that writes to it do
 * not meet a full one; what is there stays. -ENOSPC, -EDQUOT, -EFBIG; 0 also
 * where nothing of the kind can be asked for.
 */
int device_reserve(struct vdo_device *d, uint64_t offset, uint64_t length)
	MUST_CHECK;

/*
 * Somebody may make a file or a block device shorter while it is in use. Whoever
 * finds out, a read that meets the end or a flush that looks at the size, gets
 * -EIO and notes it for good.
 */
static inline bool device_is_cut(struct vdo_device *d)
{
	return atomic_load_explicit(&d->cut, memory_order_relaxed);
}

static inline void device_note_cut(struct vdo_device *d)
{
	atomic_store_explicit(&d->cut, true, memory_order_relaxed);
}

/* A write or a flush has failed: who uses the device next is to see what is
 * there, not what was to be. Any thread. */
static inline void device_note_unsure(struct vdo_device *d)
{
	atomic_store_explicit(&d->unsure, true, memory_order_relaxed);
}

/* What was written by whoever did not get to the end of it, and is not durable
 * though somebody may have been told otherwise, is not seen any more. Outside of
 * any queue; no operation runs. -errno of a flush that fails again. */
int device_forget(struct vdo_device *d) MUST_CHECK;

/* Look at the size: is it, or was it once, less than needed? */
bool device_look_cut(struct vdo_device *d);

/* How large is it by now? */
int device_measure(struct vdo_device *d, uint64_t *size_bytes) MUST_CHECK;

/* Has a file that had a name when it was opened none any more? */
bool device_lost_name(struct vdo_device *d);

/*
 * Of a file: how much is free in its file system, and how much it takes already.
 * False where that is not known.
 */
bool device_space(struct vdo_device *d, uint64_t *free_bytes,
		  uint64_t *taken_bytes);

/* It has @size_bytes from now on: a file is made longer, if it is not so long; what
 * is none must have grown already, or -ENOTSUP. */
int device_grow(struct vdo_device *d, uint64_t size_bytes) MUST_CHECK;

/* Undo device_grow(): cut the device to the @size_bytes that it had. */
void device_ungrow(struct vdo_device *d, uint64_t size_bytes);

/*
 * Undo VDO_OPEN_CREATE: remove the file if opening this device made it and its
 * name still leads to it. It is locked until the device is closed.
 */
void device_remove_created(struct vdo_device *d);

#endif
