/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files and block devices: opening them, and I/O in the calling thread.
 *
 * Locks. A block device is opened with O_EXCL, which the kernel grants to one
 * user at a time (file systems count). A file gets an open-file-description
 * lock: exclusive for writing, shared for reading, and gone with the
 * descriptor, also when the process dies. Both belong to the very descriptor
 * that does the I/O. So the kernel gives them back only when the last operation
 * of a process that was killed is over, which may be some time after wait()
 * returned: a lock on a descriptor of its own would be free while writes are
 * still on their way. Who opens next waits for that, for CLAIM_TRIES tries.
 *
 * O_DIRECT. Such a device has two descriptors, and memory that is not aligned
 * goes through the page cache; the kernel keeps both views the same.
 *
 * Durability. Files and block devices always count as having a volatile cache,
 * since the page cache is one.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The kernel's header has a macro of this name, too. */
#undef BLOCK_SIZE

#include "base/alloc.h"
#include "base/error.h"
#include "exec/system.h"
#include "format/types.h"

/* Vectors handed to the kernel at a time. */
#define WINDOW 64

/* Storage in use is tried again after 1, 2, 4 ... ms, 255 in all. */
#define CLAIM_TRIES 9

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
	return n;
}

int file_fd(const struct file *f, const struct vdo_device_io *io)
{
	VDO_ASSERT(f->fd >= SYSTEM_FD_FIRST);
	if (f->direct_fd < 0)
		return f->fd;
	for (unsigned i = 0; i < io->iov_count; i++) {
		if (((uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len) %
		    BLOCK_SIZE)
			return f->fd;
	}
	return f->direct_fd;
}

static int retry_sync(int fd)
{
	int r;

	do
		r = fdatasync(fd);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
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

		if (io->op == VDO_DEVICE_READ)
			r = preadv(fd, window, (int)n, at);
		else
			r = pwritev2(fd, window, (int)n, at, flags);
		if (r > 0) {
			done += (uint64_t)r;
			/* The rest of a torn direct transfer may start at a
			 * place that O_DIRECT cannot take. */
			if (done % BLOCK_SIZE != 0)
				fd = f->fd;
		} else if (r == 0) {
			return -EIO; /* the file has become shorter */
		} else if (flags != 0 &&
			   (errno == EOPNOTSUPP || errno == ENOSYS)) {
			flags = 0; /* no RWF_DSYNC: sync afterwards */
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return fua && flags == 0 ? retry_sync(f->fd) : 0;
}

int file_run(struct file *f, struct vdo_device_io *io, uint64_t done)
{
	if (io->op == VDO_DEVICE_WRITE &&
	    (f->device->flags & VDO_DEVICE_READ_ONLY))
		return -EROFS;
	switch (io->op) {
	case VDO_DEVICE_READ:
	case VDO_DEVICE_WRITE:
		return run_transfer(f, io, done);
	case VDO_DEVICE_FLUSH:
		return retry_sync(f->fd);
	case VDO_DEVICE_DISCARD:
		break;
	}
	return -EOPNOTSUPP;
}

/* The device's calls. */

/* While no volume has claimed it there is no engine. */
static void submit_unattached(void *ctx, struct vdo_device_io *io)
{
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
		f->engine = &file_engine_uring;
		r = f->engine->start(f, x);
	}
	if (f->choice == DEVICE_THREADS ||
	    (f->choice == DEVICE_AUTO && r != 0)) {
		f->engine = &file_engine_threads;
		r = f->engine->start(f, x);
	}
	if (r != 0) {
		f->engine = NULL;
		return r;
	}
	f->device->submit = f->engine->submit;
	return 0;
}

static void file_detach(void *ctx)
{
	struct file *f = ctx;

	VDO_ASSERT(f->engine != NULL);
	f->device->submit = submit_unattached;
	f->engine->stop(f);
	f->engine = NULL;
}

static void close_fds(struct file *f)
{
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	if (f->fd >= 0)
		close(f->fd);
}

/* Not left to close(): the kernel may hold on to the file a little longer. */
static void unlock_file(struct file *f)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (!f->block_device)
		fcntl(f->fd, F_OFD_SETLK, &lock);
}

