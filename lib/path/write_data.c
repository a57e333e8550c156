/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of a write: a block for it, deduplication, compression, storing. See
 * write.h.
 */
#include "build.h"

#include "path/write.h"

#include <errno.h>
#include <string.h>

/* --------------------------------------------------------------- allocate */

int write_allocate(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->zero && !r->owner);
	flow_await_any(f, &r->alloc.done, W_ALLOCATED);
	r->alloc.type = PBN_LOCK_WRITE;
	r->alloc.stream = r->hash_zone;
	return flow_over_any(f, depot_allocate(r->path->config.depot,
					       &r->alloc));
}

int write_allocated(struct flow *f)
{
	struct request *r = request_of(f);
	int result = r->alloc.done.result;

	VDO_CHECK(!r->owner && (result != 0) == (r->alloc.lock == NULL));
	if (likely(result == 0)) {
		r->new.pbn = pbnlock_pbn(r->alloc.lock);
		r->flow.queues[ON_PHYSICAL] = depot_queue(r->path->config.depot,
						     r->alloc.zone);
		r->new.state = STATE_UNCOMPRESSED;
		r->owner = true;
		atomic_store_explicit(&r->lbn.readable, true,
				      memory_order_release);
		return W_ACK;
	}
	/* Somebody else may have a block with this data, or get one. */
	if ((result == -ENOMEM || error_is_no_space(result)) && !r->no_dedupe)
		return W_DEDUPE;
	return flow_fail(f, result);
}

/* Only what is acknowledged may wait in the packer. */
static bool may_compress(const struct request *r)
{
	return pack_enabled(r->path->config.packer) && r->what.io == NULL &&
	       (r->what.flags & (VDO_IO_FUA | VDO_IO_NO_COMPRESS)) == 0 &&
	       pack_allowed(&r->pack);
}

int write_ack(struct flow *f)
{
	struct request *r = request_of(f);

	/* What is acknowledged cannot fail for want of space any more (I25). */
	VDO_CHECK(r->owner);
	if (write_acknowledges_early(r))
		request_acknowledge(r, 0);
	/* A fragment needs a hash lock, of its own if nothing is shared. */
	if (!r->no_dedupe || may_compress(r))
		return W_DEDUPE;
	return W_STORE;
}

/* ---------------------------------------------------------- deduplication */

/* Why the request has no block of its own. */
static int no_block(const struct request *r)
{
	VDO_ASSERT(!r->owner && r->alloc.done.result != 0);
	return r->alloc.done.result;
}

/* The row that does what the hash zone says is to be done. */
static int route(struct request *r, enum dedupe_next next)
{
	VDO_CHECK(r->member);
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
		if (!r->owner)
			return flow_fail(&r->flow, no_block(r));
		return W_STORE;
	case DEDUPE_SHARE:
		r->shared = true;
		r->new = r->dedupe.location;
		r->fate = r->verified ? FATE_DUPLICATE : FATE_IN_FLIGHT;
		return W_OLD;
	case DEDUPE_UNLOCK:
		request_place(r, ON_SHARED, pbnlock_pbn(r->dedupe.lock));
		return W_UNLOCK;
	case DEDUPE_LEAVE:
		r->member = false;
		return W_FINISH;
	case DEDUPE_FAIL:
		r->member = false;
		return flow_fail(&r->flow, no_block(r));
	}
	VDO_ASSERT(!"a verdict of the hash zone");
	return FLOW_WAIT;
}

/* The hash zone answered at once, unless it parked the request. */
static int answered(struct request *r, enum dedupe_next next)
{
	VDO_CHECK(queue_is_current(r->flow.queues[ON_HASH]));
	if (next != DEDUPE_PARKED)
		flow_unpark(&r->flow);
	return route(r, next);
}

int write_dedupe(struct flow *f)
{
	struct request *r = request_of(f);
	struct dedupe_op *op = &r->dedupe;

	VDO_CHECK(!r->zero && !r->member);
	VDO_CHECK(r->hash_zone < r->path->config.hash_zones);
	flow_await_any(f, &op->done, W_VERDICT);
	op->private = r->no_dedupe;
	op->pack = &r->pack;
	op->alloc_lock = r->owner ? r->alloc.lock : NULL;
	op->allocation = r->new;
	op->lock = NULL;
	r->member = true;
	return answered(r, dedupe_enter(r->path->config.dedupe, r->hash_zone,
					op));
}

