/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From disk to memory: the summary, then in each zone where the journals of the
 * slabs in use stand (loader.c). What follows, after replay if there is any, is
 * in start.c.
 */
#include "build.h"

#include "depot/load.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* Row, function, where it runs; what it does. */
#define LOAD_DEPOT_ROWS(X)						       \
	/* read the summary; a new volume has none yet */		       \
	X(D_READ, depot_read, ON_PHYSICAL)				       \
	/* the entry of each slab is in the copy of its old zone */	       \
	X(D_MERGE, depot_merge, ON_PHYSICAL)				       \
	/* all copies become the first, durably */			       \
	X(D_STORE, depot_store, ON_PHYSICAL)				       \
	X(D_SYNC, depot_sync, ON_PHYSICAL)				       \
	/* all zones at once */						       \
	X(D_ZONES, depot_zones, ON_PHYSICAL)				       \
	/* who asked is told */						       \
	X(D_END, depot_end, ON_PHYSICAL)

enum { LOAD_DEPOT_ROWS(FLOW_ROW) };
LOAD_DEPOT_ROWS(FLOW_FUNCTION)
FLOW_TABLE(load_table, D_END, LOAD_DEPOT_ROWS);

#define LOAD_ZONE_ROWS(X)                                  \
	/* the newest block of each slab journal in use */ \
	X(Z_TAILS, zone_tails, ON_PHYSICAL)                \
	/* the depot's flow has one zone less */           \
	X(Z_END, zone_end, ON_PHYSICAL)

enum { LOAD_ZONE_ROWS(FLOW_ROW) };
LOAD_ZONE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(zone_table, Z_END, LOAD_ZONE_ROWS);

#define PRELOAD_BYTES (UINT64_C(16) << 20)

/* ---------------------------------------------------------------- the depot */

struct depot_load {
	struct flow flow;
	struct depot *depot;
	struct mio mio;
	struct sync_op sync;
	uint8_t *buf; /* the partition */
};

static struct depot_load *load_of(struct flow *f)
{
	struct depot_load *load = container_of(f, struct depot_load, flow);

	VDO_ASSERT(load->depot->load == load);
	return load;
}

void depot_load(struct depot *d, enum depot_origin origin,
		struct completion *done)
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
	d->origin = origin;
	d->load = load;
	d->done = done;
	flow_init(&load->flow, &load_table);
	load->flow.queues[ON_PHYSICAL] = d->zones[0].queue;
	flow_start(&load->flow);
}

void depot_set_points_end(struct depot *d, uint64_t end)
{
	VDO_ASSERT(d->load == NULL && d->done == NULL);
	d->points_end = end;
}

void depot_load_progress(const struct depot *d, uint64_t *done,
			 uint64_t *total)
{
	uint64_t blocks = 0;

	for (unsigned i = 0; i < d->zone_count; i++)
		blocks += counter_get(&d->zones[i].loaded);
	*total = counter_get(&d->load_total) * BLOCK_SIZE;
	/* Slabs that replay was the first to use are not foreseen. */
	*done = MIN(blocks * BLOCK_SIZE, *total);
}

static int depot_read(struct flow *f)
{
	struct depot_load *load = load_of(f);
	const struct depot *d = load->depot;
	struct summary_entry initial = {
		.hint = slab_summary_hint(d->geo.slab_shift, d->geo.data_blocks),
	};

	if (d->origin == DEPOT_NEW) {
		for (unsigned i = 0; i < SLABS_MAX; i++)
			slab_summary_encode(load->buf + i * SUMMARY_ENTRY_SIZE,
				       initial);
		return D_STORE;
	}
	flow_await_any(f, &load->mio.done, D_MERGE);
	mio_read(&load->mio, d->storage, MIO_SLAB, d->summary_start,
		 SUMMARY_BLOCKS, load->buf);
	return FLOW_WAIT;
}

/* An error of the summary's I/O is one of the volume. */
static int summary_failed(struct depot_load *load, const char *what)
{
	int result = load->mio.done.result;

	VDO_ASSERT(result < 0);
	readonly_enter(load->depot->readonly, result, "depot: slab summary %s",
		       what);
	return flow_fail(&load->flow, result);
}

static int depot_merge(struct flow *f)
{
	struct depot_load *load = load_of(f);
	unsigned copies = MAX(load->depot->old_zone_count, 1);

	VDO_ASSERT(copies <= PHYSICAL_ZONES_MAX);
	if (load->mio.done.result != 0)
		return summary_failed(load, "not read");
	for (unsigned i = 0; i < SLABS_MAX; i++) {
		size_t at = (size_t)i * SUMMARY_ENTRY_SIZE;
		size_t copy = (size_t)(i % copies) * SUMMARY_ZONE_BYTES;

		memcpy(load->buf + at, load->buf + copy + at,
		       SUMMARY_ENTRY_SIZE);
	}
	return D_STORE;
}

