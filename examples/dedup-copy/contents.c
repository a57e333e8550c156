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

/* Read up to @bytes, fewer only at the end of the file. -1 and errno. */
static ssize_t read_piece(int fd, uint8_t *to, size_t bytes, uint64_t from)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(fd, to + done, bytes - done,
				  (off_t)(from + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A piece of a file is in the room of the stream: let it be written, or copy
 * it, or refer to it, where the archive has it. */
static int place_piece(struct store *s, struct entry *e,
		       const struct entry *old, const uint8_t *data,
		       struct extent piece)
{
	struct writer *w = &s->writer;
	size_t bytes = (size_t)piece.length;
	uint64_t whole = bytes + -bytes % BLOCK, from;
	int r = 0;

	piece.on_volume = w->position;
	if (old == NULL ||
	    !kept_has(&s->kept, old, piece.in_file, data, bytes, &from)) {
		writer_advance(w, bytes);
		return entry_add_extent(e, piece);
	}
	s->report.bytes_kept += whole;
	if (s->snapshots.form == ARCHIVE_ONE) {
		piece.on_volume = from;
	} else {
		if (!s->run->arguments->dry_run)
			r = kept_copy(&s->kept, from, w->position, whole);
		writer_seek(w, w->position + whole);
	}
	return r == 0 ? entry_add_extent(e, piece) : r;
}

/*
 * Copy one extent, piece by piece. 0, a reason to stop, or an error of the
 * volume; *gone: the file cannot be read. Shortened if the file ends early.
 */
static int copy_extent(struct store *s, int fd, const char *path,
		       struct entry *e, const struct entry *old,
		       struct extent *x, bool *gone)
{
	struct writer *w = &s->writer;
	uint64_t done = 0;

	while (done < x->length && !interrupted()) {
		struct extent piece = {.in_file = x->in_file + done};
		size_t room;
		uint8_t *to = writer_room(w, &room);
		ssize_t n;
		int r;

		if (to == NULL)
			return writer_result(w);
		if (room > x->length - done)
			room = (size_t)(x->length - done);
		n = read_piece(fd, to, room, piece.in_file);
		if (n < 0) {
			warn(s->run, "%s: %s; it is left out", path,
			     strerror(errno));
			*gone = true;
			break;
		}
		if (n == 0)
			break;
		piece.length = (uint64_t)n;
		r = place_piece(s, e, old, to, piece);
		if (r != 0)
			return r;
		s->report.bytes_read += (uint64_t)n;
		done += (uint64_t)n;
		progress_add(&s->run->progress, (uint64_t)n);
		progress_draw(&s->run->progress);
		if ((size_t)n < room)
			break; /* the file ends here */
	}
	x->length = done;
	return interrupted() ? STOP_INTERRUPTED : writer_align(w);
}

int contents_copy(struct store *s, int fd, const char *path, struct entry *e,
		  bool *gone)
{
	const struct entry *old = kept_find(&s->kept, e);
	struct extent x;
	uint64_t at = 0;

	while (!*gone && next_data(fd, at, e->size, &x)) {
		uint64_t wanted = x.length;
		int r;

		progress_add(&s->run->progress, x.in_file - at);
		r = copy_extent(s, fd, path, e, old, &x, gone);
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
