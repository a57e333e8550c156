/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files and block devices: what file.c and its engines share.
 *
 * claim.c opens and locks, direct.c decides what goes around the page cache,
 * file.c measures and can carry out any operation in the calling thread
 * (file_run()). While a volume has claimed the device an engine does so
 * asynchronously: uring.c or threads.c.
 *
 * Runs on: any thread. Lifetime: an engine from device_claim() to
 * device_release(); between, the operations of the volume use it.
 */
#ifndef IO_FILE_PRIV_H
#define IO_FILE_PRIV_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/device.h"
#include "io/file.h"

struct file;

/* How fallocate(2) makes a hole, and keeps the size. */
#define FILE_HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

struct file_engine {
	/* Have all that is needed ready. -ENOTSUP: not on this system. */
	int (*start)(struct file *f, struct executor *x);

	/* The device's submit while the engine runs; @ctx is the file. */
	void (*submit)(void *ctx, struct vdo_device_io *io);

	/* The same for several, linked through host_data[0]. */
	void (*submit_all)(void *ctx, struct vdo_device_io *first,
			   struct vdo_device_io *last);

	/* Stop when all operations are over. */
	void (*stop)(struct file *f);
};

struct file {
	struct vdo_device *device;
	int fd;        /* what is claimed; with O_DIRECT if there is a cached_fd */
	int cached_fd; /* the same by way of the page cache, or -1 */
	unsigned direct_align; /* of the ends of direct operations */
	bool direct_reads, direct_writes; /* now; only with a cached_fd */
	bool block_device;
	bool named; /* it had a name when it was opened */
	char *created; /* the name under which opening made it, or NULL */
	enum device_engine choice;
	enum device_direct direct;
	unsigned threads;
	atomic_bool must_wait; /* no reads from the page cache alone; cached.c */
	const struct file_engine *engine; /* NULL: not attached */
	void *state;                      /* the engine's */
};

extern const struct file_engine threads_engine;
extern const struct file_engine uring_engine;

/*
 * threads.c: workers that carry out operations. One at least, or -errno.
 * threads_submit() on any thread, for all that are linked through host_data[0];
 * threads_destroy() when all are over, NULL is fine.
 */
struct threads;
int threads_create(struct file *f, struct threads **threads) MUST_CHECK;
void threads_submit(struct threads *t, struct vdo_device_io *first,
		    struct vdo_device_io *last);
void threads_destroy(struct threads *t);

/*
 * cached.c: what the page cache has is read at once, the rest goes to the engine.
 * The device's calls while there is one; @ctx is the file.
 */
void cached_submit(void *ctx, struct vdo_device_io *io);
void cached_submit_all(void *ctx, struct vdo_device_io *first,
		       struct vdo_device_io *last);

/*
 * Carry out @io in the calling thread, but for the first @done bytes of it,
 * which were transferred before. 0 or -errno.
 */
int file_run(struct file *f, struct vdo_device_io *io, uint64_t done);

/* After a flush that went well: 0, or -EIO if the file was cut short. */
int file_flushed(struct file *f);

/*
 * Open @path into f->fd, make it if that is asked for, and keep everybody else
 * from it: it is the inode that @path leads to. When it fails all is as before.
 */
int claim_take(struct file *f, const char *path, unsigned flags,
	       struct vdo_error *error) MUST_CHECK;
void claim_drop(struct file *f);

/* Remove the file if f made it and its name leads to it. While f holds it. */
void claim_remove_created(struct file *f);

/*
 * direct.c: have f->fd go around the page cache and f->cached_fd not, if that was
 * chosen and can be. After the claim.
 */
void direct_set_up(struct file *f, bool read_only);

/* A volume has claimed the file, or has let go of it. No operation runs. */
void direct_attach(struct file *f);
void direct_detach(struct file *f);

/* Which descriptor @io is to use: O_DIRECT needs aligned memory. */
int file_fd(const struct file *f, const struct vdo_device_io *io);

/* The one by way of the page cache. */
static inline int file_cached_fd(const struct file *f)
{
	return f->cached_fd >= 0 ? f->cached_fd : f->fd;
}

#endif
