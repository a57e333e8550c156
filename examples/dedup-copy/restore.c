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
 * created in them any more; also if the extraction was broken off. One that was
 * there, is ours, and may not be written in is opened up until then.
 */
#include "build.h"

#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/*
 * Places
 */

char *restore_place(const struct extract *x, const struct entry *e)
{
	const struct root *root = &x->current.roots[e->root];
	size_t length = strlen(root->name), size;
	char *path;

	/* an archive that lies: its paths are not those of its roots */
	if (root->place == NULL || strncmp(root->name, e->path, length) != 0)
		return strdup(e->path);
	size = strlen(root->place) + strlen(e->path + length) + 1;
	path = malloc(size);
	if (path != NULL)
		snprintf(path, size, "%s%s", root->place, e->path + length);
	return path;
}

/* Where the trail is, from the top. For the caller to free. */
static char *trail_path(const struct trail *t)
{
	size_t size = 1;
	char *path, *end;

	for (size_t i = 0; i < t->depth; i++)
		size += strlen(t->steps[i].name) + 1;
	path = end = malloc(size);
	if (path == NULL)
		return NULL;
	for (size_t i = 0; i < t->depth; i++)
		end += sprintf(end, "%s%s", i == 0 ? "" : "/",
			       t->steps[i].name);
	return path;
}

/* chmod() of a directory that may not be opened for reading. */
static int change_mode(int fd, mode_t mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode);
}

/* Note the mode of a directory that is opened up. */
static bool note_opened(struct extract *x, const struct stat *st)
{
	struct key key = {(uint64_t)st->st_ino, (uint64_t)st->st_dev};
	size_t n = x->opened_count;
	struct opened *o;
	bool added;

	if (table_get(&x->opened_by, key, n, &added) == NULL)
		return false;
	if (!added)
		return true; /* the mode before counts */
	/* sizes 1, 2, 4, 8, ... */
	if ((n & (n - 1)) == 0) {
		o = realloc(x->opened, (n == 0 ? 1 : 2 * n) * sizeof(*o));
		if (o == NULL)
			return false;
		x->opened = o;
	}
	o = &x->opened[n];
	*o = (struct opened){.path = trail_path(&x->trail),
			     .device = st->st_dev,
			     .inode = st->st_ino,
			     .mode = st->st_mode & 07777};
	if (o->path == NULL)
		return false;
	x->opened_count++;
	return true;
}

/* Access was denied. Is the last directory on the way ours, and does it only
 * not let us in? Then it does now. */
static bool open_up(struct extract *x)
{
	int fd = trail_fd(&x->trail);
	struct stat st;

	if (x->trail.depth == 0 || fd < 0 || fstat(fd, &st) != 0 ||
	    st.st_uid != geteuid() || (st.st_mode & 0700) == 0700)
		return false;
	return note_opened(x, &st) &&
	       change_mode(fd, (st.st_mode & 07777) | 0700) == 0;
}

static int make_parent(void *arg, int parent, const char *name)
{
	(void)arg;
	return mkdirat(parent, name, 0777) == 0 || errno == EEXIST ? 0 : -errno;
}

/* The directory that @path is in, made if it is missing. -1 and errno. */
static int find_place(struct extract *x, const char *path, const char **name)
{
	if (!path_is_safe(path)) {
		errno = EPERM;
		return -1;
	}
	x->trail.make = make_parent;
	return trail_go(&x->trail, path, name);
}

static bool is_volume(const struct extract *x, const struct stat *st)
{
	struct storage s = storage_of(st);

	for (unsigned i = 0; i < x->volume_count; i++)
		if (storage_equal(&s, &x->volume[i]))
			return true;
	return false;
}

/* Is the place free, or can it be made so? 0 or -errno. */
static int clear_place(struct extract *x, int parent, const char *name,
		       const struct entry *e)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (e->type == ENTRY_DIRECTORY && S_ISDIR(st.st_mode))
		return 0;
	if (!x->run->arguments->force)
		return -EEXIST;
	if (is_volume(x, &st))
		return -EBUSY;
	return unlinkat(parent, name, 0) == 0 ? 0 : -errno;
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
		r = reader_get(&x->snapshots.reader, part->on_volume + done,
			       &data, &n);
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

/* Owner and group, or what of them we may. False: not both. */
static bool set_owner(int fd, const char *name, const struct entry *e)
{
	int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);

	if (fchownat(fd, name, e->uid, e->gid, flags) == 0)
		return true;
	if (fchownat(fd, name, (uid_t)-1, e->gid, flags) == 0)
		return e->uid == geteuid();
	return false;
}

