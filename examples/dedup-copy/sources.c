/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the walk begins with: sources of the command line, and names from a file.
 */
#include "build.h"

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The root that came from @origin, in w->root; *name is what it is called. */
static int find_root(struct walk *w, const char *source, const char *origin,
		     const char **name)
{
	struct catalogue *c = w->catalogue;
	struct root *root;
	int64_t number;

	*name = strrchr(origin, '/') + 1;
	if (**name == '\0')
		*name = "root";
	if (c == NULL)
		return 0;
	number = catalogue_root(c, *name,
				strcmp(origin, "/") == 0 ? "" : origin);
	if (number < 0)
		return (int)number;
	w->root = (uint32_t)number;
	root = &c->roots[number];
	*name = root->name;
	if (root->source == NULL)
		root->source = strdup(source);
	return root->source == NULL ? -ENOMEM : 0;
}

/* The source called @name in @fd, as @root in the archive. */
static int walk_tree(struct walk *w, int fd, const char *name,
		     const char *origin, const char *root)
{
	int r = -ENOMEM;

	trail_init(&w->trail, fd);
	if (walk_path_set(&w->path, 0, root) &&
	    walk_path_set(&w->source, 0, origin))
		r = walk_visit(w, name, true);
	if (strcmp(origin, "/") == 0 && w->depth > 0)
		w->levels[0].source_length = 0; /* not "//name" */
	if (r == 0)
		r = walk_descend(w);
	trail_fini(&w->trail);
	return r;
}

