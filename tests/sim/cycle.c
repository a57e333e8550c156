/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run: cycles of opening, work, and an end of each kind.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <string.h>

struct totals totals;

/* True: the volume is clean. */
static bool end_close(struct run *r)
{
	bool crashed = sim_device_crashed(r->sd);
	bool was_read_only = run_read_only(r);
	int result = vdo_close(r->v);

	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	crashed = crashed || sim_device_crashed(r->sd);
	shape_drop_device(r);
	say(r, "  closed: %s", vdo_error_name(result));
	if (result != 0 && !crashed && !r->lossy && !r->faulty)
		die(r, "close: %s", vdo_error_name(result));
	if (result == 0 && (crashed || was_read_only))
		die(r, "close succeeded, which it cannot");
	if (result == 0)
		model_flushed(r->model, model_now(r->model));
	check_survivors(r, result == 0 ? "after close" : "after a failed close");
	totals.crashes += crashed;
	if (result == 0 && percent(r, 30)) {
		sim_device_crash(r->sd);
		check_survivors(r, "after close and a crash");
		totals.crashes++;
	}
	return result == 0;
}

static void end_abandon(struct run *r, const char *when)
{
	vdo_abandon(r->v);
	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	shape_drop_device(r);
	check_survivors(r, when);
	totals.crashes++;
}

/* Power fails, or did already. */
static void end_crash(struct run *r)
{
	if (!sim_device_crashed(r->sd))
		sim_device_crash(r->sd);
	end_abandon(r, "after a crash");
}

/* False: the volume is of no use any more. */
static bool end_somehow(struct run *r)
{
	uint64_t how = dice(r, 100);

	if (sim_device_crashed(r->sd) || how < 30) {
		end_crash(r);
		return true;
	}
	if (how < 45) {
		sim_device_crash_at(r->sd, 0);
		end_abandon(r, "abandoned");
		return true;
	}
	/* Power fails while it is closed, or soon after. */
	if (how < 65)
		sim_device_crash_at(r->sd, any_size(r, 7));
	return end_close(r) || sim_device_crashed(r->sd);
}

/* A volume whose metadata was damaged is of use for reading, at most. */
static void live_with_rot(struct run *r)
{
	fault_rot(r);
	if (!shape_open(r))
		return;
	check_reads(r);
	vdo_abandon(r->v);
	shape_drop_device(r);
}

/* False: there is no next one. */
static bool cycle(struct run *r)
{
	bool go_on;

	r->faulty = r->lossy = false;
	r->is_long = percent(r, r->tight ? 25 : 10);
	r->super_written = false;
	totals.cycles++;
	/* One that an error made read-only would have to be rebuilt. */
	if (r->has_found && r->found.sb.state == VOLUME_READ_ONLY)
		return false;
	if (!shape_open(r))
		return false;
	fault_arm(r);
	work_some(r);
	fault_disarm(r);
	if (percent(r, 60))
		work_wait(r);
	go_on = end_somehow(r);
	sim_device_clear_faults(r->sd);
	if (!sim_device_crashed(r->sd)) {
		sim_device_crash_at(r->sd, 0);
		if (go_on && r->found.sb.state == VOLUME_CLEAN &&
		    percent(r, 3)) {
			live_with_rot(r);
			go_on = false;
		}
	}
	model_idle(r->model);
	return go_on && !r->rotten;
}

void run_all(uint64_t seed, const struct limits *limits, bool verbose)
{
	struct run r = {.seed = seed,
			.random = seed,
			.verbose = verbose,
			.limits = *limits};
	uint64_t cycles;

	shape_format(&r);
	cycles = 2 + dice(&r, 8);
	if (limits->cycles != 0)
		cycles = MIN(cycles, limits->cycles);
	while (cycles-- > 0 && cycle(&r))
		continue;
	check_forget(&r);
	model_destroy(r.model);
	sim_device_destroy(r.sd);
	free(r.writes);
	free(r.partial);
	totals.runs++;
}
