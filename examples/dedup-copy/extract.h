/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What extract.c and restore.c share.
 */
#ifndef DEDUP_COPY_EXTRACT_H
#define DEDUP_COPY_EXTRACT_H

#include "dedup-copy.h"

struct extract {
	struct run *run;
	struct container box;
	struct reader reader;
	struct catalogue newest; /* its roots say which catalogue counts */
	struct catalogue current;
	uint64_t *restored; /* per entry: 1 + entry it was made as */
	bool *matched;	    /* per name on the command line */
	int top;	    /* the directory of the user */
	int parent;	    /* last one used, or -1 */
	char *parent_path;
	uint64_t files, directories, others, bytes;
};

/*
 * The directory that @path is in, made if it is missing, and its name there.
 * -1: refused or failed, see errno. The descriptor is valid until the next
 * call.
 */
int place_find(struct extract *x, const char *path, const char **name);
void place_forget(struct extract *x);

/* Is the place free, or can it be made so? */
bool place_clear(struct extract *x, int parent, const char *name,
		 const struct entry *e);

/*
 * Make entry @e under @path, which is that of a hard link at times; or a second
 * name for what was restored as @other. 0; a reason to stop, which was said;
 * negative: this one cannot be had.
 */
int restore_entry(struct extract *x, const struct entry *e, const char *path);
int restore_link(struct extract *x, const struct entry *other,
		 const char *path);

/* Modes and times of all directories that were restored. */
void restore_directories(struct extract *x);

#endif
