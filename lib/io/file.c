/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files and block devices: I/O in the calling thread, sizes, and what a file
 * can be asked. claim.c opens them.
 *
 * O_DIRECT. Such a device has two descriptors, and memory that is not aligned
 * goes through the page cache; see direct.c.
 *
 * Durability. Files and block devices always count as having a volatile cache,
 * since the page cache is one.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* A header of the kernel has a macro of the same name. */
#undef BLOCK_SIZE

#include "base/alloc.h"
#include "base/error.h"
#include "exec/system.h"
#include "format/types.h"

/* Vectors handed to the kernel at a time. */
#define WINDOW 64

/* I/O in the calling thread. */

/* What is left of @io after @done bytes, as far as it fits. */
static unsigned fill_window(struct iovec *window,
			    const struct vdo_device_io *io, uint64_t done)
{
	unsigned n = 0;

	VDO_ASSERT(done < io->length);
	for (unsigned i = 0; i < io->iov_count && n < WINDOW; i++) {
		const struct iovec *v = &io->iov[i];

		if (done >= v->iov_len) {
			done -= v->iov_len;
			continue;
		}
		window[n].iov_base = (char *)v->iov_base + done;
		window[n].iov_len = v->iov_len - done;
		done = 0;
		n++;
	}
	VDO_ASSERT(n > 0); /* the vectors are as long as the operation */
	return n;
}

