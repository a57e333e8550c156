/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scrubbers: slabs get their counts (V 7.5), while the volume is in use.
 *
 * Slabs whose counts are not in memory are in a table of the zone, until a
 * scrubber takes them:
 *
 *	          [scrubber_put]              [scrub_take]
 *	journal known ------> REQUIRES_SCRUBBING -------> REBUILDING
 *	                         | [scrubber_want]           | [finish]
 *	                         v                           v
 *	            REQUIRES_HIGH_PRIORITY_SCRUBBING      REBUILT
 *
 * Those that somebody waits for come first, and those whose journal is nearly
 * full; then the emptiest. The journal of a slab in the table takes entries, and
 * nothing else is done with the slab (I45). Entries that come while it is being
 * rebuilt wait (STOP_SCRUB).
 *
 * A slab is ready as soon as its counts are complete in memory. What they lack on
 * disk is dirty, and hangs on the oldest block of the journal, so that the rules
 * of slabs in use keep the journal until it is written.
 *
 * Before all those of the table come slabs whose counts were dropped and are
 * wanted (counts.c). They take the same way; only they go on during a drain that
 * writes everything. Without memory a slab is put back to where it was.
 *
 * Scrubbers look between slabs whether they are to stop: for a drain, for an
 * error, or as opening is cancelled. An error of theirs is one of the volume.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define BUFFER_BLOCKS 256u /* 1 MiB; a whole slab journal fits */
#define SCRUBBERS     8u   /* in all zones */

/* A read of a slab is tried so often: one that fails for good costs a rebuild of
 * the volume. */
#define READ_TRIES 3u

/* The level of slabs that come first. */
#define URGENT (PRIOQ_LEVELS - 1)

/* Row, function, where it runs; what it does. */
#define SCRUB_ROWS(X)                                            \
	/* the next slab; its entries go to disk */              \
	X(C_TAKE, scrub_take, ON_PHYSICAL)                       \
	/* all of them are there, and the summary names them */  \
	X(C_REST, scrub_rest, ON_PHYSICAL)                       \
	/* some of the counts, until all are there */            \
	X(C_READ, scrub_read, ON_PHYSICAL)                       \
	X(C_DECODE, scrub_decode, ON_PHYSICAL)                   \
	/* if the journal is ahead, all of it; apply it */       \
	X(C_COMPARE, scrub_compare, ON_PHYSICAL)                 \
	X(C_RING, scrub_ring, ON_PHYSICAL)                       \
	/* ready; writes of what was changed begin */            \
	X(C_READY, scrub_ready, ON_PHYSICAL)                     \
	/* no slab is left, or it is to stop */                  \
	X(C_END, scrub_end, ON_PHYSICAL)

enum { ON_PHYSICAL = ANYWHERE + 1 };

enum { SCRUB_ROWS(FLOW_ROW) };
SCRUB_ROWS(FLOW_FUNCTION)
FLOW_TABLE(scrub_table, C_END, SCRUB_ROWS);

struct scrubber {
	struct flow flow;
	struct zone_scrub *zone_scrub;
	struct slab *slab;
	struct mio mio;
	uint8_t *buf;
	uint64_t *points; /* commit points of all sectors of the slab */
	uint32_t read;	  /* reference blocks read */
	uint32_t reading;
	unsigned tries; /* failed, of this read */
	bool runs;
	struct list_node parked; /* in zone_scrub.parked, while it waits for
				    memory that is on its way back */
};

struct zone_scrub {
	struct depot_zone *zone;
	unsigned running, count;
	bool awaited; /* by depot_start() */
	int result;
	int lacking; /* -ENOMEM: a slab was put back; or 0 */
	struct list_node parked;
	struct scrubber scrubbers[SCRUBBERS];
};

/* -------------------------------------------------------------- which slabs */

static unsigned priority(const struct slab *s)
{
	if (s->state == SLAB_REQUIRES_HIGH_PRIORITY_SCRUBBING)
		return URGENT;
	return s->free_count == 0 ? 0 : 1 + log2_floor(s->free_count);
}

