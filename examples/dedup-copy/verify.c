/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading back what was stored, and comparing it with the sources.
 */
#include "build.h"

#include "dedup-copy.h"

#include <errno.h>
#include <fcntl.h>
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

static bool unchanged(int fd, const struct entry *e)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == e->size &&
	       st.st_mtim.tv_sec == e->mtime &&
	       (uint32_t)st.st_mtim.tv_nsec == e->mtime_ns;
}

static int verify_file(struct run *run, struct reader *reader,
		       const struct catalogue *c, const struct entry *e)
{
	char *path = entry_source(c, e);
	bool same = true;
	int fd, r = 0;

	if (path == NULL)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (unchanged(fd, e))
		r = compare_file(run, reader, fd, e, &same);
	else
		warn(run, "%s: changed since it was stored; not compared",
		     path);
	if (r == 0 && !same && unchanged(fd, e))
		warn(run, "%s: what was stored DIFFERS", path);
	else if (r == 0 && !same)
		warn(run, "%s: changed while it was compared", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

int verify_snapshot(struct run *run, const struct container *box)
{
	struct reader reader;
	struct catalogue c = {0};
	int r = reader_init(&reader, run->volume, run->arguments->polled,
			    box->end);

	if (r == 0)
		r = catalogue_read(&c, &reader, box->catalogue);
	if (r == 0) {
		progress_begin(run, "verifying", c.file_bytes);
		for (uint64_t i = 0; i < c.entry_count && r == 0; i++) {
			if (interrupted())
				r = STOP_INTERRUPTED;
			else if (c.entries[i].type == ENTRY_FILE)
				r = verify_file(run, &reader, &c,
						&c.entries[i]);
		}
		progress_end(&run->progress);
	}
	catalogue_fini(&c);
	reader_fini(&reader);
	return r;
}
