/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes, discards and zeroes: the table, and what its rows do.
 *
 * A discard of an LBN without a leaf page ends behind "slot". A mapping that is
 * there already (a discard of what is unmapped, data written again to where it
 * is) needs no entry: "old" goes on to "finish".
 *
 * An error leads to "finish", which leaves the hash lock, and from there through
 * the only clean-up rows. Errors are the user's before "ack" and the volume's
 * after it. A file system below the volume that has no space for a data block is
 * no damage: the old mapping stays, and the volume just takes no more writes.
 */
#include "build.h"

#include "path/path_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>
#include <vdo/io.h>

/* Row, function, where it runs; what it does. */
#define WRITE_ROWS(X)							       \
	/* one request a logical block */				       \
	X(W_LOCK, write_lock, ON_LOGICAL)				       \
	/* leaf page and slot; missing pages are created */		       \
	X(W_SLOT, write_slot, ON_LOGICAL)				       \
	X(W_SLOTTED, write_slotted, ON_LOGICAL)				       \
	/* partial: the old mapping ... */				       \
	X(W_FETCH, write_fetch, ON_LOGICAL)				       \
	/* ... and the old content ... */				       \
	X(W_FILL, write_fill, ON_LOGICAL)				       \
	/* ... around the new */					       \
	X(W_MERGE, write_merge, ON_LOGICAL)				       \
	/* counted for flushes; zeroes go on to "old" */		       \
	X(W_ENTER, write_enter, ON_LOGICAL)				       \
	/* provisional reference, write lock */				       \
	X(W_ALLOCATE, write_allocate, ON_PHYSICAL)			       \
	/* or no space */						       \
	X(W_ALLOCATED, write_allocated, ANYWHERE)			       \
	/* the callback, unless FUA */					       \
	X(W_ACK, write_ack, ANYWHERE)					       \
	/* hash lock and advice: share, write, or wait ... */		       \
	X(W_DEDUPE, write_dedupe, ON_HASH)				       \
	/* ... for what comes of it */					       \
	X(W_VERDICT, write_verdict, ON_HASH)				       \
	/* read lock, read */						       \
	X(W_VERIFY, write_verify, ON_CANDIDATE)				       \
	/* all 4096 bytes */						       \
	X(W_COMPARE, write_compare, ON_HASH)				       \
	X(W_VERIFIED, write_verified, ON_HASH)				       \
	/* the read lock goes back */					       \
	X(W_UNLOCK, write_unlock, ON_SHARED)				       \
	X(W_UNLOCKED, write_unlocked, ON_HASH)				       \
	/* LZ4, with that zone's memory */				       \
	X(W_COMPRESS, write_compress, ON_HASH)				       \
	/* lead, member, or alone */					       \
	X(W_PACK, write_pack, ON_PACKER)				       \
	X(W_PACKED, write_packed, ON_LOGICAL)				       \
	/* the data block */						       \
	X(W_STORE, write_store, ANYWHERE)				       \
	/* the compressed block ... */					       \
	X(W_LEAD, write_lead, ANYWHERE)					       \
	/* ... whose members learn where they are */			       \
	X(W_PUBLISH, write_publish, ON_PHYSICAL)			       \
	/* the mapping to be replaced */				       \
	X(W_OLD, write_old, ON_LOGICAL)					       \
	X(W_GOT_OLD, write_got_old, ON_LOGICAL)				       \
	/* until durable */						       \
	X(W_JOURNAL, write_journal, ON_JOURNAL)				       \
	/* +1 new, -1 old, sent out in journal order */			       \
	X(W_COUNTS, write_counts, ON_JOURNAL)				       \
	/* the mapping is stored */					       \
	X(W_MAP, write_map, ON_LOGICAL)					       \
	/* here all ways end, also that of errors */			       \
	X(W_FINISH, write_finish, ANYWHERE)				       \
	/* sharers are woken, the index is told */			       \
	X(W_HAND_OVER, write_hand_over, ON_HASH)			       \
	/* the own block's lock */					       \
	X(W_RELEASE, write_release, ON_PHYSICAL)			       \
	/* LBN lock, flush count */					       \
	X(W_WAKE, write_wake, ON_LOGICAL)				       \
	/* FUA or failed: the callback; it is free */			       \
	X(W_DONE, write_done, ANYWHERE)