void scrubber_put(struct slab *s)
{
	const struct slab_journal *sj = s->journal;

	VDO_ASSERT(s->state == SLAB_REQUIRES_SCRUBBING);
	if (sj->tail - sj->head >= s->zone->depot->slab.scrubbing_threshold)
		s->state = SLAB_REQUIRES_HIGH_PRIORITY_SCRUBBING;
	prioq_put(&s->zone->unscrubbed, &s->node, priority(s));
	counter_inc(&s->zone->stats.slabs_unscrubbed);
}

void scrubber_want(struct slab *s)
{
	if (s->state == SLAB_UNLOADED)
		(void)counts_load(s);
	if (s->state != SLAB_REQUIRES_SCRUBBING || list_empty(&s->node.link))
		return;
	s->state = SLAB_REQUIRES_HIGH_PRIORITY_SCRUBBING;
	prioq_remove(&s->zone->unscrubbed, &s->node);
	prioq_put(&s->zone->unscrubbed, &s->node, URGENT);
}

bool scrubber_place_sane(const struct slab *s)
{
	if (s->loading)
		return s->state == SLAB_UNLOADED ||
		       s->state == SLAB_REBUILDING;
	return list_empty(&s->node.link) || s->node.priority == priority(s);
}

/* ---------------------------------------------------------------- scrubbers */

static size_t buffer_blocks(const struct depot *d)
{
	return MAX(MIN(d->ref_blocks, BUFFER_BLOCKS),
		   d->slab.slab_journal_blocks);
}

static unsigned scrubber_count(const struct depot *d)
{
	return MAX(SCRUBBERS / d->zone_count, 1);
}

uint64_t scrubber_bytes(const struct depot *d)
{
	struct zone_scrub *zs = NULL;
	uint64_t one = alloc_bytes(BLOCK_SIZE, buffer_blocks(d), BLOCK_SIZE) +
		       alloc_bytes(16, (size_t)d->ref_blocks * SECTORS_PER_BLOCK,
				   sizeof(*zs->scrubbers[0].points));

	return d->zone_count * (alloc_bytes(16, 1, sizeof(*zs)) +
				scrubber_count(d) * one);
}

static int init_scrubber(struct scrubber *b, struct zone_scrub *zs)
{
	const struct depot *d = zs->zone->depot;

	VDO_ASSERT(b->buf == NULL && b->points == NULL);
	b->zone_scrub = zs;
	list_init(&b->parked);
	flow_init(&b->flow, &scrub_table);
	b->flow.queues[ON_PHYSICAL] = zs->zone->queue;
	b->buf = alloc_aligned(BLOCK_SIZE, buffer_blocks(d), BLOCK_SIZE);
	b->points = alloc_zeroed((size_t)d->ref_blocks * SECTORS_PER_BLOCK,
				 sizeof(*b->points));
	return b->buf != NULL && b->points != NULL ? 0 : -ENOMEM;
}

void scrubber_destroy(struct depot_zone *z)
{
	struct zone_scrub *zs = z->scrub;

	if (zs == NULL)
		return;
	for (unsigned i = 0; i < zs->count; i++) {
		alloc_free(zs->scrubbers[i].buf);
		alloc_free(zs->scrubbers[i].points);
	}
	alloc_free(zs);
	z->scrub = NULL;
}

int scrubber_create(struct depot_zone *z)
{
	unsigned n = scrubber_count(z->depot);
	int r = 0;

	if (z->scrub != NULL)
		return 0;
	z->scrub = alloc_zeroed(1, sizeof(*z->scrub));
	if (z->scrub == NULL)
		return -ENOMEM;
	z->scrub->zone = z;
	list_init(&z->scrub->parked);
	while (r == 0 && z->scrub->count < n)
		r = init_scrubber(&z->scrub->scrubbers[z->scrub->count++],
				  z->scrub);
	if (r != 0)
		scrubber_destroy(z);
	return r;
}

bool scrubber_runs(const struct depot_zone *z)
{
	return z->scrub != NULL && z->scrub->running > 0;
}