/* Go on after the request was parked; each time the same completion of the op
 * brings it. */
int write_verdict(struct flow *f)
{
	struct request *r = request_of(f);

	/* The hash lock may have taken the lock on our block over. */
	r->owner = r->dedupe.alloc_lock != NULL;
	return route(r, r->dedupe.next);
}

int write_verify(struct flow *f)
{
	struct request *r = request_of(f);
	struct lock_op *op = &r->candidate;
	struct depot *depot = r->path->config.depot;

	VDO_CHECK(r->member);
	op->pbn = r->dedupe.candidate.pbn;
	flow_await_any(f, &op->done, W_LOCKED);
	return flow_over_any(f, depot_lock_read(depot,
						depot_zone_of(depot, op->pbn),
						op));
}

int write_locked(struct flow *f)
{
	struct request *r = request_of(f);
	bool cached;

	r->dedupe.lock = r->candidate.lock;
	if (r->dedupe.lock == NULL)
		return W_VERIFIED;
	flow_await_any(f, &r->mio.done, W_COMPARE);
	cached = data_is_cached(r, r->dedupe.candidate);
	if (!cached)
		mio_read(&r->mio, r->path->config.storage, MIO_DATA,
			 r->candidate.pbn, 1, r->block);
	return flow_over_any(f, cached);
}

/* A block that cannot be read or unpacked is merely different. */
int write_compare(struct flow *f)
{
	struct request *r = request_of(f);
	uint8_t unpacked[BLOCK_SIZE];
	const uint8_t *stored = r->block;

	VDO_CHECK(r->dedupe.lock != NULL); /* keeps the candidate as it is */
	r->verified = r->mio.done.result == 0;
	if (r->verified && mapping_is_compressed(r->dedupe.candidate)) {
		stored = unpacked;
		r->verified = data_unpack(r, r->dedupe.candidate,
					  unpacked) == 0;
	}
	if (r->verified)
		r->verified = memcmp(stored, r->data, BLOCK_SIZE) == 0;
	if (r->verified)
		data_keep(r, r->dedupe.candidate);
	return W_VERIFIED;
}

int write_verified(struct flow *f)
{
	struct request *r = request_of(f);
	bool equal = r->dedupe.lock != NULL && r->verified;

	flow_park(f, W_VERDICT);
	return answered(r, dedupe_verified(r->path->config.dedupe,
					   r->hash_zone, &r->dedupe, equal));
}

int write_unlock(struct flow *f)
{
	struct request *r = request_of(f);
	struct depot *depot = r->path->config.depot;
	struct pbn_lock *lock = r->dedupe.lock;

	VDO_CHECK(lock != NULL);
	depot_unlock(depot, depot_zone_of(depot, pbnlock_pbn(lock)), lock);
	r->dedupe.lock = NULL;
	return W_UNLOCKED;
}

int write_unlocked(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->dedupe.lock == NULL);
	flow_park(f, W_VERDICT);
	return answered(r, dedupe_unlocked(r->path->config.dedupe,
					   r->hash_zone, &r->dedupe));
}

int write_hand_over(struct flow *f)
{
	struct request *r = request_of(f);
	struct dedupe *dedupe = r->path->config.dedupe;
	struct dedupe_op *op = &r->dedupe;
	enum dedupe_next next;

	/* Without an error, the mapping says where the data is (I20). */
	VDO_CHECK(r->flow.result != 0 || r->new.pbn != ZERO_BLOCK);
	flow_park(f, W_VERDICT);
	op->location = r->new;
	if (r->flow.result != 0)
		next = dedupe_failed(dedupe, r->hash_zone, op);
	else if (r->shared)
		next = dedupe_shared(dedupe, r->hash_zone, op);
	else
		next = dedupe_written(dedupe, r->hash_zone, op);
	r->owner = op->alloc_lock != NULL;
	return answered(r, next);
}

/* --------------------------------------------------------- compress, store */

