/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trail leads to the directory at hand; a level for each directory that is
 * not done has the names in it. Nothing recurses.
 *
 * A name is looked at first and opened then. If it is another thing by then, it
 * is looked at once more, a few times at most.
 */
#include "build.h"

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 4u

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A warning, unless only sums are wanted. */
#define say(w, ...)                                                            \
	do {                                                                   \
		if (!(w)->quiet)                                               \
			warn((w)->run, __VA_ARGS__);                           \
	} while (0)

/*
 * Paths
 */

static bool path_set(struct path *p, size_t length, const char *more)
{
	size_t n = strlen(more);

	if (length + n + 1 > p->max) {
		size_t max = 2 * (length + n) + 256;
		char *text = realloc(p->text, max);

		if (text == NULL)
			return false;
		p->text = text;
		p->max = max;
	}
	memcpy(p->text + length, more, n + 1);
	p->length = length + n;
	return true;
}

/* Cut to @length bytes, and "/name" after them. */
static bool path_step(struct path *p, size_t length, const char *name)
{
	return path_set(p, length, "/") && path_set(p, length + 1, name);
}

static void path_cut(struct path *p, size_t length)
{
	p->length = length;
	p->text[length] = '\0';
}

/*
 * Levels
 */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(struct level *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->names[i]);
	free(l->names);
}

static bool add_name(struct level *l, const char *name)
{
	/* sizes 1, 2, 4, 8, ... */
	if ((l->count & (l->count - 1)) == 0) {
		size_t max = l->count == 0 ? 1 : 2 * l->count;
		char **names = realloc(l->names, max * sizeof(*names));

		if (names == NULL)
			return false;
		l->names = names;
	}
	l->names[l->count] = strdup(name);
	return l->names[l->count] != NULL && ++l->count > 0;
}

/* Read all names in the directory at @fd, sorted; @fd is closed. */
static int read_names(struct level *l, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (dir == NULL) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0) {
		errno = 0;
		d = readdir(dir);
		if (d == NULL)
			break;
		if (strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0 && !add_name(l, d->d_name))
			errno = ENOMEM;
		r = -errno;
	}
	if (r == 0)
		r = -errno;
	closedir(dir);
	if (l->count > 0)
		qsort(l->names, l->count, sizeof(*l->names), by_bytes);
	return r;
}

/* A level for the directory at the end of the trail. @fd is closed; -1: its
 * contents cannot be had. */
static int push_level(struct walk *w, int fd, const struct stat *st)
{
	struct level *l;
	int r = 0;

	if (w->depth == w->depth_max) {
		size_t max = 2 * w->depth_max + 64;

		l = realloc(w->levels, max * sizeof(*l));
		if (l == NULL) {
			if (fd >= 0)
				close(fd);
			return -ENOMEM;
		}
		w->levels = l;
		w->depth_max = max;
	}
	l = &w->levels[w->depth++];
	*l = (struct level){.path_length = w->path.length,
			    .source_length = w->source.length,
			    .before = *st};
	if (fd >= 0)
		r = read_names(l, fd);
	if (r != 0 && r != -ENOMEM) {
		say(w, "%s: %s", w->source.text, strerror(-r));
		r = 0;
	}
	return r;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void pop_level(struct walk *w)
{
	struct level *l = &w->levels[--w->depth];
	struct stat st;
	int fd = trail_fd(&w->trail);

	path_cut(&w->path, l->path_length);
	path_cut(&w->source, l->source_length);
	if (fd < 0 || fstat(fd, &st) != 0 ||
	    !same_time(st.st_mtim, l->before.st_mtim) ||
	    !same_time(st.st_ctim, l->before.st_ctim))
		say(w, "%s: changed while it was read", w->source.text);
	free_names(l);
	if (trail_leave(&w->trail) == 0 || w->depth == 0)
		return;
	/* nobody knows where it is now */
	l--;
	path_cut(&w->source, l->source_length);
	if (l->next < l->count)
		say(w,
		    "%s: was moved or replaced while it was read; the rest "
		    "of it is left out",
		    w->source.text);
	l->next = l->count;
}

/*
 * What is found
 */

static bool is_volume(const struct walk *w, const struct stat *st)
{
	struct storage s = storage_of(st);

	for (unsigned i = 0; i < w->volume_count; i++)
		if (storage_equal(&s, &w->volume[i]))
			return true;
	return false;
}

static int visit_directory(struct walk *w, struct found *f)
{
	int r = trail_enter(&w->trail, f->name), fd;

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ENOMEM)
		return r == -ENOMEM ? r : WALK_AGAIN;
	if (r == 0 && fstat(trail_fd(&w->trail), &f->st) != 0) {
		r = -errno;
		trail_leave(&w->trail);
	}
	if (r != 0) {
		say(w, "%s: %s", f->source, strerror(-r));
		return 0;
	}
	fd = openat(trail_fd(&w->trail), ".", DIRECTORY_FLAGS);
	if (fd < 0)
		say(w, "%s: %s", f->source, strerror(errno));
	r = w->ops->directory(w->arg, f, fd);
	if (r == 0)
		return push_level(w, fd, &f->st);
	if (fd >= 0)
		close(fd);
	trail_leave(&w->trail);
	return r;
}

