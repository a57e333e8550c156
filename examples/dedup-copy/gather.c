/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of the catalogue, from what the walk finds.
 *
 * What was looked at is opened, and must be the same file then. All that the
 * entry has, and its contents, come from that descriptor.
 */
#include "build.h"

#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * Entries
 */

static enum entry_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIRECTORY;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	case S_IFIFO:
		return ENTRY_FIFO;
	case S_IFCHR:
		return ENTRY_CHAR;
	default:
		return ENTRY_BLOCK;
	}
}

/* When the inode was made, where the file system knows: a number that is
 * used again is another file. 0: not known. */
static struct timespec birth(const struct found *f)
{
	struct timespec born = {0};
	struct statx x;

	if (statx(f->parent, f->name, AT_SYMLINK_NOFOLLOW,
		  STATX_BTIME | STATX_INO, &x) == 0 &&
	    (x.stx_mask & STATX_BTIME) != 0 && x.stx_ino == f->st.st_ino &&
	    makedev(x.stx_dev_major, x.stx_dev_minor) == f->st.st_dev) {
		born.tv_sec = (time_t)x.stx_btime.tv_sec;
		born.tv_nsec = (long)x.stx_btime.tv_nsec;
	}
	return born;
}

/* A new entry for what was found, with what @st says. NULL: out of memory. */
static struct entry *add_entry(struct store *s, const struct found *f,
			       const struct stat *st)
{
	struct catalogue *c = &s->catalogue;
	struct entry *e = catalogue_add(c);

	if (e == NULL)
		return NULL;
	e->type = type_of(st->st_mode);
	e->root = f->root;
	e->mode = st->st_mode & 07777;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->mtime = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	e->from.device = st->st_dev;
	e->from.inode = st->st_ino;
	e->from.links = st->st_nlink;
	e->from.changed = st->st_ctim;
	if (e->type == ENTRY_FILE)
		e->size = (uint64_t)st->st_size;
	else if (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK)
		e->size = (uint64_t)st->st_rdev;
	e->path = strdup(f->path);
	if (e->path != NULL)
		return e;
	catalogue_drop_last(c);
	return NULL;
}

/* The last entry stays. */
static int keep_entry(struct store *s)
{
	struct catalogue *c = &s->catalogue;
	const struct entry *e = &c->entries[c->entry_count - 1];
	struct root *root = &c->roots[e->root];

	root->snapshot = c->number;
	root->catalogue = 0; /* this one */
	if (e->type == ENTRY_DIRECTORY)
		s->plan.directories++;
	else if (e->type == ENTRY_FILE)
		s->plan.files++;
	else
		s->plan.others++;
	if (e->type == ENTRY_FILE)
		c->file_bytes += e->size;
	return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/*
 * Hard links. The first name of an inode that is stored counts; further ones
 * become links to it.
 */

/* Is it the file that was stored as @first, and still with these contents? */
static bool is_same_file(struct store *s, const struct found *f,
			 const struct entry *first, struct timespec born)
{
	bool known = born.tv_sec != 0 || born.tv_nsec != 0;
	bool as_it_was =
		first->type == type_of(f->st.st_mode) &&
		first->mtime == f->st.st_mtim.tv_sec &&
		first->mtime_ns == (uint32_t)f->st.st_mtim.tv_nsec &&
		(first->type != ENTRY_FILE ||
		 first->size == (uint64_t)f->st.st_size);

	if (as_it_was || !known)
		return as_it_was && same_time(born, first->from.born);
	if (!same_time(born, first->from.born))
		return false;
	warn(s->run, "%s: changed after it was stored as %s", f->source,
	     first->path);
	return true;
}

/* Make what was found a link to @number. */
static int add_link(struct store *s, const struct found *f, uint64_t number)
{
	struct entry *e = add_entry(s, f, &f->st);

	if (e == NULL)
		return -ENOMEM;
	e->type = ENTRY_HARDLINK;
	e->size = 0;
	e->link = number;
	return keep_entry(s);
}

/* Has it been stored under another name? Then that is all. 0: no. 1: yes. */
static int find_link(struct store *s, const struct found *f,
		     struct timespec *born)
{
	/* never 0, 0: inode numbers are not 0 */
	struct key key = {(uint64_t)f->st.st_ino, (uint64_t)f->st.st_dev};
	const uint64_t *first;
	int r;

	*born = (struct timespec){0};
	if (f->st.st_nlink < 2)
		return 0;
	*born = birth(f);
	first = table_find(&s->inodes, key);
	if (first == NULL ||
	    !is_same_file(s, f, &s->catalogue.entries[*first], *born))
		return 0;
	r = add_link(s, f, *first);
	return r == 0 ? 1 : r;
}

/* The last entry is the first name of its inode. */
static int remember_inode(struct store *s, const struct found *f,
			  struct timespec born)
{
	struct key key = {(uint64_t)f->st.st_ino, (uint64_t)f->st.st_dev};
	uint64_t number = s->catalogue.entry_count - 1, *value;
	bool added;

	s->catalogue.entries[number].from.born = born;
	if (f->st.st_nlink < 2)
		return 0;
	value = table_get(&s->inodes, key, number, &added);
	if (value == NULL)
		return -ENOMEM;
	*value = number;
	return 0;
}

/*
 * What was found
 */

/* Open it as @flags say; it must be what was looked at. -1: it is not, or errno
 * is not 0. */
static int open_found(const struct found *f, int flags, struct stat *st)
{
	int fd = openat(f->parent, f->name,
			flags | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, st) == 0 && st->st_dev == f->st.st_dev &&
	    st->st_ino == f->st.st_ino &&
	    (st->st_mode & S_IFMT) == (f->st.st_mode & S_IFMT))
		return fd;
	if (fd >= 0) {
		close(fd);
		errno = 0;
	} else if (errno == ENOENT || errno == ELOOP || errno == ENXIO) {
		errno = 0; /* look again */
	}
	return -1;
}