static int depot_store(struct flow *f)
{
	struct depot_load *load = load_of(f);
	struct depot *d = load->depot;

	VDO_ASSERT(queue_is_current(d->zones[0].queue));
	for (unsigned i = 1; i < PHYSICAL_ZONES_MAX; i++)
		memcpy(load->buf + i * SUMMARY_ZONE_BYTES, load->buf,
		       SUMMARY_ZONE_BYTES);
	flow_await_any(f, &load->mio.done, D_SYNC);
	mio_write(&load->mio, d->storage, MIO_SLAB, d->summary_start,
		  SUMMARY_BLOCKS, load->buf, false);
	return FLOW_WAIT;
}

static int depot_sync(struct flow *f)
{
	struct depot_load *load = load_of(f);

	if (load->mio.done.result != 0)
		return summary_failed(load, "not written");
	flow_await(f, &load->sync.done, D_ZONES);
	sync_request(load->depot->sync, &load->sync);
	return FLOW_WAIT;
}

static void zone_begin(struct completion *c);

/* With so many counts as can be read in no time, all are exact from the start. */
static bool fits(const struct depot *d)
{
	uint64_t limit = MIN(d->counts_memory, PRELOAD_BYTES);
	uint64_t bytes = 0;

	VDO_ASSERT(d->preload);
	for (uint64_t i = 0; i < d->geo.slab_count; i++)
		if (loaders_blocks(&d->slabs[i]) > 0)
			bytes += d->counts_bytes;
	return d->counts_memory == 0 || bytes <= limit;
}

static int depot_zones(struct flow *f)
{
	struct depot_load *load = load_of(f);
	struct depot *d = load->depot;
	uint64_t blocks = 0;

	VDO_ASSERT(d->zone_count <= PHYSICAL_ZONES_MAX);
	for (unsigned i = 0; i < d->zone_count; i++)
		memcpy(d->zones[i].summary.entries, load->buf,
		       SUMMARY_ZONE_BYTES);
	d->preload = true;
	d->preload = fits(d);
	for (uint64_t i = 0; i < d->geo.slab_count; i++)
		blocks += loaders_blocks(&d->slabs[i]);
	counter_add(&d->load_total, blocks);
	flow_await(f, &d->fanout.done, D_END);
	fanout_zones(&d->fanout, d->parts, d->zones, d->zone_count, zone_begin,
		     &d->fanout.done);
	return FLOW_WAIT;
}

static int depot_end(struct flow *f)
{
	struct depot_load *load = load_of(f);
	struct depot *d = load->depot;
	struct completion *done = d->done;
	int result = f->result;

	VDO_ASSERT(done != NULL && d->load == load);
	alloc_free(load->buf);
	alloc_free(load);
	d->load = NULL;
	d->done = NULL;
	completion_finish(done, result);
	return FLOW_END;
}

/* -------------------------------------------------------------------- zones */

static struct zone_load *zone_load_of(struct flow *f)
{
	struct zone_load *load = container_of(f, struct zone_load, flow);

	VDO_ASSERT(queue_is_current(load->zone->queue));
	return load;
}

static void free_load(struct zone_load *load)
{
	VDO_ASSERT(load->zone->load == load && load->running == 0);
	load->zone->load = NULL;
	loaders_fini(load);
	alloc_free(load);
}

static void zone_begin(struct completion *c)
{
	struct depot_zone *z = zone_of_part(c);
	struct zone_load *load = alloc_zeroed(1, sizeof(*load));

	VDO_ASSERT(z->load == NULL && z->idle == NULL && z->pending == 0);
	if (load == NULL) {
		fanout_part_done(zone_part(z), -ENOMEM);
		return;
	}
	load->zone = z;
	z->load = load;
	if (loaders_init(load, MAX(LOADERS / z->depot->zone_count, 1)) != 0) {
		free_load(load);
		fanout_part_done(zone_part(z), -ENOMEM);
		return;
	}
	flow_init(&load->flow, &zone_table);
	load->flow.queues[ON_PHYSICAL] = z->queue;
	flow_run(&load->flow);
}

static int zone_tails(struct flow *f)
{
	return loaders_tails(zone_load_of(f), Z_END);
}

static int zone_end(struct flow *f)
{
	struct zone_load *load = zone_load_of(f);
	struct depot_zone *z = load->zone;
	int result = f->result;

	VDO_ASSERT(z->load == load && z->idle == NULL);
	free_load(load);
	fanout_part_done(zone_part(z), result);
	return FLOW_END;
}