enum { WRITE_ROWS(FLOW_ROW) };
WRITE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(write_table, W_FINISH, WRITE_ROWS);

/* ------------------------------------------------------- logical beginnings */

static int write_lock(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);

	counter_inc(r->what.kind == IO_WRITE	    ? &z->stats.writes
		    : r->what.kind == IO_DISCARD ? &z->stats.discards
					    : &z->stats.zeroes);
	if (io_block_is_partial(&r->what))
		counter_inc(&z->stats.partial);
	if (r->what.flags & VDO_IO_FUA)
		counter_inc(&z->stats.fua);
	flow_park(f, W_SLOT);
	return flow_over_any(f, lbn_lock(z, r));
}

static int write_slot(struct flow *f)
{
	struct request *r = request_of(f);

	if (unlikely(readonly_entered(r->path->config.readonly)))
		return flow_fail(&r->flow, -VDO_EREADONLY);
	if (unlikely(path_lost_data(r->path)))
		return flow_fail(&r->flow, -ENOSPC);
	flow_await(f, &r->map.done, W_SLOTTED);
	r->map.lbn = r->what.lbn;
	r->map.allocate = r->what.kind != IO_DISCARD;
	r->map.alloc_zone = request_zone(r)->alloc_zone;
	return flow_over(f, &r->map.done,
			 map_find(r->path->config.map, r->zone, &r->map));
}

static int write_slotted(struct flow *f)
{
	struct request *r = request_of(f);

	if (r->map.page == ZERO_BLOCK)
		return W_FINISH; /* a discard of what was never written */
	return io_block_is_partial(&r->what) ? W_FETCH : W_ENTER;
}

/* ------------------------------------------------- partial: read and merge */

static int write_fetch(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await(f, &r->map.done, W_FILL);
	return flow_over(f, &r->map.done,
			 map_get(r->path->config.map, r->zone, &r->map));
}

static int write_fill(struct flow *f)
{
	struct request *r = request_of(f);

	r->old_mapping = r->map.value;
	if (r->old_mapping.pbn == ZERO_BLOCK)
		return r->what.kind == IO_WRITE ? W_MERGE : W_FINISH;
	data_fetch(r, r->old_mapping, W_MERGE);
	return FLOW_WAIT;
}

/* Put the old bytes around the new ones. */
static int write_merge(struct flow *f)
{
	struct request *r = request_of(f);
	size_t end = r->what.part_offset + r->what.part_length;
	uint8_t old[BLOCK_SIZE];
	int result = 0;

	if (r->old_mapping.pbn == ZERO_BLOCK)
		memset(old, 0, sizeof(old));
	else
		result = data_unpack(r, r->old_mapping, old);
	if (result != 0)
		return flow_fail(&r->flow, result);
	memcpy(r->data, old, r->what.part_offset);
	memcpy(r->data + end, old + end, BLOCK_SIZE - end);
	data_name(r, false);
	return W_ENTER;
}

/*
 * The physical zone to ask: the one of the own shard, or each in turn where
 * there are not as many of one kind as of the other.
 */
static unsigned allocation_zone(struct logical_zone *z)
{
	struct path *p = z->path;
	unsigned zones = depot_zone_count(p->config.depot);

	if (zones > 1 && zones != p->zone_count && ++z->alloc_count == 128) {
		z->alloc_count = 0;
		z->alloc_zone = (z->alloc_zone + 1) % zones;
	}
	return z->alloc_zone;
}

static bool acknowledges_early(const struct request *r)
{
	return (r->what.flags & VDO_IO_FUA) == 0;
}

static int write_enter(struct flow *f)
{
	struct request *r = request_of(f);

	flush_enter(request_zone(r), r);
	if (!r->zero) {
		r->alloc.zone = allocation_zone(request_zone(r));
		r->queues[ON_PHYSICAL] = depot_queue(r->path->config.depot,
						     r->alloc.zone);
		return W_ALLOCATE;
	}
	r->new_mapping.pbn = ZERO_BLOCK;
	r->new_mapping.state = r->what.kind == IO_DISCARD &&
					       !io_block_is_partial(&r->what)
				       ? STATE_UNMAPPED
				       : STATE_UNCOMPRESSED;
	r->fate = FATE_ZERO;
	if (acknowledges_early(r))
		request_acknowledge(r, 0);
	return W_OLD;
}

/* --------------------------------------------------------------- allocate */

