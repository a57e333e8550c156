/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup-copy --list: the snapshots and what is in them.
 */
#include "build.h"

#include "snapshots.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static const char *type_name(enum entry_type type)
{
	switch (type) {
	case ENTRY_FILE:
		return "file";
	case ENTRY_DIRECTORY:
		return "directory";
	case ENTRY_SYMLINK:
		return "symlink";
	case ENTRY_FIFO:
		return "fifo";
	case ENTRY_CHAR:
		return "char";
	case ENTRY_BLOCK:
		return "block";
	case ENTRY_HARDLINK:
		return "hardlink";
	}
	return "?";
}

const char *time_text(char *text, size_t size, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, size, "%lld", (long long)when);
	return text;
}

/* "-rwxr-x---"; set-id and sticky bits as ls shows them. */
static const char *mode_text(char *text, const struct entry *e)
{
	static const char letters[] = "rwxrwxrwx";
	static const char special[] = "sst", without[] = "SST";

	text[0] = e->type == ENTRY_FILE ? '-' : (char)e->type;
	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = e->mode & (0400u >> i) ? letters[i] : '-';
	for (unsigned i = 0; i < 3; i++)
		if (e->mode & (04000u >> i))
			text[3 + 3 * i] = text[3 + 3 * i] == 'x' ? special[i]
								 : without[i];
	text[10] = '\0';
	return text;
}

static void print_entry(const struct catalogue *c, const struct entry *e)
{
	char mode[11], when[32];

	printf("%s %5u %5u %12llu %s ", mode_text(mode, e), (unsigned)e->uid,
	       (unsigned)e->gid,
	       e->type == ENTRY_FILE ? (unsigned long long)e->size : 0,
	       time_text(when, sizeof(when), e->mtime));
	text_print(stdout, e->path);
	if (e->type == ENTRY_SYMLINK) {
		printf(" -> ");
		text_print(stdout, e->target);
	} else if (e->type == ENTRY_HARDLINK) {
		printf(" link to ");
		text_print(stdout, c->entries[e->link].path);
	}
	putchar('\n');
}

/* What a snapshot is, in a line, and where it came from. */
static void print_head(const struct catalogue *c)
{
	char when[32], size[SIZE_TEXT];

	printf("snapshot %u  %s  %llu entries, %s\n", (unsigned)c->number,
	       time_text(when, sizeof(when), c->time),
	       (unsigned long long)c->entry_count,
	       size_text(size, c->file_bytes));
	for (uint32_t i = 0; i < c->root_count; i++) {
		const struct root *root = &c->roots[i];

		if (root->snapshot != c->number)
			continue;
		printf("from ");
		text_print(stdout, root->origin);
		printf(" as ");
		text_print(stdout, root->name);
		putchar('\n');
	}
}

static void print_snapshot(const struct catalogue *c, const bool *wanted)
{
	print_head(c);
	for (uint64_t i = 0; i < c->entry_count; i++)
		if (wanted != NULL && wanted[i])
			print_entry(c, &c->entries[i]);
}

static void json_entry(struct json *j, const struct catalogue *c,
		       const struct entry *e)
{
	json_begin(j, NULL, '{');
	json_string(j, "path", e->path);
	json_string(j, "type", type_name(e->type));
	json_number(j, "mode", e->mode);
	json_number(j, "uid", e->uid);
	json_number(j, "gid", e->gid);
	json_signed(j, "mtime", e->mtime);
	json_number(j, "mtime_ns", e->mtime_ns);
	if (e->type == ENTRY_FILE) {
		json_number(j, "size", e->size);
		json_number(j, "extents", e->extent_count);
	}
	if (e->type == ENTRY_SYMLINK)
		json_string(j, "target", e->target);
	if (e->type == ENTRY_HARDLINK)
		json_string(j, "target", c->entries[e->link].path);
	json_end(j, '}');
}

static void json_snapshot(struct json *j, const struct catalogue *c,
			  const bool *wanted)
{
	json_begin(j, NULL, '{');
	json_number(j, "number", c->number);
	json_signed(j, "time", c->time);
	json_number(j, "bytes", c->file_bytes);
	json_begin(j, "roots", '[');
	for (uint32_t i = 0; i < c->root_count; i++) {
		if (c->roots[i].snapshot != c->number)
			continue;
		json_begin(j, NULL, '{');
		json_string(j, "name", c->roots[i].name);
		json_string(j, "origin", c->roots[i].origin);
		json_end(j, '}');
	}
	json_end(j, ']');
	if (wanted != NULL)
		json_begin(j, "entries", '[');
	else
		json_number(j, "entry_count", c->entry_count);
	for (uint64_t i = 0; i < c->entry_count; i++)
		if (wanted != NULL && wanted[i])
			json_entry(j, c, &c->entries[i]);
	if (wanted != NULL)
		json_end(j, ']');
	json_end(j, '}');
}

struct list {
	struct run *run;
	struct snapshots snapshots;
	struct selection selection;
	struct json json;
};

/* Show one snapshot: what is meant of it, if anything is. */
static int show(struct list *l, const struct catalogue *c)
{
	const struct arguments *a = l->run->arguments;
	bool *wanted = NULL, any = l->selection.count == 0;

	if (!a->snapshots) {
		wanted = calloc((size_t)c->entry_count + 1, sizeof(*wanted));
		if (wanted == NULL)
			return -ENOMEM;
	}
	for (uint64_t i = 0; i < c->entry_count && wanted != NULL; i++) {
		const struct entry *e = &c->entries[i];

		wanted[i] = selection_wants(&l->selection, e->path,
					    e->type == ENTRY_DIRECTORY);
		any |= wanted[i];
	}
	if (any && a->json)
		json_snapshot(&l->json, c, wanted);
	else if (any)
		print_snapshot(c, wanted);
	free(wanted);
	return 0;
}

/* Oldest first. */
static int list_all(struct list *l)
{
	const struct snapshots *all = &l->snapshots;
	uint32_t number = l->run->arguments->snapshot;
	bool json = l->run->arguments->json;
	struct catalogue c;
	int r = 0;

	if (number != 0 && snapshots_need(all, number) == NULL)
		return STOP_SAID;
	if (json)
		json_begin(&l->json, NULL, '[');
	for (size_t i = all->count; i > 0 && r == 0 && !interrupted(); i--) {
		const struct snapshot *one = &all->all[i - 1];

		if (number != 0 && one->number != number)
			continue;
		r = snapshots_read(&l->snapshots, one, &c);
		if (r == 0)
			r = show(l, &c);
		catalogue_fini(&c);
	}
	if (json)
		json_end(&l->json, ']');
	return r == 0 && interrupted() ? STOP_INTERRUPTED : r;
}

int list_run(struct run *run)
{
	static struct list l;
	int r = target_open(run, true), status;

	l.run = run;
	l.json.file = stdout;
	if (r == 0)
		r = snapshots_load(&l.snapshots, run, false);
	if (r == 0)
		r = selection_init(&l.selection, run->arguments);
	if (r == 0)
		r = list_all(&l);
	if (r == 0)
		selection_end(&l.selection, run);
	status = run_end(run, "read it", r);
	if (status == EXIT_PARTIAL && !l.selection.any)
		status = EXIT_FAILED;
	snapshots_fini(&l.snapshots);
	selection_fini(&l.selection);
	target_close(run);
	return status;
}
