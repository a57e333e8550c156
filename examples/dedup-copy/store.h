/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files that store share: store.c runs, gather.c makes entries of what
 * the walk finds, contents.c copies the data of files.
 */
#ifndef DEDUP_COPY_STORE_H
#define DEDUP_COPY_STORE_H

#include "estimate.h"
#include "kept.h"
#include "report.h"
#include "snapshots.h"
#include "survey.h"
#include "walk.h"

struct store {
	struct run *run;
	struct snapshots snapshots;
	struct container container; /* where this run stores */
	struct catalogue catalogue;
	struct plan plan;
	struct survey survey;
	struct table inodes; /* with more than one name: their first entry */
	struct kept kept;    /* what the archive has of the files already */
	struct writer writer;
	struct estimate estimate;
	struct disk disk; /* what a dry run knows of the volume */
	uint64_t end;	  /* of the container, after this run */
	struct report report;
};

/* What to do with what the walk finds; its argument is the store. */
extern const struct walk_ops gather_ops;

/*
 * Copy the data of the file at @fd, of e->size bytes, into the stream, but for
 * what the archive has of it, and add its extents to @e; @source is its name
 * for people. e->size becomes less if the file ends before. 0, a reason to
 * stop, or an error of the volume; *gone: the file cannot be read, which was
 * said.
 */
int contents_copy(struct store *s, int fd, const char *source, struct entry *e,
		  bool *gone);

#endif
