/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a volume that create.c has made, and resuming one that save.c has
 * suspended.
 *
 * Until the super block says DIRTY opening has changed nothing that matters:
 * what the depot writes when it is loaded (the merged summary, scrubbed counts)
 * is good in any state, and an index that was made where there was none is as
 * good as none. So it can fail, or be cancelled, up to there, and leaves the
 * storage as it was; after that it succeeds.
 *
 * A volume that was not closed says DIRTY already. What recovery writes is good
 * as long as the journal is, which the super block then makes old; after that
 * the volume needs another recovery if opening fails, with nothing to replay.
 *
 * Resuming always brings the volume back: if the super block cannot be written,
 * in read-only mode.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

#include <vdo/error.h>
#include <vdo/job.h>

#include "base/error.h"
#include "exec/clock.h"

/* ------------------------------------------------------------------ opening */

/* Row, function, where it runs; what it does. */
#define OPEN_ROWS(X)							       \
	/* opened read-only: what the journal has beyond the map */	       \
	X(OPEN_OVERLAY, open_overlay, ON_JOURNAL)			       \
	/* what a volume that was not closed has in its journal */	       \
	X(OPEN_RECOVER, open_recover, ON_JOURNAL)			       \
	X(OPEN_RECOVERED, open_recovered, ON_JOURNAL)			       \
	/* the journal begins anew: the super block says so first (I43) */     \
	X(OPEN_RESTART, open_restart, ON_JOURNAL)			       \
	/* any other: summary, tails of slab journals */		       \
	X(OPEN_DEPOT, open_depot, ON_JOURNAL)				       \
	X(OPEN_DEPOT_LOADED, open_depot_loaded, ON_JOURNAL)		       \
	/* the reference counts without which nothing can be served */	       \
	X(OPEN_COUNTS, open_counts, ON_JOURNAL)				       \
	X(OPEN_COUNTED, open_counted, ON_JOURNAL)			       \
	/* slab journals without room for another crash are written off */     \
	X(OPEN_DRAINED, open_drained, ON_JOURNAL)			       \
	X(OPEN_RESUMED, open_resumed, ON_JOURNAL)			       \
	/* the index: loaded, or made; or its rebuild has begun */             \
	X(OPEN_INDEX, open_index, ON_INDEX)				       \
	/* the super block says that the volume is in use (I13) */	       \
	X(OPEN_DIRTY, open_dirty, ON_JOURNAL)				       \
	/* calls are carried out */					       \
	X(OPEN_START, open_start, ON_JOURNAL)				       \
	X(OPEN_END, open_end, ON_JOURNAL)				       \
	/* errors: all comes to rest, nothing is saved */		       \
	X(OPEN_UNDO, open_undo, ON_JOURNAL)

enum { OPEN_ROWS(FLOW_ROW) };
OPEN_ROWS(FLOW_FUNCTION)
FLOW_TABLE(open_table, OPEN_UNDO, OPEN_ROWS);

/* The phases whose lengths are known. */
static const char overlay_phase[] = "reading the recovery journal";
static const char recovery_phase[] = "recovering the volume";
static const char depot_phase[] = "loading the slab depot";

static bool is_cancelled(const struct volume *v)
{
	return atomic_load(&v->stop);
}

/* Explain what the depot could not do; returns the error that it is. */
static int depot_failed(struct volume *v, int result)
{
	if (result == -VDO_EREADONLY) /* the consequence: of what? */
		result = readonly_reason(&v->readonly);
	VDO_ASSERT(result <= 0 && result != -VDO_EREADONLY);
	if (result == -VDO_ECORRUPT)
		return error_set(v->error, -VDO_ECORRUPT,
				 "a slab's metadata is damaged (the log says "
				 "which); open it with read-only=on to save "
				 "its data");
	if (error_is_no_space(result))
		return error_set(v->error, result,
				 "no storage for the journal and counts of a "
				 "slab: %s; or open it with read-only=on",
				 error_space_advice(result));
	return result;
}

