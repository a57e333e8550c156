/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing a volume: the table (V 10.2, E 10.5; the order is a must).
 *
 *	packer     nothing is parked any more
 *	requests   all are over, also the acknowledged ones
 *	look       the storage is still what was opened
 *	sync       what they wrote is durable
 *	map        all pages are written
 *	journal    the open block is closed
 *	depot      slab journals, reference counts, summary
 *	index      saved, unless in read-only mode
 *	look       once more
 *	clean      the super block says so
 *	named      the file can still be found
 *
 * In read-only mode nothing can be saved; the phases then just wait for what is
 * under way, and the last one is left out. If that is for want of space, also
 * in the last one, the volume stays DIRTY.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <vdo/error.h>

#include "base/alloc.h"

static void start_packer(struct volume *v, struct completion *done)
{
	packer_drain(v->packer, done);
}

static void start_path(struct volume *v, struct completion *done)
{
	front_drain(v->front, done);
}

static void start_map(struct volume *v, struct completion *done)
{
	map_drain(v->map, true, done);
}

static void start_journal(struct volume *v, struct completion *done)
{
	v->journal_drained = true;
	journal_drain(v->journal, true, done);
}

static void start_depot(struct volume *v, struct completion *done)
{
	depot_drain(v->depot, true, done);
}

static int save_packer(struct volume *v)
{
	return await_run(v, v->topology.packer, start_packer);
}

static int save_requests(struct volume *v)
{
	int result = await_run(v, v->topology.journal, start_path);

	front_join(v->front);
	return result;
}

static int save_map(struct volume *v)
{
	return await_run(v, v->topology.journal, start_map);
}

static int save_journal(struct volume *v)
{
	return await_run(v, v->topology.journal, start_journal);
}

static int save_depot(struct volume *v)
{
	return await_run(v, v->topology.journal, start_depot);
}

static void start_saving_index(struct volume *v, struct completion *done)
{
	v->index_open = false;
	advice_close(v->advice, true, done);
}

/* One that was not saved is rebuilt; the log says so. */
static int save_index(struct volume *v)
{
	if (v->index_open)
		(void)await_run(v, v->topology.index, start_saving_index);
	/* But a flush for it may have failed. */
	return readonly_entered(&v->readonly) ? -VDO_EREADONLY : 0;
}

static int save_look(struct volume *v)
{
	return await_run(v, v->topology.journal, still_there);
}

static int save_clean(struct volume *v)
{
	struct journal_state state;

	journal_get_state(v->journal, &state);
	v->sb.state = VOLUME_CLEAN;
	v->sb.journal_start = state.tail;
	v->sb.logical_blocks_used = state.logical_blocks_used;
	v->sb.block_map_data_blocks = state.block_map_data_blocks;
	return super_write(v);
}

static const struct phase quiesce_phases[] = {
	{save_packer, "emptying the packer"},
	{save_requests, "waiting for requests"},
	{NULL, NULL},
};

static const struct phase save_phases[] = {
	{save_look, "looking after the storage"},
	{await_sync, "flushing the storage"},
	{save_map, "saving the block map"},
	{save_journal, "closing the recovery journal"},
	{save_depot, "saving the slab depot"},
	{save_index, "saving the index"},
	{save_look, "looking after the storage once more"},
	{save_clean, "marking the volume as clean"},
	{still_named, "looking for the file's name"},
	{NULL, NULL},
};

/* Without saving: wait until nothing refers to the components any more. */
static void drain_map(struct volume *v, struct completion *done)
{
	map_drain(v->map, false, done);
}

static void drain_journal(struct volume *v, struct completion *done)
{
	journal_drain(v->journal, false, done);
}

static void drain_depot(struct volume *v, struct completion *done)
{
	depot_drain(v->depot, false, done);
}

static void drop_index(struct volume *v, struct completion *done)
{
	v->index_open = false;
	advice_close(v->advice, false, done);
}

static void drain_all(struct volume *v)
{
	struct queue *q = v->topology.journal;

	/* Results do not matter: nothing is kept. */
	if (v->index_open)
		await_run(v, v->topology.index, drop_index);
	await_run(v, q, drain_map);
	if (!v->journal_drained)
		await_run(v, q, drain_journal);
	await_run(v, q, drain_depot);
}

void volume_free(struct volume *v)
{
	read_only_wait(v);
	components_destroy(v);
	read_only_fini(v);
	topology_destroy(&v->topology);
	alloc_free(v->super_block);
	alloc_free(v);
}

int volume_close(struct volume *v)
{
	int result = phases_run(v, quiesce_phases);

	if (result == 0 && !v->opened_read_only) {
		result = readonly_entered(&v->readonly)
				 ? -VDO_EREADONLY
				 : phases_run(v, save_phases);
		if (result == 0)
			log_info(&v->log, "volume: closed clean");
	}
	if (result != 0 || v->opened_read_only)
		drain_all(v);
	else
		result = path_lost_data(v->path); /* saved, but for that */
	if (readonly_for_space(&v->readonly))
		result = readonly_reason(&v->readonly);
	if (device_is_cut(v->device))
		result = -VDO_EGONE;
	volume_free(v);
	return result;
}

void volume_abandon(struct volume *v)
{
	/* Before all components were there, none had been started. */
	if (v->path != NULL) {
		await_run(v, v->topology.packer, start_packer);
		(void)save_requests(v);
		drain_all(v);
	}
	volume_free(v);
}
