/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl write, read and discard: any byte range.
 *
 * The library takes multiples of vdo_volume_alignment(). Data moves through a
 * window of WINDOW bytes that is aligned on the volume; where a range begins or
 * ends inside of an alignment unit, the unit is read first and written back as
 * a whole. Nobody else can have the volume open, so nothing comes in between.
 */
#include "vdoctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../storage.h"

#define WINDOW (4u << 20)

struct job {
	const char *path;
	struct target target;
	struct vdo_volume *volume; /* of the target */
	uint64_t position, end; /* what is left of the range, in bytes */
	uint64_t unit;          /* the alignment */
	char *window;
	struct progress progress;
	uint64_t first; /* byte of the range */
	bool verbose;
};

static uint64_t round_down(uint64_t n, uint64_t unit)
{
	return n - n % unit;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return round_down(n + unit - 1, unit);
}

/* Open the volume and find the range. */
static int job_open(struct job *job, const struct arguments *a,
		    const char *label, bool writes)
{
	uint64_t size;
	int code;

	memset(job, 0, sizeof(*job));
	job->path = a->path;
	job->window = aligned_alloc(4096, WINDOW);
	if (job->window == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	code = target_open(&job->target, a, writes);
	if (code != EXIT_OK)
		return code;
	job->volume = job->target.volume;
	size = vdo_volume_size(job->volume);
	job->unit = vdo_volume_alignment(job->volume);
	if (a->offset > size ||
	    (a->has_length && a->length > size - a->offset)) {
		complain("%s: the range ends behind the volume, which has %llu "
			 "bytes",
			 a->path, (unsigned long long)size);
		return EXIT_FAILED;
	}
	job->position = job->first = a->offset;
	job->verbose = a->verbose;
	job->end = a->has_length ? a->offset + a->length : size;
	progress_start(&job->progress, label,
		       a->has_length ? a->length : 0);
	return EXIT_OK;
}

/* Close the volume; its failure is ours. */
static int job_close(struct job *job, const struct arguments *a, int code)
{
	progress_end(&job->progress);
	if (job->verbose)
		mention("%s: %s: %llu bytes from byte %llu on", job->path,
			job->progress.label,
			(unsigned long long)(job->position - job->first),
			(unsigned long long)job->first);
	code = target_close(&job->target, a, code);
	free(job->window);
	if (code == EXIT_OK && interrupted()) {
		complain("interrupted");
		code = EXIT_FAILED;
	}
	return code;
}

/*
 * The window on the next piece of the range: it begins at base, and the piece
 * is the bytes [skip, skip + count) of it.
 */
struct piece {
	uint64_t base;
	size_t skip, count, length; /* length: of the window, aligned */
};

static struct piece next_piece(const struct job *job)
{
	struct piece p;
	uint64_t left = job->end - job->position;

	p.base = round_down(job->position, job->unit);
	p.skip = (size_t)(job->position - p.base);
	p.count = WINDOW - p.skip;
	if (p.count > left)
		p.count = (size_t)left;
	p.length = (size_t)round_up(p.skip + p.count, job->unit);
	return p;
}

static void advance(struct job *job, size_t count)
{
	job->position += count;
	progress_add(&job->progress, count);
	progress_draw(&job->progress);
}

/*
 * Fill in what the volume has around a piece that is not aligned: in front of
 * it in its first unit, behind it in its last.
 */
static int load_edges(struct job *job, const struct piece *p)
{
	char edge[4096];
	size_t unit = (size_t)job->unit;
	size_t end = p->skip + p->count, last = p->length - unit;
	int r = 0;

	if (p->skip != 0) {
		r = vdo_pread(job->volume, edge, unit, p->base, 0);
		if (r == 0)
			memcpy(job->window, edge, p->skip);
	}
	if (r == 0 && end != p->length) {
		r = vdo_pread(job->volume, edge, unit, p->base + last, 0);
		if (r == 0)
			memcpy(job->window + end, edge + (end - last),
			       p->length - end);
	}
	return r;
}

/*
 * write
 */

static const char write_help[] =
	"Usage: vdoctl write FILE [OPTION]... <DATA\n"
	"Copy standard input into a volume, up to its end.\n\n"
	"  --offset N     byte of the volume to begin at (default 0)\n"
	"  --length N     bytes to copy at most\n"
	"  --sub NAME     in the sub-volume of this name\n"
	"  --force        in a volume that holds sub-volumes: in all of it, which "
	"may\n                 destroy them\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

/* Up to @count bytes of standard input; fewer only at its end. */
static ssize_t read_input(char *buffer, size_t count)
{
	size_t done = 0;

	while (done < count && wait_to_read(STDIN_FILENO)) {
		ssize_t n = read(STDIN_FILENO, buffer + done, count - done);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* The range is full: is there more input that was not asked to be left? */
static int check_rest(const struct job *job, const struct arguments *a)
{
	char byte;

	if (a->has_length || interrupted() || read_input(&byte, 1) <= 0)
		return EXIT_OK;
	complain("%s: the volume ends before the data does", job->path);
	return EXIT_FAILED;
}

/* One piece; *@over is set at the end of the input. */
static int write_piece(struct job *job, bool *over)
{
	struct piece p = next_piece(job);
	ssize_t n = read_input(job->window + p.skip, p.count);
	int r;

	if (n < 0)
		return complain_result("standard input", "read", (int)n);
	*over = (size_t)n < p.count;
	if (n == 0)
		return EXIT_OK;
	p.count = (size_t)n;
	p.length = (size_t)round_up(p.skip + p.count, job->unit);
	r = load_edges(job, &p);
	if (r != 0)
		return complain_result(job->path, "read", r);
	r = vdo_pwrite(job->volume, job->window, p.length, p.base, 0);
	if (r != 0)
		return complain_result(job->path, "write", r);
	advance(job, p.count);
	return EXIT_OK;
}

/* Data that comes from the volume itself would run ahead of its end. */
static int check_input(const struct arguments *a)
{
	struct storage volume = storage_at(a->path);
	struct storage in = storage_open(STDIN_FILENO);

	if (!storage_would_change(&volume, &in))
		return EXIT_OK;
	complain("%s: standard input is the volume itself, or lies on it; "
		 "nothing is written",
		 a->path);
	return EXIT_FAILED;
}

static int run_write(struct job *job, const struct arguments *a)
{
	int code = check_input(a);
	bool over = false;

	memset(job, 0, sizeof(*job));
	if (code == EXIT_OK)
		code = job_open(job, a, "writing", true);
	while (code == EXIT_OK && !over && !interrupted() &&
	       job->position < job->end)
		code = write_piece(job, &over);
	if (code == EXIT_OK && !over)
		code = check_rest(job, a);
	return code;
}

/*
 * read
 */

static const char read_help[] =
	"Usage: vdoctl read FILE [OPTION]... >DATA\n"
	"Copy a part of a volume, by default all of it, to standard output.\n"
	"The volume is opened read-only.\n\n"
	"  --offset N     first byte (default 0)\n"
	"  --length N     number of bytes (default: up to the end)\n"
	"  --sub NAME     of the sub-volume of this name\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

static int write_output(const char *buffer, size_t count)
{
	while (count > 0 && wait_to_write(STDOUT_FILENO)) {
		ssize_t n = write(STDOUT_FILENO, buffer, count);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		buffer += n;
		count -= (size_t)n;
	}
	return 0;
}

static int run_read(struct job *job, const struct arguments *a)
{
	int code = job_open(job, a, "reading", false);

	if (code == EXIT_OK)
		job->progress.total = job->end - job->position;
	while (code == EXIT_OK && job->position < job->end && !interrupted()) {
		struct piece p = next_piece(job);
		int r = vdo_pread(job->volume, job->window, p.length, p.base,
				  0);

		if (r != 0)
			return complain_result(job->path, "read", r);
		r = write_output(job->window + p.skip, p.count);
		if (r != 0)
			return complain_result("standard output", "write", r);
		advance(job, p.count);
	}
	return code;
}

/*
 * discard
 */

static const char discard_help[] =
	"Usage: vdoctl discard FILE --offset N --length N [OPTION]...\n"
	"Forget a part of a volume: it reads as zeroes and takes no space.\n\n"
	"  --offset N     first byte\n"
	"  --length N     number of bytes\n"
	"  --sub NAME     in the sub-volume of this name\n"
	"  --force        in a volume that holds sub-volumes: in all of it, which "
	"may\n                 destroy them\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

/* Bytes that are no whole unit become zeroes by being written. */
static int zero_part(struct job *job, uint64_t count)
{
	struct piece p = next_piece(job);
	int r;

	p.count = (size_t)count;
	p.length = (size_t)job->unit;
	r = vdo_pread(job->volume, job->window, p.length, p.base, 0);
	if (r != 0)
		return complain_result(job->path, "read", r);
	memset(job->window + p.skip, 0, p.count);
	r = vdo_pwrite(job->volume, job->window, p.length, p.base, 0);
	if (r != 0)
		return complain_result(job->path, "write", r);
	advance(job, p.count);
	return EXIT_OK;
}

static int discard_whole(struct job *job, uint64_t count)
{
	int r = vdo_discard(job->volume, count, job->position, 0);

	if (r != 0)
		return complain_result(job->path, "discard", r);
	job->position += count;
	return EXIT_OK;
}

static int run_discard(struct job *job, const struct arguments *a)
{
	int code = job_open(job, a, "discarding", true);
	uint64_t first, last;

	if (code != EXIT_OK)
		return code;
	first = round_up(job->position, job->unit);
	last = round_down(job->end, job->unit);
	if (job->position < first)
		code = zero_part(job, (first < job->end ? first : job->end) -
					      job->position);
	if (code == EXIT_OK && first < last)
		code = discard_whole(job, last - first);
	if (code == EXIT_OK && job->position < job->end)
		code = zero_part(job, job->end - job->position);
	return code;
}

/*
 * What the three have in common.
 */

static int run(int argc, char **argv, const char *accept, const char *help,
	       bool needs_range,
	       int (*work)(struct job *job, const struct arguments *a))
{
	struct arguments a;
	struct job job;
	int code = EXIT_OK;

	if (!arguments_parse(&a, argc, argv, accept, help)) {
		code = a.code;
	} else if (needs_range && !(a.has_offset && a.has_length)) {
		complain("--offset and --length are needed");
		code = try_help();
	} else {
		catch_if_writing(a.config);
		code = job_close(&job, &a, work(&job, &a));
	}
	arguments_free(&a);
	return code;
}

int command_write(int argc, char **argv)
{
	return run(argc, argv, "olSF", write_help, false, run_write);
}

int command_read(int argc, char **argv)
{
	return run(argc, argv, "olSr", read_help, false, run_read);
}

int command_discard(int argc, char **argv)
{
	return run(argc, argv, "olSF", discard_help, true, run_discard);
}
