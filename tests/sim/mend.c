/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library does with volumes that are not open: a check, which must
 * find nothing in what any crash leaves; a rebuild of what an error has made
 * read-only, which must lose nothing, however often power fails during it; and
 * free blocks of a volume that was closed given back.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <vdo/check.h>
#include <vdo/rebuild.h>

static struct vdo_device *plug(struct run *r)
{
	return sim_device_crashed(r->sd) ? sim_device_reopen(r->sd, NULL)
					 : sim_device_open(r->sd, NULL);
}

static void print_finding(void *arg, const struct vdo_check_finding *f)
{
	(void)arg;
	if (f->severity == VDO_CHECK_COSMETIC)
		return;
	fprintf(stderr, "sim: check: %s: block %lld, found %s, expected %s\n",
		vdo_check_name(f->code), (long long)f->block, f->found,
		f->expected);
}

void mend_check(struct run *r)
{
	struct vdo_device *d = plug(r);
	struct vdo_check_report report;
	struct vdo_error error = {0};
	struct vdo_job *job;
	int result = vdo_check_device(d, NULL,
				      r->fua_lies ? 0 : VDO_CHECK_DATA, NULL,
				      print_finding, NULL, &job, &error);

	if (result == 0) {
		result = vdo_job_wait(job, -1, &error);
		if (result == 0)
			result = vdo_check_report_get(job, &report,
						      sizeof(report));
		vdo_job_free(job);
	}
	vdo_device_close(d);
	if (result != 0)
		die(r, "check: %s: %s", vdo_error_name(result), error.message);
	say(r, "  checked: %" PRIu64 " findings", report.findings);
	if (report.findings != report.by_severity[VDO_CHECK_COSMETIC])
		die(r, "the check finds what is not there");
}

static int rebuild_once(struct run *r, unsigned flags,
			struct vdo_rebuilt *rebuilt)
{
	struct vdo_device *d = plug(r);
	struct vdo_error error = {0};
	struct vdo_job *job;
	int result;

	if (percent(r, 40))
		sim_device_crash_at(r->sd, any_size(r, 9));
	result = vdo_rebuild_device(d, NULL, flags, &job, &error);
	if (result == 0) {
		result = vdo_job_wait(job, -1, &error);
		if (result == 0)
			result = vdo_rebuilt_get(job, rebuilt,
						 sizeof(*rebuilt));
		vdo_job_free(job);
	}
	vdo_device_close(d);
	if (result != 0 && !sim_device_crashed(r->sd))
		die(r, "rebuild: %s: %s", vdo_error_name(result),
		    error.message);
	if (result == 0 && !sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	totals.crashes += sim_device_crashed(r->sd);
	totals.rebuilds_cut += sim_device_crashed(r->sd);
	return result;
}

/* Free blocks are given back, as far as power lasts. */
void mend_trim(struct run *r)
{
	struct vdo_error error = {0};
	struct vdo_device *d;
	struct vdo_job *job;
	int result;

	if (r->no_discard)
		return;
	d = plug(r);
	sim_device_clear_faults(r->sd);
	if (percent(r, 30))
		sim_device_crash_at(r->sd, any_size(r, 9));
	result = vdo_trim_device(d, NULL, &job, &error);
	if (result == 0) {
		result = vdo_job_wait(job, -1, &error);
		vdo_job_free(job);
	}
	vdo_device_close(d);
	if (result != 0 && !sim_device_crashed(r->sd))
		die(r, "trim: %s: %s", vdo_error_name(result), error.message);
	if (result == 0 && !sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	totals.crashes += sim_device_crashed(r->sd);
	totals.trims++;
	say(r, "  trimmed%s", result == 0 ? "" : ", until power failed");
	check_survivors(r, "after a trim");
}

static uint32_t state_of(struct run *r)
{
	struct image im;
	uint32_t state;

	image_open_sim(&im, r->sd, r->block_count);
	state = im.sb.state;
	image_close(&im);
	return state;
}

static void rebuild(struct run *r, unsigned flags)
{
	uint64_t writes = sim_device_count(r->sd, VDO_DEVICE_WRITE);
	struct vdo_rebuilt rebuilt;

	while (rebuild_once(r, flags, &rebuilt) != 0) {
		say(r, "  power fails while it is rebuilt");
		/* The last write may be durable, though nobody was told. */
		if (flags == 0 && state_of(r) == VOLUME_CLEAN) {
			totals.rebuilds++;
			return;
		}
		/* What was found may have been lost before it was flushed. */
		if (flags == 0 &&
		    sim_device_count(r->sd, VDO_DEVICE_WRITE) == writes)
			check_survivors(r, "after a crash before a rebuild");
		if (flags == 0 && percent(r, 40))
			cycle_look(r);
	}
	say(r, "  rebuilt: %" PRIu64 " entries replayed", rebuilt.replayed);
	if (rebuilt.lost_blocks != 0 || rebuilt.stray_mappings != 0 ||
	    rebuilt.invalid_entries != 0)
		die(r, "a rebuild has lost something");
	totals.rebuilds++;
}

void mend_rebuild(struct run *r)
{
	rebuild(r, 0);
	check_rebuilt(r);
}

void mend_by_force(struct run *r)
{
	uint32_t state = state_of(r);

	if (state != VOLUME_DIRTY && state != VOLUME_RECOVERING)
		return;
	sim_device_clear_faults(r->sd);
	saved = sim_device_save(r->sd, saved);
	rebuild(r, VDO_REBUILD_FORCE);
	totals.rebuilds_open++;
	check_forced(r);
	sim_device_restore(r->sd, saved);
	sim_device_crash(r->sd);
}
