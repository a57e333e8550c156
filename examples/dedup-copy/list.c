/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup-copy --list: the snapshots and what is in them.
 */
#include "build.h"

#include "dedup-copy.h"

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

static const char *time_text(char *text, size_t size, int64_t when)
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

static void print_snapshot(const struct catalogue *c)
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
	for (uint64_t i = 0; i < c->entry_count; i++)
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

static void json_snapshot(struct json *j, const struct catalogue *c)
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
	json_begin(j, "entries", '[');
	for (uint64_t i = 0; i < c->entry_count; i++)
		json_entry(j, c, &c->entries[i]);
	json_end(j, ']');
	json_end(j, '}');
}

/* Catalogues lead to older ones; they are shown oldest first. */
static int list_all(struct run *run, const struct container *box,
		    struct reader *reader)
{
	struct json j = {.file = stdout};
	uint64_t *places = calloc((size_t)box->snapshots + 1, sizeof(*places));
	uint64_t place = box->catalogue;
	uint32_t count = 0;
	struct catalogue c;
	int r = places == NULL ? -ENOMEM : 0;

	while (place != 0 && count < box->snapshots && r == 0) {
		places[count++] = place;
		r = catalogue_read_header(&c, reader, place);
		place = c.previous;
	}
	if (run->arguments->json)
		json_begin(&j, NULL, '[');
	while (count > 0 && r == 0 && !interrupted()) {
		r = catalogue_read(&c, reader, places[--count]);
		if (r == 0 && run->arguments->snapshot != 0 &&
		    run->arguments->snapshot != c.number)
			; /* not this one */
		else if (r == 0 && run->arguments->json)
			json_snapshot(&j, &c);
		else if (r == 0)
			print_snapshot(&c);
		catalogue_fini(&c);
	}
	if (run->arguments->json)
		json_end(&j, ']');
	free(places);
	return r == 0 && interrupted() ? STOP_INTERRUPTED : r;
}

int list_run(struct run *run)
{
	struct container box;
	struct reader reader;
	int r = target_open(run, true), status;

	if (r == 0)
		r = target_load(run, &box, false);
	if (r == 0) {
		r = reader_init(&reader, run->volume, run->arguments->polled,
				box.end);
		if (r == 0)
			r = list_all(run, &box, &reader);
		reader_fini(&reader);
	}
	status = run_end(run, "read it", r);
	target_close(run);
	return status;
}
