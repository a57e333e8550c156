/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads, and the probes of discards.
 *
 *	lock      logical   one at a time; a write under way is copied from
 *	find      logical   leaf page and slot; none: zeroes
 *	get       logical   the mapping
 *	fetch     any       the block, straight into the user's memory if it is
 *	                    whole, contiguous and not compressed
 *	deliver   any       decompress, copy
 *	wake      logical   the only clean-up row
 *
 * The lock keeps the mapping, and so the block, as it is during the I/O; reads
 * need no lock on physical blocks.
 */
#include "build.h"

#include "path/path_priv.h"

#include <vdo/error.h>

enum {
	R_LOCK,
	R_FIND,
	R_FOUND,
	R_GET,
	R_FETCH,
	R_DELIVER,
	R_WAKE,
	R_DONE,
};

static void op_done(struct completion *c)
{
	struct request *r = container_of(c, struct request, map.done);

	if (unlikely(c->result != 0))
		r->at = request_fail(r, c->result);
	request_run(r);
}

static int read_lock(struct request *r)
{
	struct logical_zone *z = request_zone(r);
	struct request *writer = lbn_readable(z, r->what.lbn);

	counter_inc(&z->stats.reads);
	if (writer != NULL) {
		data_to_user(r, writer->data);
		return R_DONE;
	}
	r->at = R_FIND;
	return lbn_lock(z, r) ? R_FIND : WAIT;
}

static int read_find(struct request *r)
{
	request_await(r, map, R_FOUND, ON_LOGICAL, op_done);
	r->map.lbn = r->what.lbn;
	r->map.allocate = false;
	if (!map_find(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, R_FOUND);
}

static int read_found(struct request *r)
{
	if (r->map.page != ZERO_BLOCK)
		return R_GET;
	data_to_user(r, NULL);
	return R_WAKE;
}

static int read_get(struct request *r)
{
	request_await(r, map, R_FETCH, ON_LOGICAL, op_done);
	if (!map_get(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, R_FETCH);
}

static int read_fetch(struct request *r)
{
	struct mapping m = r->map.value;

	r->old_mapping = m;
	if (m.pbn == ZERO_BLOCK) {
		data_to_user(r, NULL);
		return R_WAKE;
	}
	if (r->what.user == NULL || mapping_is_compressed(m)) {
		data_fetch(r, m, R_DELIVER, ON_LOGICAL);
		return WAIT;
	}
	data_fetch_user(r, m, R_WAKE, ON_LOGICAL);
	return WAIT;
}

static int read_deliver(struct request *r)
{
	int result;

	if (r->what.user != NULL)
		return request_next(r, data_unpack(r, r->old_mapping, r->what.user),
				    R_WAKE);
	result = data_unpack(r, r->old_mapping, r->data);
	if (result == 0)
		data_to_user(r, r->data);
	return request_next(r, result, R_WAKE);
}

static int read_wake(struct request *r)
{
	lbn_unlock(request_zone(r), r);
	return R_DONE;
}

static int read_done(struct request *r)
{
	request_acknowledge(r, r->error);
	request_recycle(r);
	return WAIT;
}

static const struct step read_steps[] = {
	[R_LOCK] = {ON_LOGICAL, read_lock, "lock"},
	[R_FIND] = {ON_LOGICAL, read_find, "find"},
	[R_FOUND] = {ON_LOGICAL, read_found, "found"},
	[R_GET] = {ON_LOGICAL, read_get, "get"},
	[R_FETCH] = {ANYWHERE, read_fetch, "fetch"},
	[R_DELIVER] = {ANYWHERE, read_deliver, "deliver"},
	[R_WAKE] = {ON_LOGICAL, read_wake, "wake"},
	[R_DONE] = {ANYWHERE, read_done, "done"},
};

void read_start(struct request *r)
{
	r->table = read_steps;
	r->failed = R_WAKE;
	arrivals_put(r);
}

/*
 * A probe asks whether the leaf page of an LBN exists, so that a discard can
 * skip what was never written. It takes no lock: a write that was acknowledged
 * before the discard came has its leaf page already.
 */
enum {
	P_FIND,
	P_DONE,
};

static int probe_find(struct request *r)
{
	request_await(r, map, P_DONE, ON_LOGICAL, op_done);
	r->map.lbn = r->what.lbn;
	r->map.allocate = false;
	if (!map_find(r->path->config.map, r->zone, &r->map))
		return WAIT;
	return request_next(r, r->map.done.result, P_DONE);
}

static int probe_done(struct request *r)
{
	struct io *io = r->what.io;
	lbn_t end = (r->what.lbn / MAP_PAGE_ENTRIES + 1) * MAP_PAGE_ENTRIES;
	bool exists = r->error != 0 || r->map.page != ZERO_BLOCK;

	/* Behind an error the discard itself will meet it. */
	r->what.io = NULL;
	request_probed(io, end * BLOCK_SIZE, exists);
	/* Last: until then we count as under way, and the path stays. */
	request_recycle(r);
	return WAIT;
}

static const struct step probe_steps[] = {
	[P_FIND] = {ON_LOGICAL, probe_find, "find"},
	[P_DONE] = {ANYWHERE, probe_done, "done"},
};

void probe_start(struct request *r)
{
	r->table = probe_steps;
	r->failed = P_DONE;
	arrivals_put(r);
}
