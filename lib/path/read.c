/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads.
 *
 * The lock keeps the mapping, and so the block, as it is during the I/O; reads
 * need no lock on physical blocks.
 */
#include "build.h"

#include "path/path_priv.h"

#include <vdo/error.h>

/* Row, function, where it runs; what it does. */
#define READ_ROWS(X)							       \
	/* one request a logical block; a write under way is copied from */    \
	X(R_LOCK, read_lock, ON_LOGICAL)				       \
	/* leaf page and slot */					       \
	X(R_FIND, read_find, ON_LOGICAL)				       \
	/* without a leaf page: zeroes */				       \
	X(R_FOUND, read_found, ON_LOGICAL)				       \
	/* the mapping */						       \
	X(R_GET, read_get, ON_LOGICAL)					       \
	/* the block; straight to the user if it can be */		       \
	X(R_FETCH, read_fetch, ON_LOGICAL)				       \
	/* decompress, copy */						       \
	X(R_DELIVER, read_deliver, ON_LOGICAL)				       \
	/* the only clean-up row */					       \
	X(R_WAKE, read_wake, ON_LOGICAL)				       \
	/* the callback; the request is free */				       \
	X(R_DONE, read_done, ANYWHERE)

enum { READ_ROWS(FLOW_ROW) };
READ_ROWS(FLOW_FUNCTION)

#ifdef VDO_DEBUG
static const struct stage_rows read_stages[STAGES] = {
	[STAGE_LBN] = {R_LOCK, R_WAKE},
	[STAGE_MAP] = {R_FIND, R_DELIVER},
	[STAGE_ALLOC] = STAGE_NEVER,
	[STAGE_COUNTS] = STAGE_NEVER,
	[STAGE_MIO] = {R_FETCH, R_WAKE},
};

static void read_entered(struct flow *f, int row)
{
	request_check_stages(request_of(f), read_stages, row);
}
#endif

FLOW_TABLE_WATCHED(read_table, R_WAKE, READ_ROWS, read_entered);

static int read_lock(struct flow *f)
{
	struct request *r = request_of(f);
	struct logical_zone *z = request_zone(r);
	struct request *writer = lbn_readable(z, r->what.lbn);

	VDO_CHECK(r->what.kind == IO_READ && r->what.io != NULL);
	counter_inc(&z->stats.reads);
	if (writer != NULL) {
		data_to_user(r, writer->data);
		return R_DONE;
	}
	flow_park(f, R_FIND);
	return flow_over_any(f, lbn_lock(z, r));
}

static int read_find(struct flow *f)
{
	struct request *r = request_of(f);

	flow_await(f, &r->map.op.done, R_FOUND);
	r->map.op.lbn = r->what.lbn;
	r->map.op.allocate = false;
	return flow_over(f, &r->map.op.done,
			 map_find(r->path->config.map, r->zone, &r->map.op));
}

static int read_found(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->map.op.slot < MAP_PAGE_ENTRIES);
	if (r->map.op.page != ZERO_BLOCK)
		return R_GET;
	data_to_user(r, NULL);
	return R_WAKE;
}

static int read_get(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(r->map.op.page != ZERO_BLOCK);
	flow_await(f, &r->map.op.done, R_FETCH);
	return flow_over(f, &r->map.op.done,
			 map_get(r->path->config.map, r->zone, &r->map.op));
}

static int read_fetch(struct flow *f)
{
	struct request *r = request_of(f);
	struct mapping m = r->map.op.value;

	VDO_CHECK(mapping_plausible(depot_geometry(r->path->config.depot),
				    m));
	r->map.old = m;
	if (m.pbn == ZERO_BLOCK) {
		data_to_user(r, NULL);
		return R_WAKE;
	}
	if (mapping_is_compressed(m) && data_is_cached(r, m))
		return R_DELIVER;
	if (r->what.user == NULL || mapping_is_compressed(m)) {
		data_fetch(r, m, R_DELIVER);
		return FLOW_WAIT;
	}
	data_fetch_user(r, m, R_WAKE);
	return FLOW_WAIT;
}

static int read_deliver(struct flow *f)
{
	struct request *r = request_of(f);
	uint8_t *to;
	int result;

	VDO_CHECK(r->map.old.pbn != ZERO_BLOCK);
	to = r->what.user != NULL ? r->what.user : r->data;
	result = data_unpack(r, r->map.old, to);
	if (result == 0 && mapping_is_compressed(r->map.old))
		data_keep(r, r->map.old); /* what is damaged may be mended */
	if (result == 0 && to == r->data)
		data_to_user(r, r->data);
	return flow_next(f, result, R_WAKE);
}

static int read_wake(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(queue_is_current(request_zone(r)->queue));
	if (unlikely(f->result != 0))
		path_note_error(r->path, f->result);
	lbn_unlock(request_zone(r), r);
	return R_DONE;
}

static int read_done(struct flow *f)
{
	struct request *r = request_of(f);

	VDO_CHECK(!r->owner && !r->member && !r->active);
	request_acknowledge(r, r->flow.result);
	request_recycle(r);
	return FLOW_END;
}

void read_start(struct request *r)
{
	flow_set_table(&r->flow, &read_table);
	arrivals_put(r);
}
