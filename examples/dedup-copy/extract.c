/*
 * Bringing files back.
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
#include "config.h"

#include "dedup-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct extract {
	struct run *run;
	struct container box;
	struct reader reader;
	struct catalogue newest; /* its roots say which catalogue counts */
	struct catalogue current;
	uint64_t *restored; /* per entry: 1 + entry it was made as */
	bool *matched;	    /* per name on the command line */
	int top;	    /* the directory of the user */
	int parent;	    /* last one used, or -1 */
	char *parent_path;
	uint64_t files, directories, others, bytes;
};

/*
 * Which entries
 */

static bool matches_names(struct extract *x, const struct entry *e)
{
	const struct arguments *a = x->run->arguments;
	bool found = a->name_count == 0;

	for (int i = 0; i < a->name_count; i++) {
		size_t n = strlen(a->names[i]);

		while (n > 0 && a->names[i][n - 1] == '/')
			n--;
		if (strncmp(a->names[i], e->path, n) == 0 &&
		    (e->path[n] == '\0' || e->path[n] == '/')) {
			x->matched[i] = true;
			found = true;
		}
	}
	return found;
}

/* Lists of roots only grow, so numbers mean the same in each catalogue. */
static bool is_wanted(struct extract *x, const struct entry *e)
{
	if (x->run->arguments->snapshot == 0 &&
	    (e->root >= x->newest.root_count ||
	     x->newest.roots[e->root].catalogue != x->current.place))
		return false;
	return matches_names(x, e);
}

/*
 * Places
 */

static void forget_parent(struct extract *x)
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

/*
 * The directory that @path is in, and its name there. -1: refused or failed,
 * see errno. The descriptor stays valid until the next call.
 */
static int parent_of(struct extract *x, const char *path, const char **name)
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
	forget_parent(x);
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

/* Is the place free, or can it be made so? */
static bool make_way(struct extract *x, int parent, const char *name,
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

/* A second name for what was restored as @other. */
static int make_link(struct extract *x, const struct entry *other,
		     const char *path)
{
	const char *other_name, *name;
	int parent = parent_of(x, other->path, &other_name);
	int from = parent < 0 ? -1 : dup(parent);
	int r = -1;

	if (from >= 0) {
		parent = parent_of(x, path, &name);
		if (parent >= 0)
			r = linkat(from, other_name, parent, name, 0);
	}
	r = r == 0 ? 0 : -errno;
	if (from >= 0)
		close(from);
	return r;
}

/* Create entry @e under @path, which is that of a hard link at times. */
static int make_entry(struct extract *x, const struct entry *e,
		      const char *path)
{
	const char *name;
	int parent = parent_of(x, path, &name);

	if (parent < 0 || !make_way(x, parent, name, e))
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

static int restore(struct extract *x, uint64_t number)
{
	const struct entry *e = &x->current.entries[number], *first = e;
	uint64_t key = number;
	int r;

	if (e->type == ENTRY_HARDLINK) {
		key = e->link;
		first = &x->current.entries[key];
	}
	if (e->type == ENTRY_HARDLINK && x->restored[key] != 0) {
		const char *name;
		int parent = parent_of(x, e->path, &name);

		x->others++;
		r = parent < 0 || !make_way(x, parent, name, e)
			    ? -errno
			    : make_link(
				      x,
				      &x->current.entries[x->restored[key] - 1],
				      e->path);
	} else {
		r = make_entry(x, first, e->path);
		if (r == 0)
			x->restored[key] = number + 1;
	}
	if (r >= 0)
		return r;
	if (r == -EEXIST)
		warn(x->run, "%s: is there already; --force replaces files",
		     e->path);
	else if (r == -EPERM && !path_is_safe(e->path))
		warn(x->run, "%s: leads out of the directory; refused",
		     e->path);
	else
		warn(x->run, "%s: %s", e->path, vdo_strerror(r));
	return 0;
}

static void finish_directories(struct extract *x)
{
	const struct catalogue *c = &x->current;

	for (uint64_t i = c->entry_count; i-- > 0;) {
		const struct entry *e = &c->entries[i];
		const char *name;
		int parent, fd;

		if (e->type != ENTRY_DIRECTORY || x->restored[i] == 0)
			continue;
		parent = parent_of(x, e->path, &name);
		fd = parent < 0 ? -1 : openat(parent, name, DIRECTORY_FLAGS);
		if (fd < 0)
			continue;
		set_metadata(x, fd, e);
		close(fd);
	}
}

/* All that is wanted of the catalogue at @place. */
static int extract_catalogue(struct extract *x, uint64_t place)
{
	struct catalogue *c = &x->current;
	uint64_t total = 0;
	int r = catalogue_read(c, &x->reader, place);

	if (r == 0) {
		x->restored = calloc((size_t)c->entry_count + 1,
				     sizeof(*x->restored));
		if (x->restored == NULL)
			r = -ENOMEM;
	}
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++)
		if (is_wanted(x, &c->entries[i]))
			for (uint32_t k = 0; k < c->entries[i].extent_count;
			     k++)
				total += c->entries[i].extents[k].length;
	progress_begin(x->run, "extracting", total);
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++) {
		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (is_wanted(x, &c->entries[i]))
			r = restore(x, i);
	}
	progress_end(&x->run->progress);
	if (r == 0)
		finish_directories(x);
	forget_parent(x);
	free(x->restored);
	x->restored = NULL;
	catalogue_fini(c);
	return r;
}