static void file_close(void *ctx)
{
	struct file *f = ctx;

	VDO_ASSERT(f->engine == NULL);
	unlock_file(f);
	close_fds(f);
	alloc_free(f);
}

static int measure(struct file *f, uint64_t *size_bytes)
{
	struct stat st;

	if (f->block_device)
		return ioctl(f->fd, BLKGETSIZE64, size_bytes) ? -errno : 0;
	if (fstat(f->fd, &st) != 0)
		return -errno;
	*size_bytes = (uint64_t)st.st_size;
	return 0;
}

/* A block device can only be found to have grown already. */
static int file_grow(void *ctx, uint64_t size_bytes)
{
	struct file *f = ctx;
	uint64_t now;
	int r = measure(f, &now);

	if (r != 0 || now >= size_bytes)
		return r;
	if (f->block_device)
		return -ENOTSUP;
	if (f->device->flags & VDO_DEVICE_READ_ONLY)
		return -EROFS;
	if (size_bytes > INT64_MAX)
		return -EFBIG;
	do
		r = ftruncate(f->fd, (off_t)size_bytes);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
}

/* Other errors than a lack of space only mean that it has to do without. */
static int file_reserve(void *ctx, uint64_t offset, uint64_t length)
{
	struct file *f = ctx;
	int r;

	VDO_ASSERT((f->device->flags & VDO_DEVICE_READ_ONLY) == 0);
	if (f->block_device)
		return 0;
	do
		r = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)length);
	while (r != 0 && errno == EINTR);
	return r != 0 && (errno == ENOSPC || errno == EDQUOT) ? -errno : 0;
}

/* Opening. */

static int fail_errno(struct vdo_error *error, const char *path,
		      const char *what, int err)
{
	return error_set(error, -err, "cannot %s %.150s: %s", what, path,
			 vdo_strerror(err));
}

/* Files and block devices can hold a volume, nothing else. */
static int check_type(const char *path, mode_t mode, struct vdo_error *error)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	if (S_ISDIR(mode))
		return error_set(error, -EISDIR,
				 "%.150s is a directory; name a file or a "
				 "block device",
				 path);
	return error_set(error, -ENOTBLK,
			 "%.150s is a %s; a volume needs a file or a block "
			 "device",
			 path,
			 S_ISCHR(mode)    ? "character device"
			 : S_ISFIFO(mode) ? "FIFO"
				     : "socket");
}

/* Before try @n of a claim, 0 being the first. False: give up. */
static bool wait_to_claim(unsigned n)
{
	struct timespec ts = {.tv_nsec = 500000L << n};

	if (n == CLAIM_TRIES)
		return false;
	if (n > 0)
		nanosleep(&ts, NULL); /* cut short by a signal: no harm */
	return true;
}

/* open(), once more while a block device is in use. */
static int open_claiming(const char *path, int mode)
{
	int fd = -1;

	errno = EBUSY;
	for (unsigned n = 0; fd < 0 && errno == EBUSY && wait_to_claim(n); n++)
		fd = system_open(path, mode, 0666);
	return fd;
}

static int open_fd(struct file *f, const char *path, unsigned flags,
		   struct vdo_error *error)
{
	bool read_only = flags & VDO_OPEN_READ_ONLY;
	bool create = (flags & VDO_OPEN_CREATE) && !read_only;
	int mode = O_NOCTTY | O_NONBLOCK;
	struct stat st;
	int r;

