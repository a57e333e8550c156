/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common.h"

/* Devices on top of each other; more are not looked through. */
#define DEPTH_MAX 8u

/* What a device is directly made of; more are not looked at. */
#define LOWER_MAX 32u

struct storage storage_of(const struct stat *st)
{
	struct storage s = {
		.exists = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ||
			  S_ISBLK(st->st_mode),
		.is_block = S_ISBLK(st->st_mode),
	};

	s.device = s.is_block ? st->st_rdev : st->st_dev;
	s.inode = s.is_block ? 0 : st->st_ino;
	return s;
}

struct storage storage_at(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? storage_of(&st) : (struct storage){0};
}

struct storage storage_open(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? storage_of(&st) : (struct storage){0};
}

bool storage_equal(const struct storage *a, const struct storage *b)
{
	return a->exists && b->exists && a->is_block == b->is_block &&
	       a->device == b->device && a->inode == b->inode;
}

/*
 * What the kernel says about block devices, below /sys/dev/block
 */

/* The first line of a file about a device. */
static bool read_line(dev_t device, const char *what, char *line, int size)
{
	char path[PATH_MAX];
	FILE *f;
	bool good;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device),
		 minor(device), what);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	good = fgets(line, size, f) != NULL;
	fclose(f);
	if (good)
		line[strcspn(line, "\n")] = '\0';
	return good;
}

static bool read_device(dev_t device, const char *what, struct storage *s)
{
	char line[64];
	unsigned high, low;

	if (!read_line(device, what, line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &high, &low) != 2)
		return false;
	*s = (struct storage){.exists = true,
			      .is_block = true,
			      .device = makedev(high, low)};
	return true;
}

static unsigned slaves(dev_t device, struct storage *lower, unsigned max)
{
	char path[PATH_MAX];
	struct dirent *d;
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves",
		 major(device), minor(device));
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while (count < max && (d = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "slaves/%s/dev", d->d_name);
		if (d->d_name[0] != '.' &&
		    read_device(device, path, &lower[count]))
			count++;
	}
	closedir(dir);
	return count;
}

/* What @s is directly made of. A file is made of nothing here. */
static unsigned lower_of(const struct storage *s, struct storage *lower)
{
	char line[PATH_MAX];
	unsigned count;

	if (!s->exists || !s->is_block)
		return 0;
	count = slaves(s->device, lower, LOWER_MAX - 2);
	if (read_line(s->device, "loop/backing_file", line, sizeof(line))) {
		lower[count] = storage_at(line);
		count += lower[count].exists;
	}
	if (read_line(s->device, "partition", line, sizeof(line)) &&
	    read_device(s->device, "../dev", &lower[count]))
		count++;
	return count;
}

/*
 * Is @part @whole, or made of it? With @file_systems a file is made of the
 * device that its file system is on.
 */
static bool is_made_of(const struct storage *part, const struct storage *whole,
		       bool file_systems, unsigned depth)
{
	struct storage lower[LOWER_MAX];
	unsigned count;

	if (storage_equal(part, whole))
		return true;
	if (!part->exists || depth == DEPTH_MAX)
		return false;
	count = lower_of(part, lower);
	if (!part->is_block && file_systems) {
		lower[0] = (struct storage){.exists = true,
					    .is_block = true,
					    .device = part->device};
		count = 1;
	}
	for (unsigned i = 0; i < count; i++)
		if (is_made_of(&lower[i], whole, file_systems, depth + 1))
			return true;
	return false;
}

/* The bytes of its file that a loop device shows. */
static bool loop_range(const struct storage *s, struct storage *file,
		       unsigned long long *start, unsigned long long *size)
{
	char line[PATH_MAX];

	if (!s->is_block ||
	    !read_line(s->device, "loop/backing_file", line, sizeof(line)))
		return false;
	*file = storage_at(line);
	*start = 0;
	*size = 0;
	if (read_line(s->device, "loop/offset", line, sizeof(line)))
		sscanf(line, "%llu", start);
	if (read_line(s->device, "size", line, sizeof(line)))
		sscanf(line, "%llu", size);
	*size *= 512;
	return true;
}

/* Two loop devices that show the same bytes of one file. */
static bool loops_meet(const struct storage *a, const struct storage *b)
{
	unsigned long long start[2], size[2];
	struct storage file[2];

	return loop_range(a, &file[0], &start[0], &size[0]) &&
	       loop_range(b, &file[1], &start[1], &size[1]) &&
	       storage_equal(&file[0], &file[1]) &&
	       start[0] < start[1] + size[1] && start[1] < start[0] + size[0];
}

bool storage_would_change(const struct storage *to, const struct storage *from)
{
	return to->exists && from->exists &&
	       (is_made_of(from, to, true, 0) ||
		is_made_of(to, from, false, 0) || loops_meet(to, from));
}

static unsigned add_files(const struct storage *s, struct storage *files,
			  unsigned count, unsigned max, unsigned depth)
{
	struct storage lower[LOWER_MAX];
	unsigned n;

	if (!s->exists || count == max || depth == DEPTH_MAX)
		return count;
	if (!s->is_block) {
		files[count] = *s;
		return count + 1;
	}
	n = lower_of(s, lower);
	for (unsigned i = 0; i < n; i++)
		count = add_files(&lower[i], files, count, max, depth + 1);
	return count;
}

unsigned storage_files(const struct storage *s, struct storage *files,
		       unsigned max)
{
	return add_files(s, files, 0, max, 0);
}

bool outputs_are_apart(const char *path)
{
	struct storage volume = storage_at(path);
	struct storage out = storage_open(STDOUT_FILENO);
	struct storage err = storage_open(STDERR_FILENO);

	if (storage_would_change(&err, &volume)) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		/* nothing can be said without writing to it */
		if (null >= 0)
			dup2(null, STDERR_FILENO);
		close(null);
		return false;
	}
	if (!storage_would_change(&out, &volume))
		return true;
	complain("%s: standard output is the volume itself; nothing is done",
		 path);
	return false;
}