/* Start one that does not run; false: all do. */
static bool start_one(struct zone_scrub *zs)
{
	VDO_ASSERT(zs->running <= zs->count);
	for (unsigned i = 0; i < zs->count; i++) {
		struct scrubber *b = &zs->scrubbers[i];

		if (b->runs)
			continue;
		if (zs->running++ == 0) {
			zs->result = 0;
			zs->lacking = 0;
		}
		b->runs = true;
		zone_enter(zs->zone);
		flow_start(&b->flow);
		return true;
	}
	return false;
}

int scrubber_start(struct depot_zone *z, bool await)
{
	int r;

	VDO_ASSERT(!scrubber_runs(z) && !z->draining);
	if (z->unscrubbed.used == 0 && list_empty(&z->counts.wanted))
		return 0;
	r = scrubber_create(z);
	if (r != 0)
		return r;
	z->scrub->awaited = await;
	while (start_one(z->scrub))
		;
	return 0;
}

void scrubber_kick(struct depot_zone *z)
{
	VDO_ASSERT(z->scrub != NULL);
	if (!z->counts.starved)
		(void)start_one(z->scrub);
}

void scrubber_unpark(struct depot_zone *z)
{
	struct list_node *n;

	while (z->scrub != NULL && (n = list_pop(&z->scrub->parked)) != NULL)
		flow_go(&list_entry(n, struct scrubber, parked)->flow);
}

static struct scrubber *scrubber_of(struct flow *f)
{
	struct scrubber *b = container_of(f, struct scrubber, flow);

	VDO_ASSERT(queue_is_current(b->zone_scrub->zone->queue));
	return b;
}

/* A read has failed: row @again tries it once more, or the volume fails. */
static int read_failed(struct scrubber *b, int again)
{
	int result = b->mio.done.result;

	VDO_ASSERT(b->slab != NULL && result < 0);
	if (++b->tries < READ_TRIES && !zone_read_only(b->slab->zone))
		return again;
	readonly_enter(b->slab->zone->depot->readonly, result,
		       "depot: slab not read, slab=%u",
		       (unsigned)b->slab->number);
	return flow_fail(&b->flow, result);
}

static int read_blocks(struct scrubber *b, pbn_t pbn, uint64_t count, int next)
{
	VDO_ASSERT(b->slab != NULL && count > 0);
	flow_await_any(&b->flow, &b->mio.done, next);
	mio_read(&b->mio, b->slab->zone->depot->storage, MIO_SLAB, pbn, count,
		 b->buf);
	return FLOW_WAIT;
}

/* ---------------------------------------------------------------- one slab */

/* The next slab, which stays where it is; or NULL. */
static struct slab *next_slab(const struct depot_zone *z)
{
	struct prioq_node *n = prioq_best(&z->unscrubbed, PRIOQ_LEVELS);
	bool all = z->depot->drain == DRAIN_EVERYTHING;

	if (z->counts.starved && !z->scrub->awaited)
		return NULL;
	if (!list_empty(&z->counts.wanted) && (!z->draining || all))
		return list_entry(z->counts.wanted.next, struct slab,
				  node.link);
	return n != NULL && !z->draining ? container_of(n, struct slab, node)
					 : NULL;
}

static int scrub_take(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);
	struct zone_scrub *zs = b->zone_scrub;
	struct depot_zone *z = zs->zone;
	struct slab *s = next_slab(z);

	b->slab = NULL;
	if (zs->result != 0 || s == NULL)
		return C_END;
	if (zone_read_only(z))
		return flow_fail(f, readonly_reason(z->depot->readonly));
	if (zs->awaited && depot_is_stopped(z->depot))
		return flow_fail(f, -ECANCELED);
	if (counts_crowded(z)) {
		flow_park(f, C_TAKE);
		list_push_back(&zs->parked, &b->parked);
		return FLOW_WAIT;
	}
	if (s->loading)
		list_remove(&s->node.link);
	else
		prioq_remove(&z->unscrubbed, &s->node);
	b->slab = s;
	b->slab->state = SLAB_REBUILDING;
	b->slab->journal->stops |= STOP_SCRUB;
	if (b->slab->journal->entries > 0)
		slabjournal_commit(b->slab->journal);
	return C_REST;
}