static int walk_root(struct walk *w, const char *source, const char *origin)
{
	const char *root;
	char *name = NULL;
	int r = find_root(w, source, origin, &root), fd;

	if (r != 0)
		return r;
	fd = walk_open_source(source, &name);
	if (fd >= 0 && name != NULL)
		r = walk_tree(w, fd, name, origin, root);
	else
		walk_say(w, "%s: %s", source, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(name);
	if (w->catalogue != NULL)
		catalogue_drop_root(w->catalogue, w->root);
	return r;
}

/* Does the same come from a source before? */
static bool is_given_twice(const struct walk *w, const char *origin)
{
	const struct catalogue *c = w->catalogue;

	if (strcmp(origin, "/") == 0)
		origin = "";
	for (uint32_t i = 0; c != NULL && i < c->root_count; i++)
		if (strcmp(c->roots[i].origin, origin) == 0)
			return c->roots[i].source != NULL;
	return false;
}

static int walk_source(struct walk *w, const char *source)
{
	char *origin = walk_origin(source);
	int r = 0;

	if (origin == NULL)
		walk_say(w, "%s: %s", source, strerror(errno));
	else if (is_given_twice(w, origin))
		walk_say(w, "%s: is given twice", source);
	else
		r = walk_root(w, source, origin);
	free(origin);
	return r;
}

/*
 * Names that were read from a file. Each is stored under its path: the first
 * component is the root, and the directories on the way are stored, too, without
 * what else is in them.
 */
struct listing {
	struct walk *walk;
	bool is_absolute; /* where the trail begins */
	int top;	  /* that, or -1 */
	char *here;	  /* the absolute path of the working directory */
};

/* @name without "", "." and slashes at its ends; "" if nothing is left. For the
 * caller to free. */
static char *clean_name(const char *name)
{
	char *clean = malloc(strlen(name) + 1), *to = clean;

	while (clean != NULL && *name != '\0') {
		size_t n = strcspn(name, "/");

		if (n != 0 && !(n == 1 && *name == '.')) {
			if (to != clean)
				*to++ = '/';
			memcpy(to, name, n);
			to += n;
		}
		name += n + (name[n] == '/');
	}
	if (clean != NULL)
		*to = '\0';
	return clean;
}

static int open_top(struct listing *l, bool is_absolute)
{
	if (l->top >= 0 && l->is_absolute == is_absolute)
		return 0;
	trail_fini(&l->walk->trail);
	if (l->top >= 0)
		close(l->top);
	l->is_absolute = is_absolute;
	l->top = open(is_absolute ? "/" : ".",
		      O_PATH | O_DIRECTORY | O_CLOEXEC);
	trail_init(&l->walk->trail, l->top);
	if (l->here == NULL && !is_absolute)
		l->here = realpath(".", NULL);
	return l->top < 0 || (l->here == NULL && !is_absolute) ? -errno : 0;
}

/* The root of @name, with the paths set to it. */
static int list_root(struct listing *l, const char *name)
{
	struct walk *w = l->walk;
	size_t length = strcspn(name, "/");
	const char *before = l->is_absolute || strcmp(l->here, "/") == 0
				     ? "" : l->here;
	size_t size = strlen(before) + length + 2;
	char *origin = malloc(size);
	const char *root;
	int r = -ENOMEM;

	if (origin == NULL)
		return r;
	snprintf(origin, size, "%s/%.*s", before, (int)length, name);
	r = find_root(w, l->is_absolute ? origin : strrchr(origin, '/') + 1,
		      origin, &root);
	if (r == 0 && (!walk_path_set(&w->path, 0, root) ||
		       !walk_path_set(&w->source, 0, origin)))
		r = -ENOMEM;
	free(origin);
	return r;
}

/* One step to @name, a component of what is listed as @whole: a directory. */
static int list_step(struct walk *w, const char *name, const char *whole)
{
	int r = walk_visit(w, name, false);

	if (r != 0 || w->excluded)
		return r == 0 ? STOP_SAID : r;
	r = trail_enter(&w->trail, name);
	if (r == 0 || r == -ENOMEM)
		return r;
	if (r == -ENOTDIR || r == -ELOOP)
		walk_say(w, "%s: %s is no directory; links are not followed",
			 whole, w->source.text);
	else if (r != -ENOENT) /* which was said */
		walk_say(w, "%s: %s", w->source.text, strerror(-r));
	return STOP_SAID;
}

/* Go to what @name is in, and visit it. STOP_SAID: it cannot be had. */
static int list_path(struct listing *l, const char *name)
{
	struct walk *w = l->walk;
	const char *rest, *at = name;
	int r = trail_return(&w->trail, name, &rest);

	if (r == 0)
		r = list_root(l, name);
	if (r == -ESTALE) {
		walk_say(w, "%s: was moved or replaced", name);
		return STOP_SAID;
	}
	while (r == 0) {
		size_t n = strcspn(at, "/");
		char *step = strndup(at, n);

		if (step == NULL ||
		    (at != name &&
		     (!walk_path_step(&w->path, w->path.length, step) ||
		      !walk_path_step(&w->source, w->source.length, step))))
			r = -ENOMEM;
		else if (at[n] == '\0')
			r = walk_visit(w, step, true);
		else if (at >= rest) /* not on the trail yet */
			r = list_step(w, step, name);
		free(step);
		if (r != 0 || at[n] == '\0')
			break;
		at += n + 1;
	}
	return r == 0 ? walk_descend(w) : r;
}

static int walk_listed(struct listing *l, const char *name)
{
	struct walk *w = l->walk;
	char *clean = clean_name(name);
	int r;

	if (clean == NULL)
		return -ENOMEM;
	if (*clean == '\0') { /* "." or "/" */
		trail_fini(&w->trail);
		if (l->top >= 0)
			close(l->top);
		l->top = -1;
		r = walk_source(w, name);
	} else if (!path_is_safe(clean)) {
		walk_say(w, "%s: names with \"..\" are not stored", name);
		r = 0;
	} else {
		r = open_top(l, name[0] == '/');
		if (r == 0)
			r = list_path(l, clean);
		if (w->catalogue != NULL && w->catalogue->root_count > 0)
			catalogue_drop_root(w->catalogue, w->root);
	}
	free(clean);
	return r == STOP_SAID ? 0 : r;
}

int walk_sources(struct walk *w)
{
	const struct arguments *a = w->run->arguments;
	struct listing l = {.walk = w, .top = -1};
	int r = 0;

	for (int i = 0; i < a->name_count && r == 0; i++)
		r = walk_source(w, a->names[i]);
	trail_init(&w->trail, -1);
	for (size_t i = 0; i < a->listed.count && r == 0; i++)
		r = walk_listed(&l, a->listed.list[i]);
	trail_fini(&w->trail);
	if (l.top >= 0)
		close(l.top);
	free(l.here);
	return r;
}
