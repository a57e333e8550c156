/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup-copy: copy files, trees and images into a volume and back.
 *
 *	main.c       arguments                select.c names and patterns
 *	target.c     create, open and close the volume
 *	walk.c, sources.c  what there is      trail.c  by descriptors
 *	survey.c     how much there is        store.c, gather.c, contents.c
 *	                                      sources -> volume
 *	image.c      one image <-> volume     estimate.c  what would be saved
 *	extract.c    volume -> files          restore.c  make one of them
 *	list.c, verify.c                      look, and compare
 *	prune.c      remove snapshots
 *	report.c     what was saved, as text or JSON
 *	catalogue.c, container.c, snapshots.c the archive on the volume
 *	writer.c, reader.c                    many writes and reads in flight
 */
#ifndef DEDUP_COPY_H
#define DEDUP_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../common.h"
#include "../storage.h"
#include "../text.h"
#include "catalogue.h"
#include "container.h"
#include "disk.h"
#include "reader.h"
#include "select.h"
#include "writer.h"

/* Besides those of all programs. */
enum {
	EXIT_PARTIAL = 3, /* done, but not with everything */
	EXIT_INTERRUPTED = 130,
};

enum mode {
	MODE_STORE,
	MODE_LIST,
	MODE_EXTRACT,
	MODE_REMOVE,
	MODE_PRUNE,
};

/* Rules that keep snapshots: the last ones, or one of each of the last days... */
enum keep {
	KEEP_LAST,
	KEEP_DAILY,
	KEEP_WEEKLY,
	KEEP_MONTHLY,
	KEEP_YEARLY,
	KEEP_RULES
};

#define NO_TIME INT64_MIN

struct arguments {
	enum mode mode;
	bool image, json, dry_run, verify, force;
	bool snapshots; /* with MODE_LIST: without what is in them */
	bool no_recursion, nul;
	unsigned verbose;
	int progress; /* 1 always, 0 never, -1 on a terminal */
	const char *size, *logical_size; /* NULL: not given */
	uint32_t snapshot;		 /* 0: the newest of each root */
	uint32_t *removed;		 /* with MODE_REMOVE: numbers */
	size_t removed_count;
	uint32_t keep[KEEP_RULES]; /* 0: there is no such rule */
	int64_t time;		   /* of the snapshot; NO_TIME: now */
	struct vdo_config *config;
	bool polled; /* executor=inline */
	const char *volume;
	char **names; /* sources, or names in the archive */
	int name_count;
	const char *files_from; /* more of them, or NULL */
	struct names listed;
	struct exclude {
		char *pattern; /* no slash at its end */
		bool directories_only;
	} *excludes;
	size_t exclude_count;
	const char *directory; /* or image to extract to */
};

/* One run of the program. */
struct run {
	const struct arguments *arguments;
	struct vdo_volume *volume; /* NULL: dry run with nothing there */
	bool created;		   /* the volume, by this run */
	bool said_full;		   /* that there is no room for more */
	uint64_t disk_before;	   /* bytes that the volume took */
	struct progress progress;
	bool warned;  /* EXIT_PARTIAL */
	bool differs; /* EXIT_FAILED: what was stored is not what was read */
};

/* complain(), and remember it for the exit code. */
#define warn(run, ...) ((run)->warned = true, complain(__VA_ARGS__))

/* Why an operation was broken off. Positive, unlike errors. */
enum { STOP_INTERRUPTED = 1, STOP_SAID = 2 /* the reason was printed */ };

/* progress_start(), as the arguments say. */
void progress_begin(struct run *run, const char *label, uint64_t total);

/* The exit code for a result; prints what went wrong with the volume. */
int run_end(struct run *run, const char *what, int result);

/*
 * target.c. STOP_SAID when it did not work.
 */
struct need {
	uint64_t bytes;	  /* that will be stored */
	uint64_t logical; /* size for a new volume; 0: choose */
};

int target_create_or_open(struct run *run, const struct need *need);
/* Choose the sizes of a new volume, as target_create_or_open() does; @disk says
 * what it will be like. */
int target_plan(struct run *run, const struct need *need, struct disk *disk);
int target_open(struct run *run, bool read_only);
/* Had the storage, its quota or its file no room for more? */
bool target_is_full(int result);
int target_close(struct run *run);
bool target_is_missing(const char *path);

/* The next data at @from or after it: in blocks of 4096. False: no more. */
bool next_data(int fd, uint64_t from, uint64_t size, struct extent *extent);

/*
 * xattr.c. Extended attributes as a list of: length of the name (2), length of
 * the value (4), name, value. @fd is open for reading.
 */
void xattrs_load(int fd, struct entry *e);
bool xattrs_restore(int fd, const struct entry *e);

/*
 * The operations. Each returns an exit code.
 */
int store_run(struct run *run);
int image_store(struct run *run);
int image_extract(struct run *run);
int list_run(struct run *run);
int extract_run(struct run *run);
int prune_run(struct run *run);

/* "2026-11-22 10:00:00"; @text is returned. list.c */
const char *time_text(char *text, size_t size, int64_t when);

/*
 * verify.c. 0, an error, or a reason to stop.
 */

/* Compare the newest snapshot with its sources. @stored is what was written,
 * with what only memory has. */
int verify_snapshot(struct run *run, const struct container *box,
		    const struct catalogue *stored);

/* Compare one extent with an open file. */
int verify_extent(struct run *run, struct reader *reader, int fd,
		  const struct extent *x, bool *same);

#endif
