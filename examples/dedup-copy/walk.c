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


/*
 * Paths
 */

bool walk_path_set(struct path *p, size_t length, const char *more)
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

bool walk_path_step(struct path *p, size_t length, const char *name)
{
	return walk_path_set(p, length, "/") && walk_path_set(p, length + 1, name);
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
		walk_say(w, "%s: %s", w->source.text, strerror(-r));
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
		walk_say(w, "%s: changed while it was read", w->source.text);
	free_names(l);
	if (trail_leave(&w->trail) == 0 || w->depth == 0)
		return;
	/* nobody knows where it is now */
	l--;
	path_cut(&w->source, l->source_length);
	if (l->next < l->count)
		walk_say(w,
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

static int visit_directory(struct walk *w, struct found *f, bool below,
			   bool was_seen)
{
	int r = trail_enter(&w->trail, f->name), fd;

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ENOMEM)
		return r == -ENOMEM ? r : WALK_AGAIN;
	if (r == 0 && fstat(trail_fd(&w->trail), &f->st) != 0) {
		r = -errno;
		trail_leave(&w->trail);
	}
	if (r != 0) {
		walk_say(w, "%s: %s", f->source, strerror(-r));
		return 0;
	}
	fd = openat(trail_fd(&w->trail), ".", DIRECTORY_FLAGS);
	if (fd < 0)
		walk_say(w, "%s: %s", f->source, strerror(errno));
	if (!was_seen)
		r = w->ops->directory(w->arg, f, fd);
	if (r == 0 && below)
		return push_level(w, fd, &f->st);
	if (fd >= 0)
		close(fd);
	trail_leave(&w->trail);
	return r;
}

/*
 * What has come up already, where names are listed: 0, not; 1, a directory, but
 * not what is below it; 2, all of it.
 */
static uint64_t seen(const struct walk *w)
{
	const uint64_t *how = NULL;

	if (w->run->arguments->files_from != NULL)
		how = table_find(&w->seen,
				 path_key(w->path.text, w->path.length));
	return how == NULL ? 0 : *how;
}

static int set_seen(struct walk *w, size_t length, uint64_t how)
{
	uint64_t *value;
	bool added;

	if (w->run->arguments->files_from == NULL)
		return 0;
	value = table_get(&w->seen, path_key(w->path.text, length), how,
			  &added);
	if (value == NULL)
		return -ENOMEM;
	*value = how;
	return 0;
}

/* A socket, or the volume: said, and left out. */
static bool is_left_out(struct walk *w, const struct found *f)
{
	const char *why;

	if (S_ISSOCK(f->st.st_mode)) {
		why = "sockets are not stored";
	} else if (is_volume(w, &f->st)) {
		w->met_volume = true;
		why = "this is the volume, it is left out";
	} else {
		return false;
	}
	if (!w->quiet)
		complain("%s: %s", f->source, why);
	return true;
}

static int visit_once(struct walk *w, const char *name, bool below)
{
	struct found f = {
		.parent = trail_fd(&w->trail),
		.name = name,
		.path = w->path.text,
		.source = w->source.text,
		.root = w->root,
	};
	size_t length = w->path.length;
	bool is_directory;
	uint64_t before = seen(w);
	int r;

	if (f.parent < 0 ||
	    fstatat(f.parent, name, &f.st, AT_SYMLINK_NOFOLLOW) != 0) {
		walk_say(w, "%s: %s", f.source,
			 errno == ESTALE ? "was moved or replaced"
					 : strerror(errno));
		return 0;
	}
	is_directory = S_ISDIR(f.st.st_mode);
	w->excluded = select_excludes(w->run->arguments, f.path, f.source,
				      is_directory);
	if (w->excluded || before == 2 || (before == 1 && !below) ||
	    is_left_out(w, &f))
		return 0;
	if (w->run->arguments->verbose > 0 && !w->quiet && !w->again)
		mention("%s", f.path);
	r = is_directory ? visit_directory(w, &f, below, before == 1)
			 : w->ops->other(w->arg, &f);
	if (r == 0)
		r = set_seen(w, length, is_directory && !below ? 1 : 2);
	return r;
}

int walk_visit(struct walk *w, const char *name, bool below)
{
	int r = WALK_AGAIN;

	if (w->run->arguments->no_recursion)
		below = false;
	for (unsigned i = 0; i < TRIES && r == WALK_AGAIN; i++) {
		w->again = i > 0;
		r = interrupted() ? STOP_INTERRUPTED
				  : visit_once(w, name, below);
	}
	if (r != WALK_AGAIN)
		return r;
	walk_say(w, "%s: changes all the time; it is left out", w->source.text);
	return 0;
}

int walk_descend(struct walk *w)
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
		if (walk_path_step(&w->path, l->path_length, name) &&
		    walk_path_step(&w->source, l->source_length, name))
			r = walk_visit(w, name, true);
		else
			r = -ENOMEM;
	}
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
	table_fini(&w->seen);
}