static int write_allocate(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await_any(f, &r->alloc.done, W_ALLOCATED);
	r->alloc.type = PBN_LOCK_WRITE;
	return flow_over_any(f, depot_allocate(r->path->config.depot,
					       &r->alloc));
}

static int write_allocated(struct flow *f)
{
	struct request *r = request_of(f);
	int result = r->alloc.done.result;

	if (likely(result == 0)) {
		r->new_mapping.pbn = r->alloc.lock->pbn;
		r->queues[ON_PHYSICAL] = depot_queue(r->path->config.depot,
						     r->alloc.zone);
		r->new_mapping.state = STATE_UNCOMPRESSED;
		atomic_store_explicit(&r->readable, true, memory_order_release);
		return W_ACK;
	}
	r->alloc.lock = NULL;
	/* Somebody else may have a block with this data, or get one. */
	if (result == -ENOSPC && !r->no_dedupe)
		return W_DEDUPE;
	return flow_fail(&r->flow, result);
}

/* Only what is acknowledged may wait in the packer. */
static bool may_compress(const struct request *r)
{
	return pack_enabled(r->path->config.packer) && r->what.io == NULL &&
	       (r->what.flags & (VDO_IO_FUA | VDO_IO_NO_COMPRESS)) == 0 &&
	       pack_allowed(&r->pack);
}

static int write_ack(struct flow *f)
{
	struct request *r = request_of(f);

	if (acknowledges_early(r))
		request_acknowledge(r, 0);
	/* A fragment needs a hash lock, of its own if nothing is shared. */
	if (!r->no_dedupe || may_compress(r))
		return W_DEDUPE;
	return W_STORE;
}

/* ---------------------------------------------------------- deduplication */

/* What the hash zone says is to be done; where that is done. */
static int route(struct request *r, enum dedupe_next next)
{
	switch (next) {
	case DEDUPE_PARKED:
		return FLOW_WAIT;
	case DEDUPE_VERIFY:
		request_place(r, ON_CANDIDATE, r->dedupe.candidate.pbn);
		return W_VERIFY;
	case DEDUPE_WRITE:
		return W_COMPRESS;
	case DEDUPE_WRITE_ALONE:
		r->member = false;
		if (r->alloc.lock == NULL)
			return flow_fail(&r->flow, -ENOSPC);
		return W_STORE;
	case DEDUPE_SHARE:
		r->shared = true;
		r->new_mapping = r->dedupe.location;
		r->fate = r->verified ? FATE_DUPLICATE : FATE_IN_FLIGHT;
		return W_OLD;
	case DEDUPE_UNLOCK:
		request_place(r, ON_SHARED, r->dedupe.lock->pbn);
		return W_UNLOCK;
	case DEDUPE_LEAVE:
		r->member = false;
		return W_FINISH;
	case DEDUPE_FAIL:
		r->member = false;
		return flow_fail(&r->flow, -ENOSPC);
	}
	VDO_ASSERT(!"a verdict of the hash zone");
	return FLOW_WAIT;
}

/* The hash zone answered at once, unless it parked the request. */
static int answered(struct request *r, enum dedupe_next next)
{
	if (next != DEDUPE_PARKED)
		flow_unpark(&r->flow);
	return route(r, next);
}

static int write_dedupe(struct flow *f)
{
	struct request *r = request_of(f);
	struct dedupe_op *op = &r->dedupe;

	flow_await_any(f, &op->done, W_VERDICT);
	op->private = r->no_dedupe;
	op->pack = &r->pack;
	op->alloc_lock = r->alloc.lock;
	op->allocation = r->new_mapping;
	op->lock = NULL;
	r->member = true;
	return answered(r, dedupe_enter(r->path->config.dedupe, r->hash_zone,
					op));
}

/* After it was parked; each time the same completion of the op brings it. */
static int write_verdict(struct flow *f)
{
	struct request *r = request_of(f);

	/* The hash lock may have taken the lock on our block over. */
	r->alloc.lock = r->dedupe.alloc_lock;
	return route(r, r->dedupe.next);
}

static int write_verify(struct flow *f)
{
	struct request *r = request_of(f);
	struct dedupe_op *op = &r->dedupe;
	struct depot *depot = r->path->config.depot;

	op->lock = depot_lock_read(depot,
				   depot_zone_of(depot, op->candidate.pbn),
				   op->candidate.pbn);
	if (op->lock == NULL)
		return W_VERIFIED;
	flow_await_any(f, &r->mio.done, W_COMPARE);
	mio_read(&r->mio, r->path->config.storage, MIO_DATA, op->candidate.pbn,
		 1, r->block);
	return FLOW_WAIT;
}

