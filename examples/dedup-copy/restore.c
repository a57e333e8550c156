/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making what an archive has in the directory of the user.
 *
 * An archive may be hostile: its names are taken apart, and each directory on
 * the way is opened without following symbolic links, from the directory that
 * the user named. So nothing outside of it can be reached, whatever was there
 * before and whatever links the archive itself brings. Nothing that exists is
 * replaced, unless --force says so; directories are shared.
 *
 * Directories get their modes and times last, deepest first, when nothing is
 * created in them any more.
 */
#include "build.h"

#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/*
 * Places
 */

void place_forget(struct extract *x)
{
	if (x->parent >= 0)
		close(x->parent);
	free(x->parent_path);
	x->parent = -1;
	x->parent_path = NULL;
}

/* Open @name in @fd, made if it is missing. @fd is closed. */
static int step_into(int fd, const char *name)
{
	int next = openat(fd, name, DIRECTORY_FLAGS);

	if (next < 0 && errno == ENOENT && mkdirat(fd, name, 0777) == 0)
		next = openat(fd, name, DIRECTORY_FLAGS);
	close(fd);
	return next;
}

int place_find(struct extract *x, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char *copy, *at, *save = NULL;
	size_t length = slash == NULL ? 0 : (size_t)(slash - path);
	int fd;

	*name = slash == NULL ? path : slash + 1;
	if (!path_is_safe(path)) {
		errno = EPERM;
		return -1;
	}
	if (length == 0)
		return x->top;
	if (x->parent >= 0 && strncmp(x->parent_path, path, length) == 0 &&
	    x->parent_path[length] == '\0')
		return x->parent;
	place_forget(x);
	copy = strndup(path, length);
	x->parent_path = strndup(path, length);
	fd = copy == NULL || x->parent_path == NULL ? -1 : dup(x->top);
	if (fd >= 0)
		for (at = strtok_r(copy, "/", &save); at != NULL && fd >= 0;
		     at = strtok_r(NULL, "/", &save))
			fd = step_into(fd, at);
	free(copy);
	x->parent = fd;
	return fd;
}

bool place_clear(struct extract *x, int parent, const char *name,
		 const struct entry *e)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	if (e->type == ENTRY_DIRECTORY && S_ISDIR(st.st_mode))
		return true;
	errno = EEXIST;
	return x->run->arguments->force && unlinkat(parent, name, 0) == 0;
}

/*
 * Contents
 */

static int write_all(int fd, const uint8_t *data, size_t bytes, uint64_t at)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		bytes -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* 0; a reason to stop, which was said; negative: this file cannot be had. */
static int copy_extent(struct extract *x, int fd, const struct extent *part,
		       const char *path)
{
	for (uint64_t done = 0; done < part->length;) {
		const uint8_t *data;
		size_t n = CHUNK;
		int r;

		if (n > part->length - done)
			n = (size_t)(part->length - done);
		r = reader_get(&x->reader, part->on_volume + done, &data, &n);
		if (r != 0)
			return r;
		if (interrupted())
			return STOP_INTERRUPTED;
		if (write_all(fd, data, n, part->in_file + done) != 0) {
			complain("%s: %s", path, strerror(errno));
			return STOP_SAID;
		}
		done += n;
		x->bytes += n;
		progress_add(&x->run->progress, n);
		progress_draw(&x->run->progress);
	}
	return 0;
}

static void set_times(int fd, const char *name, const struct entry *e)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)e->mtime, .tv_nsec = (long)e->mtime_ns}};

	if (name == NULL)
		futimens(fd, times);
	else
		utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Files and directories. Set-id bits only for the owner they were meant for. */
static void set_metadata(struct extract *x, int fd, const struct entry *e)
{
	uint32_t mode = e->mode;

	if (fchown(fd, e->uid, e->gid) != 0)
		mode &= ~(uint32_t)06000;
	if (!xattrs_restore(fd, e))
		warn(x->run, "%s: not all extended attributes could be set",
		     e->path);
	if (fchmod(fd, mode) != 0)
		warn(x->run, "%s: %s", e->path, strerror(errno));
	set_times(fd, NULL, e);
}

static int make_file(struct extract *x, int parent, const char *name,
		     const struct entry *e, const char *path)
{
	int fd = openat(parent, name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)e->size) != 0)
		r = -errno;
	for (uint32_t i = 0; i < e->extent_count && r == 0; i++)
		r = copy_extent(x, fd, &e->extents[i], path);
	if (r == 0)
		set_metadata(x, fd, e);
	close(fd);
	if (r != 0)
		unlinkat(parent, name, 0);
	return r;
}

/* What has no contents. 0 or -errno. */
static int make_node(int parent, const char *name, const struct entry *e)
{
	mode_t mode = (mode_t)e->mode;
	int r;

	switch (e->type) {
	case ENTRY_SYMLINK:
		r = symlinkat(e->target, parent, name);
		break;
	case ENTRY_FIFO:
		r = mkfifoat(parent, name, 0600);
		break;
	default:
		r = mknodat(parent, name,
			    (e->type == ENTRY_CHAR ? S_IFCHR : S_IFBLK) | 0600,
			    (dev_t)e->size);
		break;
	}
	if (r != 0)
		return -errno;
	if (fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) != 0)
		mode &= ~(mode_t)06000;
	if (e->type != ENTRY_SYMLINK && fchmodat(parent, name, mode, 0) != 0)
		return -errno;
	set_times(parent, name, e);
	return 0;
}

static int make_directory(int parent, const char *name)
{
	int r = mkdirat(parent, name, 0700);

	return r == 0 || errno == EEXIST ? 0 : -errno;
}

int restore_link(struct extract *x, const struct entry *other, const char *path)
{
	const char *other_name, *name;
	int parent = place_find(x, other->path, &other_name);
	int from = parent < 0 ? -1 : dup(parent);
	int r = -1;

	if (from >= 0) {
		parent = place_find(x, path, &name);
		if (parent >= 0)
			r = linkat(from, other_name, parent, name, 0);
	}
	r = r == 0 ? 0 : -errno;
	if (from >= 0)
		close(from);
	return r;
}

int restore_entry(struct extract *x, const struct entry *e, const char *path)
{
	const char *name;
	int parent = place_find(x, path, &name);

	if (parent < 0 || !place_clear(x, parent, name, e))
		return -errno;
	switch (e->type) {
	case ENTRY_FILE:
		x->files++;
		return make_file(x, parent, name, e, path);
	case ENTRY_DIRECTORY:
		x->directories++;
		return make_directory(parent, name);
	default:
		x->others++;
		return make_node(parent, name, e);
	}
}

void restore_directories(struct extract *x)
{
	const struct catalogue *c = &x->current;

	for (uint64_t i = c->entry_count; i-- > 0;) {
		const struct entry *e = &c->entries[i];
		const char *name;
		int parent, fd;

		if (e->type != ENTRY_DIRECTORY || x->restored[i] == 0)
			continue;
		parent = place_find(x, e->path, &name);
		fd = parent < 0 ? -1 : openat(parent, name, DIRECTORY_FLAGS);
		if (fd < 0)
			continue;
		set_metadata(x, fd, e);
		close(fd);
	}
}
