/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What extract.c and restore.c share.
 */
#ifndef DEDUP_COPY_EXTRACT_H
#define DEDUP_COPY_EXTRACT_H

#include "select.h"
#include "snapshots.h"
#include "table.h"
#include "walk.h"

/* A directory that was there, and whose owner could not write in it. */
struct opened {
	char *path;
	dev_t device;
	ino_t inode;
	mode_t mode; /* before */
	bool done;   /* it has another mode, which it was meant to have */
};

struct extract {
	struct run *run;
	struct snapshots snapshots;
	struct catalogue newest; /* its roots say which snapshot counts */
	struct catalogue current;
	uint64_t *restored; /* per entry: 1 + entry it was made as */
	struct selection selection;
	int top;	    /* the directory of the user */
	struct trail trail; /* in it */
	struct opened *opened;
	size_t opened_count;
	struct table opened_by; /* inode: number in opened */
	struct storage volume[VOLUME_FILES]; /* never replaced */
	unsigned volume_count;
	uint64_t files, directories, others, bytes;
};

/*
 * Make entry @e, which is at @path or another name of it; or @path as a second
 * name for what was restored as @other. 0; a reason to stop, which was said;
 * negative: this one cannot be had. -EEXIST: something is there; -EBUSY: the
 * volume is there.
 */
int restore_entry(struct extract *x, const struct entry *e, const char *path);
int restore_link(struct extract *x, const struct entry *other,
		 const char *path);

/*
 * Modes and times of all directories that were restored, and the modes of those
 * that were opened up on the way. Whatever happened before.
 */
void restore_directories(struct extract *x);

/* The path where an entry goes, for the caller to free. NULL: out of memory. */
char *restore_place(const struct extract *x, const struct entry *e);

#endif
