/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arrivals: what is under way goes before what is new.
 *
 * New requests of a logical zone line up here; a pump, a message to the zone's
 * own queue, lets a few of them in and goes to the end of the queue again. So
 * each round of messages in progress admits ARRIVALS_BATCH new ones, and a
 * request that has begun ends soon: its data is still in cache, its locks are
 * given back early, and the pool of requests does not run dry only because more
 * and more is begun.
 *
 * A whole block that lies in one piece of the caller's memory is copied as it is
 * let in, not before: of a call of 1 MiB only what is under way takes up cache.
 * What lies in several pieces was copied at once, since the list of them may be
 * gone with the call.
 *
 * Blocks that are let in together are named together, which takes a third to
 * half of the time of one after another (base/hash128_lanes.h); what comes after
 * the first of them waits until they have their names, to stay in order. Nothing
 * waits for company: what is alone is named alone. The bytes come to the core
 * that writes them to the device a moment later.
 *
 * The pump is posted by whoever finds it idle. It goes idle when it finds the
 * line empty; then it looks once more, because a producer that came in between
 * took it for awake: both sides exchange the flag, so the pump acquires what
 * that producer put. A producer that is not done linking its request is seen
 * neither time, but looks at the flag after it is done.
 */
#include "build.h"

#include "path/path_priv.h"

#include "base/hash128_lanes.h"

#define ARRIVALS_BATCH HASH128_LANES

/* Parts of blocks have no name before the old bytes are around them. */
static bool needs_name(const struct request *r)
{
	return r->what.kind == IO_WRITE && !r->zero &&
	       !io_block_is_partial(&r->what);
}

static struct request *next(struct logical_zone *z)
{
	struct mpsc_node *node = mpsc_poll(&z->arrivals);

	return node == NULL ? NULL
			    : container_of(node, struct request, flow.go.link);
}

/* Copy and name @first and what comes after it, up to @max in all, and let them
 * in, in their order; how many. */
static unsigned run_together(struct logical_zone *z, struct request *first,
			     unsigned max)
{
	struct request *all[ARRIVALS_BATCH], *unnamed[ARRIVALS_BATCH];
	unsigned n = 0, count = 0;

	VDO_CHECK(max > 0 && max <= ARRIVALS_BATCH);
	for (struct request *r = first; r != NULL; r = next(z)) {
		all[n++] = r;
		if (needs_name(r)) {
			if (r->what.user != NULL)
				data_from_piece(r);
			unnamed[count++] = r;
		}
		if (n == max)
			break;
	}
	data_name(unnamed, count);
	for (unsigned i = 0; i < n; i++)
		flow_run(&all[i]->flow);
	return n;
}

static void pump(struct completion *c)
{
	struct logical_zone *z = container_of(c, struct logical_zone, pump);
	unsigned n;

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(atomic_load_explicit(&z->pumping, memory_order_relaxed));
	for (n = 0; n < ARRIVALS_BATCH; n++) {
		struct request *r = next(z);

		if (r == NULL)
			break;
		if (needs_name(r)) {
			n += run_together(z, r, ARRIVALS_BATCH - n);
			break;
		}
		flow_run(&r->flow);
	}
	if (n < ARRIVALS_BATCH) {
		atomic_exchange(&z->pumping, false);
		if (!mpsc_ready(&z->arrivals) ||
		    atomic_exchange(&z->pumping, true))
			return;
	}
	completion_post(&z->pump);
}

void arrivals_init(struct logical_zone *z)
{
	mpsc_init(&z->arrivals);
	atomic_init(&z->pumping, false);
	completion_init(&z->pump, z->queue, pump);
}

void arrivals_put(struct request *r)
{
	struct logical_zone *z = request_set_zone(r);

	VDO_CHECK(flow_number(r->flow.at) == 0 && r->flow.result == 0);
	queue_note_crossing(z->queue);
	mpsc_put(&z->arrivals, &r->flow.go.link);
	if (!atomic_exchange(&z->pumping, true))
		completion_post(&z->pump);
}
