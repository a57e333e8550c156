/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From disk to memory.
 *
 * On the queue of zone 0: the summary.
 *
 *	[load_begin] -> read, merged [read_done] -> written [write_done]
 *	-> synced [sync_done] -> all zones
 *
 * Then in each zone, in two phases, a few loaders take one slab at a time:
 *
 *	tails    read the newest block of each journal that is in use
 *	counts   read the counts; read and apply the journal if they are behind;
 *	         begin the writes of what was changed
 *
 * When the zone has come to rest all slabs are ready, and one more sync makes
 * sure that no journal block is reused while the disk still calls a slab dirty.
 *
 * Slabs that were never used cost nothing: no I/O, no counters.
 */
#include "build.h"

#include "depot/depot_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"

#define BUFFER_BLOCKS 256u /* 1 MiB; a whole slab journal fits */
#define LOADERS	      8u   /* in all zones */

/* ------------------------------------------------------------------- zones */

struct slab_loader {
	struct zone_load *load;
	struct slab *slab;
	struct mio mio;
	uint8_t *buf;
	uint64_t *points; /* commit points of all sectors of the slab */
	uint32_t read;	  /* reference blocks read */
	uint32_t reading;
};

struct zone_load {
	struct depot_zone *zone;
	const struct slab *last;	 /* handed to a loader */
	bool (*begin)(
		struct slab_loader *l);	 /* phase; false: slab is finished */
	uint32_t blocks;		 /* of a slab, in this phase */
	unsigned running, loader_count;
	int result;
	struct slab_loader *loaders;
};

static bool used(const struct slab *s)
{
	struct summary_entry e = summary_get(s);

	return e.tail_offset != 0 || e.load || e.dirty;
}

static void phase_done(struct zone_load *load);

static void leave(struct zone_load *load)
{
	VDO_ASSERT(load->running > 0);
	if (--load->running == 0)
		phase_done(load);
}

static bool is_stopped(const struct depot *d)
{
	return d->stop != NULL &&
	       atomic_load_explicit(d->stop, memory_order_relaxed);
}

static struct slab *take(struct zone_load *load)
{
	struct slab *s = NULL;

	if (load->result == 0 && is_stopped(load->zone->depot))
		load->result = -ECANCELED;
	if (load->result != 0)
		return NULL;
	do {
		s = depot_next_slab(load->zone, load->last);
		if (s != NULL)
			load->last = s;
	} while (s != NULL && !used(s));
	return s;
}

static void next(struct slab_loader *l)
{
	do {
		if (l->slab != NULL)
			counter_add(&l->load->zone->loaded, l->load->blocks);
		l->slab = take(l->load);
		if (l->slab == NULL) {
			leave(l->load);
			return;
		}
	} while (!l->load->begin(l));
}

static bool tail_begin(struct slab_loader *l);

static void start_phase(struct zone_load *load,
			bool (*begin)(struct slab_loader *))
{
	load->begin = begin;
	load->blocks = begin == tail_begin ? 1 : load->zone->depot->ref_blocks;
	load->last = NULL;
	load->running = load->loader_count + 1;
	for (unsigned i = 0; i < load->loader_count; i++)
		next(&load->loaders[i]);
	leave(load);
}

/* The reason was logged, or is none of the volume. */
static void fail(struct slab_loader *l, int result)
{
	if (l->load->result == 0)
		l->load->result = result;
}

static void read_failed(struct slab_loader *l, int result)
{
	readonly_enter(l->load->zone->depot->readonly, result,
		       "depot: slab not read, slab=%u",
		       (unsigned)l->slab->number);
	fail(l, result);
}

static void read_blocks(struct slab_loader *l, pbn_t pbn, uint64_t count,
			completion_fn fn)
{
	completion_init(&l->mio.done, l->load->zone->queue, fn);
	mio_read(&l->mio, l->load->zone->depot->storage, MIO_SLAB, pbn, count,
		 l->buf);
}

/* ---------------------------------------------------------- phase 1: tails */

/*
 * Is there no journal although counts are to be read? So a rebuild leaves a
 * slab: the journal is all zeroes then, and the counts are of no entry
 * [check_points].
 */
static bool is_rebuilt(struct summary_entry e)
{
	return e.load && !e.dirty && e.tail_offset == 0;
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

	if (wrong == NULL && (h->seq + 1) % ring != summary_get(s).tail_offset)
		wrong = "sequence number";
	/* No entry could ever be made after such a one. */
	if (wrong == NULL && d->saved &&
	    h->recovery_point.seq >= d->journal_start)
		wrong = "recovery point";
	return wrong;
}

