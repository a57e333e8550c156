/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an archive has of a file already.
 *
 * A file that was stored before, under the same path of the same root, is
 * compared with what is read of it now, piece by piece, and pieces that are
 * equal are not written again: in a pool they are copied, which moves no data,
 * and in one container their extents lead to where they are. Times and sizes
 * play no part in it: only the bytes count.
 *
 * Lifetime: zeroed memory has nothing; kept_fini() frees.
 */
#ifndef DEDUP_COPY_KEPT_H
#define DEDUP_COPY_KEPT_H

#include "snapshots.h"
#include "table.h"

struct kept {
	struct snapshots *snapshots; /* NULL: nothing is stored */
	uint32_t *numbers;	     /* by root: its newest snapshot, or 0 */
	uint32_t root_count;	     /* that the archive has */
	uint32_t number; /* of the catalogue that is in memory; 0: none */
	struct catalogue catalogue;
	struct table files; /* numbers of entries, by path */
	/* what is to be copied, in one piece; 0 bytes: nothing */
	struct {
		uint64_t from, to, bytes;
	} copy;
	int result; /* of copies; the first error */
};

/* @roots: what snapshots_roots() says. -ENOMEM */
int kept_init(struct kept *k, struct snapshots *snapshots,
	      const struct catalogue *roots);
void kept_fini(struct kept *k);

/* The entry that the archive has for the file @e, or NULL. Valid until the next
 * call for a file of another root. */
const struct entry *kept_find(struct kept *k, const struct entry *e);

/*
 * Are the @bytes at @in_file of the file @old those at @data, and can they be
 * referred to? Then *on_volume is where they are, in the snapshot of @old. They
 * begin at a multiple of 4096, and end at one or with the file.
 */
bool kept_has(struct kept *k, const struct entry *old, uint64_t in_file,
	      const uint8_t *data, size_t bytes, uint64_t *on_volume);

/*
 * Copy whole blocks from @from in the snapshot that kept_has() told of to @to
 * in the one that is stored. It may wait for more; kept_flush() ends that.
 */
int kept_copy(struct kept *k, uint64_t from, uint64_t to, uint64_t bytes);
int kept_flush(struct kept *k);

#endif
