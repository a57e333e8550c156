/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One image or block device, to offset 0 of a volume and back.
 *
 * Holes are not written to a new volume and are discarded in one that was there
 * before. On the way back, blocks of zeroes become holes of a new file.
 */
#include "build.h"

#include "dedup-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "estimate.h"
#include "report.h"
#include "snapshots.h"

struct image {
	struct run *run;
	const char *path;
	int fd;
	uint64_t size; /* of the image */
	struct writer writer;
	struct estimate estimate;
	struct disk disk; /* of a volume that a dry run would make */
	uint64_t leaves;  /* pages of the block map that the data needs */
	struct report report;
};

/* The image is not the volume that is going to be written. */
static int check_source(const struct image *m)
{
	struct storage image = storage_open(m->fd);
	struct storage volume = storage_at(m->run->arguments->volume);

	if (!storage_would_change(&volume, &image))
		return 0;
	complain("%s: is the same storage as %s, or lies on it; nothing is "
		 "written",
		 m->path, m->run->arguments->volume);
	return STOP_SAID;
}

static int open_source(struct image *m)
{
	struct stat st;
	off_t end;

	m->fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (m->fd < 0 || fstat(m->fd, &st) != 0) {
		complain("%s: %s", m->path, strerror(errno));
		return STOP_SAID;
	}
	end = lseek(m->fd, 0, SEEK_END);
	if ((!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) || end <= 0) {
		complain("%s: is empty, or neither a file nor a block device",
			 m->path);
		return STOP_SAID;
	}
	m->size = (uint64_t)end;
	return check_source(m);
}

/* The volume must be large enough, and no archive. */
static int check_volume(struct image *m)
{
	const char *volume = m->run->arguments->volume;
	struct container box;
	bool pool;
	int r;

	if (vdo_volume_size(m->run->volume) < m->size) {
		complain("%s: %llu bytes of the image do not fit into the %llu "
			 "of the volume",
			 volume, (unsigned long long)m->size,
			 (unsigned long long)vdo_volume_size(m->run->volume));
		return STOP_SAID;
	}
	if (m->run->created)
		return 0;
	pool = volume_is_pool(m->run->volume);
	if (m->run->arguments->force) /* no part of its directory stays */
		return pool ? vdo_discard(m->run->volume, POOL_DIRECTORY, 0, 0)
			    : 0;
	r = pool ? CONTAINER_GOOD : container_load(&box, m->run->volume);
	if (r != CONTAINER_GOOD)
		return r < 0 && r != NO_ADDRESSES ? r : 0;
	complain("%s: holds an archive; with --force it is overwritten",
		 volume);
	return STOP_SAID;
}

/* A dry run looks at no volume; it says what a new one would be like. */
static int plan(struct image *m, const struct need *need)
{
	int r = 0;

	if (target_is_missing(m->run->arguments->volume))
		r = target_plan(m->run, need, &m->disk);
	if (m->disk.known)
		estimate_set_index(&m->estimate, m->disk.chapters,
				   m->disk.records_per_chapter);
	return r;
}

static int open_volume(struct image *m)
{
	struct need need = {.bytes = 0, .logical = m->size + -m->size % BLOCK};
	struct extent x;
	uint64_t at = 0, leaf = 0; /* the next that is not counted */
	int r;

	for (; next_data(m->fd, at, m->size, &x); at = x.in_file + x.length) {
		uint64_t first = x.in_file / BLOCK / LEAF_MAPPINGS;
		uint64_t last = (x.in_file + x.length - 1) / BLOCK /
				LEAF_MAPPINGS;

		need.bytes += x.length + -x.length % BLOCK;
		m->leaves += last + 1 - (first > leaf ? first : leaf);
		leaf = last + 1;
	}
	if (m->run->arguments->dry_run)
		return plan(m, &need);
	r = target_create_or_open(m->run, &need);
	return r != 0 ? r : check_volume(m);
}

/* The holes of the image are holes of the volume. */
static int make_hole(struct image *m, uint64_t from, uint64_t to)
{
	to += -to % BLOCK;
	progress_add(&m->run->progress, to - from);
	if (to == from || m->run->created || m->run->arguments->dry_run)
		return 0;
	return vdo_discard(m->run->volume, to - from, from, 0);
}

