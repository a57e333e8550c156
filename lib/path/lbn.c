/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LBN locks: one request at a time on each logical block.
 *
 * Each zone has a table of chains of holders. Who finds a holder waits in the
 * holder's FIFO; when the holder is done, the oldest waiter becomes the holder
 * and inherits the others.
 *
 * A range is locked as a whole (range.c). It has no block that a holder or another
 * range has, so a block has one holder of either kind. Who finds a range waits for
 * it; when it ends, all who waited ask again, in their order.
 *
 * Who waits for a write makes sure that the write does not stay in the packer
 * (I31): it cancels its compression, and fetches it if it is parked there.
 */
#include "build.h"

#include "path/path_priv.h"

static struct request **chain_of(struct logical_zone *z, lbn_t lbn)
{
	VDO_CHECK(queue_is_current(z->queue));
	/* Neighbours fall into neighbouring chains. */
	return &z->locks[(lbn ^ lbn >> 16) & z->locks_mask];
}

static struct request *holder_of(struct request *const *chain, lbn_t lbn)
{
	struct request *h = *chain;

	while (h != NULL && h->what.lbn != lbn)
		h = h->lbn.chain;
	return h;
}

static bool is_write(const struct request *r)
{
	return r->what.kind != IO_READ;
}

/* Somebody waits for @holder: it must not stay in the packer. */
static void hurry(struct request *holder, struct request *waiter)
{
	VDO_CHECK(holder != waiter && holder->zone == waiter->zone);
	if (is_write(holder) && pack_cancel(&holder->pack))
		pack_send_fetch(holder->path->config.packer, &waiter->lbn.fetch,
				&holder->pack);
}

/* Ranges lie within one leaf page each. */
static struct request **ranges_of(struct logical_zone *z, lbn_t lbn)
{
	VDO_CHECK(queue_is_current(z->queue));
	return &z->ranges[lbn / MAP_PAGE_ENTRIES % RANGE_CHAINS];
}

static struct request *range_with(struct logical_zone *z, lbn_t lbn)
{
	struct request *h = *ranges_of(z, lbn);

	while (h != NULL && lbn - h->what.lbn >= h->blocks)
		h = h->lbn.chain;
	return h;
}

/* Nobody holds r->lbn: does a range? Then @r waits for its end. */
static bool wait_for_range(struct logical_zone *z, struct request *r)
{
	struct request *range = range_with(z, r->what.lbn);

	VDO_CHECK(range != r);
	if (range != NULL)
		waitq_push(&range->lbn.waiters, &r->lbn.link);
	return range != NULL;
}

bool lbn_lock(struct logical_zone *z, struct request *r)
{
	struct request **chain = chain_of(z, r->what.lbn);
	struct request *holder = holder_of(chain, r->what.lbn);

	VDO_CHECK(request_zone(r) == z && r != holder);
	waitq_init(&r->lbn.waiters);
	atomic_store_explicit(&r->lbn.readable, false, memory_order_relaxed);
	if (likely(holder == NULL)) {
		if (unlikely(z->range_count > 0) && wait_for_range(z, r))
			return false;
		r->lbn.chain = *chain;
		*chain = r;
		return true;
	}
	waitq_push(&holder->lbn.waiters, &r->lbn.link);
	hurry(holder, r);
	return false;
}

struct request *lbn_readable(struct logical_zone *z, lbn_t lbn)
{
	struct request *h = holder_of(chain_of(z, lbn), lbn);

	if (h != NULL && is_write(h) &&
	    atomic_load_explicit(&h->lbn.readable, memory_order_acquire))
		return h;
	return NULL;
}

void lbn_unlock(struct logical_zone *z, struct request *r)
{
	struct request **at = chain_of(z, r->what.lbn);
	struct waiter *w = waitq_pop(&r->lbn.waiters);
	struct request *heir;

	while (*at != r)
		at = &(*at)->lbn.chain;
	if (likely(w == NULL)) {
		*at = r->lbn.chain;
		return;
	}
	VDO_ASSERT(w->next == NULL || !waitq_empty(&r->lbn.waiters));
	heir = container_of(w, struct request, lbn.link);
	VDO_ASSERT(heir->what.lbn == r->what.lbn);
	heir->lbn.chain = r->lbn.chain;
	*at = heir;
	waitq_splice(&heir->lbn.waiters, &r->lbn.waiters);
	if (!waitq_empty(&heir->lbn.waiters) && is_write(heir)) {
		/* The heir is not in the packer yet: nobody has to fetch it. */
		bool parked = pack_cancel(&heir->pack);

		VDO_ASSERT(!parked);
	}
	flow_go(&heir->flow);
}

/* The first block from @lbn on, up to @end, that is in a range. */
static lbn_t next_range(struct logical_zone *z, lbn_t lbn, lbn_t end)
{
	for (struct request *h = *ranges_of(z, lbn); h != NULL;
	     h = h->lbn.chain) {
		if (h->what.lbn + h->blocks > lbn)
			end = MIN(end, MAX(h->what.lbn, lbn));
	}
	return end;
}

bool lbn_lock_range(struct logical_zone *z, struct request *r, lbn_t end)
{
	struct request **chain = ranges_of(z, r->what.lbn);
	lbn_t lbn = r->what.lbn;

	VDO_CHECK(request_zone(r) == z && r->blocks == 0 && lbn < end);
	if (wait_for_range(z, r))
		return false;
	end = next_range(z, lbn, end);
	while (lbn < end && holder_of(chain_of(z, lbn), lbn) == NULL)
		lbn++;
	r->blocks = (unsigned)(lbn - r->what.lbn);
	if (r->blocks == 0)
		return true;
	waitq_init(&r->lbn.waiters);
	r->lbn.chain = *chain;
	*chain = r;
	z->range_count++;
	return true;
}

void lbn_unlock_range(struct logical_zone *z, struct request *r)
{
	struct request **at = ranges_of(z, r->what.lbn);
	struct waitq taken;
	struct waiter *w;

	VDO_CHECK(r->blocks > 0 && z->range_count > 0);
	while (*at != r)
		at = &(*at)->lbn.chain;
	*at = r->lbn.chain;
	r->blocks = 0;
	z->range_count--;
	waitq_take_all(&r->lbn.waiters, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct request *next = container_of(w, struct request,
						    lbn.link);

		if (next->range || lbn_lock(z, next))
			flow_go(&next->flow);
	}
}

bool lbn_widen(struct logical_zone *z, struct request *r, lbn_t end)
{
	bool locked;

	VDO_CHECK(holder_of(chain_of(z, r->what.lbn), r->what.lbn) == r);
	if (!waitq_empty(&r->lbn.waiters))
		return false;
	lbn_unlock(z, r);
	locked = lbn_lock_range(z, r, end);
	VDO_ASSERT(locked && r->blocks > 0);
	return true;
}

unsigned lbn_free_before(struct logical_zone *z, lbn_t end, unsigned max)
{
	unsigned page = (unsigned)((end - 1) % MAP_PAGE_ENTRIES) + 1;
	unsigned n = 0;

	VDO_CHECK(end > 0);
	for (max = MIN(max, page); n < max; n++) {
		lbn_t lbn = end - 1 - n;

		if (holder_of(chain_of(z, lbn), lbn) != NULL ||
		    (z->range_count > 0 && range_with(z, lbn) != NULL))
			break;
	}
	return n;
}