/* A block that cannot be read or unpacked is merely different. */
static int write_compare(struct flow *f)
{
	struct request *r = request_of(f);
	uint8_t unpacked[BLOCK_SIZE];
	const uint8_t *stored = r->block;

	r->verified = r->mio.done.result == 0;
	if (r->verified && mapping_is_compressed(r->dedupe.candidate)) {
		stored = unpacked;
		r->verified = data_unpack(r, r->dedupe.candidate,
					  unpacked) == 0;
	}
	if (r->verified)
		r->verified = memcmp(stored, r->data, BLOCK_SIZE) == 0;
	return W_VERIFIED;
}

static int write_verified(struct flow *f)
{
	struct request *r = request_of(f);
	bool equal = r->dedupe.lock != NULL && r->verified;

	flow_park(f, W_VERDICT);
	return answered(r, dedupe_verified(r->path->config.dedupe,
					   r->hash_zone, &r->dedupe, equal));
}

static int write_unlock(struct flow *f)
{
	struct request *r = request_of(f);
	struct depot *depot = r->path->config.depot;
	struct pbn_lock *lock = r->dedupe.lock;

	depot_unlock(depot, depot_zone_of(depot, lock->pbn), lock);
	r->dedupe.lock = NULL;
	return W_UNLOCKED;
}

static int write_unlocked(struct flow *f)
{
	struct request *r = request_of(f);

	flow_park(f, W_VERDICT);
	return answered(r, dedupe_unlocked(r->path->config.dedupe,
					   r->hash_zone, &r->dedupe));
}

/* --------------------------------------------------------- compress, store */

static int write_compress(struct flow *f)
{
	struct request *r = request_of(f);

	if (!may_compress(r))
		return W_STORE;
	if (pack_compress(r->path->compressors[r->hash_zone], &r->pack,
			  r->data))
		return W_PACK;
	r->incompressible = true;
	return W_STORE;
}

static int write_pack(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await_any(f, &r->pack.done, W_PACKED);
	pack_submit(r->path->config.packer, &r->pack);
	return FLOW_WAIT;
}

static int write_packed(struct flow *f)
{
	struct request *r = request_of(f);

	switch (r->pack.verdict) {
	case PACK_LEAD:
		return W_LEAD;
	case PACK_MEMBER:
		return W_OLD; /* its lead has set everything */
	case PACK_ALONE:
		break;
	}
	r->packed_alone = true;
	return W_STORE;
}

/* Not where the storage had no space: that is no damage. */
static void stored(struct completion *c)
{
	struct request *r = container_of(c, struct request, mio.done);

	r->refused = c->result == -ENOSPC || c->result == -EDQUOT;
	if (r->refused)
		c->result = -ENOSPC;
	flow_resume(c);
}

static int write_store(struct flow *f)
{
	struct request *r = request_of(f);

	r->fate = FATE_UNIQUE;
	flow_await(f, &r->mio.done, W_OLD);
	r->mio.done.fn = stored;
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new_mapping.pbn, 1, r->data, false);
	return FLOW_WAIT;
}

static int write_lead(struct flow *f)
{
	struct request *r = request_of(f);

	pack_assemble(&r->pack);
	flow_await_any(f, &r->mio.done, W_PUBLISH);
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new_mapping.pbn, 1, r->block, false);
	return FLOW_WAIT;
}

/*
 * A reference for each fragment. Before the first member goes on: those who
 * share its fragment claim too, and may be many.
 */
static void claim_fragments(struct request *lead)
{
	for (const struct pack_op *op = &lead->pack; op != NULL;
	     op = op == &lead->pack ? op->members : op->next) {
		bool claimed = pbn_lock_claim(lead->alloc.lock);

		VDO_ASSERT(claimed);
	}
}

/* The fragment of @member is in the block of @lead, under a share of its lock. */
static void publish(struct request *lead, struct request *member)
{
	struct pbn_lock *lock = lead->alloc.lock;

	depot_lock_share(lead->path->config.depot, lead->alloc.zone, lock);
	member->new_mapping.pbn = lock->pbn;
	member->new_mapping.state =
		(uint8_t)(STATE_FRAGMENT_0 + member->pack.slot);
	member->dedupe.lock = lock;
	member->packed = true;
	member->fate = FATE_COMPRESSED;
}

