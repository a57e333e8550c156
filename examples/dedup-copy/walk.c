/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is to store.
 *
 * The list of entries is its own queue: a directory that comes up is read, and
 * what is in it goes to the end of the list, sorted. So directories come before
 * their contents, and no recursion is needed.
 */
#include "build.h"

#include "dedup-copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

struct walk {
	struct run *run;
	struct plan *plan;
	struct table inodes; /* of files with more than one link */
	struct stat volume;  /* never stored into itself */
	bool volume_exists;
};

char *entry_source(const struct catalogue *c, const struct entry *e)
{
	const struct root *root = &c->roots[e->root];
	const char *rest = e->path + strlen(root->name);
	size_t size = strlen(root->origin) + strlen(rest) + 2;
	char *path = malloc(size);

	if (path != NULL)
		snprintf(path, size, "%s%s", root->origin, rest);
	if (path != NULL && path[0] == '\0')
		strcpy(path, "/");
	return path;
}

bool next_data(int fd, uint64_t from, uint64_t size, struct extent *extent)
{
	off_t data, hole;

	if (from >= size)
		return false;
	data = lseek(fd, (off_t)from, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (data < 0 || hole < 0) {
		data = (off_t)from; /* cannot tell: all is data */
		hole = (off_t)size;
	}
	if ((uint64_t)data >= size)
		return false;
	extent->in_file = (uint64_t)data - (uint64_t)data % BLOCK;
	if (extent->in_file < from)
		extent->in_file = from;
	/* whole blocks, or up to the end of the file */
	extent->length = (uint64_t)hole - extent->in_file;
	extent->length += -extent->length % BLOCK;
	if (extent->length > size - extent->in_file)
		extent->length = size - extent->in_file;
	return true;
}

static char *read_target(const char *path, const struct stat *st)
{
	size_t size = st->st_size > 0 ? (size_t)st->st_size + 1 : PATH_MAX;
	char *target = malloc(size);
	ssize_t n = target == NULL ? -1 : readlink(path, target, size);

	if (n < 0 || (size_t)n == size) {
		free(target);
		return NULL;
	}
	target[n] = '\0';
	return target;
}

/* Has the same file come up before? Then @e becomes a hard link to it. */
static int find_link(struct walk *w, struct entry *e, const struct stat *st,
		     uint64_t number)
{
	/* never 0, 0: inode numbers are not 0 */
	struct key key = {(uint64_t)st->st_ino, (uint64_t)st->st_dev};
	uint64_t *first;
	bool added;

	if (st->st_nlink < 2)
		return 0;
	first = table_get(&w->inodes, key, number, &added);
	if (first == NULL)
		return -ENOMEM;
	if (!added) {
		e->type = ENTRY_HARDLINK;
		e->link = *first;
	}
	return 0;
}

static void count(struct plan *plan, const struct entry *e,
		  const struct stat *st)
{
	uint64_t there = (uint64_t)st->st_blocks * 512;

	if (e->type == ENTRY_DIRECTORY) {
		plan->directories++;
	} else if (e->type == ENTRY_FILE) {
		plan->files++;
		plan->catalogue->file_bytes += e->size;
		/* st_blocks is little where the file system compresses */
		plan->bytes += there < e->size / 8 || there > e->size
				       ? e->size + -e->size % BLOCK
				       : there + -there % BLOCK;
	} else {
		plan->others++;
	}
}

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
	case S_IFBLK:
		return ENTRY_BLOCK;
	default:
		return 0;
	}
}

/* Fill an entry from the file it stands for. */
static int describe(struct walk *w, struct entry *e, const char *path,
		    const struct stat *st, uint64_t number)
{
	e->mode = st->st_mode & 07777;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->mtime = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	if (e->type == ENTRY_FILE)
		e->size = (uint64_t)st->st_size;
	else if (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK)
		e->size = (uint64_t)st->st_rdev;
	if (e->type != ENTRY_DIRECTORY) {
		int r = find_link(w, e, st, number);

		if (r != 0)
			return r;
	}
	if (e->type == ENTRY_HARDLINK)
		e->size = 0;
	if (e->type == ENTRY_SYMLINK) {
		e->target = read_target(path, st);
		if (e->target == NULL)
			return -errno;
	}
	if (e->type == ENTRY_FILE || e->type == ENTRY_DIRECTORY)
		xattrs_load(path, e);
	count(w->plan, e, st);
	return 0;
}

/*
 * Add what is at @path. @name is the path inside of the archive; taken over. A
 * file that cannot be stored gives a warning only.
 */