/* The same for a recovery. */
static int recovery_failed(struct volume *v, int result)
{
	const struct recovery_result *r = recovery_result(v->recovery);

	if (error_is_no_space(result))
		return error_set(v->error, result,
				 "no storage for what the recovery writes: %s; "
				 "it is recovered when it is opened then, and "
				 "nothing that was flushed is lost",
				 error_space_advice(result));
	if (r->wrong == NULL)
		return depot_failed(v, result);
	if (result == -VDO_EVERSION)
		return error_set(v->error, result,
				 "the volume was not closed, and its journal "
				 "cannot be replayed: %s; close it with the "
				 "software that wrote it, or use vdoctl "
				 "rebuild --force",
				 r->wrong);
	return error_set(v->error, result,
			 "the volume was not closed, and cannot be recovered: "
			 "%s, %s %llu; nothing is lost by trying. vdoctl check "
			 "says more, read-only=on saves its data, and vdoctl "
			 "rebuild --force makes it usable",
			 r->wrong, r->wrong_page != 0 ? "page" : "journal block",
			 (unsigned long long)(r->wrong_page != 0
						      ? r->wrong_page
						      : r->wrong_block));
}

static int open_overlay(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->service == SERVICE_NOT_YET);
	if (!v->opened_read_only)
		return OPEN_RECOVER;
	readonly_open(&v->readonly,
		      v->sb.state == VOLUME_READ_ONLY
			      ? "it went read-only in an earlier session, whose "
				"log says why; it needs a rebuild"
			      : "it was opened read-only");
	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	if (!overlay_wanted(v))
		return OPEN_START;
	life_does(l, overlay_phase);
	overlay_read(v, life_await(l, OPEN_START));
	return FLOW_WAIT;
}

static int open_recover(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->service == SERVICE_NOT_YET && !v->opened_read_only);
	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	if (v->recovery == NULL)
		return OPEN_DEPOT;
	life_does(l, recovery_phase);
	v->recovery_began = executor_now(v->executor);
	flow_await_any(f, &l->step, OPEN_RECOVERED);
	recovery_run(v->recovery, &l->step);
	return FLOW_WAIT;
}

static int open_recovered(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (l->step.result != 0)
		return flow_fail(f, recovery_failed(v, l->step.result));
	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	v->recovered = *recovery_result(v->recovery);
	flow_await(f, &v->mark.done, OPEN_RESTART);
	super_mark_recovered(v);
	return FLOW_WAIT;
}

static int open_restart(struct flow *f)
{
	struct volume *v = life_of(f)->volume;
	const struct recovery_result *r = &v->recovered;

	v->sb = *super_writer_get(&v->super);
	journal_restart(v->journal, r->next, (uint8_t)v->sb.complete_recoveries,
			r->logical_blocks_used, r->block_map_data_blocks);
	map_restart(v->map, r->next);
	return OPEN_COUNTS;
}

static enum depot_origin origin_of(const struct volume *v)
{
	switch (v->sb.state) {
	case VOLUME_NEW:
		return DEPOT_NEW;
	case VOLUME_RECOVERING:
		return DEPOT_UNSCRUBBED;
	default:
		return DEPOT_SAVED;
	}
}

static int open_depot(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(!v->opened_read_only && v->recovery == NULL);
	life_does(l, depot_phase);
	flow_await_any(f, &l->step, OPEN_DEPOT_LOADED);
	depot_load(v->depot, origin_of(v), &l->step);
	return FLOW_WAIT;
}

static int open_depot_loaded(struct flow *f)
{
	struct life *l = life_of(f);
	int result = depot_failed(l->volume, l->step.result);

	return flow_next(f, result, OPEN_COUNTS);
}

static int open_counts(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	life_does(l, depot_phase);
	flow_await_any(f, &l->step, OPEN_COUNTED);
	depot_start(v->depot, &l->step);
	return FLOW_WAIT;
}

static void log_recovery(struct volume *v)
{
	const struct recovery_result *r = &v->recovered;
	struct depot_stats depot;

	depot_get_stats(v->depot, &depot);
	v->recovery_ms =
		(executor_now(v->executor) - v->recovery_began) / NS_PER_MS;
	log_info(&v->log,
		 "volume: recovered, entries=%llu pages=%llu slabs=%llu "
		 "seconds=%llu.%03llu",
		 (unsigned long long)r->entries, (unsigned long long)r->pages,
		 (unsigned long long)(depot.slabs_scrubbed +
				      depot.slabs_unscrubbed),
		 (unsigned long long)(v->recovery_ms / 1000),
		 (unsigned long long)(v->recovery_ms % 1000));
}

