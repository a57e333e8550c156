/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes: the rows. So go discards and zeroes of single blocks, of parts of them,
 * and of those that somebody else works on; all others go by range.c.
 *
 * write.c has the table, how a write begins and how it ends; write_data.c the
 * rows from a block to what is stored in it or shared; write_meta.c those that
 * record the mapping.
 *
 * A discard of an LBN without a leaf page ends after "slotted". A mapping that
 * is there already (a discard of what is unmapped, data written again to where
 * it is) needs no entry: "got old" goes on to "finish".
 *
 * An error leads to "finish", which leaves the hash lock, and from there through
 * the only clean-up rows. Errors are the user's before "ack" and the volume's
 * after it. A file system below the volume that has no space for a data block is
 * no damage: the old mapping stays, and the volume just takes no more writes.
 *
 * A data block is stored from the logical zone, where it goes on anyway: blocks
 * of one call that were allocated one after another meet again there, whatever
 * hash zones they went through, and become one operation of the storage.
 *
 * Runs on: the queue of each row. Lifetime: a request's, request.h.
 */
#ifndef PATH_WRITE_H
#define PATH_WRITE_H

#include <vdo/io.h>

#include "path/path_priv.h"

/* Row, function, where it runs; what it does. */
#define WRITE_ROWS(X)							       \
	/* one request a logical block */				       \
	X(W_LOCK, write_lock, ON_LOGICAL)				       \
	/* leaf page and slot; missing pages are created */		       \
	X(W_SLOT, write_slot, ON_LOGICAL)				       \
	X(W_SLOTTED, write_slotted, ON_LOGICAL)				       \
	/* partial: the old mapping */					       \
	X(W_FETCH, write_fetch, ON_LOGICAL)				       \
	/* partial: the old content */					       \
	X(W_FILL, write_fill, ON_LOGICAL)				       \
	/* partial: the old content around the new */			       \
	X(W_MERGE, write_merge, ON_LOGICAL)				       \
	/* counted for flushes; zeroes go on to "old" */		       \
	X(W_ENTER, write_enter, ON_LOGICAL)				       \
	/* provisional reference, write lock */				       \
	X(W_ALLOCATE, write_allocate, ON_PHYSICAL)			       \
	/* a block was found, or there is no space */			       \
	X(W_ALLOCATED, write_allocated, ANYWHERE)			       \
	/* the callback, unless FUA */					       \
	X(W_ACK, write_ack, ANYWHERE)					       \
	/* hash lock and advice: share, write, or wait */		       \
	X(W_DEDUPE, write_dedupe, ON_HASH)				       \
	/* what to do, after waiting */					       \
	X(W_VERDICT, write_verdict, ON_HASH)				       \
	/* read lock on the candidate */				       \
	X(W_VERIFY, write_verify, ON_CANDIDATE)				       \
	/* read it */							       \
	X(W_LOCKED, write_locked, ON_CANDIDATE)				       \
	/* compare all 4096 bytes */					       \
	X(W_COMPARE, write_compare, ON_HASH)				       \
	X(W_VERIFIED, write_verified, ON_HASH)				       \
	/* the read lock goes back */					       \
	X(W_UNLOCK, write_unlock, ON_SHARED)				       \
	X(W_UNLOCKED, write_unlocked, ON_HASH)				       \
	/* LZ4, with the memory of the hash zone */			       \
	X(W_COMPRESS, write_compress, ON_HASH)				       \
	/* lead, member, or alone */					       \
	X(W_PACK, write_pack, ON_PACKER)				       \
	X(W_PACKED, write_packed, ON_LOGICAL)				       \
	/* a compressed block goes beside others */			       \
	X(W_MOVE, write_move, ON_PHYSICAL)				       \
	/* the data block */						       \
	X(W_STORE, write_store, ON_LOGICAL)				       \
	/* the compressed block */					       \
	X(W_LEAD, write_lead, ON_LOGICAL)				       \
	/* members of a compressed block learn where they are */	       \
	X(W_PUBLISH, write_publish, ON_PHYSICAL)			       \
	/* the mapping to be replaced */				       \
	X(W_OLD, write_old, ON_LOGICAL)					       \
	X(W_GOT_OLD, write_got_old, ON_LOGICAL)				       \
	/* an entry; it goes on when that is durable */			       \
	X(W_JOURNAL, write_journal, ON_JOURNAL)				       \
	/* +1 new, -1 old, sent out in journal order */			       \
	X(W_COUNTS, write_counts, ON_JOURNAL)				       \
	/* the mapping is stored */					       \
	X(W_MAP, write_map, ON_LOGICAL)					       \
	/* here all ways end, also that of errors */			       \
	X(W_FINISH, write_finish, ANYWHERE)				       \
	/* sharers are woken, the index is told */			       \
	X(W_HAND_OVER, write_hand_over, ON_HASH)			       \
	/* the lock on the own block goes back */			       \
	X(W_RELEASE, write_release, ON_PHYSICAL)			       \
	/* LBN lock and flush count go back */				       \
	X(W_WAKE, write_wake, ON_LOGICAL)				       \
	/* FUA or failed: the callback; the request is free */		       \
	X(W_DONE, write_done, ANYWHERE)

enum write_row { WRITE_ROWS(FLOW_ROW) };
WRITE_ROWS(FLOW_FUNCTION_EXTERN)

/* One half of the counts of @r, which is parked, is over; the last one goes on. */
void write_counted(struct request *r, int result);
/* What became of @r, a range of @blocks. */
void write_count_outcome(struct request *r, unsigned blocks);

/* All but FUA is acknowledged as soon as it cannot fail for want of space. */
static inline bool write_acknowledges_early(const struct request *r)
{
	return (r->what.flags & VDO_IO_FUA) == 0;
}

#endif