static int copy_extent(struct image *m, const struct extent *x)
{
	for (uint64_t at = x->in_file; at < x->in_file + x->length;) {
		uint64_t left = x->in_file + x->length - at;
		size_t room;
		uint8_t *to = writer_room(&m->writer, &room);
		ssize_t n;

		if (to == NULL)
			return writer_result(&m->writer);
		if (interrupted())
			return STOP_INTERRUPTED;
		n = pread(m->fd, to, room < left ? room : (size_t)left,
			  (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain("%s: %s", m->path,
				 n == 0 ? "became shorter" : strerror(errno));
			return STOP_SAID;
		}
		writer_advance(&m->writer, (size_t)n);
		m->report.bytes_read += (uint64_t)n;
		at += (uint64_t)n;
		progress_add(&m->run->progress, (uint64_t)n);
		progress_draw(&m->run->progress);
	}
	return writer_align(&m->writer);
}

static int copy_in(struct image *m)
{
	bool dry = m->run->arguments->dry_run;
	struct extent x;
	uint64_t at = 0;
	int r = writer_init(&m->writer, m->run->volume,
			    m->run->arguments->polled && !dry);

	if (r != 0)
		return r;
	if (dry)
		writer_set_sink(&m->writer, estimate_blocks, &m->estimate);
	progress_begin(m->run, dry ? "reading" : "storing", m->size);
	while (r == 0 && next_data(m->fd, at, m->size, &x)) {
		r = make_hole(m, at, x.in_file);
		writer_seek(&m->writer, x.in_file);
		if (r == 0)
			r = copy_extent(m, &x);
		at = x.in_file + x.length;
	}
	if (r == 0 && at < m->size)
		r = make_hole(m, at, m->size);
	if (r == 0)
		r = writer_drain(&m->writer);
	if (r == 0 && !dry)
		r = vdo_flush(m->run->volume, 0);
	progress_end(&m->run->progress);
	m->report.bytes_written = m->writer.written;
	writer_fini(&m->writer);
	return r;
}

static int verify(struct image *m)
{
	const struct extent all = {.length = m->size};
	struct reader reader;
	bool same;
	int r = reader_init(&reader, m->run->volume, m->run->arguments->polled,
			    m->size + -m->size % BLOCK);

	progress_begin(m->run, "verifying", m->size);
	if (r == 0)
		r = verify_extent(m->run, &reader, m->fd, &all, &same);
	progress_end(&m->run->progress);
	if (r == 0 && !same) {
		m->run->differs = true;
		complain("%s: what was stored DIFFERS", m->path);
	}
	reader_fini(&reader);
	return r;
}

static void estimate_disk(struct image *m)
{
	struct estimate *e = &m->estimate;
	struct disk_load load = {
		.leaves = m->leaves,
		.interior = disk_interior(m->leaves),
		.chapters = e->chapter,
		.records = e->seen.used,
		.recent = e->recorded,
	};

	estimate_end(e);
	load.data = e->counts.data_used;
	report_estimate(&m->report, &e->counts, m->disk.known,
			disk_metadata(&m->disk, &load));
}

int image_store(struct run *run)
{
	static struct image m;
	const struct arguments *a = run->arguments;
	int r, status;

	m.run = run;
	m.path = a->names[0];
	estimate_init(&m.estimate, a->config);
	r = open_source(&m);
	if (r == 0)
		r = open_volume(&m);
	report_start(&m.report, run);
	if (r == 0)
		r = copy_in(&m);
	if (r == 0 && a->verify && !a->dry_run)
		r = verify(&m);
	if (r == 0 && a->dry_run)
		estimate_disk(&m);
	else if (r == 0)
		report_measure(&m.report);
	status = run_end(run, "store it", r);
	if (target_close(run) != 0)
		status = EXIT_FAILED;
	else if (r == 0)
		report_end(&m.report);
	estimate_fini(&m.estimate);
	if (m.fd >= 0)
		close(m.fd);
	return status;
}

/*
 * Back
 */

static bool is_zero(const uint8_t *data, size_t bytes)
{
	return data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

/* Write @bytes; what is zero is left out of a new file. */
static int write_out(int fd, const uint8_t *data, size_t bytes, uint64_t at,
		     bool sparse)
{
	for (size_t i = 0; i < bytes;) {
		size_t n = BLOCK;
		ssize_t done;

		if (sparse && is_zero(data + i, BLOCK)) {
			i += BLOCK;
			continue;
		}
		while (i + n < bytes &&
		       !(sparse && is_zero(data + i + n, BLOCK)))
			n += BLOCK;
		done = pwrite(fd, data + i, n, (off_t)(at + i));
		if (done < 0 && errno != EINTR)
			return -1;
		/* a short write goes on at its last whole block */
		if (done > 0)
			i += (size_t)done - (size_t)done % BLOCK;
	}
	return 0;
}

static int copy_out(struct run *run, struct reader *reader, int fd, bool sparse)
{
	uint64_t at = 0;
	int r = 0;

	progress_begin(run, "extracting", reader->limit);
	while (at < reader->limit && r == 0) {
		const uint8_t *data;
		size_t n = CHUNK;

		r = reader_get(reader, at, &data, &n);
		if (r == 0 && interrupted())
			r = STOP_INTERRUPTED;
		if (r == 0 && write_out(fd, data, n, at, sparse) != 0) {
			complain("%s: %s", run->arguments->directory,
				 strerror(errno));
			r = STOP_SAID;
		}
		at += n;
		progress_add(&run->progress, n);
		progress_draw(&run->progress);
	}
	progress_end(&run->progress);
	return r;
}

/* The image is not the volume that is being read. */
static int check_destination(const struct arguments *a, struct storage to)
{
	struct storage volume = storage_at(a->volume);

	if (!storage_would_change(&to, &volume))
		return 0;
	complain("%s: is the same storage as %s, or holds it; nothing is "
		 "written",
		 a->directory, a->volume);
	return STOP_SAID;
}

/* Open what is to be written, and leave it as it is. */
static int open_destination(const struct arguments *a)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
	struct stat st;
	int fd;

	if (check_destination(a, storage_at(a->directory)) != 0)
		return -1;
	if (!a->force)
		flags |= O_CREAT | O_EXCL;
	else if (stat(a->directory, &st) == 0 && S_ISBLK(st.st_mode))
		flags |= O_EXCL; /* nobody else uses it */
	else
		flags |= O_CREAT;
	fd = open(a->directory, flags, 0666);
	if (fd < 0)
		complain("%s: %s%s", a->directory,
			 errno == EBUSY ? "is in use, mounted perhaps"
					: strerror(errno),
			 errno == EEXIST ? "; --force overwrites it" : "");
	return fd;
}

/* Make it a file of the size of the volume; a device must be large enough. */
static int size_destination(const struct run *run, int fd, bool *sparse)
{
	const struct arguments *a = run->arguments;
	uint64_t size = vdo_volume_size(run->volume);
	struct stat st;

	/* once more: the path may have led elsewhere before */
	if (check_destination(a, storage_open(fd)) != 0)
		return STOP_SAID;
	*sparse = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (*sparse) {
		if (ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)size) == 0)
			return 0;
		complain("%s: %s", a->directory, strerror(errno));
	} else if (lseek(fd, 0, SEEK_END) >= (off_t)size) {
		return 0;
	} else {
		complain("%s: is smaller than the volume", a->directory);
	}
	return STOP_SAID;
}

int image_extract(struct run *run)
{
	struct reader reader = {.memory = NULL};
	bool sparse = false;
	int r = target_open(run, true), fd = -1, status;

	if (r == 0) {
		fd = open_destination(run->arguments);
		r = fd < 0 ? STOP_SAID : size_destination(run, fd, &sparse);
	}
	if (r == 0)
		r = reader_init(&reader, run->volume, run->arguments->polled,
				vdo_volume_size(run->volume));
	if (r == 0)
		r = copy_out(run, &reader, fd, sparse);
	if (fd >= 0 && fsync(fd) != 0 && r == 0 && errno != EINVAL) {
		complain("%s: %s", run->arguments->directory, strerror(errno));
		r = STOP_SAID;
	}
	if (fd >= 0)
		close(fd);
	status = run_end(run, "read it", r);
	reader_fini(&reader);
	target_close(run);
	return status;
}
