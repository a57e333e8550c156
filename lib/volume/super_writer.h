/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one writer of the super block.
 *
 * Who wants the super block to say something else hands in an op, whose
 * change() makes the next super block out of the one before when its turn has
 * come. Ops line up; each is written durably, after all that was written before
 * it (the record of read-only mode alone goes out at once, since the storage
 * may have no good flush to offer any more).
 *
 * Invariants
 *  (1) One write at a time, in the order of the ops, so that the storage ends
 *      with what was asked for last.
 *  (2) Once read-only mode is entered nothing but VOLUME_READ_ONLY is written
 *      (I42). A write that was under way at that moment comes before the record
 *      of it, never after; whoever asked for it gets -VDO_EREADONLY.
 *  (3) super_writer_get() tells what is on the storage, as far as is known: a
 *      CLEAN that (2) denies is not. After a write that failed, or that one,
 *      super_writer_unsure() is true until the next one that succeeds.
 *
 * Runs on: the queue of the journal. Lifetime: super_writer_init() to
 * super_writer_fini(), when no op is out; ops belong to their callers.
 */
#ifndef VOLUME_SUPER_WRITER_H
#define VOLUME_SUPER_WRITER_H

#include "exec/flow.h"
#include "format/superblock.h"
#include "io/mio.h"
#include "io/readonly.h"
#include "io/sync.h"

struct super_op {
	struct completion done; /* set by the caller; home: that queue */
	/* Change *sb; false: leave all as it is, and finish. */
	bool (*change)(struct super_op *op, struct superblock *sb);
	struct waiter link; /* private */
};

struct super_writer_config {
	struct queue *queue;
	struct storage *storage;
	struct sync *sync;
	const struct readonly *readonly;
	pbn_t pbn;		     /* the super block's */
	const struct superblock *sb; /* as on the storage; copied */
};

/* Private, but for where it is embedded. */
struct super_writer {
	struct super_writer_config c;
	struct superblock sb;	/* as on the storage */
	struct superblock next; /* as it shall be */
	bool unsure; /* the last write failed: that may be there as well */
	struct super_op *op;	/* whose turn it is, or NULL */
	struct waitq waiting;
	struct flow flow;
	struct sync_op sync;
	struct mio mio;
	uint8_t *block;
};

/* -ENOMEM */
int super_writer_init(struct super_writer *w,
		      const struct super_writer_config *c) MUST_CHECK;
/* Free what super_writer_init() made; @w may be all zeroes. */
void super_writer_fini(struct super_writer *w);

/* What the storage says, as far as is known. On the queue. */
const struct superblock *super_writer_get(const struct super_writer *w);

/* The block, as it was written last. On the queue. */
const void *super_writer_image(const struct super_writer *w);

/* May the storage say something else, since a write failed? On the queue. */
bool super_writer_unsure(const struct super_writer *w);

/* Have @op written, after those before it. -VDO_EREADONLY, -EIO, ... On the
 * queue. */
void super_writer_write(struct super_writer *w, struct super_op *op);

#endif