/* Did it stay as it was while it was read? A new or lost name does not count. */
static bool is_unchanged(const struct stat *before, int fd)
{
	struct stat after;

	return fstat(fd, &after) == 0 && before->st_size == after.st_size &&
	       before->st_mode == after.st_mode &&
	       before->st_uid == after.st_uid &&
	       before->st_gid == after.st_gid &&
	       same_time(before->st_mtim, after.st_mtim) &&
	       (before->st_nlink != after.st_nlink ||
		same_time(before->st_ctim, after.st_ctim));
}

static int store_contents(struct store *s, const struct found *f, int fd,
			  const struct stat *st, struct timespec born)
{
	struct entry *e = add_entry(s, f, st);
	bool gone = false;
	int r;

	if (e == NULL)
		return -ENOMEM;
	xattrs_load(fd, e);
	r = contents_copy(s, fd, f->source, e, &gone);
	if (r != 0)
		return r;
	if (gone) {
		catalogue_drop_last(&s->catalogue);
		return 0;
	}
	if (!is_unchanged(st, fd) || e->size != (uint64_t)st->st_size)
		warn(s->run, "%s: changed while it was read", f->source);
	r = remember_inode(s, f, born);
	return r == 0 ? keep_entry(s) : r;
}

static int store_file(struct store *s, const struct found *f,
		      struct timespec born)
{
	struct stat st;
	int fd = open_found(f, O_RDONLY | O_NONBLOCK, &st), r;

	if (fd < 0 && errno == 0)
		return WALK_AGAIN;
	if (fd < 0) {
		warn(s->run, "%s: %s; it is left out", f->source,
		     strerror(errno));
		return 0;
	}
	r = store_contents(s, f, fd, &st, born);
	close(fd);
	return r;
}

static char *read_target(int fd, const struct stat *st)
{
	size_t size = st->st_size > 0 ? (size_t)st->st_size + 1 : PATH_MAX;
	char *target = malloc(size);
	ssize_t n = target == NULL ? -1 : readlinkat(fd, "", target, size);

	if (n < 0 || (size_t)n == size) {
		free(target);
		return NULL;
	}
	target[n] = '\0';
	return target;
}

/* What has no contents: symbolic links, FIFOs and devices. */
static int store_node(struct store *s, const struct found *f,
		      struct timespec born)
{
	struct stat st;
	int fd = open_found(f, O_PATH, &st), r = 0;
	struct entry *e;

	if (fd < 0 && errno == 0)
		return WALK_AGAIN;
	e = fd < 0 ? NULL : add_entry(s, f, &st);
	if (e == NULL)
		r = -ENOMEM;
	else if (e->type == ENTRY_SYMLINK &&
		 (e->target = read_target(fd, &st)) == NULL)
		r = -errno;
	if (e != NULL && r != 0)
		catalogue_drop_last(&s->catalogue);
	if (fd >= 0)
		close(fd);
	else
		r = -errno;
	if (r == 0)
		r = remember_inode(s, f, born);
	if (r == 0)
		return keep_entry(s);
	if (r == -ENOMEM)
		return r;
	warn(s->run, "%s: %s", f->source, strerror(-r));
	return 0;
}

static int store_other(void *arg, const struct found *f)
{
	struct store *s = arg;
	struct timespec born;
	int r = find_link(s, f, &born);

	if (r != 0)
		return r > 0 ? 0 : r;
	if (S_ISREG(f->st.st_mode))
		return store_file(s, f, born);
	return store_node(s, f, born);
}

static int store_directory(void *arg, const struct found *f, int fd)
{
	struct store *s = arg;
	struct entry *e = add_entry(s, f, &f->st);

	if (e == NULL)
		return -ENOMEM;
	if (fd >= 0)
		xattrs_load(fd, e);
	return keep_entry(s);
}

const struct walk_ops gather_ops = {.other = store_other,
				    .directory = store_directory};