static int load_tail(struct slab *s, const uint8_t *block)
{
	struct summary_entry e = summary_get(s);
	struct slab_journal_header h;
	const char *wrong;

	slab_journal_header_decode(block, &h);
	if (is_rebuilt(e) && is_foreign(s, &h))
		return 0;
	wrong = check_tail(s, &h);
	if (wrong != NULL)
		return scrub_damaged(s, h.seq, wrong);
	slabjournal_set(s->journal, e.dirty ? h.head : h.seq + 1, h.seq + 1,
			point_pack(h.recovery_point));
	return 0;
}

static void tail_done(struct completion *c)
{
	struct slab_loader *l = container_of(c, struct slab_loader, mio.done);
	int r;

	if (c->result != 0) {
		read_failed(l, c->result);
	} else {
		r = load_tail(l->slab, l->buf);
		if (r != 0)
			fail(l, r);
	}
	next(l);
}

static bool tail_begin(struct slab_loader *l)
{
	struct slab *s = l->slab;
	uint64_t size = s->zone->depot->slab.slab_journal_blocks;
	struct summary_entry e = summary_get(s);
	const char *wrong = slab_summary_check(e, size);
	int r;

	s->state = SLAB_REQUIRES_SCRUBBING;
	if (wrong != NULL) {
		readonly_enter(s->zone->depot->readonly, -VDO_ECORRUPT,
			       "depot: slab summary is damaged, slab=%u: %s",
			       (unsigned)s->number, wrong);
		fail(l, -VDO_ECORRUPT);
		return false;
	}
	r = depot_activate_slab(s);
	if (r != 0) {
		fail(l, r);
		return false;
	}
	read_blocks(l, slabjournal_start(s) + (e.tail_offset + size - 1) % size,
		    1, tail_done);
	return true;
}

/* --------------------------------------------------------- phase 2: counts */

static bool read_counts(struct slab_loader *l);

/* The counts are complete in memory; what they lack on disk is written. */
static void slab_done(struct slab *s)
{
	const struct depot *d = s->zone->depot;
	struct slab_journal *sj = s->journal;
	struct summary_entry e = summary_get(s);
	uint32_t allocated = 0;

	for (uint32_t i = 0; i < d->ref_blocks; i++) {
		allocated += s->blocks[i].allocated;
		if (e.dirty && !e.load)
			refs_dirty_block(s, i);
	}
	s->free_count = (uint32_t)d->geo.data_blocks - allocated;
	counter_add(&s->zone->stats.allocated, allocated);
	s->state = SLAB_REBUILT;
	slabjournal_set(sj, sj->tail, sj->tail, sj->last_point);
	if (!e.dirty)
		return;
	refs_write_all(s);
	refs_check_clean(s);
}

static void journal_done(struct completion *c)
{
	struct slab_loader *l = container_of(c, struct slab_loader, mio.done);
	int r;

	if (c->result != 0) {
		read_failed(l, c->result);
		next(l);
		return;
	}
	r = scrub_apply(l->slab, l->buf, l->points);
	if (r != 0)
		fail(l, r);
	else
		slab_done(l->slab);
	next(l);
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

	if (d->saved || (s->journal->tail == 1 && ring > 2))
		return s->journal->tail;
	return s->journal->tail + ring;
}

static bool check_points(const struct slab_loader *l)
{
	seq_t end = points_end(l->slab);

	for (uint32_t i = 0; i < l->read * SECTORS_PER_BLOCK; i++) {
		struct journal_point p = point_unpack(l->points[i]);

		if (p.seq >= end || p.entry >= SLAB_ENTRIES_MAX ||
		    (p.seq == 0 && p.entry != 0))
			return false;
	}
	return true;
}

/* False: the slab is finished. */
static bool counts_complete(struct slab_loader *l)
{
	struct slab *s = l->slab;

	if (!check_points(l)) {
		fail(l, scrub_damaged(s, s->journal->tail,
				      "counts are newer than it"));
		return false;
	}
	if (!summary_get(s).dirty || s->journal->tail == 1) {
		slab_done(s);
		return false;
	}
	read_blocks(l, slabjournal_start(s),
		    s->zone->depot->slab.slab_journal_blocks, journal_done);
	return true;
}

static void counts_done(struct completion *c)
{
	struct slab_loader *l = container_of(c, struct slab_loader, mio.done);

	if (c->result != 0) {
		read_failed(l, c->result);
		next(l);
		return;
	}
	for (uint32_t i = 0; i < l->reading; i++, l->read++)
		refs_decode(l->slab, l->read, l->buf + (size_t)i * BLOCK_SIZE,
			    l->points + (size_t)l->read * SECTORS_PER_BLOCK);
	if (!read_counts(l))
		next(l);
}

