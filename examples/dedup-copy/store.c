/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storing files and trees.
 *
 *	walk -> create or open -> data of all files -> catalogue -> new header
 *
 * A dry run goes the same way with an estimate in place of the volume.
 */
#include "build.h"

#include "dedup-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "estimate.h"
#include "report.h"

struct store {
	struct run *run;
	struct container container;
	struct catalogue catalogue;
	struct plan plan;
	struct writer writer;
	struct estimate estimate;
	struct report report;
};

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

static int copy_data(struct store *s, int fd, const char *path, struct entry *e,
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

/* The file may be another one than when it was listed: look again. */
static bool look_again(struct entry *e, int fd, struct stat *st)
{
	if (fd < 0 || fstat(fd, st) != 0)
		return false;
	if (!S_ISREG(st->st_mode)) {
		errno = ESTALE;
		return false;
	}
	e->size = (uint64_t)st->st_size;
	e->mtime = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	return true;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int store_file(struct store *s, struct entry *e)
{
	char *path = entry_source(&s->catalogue, e);
	struct stat before, after;
	bool gone = false;
	int fd, r = 0;

	if (path == NULL)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (look_again(e, fd, &before)) {
		r = copy_data(s, fd, path, e, &gone);
		if (r == 0 && !gone &&
		    (fstat(fd, &after) != 0 ||
		     before.st_size != after.st_size ||
		     e->size != (uint64_t)before.st_size ||
		     !same_time(before.st_mtim, after.st_mtim)))
			warn(s->run, "%s: changed while it was read", path);
	} else {
		warn(s->run, "%s: %s; it is left out", path, strerror(errno));
		gone = true;
	}
	if (gone)
		e->type = ENTRY_GONE;
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

static int store_files(struct store *s)
{
	struct catalogue *c = &s->catalogue;
	int r = 0;

	progress_begin(s->run,
		       s->run->arguments->dry_run ? "reading" : "storing",
		       c->file_bytes);
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++) {
		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (c->entries[i].type == ENTRY_FILE)
			r = store_file(s, &c->entries[i]);
	}
	progress_end(&s->run->progress);
	if (r == 0)
		r = catalogue_drop_gone(c);
	return r;
}

/* Begin the catalogue with the roots that are known already. */
static int load_roots(struct store *s)
{
	struct catalogue *c = &s->catalogue;
	struct reader reader;
	int r;

	c->number = s->container.snapshots + 1;
	c->time = (int64_t)time(NULL);
	c->previous = s->container.catalogue;
	if (c->previous == 0)
		return 0;
	r = reader_init(&reader, s->run->volume, s->run->arguments->polled,
			s->container.end);
	if (r == 0) {
		struct catalogue last;

		r = catalogue_read(&last, &reader, c->previous);
		c->roots = last.roots;
		c->root_count = last.root_count;
		last.roots = NULL;
		last.root_count = 0;
		catalogue_fini(&last);
	}
	reader_fini(&reader);
	return r;
}

/* Dry run: all that is in the archive counts as there. */
static int learn(struct store *s)
{
	uint64_t at = CONTAINER_START;
	struct reader reader;
	int r;

	if (s->run->volume == NULL || s->container.end == at)
		return 0;
	r = reader_init(&reader, s->run->volume, s->run->arguments->polled,
			s->container.end);
	s->estimate.learning = true;
	while (r == 0 && at < s->container.end) {
		const uint8_t *data;
		size_t bytes = CHUNK;

		r = reader_get(&reader, at, &data, &bytes);
		if (r == 0)
			r = estimate_blocks(&s->estimate, data, bytes);
		if (r == 0 && interrupted())
			r = STOP_INTERRUPTED;
		at += bytes;
	}
	s->estimate.learning = false;
	reader_fini(&reader);
	return r;
}

static int reserve(void *arg, uint64_t end, uint64_t *limit)
{
	struct store *s = arg;

	return container_reserve(&s->container, end, limit);
}

/* Everything is known and open: copy. */
static int store_data(struct store *s)
{
	struct writer *w = &s->writer;
	struct container *box = &s->container;
	bool dry = s->run->arguments->dry_run;
	int r = writer_init(w, dry ? NULL : s->run->volume,
			    s->run->arguments->polled && !dry);

	if (r != 0)
		return r;
	w->position = box->end;
	if (dry) {
		writer_set_sink(w, estimate_blocks, &s->estimate);
		r = learn(s);
	} else {
		writer_set_reserve(w, reserve, s);
		r = container_reserve(box, box->end + s->plan.bytes, &w->limit);
	}
	if (r == 0)
		r = store_files(s);
	if (r == 0) {
		s->catalogue.place = w->position;
		r = catalogue_write(&s->catalogue, w);
	}
	if (r == 0)
		r = writer_drain(w);
	if (r == 0 && !dry)
		r = container_commit(box, s->catalogue.place, w->position);
	if (r == -ENOSPC && !dry) {
		writer_drain(w);
		container_discard(box, w->position);
	}
	s->report.bytes_written = w->written;
	writer_fini(w);
	return r;
}

/* What is there already, if anything is. */
static int open_existing(struct store *s)
{
	const struct arguments *a = s->run->arguments;
	int r;

	s->container.end = CONTAINER_START;
	if (target_is_missing(a->volume))
		return 0;
	r = target_open(s->run, a->dry_run);
	if (r == -VDO_ENOTVDO)
		return 0; /* --force: made anew when the sizes are known */
	if (r == 0)
		r = target_load(s->run, &s->container, true);
	return r;
}

static int create(struct store *s)
{
	const struct need need = {.bytes = s->plan.bytes +
					   512 * s->catalogue.entry_count +
					   (UINT64_C(1) << 20)};
	int r;

	if (s->run->volume != NULL || s->run->arguments->dry_run)
		return 0;
	r = target_create_or_open(s->run, &need);
	if (r == 0)
		r = target_load(s->run, &s->container, true);
	return r;
}

static int store_all(struct store *s)
{
	struct run *run = s->run;
	int r = open_existing(s);

	if (r == 0)
		r = load_roots(s);
	s->plan.catalogue = &s->catalogue;
	if (r == 0)
		r = walk_sources(run, &s->plan);
	if (r == 0 && s->catalogue.entry_count == 0) {
		complain("there is nothing to store");
		r = STOP_SAID;
	}
	if (r == 0)
		r = create(s);
	if (r != 0)
		return r;
	report_start(&s->report, run);
	r = store_data(s);
	if (r == 0 && run->arguments->verify && !run->arguments->dry_run)
		r = verify_snapshot(run, &s->container);
	return r;
}

int store_run(struct run *run)
{
	static struct store s;
	int r, status;

	s.run = run;
	estimate_init(&s.estimate, run->arguments->config);
	r = store_all(&s);
	if (r == 0) {
		s.report.plan = &s.plan;
		s.report.snapshot = s.catalogue.number;
		estimate_end(&s.estimate);
		report_end(&s.report,
			   run->arguments->dry_run ? &s.estimate.counts : NULL);
	}
	status = run_end(run, "store it", r);
	if (target_close(run) != 0 && status == EXIT_OK)
		status = EXIT_FAILED;
	estimate_fini(&s.estimate);
	catalogue_fini(&s.catalogue);
	return status;
}
