/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which entries are meant: names, those read from a file among them, and
 * patterns of what is left out.
 */
#ifndef DEDUP_COPY_SELECT_H
#define DEDUP_COPY_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table.h"

struct arguments;
struct run;

struct names {
	char **list;
	size_t count;
};

/* Read names from @file, "-" being standard input; each ends with a newline, or
 * with a NUL. 0, or STOP_SAID. */
int names_read(struct names *n, const char *file, bool nul);
void names_fini(struct names *n);

/*
 * Does a pattern of --exclude match @path, in the archive, or a directory that
 * it is in? @source is the absolute path in the file system, or NULL.
 */
bool select_excludes(const struct arguments *a, const char *path,
		     const char *source, bool is_directory);

/* A key of the first @length bytes of a path, different in each run. */
struct key path_key(const char *path, size_t length);

/* The names of a command line, to find entries by. */
struct selection {
	const struct arguments *arguments;
	const char **names; /* as they are in an archive */
	size_t *lengths;
	bool *matched;
	size_t count; /* 0: everything is meant */
	struct table by_path;
	bool any; /* something was found */
};

/* -ENOMEM */
int selection_init(struct selection *s, const struct arguments *a);
void selection_fini(struct selection *s);

/* Is the entry at @path meant? */
bool selection_wants(struct selection *s, const char *path, bool is_directory);

/* Warn of names that did not come up. */
void selection_end(struct selection *s, struct run *run);

#endif
