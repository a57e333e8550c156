/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading where the journals of slabs stand, one after another.
 *
 * A few loaders of each zone share its slabs: each takes the next that is in use
 * until none is left, or something failed. Slabs that were never used cost
 * nothing: no I/O, no counters.
 */
#include "build.h"

#include "depot/load.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

/* Row, function, where it runs; what it does. */
#define TAIL_ROWS(X)							       \
	/* another slab: memory, storage, its newest journal block */	       \
	X(T_TAKE, tail_take, ON_PHYSICAL)				       \
	/* where the journal stands */					       \
	X(T_CHECK, tail_check, ON_PHYSICAL)				       \
	/* no slab is left */						       \
	X(T_END, tail_end, ON_PHYSICAL)

enum { TAIL_ROWS(FLOW_ROW) };
TAIL_ROWS(FLOW_FUNCTION)
FLOW_TABLE(tail_table, T_END, TAIL_ROWS);

/* ------------------------------------------------------------------ loaders */

int loaders_init(struct zone_load *load, unsigned count)
{
	VDO_ASSERT(count > 0 && count <= LOADERS);
	for (unsigned i = 0; i < count; i++) {
		struct slab_loader *l = &load->loaders[i];

		l->load = load;
		flow_init(&l->flow, NULL);
		l->flow.queues[ON_PHYSICAL] = load->zone->queue;
		load->loader_count++;
		l->buf = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
		if (l->buf == NULL)
			return -ENOMEM;
	}
	return 0;
}

void loaders_fini(struct zone_load *load)
{
	VDO_ASSERT(load->running == 0);
	for (unsigned i = 0; i < load->loader_count; i++)
		alloc_free(load->loaders[i].buf);
	load->loader_count = 0;
}

int loaders_tails(struct zone_load *load, int next)
{
	VDO_ASSERT(load->running == 0 && load->loader_count > 0);
	flow_park(&load->flow, next);
	load->last = NULL;
	load->running = load->loader_count;
	for (unsigned i = 0; i < load->loader_count; i++) {
		load->loaders[i].slab = NULL;
		flow_set_table(&load->loaders[i].flow, &tail_table);
		flow_start(&load->loaders[i].flow);
	}
	return FLOW_WAIT;
}

static struct slab_loader *loader_of(struct flow *f)
{
	struct slab_loader *l = container_of(f, struct slab_loader, flow);

	VDO_ASSERT(queue_is_current(l->load->zone->queue));
	return l;
}

static bool used(const struct slab *s)
{
	struct summary_entry e = summary_get(s);

	return e.tail_offset != 0 || e.load || e.dirty;
}

bool loaders_may_wait(const struct slab *s)
{
	struct summary_entry e = summary_get(s);

	return !s->zone->depot->preload && e.load && !e.dirty;
}

uint32_t loaders_blocks(const struct slab *s)
{
	if (!used(s))
		return 0;
	return loaders_may_wait(s) ? 1 : 1 + s->zone->depot->ref_blocks;
}

/* The next slab, or NULL. */
static struct slab *take(struct slab_loader *l)
{
	struct zone_load *load = l->load;

	VDO_ASSERT(queue_is_current(l->load->zone->queue));
	if (l->slab != NULL)
		counter_inc(&load->zone->loaded);
	l->slab = NULL;
	if (load->flow.result == 0 && depot_is_stopped(load->zone->depot))
		(void)flow_fail(&load->flow, -ECANCELED);
	if (load->flow.result != 0)
		return NULL;
	do {
		l->slab = depot_next_slab(load->zone, load->last);
		if (l->slab != NULL)
			load->last = l->slab;
	} while (l->slab != NULL && !used(l->slab));
	return l->slab;
}

/* The last one takes the zone's flow on. */
static int leave(struct slab_loader *l)
{
	struct zone_load *load = l->load;

	VDO_ASSERT(load->running > 0);
	if (--load->running == 0)
		flow_go(&load->flow);
	return FLOW_END;
}

/* End the load with an error that was logged, or is none of the volume; returns
 * @next. */
static int fail(struct slab_loader *l, int result, int next)
{
	VDO_ASSERT(result < 0);
	(void)flow_fail(&l->load->flow, result);
	return next;
}

static int read_failed(struct slab_loader *l, int next)
{
	int result = l->mio.done.result;

	VDO_ASSERT(l->slab != NULL && result < 0);
	readonly_enter(l->load->zone->depot->readonly, result,
		       "depot: slab not read, slab=%u",
		       (unsigned)l->slab->number);
	return fail(l, result, next);
}