static bool read_counts(struct slab_loader *l)
{
	const struct depot *d = l->load->zone->depot;

	l->reading = MIN(d->ref_blocks - l->read, BUFFER_BLOCKS);
	if (l->reading == 0)
		return counts_complete(l);
	read_blocks(l, l->slab->start + d->slab.data_blocks + l->read,
		    l->reading, counts_done);
	return true;
}

static bool counts_begin(struct slab_loader *l)
{
	const struct depot *d = l->load->zone->depot;

	l->slab->state = SLAB_REBUILDING;
	l->read = 0;
	if (summary_get(l->slab).load)
		return read_counts(l);
	memset(l->points, 0,
	       (size_t)d->ref_blocks * SECTORS_PER_BLOCK * sizeof(*l->points));
	return counts_complete(l);
}

/* ----------------------------------------------------------------- the end */

static void zone_synced(struct completion *c)
{
	struct depot_zone *z = container_of(c, struct depot_zone, sync.done);

	fanout_part_done(zone_part(z), c->result);
}

static void zone_settled(struct depot_zone *z)
{
	z->idle = NULL;
	completion_init(&z->sync.done, z->queue, zone_synced);
	if (z->load_result == 0 && zone_read_only(z))
		z->load_result = atomic_load(&z->depot->readonly->reason);
	if (z->load_result != 0)
		completion_finish(&z->sync.done, z->load_result);
	else
		sync_request(z->depot->sync, &z->sync);
}

static void free_load(struct zone_load *load)
{
	if (load == NULL)
		return;
	for (unsigned i = 0; i < load->loader_count; i++) {
		alloc_free(load->loaders[i].buf);
		alloc_free(load->loaders[i].points);
	}
	alloc_free(load->loaders);
	load->zone->load = NULL;
	alloc_free(load);
}

static void finish_zone(struct zone_load *load)
{
	struct depot_zone *z = load->zone;

	z->load_result = load->result;
	free_load(load);
	for (struct slab *s = depot_next_slab(z, NULL);
	     s != NULL && z->load_result == 0; s = depot_next_slab(z, s))
		alloc_enlist(s);
	if (z->load_result == 0)
		z->load_result = alloc_prepare(z);
	/* There may be some when it is needed. */
	if (error_is_no_space(z->load_result))
		z->load_result = 0;
	z->idle = zone_settled;
	zone_enter(z);
	zone_leave(z);
}

static void phase_done(struct zone_load *load)
{
	if (load->begin == tail_begin)
		start_phase(load, counts_begin);
	else
		finish_zone(load);
}