/* Files and directories. Set-id bits only for the owner they were meant for. */
static void set_metadata(struct extract *x, int fd, const struct entry *e)
{
	uint32_t mode = e->mode;

	if (!set_owner(fd, "", e))
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
	if (!set_owner(parent, name, e))
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

/* A second name; the first is @from in @from_parent. */
static int make_link(struct extract *x, const struct entry *other,
		     const char *path)
{
	char *other_path = restore_place(x, other);
	const char *other_name, *name;
	int parent, from = -1, r = -ENOMEM;

	if (other_path == NULL)
		return r;
	parent = find_place(x, other_path, &other_name);
	if (parent >= 0)
		from = fcntl(parent, F_DUPFD_CLOEXEC, 0);
	parent = from < 0 ? -1 : find_place(x, path, &name);
	r = parent < 0 ? -errno : clear_place(x, parent, name, other);
	if (r == 0 && linkat(from, other_name, parent, name, 0) != 0)
		r = -errno;
	if (from >= 0)
		close(from);
	free(other_path);
	return r;
}

int restore_link(struct extract *x, const struct entry *other, const char *path)
{
	int r;

	do
		r = make_link(x, other, path);
	while (r == -EACCES && open_up(x));
	if (r == 0)
		x->others++;
	return r;
}

static int make_entry(struct extract *x, const struct entry *e,
		      const char *path)
{
	const char *name;
	int parent = find_place(x, path, &name);
	int r = parent < 0 ? -errno : clear_place(x, parent, name, e);

	if (r != 0)
		return r;
	switch (e->type) {
	case ENTRY_FILE:
		return make_file(x, parent, name, e, path);
	case ENTRY_DIRECTORY:
		return make_directory(parent, name);
	default:
		return make_node(parent, name, e);
	}
}

int restore_entry(struct extract *x, const struct entry *e, const char *path)
{
	int r;

	do
		r = make_entry(x, e, path);
	while (r == -EACCES && open_up(x));
	if (r == 0 && e->type == ENTRY_FILE)
		x->files++;
	else if (r == 0 && e->type == ENTRY_DIRECTORY)
		x->directories++;
	else if (r == 0)
		x->others++;
	return r;
}

/*
 * At the end
 */

/* Open a directory that may not let us read it. -1 and errno. */
static int open_directory(int parent, const char *name)
{
	int fd = openat(parent, name, DIRECTORY_FLAGS), path;
	struct stat st;

	if (fd >= 0 || errno != EACCES)
		return fd;
	path = openat(parent, name,
		      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (path < 0)
		return -1;
	if (fstat(path, &st) == 0 && st.st_uid == geteuid() &&
	    change_mode(path, (st.st_mode & 07777) | 0700) == 0)
		fd = openat(path, ".", DIRECTORY_FLAGS);
	close(path);
	return fd;
}

static int finish_directory(struct extract *x, const struct entry *e,
			    const char *path)
{
	const char *name;
	int parent, fd = -1;
	struct stat st;
	uint64_t *number;

	do {
		parent = find_place(x, path, &name);
		fd = parent < 0 ? -1 : open_directory(parent, name);
	} while (fd < 0 && errno == EACCES && open_up(x));
	if (fd < 0)
		return -errno;
	set_metadata(x, fd, e);
	if (fstat(fd, &st) == 0) {
		struct key key = {(uint64_t)st.st_ino, (uint64_t)st.st_dev};

		number = table_find(&x->opened_by, key);
		if (number != NULL)
			x->opened[*number].done = true;
	}
	close(fd);
	return 0;
}

/* Give a directory that was opened up its mode back. */
static void close_up(struct extract *x, const struct opened *o)
{
	const char *name;
	struct stat st;
	int parent = find_place(x, o->path, &name), fd = -1;

	if (parent >= 0)
		fd = openat(parent, name,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_dev != o->device ||
	    st.st_ino != o->inode || change_mode(fd, o->mode) != 0)
		warn(x->run,
		     "%s: its mode was %04o, and could not be set "
		     "again",
		     o->path, (unsigned)o->mode);
	if (fd >= 0)
		close(fd);
}

void restore_directories(struct extract *x)
{
	const struct catalogue *c = &x->current;

	for (uint64_t i = c->entry_count; i-- > 0;) {
		const struct entry *e = &c->entries[i];
		char *path;
		int r;

		if (e->type != ENTRY_DIRECTORY || x->restored[i] == 0)
			continue;
		path = restore_place(x, e);
		r = path == NULL ? -ENOMEM : finish_directory(x, e, path);
		if (r != 0)
			warn(x->run,
			     "%s: its mode and time could not be set: "
			     "%s",
			     e->path, strerror(-r));
		free(path);
	}
	for (size_t i = x->opened_count; i-- > 0;) {
		if (!x->opened[i].done)
			close_up(x, &x->opened[i]);
		free(x->opened[i].path);
	}
	free(x->opened);
	x->opened = NULL;
	x->opened_count = 0;
	table_fini(&x->opened_by);
}
