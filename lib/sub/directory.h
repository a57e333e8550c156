/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a pool: which parts of the logical space are which
 * sub-volume. It lies in the first logical blocks, as data like any other, so
 * Linux sees only that.
 *
 * There are two copies, and the one with the higher sequence number counts; a new
 * one is written over the other. A copy that was not written whole fails its
 * checksums, and the older one is still there.
 *
 * Copy: a header of one block, then the entries, one after another
 *
 *	OFFSET	SIZE	MEANING
 *	0	8	magic "vdosubs1"
 *	8	4	version: 1
 *	12	4	entries
 *	16	8	sequence number
 *	24	8	next id
 *	32	8	bytes of all entries
 *	40	4	CRC of these bytes
 *	44	4	CRC of bytes 0 to 43
 *
 * Entry: id, size in blocks, parent, time of creation, each 8 bytes; flags (4),
 * extents (2), bytes of the name (2); the extents, each first block and blocks,
 * 8 bytes each; the name.
 *
 * Invariants
 *  (1) Extents lie behind the copies and inside of the logical space, in multiples
 *      of DIRECTORY_UNIT blocks, and no two have a block in common.
 *  (2) Those of an entry have room for its size; no unit of them is beyond it.
 *  (3) No two entries have the same name or id; ids are never used again.
 *
 * Runs on: pure functions, any thread.
 */
#ifndef SUB_DIRECTORY_H
#define SUB_DIRECTORY_H

#include <stddef.h>

#include "base/compiler.h"
#include "format/types.h"

#define DIRECTORY_COPY_BLOCKS UINT64_C(2048) /* 8 MiB each */
#define DIRECTORY_BLOCKS      (2 * DIRECTORY_COPY_BLOCKS)
#define DIRECTORY_UNIT	      UINT64_C(256) /* 1 MiB */
#define DIRECTORY_NAME_MAX    255u
#define DIRECTORY_EXTENTS_MAX 4096u

struct sub_extent {
	lbn_t first;
	uint64_t count; /* of blocks */
};

enum sub_flags {
	SUB_READ_ONLY = 1, /* a snapshot */
	SUB_MAKING = 2,	   /* it is being copied: dropped when that ends early */
	SUB_REMOVING = 4,  /* its blocks are being discarded */
};
#define SUB_FLAGS 7u

struct sub_entry {
	uint64_t id;
	uint64_t blocks; /* its size */
	uint64_t parent; /* id of what it was copied from; 0: nothing */
	int64_t created; /* seconds since 1970 */
	uint32_t flags;	 /* enum sub_flags */
	unsigned extent_count;
	struct sub_extent *extents;
	char name[DIRECTORY_NAME_MAX + 1];
};

struct directory {
	uint64_t logical_blocks; /* of the volume */
	uint64_t sequence;	 /* of the copy that was read; 0: none */
	uint64_t next_id;
	struct sub_entry **entries; /* by name */
	size_t count, room;
};

/* Empty, for a volume of so many blocks. */
void directory_init(struct directory *d, uint64_t logical_blocks);
void directory_fini(struct directory *d);

/* What a header says, before the rest of the copy is read: 0 and how many bytes
 * there are with it; -ENOENT: no copy; -VDO_EVERSION, -VDO_ECHECKSUM,
 * -VDO_ECORRUPT. */
struct directory_header {
	uint64_t sequence;
	size_t bytes;
};
int directory_look(const uint8_t *header, struct directory_header *h)
	MUST_CHECK;

/*
 * Take the copy of @bytes bytes, as directory_look() said, into the empty *@d.
 * 0; -VDO_ECHECKSUM; -VDO_ECORRUPT: it lies; -ENOMEM: *@d is empty again.
 */
int directory_decode(struct directory *d, const uint8_t *copy, size_t bytes)
	MUST_CHECK;

/* How many bytes directory_encode() writes: a multiple of BLOCK_SIZE. */
size_t directory_size(const struct directory *d);
void directory_encode(const struct directory *d, uint8_t *copy);

/* The same once more, in memory of its own. */
int directory_copy(struct directory *to, const struct directory *from)
	MUST_CHECK;

/* The entry, or NULL. */
struct sub_entry *directory_find(const struct directory *d, const char *name);
struct sub_entry *directory_find_id(const struct directory *d, uint64_t id);

/*
 * Add an entry of @blocks blocks, with a part of the logical space. -EINVAL: no
 * name, or one with '/' or that is too long; -EEXIST; -ENOSPC: the logical space,
 * or the directory, is full; -ENOMEM.
 */
int directory_add(struct directory *d, const char *name, uint64_t blocks,
		  struct sub_entry **entry) MUST_CHECK;

/* Another size. What it loses at its end must be empty. -ENOSPC, -ENOMEM */
int directory_resize(struct directory *d, struct sub_entry *e, uint64_t blocks)
	MUST_CHECK;

/* Another name. -EINVAL, -EEXIST, -ENOSPC as directory_add(). */
int directory_rename(struct directory *d, struct sub_entry *e,
		     const char *name) MUST_CHECK;

void directory_remove(struct directory *d, struct sub_entry *e);

/* Blocks of the logical space that no entry has. */
uint64_t directory_free(const struct directory *d);

#endif