static int make_loaders(struct zone_load *load)
{
	const struct depot *d = load->zone->depot;
	size_t blocks = MIN(d->ref_blocks, BUFFER_BLOCKS);

	blocks = MAX(blocks, d->slab.slab_journal_blocks);
	load->loader_count = MAX(LOADERS / d->zone_count, 1);
	load->loaders =
		alloc_zeroed(load->loader_count, sizeof(*load->loaders));
	if (load->loaders == NULL) {
		load->loader_count = 0;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < load->loader_count; i++) {
		struct slab_loader *l = &load->loaders[i];

		l->load = load;
		l->buf = alloc_aligned(BLOCK_SIZE, blocks, BLOCK_SIZE);
		l->points =
			alloc_zeroed((size_t)d->ref_blocks * SECTORS_PER_BLOCK,
				     sizeof(*l->points));
		if (l->buf == NULL || l->points == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void zone_begin(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);
	struct zone_load *load = alloc_zeroed(1, sizeof(*load));

	if (load == NULL) {
		fanout_part_done(zone_part(z), -ENOMEM);
		return;
	}
	load->zone = z;
	z->load = load;
	if (make_loaders(load) != 0) {
		free_load(load);
		fanout_part_done(zone_part(z), -ENOMEM);
		return;
	}
	start_phase(load, tail_begin);
}

/* ----------------------------------------------------------------- summary */

struct depot_load {
	struct depot *depot;
	struct completion go;
	struct mio mio;
	struct sync_op sync;
	uint8_t *buf; /* the partition */
	bool is_new;
};

static void end_load(struct depot *d, int result)
{
	struct completion *done = d->done;

	alloc_free(d->load->buf);
	alloc_free(d->load);
	d->load = NULL;
	d->done = NULL;
	completion_finish(done, result);
}

static void zones_done(struct completion *c)
{
	end_load(container_of(c, struct depot, fanout.done), c->result);
}

static void start_zones(struct depot *d)
{
	uint64_t blocks = 0;

	completion_init(&d->fanout.done, d->zones[0].queue, zones_done);
	for (unsigned i = 0; i < d->zone_count; i++) {
		struct depot_zone *z = &d->zones[i];

		memcpy(z->summary.entries, d->load->buf, SUMMARY_ZONE_BYTES);
		for (struct slab *s = depot_next_slab(z, NULL); s != NULL;
		     s = depot_next_slab(z, s))
			blocks += used(s) ? 1 + d->ref_blocks : 0;
	}
	counter_add(&d->load_total, blocks);
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, zone_begin,
		     &d->fanout.done);
}

static void sync_done(struct completion *c)
{
	struct depot_load *load = container_of(c, struct depot_load, sync.done);

	if (c->result != 0)
		end_load(load->depot, c->result);
	else
		start_zones(load->depot);
}

static void write_done(struct completion *c)
{
	struct depot_load *load = container_of(c, struct depot_load, mio.done);
	struct depot *d = load->depot;

	if (c->result != 0) {
		readonly_enter(d->readonly, c->result,
			       "depot: slab summary not written");
		end_load(d, c->result);
		return;
	}
	completion_init(&load->sync.done, d->zones[0].queue, sync_done);
	sync_request(d->sync, &load->sync);
}

/* All copies become the first. */
static void write_all(struct depot_load *load)
{
	struct depot *d = load->depot;

	for (unsigned i = 1; i < PHYSICAL_ZONES_MAX; i++)
		memcpy(load->buf + i * SUMMARY_ZONE_BYTES, load->buf,
		       SUMMARY_ZONE_BYTES);
	completion_init(&load->mio.done, d->zones[0].queue, write_done);
	mio_write(&load->mio, d->storage, MIO_SLAB, d->summary_start,
		  SUMMARY_BLOCKS, load->buf, false);
}

static void read_done(struct completion *c)
{
	struct depot_load *load = container_of(c, struct depot_load, mio.done);
	struct depot *d = load->depot;

	if (c->result != 0) {
		readonly_enter(d->readonly, c->result,
			       "depot: slab summary not read");
		end_load(d, c->result);
		return;
	}
	for (unsigned i = 0; i < SLABS_MAX; i++) {
		unsigned copy = i % MAX(d->old_zone_count, 1);
		size_t at = (size_t)i * SUMMARY_ENTRY_SIZE;

		memcpy(load->buf + at,
		       load->buf + copy * SUMMARY_ZONE_BYTES + at,
		       SUMMARY_ENTRY_SIZE);
	}
	write_all(load);
}

static void load_begin(struct completion *c)
{
	struct depot_load *load = container_of(c, struct depot_load, go);
	struct depot *d = load->depot;
	struct summary_entry initial = {
		.hint = slab_summary_hint(d->geo.slab_shift,
					  d->geo.data_blocks),
	};

	if (!load->is_new) {
		completion_init(&load->mio.done, d->zones[0].queue, read_done);
		mio_read(&load->mio, d->storage, MIO_SLAB, d->summary_start,
			 SUMMARY_BLOCKS, load->buf);
		return;
	}
	for (unsigned i = 0; i < SLABS_MAX; i++)
		slab_summary_encode(load->buf + i * SUMMARY_ENTRY_SIZE,
				    initial);
	write_all(load);
}

void depot_load_progress(const struct depot *d, uint64_t *done,
			 uint64_t *total)
{
	uint64_t blocks = 0;

	for (unsigned i = 0; i < d->zone_count; i++)
		blocks += counter_get(&d->zones[i].loaded);
	*done = blocks * BLOCK_SIZE;
	*total = counter_get(&d->load_total) * BLOCK_SIZE;
}

void depot_load(struct depot *d, bool is_new, struct completion *done)
{
	struct depot_load *load = alloc_zeroed(1, sizeof(*load));

	VDO_ASSERT(d->done == NULL);
	if (load != NULL)
		load->buf =
			alloc_aligned(BLOCK_SIZE, SUMMARY_BLOCKS, BLOCK_SIZE);
	if (load == NULL || load->buf == NULL) {
		alloc_free(load);
		completion_finish(done, -ENOMEM);
		return;
	}
	load->depot = d;
	load->is_new = is_new;
	d->load = load;
	d->done = done;
	completion_init(&load->go, d->zones[0].queue, load_begin);
	completion_post(&load->go);
}
