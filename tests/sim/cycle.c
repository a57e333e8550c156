/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run: cycles of opening, work, and an end of each kind.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <string.h>

#include "depot/depot.h"
#include "volume/volume_priv.h"

struct totals totals;
struct sim_saved *saved;

/* Opened, it is what it was. The result is that of opening. */
static int open_or_not(struct run *r, enum opening how)
{
	bool crashed = r->has_found && r->found.sb.state == VOLUME_DIRTY;
	int result;

	r->was_recovering =
		r->has_found && r->found.sb.state == VOLUME_RECOVERING;
	r->how = how;
	result = shape_open(r, how);
	if (result != 0) {
		if (!r->rotten && !r->faulty && !sim_device_crashed(r->sd))
			die(r, "open: %s", vdo_error_name(result));
		return result;
	}
	totals.recoveries += crashed;
	check_is_certain(r);
	/* Threads of its own scrub slabs while an image would be read. */
	if (how != OPEN_READ_ONLY && how != OPEN_THREADS && !r->rotten &&
	    !sim_device_crashed(r->sd))
		check_recovered(r);
	if (how != OPEN_READ_ONLY)
		check_forget(r);
	return 0;
}

/* Crashes are those of the power from now on. */
static void cut_power(struct run *r)
{
	r->killed = false;
	sim_device_kill_only(r->sd, false);
}

/* True: the volume is clean. */
static bool end_close(struct run *r)
{
	bool before = sim_device_crashed(r->sd), crashed = before;
	bool was_read_only = run_read_only(r);
	int result;

	pool_hold(false);
	r->closing = true;
	result = vdo_close(r->v);
	r->closing = false;
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
	totals.closed_so += r->found.sb.state == VOLUME_RECOVERING;
	totals.crashes += crashed;
	totals.crashed_so += crashed && r->was_recovering;
	totals.read_only += crashed && was_read_only && !before;
	if (result == 0 && percent(r, 30)) {
		cut_power(r);
		sim_device_crash(r->sd);
		check_survivors(r, "after close and a crash");
		totals.crashes++;
	}
	return result == 0;
}

static void end_abandon(struct run *r, const char *when)
{
	totals.unscrubbed += depot_unscrubbed(r->v->volume->depot);
	totals.crashed_so += r->was_recovering;
	pool_hold(false);
	r->closing = true;
	vdo_abandon(r->v);
	r->closing = false;
	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	shape_drop_device(r);
	check_survivors(r, when);
	totals.crashes++;
}

/* Power fails, or did already. */
static void end_crash(struct run *r)
{
	if (!sim_device_crashed(r->sd)) {
		totals.read_only += run_read_only(r);
		sim_device_crash(r->sd);
	}
	end_abandon(r, r->killed ? "after a kill" : "after a crash");
}

/* Power fails while it is closed, or soon after, or not. False: the volume is of
 * no use any more. */
static bool end_close_or_crash(struct run *r, bool fails)
{
	if (fails)
		sim_device_crash_at(r->sd, any_size(r, 7));
	return end_close(r) || sim_device_crashed(r->sd);
}

/* The same. */
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
		/* What was found is to stay, whatever FUA is worth, and though
		 * blocks of the journal may not be durable yet: kills are for
		 * what need not stay. */
		sim_device_settle(r->sd);
		return true;
	}
	return end_close_or_crash(r, how < 65);
}

/* A volume whose metadata was damaged is of use for reading, at most. */
static void open_rotten(struct run *r, bool dirty)
{
	bool journal = fault_rot(r);

	if (open_or_not(r, OPEN_SIM) != 0) {
		totals.rots_found++;
		return;
	}
	totals.rots_found += run_read_only(r);
	/* The newest blocks of a journal may be missing after a crash. */
	if (!dirty || !journal)
		check_reads(r);
	vdo_abandon(r->v);
	shape_drop_device(r);
}

/* Bits flip while nobody looks, also where power had failed; and then they have
 * not, and all goes on. */