static int find_snapshot(struct extract *x, uint32_t number, uint64_t *place)
{
	struct catalogue c;

	for (*place = x->box.catalogue; *place != 0; *place = c.previous) {
		int r = catalogue_read_header(&c, &x->reader, *place);

		if (r != 0)
			return r;
		if (c.number == number)
			return 0;
	}
	complain("%s: there is no snapshot %u", x->run->arguments->volume,
		 (unsigned)number);
	return STOP_SAID;
}

/* Each catalogue that has the newest state of some root, once. */
static int extract_newest(struct extract *x)
{
	int r = catalogue_read(&x->newest, &x->reader, x->box.catalogue);

	for (uint32_t i = 0; i < x->newest.root_count && r == 0; i++) {
		uint64_t place = x->newest.roots[i].catalogue;
		uint32_t k = 0;

		while (x->newest.roots[k].catalogue != place)
			k++;
		if (k == i)
			r = extract_catalogue(x, place);
	}
	return r;
}

static int extract_all(struct extract *x)
{
	const struct arguments *a = x->run->arguments;
	uint64_t place;
	int r;

	if (mkdir(a->directory, 0777) != 0 && errno != EEXIST)
		x->top = -1;
	else
		x->top = open(a->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->top < 0) {
		complain("%s: %s", a->directory, strerror(errno));
		return STOP_SAID;
	}
	x->matched = calloc((size_t)a->name_count + 1, sizeof(*x->matched));
	if (x->matched == NULL)
		return -ENOMEM;
	if (a->snapshot == 0) {
		r = extract_newest(x);
	} else {
		r = find_snapshot(x, a->snapshot, &place);
		if (r == 0)
			r = extract_catalogue(x, place);
	}
	for (int i = 0; i < a->name_count && r == 0; i++)
		if (!x->matched[i])
			warn(x->run, "%s: is not in the archive", a->names[i]);
	return r;
}

static void print_result(const struct extract *x)
{
	struct json j = {.file = stdout};
	char size[SIZE_TEXT];

	if (!x->run->arguments->json) {
		printf("%llu files, %llu directories, %llu others, %s\n",
		       (unsigned long long)x->files,
		       (unsigned long long)x->directories,
		       (unsigned long long)x->others,
		       size_text(size, x->bytes));
		return;
	}
	json_begin(&j, NULL, '{');
	json_number(&j, "files", x->files);
	json_number(&j, "directories", x->directories);
	json_number(&j, "others", x->others);
	json_number(&j, "bytes", x->bytes);
	json_bool(&j, "warnings", x->run->warned);
	json_end(&j, '}');
}

int extract_run(struct run *run)
{
	struct extract x = {.run = run, .top = -1, .parent = -1};
	int r = target_open(run, true), status;

	if (r == 0)
		r = target_load(run, &x.box, false);
	if (r == 0)
		r = reader_init(&x.reader, run->volume, run->arguments->polled,
				x.box.end);
	if (r == 0)
		r = extract_all(&x);
	if (r == 0)
		print_result(&x);
	status = run_end(run, "read it", r);
	reader_fini(&x.reader);
	target_close(run);
	catalogue_fini(&x.newest);
	free(x.matched);
	if (x.top >= 0)
		close(x.top);
	return status;
}
