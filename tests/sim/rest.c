/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume at rest: it is suspended in the middle of its work, what is on the
 * storage then is looked at, copied and opened, and it goes on. Or it grows, or gets
 * another engine.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>

#include "volume/volume_priv.h"

/* Whoever copies the storage now has a volume of its own, that holds all that was
 * acknowledged. */
static void open_copy(struct run *r)
{
	struct sim_device_config config = {.seed = r->seed,
					   .block_count = r->block_count};
	struct sim_device *sd = sim_device_create(&config);
	struct vdo_device *d = sim_device_open(sd, NULL);
	struct vdo_volume *original = r->v;
	enum opening how = r->how;
	uint8_t block[BLOCK_SIZE];
	struct vdo_config *c;
	struct vdo_error error;

	for (uint64_t i = 0; i < r->block_count; i++) {
		sim_device_peek(r->sd, i, block);
		sim_device_poke(sd, i, block);
	}
	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set(c, "executor", "inline", NULL);
	vdo_config_set(c, "cache", "1M", NULL);
	if (vdo_open_device(d, c, &r->v, &error) != 0)
		die(r, "a copy cannot be opened: %s", error.message);
	r->how = OPEN_INLINE;
	check_reads(r);
	if (vdo_close(r->v) != 0)
		die(r, "a copy cannot be closed");
	r->v = original;
	r->how = how;
	vdo_config_free(c);
	vdo_device_close(d);
	sim_device_destroy(sd);
	totals.copies++;
}

/* Public calls wait, and run whatever there is meanwhile. */
static int suspend(struct run *r, bool save)
{
	int result;

	pool_hold(false);
	result = vdo_suspend(r->v, save);
	pool_hold(r->how == OPEN_POOL);
	say(r, "  suspended%s: %s", save ? ", saved" : "",
	    vdo_error_name(result));
	if (result != 0 && !sim_device_crashed(r->sd) && !run_read_only(r) &&
	    !r->faulty)
		die(r, "suspend: %s", vdo_error_name(result));
	return result;
}

void rest_suspend(struct run *r)
{
	bool save = percent(r, 70);

	if (suspend(r, save) != 0)
		return;
	totals.suspended++;
	if (save && !sim_device_crashed(r->sd))
		check_at_rest(r);
	if (!sim_device_crashed(r->sd) && !run_read_only(r) && percent(r, 20))
		open_copy(r);
	for (uint64_t i = dice(r, 4); i > 0; i--)
		work_start(r);
	(void)work_run(r, dice(r, 40));
	pool_hold(false);
	r->asleep = percent(r, 5);
	if (r->asleep)
		return;
	if (vdo_resume(r->v) != 0)
		die(r, "it is not resumed");
	pool_hold(r->how == OPEN_POOL);
}

static unsigned other_zones(struct run *r, unsigned zones, unsigned max)
{
	return percent(r, 50) ? zones : (unsigned)dice(r, max + 1);
}

/* Options at random; power may fail at any time. */
void rest_change(struct run *r)
{
	struct settings s = r->v->settings;
	struct open_settings *o = &s.open;
	bool fails = percent(r, 40);
	struct vdo_error error;
	int result;

	if (sim_device_crashed(r->sd))
		return;
	if (percent(r, 30))
		o->topology = percent(r, 50) ? TOPOLOGY_SHARD
					     : TOPOLOGY_CLASSIC;
	o->threads = other_zones(r, o->threads, 4);
	o->logical_zones = other_zones(r, o->logical_zones, 4);
	o->physical_zones = other_zones(r, o->physical_zones, 4);
	o->hash_zones = other_zones(r, o->hash_zones, 4);
	o->index_zones = other_zones(r, o->index_zones, 4);
	if (percent(r, 20))
		o->maximum_age = 1 + dice(r, 8);
	if (percent(r, 20))
		o->cache_bytes = (4 + dice(r, 40)) * BLOCK_SIZE;
	if (fails)
		sim_device_crash_at(r->sd, any_size(r, 8));
	pool_hold(false);
	if (handle_enter_whole(r->v) != 0)
		die(r, "nobody can enter");
	result = handle_change(r->v, &s, &error);
	handle_leave(r->v);
	pool_hold(r->how == OPEN_POOL);
	if (fails && !sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	say(r, "  changed to zones %u/%u/%u: %s", o->logical_zones,
	    o->physical_zones, o->hash_zones, vdo_error_name(result));
	if (result != 0 && !sim_device_crashed(r->sd) && !run_read_only(r) &&
	    !r->faulty)
		die(r, "another engine: %s", vdo_error_name(result));
	totals.changed += result == 0;
	totals.crashed_changing += sim_device_crashed(r->sd);
}

/* Sizes at random, often too small; power may fail at any time. */
void rest_grow(struct run *r)
{
	uint64_t room = r->block_count - r->layout.physical_blocks;
	uint64_t physical = 0, logical = 0;
	bool fails, has_room = room > r->ring + SUMMARY_BLOCKS;
	int result;

	if (sim_device_crashed(r->sd))
		return;
	if (has_room && percent(r, 80))
		physical = (r->layout.physical_blocks + 1 + dice(r, room)) *
			   BLOCK_SIZE;
	if (has_room && percent(r, 15))
		physical = VDO_GROW_ALL;
	if (percent(r, has_room ? 40 : 10))
		logical = vdo_volume_size(r->v) + any_size(r, 22) * BLOCK_SIZE;
	fails = percent(r, 40);
	if (fails)
		sim_device_crash_at(r->sd, any_size(r, 6));
	pool_hold(false);
	result = vdo_grow(r->v, physical, logical, NULL);
	pool_hold(r->how == OPEN_POOL);
	if (fails && !sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	say(r, "  grown to %" PRIu64 " and %" PRIu64 " blocks: %s",
	    physical / BLOCK_SIZE, logical / BLOCK_SIZE,
	    vdo_error_name(result));
	if (result != 0 && result != -EINVAL && !sim_device_crashed(r->sd) &&
	    !run_read_only(r) && !r->faulty)
		die(r, "growing: %s", vdo_error_name(result));
	totals.grown += result == 0;
	totals.crashed_growing += sim_device_crashed(r->sd);
	if (sim_device_crashed(r->sd))
		return;
	kinds_look(r);
	if (result == 0) {
		r->grown_physical = r->layout.physical_blocks;
		r->grown_logical = r->layout.logical_blocks;
	}
}