static int visit_once(struct walk *w, const char *name)
{
	struct found f = {
		.parent = trail_fd(&w->trail),
		.name = name,
		.path = w->path.text,
		.source = w->source.text,
		.root = w->root,
	};

	if (f.parent < 0 ||
	    fstatat(f.parent, name, &f.st, AT_SYMLINK_NOFOLLOW) != 0) {
		say(w, "%s: %s", f.source,
		    errno == ESTALE ? "was moved or replaced"
				    : strerror(errno));
		return 0;
	}
	if (S_ISSOCK(f.st.st_mode)) {
		if (!w->quiet)
			complain("%s: sockets are not stored", f.source);
		return 0;
	}
	if (is_volume(w, &f.st)) {
		w->met_volume = true;
		if (!w->quiet)
			complain("%s: this is the volume, it is left out",
				 f.source);
		return 0;
	}
	if (S_ISDIR(f.st.st_mode))
		return visit_directory(w, &f);
	return w->ops->other(w->arg, &f);
}

static int visit(struct walk *w, const char *name)
{
	for (unsigned i = 0; i < TRIES; i++) {
		int r = interrupted() ? STOP_INTERRUPTED : visit_once(w, name);

		if (r != WALK_AGAIN)
			return r;
	}
	say(w, "%s: changes all the time; it is left out", w->source.text);
	return 0;
}

/* All that is below the directory at hand, and leave it. */
static int descend(struct walk *w)
{
	int r = 0;

	while (r == 0 && w->depth > 0) {
		struct level *l = &w->levels[w->depth - 1];
		const char *name;

		if (l->next == l->count) {
			pop_level(w);
			continue;
		}
		name = l->names[l->next++];
		if (path_step(&w->path, l->path_length, name) &&
		    path_step(&w->source, l->source_length, name))
			r = visit(w, name);
		else
			r = -ENOMEM;
	}
	return r;
}

/*
 * Sources
 */

/* Is the last component a name? Of "a/", "." and "b/.." it is not. */
static bool has_name(const char *source)
{
	const char *slash = strrchr(source, '/');
	const char *last = slash == NULL ? source : slash + 1;

	return *last != '\0' && strcmp(last, ".") != 0 &&
	       strcmp(last, "..") != 0;
}

/* What the last component is in. For the caller to free. */
static char *parent_of(const char *source)
{
	const char *slash = strrchr(source, '/');

	if (slash == NULL)
		return strdup(".");
	return strndup(source, slash == source ? 1 : (size_t)(slash - source));
}

char *walk_origin(const char *source)
{
	char *parent, *real, *origin = NULL;

	if (!has_name(source))
		return realpath(source, NULL);
	parent = parent_of(source);
	real = parent == NULL ? NULL : realpath(parent, NULL);
	if (real != NULL) {
		const char *slash = strrchr(source, '/');
		const char *last = slash == NULL ? source : slash + 1;
		size_t size = strlen(real) + strlen(last) + 2;

		origin = malloc(size);
		if (origin != NULL)
			snprintf(origin, size, "%s/%s",
				 strcmp(real, "/") == 0 ? "" : real, last);
	}
	free(parent);
	free(real);
	return origin;
}

