/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The catalogue of one run: what was stored, and where.
 *
 * On the volume it begins with a block of its own; the body follows in the next
 * blocks. Numbers are little endian; a string is 4 bytes of length and that
 * many bytes.
 *
 *	OFFSET  SIZE  MEANING of the first block
 *	0       8     "VDOcat1\n"
 *	8       4     CRC-32 of the block, with zero here
 *	12      4     CRC-32 of the body
 *	16      8     length of the body in bytes
 *	24      8     place of the previous catalogue; always lower; 0: none
 *	32      8     time of the run, seconds since 1970
 *	40      8     sum of the sizes of all files
 *	48      4     number of the snapshot, from 1
 *	52      -     zeroes
 *
 * The body: number of roots (4), then for each: name (string), origin (string),
 * place of the catalogue that has it (8; 0: this one, or one of another sub-volume),
 * number of its snapshot (4); number of entries (8), then for each: type (1), root
 * (4), mode (4), uid (4), gid (4), mtime seconds (8), nanoseconds (4), size or device
 * number (8), path (string), target of a symbolic link (string), entry a hard link
 * leads to (8), extended attributes (string; see xattr.c), number of extents (4), then
 * for each: place in the file (8), place on the volume (8), length in bytes (8).
 *
 * A root is one source of a run: its last path component, and the absolute path
 * it came from (its origin). The list of roots is cumulative: it has all that are
 * known, each with the newest snapshot that had it then; that one may have been
 * removed since. Lists only grow, so a root has the same number in all catalogues.
 *
 * Invariants
 *  (1) The first component of an entry's path is the name of its root.
 *  (2) Directories come before what is in them, and an entry before the hard
 *      links that lead to it.
 *  (3) Only entries of type ENTRY_FILE have extents; ascending, not empty.
 *
 * Lifetime: zeroed memory is an empty catalogue; catalogue_fini() frees.
 */
#ifndef DEDUP_COPY_CATALOGUE_H
#define DEDUP_COPY_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "bytes.h"
#include "reader.h"
#include "writer.h"

enum entry_type {
	ENTRY_FILE = 'f',
	ENTRY_DIRECTORY = 'd',
	ENTRY_SYMLINK = 'l',
	ENTRY_FIFO = 'p',
	ENTRY_CHAR = 'c',
	ENTRY_BLOCK = 'b',
	ENTRY_HARDLINK = 'h',
};

struct extent {
	uint64_t in_file, on_volume, length; /* bytes */
};

struct entry {
	enum entry_type type;
	uint32_t root; /* number */
	uint32_t mode; /* the permission bits */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	uint64_t size; /* files: bytes; devices: st_rdev */
	char *path;
	char *target;  /* symbolic links; else "" */
	uint64_t link; /* hard links: number of an entry */
	void *xattrs;
	size_t xattr_bytes;
	struct extent *extents;
	uint32_t extent_count;
	/* what it was in its source; only in memory, while it is stored */
	struct identity {
		dev_t device;
		ino_t inode;
		nlink_t links;
		struct timespec born;	 /* 0, 0: not known */
		struct timespec changed; /* the change of the inode */
	} from;
};

struct root {
	char *name, *origin;
	uint64_t catalogue;
	uint32_t snapshot;
	/* only in memory */
	char *source; /* as the user named it, while it is stored */
	char *place;  /* the name it is extracted as, if it is another one */
};

struct catalogue {
	uint64_t place; /* of this catalogue, on the volume */
	uint64_t previous;
	int64_t time;
	uint64_t file_bytes;
	uint32_t number;
	struct root *roots;
	uint32_t root_count;
	struct entry *entries;
	uint64_t entry_count, entry_max;
	uint64_t body_length; /* of what was read */
	uint32_t body_crc;
};

void catalogue_fini(struct catalogue *c);

/* Add a zeroed entry. NULL: out of memory. */
struct entry *catalogue_add(struct catalogue *c);

/* Take back the entry that was added last. */
void catalogue_drop_last(struct catalogue *c);

/* -ENOMEM */
int entry_add_extent(struct entry *e, struct extent extent);

/*
 * Number of the root that came from @origin; if there is none, it is added as
 * @name, or as "@name~2", "@name~3"... if that name is taken. A name that would
 * be too long for a file is cut before the "~". Negative: -ENOMEM.
 */
int64_t catalogue_root(struct catalogue *c, const char *name,
		       const char *origin);

/*
 * A name like @name that no root has, nor is extracted as, and that a file can
 * have: with another "~number". For the caller to free.
 */
char *catalogue_free_name(const struct catalogue *c, const char *name);

/* Take back the root that was added last, if no snapshot has it. */
void catalogue_drop_root(struct catalogue *c, uint32_t root);

/* Put it into the stream. c->place must be the stream's position. */
int catalogue_write(struct catalogue *c, struct writer *w);

/*
 * Read the catalogue at @place: its first block, or everything.
 * -VDO_ECORRUPT: it is damaged.
 */
int catalogue_read_header(struct catalogue *c, struct reader *r,
			  uint64_t place);
int catalogue_read(struct catalogue *c, struct reader *r, uint64_t place);

/* A relative path without "", "." and ".." in it. */
bool path_is_safe(const char *path);

#endif
