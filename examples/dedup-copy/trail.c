/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void trail_init(struct trail *t, int top)
{
	memset(t, 0, sizeof(*t));
	t->top = top;
}

static void close_step(struct trail_step *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void trail_fini(struct trail *t)
{
	for (size_t i = 0; i < t->depth; i++) {
		close_step(&t->steps[i]);
		free(t->steps[i].name);
	}
	free(t->steps);
	trail_init(t, -1);
}

int trail_fd(const struct trail *t)
{
	int fd = t->depth == 0 ? t->top : t->steps[t->depth - 1].fd;

	if (fd < 0)
		errno = ESTALE;
	return fd;
}

/* Is @fd the directory that the step is about? */
static bool is_step(const struct trail_step *s, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == s->device &&
	       st.st_ino == s->inode;
}

/* Open @name in @fd as step @s once more. -1: it is another one, or gone. */
static int open_again(const struct trail_step *s, int fd, const char *name)
{
	int next = openat(fd, name, STEP_FLAGS);

	if (next >= 0 && !is_step(s, next)) {
		close(next);
		next = -1;
	}
	return next;
}

/* The last step, all the way down from the top. */
static int open_from_top(const struct trail *t)
{
	int fd = t->top;

	for (size_t i = 0; i < t->depth; i++) {
		int next = open_again(&t->steps[i], fd, t->steps[i].name);

		if (fd != t->top)
			close(fd);
		if (next < 0)
			return -1;
		fd = next;
	}
	return fd;
}

int trail_leave(struct trail *t)
{
	struct trail_step gone = t->steps[--t->depth], *last;
	int r = 0;

	if (t->first_open > t->depth)
		t->first_open = t->depth;
	if (t->depth > 0 && t->first_open == t->depth) {
		last = &t->steps[t->depth - 1];
		if (gone.fd >= 0)
			last->fd = open_again(last, gone.fd, "..");
		if (last->fd < 0)
			last->fd = open_from_top(t);
		if (last->fd < 0)
			r = -ESTALE;
		t->first_open = t->depth - 1;
	}
	close_step(&gone);
	free(gone.name);
	return r;
}

static bool make_room(struct trail *t)
{
	size_t max = 2 * t->max + 16;
	struct trail_step *steps;

	if (t->depth < t->max)
		return true;
	steps = realloc(t->steps, max * sizeof(*steps));
	if (steps == NULL)
		return false;
	t->steps = steps;
	t->max = max;
	return true;
}

/* Open the next step. -1 and errno. */
static int open_step(struct trail *t, int parent, const char *name)
{
	int fd = openat(parent, name, STEP_FLAGS);
	int r;

	if (fd >= 0 || errno != ENOENT || t->make == NULL)
		return fd;
	r = t->make(t->arg, parent, name);
	if (r != 0) {
		errno = -r;
		return -1;
	}
	return openat(parent, name, STEP_FLAGS);
}

int trail_enter(struct trail *t, const char *name)
{
	struct trail_step s = {.fd = -1};
	int parent = trail_fd(t);
	struct stat st;
	int r;

	if (parent < 0)
		return -ESTALE;
	s.name = strdup(name);
	if (s.name == NULL || !make_room(t)) {
		free(s.name);
		return -ENOMEM;
	}
	s.fd = open_step(t, parent, name);
	if (s.fd < 0 || fstat(s.fd, &st) != 0) {
		r = -errno;
		close_step(&s);
		free(s.name);
		return r;
	}
	s.device = st.st_dev;
	s.inode = st.st_ino;
	t->steps[t->depth++] = s;
	if (t->depth - t->first_open > TRAIL_OPEN)
		close_step(&t->steps[t->first_open++]);
	r = t->entered == NULL ? 0 : t->entered(t->arg, t);
	if (r != 0)
		trail_leave(t);
	return r;
}

/* How many steps of the trail @path begins with; *rest is what follows. */
static size_t common_steps(const struct trail *t, const char *path,
			   const char **rest)
{
	size_t i;

	for (i = 0; i < t->depth; i++) {
		size_t n = strlen(t->steps[i].name);

		if (strncmp(path, t->steps[i].name, n) != 0 || path[n] != '/')
			break;
		path += n + 1;
	}
	*rest = path;
	return i;
}

int trail_return(struct trail *t, const char *path, const char **rest)
{
	size_t common = common_steps(t, path, rest);
	int r = 0;

	while (t->depth > common)
		r = trail_leave(t);
	return r == 0 && trail_fd(t) < 0 ? -ESTALE : r;
}

int trail_go(struct trail *t, const char *path, const char **name)
{
	const char *slash;
	int r = trail_return(t, path, name);

	while (r == 0 && (slash = strchr(*name, '/')) != NULL) {
		char *step = strndup(*name, (size_t)(slash - *name));

		r = step == NULL ? -ENOMEM : trail_enter(t, step);
		free(step);
		*name = slash + 1;
	}
	if (r == 0)
		return trail_fd(t);
	errno = -r;
	return -1;
}