	if (stat(path, &st) == 0) {
		r = check_type(path, st.st_mode, error);
		if (r != 0)
			return r;
		if (S_ISBLK(st.st_mode))
			mode |= O_EXCL;
	} else if (errno != ENOENT || !create) {
		return fail_errno(error, path, "open", errno);
	} else {
		mode |= O_CREAT;
	}
	f->fd = open_claiming(path, mode | (read_only ? O_RDONLY : O_RDWR));
	if (f->fd >= 0)
		return 0;
	if (errno == EBUSY)
		return error_set(error, -VDO_EINUSE,
				 "%.150s is in use: it is mounted, part of "
				 "another device, or open as a volume",
				 path);
	if (!read_only && (errno == EROFS || errno == EACCES))
		return error_set(error, -errno,
				 "%.150s cannot be opened for writing; open it "
				 "read-only or see to its permissions",
				 path);
	return fail_errno(error, path, "open", errno);
}

static int lock_file(struct file *f, const char *path, bool read_only,
		     struct vdo_error *error)
{
	struct flock lock = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	errno = EAGAIN;
	for (unsigned n = 0; (errno == EAGAIN || errno == EACCES) &&
			     wait_to_claim(n); n++) {
		if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
			return 0;
	}
	if (errno == EAGAIN || errno == EACCES)
		return error_set(error, -VDO_EINUSE,
				 "%.150s is in use: it is open as a volume, here "
				 "or in another process",
				 path);
	return fail_errno(error, path, "lock", errno);
}

/* O_NONBLOCK only kept open() from waiting. */
static int check_fd(struct file *f, const char *path, bool read_only,
		    struct vdo_error *error)
{
	struct stat st;
	int locked = 0;
	int r;

	if (fstat(f->fd, &st) != 0 || fcntl(f->fd, F_SETFL, 0) != 0)
		return fail_errno(error, path, "use", errno);
	r = check_type(path, st.st_mode, error);
	if (r != 0)
		return r;
	f->block_device = S_ISBLK(st.st_mode);
	if (!f->block_device)
		return lock_file(f, path, read_only, error);
	if (!read_only && ioctl(f->fd, BLKROGET, &locked) == 0 && locked != 0)
		return error_set(error, -EROFS,
				 "block device %.150s is set read-only; open it "
				 "read-only",
				 path);
	return 0;
}

/* By way of /proc it is the same file for sure. No success, no O_DIRECT. */
static int open_direct(const struct file *f, bool read_only)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	return system_open(path, O_DIRECT | (read_only ? O_RDONLY : O_RDWR), 0);
}

static int open_parts(struct file *f, struct vdo_device *d, const char *path,
		      unsigned flags, bool direct, struct vdo_error *error)
{
	bool read_only = flags & VDO_OPEN_READ_ONLY;
	int r = open_fd(f, path, flags, error);

	if (r == 0)
		r = check_fd(f, path, read_only, error);
	if (r != 0)
		return r;
	r = measure(f, &d->size_bytes);
	if (r != 0)
		return fail_errno(error, path, "measure", -r);
	if (direct)
		f->direct_fd = open_direct(f, read_only);
	d->flags = VDO_DEVICE_VOLATILE_CACHE;
	if (read_only)
		d->flags |= VDO_DEVICE_READ_ONLY;
	return 0;
}

int device_open_file(const char *path, unsigned flags,
		     const struct device_options *options,
		     struct vdo_device **device, struct vdo_error *error)
{
	struct vdo_device *d = alloc_zeroed(1, sizeof(*d));
	struct file *f = alloc_zeroed(1, sizeof(*f));
	int r;

	*device = NULL;
	if (d == NULL || f == NULL) {
		r = error_set(error, -ENOMEM, "out of memory");
		goto fail;
	}
	f->device = d;
	f->fd = -1;
	f->direct_fd = -1;
	f->choice = options->engine;
	f->threads = options->threads;
	r = open_parts(f, d, path, flags, options->direct, error);
	if (r != 0) {
		close_fds(f);
		goto fail;
	}
	d->submit = submit_unattached;
	d->blocking = file_blocking;
	d->attach = file_attach;
	d->detach = file_detach;
	d->grow = file_grow;
	d->reserve = file_reserve;
	d->close = file_close;
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

	return device_open_file(path, flags, &defaults, device, error);
}