static void live_with_rot(struct run *r)
{
	bool dirty = r->found.sb.state == VOLUME_DIRTY;
	uint64_t physical = r->grown_physical, logical = r->grown_logical;
	struct image found = r->found;

	if (sim_device_crashed(r->sd))
		shape_power_on(r);
	else
		sim_device_settle(r->sd); /* what was found */
	saved = sim_device_save(r->sd, saved);
	r->has_found = false;
	for (uint64_t n = 1 + dice(r, 3); n > 0; n--) {
		totals.rots += !dirty;
		totals.rots_open += dirty;
		open_rotten(r, dirty);
		sim_device_restore(r->sd, saved);
		r->grown_physical = physical;
		r->grown_logical = logical;
	}
	r->rotten = false;
	r->found = found;
	r->has_found = true;
}

/* Storage that became shorter is refused, and not written. */
static void open_short(struct run *r)
{
	uint64_t writes = sim_device_count(r->sd, VDO_DEVICE_WRITE);

	sim_device_cut(r->sd, 1 + dice(r, r->layout.physical_blocks -
						  r->bio_offset - 1));
	r->rotten = true;
	if (open_or_not(r, percent(r, 50) ? OPEN_SIM : OPEN_READ_ONLY) == 0)
		die(r, "it can be opened on storage that is too short");
	r->rotten = false;
	sim_device_cut(r->sd, 0);
	if (sim_device_count(r->sd, VDO_DEVICE_WRITE) != writes)
		die(r, "what is too short was written");
	totals.short_devices++;
}

/* Errors come while it is opened. False: it is not open, and is what it was. */
static bool open_with_errors(struct run *r, enum opening how)
{
	fault_errors(r);
	if (open_or_not(r, how) == 0)
		return true;
	totals.failed_opening++;
	sim_device_clear_faults(r->sd);
	r->faulty = r->lossy = false;
	if (r->found.sb.state == VOLUME_DIRTY)
		r->reopened = true;
	check_survivors(r, "after an opening that failed");
	return false;
}

void cycle_look(struct run *r)
{
	uint64_t writes = sim_device_count(r->sd, VDO_DEVICE_WRITE);

	if (open_or_not(r, OPEN_READ_ONLY) != 0)
		die(r, "it cannot be opened read-only");
	check_reads(r);
	if (vdo_close(r->v) != 0)
		die(r, "what was read only cannot be closed");
	shape_drop_device(r);
	if (sim_device_count(r->sd, VDO_DEVICE_WRITE) != writes)
		die(r, "what was opened read-only was written");
}

/* Power fails while it is opened, and while it is opened again. */
static bool open_in_spite_of_crashes(struct run *r, enum opening how)
{
	/* What a killed process left may not be durable yet. */
	while (percent(r, r->unsure ? 70 : r->deep ? 50 : 25)) {
		if (sim_device_crashed(r->sd))
			shape_power_on(r);
		sim_device_crash_at(r->sd,
				    r->unsure ? 4 + dice(r, 30)
					      : any_size(r, 9));
		if (open_or_not(r, how) == 0)
			return true; /* it comes later */
		if (!sim_device_crashed(r->sd))
			return false;
		totals.crashes++;
		totals.reopenings += r->found.sb.state == VOLUME_DIRTY;
		totals.crashed_so += r->was_recovering;
		r->reopened = true;
		check_survivors(r, "after a crash while it was opened");
	}
	return open_or_not(r, how) == 0;
}

/* What is written one by one is there. */
static void write_one_by_one(struct run *r)
{
	_Alignas(BLOCK_SIZE) uint8_t memory[BLOCK_SIZE + UNALIGNED];
	uint8_t *block = memory + UNALIGNED;

	for (uint64_t n = dice(r, 40); n > 0; n--) {
		uint64_t lbn = dice(r, r->lbns), since = model_now(r->model);
		struct model_version *v;

		pattern_fill(V_UNIQUE(dice(r, 200)), block);
		v = model_submit(r->model, lbn, block);
		if (vdo_pwrite(r->v, block, BLOCK_SIZE,
			       place_of(r, lbn) * BLOCK_SIZE, 0) == 0)
			model_ack(r->model, v, false);
		else
			model_maybe(r->model, v);
		if (percent(r, 20) && vdo_flush(r->v, 0) == 0)
			check_note_flush(r, since);
	}
}

