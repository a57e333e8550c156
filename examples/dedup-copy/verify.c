/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading back what was stored, and comparing it with the sources.
 */
#include "build.h"

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read exactly; false at the end of the file too. */
static bool read_source(int fd, uint8_t *data, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t n = pread(fd, data, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
	return true;
}

int verify_extent(struct run *run, struct reader *reader, int fd,
		  const struct extent *x, bool *same)
{
	static uint8_t source[CHUNK];
	uint64_t done = 0;

	*same = true;
	while (done < x->length && *same) {
		const uint8_t *data;
		size_t n = x->length - done < CHUNK ? (size_t)(x->length - done)
						    : CHUNK;
		int r = reader_get(reader, x->on_volume + done, &data, &n);

		if (r != 0)
			return r;
		if (interrupted())
			return STOP_INTERRUPTED;
		*same = read_source(fd, source, n, x->in_file + done) &&
			memcmp(source, data, n) == 0;
		done += n;
		progress_add(&run->progress, n);
		progress_draw(&run->progress);
	}
	return 0;
}

/* Is there nothing but zeroes in the source from @from to @to? */
static bool is_hole(int fd, uint64_t from, uint64_t to)
{
	static uint8_t source[BLOCK];
	struct extent x;

	while (next_data(fd, from, to, &x)) {
		for (from = x.in_file; from < x.in_file + x.length;) {
			size_t n = BLOCK - from % BLOCK;

			if (n > x.in_file + x.length - from)
				n = (size_t)(x.in_file + x.length - from);
			if (!read_source(fd, source, n, from) ||
			    source[0] != 0 ||
			    memcmp(source, source + 1, n - 1) != 0)
				return false;
			from += n;
		}
	}
	return true;
}

static int compare_file(struct run *run, struct reader *reader, int fd,
			const struct entry *e, bool *same)
{
	uint64_t at = 0;

	*same = true;
	for (uint32_t i = 0; i < e->extent_count && *same; i++) {
		const struct extent *x = &e->extents[i];
		int r;

		*same = is_hole(fd, at, x->in_file);
		if (!*same)
			break;
		r = verify_extent(run, reader, fd, x, same);
		if (r != 0)
			return r;
		progress_add(&run->progress, x->in_file - at);
		at = x->in_file + x->length;
	}
	*same = *same && is_hole(fd, at, e->size);
	progress_add(&run->progress, e->size - at);
	return 0;
}

/*
 * The sources are gone through by descriptors, as when they were stored, and a
 * file is compared if it is the same inode and has not changed since.
 */
struct sources {
	const struct catalogue *stored;
	uint32_t root; /* that the trail is in */
	int top;       /* what the root is in, or -1 */
	char *name;    /* of the root, there */
	struct trail trail;
	char *path; /* from the top, of the entry at hand */
};

static void leave_root(struct sources *s)
{
	trail_fini(&s->trail);
	if (s->top >= 0)
		close(s->top);
	free(s->name);
	free(s->path);
	s->top = -1;
	s->name = s->path = NULL;
}

static bool enter_root(struct sources *s, uint32_t root)
{
	if (s->top >= 0 && s->root == root)
		return true;
	leave_root(s);
	s->root = root;
	s->top = walk_open_source(s->stored->roots[root].source, &s->name);
	trail_init(&s->trail, s->top);
	return s->top >= 0 && s->name != NULL;
}

/* The path of an entry, from what its root is in. */
static char *path_in_root(const struct sources *s, const struct entry *e)
{
	const char *rest = e->path + strlen(s->stored->roots[e->root].name);
	size_t size = strlen(s->name) + strlen(rest) + 1;
	char *path = malloc(size);

	/* "/" has no name */
	if (path != NULL && strcmp(s->name, ".") == 0 && *rest != '\0')
		strcpy(path, rest + 1);
	else if (path != NULL)
		snprintf(path, size, "%s%s", s->name, rest);
	return path;
}

/* Open the source of a file. -1: it is not there any more. */
static int open_source(struct sources *s, const struct entry *e)
{
	const char *name;
	int parent;

	if (!enter_root(s, e->root))
		return -1;
	free(s->path);
	s->path = path_in_root(s, e);
	if (s->path == NULL)
		return -1;
	parent = trail_go(&s->trail, s->path, &name);
	if (parent < 0)
		return -1;
	return openat(parent, name,
		      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			      O_CLOEXEC);
}

/* Is it the file that was stored, and as it was then? A new or lost name does
 * not count. */
static bool is_unchanged(int fd, const struct entry *e)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_dev == e->from.device && st.st_ino == e->from.inode &&
	       (uint64_t)st.st_size == e->size &&
	       st.st_mtim.tv_sec == e->mtime &&
	       (uint32_t)st.st_mtim.tv_nsec == e->mtime_ns &&
	       (st.st_nlink != e->from.links ||
		(st.st_ctim.tv_sec == e->from.changed.tv_sec &&
		 st.st_ctim.tv_nsec == e->from.changed.tv_nsec));
}

static void say_differs(struct run *run, const char *path)
{
	run->differs = true;
	complain("%s: what was stored DIFFERS", path);
}

static int verify_file(struct run *run, struct reader *reader,
		       struct sources *s, const struct entry *stored,
		       const struct entry *e)
{
	bool same = true;
	int fd = open_source(s, stored), r = 0;

	if (is_unchanged(fd, stored))
		r = compare_file(run, reader, fd, e, &same);
	else
		warn(run, "%s: changed since it was stored; not compared",
		     e->path);
	if (r == 0 && !same && is_unchanged(fd, stored))
		say_differs(run, e->path);
	else if (r == 0 && !same)
		warn(run, "%s: changed while it was compared", e->path);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Each entry that was read back is the one that was stored. */
static int verify_entries(struct run *run, struct reader *reader,
			  struct sources *s, const struct catalogue *c)
{
	int r = 0;

	if (c->entry_count != s->stored->entry_count)
		return -VDO_ECORRUPT;
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++) {
		const struct entry *e = &c->entries[i];
		const struct entry *stored = &s->stored->entries[i];

		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (e->type != stored->type ||
			 strcmp(e->path, stored->path) != 0)
			r = -VDO_ECORRUPT;
		else if (e->type == ENTRY_FILE)
			r = verify_file(run, reader, s, stored, e);
	}
	return r;
}

int verify_snapshot(struct run *run, const struct container *box,
		    const struct catalogue *stored)
{
	struct sources s = {.stored = stored, .top = -1};
	struct reader reader;
	struct catalogue c = {0};
	int r = reader_init(&reader, box->volume, run->arguments->polled,
			    box->end);

	if (r == 0)
		r = catalogue_read(&c, &reader, box->catalogue);
	if (r == 0) {
		progress_begin(run, "verifying", c.file_bytes);
		r = verify_entries(run, &reader, &s, &c);
		progress_end(&run->progress);
	}
	leave_root(&s);
	catalogue_fini(&c);
	reader_fini(&reader);
	return r;
}