static int open_counted(struct flow *f)
{
	struct life *l = life_of(f);
	int result = depot_failed(l->volume, l->step.result);

	if (result == 0 && l->volume->recovery != NULL)
		log_recovery(l->volume);
	if (result != 0 || !depot_is_tight(l->volume->depot))
		return flow_next(f, result, OPEN_INDEX);
	flow_await_any(f, &l->step, OPEN_DRAINED);
	depot_drain(l->volume->depot, true, &l->step);
	return FLOW_WAIT;
}

static int open_drained(struct flow *f)
{
	struct life *l = life_of(f);
	int result = depot_failed(l->volume, l->step.result);

	if (result != 0)
		return flow_fail(f, result);
	flow_await_any(f, &l->step, OPEN_RESUMED);
	depot_resume(l->volume->depot, &l->step);
	return FLOW_WAIT;
}

static int open_resumed(struct flow *f)
{
	struct life *l = life_of(f);

	return flow_next(f, depot_failed(l->volume, l->step.result),
			 OPEN_INDEX);
}

static int open_index(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	VDO_ASSERT(!readonly_entered(&v->readonly) || !v->opened_read_only);
	if (!v->has_index)
		return OPEN_DIRTY;
	life_does(l, "opening the index");
	advice_load(v->advice, v->settings.open.index_wait,
		    life_await(l, OPEN_DIRTY));
	return FLOW_WAIT;
}

static int open_dirty(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (is_cancelled(v))
		return flow_fail(f, -ECANCELED);
	if (v->recovery != NULL) /* it says so since before the crash */
		return OPEN_START;
	VDO_ASSERT(super_writer_get(&v->super)->state != VOLUME_DIRTY);
	life_does(l, "marking the volume as in use");
	flow_await(f, &v->mark.done, OPEN_START);
	super_mark_dirty(v);
	return FLOW_WAIT;
}

static void start_service(struct volume *v)
{
	VDO_ASSERT(v->service != SERVICE_ON);
	VDO_ASSERT(v->opened_read_only || readonly_entered(&v->readonly) ||
		   super_writer_get(&v->super)->state == VOLUME_DIRTY);
	v->service = SERVICE_ON;
	v->has_served = true;
	space_look(v);
	if (!v->opened_read_only)
		depot_reclaim(v->depot);
	front_start(v->front, &path_engine, v->path);
}

static int open_start(struct flow *f)
{
	struct life *l = life_of(f);

	life_does(l, NULL);
	start_service(l->volume);
	return OPEN_END;
}

static int open_end(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT((f->result == 0) == (l->volume->service == SERVICE_ON));
	return life_end(l);
}

static int open_undo(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_NOT_YET);
	life_log(l);
	flow_await_any(f, &l->step, OPEN_END);
	volume_start_suspend(l->volume, false, &l->step);
	return FLOW_WAIT;
}

void life_init_open(struct volume *v)
{
	life_init(&v->opening, v, &open_table);
}

int volume_open(struct volume *v, struct vdo_error *error)
{
	int result;

	VDO_ASSERT(v->service == SERVICE_NOT_YET && v->error == NULL);
	v->error = error;
	result = life_run(&v->opening);
	v->error = NULL;
	if (result == 0)
		log_info(&v->log,
			 "volume: opened, logical=%llu physical=%llu "
			 "zones=%u/%u/%u",
			 (unsigned long long)v->sb.logical_blocks,
			 (unsigned long long)v->sb.physical_blocks,
			 v->topology.logical_zones, v->topology.physical_zones,
			 v->topology.hash_zones);
	return result;
}

void volume_open_stop(struct volume *v)
{
	atomic_store(&v->stop, true);
	if (v->has_index)
		advice_stop(v->advice);
}

