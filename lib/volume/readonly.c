/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entering read-only mode: each zone lets go of who waits, and the super block
 * says so. Where only space is missing it goes on saying DIRTY: nothing is
 * damaged, the storage is as after a crash, and recovery loses nothing that was
 * flushed. READ_ONLY would be for good, and its map is without the journal.
 *
 * The upcall may come from any thread, so it only posts. The first message goes
 * to the journal's queue, which releases its waiters and then sends one message
 * to each zone; the last zone to answer writes the super block. Only the first
 * reason gets here (io/readonly.c).
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include "base/alloc.h"

static void super_block_written(struct completion *c)
{
	struct volume *v = container_of(c, struct volume, super_mio.done);

	if (c->result != 0)
		log_error(&v->log,
			  "volume: read-only state not recorded, result=%d",
			  c->result);
	await_tell(&v->read_only_done, 0);
}

static void record_now(struct completion *c)
{
	struct volume *v = container_of(c, struct volume, enter_read_only);
	struct journal_state state;

	/* Before it was online nothing was changed: leave the state alone. In
	 * storage that was cut short there may be no volume to write to. */
	if (!v->online || readonly_for_space(&v->readonly) ||
	    device_is_cut(v->device)) {
		await_tell(&v->read_only_done, 0);
		return;
	}
	journal_get_state(v->journal, &state);
	v->sb.state = VOLUME_READ_ONLY;
	v->sb.journal_start = MIN(state.map_head, state.slab_head);
	v->sb.logical_blocks_used = state.logical_blocks_used;
	v->sb.block_map_data_blocks = state.block_map_data_blocks;
	superblock_encode(&v->sb, v->super_block);
	completion_init(&v->super_mio.done, v->topology.journal,
			super_block_written);
	mio_write(&v->super_mio, &v->storage, MIO_SUPER, v->geometry.data_start,
		  1, v->super_block, true);
}

/* One zone has been told. */
static void zone_told(struct volume *v)
{
	if (atomic_fetch_sub(&v->visits_pending, 1) != 1)
		return;
	v->enter_read_only.fn = record_now;
	completion_post(&v->enter_read_only);
}

static void visit_physical(struct completion *c)
{
	struct zone_visit *visit = container_of(c, struct zone_visit, go);

	depot_read_only(visit->volume->depot, visit->zone);
	zone_told(visit->volume);
}

static void visit_logical(struct completion *c)
{
	struct zone_visit *visit = container_of(c, struct zone_visit, go);

	map_read_only(visit->volume->map, visit->zone);
	zone_told(visit->volume);
}

static void send_visit(struct volume *v, struct zone_visit *visit,
		       unsigned zone, struct queue *q, completion_fn fn)
{
	visit->volume = v;
	visit->zone = zone;
	completion_init(&visit->go, q, fn);
	completion_post(&visit->go);
}

/* On the journal's queue. */
static void begin(struct completion *c)
{
	struct volume *v = container_of(c, struct volume, enter_read_only);
	struct topology *t = &v->topology;
	struct zone_visit *visit = v->zone_visits;
	unsigned i;

	journal_read_only(v->journal);
	atomic_store(&v->visits_pending,
		     t->physical_zones + t->logical_zones);
	for (i = 0; i < t->physical_zones; i++)
		send_visit(v, visit++, i, t->physical[i], visit_physical);
	for (i = 0; i < t->logical_zones; i++)
		send_visit(v, visit++, i, t->logical[i], visit_logical);
}

/* The upcall of struct readonly. Any thread. */
static void enter(void *arg)
{
	struct volume *v = arg;

	completion_post(&v->enter_read_only);
}

int read_only_init(struct volume *v)
{
	struct topology *t = &v->topology;

	v->zone_visits = alloc_zeroed(t->physical_zones + t->logical_zones,
				      sizeof(*v->zone_visits));
	if (v->zone_visits == NULL)
		return -ENOMEM;
	completion_init(&v->enter_read_only, t->journal, begin);
	await_init(&v->read_only_done, v->executor);
	readonly_init(&v->readonly, &v->storage, &v->log, enter, v);
	return 0;
}

void read_only_fini(struct volume *v)
{
	alloc_free(v->zone_visits);
	v->zone_visits = NULL;
}

void read_only_wait(struct volume *v)
{
	if (!v->opened_read_only && readonly_entered(&v->readonly))
		(void)await_end(&v->read_only_done);
}
