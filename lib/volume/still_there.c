/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is the storage still what was opened?
 *
 * A file can be cut short, overwritten, or removed by somebody who does not ask
 * for its lock, and a block device can be made smaller. Writing goes on all the
 * same, as a write beyond the end makes a file longer again, so that nobody
 * would notice. Closing therefore looks twice, before it writes anything and
 * before the super block says CLEAN: at the size, at the geometry block, and at
 * the super block, which must be the one that was written last. A file that was
 * cut short and is long enough again has zeroes at its end; that is where the
 * slab summary is, and its last block is written at opening only.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* Row, function, where it runs; what it does. */
#define LOOK_ROWS(X)							       \
	/* is the storage large enough? */				       \
	X(L_SIZE, look_size, ON_JOURNAL)				       \
	/* block 0, and what it says */					       \
	X(L_GEOMETRY, look_geometry, ON_JOURNAL)			       \
	X(L_COMPARE, look_compare, ON_JOURNAL)				       \
	/* the super block is as it was written */			       \
	X(L_SUPER, look_super, ON_JOURNAL)				       \
	X(L_SAME, look_same, ON_JOURNAL)				       \
	/* the end of the summary is as it was written */		       \
	X(L_SUMMARY, look_summary, ON_JOURNAL)				       \
	X(L_LAST, look_last, ON_JOURNAL)				       \
	/* who asked is told */						       \
	X(L_END, look_end, ON_JOURNAL)

enum { LOOK_ROWS(FLOW_ROW) };
LOOK_ROWS(FLOW_FUNCTION)
FLOW_TABLE(look_table, L_END, LOOK_ROWS);

static struct volume *volume_of(struct flow *f)
{
	return container_of(f, struct volume, look.flow);
}

static int gone(struct volume *v, const char *what)
{
	VDO_ASSERT(queue_is_current(v->topology.journal));
	log_error(&v->log,
		  "volume: %s since it was opened; it cannot be closed clean: "
		  "find out who else writes to it or cut it short, and restore "
		  "it from a copy",
		  what);
	return flow_fail(&v->look.flow, -VDO_EGONE);
}

static int look_size(struct flow *f)
{
	struct volume *v = volume_of(f);

	return device_look_cut(v->device) ? gone(v, "the storage became shorter")
					  : L_GEOMETRY;
}

static int read_block(struct volume *v, pbn_t pbn, int next)
{
	struct look *l = &v->look;

	VDO_ASSERT(pbn >= v->geometry.bio_offset);
	VDO_ASSERT(l->done != NULL && l->block != NULL);
	flow_await_any(&l->flow, &l->mio.done, next);
	mio_read(&l->mio, &v->storage, MIO_SUPER, pbn, 1, l->block);
	return FLOW_WAIT;
}

static int look_geometry(struct flow *f)
{
	struct volume *v = volume_of(f);

	return read_block(v, v->geometry.bio_offset, L_COMPARE);
}

static int look_compare(struct flow *f)
{
	struct volume *v = volume_of(f);
	const struct geometry *old = &v->geometry;
	struct geometry now;

	if (v->look.mio.done.result != 0)
		return gone(v, "block 0 became unreadable");
	if (geometry_decode(v->look.block, &now) != 0 ||
	    now.nonce != old->nonce || now.bio_offset != old->bio_offset ||
	    now.data_start != old->data_start)
		return gone(v, "block 0 was overwritten");
	return L_SUPER;
}

static int look_super(struct flow *f)
{
	struct volume *v = volume_of(f);

	return read_block(v, v->geometry.data_start, L_SAME);
}

static int look_same(struct flow *f)
{
	struct volume *v = volume_of(f);

	/* Scrubbing may have failed meanwhile: the super block will say so. */
	if (readonly_entered(&v->readonly))
		return flow_fail(f, -VDO_EREADONLY);
	if (v->look.mio.done.result != 0)
		return gone(v, "the super block became unreadable");
	if (memcmp(v->look.block, super_writer_image(&v->super),
		   BLOCK_SIZE) != 0)
		return gone(v, "the super block was overwritten");
	return L_SUMMARY;
}

static int look_summary(struct flow *f)
{
	struct volume *v = volume_of(f);
	const struct partition *p = &v->sb.partitions[PARTITION_SUMMARY];

	if (depot_summary_end(v->depot) == NULL)
		return L_END;
	VDO_ASSERT(p->count >= SUMMARY_BLOCKS);
	return read_block(v, p->start + p->count - 1, L_LAST);
}

static int look_last(struct flow *f)
{
	struct volume *v = volume_of(f);

	if (v->look.mio.done.result != 0)
		return gone(v, "the slab summary became unreadable");
	if (memcmp(v->look.block, depot_summary_end(v->depot), BLOCK_SIZE) != 0)
		return gone(v, "the end of the slab summary was overwritten");
	return L_END;
}

static int look_end(struct flow *f)
{
	struct look *l = &volume_of(f)->look;
	struct completion *done = l->done;

	VDO_ASSERT(done != NULL);
	l->done = NULL;
	completion_finish(done, f->result);
	return FLOW_END;
}

int still_there_init(struct volume *v)
{
	VDO_ASSERT(v->look.block == NULL && v->look.done == NULL);
	v->look.block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	return v->look.block == NULL ? -ENOMEM : 0;
}

void still_there_fini(struct volume *v)
{
	VDO_ASSERT(v->look.done == NULL);
	alloc_free(v->look.block);
}

void still_there(struct volume *v, struct completion *done)
{
	struct look *l = &v->look;

	VDO_ASSERT(l->done == NULL && done != NULL);
	flow_init(&l->flow, &look_table);
	l->flow.queues[ON_JOURNAL] = v->topology.journal;
	l->done = done;
	flow_start(&l->flow);
}

/*
 * It is saved, and somebody who has it open can still read it; but with the
 * process it vanishes, which is not what a close that succeeds promises.
 */
int still_named(struct volume *v)
{
	if (!device_lost_name(v->device))
		return 0;
	log_error(&v->log,
		  "volume: its file was removed or replaced since it was "
		  "opened; what was written is lost with it: store it again in "
		  "another file");
	return -VDO_EGONE;
}
