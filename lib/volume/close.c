/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing a volume: let all calls be carried out, also those that wait for
 * their turn, but for the rest of discards and zeroes of many blocks; then
 * suspend it (save.c), for good.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <vdo/error.h>

#include "base/alloc.h"
#include "io/blockcache.h"
#include "io/plug.h"

/* Row, function, where it runs; what it does. */
#define CLOSE_ROWS(X)							       \
	/* nothing is parked any more */				       \
	X(CLOSE_PACKER, close_packer, ON_PACKER)			       \
	/* all calls are over */					       \
	X(CLOSE_CALLS, close_calls, ON_JOURNAL)				       \
	/* suspend the volume, saving what is to be kept and can be */	       \
	X(CLOSE_SUSPEND, close_suspend, ON_JOURNAL)			       \
	X(CLOSE_END, close_end, ON_JOURNAL)

enum { CLOSE_ROWS(FLOW_ROW) };
CLOSE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(close_table, CLOSE_END, CLOSE_ROWS);

static int close_packer(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_ON);
	packer_drain(l->volume->packer, life_await(l, CLOSE_CALLS));
	return FLOW_WAIT;
}

static int close_calls(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_ON);
	front_drain(l->volume->front, life_await(l, CLOSE_SUSPEND));
	return FLOW_WAIT;
}

static int close_suspend(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->service == SERVICE_ON);
	volume_start_suspend(v, v->keep, life_await(l, CLOSE_END));
	return FLOW_WAIT;
}

static int close_end(struct flow *f)
{
	VDO_ASSERT(life_of(f)->volume->service == SERVICE_STOPPED);
	return life_end(life_of(f));
}

void life_init_close(struct volume *v)
{
	life_init(&v->closing, v, &close_table);
}

static int end(struct volume *v, bool keep)
{
	int result;

	VDO_ASSERT(v->closing.done == NULL);
	if (v->service == SERVICE_STOPPED) /* calls wait, and are carried out */
		(void)volume_resume(v);
	VDO_ASSERT(v->service == SERVICE_ON);
	v->keep = keep;
	path_end_ranges(v->path);
	result = life_run(&v->closing);
	front_join(v->front);
	return result;
}

int volume_saved(struct volume *v, int result)
{
	VDO_ASSERT(v->service == SERVICE_STOPPED);
	if (result == 0 && !v->opened_read_only)
		result = path_lost_data(v->path); /* saved, but for that */
	if (readonly_for_space(&v->readonly))
		result = readonly_reason(&v->readonly);
	return device_is_cut(v->device) ? -VDO_EGONE : result;
}

int volume_close(struct volume *v)
{
	int result = end(v, true);

	if (result == 0 && !v->opened_read_only)
		result = still_named(v);
	if (result == 0 && !v->opened_read_only)
		log_info(&v->log, "volume: closed clean");
	result = volume_saved(v, result);
	volume_destroy(v);
	return result;
}

void volume_abandon(struct volume *v)
{
	(void)end(v, false);
	volume_destroy(v);
}

void volume_destroy(struct volume *v)
{
	VDO_ASSERT(v->service != SERVICE_ON);
	VDO_ASSERT(v->opening.done == NULL && v->closing.done == NULL);
	VDO_ASSERT(v->suspending.done == NULL && v->resuming.done == NULL);
	/* Somebody who helped a call on may have left a message that finds nothing
	 * to do: what is posted runs before this returns. */
	executor_release(v->executor, v->topology.queues,
			 v->topology.queue_count);
	components_destroy(v);
	overlay_fini(v);
	read_only_fini(v);
	super_writer_fini(&v->super);
	still_there_fini(v);
	plug_fini(&v->storage);
	blockcache_destroy(v->storage.cache);
	topology_destroy(&v->topology);
	alloc_free(v);
}