/* There is no memory for the counts: the slab is put back, and nobody tries again
 * before there may be some. */
static int put_back(struct scrubber *b)
{
	struct slab *s = b->slab;
	struct depot_zone *z = s->zone;

	VDO_ASSERT(s->counts == NULL);
	if (b->zone_scrub->awaited)
		return flow_fail(&b->flow, -ENOMEM);
	b->slab = NULL;
	b->zone_scrub->lacking = -ENOMEM;
	z->counts.starved = true;
	s->journal->stops &= ~STOP_SCRUB;
	if (s->loading) {
		s->state = SLAB_UNLOADED;
		counts_loaded(s, -ENOMEM);
	} else {
		s->state = SLAB_REQUIRES_SCRUBBING;
		prioq_put(&z->unscrubbed, &s->node, priority(s));
	}
	slabjournal_run(s->journal);
	return C_END;
}

static int scrub_rest(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);
	struct slab *s = b->slab;

	VDO_ASSERT(s->state == SLAB_REBUILDING);
	if (zone_read_only(s->zone))
		return flow_fail(f, readonly_reason(s->zone->depot->readonly));
	if (!slabspace_rests(s->journal)) {
		flow_park(f, C_REST);
		s->journal->scrub = f;
		return FLOW_WAIT;
	}
	if (s->counts == NULL && counts_alloc(s) != 0)
		return put_back(b);
	b->read = 0;
	b->tries = 0;
	if (summary_get(s).load)
		return C_READ;
	memset(b->points, 0,
	       (size_t)s->zone->depot->ref_blocks * SECTORS_PER_BLOCK *
		       sizeof(*b->points));
	return C_COMPARE;
}

static int scrub_read(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);
	const struct depot *d = b->slab->zone->depot;

	VDO_ASSERT(b->slab->state == SLAB_REBUILDING);
	b->reading = MIN(d->ref_blocks - b->read, BUFFER_BLOCKS);
	if (b->reading == 0)
		return C_COMPARE;
	return read_blocks(b, b->slab->start + d->slab.data_blocks + b->read,
			   b->reading, C_DECODE);
}

static int scrub_decode(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);

	if (b->mio.done.result != 0)
		return read_failed(b, C_READ);
	b->tries = 0;
	VDO_ASSERT(b->read + b->reading <= b->slab->zone->depot->ref_blocks);
	for (uint32_t i = 0; i < b->reading; i++, b->read++)
		refs_decode(b->slab, b->read, b->buf + (size_t)i * BLOCK_SIZE,
			    b->points + (size_t)b->read * SECTORS_PER_BLOCK);
	return C_READ;
}

/*
 * The slab journal entries that counts can have. After good order those that
 * are on disk. After a crash counts may have entries that the summary does not
 * name yet, which lie in the same ring; but where there is no journal, there is
 * none, except in a ring of 2, where the counts come first (slabjournal.c).
 */
static seq_t points_end(const struct slab *s)
{
	const struct depot *d = s->zone->depot;
	uint64_t ring = d->slab.slab_journal_blocks;

	VDO_ASSERT(s->journal->tail > 0);
	if (depot_was_saved(d) || (s->journal->tail == 1 && ring > 2))
		return s->journal->tail;
	return s->journal->tail + ring;
}

static bool check_points(const struct scrubber *b)
{
	seq_t end = points_end(b->slab);

	/* All counts were read, or none. */
	VDO_ASSERT(b->read == 0 ||
		   b->read == b->slab->zone->depot->ref_blocks);
	for (uint32_t i = 0; i < b->read * SECTORS_PER_BLOCK; i++) {
		struct journal_point p = point_unpack(b->points[i]);

		if (p.seq >= end || p.entry >= SLAB_ENTRIES_MAX ||
		    (p.seq == 0 && p.entry != 0))
			return false;
	}
	return true;
}

static bool lacks_entries(const struct slab *s)
{
	VDO_ASSERT(s->state == SLAB_REBUILDING);
	return s->loading ? s->behind : summary_get(s).dirty;
}