/* The same for a source without a name: what it is in, and its name there. */
static int open_unnamed(const char *source, char **name)
{
	char *real = realpath(source, NULL);
	int fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC), up = -1;

	*name = NULL;
	if (real != NULL && fd >= 0) {
		const char *last = strrchr(real, '/') + 1;

		*name = strdup(*last == '\0' ? "." : last);
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	free(real);
	if (fd >= 0)
		close(fd);
	return up;
}

int walk_open_source(const char *source, char **name)
{
	const char *slash = strrchr(source, '/');
	char *parent;
	int fd = -1;

	if (!has_name(source))
		return open_unnamed(source, name);
	parent = parent_of(source);
	*name = strdup(slash == NULL ? source : slash + 1);
	if (parent != NULL && *name != NULL)
		fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	return fd;
}

/* The root that a source is, in w->root. False: it was stored already. */
static int find_root(struct walk *w, const char *source, const char *origin,
		     const char **name)
{
	struct catalogue *c = w->catalogue;
	int64_t root;

	*name = strrchr(origin, '/') + 1;
	if (**name == '\0')
		*name = "root";
	if (c == NULL)
		return 0;
	root = catalogue_root(c, *name, strcmp(origin, "/") == 0 ? "" : origin);
	if (root < 0)
		return (int)root;
	w->root = (uint32_t)root;
	*name = c->roots[root].name;
	if (c->roots[root].source != NULL) {
		say(w, "%s: is given twice", source);
		return STOP_SAID;
	}
	c->roots[root].source = strdup(source);
	return c->roots[root].source == NULL ? -ENOMEM : 0;
}

/* The source called @name in @fd, as @root in the archive. */
static int walk_tree(struct walk *w, int fd, const char *name,
		     const char *origin, const char *root)
{
	int r = -ENOMEM;

	trail_init(&w->trail, fd);
	if (path_set(&w->path, 0, root) && path_set(&w->source, 0, origin))
		r = visit(w, name);
	if (strcmp(origin, "/") == 0 && w->depth > 0)
		w->levels[0].source_length = 0; /* not "//name" */
	if (r == 0)
		r = descend(w);
	trail_fini(&w->trail);
	return r;
}

static int walk_root(struct walk *w, const char *source, const char *origin)
{
	const char *root;
	char *name = NULL;
	int r = find_root(w, source, origin, &root), fd;

	if (r != 0)
		return r == STOP_SAID ? 0 : r;
	fd = walk_open_source(source, &name);
	if (fd >= 0 && name != NULL)
		r = walk_tree(w, fd, name, origin, root);
	else
		say(w, "%s: %s", source, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(name);
	if (w->catalogue != NULL)
		catalogue_drop_root(w->catalogue, w->root);
	return r;
}

static int walk_source(struct walk *w, const char *source)
{
	char *origin = walk_origin(source);
	int r;

	if (origin == NULL) {
		say(w, "%s: %s", source, strerror(errno));
		return 0;
	}
	r = walk_root(w, source, origin);
	free(origin);
	return r;
}

int walk_sources(struct walk *w)
{
	const struct arguments *a = w->run->arguments;
	int r = 0;

	for (int i = 0; i < a->name_count && r == 0; i++)
		r = walk_source(w, a->names[i]);
	return r;
}

void walk_init(struct walk *w, struct run *run, const struct walk_ops *ops,
	       void *arg)
{
	struct storage volume = storage_at(run->arguments->volume);

	*w = (struct walk){.run = run, .ops = ops, .arg = arg};
	w->volume_count = storage_files(&volume, w->volume, VOLUME_FILES);
}

void walk_fini(struct walk *w)
{
	while (w->depth > 0)
		free_names(&w->levels[--w->depth]);
	free(w->levels);
	free(w->path.text);
	free(w->source.text);
}
