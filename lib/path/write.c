/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes, discards and zeroes: the table.
 *
 *	row        place        what
 *	lock       logical      one request at a time on each logical block
 *	slot       logical      leaf page and slot; missing pages are created
 *	fetch      logical      partial writes only: the old mapping ...
 *	fill       any          ... and the old content, to be merged
 *	enter      logical      counted for flushes; zeroes go on to "old"
 *	allocate   physical     provisional reference, write lock
 *	ack        any          the user's callback, unless FUA
 *	dedupe     hash         hash lock and advice: share, write, or wait
 *	verify     candidate    read lock, read
 *	compare    any          all 4096 bytes
 *	verified   hash         the verdict
 *	unlock     shared       the read lock goes back
 *	unlocked   hash
 *	compress   hash         LZ4, with the memory of that zone
 *	pack       packer       lead, member, or alone
 *	store      any          the data block
 *	lead       any          the compressed block, for all its members
 *	publish    physical     members learn where their fragments are
 *	old        logical      the mapping to be replaced
 *	journal    journal      resumes when the entry is durable
 *	counts     journal      +1 new and -1 old, sent out in journal order
 *	map        logical      the mapping is stored
 *	finish     any          here every way ends, also that of errors
 *	hand over  hash         sharers are woken, the index is told
 *	release    physical     the own block's lock
 *	wake       logical      the LBN lock and the flush count; clean-up ends
 *	done       any          FUA or failed: callback; the request is free
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

enum {
	W_LOCK,
	W_SLOT,
	W_SLOTTED,
	W_FETCH,
	W_FILL,
	W_MERGE,
	W_ENTER,
	W_ALLOCATE,
	W_ALLOCATED,
	W_ACK,
	W_DEDUPE,
	W_VERIFY,
	W_COMPARE,
	W_VERIFIED,
	W_UNLOCK,
	W_UNLOCKED,
	W_COMPRESS,
	W_PACK,
	W_PACKED,
	W_STORE,
	W_LEAD,
	W_PUBLISH,
	W_OLD,
	W_GOT_OLD,
	W_JOURNAL,
	W_COUNTS,
	W_MAP,
	W_FINISH,
	W_HAND_OVER,
	W_RELEASE,
	W_WAKE,
	W_DONE,
};

/* ---------------------------------------------- embedded ops that are over */

/* Define what runs when the embedded op is over: on, or to the error row. */
#define RESUME(name, field)                                                    \
	static void name(struct completion *c)                                 \
	{                                                                      \
		struct request *r =                                            \
			container_of(c, struct request, field.done);           \
                                                                               \
		if (unlikely(c->result != 0))                                  \
			r->at = request_fail(r, c->result);                    \
		request_run(r);                                                \
	}

RESUME(map_done, map)
RESUME(entry_done, entry)

/* The same for the data block; the storage may have had no space for it. */
static void store_done(struct completion *c)
{
	struct request *r = container_of(c, struct request, mio.done);

	if (unlikely(c->result != 0)) {
		r->refused = c->result == -ENOSPC || c->result == -EDQUOT;
		r->at = request_fail(r, r->refused ? -ENOSPC : c->result);
	}
	request_run(r);
}

/* These rows look at the result themselves. */
static void alloc_done(struct completion *c)
{
	request_run(container_of(c, struct request, alloc.done));
}

static void pack_done(struct completion *c)
{
	request_run(container_of(c, struct request, pack.done));
}

static void checked_map_done(struct completion *c)
{
	request_run(container_of(c, struct request, map.done));
}

static void checked_io_done(struct completion *c)
{
	request_run(container_of(c, struct request, mio.done));
}

/* ------------------------------------------------------- logical beginnings */

static int write_lock(struct request *r)
{
	struct logical_zone *z = request_zone(r);

	counter_inc(r->what.kind == IO_WRITE	    ? &z->stats.writes
		    : r->what.kind == IO_DISCARD ? &z->stats.discards
					    : &z->stats.zeroes);
	if (io_block_is_partial(&r->what))
		counter_inc(&z->stats.partial);
	if (r->what.flags & VDO_IO_FUA)
		counter_inc(&z->stats.fua);
	r->at = W_SLOT;
	return lbn_lock(z, r) ? W_SLOT : WAIT;
}

