/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A way down a tree of directories, by descriptors.
 *
 * Each step is opened in the directory before it, symbolic links are not
 * followed, and what a step is (device and inode) is remembered. So a directory
 * that somebody moves or replaces meanwhile leads nowhere else, and the path may
 * be of any length. Only the last few steps are open; one that is needed again
 * is opened by "..", or once more from the top, and must be the same.
 *
 * Invariants
 *  (1) Steps [first_open, depth) are open, at most TRAIL_OPEN of them, unless
 *      the last one is lost: then none is.
 *  (2) The descriptor of a step is good for openat() and the like only (O_PATH).
 *
 * Lifetime: trail_init() to trail_fini(); the top is the caller's.
 */
#ifndef DEDUP_COPY_TRAIL_H
#define DEDUP_COPY_TRAIL_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TRAIL_OPEN 16u

struct trail_step {
	char *name;
	dev_t device;
	ino_t inode;
	int fd;
};

struct trail {
	int top; /* a directory */
	struct trail_step *steps;
	size_t depth, max, first_open;
	/* A directory that is missing on the way: made by this, or NULL.
	 * 0 or -errno. */
	int (*make)(void *arg, int parent, const char *name);
	/* Called for each directory that is entered, or NULL. 0 or -errno. */
	int (*entered)(void *arg, const struct trail *t);
	void *arg;
};

void trail_init(struct trail *t, int top);
void trail_fini(struct trail *t);

/* The directory where the trail ends. -1 and ESTALE: it was lost. */
int trail_fd(const struct trail *t);

/* One step down or up. 0 or -errno; -ESTALE: what is above has changed. The
 * trail is one step shorter after trail_leave() whatever it returns. */
int trail_enter(struct trail *t, const char *name);
int trail_leave(struct trail *t);

/*
 * Go back to the last step that is also on the way to @path, a relative path
 * without "", "." and ".."; *rest is what is left of it. 0 or -errno.
 */
int trail_return(struct trail *t, const char *path, const char **rest);

/*
 * Go to the directory that @path is in; *name is the rest of it. The
 * descriptor, or -1 and errno.
 */
int trail_go(struct trail *t, const char *path, const char **name);

#endif
