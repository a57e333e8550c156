/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going through the sources.
 *
 * Each directory is opened in the one it is in, and what is in it is looked at
 * from there; no path is ever taken twice. So nothing that changes meanwhile
 * leads out of a source, and paths may be of any length. What is found comes in
 * the order of the tree, a directory before what is in it, names sorted by
 * bytes.
 *
 * The sources are gone through twice: survey.c counts, store.c stores. Nothing
 * of the first time is used the second time but sums.
 *
 * Runs on: one thread.
 * Lifetime: walk_init() to walk_fini().
 *
 * walk.c goes through one tree, sources.c says which.
 */
#ifndef DEDUP_COPY_WALK_H
#define DEDUP_COPY_WALK_H

#include "dedup-copy.h"
#include "select.h"
#include "table.h"
#include "trail.h"

/* A text that grows and shrinks at its end. */
struct path {
	char *text;
	size_t length, max;
};

/* One thing that was found. */
struct found {
	int parent;	    /* the directory it is in */
	const char *name;   /* there */
	const char *path;   /* in the archive */
	const char *source; /* where it is, for people */
	uint32_t root;
	struct stat st;
};

/* What has to be done again, since it was another one when it was opened. */
#define WALK_AGAIN 100

struct walk_ops {
	/*
	 * A file, symbolic link, FIFO or device. 0; WALK_AGAIN; a reason to
	 * stop; -ENOMEM and what is wrong with the volume.
	 */
	int (*other)(void *arg, const struct found *f);
	/*
	 * A directory, before its contents: @fd is open for reading, or -1.
	 * Results as above.
	 */
	int (*directory)(void *arg, const struct found *f, int fd);
};

#define VOLUME_FILES 8u

/* A directory that is being gone through. */
struct level {
	char **names;
	size_t count, next;
	size_t path_length, source_length; /* without what is in it */
	struct stat before;
};

struct walk {
	struct run *run;
	struct catalogue *catalogue; /* NULL: roots are not told apart */
	const struct walk_ops *ops;
	void *arg;
	bool quiet;	 /* nothing is said about what cannot be read */
	bool met_volume; /* it lies in the sources */
	/* the volume; the files that hold it, where it is a device */
	struct storage volume[VOLUME_FILES];
	unsigned volume_count;
	struct trail trail;
	struct path path, source;
	struct level *levels;
	size_t depth, depth_max;
	uint32_t root;
	bool excluded; /* what was visited last */
	bool again;    /* it is looked at once more */
	struct table seen; /* paths, where names are listed */
};

/* A warning, unless only sums are wanted. */
#define walk_say(w, ...)                                                       \
	do {                                                                   \
		if (!(w)->quiet)                                               \
			warn((w)->run, __VA_ARGS__);                           \
	} while (0)

void walk_init(struct walk *w, struct run *run, const struct walk_ops *ops,
	       void *arg);
void walk_fini(struct walk *w);

/* All sources of the command line. 0, a reason to stop, or an error. */
int walk_sources(struct walk *w);

/*
 * Visit @name where the trail is, called w->path in the archive; with @below
 * what is below it is left for walk_descend(), which comes back.
 */
int walk_visit(struct walk *w, const char *name, bool below);
int walk_descend(struct walk *w);

/* Cut @p to @length bytes, and put @more, or "/name", after them. False: out of
 * memory. */
bool walk_path_set(struct path *p, size_t length, const char *more);
bool walk_path_step(struct path *p, size_t length, const char *name);

/* The directory that a source is in, and its name there, for the caller to
 * close and free. -1 and errno. */
int walk_open_source(const char *source, char **name);

/* The absolute path of a source, symbolic links in its last component kept. For
 * the caller to free; NULL and errno. */
char *walk_origin(const char *source);

#endif
