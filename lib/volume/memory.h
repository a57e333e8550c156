/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What memory a volume takes, by part.
 *
 * Nothing is reckoned twice: what is fixed is what the allocator has counted
 * while the parts were made, for a volume that is opened and for one of which
 * only an estimate is wanted. What may grow is what its owners say.
 *
 * Invariants
 *  (1) fixed + growth of all parts is what the volume takes at most, but for
 *      what is for a while: loading, recovery, calls beyond the depth, and
 *      counts that are in use at the same time beyond their share; and what
 *      growing adds, until the components are made anew.
 *  (2) With option memory, that is no more than the option says; but for the
 *      mappings of the journal that opening read-only finds (overlay.c).
 *
 * Runs on: the thread that makes the components.
 */
#ifndef VOLUME_MEMORY_H
#define VOLUME_MEMORY_H

#include <stdint.h>

#include <vdo/error.h>

#include "base/compiler.h"
#include "volume/settings.h"

struct executor;
struct front;
struct geometry;
struct superblock;
struct vdo_device;
struct volume;

enum memory_kind {
	MEMORY_ENGINE,	 /* queues, and what is no component */
	MEMORY_THREADS,	 /* their stacks, and the files' */
	MEMORY_REQUESTS, /* with buffers; locks, questions to the index */
	MEMORY_JOURNAL,
	MEMORY_SLABS,	 /* summary, slab journals, scrubbing */
	MEMORY_MAP,	 /* all but the leaf pages */
	MEMORY_INDEX,	 /* or names in memory */
	MEMORY_CACHE,	 /* leaf pages */
	MEMORY_COUNTS,
	MEMORY_BLOCKS,	 /* the block cache */
	MEMORY_KINDS
};

struct memory_part {
	uint64_t fixed;	 /* had when the volume is made */
	uint64_t spare;	 /* of that: no memory until it is used */
	uint64_t growth; /* had later, at most */
	uint64_t idle;	 /* of that: by a volume that is open */
};

struct volume_memory {
	struct memory_part parts[MEMORY_KINDS];
	uint64_t least;	       /* that would do, with this depth */
	unsigned depth;
	uint64_t own, own_spare; /* private: where counting stands */
};

/* A volume that is open, and new, and does nothing; and at most. */
uint64_t memory_idle(const struct volume_memory *m);
uint64_t memory_most(const struct volume_memory *m);

/*
 * Make all that volume_create() does of a volume that @g and @sb describe, tell
 * what it took, and drop it. @device is not asked for anything. create.c
 */
int volume_measure(struct vdo_device *device, struct executor *x,
		   struct front *front, const struct settings *s,
		   const struct geometry *g, const struct superblock *sb,
		   struct volume_memory *memory, struct vdo_error *error)
	MUST_CHECK;

/* From now on count, as no component is there; what was allocated since is of
 * part @kind. */
void memory_begin(struct volume *v);
void memory_note(struct volume *v, enum memory_kind kind);

/* How many names of blocks are remembered without an index. */
uint64_t memory_names(const struct volume *v);

/*
 * Give cache, counts and blocks their sizes, and make the two caches; all
 * components are there. -ENOMEM, with a text: there is not enough, or option
 * memory has too little for this volume.
 */
int memory_share(struct volume *v) MUST_CHECK;

#endif
