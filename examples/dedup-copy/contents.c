/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Where the data of a file is. What no file system can tell counts as data.
 */
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

/*
 * Copy one extent into the stream. 0, a reason to stop, or an error of the
 * volume; *gone: the file cannot be read. Shortened if the file ends early.
 */
static int copy_extent(struct store *s, int fd, const char *path,
		       struct extent *x, bool *gone)
{
	struct writer *w = &s->writer;
	uint64_t done = 0;

	while (done < x->length && !interrupted()) {
		size_t room;
		uint8_t *to = writer_room(w, &room);
		ssize_t n;

		if (to == NULL)
			return writer_result(w);
		if (room > x->length - done)
			room = (size_t)(x->length - done);
		n = pread(fd, to, room, (off_t)(x->in_file + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			warn(s->run, "%s: %s; it is left out", path,
			     strerror(errno));
			*gone = true;
			break;
		}
		if (n == 0)
			break;
		writer_advance(w, (size_t)n);
		s->report.bytes_read += (uint64_t)n;
		done += (uint64_t)n;
		progress_add(&s->run->progress, (uint64_t)n);
		progress_draw(&s->run->progress);
	}
	x->length = done;
	return interrupted() ? STOP_INTERRUPTED : writer_align(w);
}

int contents_copy(struct store *s, int fd, const char *path, struct entry *e,
		  bool *gone)
{
	struct extent x;
	uint64_t at = 0;

	while (!*gone && next_data(fd, at, e->size, &x)) {
		uint64_t wanted = x.length;
		int r;

		progress_add(&s->run->progress, x.in_file - at);
		x.on_volume = s->writer.position;
		r = copy_extent(s, fd, path, &x, gone);
		if (r == 0 && x.length > 0)
			r = entry_add_extent(e, x);
		if (r != 0)
			return r;
		at = x.in_file + x.length;
		if (x.length < wanted) {
			e->size = at;
			return 0;
		}
	}
	progress_add(&s->run->progress, e->size - at);
	return interrupted() ? STOP_INTERRUPTED : 0;
}
