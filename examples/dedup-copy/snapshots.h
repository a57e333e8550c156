/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshots of an archive.
 *
 * Each is a sub-volume of a pool, "snapshot-N", and complete by itself: a
 * container (container.h) with one catalogue and all that it leads to. So any
 * of them can be removed. N is the id of the sub-volume, which is never used
 * again. One that is being stored is called "snapshot.partial"; giving it its
 * name is the commit.
 *
 * A volume whose addresses are too few for a pool, and archives of older
 * programs, have one container for all snapshots: what one of them stored later
 * ones refer to.
 *
 * Lifetime: snapshots_load() to snapshots_fini(), which comes before the volume
 * is closed.
 */
#ifndef DEDUP_COPY_SNAPSHOTS_H
#define DEDUP_COPY_SNAPSHOTS_H

#include "dedup-copy.h"

/* The first addresses of a pool. */
#define POOL_DIRECTORY (UINT64_C(16) << 20)

enum archive_form {
	ARCHIVE_NONE, /* nothing is stored */
	ARCHIVE_ONE,  /* one container */
	ARCHIVE_POOL,
};

struct snapshot {
	uint32_t number;
	uint64_t place; /* of its catalogue; 0: as its container says */
};

struct snapshots {
	struct run *run;
	enum archive_form form;
	struct snapshot *all; /* newest first */
	size_t count;
	uint64_t taken; /* addresses, in bytes */
	/* the one that is read */
	uint32_t open; /* its number, or 0; of one container: any */
	struct container box;
	struct reader reader;
	/* the one that is stored, in a pool */
	struct vdo_volume *partial;
	uint32_t number;
};

/* Which snapshots there are. With @may_be_empty a volume that has none is fine,
 * or anything else with --force. 0, STOP_SAID or an error. */
int snapshots_load(struct snapshots *s, struct run *run, bool may_be_empty);
void snapshots_fini(struct snapshots *s);

/* Is the volume a pool? If that cannot be told, it is one. */
bool volume_is_pool(struct vdo_volume *volume);

/* The one with this number, or NULL. */
const struct snapshot *snapshots_find(const struct snapshots *s,
				      uint32_t number);

/* The same, said if there is none. */
const struct snapshot *snapshots_need(const struct snapshots *s,
				      uint32_t number);

/* Let s->box and s->reader be those of a snapshot, until the next one or
 * snapshots_close(); and read its catalogue. */
int snapshots_open(struct snapshots *s, const struct snapshot *one);
int snapshots_read(struct snapshots *s, const struct snapshot *one,
		   struct catalogue *c);

void snapshots_close(struct snapshots *s);

/* The newest catalogue, and with each root the newest snapshot that has it, or
 * 0: there is none any more. */
int snapshots_roots(struct snapshots *s, struct catalogue *newest);

/*
 * Begin another one, of about @bytes: *box is where it goes. What a run that
 * broke off has left is removed. What follows is about the one that was begun.
 */
int snapshots_begin(struct snapshots *s, uint64_t bytes, struct container *box,
		    uint32_t *number);

/* Make it larger, if it cannot be written up to @end, and there are addresses.
 */
int snapshots_grow(struct snapshots *s, uint64_t end);

/* All of it is written, with its catalogue at @catalogue: it is there now. */
int snapshots_commit(struct snapshots *s, struct container *box,
		     uint64_t catalogue, uint64_t end);

/* Give it up, written up to @end, and its space back. */
void snapshots_abandon(struct snapshots *s, struct container *box,
		       uint64_t end);

/* Of a pool. @number 0: what a run that broke off has left, if there is any. */
int snapshots_remove(struct snapshots *s, uint32_t number);

#endif