void volume_open_progress(const struct volume *v, struct vdo_job_progress *p)
{
	const char *does = atomic_load_explicit(&v->opening.does,
						memory_order_relaxed);

	*p = (struct vdo_job_progress){.phase = does != NULL ? does : ""};
	if (does == overlay_phase)
		overlay_progress(v, &p->done, &p->total);
	else if (does == depot_phase)
		depot_load_progress(v->depot, &p->done, &p->total);
	else if (does == recovery_phase)
		p->phase = recovery_progress(v->recovery, &p->done, &p->total);
}

/* ----------------------------------------------------------------- resuming */

/* Row, function, where it runs; what it does. */
#define RESUME_ROWS(X)							       \
	/* the super block says that the volume is in use (I13) */	       \
	X(RESUME_DIRTY, resume_dirty, ON_JOURNAL)			       \
	X(RESUME_MARKED, resume_marked, ON_JOURNAL)			       \
	/* blocks are opened, entries made */				       \
	X(RESUME_JOURNAL, resume_journal, ON_JOURNAL)			       \
	/* scrubbing goes on */						       \
	X(RESUME_DEPOT, resume_depot, ON_JOURNAL)			       \
	/* fragments are parked */					       \
	X(RESUME_PACKER, resume_packer, ON_PACKER)			       \
	/* questions are answered; loading that was cut short begins anew */   \
	X(RESUME_INDEX, resume_index, ON_INDEX)				       \
	/* calls are carried out, those that wait first */		       \
	X(RESUME_START, resume_start, ON_JOURNAL)

enum { RESUME_ROWS(FLOW_ROW) };
RESUME_ROWS(FLOW_FUNCTION)
FLOW_TABLE(resume_table, RESUME_JOURNAL, RESUME_ROWS);

static int resume_dirty(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	VDO_ASSERT(v->service == SERVICE_STOPPED);
	if (readonly_entered(&v->readonly) ||
	    (super_writer_get(&v->super)->state == VOLUME_DIRTY &&
	     !super_writer_unsure(&v->super)))
		return RESUME_JOURNAL;
	life_does(l, "marking the volume as in use");
	flow_await_any(f, &v->mark.done, RESUME_MARKED);
	super_mark_dirty(v);
	return FLOW_WAIT;
}

static int resume_marked(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;
	int result = v->mark.done.result;

	VDO_ASSERT(v->service == SERVICE_STOPPED && result <= 0);
	if (result == 0)
		return RESUME_JOURNAL;
	flow_fail(f, result);
	life_log(l);
	readonly_enter(&v->readonly, result,
		       "the super block cannot be written");
	return RESUME_JOURNAL;
}

static int resume_journal(struct flow *f)
{
	VDO_ASSERT(life_of(f)->volume->service == SERVICE_STOPPED);
	journal_resume(life_of(f)->volume->journal);
	return RESUME_DEPOT;
}

/* Without memory for it slabs stay as they are until the volume is opened anew.
 */
static int resume_depot(struct flow *f)
{
	struct life *l = life_of(f);

	if (l->volume->opened_read_only)
		return RESUME_PACKER;
	flow_await_any(f, &l->step, RESUME_PACKER);
	depot_resume(l->volume->depot, &l->step);
	return FLOW_WAIT;
}

static int resume_packer(struct flow *f)
{
	packer_resume(life_of(f)->volume->packer);
	return RESUME_INDEX;
}

static int resume_index(struct flow *f)
{
	struct life *l = life_of(f);
	struct volume *v = l->volume;

	if (!v->has_index || volume_grows(v))
		return RESUME_START;
	flow_await_any(f, &l->step, RESUME_START);
	advice_resume(v->advice, &l->step);
	return FLOW_WAIT;
}

static int resume_start(struct flow *f)
{
	struct life *l = life_of(f);

	VDO_ASSERT(l->volume->service == SERVICE_STOPPED);
	start_service(l->volume);
	return life_end(l);
}

void life_init_resume(struct volume *v)
{
	life_init(&v->resuming, v, &resume_table);
}

void volume_start_resume(struct volume *v, struct completion *done)
{
	VDO_ASSERT(v->suspending.done == NULL);
	life_start(&v->resuming, done);
}

int volume_resume(struct volume *v)
{
	VDO_ASSERT(v->suspending.done == NULL);
	return life_run(&v->resuming);
}
