/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is right: the storage as the image reader of tests/lib sees it, which
 * knows nothing of the engine, and each block as the model allows.
 *
 * FUA that lies promises nothing: only what a flush of the storage covers
 * counts. A flush of the volume is such a promise from the next flush on that
 * the engine makes. What was written since may be lost, and so may what it
 * took the place of, as the engine used that block again; but all metadata must
 * agree even then.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <string.h>

#include "volume/volume_priv.h"

/* ------------------------------------------------------------------ flushes */

static void keep_promises(struct run *r)
{
	uint64_t settled = sim_device_settled(r->sd);
	unsigned n = 0;

	while (n < r->promise_count && r->promises[n].written <= settled)
		model_flushed(r->model, r->promises[n++].since);
	r->promise_count -= n;
	memmove(r->promises, r->promises + n,
		r->promise_count * sizeof(r->promises[0]));
}

void check_note_flush(struct run *r, uint64_t since)
{
	if (!r->fua_lies) {
		model_flushed(r->model, since);
		return;
	}
	keep_promises(r);
	if (r->promise_count < PROMISES_MAX)
		r->promises[r->promise_count++] = (struct promise){
			since, sim_device_written(r->sd)};
}

/* ------------------------------------------------------------------- blocks */

typedef bool (*allowed_fn)(struct model *m, uint64_t lbn, const void *block);

static void check_block(struct run *r, uint64_t lbn, const char *when,
			allowed_fn allowed)
{
	uint8_t block[BLOCK_SIZE];
	bool readable = image_read(&r->found, lbn, block);

	if (r->fua_lies && r->v == NULL && !model_settled(r->model, lbn)) {
		if (!readable)
			memset(block, 0, sizeof(block));
		model_adopt(r->model, lbn, block);
		r->rotten = r->rotten || !readable;
		return;
	}
	if (!readable)
		die(r, "lbn %" PRIu64 " cannot be read %s", lbn, when);
	if (allowed(r->model, lbn, block))
		return;
	model_print(r->model, lbn, block);
	die(r, "lbn %" PRIu64 " is wrong %s", lbn, when);
}

static void check_image(struct run *r, const char *when, allowed_fn allowed)
{
	struct image *im = &r->found;

	check_forget(r);
	image_open_sim(im, r->sd, r->block_count);
	r->has_found = true;
	im->lost_data = r->fua_lies && r->v == NULL;
	image_recover(im);
	image_check(im);
	if (im->problems != 0)
		die(r, "%u problems %s, state %u", im->problems, when,
		    im->sb.state);
	say(r, "  %s: state %u, replayed %" PRIu64 " entries of %" PRIu64
	       "..%" PRIu64,
	    when, im->sb.state, im->entries, im->first, im->last);
	keep_promises(r);
	for (uint64_t i = 0; i < r->lbns; i++)
		check_block(r, i, when, allowed);
	r->promise_count = 0;
}

void check_survivors(struct run *r, const char *when)
{
	check_image(r, when, model_may_survive);
}

void check_at_rest(struct run *r)
{
	model_flushed(r->model, model_now(r->model));
	check_image(r, "suspended", model_may_hold);
	check_forget(r);
}

void check_forget(struct run *r)
{
	if (r->has_found)
		image_close(&r->found);
	r->has_found = false;
}

/* --------------------------------------------------------------- the engine */

void check_walk(struct run *r)
{
	const char *what = volume_insane(r->v->volume);

	if (what != NULL)
		die(r, "%s: its parts do not agree", what);
}

struct read_wait {
	bool done;
	int result;
};

static void read_done(void *arg, int result)
{
	struct read_wait *w = arg;

	w->done = true;
	w->result = result;
}

void check_reads(struct run *r)
{
	uint8_t block[BLOCK_SIZE];

	for (uint64_t i = 0; i < r->lbns; i++) {
		struct read_wait w = {0};
		uint64_t since = model_now(r->model);

		if (vdo_aio_pread(r->v, block, BLOCK_SIZE, i * BLOCK_SIZE,
				  read_done, &w, 0) != 0)
			die(r, "submission");
		while (!w.done)
			if (sim_executor_run(r->v->executor, 1) == 0)
				die(r, "a read hangs");
		if (w.result != 0 && r->rotten)
			continue;
		if (w.result != 0)
			die(r, "lbn %" PRIu64 " is not read: %s", i,
			    vdo_error_name(w.result));
		if (model_may_read(r->model, i, since, block))
			continue;
		model_print(r->model, i, block);
		die(r, "lbn %" PRIu64 " is read wrongly", i);
	}
}