static int write_publish(struct flow *f)
{
	struct request *r = request_of(f);
	bool stored = r->mio.done.result == 0;
	struct pack_op *op;

	if (stored) {
		depot_lock_downgrade(r->path->config.depot, r->alloc.zone,
				     r->alloc.lock, true);
		claim_fragments(r);
	}
	while ((op = pack_next_member(&r->pack)) != NULL) {
		struct request *member = container_of(op, struct request, pack);

		if (stored)
			publish(r, member);
		else
			op->verdict = PACK_ALONE;
		completion_post(&op->done);
	}
	if (!stored)
		return W_STORE;
	publish(r, r);
	return W_OLD;
}

/* ---------------------------------------------------------------- metadata */

static int write_old(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await_any(f, &r->map.done, W_GOT_OLD);
	return flow_over_any(f, map_get(r->path->config.map, r->zone,
					&r->map));
}

static int write_got_old(struct flow *f)
{
	struct request *r = request_of(f);
	struct mapping old = r->map.value;
	int result = r->map.done.result;

	if (unlikely(result == -VDO_EMAPPING)) {
		log_warning(r->path->config.log,
			    "path: damaged map entry overwritten, lbn=%llu",
			    (unsigned long long)r->what.lbn);
		old = (struct mapping){ZERO_BLOCK, STATE_UNMAPPED};
	} else if (unlikely(result != 0)) {
		return flow_fail(&r->flow, result);
	}
	r->old_mapping = old;
	if (mapping_equal(r->new_mapping, old) && result == 0)
		return W_FINISH;
	return W_JOURNAL;
}

static int write_journal(struct flow *f)
{
	struct request *r = request_of(f);
	struct journal_entry *e = &r->entry.entry;

	flow_await(f, &r->entry.done, W_COUNTS);
	e->operation = JOURNAL_DATA;
	e->page = r->map.page;
	e->slot = r->map.slot;
	e->new_mapping = r->new_mapping;
	e->old_mapping = r->old_mapping;
	journal_append(r->path->config.journal, &r->entry);
	return FLOW_WAIT;
}

/* One half of the counts is over; the last one goes on. */
static void counted(struct request *r, int result)
{
	if (unlikely(result != 0))
		atomic_store(&r->counts_failed, result);
	if (atomic_fetch_sub_explicit(&r->counts_pending, 1,
				      memory_order_acq_rel) == 1)
		flow_go(&r->flow);
}

static void increment_done(struct completion *c)
{
	counted(container_of(c, struct request, increment.done), c->result);
}

static void decrement_done(struct completion *c)
{
	counted(container_of(c, struct request, decrement.done), c->result);
}

static void increment(struct completion *c)
{
	struct request *r = container_of(c, struct request, increment_go);
	struct depot *depot = r->path->config.depot;

	/* A block of our own may be shared from now on. */
	if (!r->shared && !r->packed)
		depot_lock_downgrade(depot, r->alloc.zone, r->alloc.lock,
				     false);
	if (depot_adjust(depot, &r->increment))
		counted(r, r->increment.done.result);
}

static void decrement(struct completion *c)
{
	struct request *r = container_of(c, struct request, decrement_go);

	if (depot_adjust(r->path->config.depot, &r->decrement))
		counted(r, r->decrement.done.result);
}

static void send_count(struct request *r, struct refs_op *op,
		       enum refs_kind kind, pbn_t pbn, completion_fn done,
		       struct completion *go, completion_fn run)
{
	struct depot *depot = r->path->config.depot;
	struct queue *q = depot_queue(depot, depot_zone_of(depot, pbn));

	completion_init(&op->done, q, done);
	op->kind = kind;
	op->pbn = pbn;
	op->point = r->entry.point;
	completion_init(go, q, run);
	completion_post(go);
}

/*
 * Entries leave the journal in order, and this runs for each at once: so the
 * zones get increments and decrements in journal order (I11).
 */