static int read_blocks(struct slab_loader *l, pbn_t pbn, uint64_t count,
		       int next)
{
	VDO_ASSERT(l->slab != NULL && count > 0);
	flow_await_any(&l->flow, &l->mio.done, next);
	mio_read(&l->mio, l->load->zone->depot->storage, MIO_SLAB, pbn, count,
		 l->buf);
	return FLOW_WAIT;
}

/* -------------------------------------------------------------------- tails */

/*
 * May there be no journal although counts are to be read? So a rebuild leaves a
 * slab, at offset 0: the journal is all zeroes then, and the counts are of no
 * entry (scrubber.c). We leave one so at offset 1, before its first block.
 */
static bool is_rebuilt(struct summary_entry e)
{
	return e.load && !e.dirty && e.tail_offset <= 1;
}

static bool is_foreign(const struct slab *s, const struct slab_journal_header *h)
{
	return h->nonce != s->zone->depot->nonce ||
	       h->type != SLAB_JOURNAL_TYPE;
}

static const char *check_tail(const struct slab *s,
			      const struct slab_journal_header *h)
{
	const struct depot *d = s->zone->depot;
	uint64_t ring = d->slab.slab_journal_blocks;
	const char *wrong = slab_journal_header_check(h, d->nonce, ring);

	VDO_ASSERT(s->state != SLAB_REBUILT);
	if (wrong == NULL && (h->seq + 1) % ring != summary_get(s).tail_offset)
		wrong = "sequence number";
	/* After such a point no entry could ever be made; or entries were made
	 * that the recovery journal has lost. */
	if (wrong == NULL && point_pack(h->recovery_point) >= d->points_end)
		wrong = "recovery point";
	return wrong;
}

static int load_tail(struct slab *s, const uint8_t *block)
{
	struct summary_entry e = summary_get(s);
	struct slab_journal_header h;
	const char *wrong;

	VDO_ASSERT(s->journal != NULL);
	slab_journal_header_decode(block, &h);
	if (is_rebuilt(e) && is_foreign(s, &h)) {
		slabjournal_set(s->journal, 1, 1, 0, true);
		s->journal->flushed.tail = s->journal->done.tail =
			e.tail_offset;
		return 0;
	}
	wrong = check_tail(s, &h);
	if (wrong != NULL)
		return scrub_damaged(s, h.seq, wrong);
	slabjournal_set(s->journal, e.dirty ? h.head : h.seq + 1, h.seq + 1,
			point_pack(h.recovery_point), !e.dirty);
	return 0;
}

/* What is free of a slab until its counts are known: so many as its hint says,
 * or the least that it can mean. */
static void estimate(struct slab *s, struct summary_entry e)
{
	const struct depot *d = s->zone->depot;
	uint64_t n = slab_summary_free(d->geo.slab_shift, e.hint);

	VDO_ASSERT(s->free_count == d->geo.data_blocks);
	s->free_count = (uint32_t)MIN(n, d->geo.data_blocks);
	counts_set_exact(s, false);
	counter_add(&s->zone->stats.allocated,
		    d->geo.data_blocks - s->free_count);
}

static int tail_take(struct flow *f)
{
	struct slab_loader *l = loader_of(f);
	struct slab *s = take(l);
	struct summary_entry e;
	uint64_t size;
	const char *wrong;
	int r;

	if (s == NULL)
		return T_END;
	size = s->zone->depot->slab.slab_journal_blocks;
	VDO_ASSERT(s->journal == NULL && !s->open);
	e = summary_get(s);
	wrong = slab_summary_check(e, size);
	s->state = s->zone->depot->origin == DEPOT_CRASHED
			   ? SLAB_REPLAYING
			   : SLAB_REQUIRES_SCRUBBING;
	if (wrong != NULL) {
		readonly_enter(s->zone->depot->readonly, -VDO_ECORRUPT,
			       "depot: slab summary is damaged, slab=%u: %s",
			       (unsigned)s->number, wrong);
		return fail(l, -VDO_ECORRUPT, T_END);
	}
	/* Counts that were never written may have to be, as they are. */
	r = depot_activate_slab(s, !e.load);
	if (r != 0)
		return fail(l, r, T_END);
	estimate(s, e);
	return read_blocks(l,
			   slabjournal_start(s) +
				   (e.tail_offset + size - 1) % size,
			   1, T_CHECK);
}

static int tail_check(struct flow *f)
{
	struct slab_loader *l = loader_of(f);
	int r;

	VDO_ASSERT(l->slab->state != SLAB_REBUILT);
	if (l->mio.done.result != 0)
		return read_failed(l, T_END);
	r = load_tail(l->slab, l->buf);
	return r != 0 ? fail(l, r, T_END) : T_TAKE;
}

static int tail_end(struct flow *f)
{
	return leave(loader_of(f));
}