int file_fd(const struct file *f, const struct vdo_device_io *io)
{
	VDO_ASSERT(f->fd >= SYSTEM_FD_FIRST);
	if (io->op == VDO_DEVICE_READ ? !f->direct_reads : !f->direct_writes)
		return file_cached_fd(f);
	for (unsigned i = 0; i < io->iov_count; i++) {
		if (((uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len) %
		    BLOCK_SIZE)
			return file_cached_fd(f);
	}
	return f->fd;
}

static int retry_sync(int fd)
{
	int r;

	VDO_ASSERT(fd >= SYSTEM_FD_FIRST);
	do
		r = fdatasync(fd);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
}

/*
 * A flush must not say that what was cut off is durable. One look at the size
 * costs next to nothing beside it.
 */
int file_flushed(struct file *f)
{
	return device_look_cut(f->device) ? -EIO : 0;
}

/* Transfer from byte @done on; short transfers are continued. */
static int run_transfer(struct file *f, struct vdo_device_io *io, uint64_t done)
{
	bool fua = io->flags & VDO_DEVICE_FUA;
	int flags = fua ? RWF_DSYNC : 0;
	int fd = file_fd(f, io);

	VDO_ASSERT(done <= io->length);
	while (done < io->length) {
		struct iovec window[WINDOW];
		unsigned n = fill_window(window, io, done);
		off_t at = (off_t)(io->offset + done);
		ssize_t r;

		/* The rest of a torn direct transfer may start at a place that
		 * O_DIRECT cannot take. */
		if (f->cached_fd >= 0 && done % f->direct_align != 0)
			fd = f->cached_fd;
		if (io->op == VDO_DEVICE_READ)
			r = preadv(fd, window, (int)n, at);
		else
			r = pwritev2(fd, window, (int)n, at, flags);
		if (r > 0) {
			done += (uint64_t)r;
		} else if (r == 0) {
			device_note_cut(f->device);
			return -EIO;
		} else if (flags != 0 &&
			   (errno == EOPNOTSUPP || errno == ENOSYS)) {
			flags = 0; /* no RWF_DSYNC: sync afterwards */
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return fua && flags == 0 ? retry_sync(f->fd) : 0;
}

static int run_flush(struct file *f)
{
	int r = retry_sync(f->fd);

	return r == 0 ? file_flushed(f) : r;
}

/* Of a file holes are made, which keep its size. */
static int run_discard(struct file *f, const struct vdo_device_io *io)
{
	uint64_t range[2] = {io->offset, io->length};
	int r;

	VDO_ASSERT(io->length > 0 && io->offset <= INT64_MAX - io->length);
	do
		r = f->block_device
			    ? ioctl(f->fd, BLKDISCARD, range)
			    : fallocate(f->fd, FILE_HOLE, (off_t)io->offset,
					(off_t)io->length);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
}

int file_run(struct file *f, struct vdo_device_io *io, uint64_t done)
{
	if ((io->op == VDO_DEVICE_WRITE || io->op == VDO_DEVICE_DISCARD) &&
	    (f->device->flags & VDO_DEVICE_READ_ONLY))
		return -EROFS;
	switch (io->op) {
	case VDO_DEVICE_READ:
	case VDO_DEVICE_WRITE:
		return run_transfer(f, io, done);
	case VDO_DEVICE_FLUSH:
		return run_flush(f);
	case VDO_DEVICE_DISCARD:
		return run_discard(f, io);
	}
	return -EOPNOTSUPP;
}

/* The device's calls. */

/* While no volume has claimed it there is no engine. */
static void submit_unattached(void *ctx, struct vdo_device_io *io)
{
	VDO_ASSERT(((struct file *)ctx)->engine == NULL);
	io->complete(io, file_run(ctx, io, 0));
}

static int file_blocking(void *ctx, struct vdo_device_io *io)
{
	return file_run(ctx, io, 0);
}

static int file_attach(void *ctx, struct executor *x)
{
	struct file *f = ctx;
	int r = -ENOTSUP;

	VDO_ASSERT(f->engine == NULL);
	if (f->choice != DEVICE_THREADS) {
		f->engine = &uring_engine;
		r = f->engine->start(f, x);
	}
	if (f->choice == DEVICE_THREADS ||
	    (f->choice == DEVICE_AUTO && r != 0)) {
		f->engine = &threads_engine;
		r = f->engine->start(f, x);
	}
	if (r != 0) {
		f->engine = NULL;
		return r;
	}
	VDO_ASSERT(f->state != NULL);
	direct_attach(f);
	f->device->submit = cached_submit;
	f->device->submit_all = cached_submit_all;
	return 0;
}

static void file_detach(void *ctx)
{
	struct file *f = ctx;

	VDO_ASSERT(f->engine != NULL);
	f->device->submit = submit_unattached;
	f->device->submit_all = NULL;
	f->engine->stop(f);
	VDO_ASSERT(f->state == NULL);
	f->engine = NULL;
	direct_detach(f);
}

static void file_close(void *ctx)
{
	struct file *f = ctx;

	VDO_ASSERT(f->fd >= 0 && f->fd != f->cached_fd);
	VDO_ASSERT(f->engine == NULL);
	if (f->cached_fd >= 0)
		close(f->cached_fd);
	claim_drop(f);
	alloc_free(f);
}

static int file_measure(void *ctx, uint64_t *size_bytes)
{
	struct file *f = ctx;
	struct stat st;

	if (f->block_device)
		return ioctl(f->fd, BLKGETSIZE64, size_bytes) ? -errno : 0;
	if (fstat(f->fd, &st) != 0)
		return -errno;
	*size_bytes = (uint64_t)st.st_size;
	return 0;
}

/* A block device can only be found to have grown already. */
static int file_resize(void *ctx, uint64_t size_bytes)
{
	struct file *f = ctx;
	uint64_t now;
	int r = file_measure(f, &now);

	if (r != 0 || now == size_bytes)
		return r;
	if (f->block_device)
		return now > size_bytes ? 0 : -ENOTSUP;
	if (f->device->flags & VDO_DEVICE_READ_ONLY)
		return -EROFS;
	if (size_bytes > INT64_MAX)
		return -EFBIG;
	do
		r = ftruncate(f->fd, (off_t)size_bytes);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
}

/* With an error other than a lack of space the file has to do without. */
static int file_reserve(void *ctx, uint64_t offset, uint64_t length)
{
	struct file *f = ctx;
	int r;

	VDO_ASSERT(offset <= INT64_MAX && length <= INT64_MAX - offset);
	VDO_ASSERT((f->device->flags & VDO_DEVICE_READ_ONLY) == 0);
	if (f->block_device)
		return 0;
	do
		r = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)length);
	while (r != 0 && errno == EINTR);
	return r != 0 && error_is_no_space(-errno) ? -errno : 0;
}

/*
 * When the kernel has failed to write a page of its cache it tells so once, and
 * then takes the page for written: it goes on showing it, and no later flush
 * writes it. Pages that are dropped are read from the storage again.
 */
static int file_forget(void *ctx)
{
	struct file *f = ctx;
	int r;

	VDO_ASSERT((f->device->flags & VDO_DEVICE_READ_ONLY) == 0);
	r = retry_sync(f->fd); /* maybe of somebody who did not wait for it */
	(void)posix_fadvise(file_cached_fd(f), 0, 0, POSIX_FADV_DONTNEED);
	return r == 0 ? 0 : retry_sync(f->fd);
}

/* A file system that cannot say has data everywhere. */
static int file_find_data(void *ctx, uint64_t *offset)
{
	struct file *f = ctx;
	off_t at;

	VDO_ASSERT(*offset <= INT64_MAX);
	if (f->block_device)
		return -ENOTSUP;
	at = lseek(f->fd, (off_t)*offset, SEEK_DATA);
	if (at >= 0)
		*offset = (uint64_t)at;
	else if (errno == ENXIO)
		*offset = MAX(*offset, f->device->size_bytes);
	else if (errno != EINVAL)
		return -errno;
	return 0;
}

/* A file that was opened without a name (O_TMPFILE, memfd) may stay so. */
static bool file_lost_name(void *ctx)
{
	struct file *f = ctx;
	struct stat st;

	return f->named && fstat(f->fd, &st) == 0 && st.st_nlink == 0;
}

/* Some file systems have no limit and say so, or nothing at all: 0 blocks. */
static bool file_space(void *ctx, uint64_t *free_bytes, uint64_t *taken_bytes)
{
	struct file *f = ctx;
	struct statvfs v;
	struct stat st;

	if (f->block_device || fstat(f->fd, &st) != 0 ||
	    fstatvfs(f->fd, &v) != 0 || v.f_blocks == 0)
		return false;
	*free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	*taken_bytes = (uint64_t)st.st_blocks * 512; /* whatever it has */
	return true;
}

static void file_remove_created(void *ctx)
{
	claim_remove_created(ctx);
}

static const struct device_file_ops file_ops = {
	.resize = file_resize,
	.reserve = file_reserve,
	.find_data = file_find_data,
	.measure = file_measure,
	.lost_name = file_lost_name,
	.space = file_space,
	.remove_created = file_remove_created,
};

/* Opening. */

/* What comes after the claim. */
static int set_up(struct file *f, const char *path, bool read_only,
		  struct vdo_error *error)
{
	struct vdo_device *d = f->device;
	struct stat st;
	uint64_t size_bytes = 0;
	int r = file_measure(f, &size_bytes);

	VDO_ASSERT(f->fd >= SYSTEM_FD_FIRST && f->cached_fd < 0);
	if (r != 0)
		return error_set(error, r, "cannot measure %.150s: %s", path,
				 vdo_strerror(r));
	d->size_bytes = size_bytes;
	f->named = !f->block_device && fstat(f->fd, &st) == 0 && st.st_nlink > 0;
	direct_set_up(f, read_only);
	d->block_device = f->block_device;
	d->discard_zeroes = !f->block_device;
	d->flags = VDO_DEVICE_VOLATILE_CACHE;
	d->flags |= read_only ? VDO_DEVICE_READ_ONLY : VDO_DEVICE_CAN_DISCARD;
	return 0;
}

#define FLAGS (VDO_OPEN_READ_ONLY | VDO_OPEN_CREATE | VDO_OPEN_UNLOCKED)

int file_open(const char *path, unsigned flags,
	      const struct device_options *options, struct vdo_device **device,
	      struct vdo_error *error)
{
	struct vdo_device *d = alloc_zeroed(1, sizeof(*d));
	struct file *f = alloc_zeroed(1, sizeof(*f));
	int r;

	VDO_ASSERT((flags & ~FLAGS) == 0);
	*device = NULL;
	if (d == NULL || f == NULL) {
		r = error_set(error, -ENOMEM, "out of memory");
		goto fail;
	}
	f->device = d;
	f->fd = -1;
	f->cached_fd = -1;
	f->choice = options->engine;
	f->direct = options->direct;
	f->threads = options->threads;
	r = claim_take(f, path, flags, error);
	if (r != 0)
		goto fail;
	r = set_up(f, path, flags & VDO_OPEN_READ_ONLY, error);
	if (r != 0) {
		claim_remove_created(f);
		claim_drop(f);
		goto fail;
	}
	d->submit = submit_unattached;
	d->blocking = file_blocking;
	d->attach = file_attach;
	d->detach = file_detach;
	d->file = &file_ops;
	d->close = file_close;
	if (!(d->flags & VDO_DEVICE_READ_ONLY))
		d->forget = file_forget;
	d->ctx = f;
	*device = d;
	return 0;
fail:
	alloc_free(f);
	alloc_free(d);
	return r;
}

int vdo_device_open(const char *path, unsigned flags,
		    struct vdo_device **device, struct vdo_error *error)
{
	static const struct device_options defaults = {.engine = DEVICE_AUTO};
	unsigned unknown = flags & ~FLAGS;

	if (device == NULL)
		return error_missing(error, "device");
	*device = NULL;
	if (path == NULL)
		return error_missing(error, "path");
	if (unknown != 0)
		return error_set(error, -EINVAL,
				 "flags %#x are unknown: use VDO_OPEN_READ_ONLY, "
				 "VDO_OPEN_CREATE, VDO_OPEN_UNLOCKED", unknown);
	if ((flags & VDO_OPEN_UNLOCKED) && !(flags & VDO_OPEN_READ_ONLY))
		return error_set(error, -EINVAL,
				 "VDO_OPEN_UNLOCKED goes with "
				 "VDO_OPEN_READ_ONLY only");
	return file_open(path, flags, &defaults, device, error);
}