static int write_slot(struct request *r)
{
	if (unlikely(readonly_entered(r->path->config.readonly)))
		return request_fail(r, -VDO_EREADONLY);
	if (unlikely(path_lost_data(r->path)))
		return request_fail(r, -ENOSPC);
	request_await(r, map, W_SLOTTED, ON_LOGICAL, map_done);
	r->map.lbn = r->what.lbn;
	r->map.allocate = r->what.kind != IO_DISCARD;
	r->map.alloc_zone = request_zone(r)->alloc_zone;
	if (!map_find(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, W_SLOTTED);
}

static int write_slotted(struct request *r)
{
	if (r->map.page == ZERO_BLOCK)
		return W_FINISH; /* a discard of what was never written */
	return io_block_is_partial(&r->what) ? W_FETCH : W_ENTER;
}

/* ------------------------------------------------- partial: read and merge */

static int write_fetch(struct request *r)
{
	request_await(r, map, W_FILL, ON_LOGICAL, map_done);
	if (!map_get(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, W_FILL);
}

static int write_fill(struct request *r)
{
	r->old_mapping = r->map.value;
	if (r->old_mapping.pbn == ZERO_BLOCK)
		return r->what.kind == IO_WRITE ? W_MERGE : W_FINISH;
	data_fetch(r, r->old_mapping, W_MERGE, ON_LOGICAL);
	return WAIT;
}

/* Put the old bytes around the new ones. */
static int write_merge(struct request *r)
{
	size_t end = r->what.part_offset + r->what.part_length;
	uint8_t old[BLOCK_SIZE];
	int result = 0;

	if (r->old_mapping.pbn == ZERO_BLOCK)
		memset(old, 0, sizeof(old));
	else
		result = data_unpack(r, r->old_mapping, old);
	if (result != 0)
		return request_fail(r, result);
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

static int write_enter(struct request *r)
{
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

static int write_allocate(struct request *r)
{
	request_await(r, alloc, W_ALLOCATED, ON_PHYSICAL, alloc_done);
	r->alloc.type = PBN_LOCK_WRITE;
	if (!depot_allocate(r->path->config.depot, &r->alloc))
		return WAIT;
	return W_ALLOCATED;
}

static int write_allocated(struct request *r)
{
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
	return request_fail(r, result);
}

/* Only what is acknowledged may wait in the packer. */
static bool may_compress(const struct request *r)
{
	return pack_enabled(r->path->config.packer) && r->what.io == NULL &&
	       (r->what.flags & (VDO_IO_FUA | VDO_IO_NO_COMPRESS)) == 0 &&
	       pack_allowed(&r->pack);
}

static int write_ack(struct request *r)
{
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
		return WAIT;
	case DEDUPE_VERIFY:
		request_place(r, ON_CANDIDATE, r->dedupe.candidate.pbn);
		return W_VERIFY;
	case DEDUPE_WRITE:
		return W_COMPRESS;
	case DEDUPE_WRITE_ALONE:
		r->member = false;
		if (r->alloc.lock == NULL)
			return request_fail(r, -ENOSPC);
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
		return request_fail(r, -ENOSPC);
	}
	VDO_ASSERT(!"a verdict of the hash zone");
	return WAIT;
}

static void dedupe_done(struct completion *c)
{
	struct request *r = container_of(c, struct request, dedupe.done);

	/* The hash lock may have taken the lock on our block over. */
	r->alloc.lock = r->dedupe.alloc_lock;
	r->at = route(r, r->dedupe.next);
	request_run(r);
}

static int write_dedupe(struct request *r)
{
	struct dedupe_op *op = &r->dedupe;

	completion_init(&op->done, r->queues[ON_HASH], dedupe_done);
	op->private = r->no_dedupe;
	op->pack = &r->pack;
	op->alloc_lock = r->alloc.lock;
	op->allocation = r->new_mapping;
	op->lock = NULL;
	r->member = true;
	return route(r, dedupe_enter(r->path->config.dedupe, r->hash_zone, op));
}

static int write_verify(struct request *r)
{
	struct dedupe_op *op = &r->dedupe;
	struct depot *depot = r->path->config.depot;

	op->lock = depot_lock_read(depot,
				   depot_zone_of(depot, op->candidate.pbn),
				   op->candidate.pbn);
	if (op->lock == NULL)
		return W_VERIFIED;
	request_await(r, mio, W_COMPARE, ON_HASH, checked_io_done);
	mio_read(&r->mio, r->path->config.storage, MIO_DATA, op->candidate.pbn,
		 1, r->block);
	return WAIT;
}

/* A block that cannot be read or unpacked is merely different. */
static int write_compare(struct request *r)
{
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

static int write_verified(struct request *r)
{
	bool equal = r->dedupe.lock != NULL && r->verified;

	return route(r, dedupe_verified(r->path->config.dedupe, r->hash_zone,
					&r->dedupe, equal));
}

static int write_unlock(struct request *r)
{
	struct depot *depot = r->path->config.depot;
	struct pbn_lock *lock = r->dedupe.lock;

	depot_unlock(depot, depot_zone_of(depot, lock->pbn), lock);
	r->dedupe.lock = NULL;
	return W_UNLOCKED;
}

static int write_unlocked(struct request *r)
{
	return route(r, dedupe_unlocked(r->path->config.dedupe, r->hash_zone,
					&r->dedupe));
}

/* --------------------------------------------------------- compress, store */

static int write_compress(struct request *r)
{
	if (!may_compress(r))
		return W_STORE;
	if (pack_compress(r->path->compressors[r->hash_zone], &r->pack,
			  r->data))
		return W_PACK;
	r->incompressible = true;
	return W_STORE;
}

static int write_pack(struct request *r)
{
	request_await(r, pack, W_PACKED, ON_LOGICAL, pack_done);
	pack_submit(r->path->config.packer, &r->pack);
	return WAIT;
}

static int write_packed(struct request *r)
{
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

static int write_store(struct request *r)
{
	r->fate = FATE_UNIQUE;
	request_await(r, mio, W_OLD, ON_LOGICAL, store_done);
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new_mapping.pbn, 1, r->data, false);
	return WAIT;
}

static int write_lead(struct request *r)
{
	pack_assemble(&r->pack);
	request_await(r, mio, W_PUBLISH, ON_PHYSICAL, checked_io_done);
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new_mapping.pbn, 1, r->block, false);
	return WAIT;
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

static int write_publish(struct request *r)
{
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

static int write_old(struct request *r)
{
	request_await(r, map, W_GOT_OLD, ON_LOGICAL, checked_map_done);
	if (!map_get(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return W_GOT_OLD;
}

static int write_got_old(struct request *r)
{
	struct mapping old = r->map.value;
	int result = r->map.done.result;

	if (unlikely(result == -VDO_EMAPPING)) {
		log_warning(r->path->config.log,
			    "path: damaged map entry overwritten, lbn=%llu",
			    (unsigned long long)r->what.lbn);
		old = (struct mapping){ZERO_BLOCK, STATE_UNMAPPED};
	} else if (unlikely(result != 0)) {
		return request_fail(r, result);
	}
	r->old_mapping = old;
	if (mapping_equal(r->new_mapping, old) && result == 0)
		return W_FINISH;
	return W_JOURNAL;
}

static int write_journal(struct request *r)
{
	struct journal_entry *e = &r->entry.entry;

	request_await(r, entry, W_COUNTS, ON_JOURNAL, entry_done);
	e->operation = JOURNAL_DATA;
	e->page = r->map.page;
	e->slot = r->map.slot;
	e->new_mapping = r->new_mapping;
	e->old_mapping = r->old_mapping;
	journal_append(r->path->config.journal, &r->entry);
	return WAIT;
}

/* One half of the counts is over; the last one goes on. */
static void counted(struct request *r, int result)
{
	if (unlikely(result != 0))
		atomic_store(&r->counts_failed, result);
	if (atomic_fetch_sub_explicit(&r->counts_pending, 1,
				      memory_order_acq_rel) == 1)
		request_post(r, W_MAP);
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
static int write_counts(struct request *r)
{
	bool up = r->new_mapping.pbn != ZERO_BLOCK;
	bool down = r->old_mapping.pbn != ZERO_BLOCK;

	atomic_store_explicit(&r->counts_failed, 0, memory_order_relaxed);
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
	return up || down ? WAIT : W_MAP;
}

static int write_map(struct request *r)
{
	int failed = atomic_load_explicit(&r->counts_failed,
					  memory_order_relaxed);

	if (unlikely(failed != 0))
		return request_fail(r, failed);
	request_await(r, map, W_FINISH, ON_LOGICAL, map_done);
	r->map.value = r->new_mapping;
	r->map.seq = r->entry.point.seq;
	if (!map_put(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, W_FINISH);
}

/* ---------------------------------------------------------------- clean-up */

static int write_finish(struct request *r)
{
	if (r->member)
		return W_HAND_OVER;
	return r->alloc.lock != NULL ? W_RELEASE : W_WAKE;
}

static int write_hand_over(struct request *r)
{
	struct dedupe *dedupe = r->path->config.dedupe;
	struct dedupe_op *op = &r->dedupe;
	enum dedupe_next next;

	op->location = r->new_mapping;
	if (r->error != 0)
		next = dedupe_failed(dedupe, r->hash_zone, op);
	else if (r->shared)
		next = dedupe_shared(dedupe, r->hash_zone, op);
	else
		next = dedupe_written(dedupe, r->hash_zone, op);
	r->alloc.lock = op->alloc_lock;
	return route(r, next);
}

static int write_release(struct request *r)
{
	depot_unlock(r->path->config.depot, r->alloc.zone, r->alloc.lock);
	r->alloc.lock = NULL;
	return W_WAKE;
}

static void count_outcome(struct request *r, struct path_stats *stats)
{
	if (r->error == 0)
		counter_inc(&stats->fates[r->fate]);
	else
		counter_inc(&stats->fates[FATE_FAILED]);
	if (r->incompressible)
		counter_inc(&stats->incompressible);
	if (r->packed_alone)
		counter_inc(&stats->packed_alone);
	if (r->error == -ENOSPC)
		counter_inc(&stats->no_space);
	if (r->error == -VDO_EREADONLY)
		counter_inc(&stats->read_only_errors);
}

/* What was acknowledged is lost. */
static void lose(struct request *r)
{
	struct path *p = r->path;

	if (!r->refused)
		readonly_enter(p->config.readonly, r->error,
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

static int write_wake(struct request *r)
{
	struct logical_zone *z = request_zone(r);

	count_outcome(r, &z->stats);
	if (unlikely(r->error != 0) && r->what.io == NULL)
		lose(r);
	atomic_store_explicit(&r->readable, false, memory_order_relaxed);
	lbn_unlock(z, r);
	flush_leave(z, r);
	return W_DONE;
}

static int write_done(struct request *r)
{
	request_acknowledge(r, r->error);
	request_recycle(r);
	return WAIT;
}

static const struct step write_steps[] = {
	[W_LOCK] = {ON_LOGICAL, write_lock, "lock"},
	[W_SLOT] = {ON_LOGICAL, write_slot, "slot"},
	[W_SLOTTED] = {ON_LOGICAL, write_slotted, "slotted"},
	[W_FETCH] = {ON_LOGICAL, write_fetch, "fetch"},
	[W_FILL] = {ON_LOGICAL, write_fill, "fill"},
	[W_MERGE] = {ANYWHERE, write_merge, "merge"},
	[W_ENTER] = {ON_LOGICAL, write_enter, "enter"},
	[W_ALLOCATE] = {ON_PHYSICAL, write_allocate, "allocate"},
	[W_ALLOCATED] = {ANYWHERE, write_allocated, "allocated"},
	[W_ACK] = {ANYWHERE, write_ack, "ack"},
	[W_DEDUPE] = {ON_HASH, write_dedupe, "dedupe"},
	[W_VERIFY] = {ON_CANDIDATE, write_verify, "verify"},
	[W_COMPARE] = {ANYWHERE, write_compare, "compare"},
	[W_VERIFIED] = {ON_HASH, write_verified, "verified"},
	[W_UNLOCK] = {ON_SHARED, write_unlock, "unlock"},
	[W_UNLOCKED] = {ON_HASH, write_unlocked, "unlocked"},
	[W_COMPRESS] = {ON_HASH, write_compress, "compress"},
	[W_PACK] = {ON_PACKER, write_pack, "pack"},
	[W_PACKED] = {ANYWHERE, write_packed, "packed"},
	[W_STORE] = {ANYWHERE, write_store, "store"},
	[W_LEAD] = {ANYWHERE, write_lead, "lead"},
	[W_PUBLISH] = {ON_PHYSICAL, write_publish, "publish"},
	[W_OLD] = {ON_LOGICAL, write_old, "old"},
	[W_GOT_OLD] = {ON_LOGICAL, write_got_old, "got old"},
	[W_JOURNAL] = {ON_JOURNAL, write_journal, "journal"},
	[W_COUNTS] = {ON_JOURNAL, write_counts, "counts"},
	[W_MAP] = {ON_LOGICAL, write_map, "map"},
	[W_FINISH] = {ANYWHERE, write_finish, "finish"},
	[W_HAND_OVER] = {ON_HASH, write_hand_over, "hand over"},
	[W_RELEASE] = {ON_PHYSICAL, write_release, "release"},
	[W_WAKE] = {ON_LOGICAL, write_wake, "wake"},
	[W_DONE] = {ANYWHERE, write_done, "done"},
};

void write_start(struct request *r)
{
	r->table = write_steps;
	r->failed = W_FINISH;
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
