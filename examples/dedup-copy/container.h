/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What dedup-copy stores: in a sub-volume of a pool one snapshot, in a volume of its
 * own, whose addresses are too few for a pool, all of them (snapshots.h).
 *
 *	block 0, 1     two header blocks; the newest intact one counts
 *	from block 2   per run: data, then its catalogue (catalogue.h)
 *
 * Places are bytes from the start of this volume or sub-volume, so a snapshot of a
 * pool refers to nothing in another one. Data of a file starts at a multiple of 4096
 * bytes, and its last block is filled up with zeroes, so that equal files share all
 * of their blocks. Nothing that a header refers to is ever written again: runs append.
 *
 * A header block, little endian:
 *
 *	OFFSET  SIZE  MEANING
 *	0       8     "VDOcopy\n"
 *	8       4     version, 1
 *	12      4     CRC-32 of the block, with zero here
 *	16      8     sequence number; it is kept in block (sequence % 2)
 *	24      8     place of the newest catalogue, in bytes; 0: none
 *	32      8     end of what is in use, in bytes
 *	40      8     end of what a run that broke off may have written
 *	48      4     number of the newest snapshot; 0: none
 *	52      -     zeroes
 *
 * Invariants
 *  (1) Everything below "end" was durable before the header that says so was
 *      written; that header is durable before its run is reported as done.
 *  (2) A header is only written over the older one of the two.
 *  (3) A run writes only between "end" and "reserved", and raises the latter
 *      in a durable header first.
 *
 * A run that breaks off leaves the header with its older catalogue. The next
 * run starts at the same place again and writes mostly the same; what then is
 * left between its end and "reserved" is discarded.
 */
#ifndef DEDUP_COPY_CONTAINER_H
#define DEDUP_COPY_CONTAINER_H

#include <stdint.h>

#include <vdo/vdo.h>

#define CONTAINER_START (2 * UINT64_C(4096))

struct container {
	struct vdo_volume *volume;
	uint64_t sequence;
	uint64_t catalogue; /* place of the newest; 0: none */
	uint64_t end;
	uint64_t reserved;
	uint64_t stale; /* what "reserved" was when the run began */
	uint32_t snapshots;
};

enum container_state {
	CONTAINER_EMPTY, /* both blocks are zero */
	CONTAINER_GOOD,
	CONTAINER_FOREIGN, /* something else is there */
	CONTAINER_DAMAGED, /* was one, but no header is intact */
	CONTAINER_NEWER,   /* version is not known */
};

/* Find the header in a volume or sub-volume. Negative: could not read. @c is usable
 * when empty or good. */
int container_load(struct container *c, struct vdo_volume *volume);

/* Reserve up to @end, or up to the end of the volume: *limit is how far the run
 * may write. */
int container_reserve(struct container *c, uint64_t end, uint64_t *limit);

/* Switch over to a new catalogue. All below @end must have been written; it is
 * flushed first. */
int container_commit(struct container *c, uint64_t catalogue, uint64_t end);

/* Give up a run that wrote up to @end: free that, and what an older one left.
 */
int container_discard(struct container *c, uint64_t end);

#endif
