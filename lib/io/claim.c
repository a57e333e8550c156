/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a file or block device so that nobody else has it.
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
 * Two that make one file. A missing file is made with O_EXCL, so that it is
 * known who made it; a link that leads to nothing is followed by hand for that.
 * Whoever else finds it may lock it first: then it is theirs, even once they let
 * go of it, which shows in that it is not empty any more. Who made a file may
 * remove it, while holding its lock and while its name leads to it. And as
 * others may do the same, who gets a lock looks whether the name still leads to
 * what was locked, and else begins anew.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A header of the kernel has a macro of the same name. */
#undef BLOCK_SIZE

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/system.h"

/* Storage in use is tried again after 1, 2, 4 ... ms, 255 in all. */
#define CLAIM_TRIES 9

/* As many links in a row are followed, as in the kernel. */
#define LINKS_MAX 40

static int fail_errno(struct vdo_error *error, const char *path,
		      const char *what, int err)
{
	VDO_ASSERT(err > 0);
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

	VDO_ASSERT(n <= CLAIM_TRIES);
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
		fd = system_open(path, mode, 0);
	return fd;
}

/* Where open() would make @path: beyond all links that lead to nothing. */
static int follow(const char *path, char *where)
{
	char target[PATH_MAX];

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(where, path);
	for (unsigned i = 0; i < LINKS_MAX; i++) {
		ssize_t n = readlink(where, target, sizeof(target) - 1);
		char *slash = strrchr(where, '/');
		char *to = where;

		if (n < 0)
			return 0; /* no link; what else it is open() will say */
		target[n] = '\0';
		if (target[0] != '/' && slash != NULL)
			to = slash + 1;
		if ((size_t)(to - where) + (size_t)n >= PATH_MAX)
			return -ENAMETOOLONG;
		memcpy(to, target, (size_t)n + 1);
		VDO_ASSERT(strlen(where) < PATH_MAX);
	}
	return -ELOOP;
}

/* There was nothing at @path. -EEXIST: now there is. */
static int make(struct file *f, const char *path, int mode)
{
	char where[PATH_MAX];
	int r = follow(path, where);

	VDO_ASSERT(f->created == NULL && f->fd < 0);
	if (r != 0)
		return r;
	f->created = alloc_strdup(where);
	if (f->created == NULL)
		return -ENOMEM;
	f->fd = system_open(where, mode | O_CREAT | O_EXCL, 0666);
	if (f->fd >= 0)
		return 0;
	r = -errno;
	alloc_free(f->created);
	f->created = NULL;
	return r;
}

static int open_failed(const char *path, bool read_only, int err,
		       struct vdo_error *error)
{
	VDO_ASSERT(err > 0);
	if (err == EBUSY)
		return error_set(error, -VDO_EINUSE,
				 "%.150s is in use: it is mounted, part of "
				 "another device, or open as a volume",
				 path);
	if (!read_only && (err == EROFS || err == EACCES))
		return error_set(error, -err,
				 "%.150s cannot be opened for writing; open it "
				 "read-only or see to its permissions",
				 path);
	return fail_errno(error, path, "open", err);
}

/* O_NONBLOCK only keeps open() from waiting. -EEXIST: begin anew. */
static int open_path(struct file *f, const char *path, unsigned flags,
		     struct vdo_error *error)
{
	bool read_only = flags & VDO_OPEN_READ_ONLY;
	bool create = (flags & VDO_OPEN_CREATE) && !read_only;
	int mode = O_NOCTTY | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR);
	struct stat st;
	int r;

	VDO_ASSERT(f->fd < 0);
	if (stat(path, &st) == 0) {
		r = check_type(path, st.st_mode, error);
		if (r != 0)
			return r;
		if (S_ISBLK(st.st_mode) && !(flags & VDO_OPEN_UNLOCKED))
			mode |= O_EXCL;
		f->fd = open_claiming(path, mode);
		r = f->fd >= 0 ? 0 : -errno;
		if (r == -ENOENT && create)
			r = -EEXIST; /* it was there a moment ago */
	} else {
		r = errno == ENOENT && create ? make(f, path, mode) : -errno;
	}
	return r == 0 || r == -EEXIST ? r
				      : open_failed(path, read_only, -r, error);
}