static int add(struct walk *w, const char *path, char *name, uint32_t root)
{
	struct catalogue *c = w->plan->catalogue;
	struct entry *e;
	struct stat st;
	int r = 0;

	if (name == NULL)
		return -ENOMEM;
	if (lstat(path, &st) != 0) {
		warn(w->run, "%s: %s", path, strerror(errno));
	} else if (type_of(st.st_mode) == 0) {
		complain("%s: sockets are not stored", path);
	} else if (w->volume_exists && st.st_dev == w->volume.st_dev &&
		   st.st_ino == w->volume.st_ino) {
		complain("%s: this is the volume, it is left out", path);
	} else {
		e = catalogue_add(c);
		if (e == NULL) {
			free(name);
			return -ENOMEM;
		}
		e->type = type_of(st.st_mode);
		e->root = root;
		e->path = name;
		r = describe(w, e, path, &st, c->entry_count - 1);
		if (r == 0 || r == -ENOMEM)
			return r;
		warn(w->run, "%s: %s", path, strerror(-r));
		free(e->target);
		free(e->xattrs);
		c->entry_count--;
		r = 0;
	}
	free(name);
	return r;
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static char *join(const char *a, const char *b)
{
	size_t size = strlen(a) + strlen(b) + 2;
	char *path = malloc(size);
	const char *slash = size > 2 && a[strlen(a) - 1] == '/' ? "" : "/";

	if (path != NULL)
		snprintf(path, size, "%s%s%s", a, slash, b);
	return path;
}

static int add_contents(struct walk *w, uint64_t directory)
{
	const struct catalogue *c = w->plan->catalogue;
	const struct entry *e = &c->entries[directory];
	char *path = entry_source(c, e);
	uint32_t root = e->root;
	struct dirent **names;
	int n, r = 0;

	if (path == NULL)
		return -ENOMEM;
	n = scandir(path, &names, not_dots, by_bytes);
	if (n < 0)
		warn(w->run, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *below = r == 0 ? join(path, names[i]->d_name) : NULL;

		if (below != NULL) /* add() may move the entries */
			r = add(w, below,
				join(c->entries[directory].path,
				     names[i]->d_name),
				root);
		else if (r == 0)
			r = -ENOMEM;
		free(below);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	free(path);
	return r;
}

/* The absolute path of a source, symbolic links in its last component kept. */
static char *origin_of(const char *source)
{
	const char *slash = strrchr(source, '/');
	const char *last = slash == NULL ? source : slash + 1;
	char *parent, *real, *path = NULL;

	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return realpath(source, NULL);
	if (slash == NULL)
		parent = strdup(".");
	else if (slash == source)
		parent = strdup("/");
	else
		parent = strndup(source, (size_t)(slash - source));
	real = parent == NULL ? NULL : realpath(parent, NULL);
	if (real != NULL)
		path = join(real, last);
	free(parent);
	free(real);
	return path;
}

static int add_source(struct walk *w, const char *source)
{
	struct catalogue *c = w->plan->catalogue;
	char *origin = origin_of(source);
	const char *name;
	struct stat st;
	int64_t root;
	int r = 0;

	if (origin == NULL || lstat(origin, &st) != 0) {
		warn(w->run, "%s: %s", source, strerror(errno));
		free(origin);
		return 0;
	}
	name = strrchr(origin, '/') + 1;
	if (*name == '\0') {
		name = "root";
		origin[0] = '\0';
	}
	root = catalogue_root(c, name, origin);
	if (root < 0) {
		r = (int)root;
	} else if (c->roots[root].snapshot == c->number) {
		warn(w->run, "%s: is given twice", source);
	} else {
		uint64_t before = c->entry_count;

		r = add(w, origin[0] == '\0' ? "/" : origin,
			strdup(c->roots[root].name), (uint32_t)root);
		if (c->entry_count > before) {
			c->roots[root].snapshot = c->number;
			c->roots[root].catalogue = 0; /* this one */
		}
	}
	free(origin);
	return r;
}

int walk_sources(struct run *run, struct plan *plan)
{
	const struct arguments *a = run->arguments;
	struct walk w = {.run = run, .plan = plan};
	struct catalogue *c = plan->catalogue;
	int r = 0;

	w.volume_exists = stat(a->volume, &w.volume) == 0;
	for (int i = 0; i < a->name_count && r == 0; i++)
		r = add_source(&w, a->names[i]);
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++) {
		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (c->entries[i].type == ENTRY_DIRECTORY)
			r = add_contents(&w, i);
	}
	table_fini(&w.inodes);
	return r;
}