int write_compress(struct flow *f)
{
	struct request *r = request_of(f);

	/* Only a hash lock can give a fragment a block (I31). */
	VDO_CHECK(r->member);
	if (!may_compress(r))
		return W_STORE;
	if (pack_compress(r->path->compressors[r->hash_zone], &r->pack,
			  r->data))
		return W_PACK;
	r->incompressible = true;
	return W_STORE;
}

int write_pack(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->owner && r->what.io == NULL);
	flow_await_any(f, &r->pack.done, W_PACKED);
	pack_submit(r->path->config.packer, &r->pack);
	return FLOW_WAIT;
}

int write_packed(struct flow *f)
{
	struct request *r = request_of(f);

	switch (r->pack.verdict) {
	case PACK_LEAD:
		return storage_merges(r->path->config.storage) ? W_MOVE
							       : W_LEAD;
	case PACK_MEMBER:
		VDO_CHECK(r->packed); /* its lead has set everything */
		return W_OLD;
	case PACK_ALONE:
		break;
	}
	r->packed_alone = true;
	return W_STORE;
}

/* Note if the storage had no space for the data: that is no damage. */
static void stored(struct completion *c)
{
	struct request *r = container_of(c, struct request, mio.done);

	VDO_CHECK(r->owner && !r->refused);
	r->refused = error_is_no_space(c->result);
	flow_resume(c);
}

int write_store(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->owner && !r->shared && !r->packed);
	r->fate = FATE_UNIQUE;
	flow_await(f, &r->mio.done, W_OLD);
	r->mio.done.fn = stored;
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new.pbn, 1, r->data, false);
	return FLOW_WAIT;
}

/* Of the blocks of all members one is used. Were it the lead's, compressed blocks
 * would lie apart, and each would be an operation of the storage. */
int write_move(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->owner && r->pack.verdict == PACK_LEAD);
	r->alloc.lock = depot_move(r->path->config.depot, r->alloc.zone,
				   r->alloc.lock);
	r->dedupe.alloc_lock = r->alloc.lock;
	r->new.pbn = pbnlock_pbn(r->alloc.lock);
	return W_LEAD;
}

int write_lead(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->owner && r->pack.slot == 0);
	pack_assemble(&r->pack);
	flow_await_any(f, &r->mio.done, W_PUBLISH);
	mio_write(&r->mio, r->path->config.storage, MIO_DATA,
		  r->new.pbn, 1, r->block, false);
	return FLOW_WAIT;
}

/*
 * Claim a reference for each fragment, before the first member goes on: those
 * who share its fragment claim too, and may be many.
 */
static void claim_fragments(struct request *lead)
{
	for (const struct pack_op *op = &lead->pack; op != NULL;
	     op = op == &lead->pack ? op->members : op->next) {
		bool claimed = pbnlock_claim(lead->alloc.lock);

		VDO_CHECK(claimed);
	}
}

/* The fragment of @member is in the block of @lead, under a share of its lock. */
static void publish(struct request *lead, struct request *member)
{
	struct pbn_lock *lock = lead->alloc.lock;

	VDO_CHECK(!member->packed && member->pack.slot < FRAGMENTS_MAX);
	depot_lock_share(lead->path->config.depot, lead->alloc.zone, lock);
	member->new.pbn = pbnlock_pbn(lock);
	member->new.state =
		(uint8_t)(STATE_FRAGMENT_0 + member->pack.slot);
	member->dedupe.lock = lock;
	member->packed = true;
	member->fate = FATE_COMPRESSED;
}

int write_publish(struct flow *f)
{
	struct request *r = request_of(f);
	bool is_stored = r->mio.done.result == 0;
	struct pack_op *op;

	VDO_CHECK(r->owner && r->pack.verdict == PACK_LEAD);
	if (is_stored) {
		depot_lock_downgrade(r->path->config.depot, r->alloc.zone,
				     r->alloc.lock, true);
		claim_fragments(r);
	}
	while ((op = pack_next_member(&r->pack)) != NULL) {
		struct request *member = container_of(op, struct request, pack);

		if (is_stored)
			publish(r, member);
		else
			op->verdict = PACK_ALONE;
		completion_post(&op->done);
	}
	if (!is_stored)
		return W_STORE;
	publish(r, r);
	return W_OLD;
}
