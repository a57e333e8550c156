/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing files back: which, from which snapshot, in which order. How a single
 * one is made is in restore.c.
 */
#include "build.h"

#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static bool is_wanted(struct extract *x, const struct entry *e)
{
	if (x->run->arguments->snapshot == 0 &&
	    (e->root >= x->newest.root_count ||
	     x->newest.roots[e->root].snapshot != x->current.number))
		return false;
	return selection_wants(&x->selection, e->path,
			       e->type == ENTRY_DIRECTORY);
}

/* What is wrong with an entry. */
static void say_why(struct extract *x, const char *path, int r)
{
	if (r == -EEXIST)
		warn(x->run, "%s: is there already; --force replaces files",
		     path);
	else if (r == -EBUSY)
		warn(x->run, "%s: is the volume itself; it is not replaced",
		     path);
	else if (r == -EPERM && !path_is_safe(path))
		warn(x->run, "%s: leads out of the directory; refused", path);
	else if (r == -ESTALE)
		warn(x->run, "%s: a directory on the way was moved or replaced",
		     path);
	else
		warn(x->run, "%s: %s", path, vdo_strerror(r));
}

static int restore(struct extract *x, uint64_t number)
{
	const struct catalogue *c = &x->current;
	const struct entry *e = &c->entries[number];
	uint64_t key = e->type == ENTRY_HARDLINK ? e->link : number;
	char *path = restore_place(x, e);
	int r = -ENOMEM;

	if (path == NULL)
		return r;
	if (x->run->arguments->verbose > 0)
		mention("%s", e->path);
	if (e->type == ENTRY_HARDLINK && x->restored[key] != 0) {
		r = restore_link(x, &c->entries[x->restored[key] - 1], path);
	} else {
		r = restore_entry(x, &c->entries[key], path);
		if (r == 0)
			x->restored[key] = number + 1;
	}
	free(path);
	if (r >= 0)
		return r;
	say_why(x, e->path, r);
	return 0;
}

/* Names of roots that no file can have, which older programs made of long ones:
 * cut in the middle, so that "~2" stays. */
static int shorten_roots(struct catalogue *c)
{
	for (uint32_t i = 0; i < c->root_count; i++) {
		struct root *root = &c->roots[i];

		if (strlen(root->name) <= NAME_MAX)
			continue;
		root->place = catalogue_free_name(c, root->name);
		if (root->place == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* All that is wanted of a snapshot. */
static int extract_snapshot(struct extract *x, const struct snapshot *one)
{
	struct catalogue *c = &x->current;
	uint64_t total = 0;
	int r = snapshots_read(&x->snapshots, one, c);

	if (r == 0) {
		x->restored = calloc((size_t)c->entry_count + 1,
				     sizeof(*x->restored));
		r = x->restored == NULL ? -ENOMEM : shorten_roots(c);
	}
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++)
		if (is_wanted(x, &c->entries[i]))
			for (uint32_t k = 0; k < c->entries[i].extent_count;
			     k++)
				total += c->entries[i].extents[k].length;
	progress_begin(x->run, "extracting", total);
	for (uint64_t i = 0; i < c->entry_count && r == 0; i++) {
		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (is_wanted(x, &c->entries[i]))
			r = restore(x, i);
	}
	progress_end(&x->run->progress);
	if (x->restored != NULL)
		restore_directories(x);
	free(x->restored);
	x->restored = NULL;
	catalogue_fini(c);
	return r;
}

/* Each snapshot that is the newest of some root, once. */
static int extract_newest(struct extract *x)
{
	int r = snapshots_roots(&x->snapshots, &x->newest);

	for (uint32_t i = 0; i < x->newest.root_count && r == 0; i++) {
		uint32_t number = x->newest.roots[i].snapshot, k = 0;

		while (x->newest.roots[k].snapshot != number)
			k++;
		if (k == i && number != 0)
			r = extract_snapshot(
				x, snapshots_find(&x->snapshots, number));
	}
	return r;
}

/* The directory of the user, made if it is missing. */
static int open_top(struct extract *x)
{
	const char *directory = x->run->arguments->directory;

	if (mkdir(directory, 0777) == 0 || errno == EEXIST)
		x->top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->top < 0 && errno == EACCES)
		x->top = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (x->top >= 0) {
		trail_init(&x->trail, x->top);
		return 0;
	}
	complain("%s: %s", directory, strerror(errno));
	return STOP_SAID;
}

static int extract_all(struct extract *x)
{
	const struct arguments *a = x->run->arguments;
	const struct snapshot *one = NULL;
	int r = selection_init(&x->selection, a);

	if (r == 0 && a->snapshot != 0) {
		one = snapshots_need(&x->snapshots, a->snapshot);
		r = one == NULL ? STOP_SAID : 0;
	}
	if (r == 0)
		r = open_top(x);
	if (r == 0)
		r = one == NULL ? extract_newest(x) : extract_snapshot(x, one);
	if (r == 0)
		selection_end(&x->selection, x->run);
	return r;
}

static void print_result(const struct extract *x)
{
	struct json j = {.file = stdout};
	char size[SIZE_TEXT];

	if (!x->run->arguments->json) {
		printf("%llu files, %llu directories, %llu others, %s\n",
		       (unsigned long long)x->files,
		       (unsigned long long)x->directories,
		       (unsigned long long)x->others,
		       size_text(size, x->bytes));
		return;
	}
	json_begin(&j, NULL, '{');
	json_number(&j, "files", x->files);
	json_number(&j, "directories", x->directories);
	json_number(&j, "others", x->others);
	json_number(&j, "bytes", x->bytes);
	json_bool(&j, "warnings", x->run->warned);
	json_end(&j, '}');
}

int extract_run(struct run *run)
{
	struct extract x = {.run = run, .top = -1};
	struct storage volume = storage_at(run->arguments->volume);
	int r = target_open(run, true), status;

	if (r == 0)
		r = snapshots_load(&x.snapshots, run, false);
	x.volume_count = storage_files(&volume, x.volume, VOLUME_FILES);
	if (r == 0)
		r = extract_all(&x);
	if (r == 0)
		print_result(&x);
	status = run_end(run, "read it", r);
	if (status == EXIT_PARTIAL && x.files + x.directories + x.others == 0)
		status = EXIT_FAILED;
	snapshots_fini(&x.snapshots);
	target_close(run);
	catalogue_fini(&x.newest);
	trail_fini(&x.trail);
	selection_fini(&x.selection);
	if (x.top >= 0)
		close(x.top);
	return status;
}