static int write_counts(struct flow *f)
{
	struct request *r = request_of(f);
	bool up = r->new_mapping.pbn != ZERO_BLOCK;
	bool down = r->old_mapping.pbn != ZERO_BLOCK;

	atomic_store_explicit(&r->counts_failed, 0, memory_order_relaxed);
	if (!up && !down)
		return W_MAP;
	flow_park(f, W_MAP);
	atomic_store_explicit(&r->counts_pending, up + down,
			      memory_order_relaxed);
	if (up)
		send_count(r, &r->increment, REFS_INCREMENT,
			   r->new_mapping.pbn, increment_done,
			   &r->increment_go, increment);
	if (down)
		send_count(r, &r->decrement, REFS_DECREMENT,
			   r->old_mapping.pbn, decrement_done,
			   &r->decrement_go, decrement);
	return FLOW_WAIT;
}

static int write_map(struct flow *f)
{
	struct request *r = request_of(f);
	int failed = atomic_load_explicit(&r->counts_failed,
					  memory_order_relaxed);

	if (unlikely(failed != 0))
		return flow_fail(&r->flow, failed);
	flow_await(f, &r->map.done, W_FINISH);
	r->map.value = r->new_mapping;
	r->map.seq = r->entry.point.seq;
	return flow_over(f, &r->map.done,
			 map_put(r->path->config.map, r->zone, &r->map));
}

/* ---------------------------------------------------------------- clean-up */

static int write_finish(struct flow *f)
{
	struct request *r = request_of(f);

	if (r->member)
		return W_HAND_OVER;
	return r->alloc.lock != NULL ? W_RELEASE : W_WAKE;
}

static int write_hand_over(struct flow *f)
{
	struct request *r = request_of(f);
	struct dedupe *dedupe = r->path->config.dedupe;
	struct dedupe_op *op = &r->dedupe;
	enum dedupe_next next;

	flow_park(f, W_VERDICT);
	op->location = r->new_mapping;
	if (r->flow.result != 0)
		next = dedupe_failed(dedupe, r->hash_zone, op);
	else if (r->shared)
		next = dedupe_shared(dedupe, r->hash_zone, op);
	else
		next = dedupe_written(dedupe, r->hash_zone, op);
	r->alloc.lock = op->alloc_lock;
	return answered(r, next);
}

static int write_release(struct flow *f)
{
	struct request *r = request_of(f);

	depot_unlock(r->path->config.depot, r->alloc.zone, r->alloc.lock);
	r->alloc.lock = NULL;
	return W_WAKE;
}

static void count_outcome(struct request *r, struct path_stats *stats)
{
	if (r->flow.result == 0)
		counter_inc(&stats->fates[r->fate]);
	else
		counter_inc(&stats->fates[FATE_FAILED]);
	if (r->incompressible)
		counter_inc(&stats->incompressible);
	if (r->packed_alone)
		counter_inc(&stats->packed_alone);
	if (r->flow.result == -ENOSPC)
		counter_inc(&stats->no_space);
	if (r->flow.result == -VDO_EREADONLY)
		counter_inc(&stats->read_only_errors);
}

/* What was acknowledged is lost. */
static void lose(struct request *r)
{
	struct path *p = r->path;

	if (!r->refused)
		readonly_enter(p->config.readonly, r->flow.result,
			       "a write failed after its acknowledgement, "
			       "lbn=%llu",
			       (unsigned long long)r->what.lbn);
	else if (!atomic_exchange(&p->full, true))
		log_error(p->config.log,
			  "path: the file system that holds the volume is "
			  "full, no more is written: free space there, then "
			  "close and open the volume; first loss: lbn=%llu",
			  (unsigned long long)r->what.lbn);
}

static int write_wake(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);

	count_outcome(r, &z->stats);
	if (unlikely(r->flow.result != 0) && r->what.io == NULL)
		lose(r);
	atomic_store_explicit(&r->readable, false, memory_order_relaxed);
	lbn_unlock(z, r);
	flush_leave(z, r);
	return W_DONE;
}

static int write_done(struct flow *f)
{
	struct request *r = request_of(f);

	request_acknowledge(r, r->flow.result);
	request_recycle(r);
	return FLOW_END;
}

void write_start(struct request *r)
{
	r->flow.table = &write_table;
	r->shared = false;
	r->packed = false;
	r->member = false;
	r->verified = false;
	r->incompressible = false;
	r->packed_alone = false;
	r->refused = false;
	r->fate = r->what.kind == IO_WRITE ? FATE_FAILED : FATE_ZERO;
	r->alloc.lock = NULL;
	pack_op_reset(&r->pack);
	arrivals_put(r);
}