/* False: there is no next one. */
static bool live(struct run *r, enum opening how)
{
	if (percent(r, 4) && !r->unsure) {
		if (!open_with_errors(r, how))
			return r->found.sb.state != VOLUME_READ_ONLY;
	} else if (!open_in_spite_of_crashes(r, how)) {
		return false;
	}
	totals.pools += how == OPEN_POOL;
	/* Slabs are left to be scrubbed by the next one. */
	if (depot_unscrubbed(r->v->volume->depot) &&
	    percent(r, r->many ? 80 : 20))
		return r->many && percent(r, 75)
			       ? end_close_or_crash(r, percent(r, 20))
			       : end_somehow(r);
	if (r->many && !r->filled && r->how == OPEN_SIM) {
		r->filled = true;
		work_fill(r);
	}
	if (!sim_device_crashed(r->sd))
		fault_arm(r);
	work_some(r);
	fault_disarm(r);
	if (percent(r, 60))
		work_wait(r);
	return end_somehow(r);
}

static bool live_elsewhere(struct run *r)
{
	enum opening how = OPEN_INLINE;
	uint64_t n = dice(r, 100);

	if (n < 40)
		return live(r, OPEN_POOL);
	if (n >= 80)
		how = OPEN_THREADS;
	if (!open_in_spite_of_crashes(r, how))
		return false;
	totals.others++;
	r->lossy = true; /* a volume may be full */
	check_reads(r);
	write_one_by_one(r);
	return end_somehow(r);
}

/* False: there is no next one. */
static bool cycle(struct run *r)
{
	bool go_on;

	r->faulty = r->lossy = r->asleep = false;
	r->is_long = percent(r, 10);
	totals.cycles++;
	kinds_choose_delays(r);
	if (percent(r, 5) && r->has_found && !r->unsure)
		cycle_look(r);
	if (percent(r, 5) && r->has_found && !r->unsure)
		open_short(r);
	if (r->has_found && r->found.sb.state == VOLUME_READ_ONLY)
		mend_rebuild(r);
	else if (r->has_found && percent(r, 10))
		mend_check(r);
	if (r->has_found && !r->unsure && !r->killed &&
	    r->found.sb.state == VOLUME_CLEAN && percent(r, 20))
		mend_trim(r);
	r->killed = !r->fua_lies && percent(r, 20);
	sim_device_kill_only(r->sd, r->killed);
	go_on = percent(r, 10) ? live_elsewhere(r)
				 : live(r, OPEN_SIM);
	sim_device_clear_faults(r->sd);
	cut_power(r);
	if (!sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	if (go_on && !r->unsure && r->has_found &&
	    (r->found.sb.state == VOLUME_CLEAN ||
	     r->found.sb.state == VOLUME_DIRTY) &&
	    percent(r, r->found.sb.state == VOLUME_DIRTY ? 10 : 4))
		live_with_rot(r);
	model_idle(r->model);
	return go_on && !r->useless;
}

void run_all(uint64_t seed, const struct limits *limits, bool verbose)
{
	struct run r = {.seed = seed,
			.random = seed,
			.verbose = verbose,
			.limits = *limits};
	uint64_t cycles;

	clock_begin(seed);
	shape_format(&r);
	cycles = 2 + dice(&r, 8);
	if (limits->cycles != 0)
		cycles = MIN(cycles, limits->cycles);
	while (cycles-- > 0 && cycle(&r))
		continue;
	check_forget(&r);
	totals.discards += sim_device_count(r.sd, VDO_DEVICE_DISCARD);
	for (unsigned op = 0; op < ARRAY_SIZE(totals.failed); op++)
		totals.failed[op] +=
			sim_device_count_failed(r.sd, (enum vdo_device_op)op);
	model_destroy(r.model);
	sim_device_destroy(r.sd);
	free(r.seen);
	free(r.writes);
	free(r.partial);
	totals.runs++;
}
