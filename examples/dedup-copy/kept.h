/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an archive has of a file already.
 *
 * A file that was stored before, under the same path of the same root, is
 * compared with what is read of it now, piece by piece, and pieces that are
 * equal are not written again: their extents lead to where they are. So a
 * snapshot of what did not change takes no addresses of the volume. Times and
 * sizes play no part in it: only the bytes count.
 *
 * Lifetime: zeroed memory has nothing; kept_fini() frees.
 */
#ifndef DEDUP_COPY_KEPT_H
#define DEDUP_COPY_KEPT_H

#include "catalogue.h"
#include "table.h"

struct kept {
	struct reader reader;
	bool usable;	     /* there is an archive, and memory to read it */
	uint64_t *places;    /* by root: its newest catalogue */
	uint32_t root_count; /* that the archive has */
	uint64_t place;	     /* of the catalogue that is in memory; 0: none */
	struct catalogue catalogue;
	struct table files; /* numbers of entries, by path */
};

/*
 * The archive ends at @end; @last is its newest catalogue. -ENOMEM.
 */
int kept_init(struct kept *k, struct vdo_volume *volume, bool polled,
	      uint64_t end, const struct catalogue *last);
void kept_fini(struct kept *k);

/* The entry that the archive has for the file @e, or NULL. Valid until the next
 * call for a file of another root. */
const struct entry *kept_find(struct kept *k, const struct entry *e);

/*
 * Are the @bytes at @in_file of the file @old those at @data, and can they be
 * referred to? Then *on_volume is where they are. They begin at a multiple of
 * 4096, and end at one or with the file.
 */
bool kept_has(struct kept *k, const struct entry *old, uint64_t in_file,
	      const uint8_t *data, size_t bytes, uint64_t *on_volume);

#endif
