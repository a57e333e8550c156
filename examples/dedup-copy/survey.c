/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much there is to store, before anything is: for the size of a volume that
 * is made, and for the progress. A file counts as much as it has data, holes
 * left out.
 */
#include "build.h"

#include "survey.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Files below this size are not asked where their data is. */
#define SPARSE_MIN (UINT64_C(64) << 10)

static uint64_t whole_blocks(uint64_t bytes)
{
	return bytes + -bytes % BLOCK;
}

/* The data of a file that takes less space than it is long: it has holes, or
 * the file system compresses it. */
static uint64_t data_of(struct survey *s, const struct found *f, uint64_t size)
{
	int fd = openat(f->parent, f->name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
				O_CLOEXEC);
	uint64_t at = 0, bytes = 0;
	struct extent x;

	while (fd >= 0 && next_data(fd, at, size, &x) && !interrupted()) {
		bytes += whole_blocks(x.length);
		s->catalogue_bytes += EXTENT_BYTES;
		at = x.in_file + x.length;
	}
	if (fd >= 0)
		close(fd);
	return bytes; /* 0: it cannot be read, and will not be stored */
}

/* Has the same file come up before? */
static int is_new(struct survey *s, const struct stat *st, bool *added)
{
	/* never 0, 0: inode numbers are not 0 */
	struct key key = {(uint64_t)st->st_ino, (uint64_t)st->st_dev};

	*added = true;
	if (st->st_nlink < 2)
		return 0;
	return table_get(&s->inodes, key, 0, added) == NULL ? -ENOMEM : 0;
}

static void count_entry(struct survey *s, const struct found *f)
{
	s->entries++;
	s->catalogue_bytes += strlen(f->path) + ENTRY_BYTES;
}

static int count_other(void *arg, const struct found *f)
{
	struct survey *s = arg;
	uint64_t size = (uint64_t)f->st.st_size;
	bool added;
	int r = is_new(s, &f->st, &added);

	if (r != 0)
		return r;
	count_entry(s, f);
	if (!S_ISREG(f->st.st_mode) || !added)
		return 0;
	s->file_bytes += size;
	if (size < SPARSE_MIN || (uint64_t)f->st.st_blocks * 512 >= size)
		s->bytes += whole_blocks(size);
	else
		s->bytes += data_of(s, f, size);
	return 0;
}

static int count_directory(void *arg, const struct found *f, int fd)
{
	(void)fd;
	count_entry(arg, f);
	return 0;
}

int survey_run(struct survey *s, struct run *run, bool quiet)
{
	static const struct walk_ops ops = {.other = count_other,
					    .directory = count_directory};
	struct walk w;
	int r;

	memset(s, 0, sizeof(*s));
	walk_init(&w, run, &ops, s);
	w.quiet = quiet;
	r = walk_sources(&w);
	s->met_volume = w.met_volume;
	walk_fini(&w);
	table_fini(&s->inodes);
	return r;
}
