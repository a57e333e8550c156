/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage under a volume.
 *
 * Built in: files and block devices, and memory. A host can bring storage of
 * its own with struct vdo_device_ops.
 */
#ifndef VDO_DEVICE_H
#define VDO_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vdo/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_config;
struct vdo_device;

enum vdo_device_op {
	VDO_DEVICE_READ,
	VDO_DEVICE_WRITE,
	VDO_DEVICE_FLUSH,   /* make all completed writes durable */
	VDO_DEVICE_DISCARD  /* the range may lose its content: see below */
};

/* A write that is durable when it completes. */
#define VDO_DEVICE_FUA 1u

/*
 * One operation on a device. Offset and length are multiples of 4096 bytes. The
 * memory is the library's and stays valid until complete() was called.
 * Neighbouring blocks can come as one operation, with a vector for each (option
 * io-merge); if it fails, they come again one by one.
 */
struct vdo_device_io {
	enum vdo_device_op op;
	unsigned flags;          /* VDO_DEVICE_FUA, writes only */
	uint64_t offset;         /* not for flush */
	uint64_t length;         /* of all iov together; discard: no iov */
	const struct iovec *iov;
	unsigned iov_count;

	/* To be called exactly once, from any thread, also inside of submit:
	 * 0 when all of length was transferred, or a negative errno. Closing
	 * the volume waits until it has returned. */
	void (*complete)(struct vdo_device_io *io, int result);

	void *host_data[4];      /* the device's, until complete() */
};

/* The device keeps completed writes in a cache that a power failure empties:
 * it needs VDO_DEVICE_FLUSH and VDO_DEVICE_FUA. Without this flag they are
 * never sent, and each completed write counts as durable. */
#define VDO_DEVICE_VOLATILE_CACHE 1u
/* The device can carry out VDO_DEVICE_DISCARD; else it is never sent.
 * vdo_trim_device() (trim.h) sends it, up to 1 GiB at a time, and a volume that is
 * open with option reclaim, up to 16 MiB at a time, one for each physical zone. What
 * reads find in the range until it is written is of no meaning. If it fails, nothing
 * else is wrong. */
#define VDO_DEVICE_CAN_DISCARD    2u
/* Writes fail; the volume can only be opened read-only. */
#define VDO_DEVICE_READ_ONLY      4u

struct vdo_device_ops {
	size_t size;                      /* sizeof(struct vdo_device_ops) */
	uint64_t (*get_size)(void *ctx);  /* in bytes; may grow: vdo_grow() */
	unsigned (*get_flags)(void *ctx); /* VDO_DEVICE_*; constant while open */

	/* Start an operation. Must not block for long. Any thread. After a
	 * flush that failed, reads may show what it should have covered as
	 * long as the volume stays open (it is read-only then); whoever opens
	 * it next must read what is durable. */
	void (*submit)(void *ctx, struct vdo_device_io *io);

	/* Optional: called when the library is done with the device. */
	void (*close)(void *ctx);
};

/*
 * Open a file or block device. It is locked against being opened twice (an
 * open-file-description lock; O_EXCL on block devices).
 *
 * @flags: VDO_OPEN_READ_ONLY; VDO_OPEN_CREATE makes a missing file (empty),
 * unless it is to be opened read-only. VDO_OPEN_UNLOCKED, which goes with
 * VDO_OPEN_READ_ONLY only, locks nothing: storage that somebody has open can be
 * looked at, and may change meanwhile.
 * Errors: -EINVAL for flags that do not go; -VDO_EINUSE if somebody has it open;
 * -errno of open(2).
 */
#define VDO_OPEN_READ_ONLY 1u
#define VDO_OPEN_CREATE    2u
#define VDO_OPEN_UNLOCKED  4u
int vdo_device_open(const char *path, unsigned flags,
		    struct vdo_device **device, struct vdo_error *error);

/*
 * Open a file or block device as vdo_open() does, with the options io-engine,
 * io-threads and direct of @config (NULL: all defaults), and read-only instead
 * of VDO_OPEN_READ_ONLY. vdo_open_device() is the rest of vdo_open().
 *
 * A device has no threads while no volume has it: it may be opened before a
 * fork(), tried with vdo_open_device() and vdo_close(), and used in one of the
 * two processes afterwards.
 */
int vdo_device_open_config(const char *path, const struct vdo_config *config,
			   struct vdo_device **device,
			   struct vdo_error *error);

/* @size_bytes of zeroed memory. Untouched parts cost nothing. */
int vdo_device_open_memory(uint64_t size_bytes, struct vdo_device **device);

/* The host's own storage. @ops and @ctx must outlive the device. */
int vdo_device_open_custom(const struct vdo_device_ops *ops, void *ctx,
			   struct vdo_device **device);

uint64_t vdo_device_size(const struct vdo_device *device);

/*
 * Close a device; NULL is fine. One that a volume or a job still uses is closed
 * when that lets go of it: the handle is gone in any case.
 */
void vdo_device_close(struct vdo_device *device);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