static int lock_file(struct file *f, const char *path, bool read_only,
		     struct vdo_error *error)
{
	struct flock lock = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	VDO_ASSERT(!f->block_device && f->fd >= SYSTEM_FD_FIRST);
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

static int check_fd(struct file *f, const char *path, unsigned flags,
		    struct vdo_error *error)
{
	bool read_only = flags & VDO_OPEN_READ_ONLY;
	struct stat st;
	int locked = 0;
	int r;

	VDO_ASSERT(f->fd >= SYSTEM_FD_FIRST);
	if (fstat(f->fd, &st) != 0 || fcntl(f->fd, F_SETFL, 0) != 0)
		return fail_errno(error, path, "use", errno);
	r = check_type(path, st.st_mode, error);
	if (r != 0)
		return r;
	f->block_device = S_ISBLK(st.st_mode);
	if (flags & VDO_OPEN_UNLOCKED)
		return 0;
	if (!f->block_device)
		return lock_file(f, path, read_only, error);
	if (!read_only && ioctl(f->fd, BLKROGET, &locked) == 0 && locked != 0)
		return error_set(error, -EROFS,
				 "block device %.150s is set read-only; open it "
				 "read-only",
				 path);
	return 0;
}

static void forget_created(struct file *f)
{
	alloc_free(f->created);
	f->created = NULL;
}

/* Somebody was here between our making the file and our locking it. */
static bool was_used(const struct file *f)
{
	struct stat st;

	VDO_ASSERT(f->fd >= 0);
	return fstat(f->fd, &st) != 0 || st.st_size != 0;
}

/* Does @path, whose last part is no link if @itself, lead to what is open? */
static bool leads_to(const char *path, bool itself, int fd)
{
	struct stat named, open;

	VDO_ASSERT(fd >= 0);
	return fstatat(AT_FDCWD, path, &named,
		       itself ? AT_SYMLINK_NOFOLLOW : 0) == 0 &&
	       fstat(fd, &open) == 0 && named.st_dev == open.st_dev &&
	       named.st_ino == open.st_ino;
}

void claim_remove_created(struct file *f)
{
	if (f->created != NULL && leads_to(f->created, true, f->fd))
		unlink(f->created);
}

/* Unlock before close(): the kernel may hold on to the file a little longer. */
static void unlock(struct file *f)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	VDO_ASSERT(f->fd >= 0);
	if (!f->block_device)
		fcntl(f->fd, F_OFD_SETLK, &lock);
}

void claim_drop(struct file *f)
{
	if (f->fd >= 0) {
		unlock(f);
		close(f->fd);
	}
	f->fd = -1;
	forget_created(f);
}

static int try_once(struct file *f, const char *path, unsigned flags,
		    struct vdo_error *error)
{
	int r = open_path(f, path, flags, error);

	if (r == 0) {
		r = check_fd(f, path, flags, error);
		if (was_used(f))
			forget_created(f);
		/* Where nobody can lock a file, nobody else has this one. */
		if (r != 0 && r != -VDO_EINUSE)
			claim_remove_created(f);
	}
	if (r == 0 && !leads_to(path, false, f->fd))
		r = -EEXIST;
	if (r != 0)
		claim_drop(f);
	return r;
}

int claim_take(struct file *f, const char *path, unsigned flags,
	       struct vdo_error *error)
{
	int r = -EEXIST;

	VDO_ASSERT(f->fd < 0 && f->created == NULL);
	for (unsigned n = 0; r == -EEXIST && wait_to_claim(n); n++)
		r = try_once(f, path, flags, error);
	if (r == -EEXIST)
		return error_set(error, -VDO_EINUSE,
				 "%.150s is in use: somebody replaces it again "
				 "and again",
				 path);
	VDO_ASSERT((r == 0) == (f->fd >= SYSTEM_FD_FIRST));
	return r;
}