static int scrub_compare(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);
	struct slab *s = b->slab;

	VDO_ASSERT(s->state == SLAB_REBUILDING);
	if (!check_points(b))
		return flow_fail(f, scrub_damaged(s, s->journal->tail,
						  "counts are newer than it"));
	if (!lacks_entries(s) || s->journal->tail == 1)
		return C_READY;
	return read_blocks(b, slabjournal_start(s),
			   s->zone->depot->slab.slab_journal_blocks, C_RING);
}

static int scrub_ring(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);

	VDO_ASSERT(summary_get(b->slab).dirty);
	if (b->mio.done.result != 0)
		return read_failed(b, C_COMPARE);
	return flow_next(f, scrub_apply(b->slab, b->buf, b->points), C_READY);
}

/* The counts are complete in memory: how many are not 0, and what of them has to
 * be written before the journal may go on. */
static void finish(struct slab *s)
{
	const struct depot *d = s->zone->depot;
	struct slab_journal *sj = s->journal;
	struct summary_entry e = summary_get(s);
	uint32_t allocated = 0;

	VDO_ASSERT(s->state == SLAB_REBUILDING && !s->open);
	for (uint32_t i = 0; i < d->ref_blocks; i++) {
		allocated += s->blocks[i].allocated;
		if (e.dirty && !e.load)
			refs_dirty_block(s, i);
		if (s->blocks[i].dirty) {
			s->blocks[i].lock = sj->reap_to;
			slabjournal_lock(sj, sj->reap_to)->count++;
		}
	}
	VDO_ASSERT(allocated <= d->geo.data_blocks);
	counter_add(&s->zone->stats.allocated,
		    allocated - (d->geo.data_blocks - s->free_count));
	fill_look(s->zone);
	fill_freed(s->zone);
	s->free_count = (uint32_t)d->geo.data_blocks - allocated;
	s->state = SLAB_REBUILT;
	counts_set_exact(s, true);
	sj->stops &= ~STOP_SCRUB;
	if (s->loading) {
		counts_loaded(s, 0);
		return;
	}
	counter_add(&s->zone->stats.slabs_unscrubbed, -UINT64_C(1));
	counter_inc(&s->zone->stats.slabs_scrubbed);
	counter_add(&s->zone->loaded, d->ref_blocks);
	alloc_enlist(s);
	pbnlock_answer(s);
}

static int scrub_ready(struct flow *f)
{
	struct slab *s = scrubber_of(f)->slab;

	finish(s);
	if (summary_get(s).dirty) {
		refs_write_all(s);
		refs_check_clean(s);
	}
	slabspace_reap(s->journal);
	slabjournal_run(s->journal);
	alloc_scrubbed(s->zone, 0);
	counts_trim(s->zone);
	return C_TAKE;
}

/* Slabs are left that nobody scrubs: who waits for one cannot have a lock. */
static void answer_unscrubbed(struct depot_zone *z)
{
	if (counter_get(&z->stats.slabs_unscrubbed) == 0)
		return;
	for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
	     s = depot_next_slab(z, s))
		pbnlock_answer(s);
}

static int scrub_end(struct flow *f)
{
	struct scrubber *b = scrubber_of(f);
	struct zone_scrub *zs = b->zone_scrub;
	struct depot_zone *z = zs->zone;

	if (zs->result == 0)
		zs->result = f->result;
	VDO_ASSERT(zs->running > 0 && b->runs);
	b->runs = false;
	if (--zs->running > 0) {
		zone_leave(z); /* not the last */
		return FLOW_END;
	}
	list_for_each (n, &z->counts.wanted)
		pbnlock_answer(list_entry(n, struct slab, node.link));
	/* As long as others ran, those of a slab that failed still waited. */
	for (unsigned i = 0; i < zs->count; i++)
		if (zs->scrubbers[i].slab != NULL)
			pbnlock_answer(zs->scrubbers[i].slab);
	answer_unscrubbed(z);
	alloc_scrubbed(z, zs->lacking);
	if (zs->awaited) {
		VDO_ASSERT(z->idle == NULL);
		zs->awaited = false;
		zone_leave(z);
		fanout_part_done(zone_part(z), zs->result);
		return FLOW_END;
	}
	zone_leave(z);
	return FLOW_END;
}
