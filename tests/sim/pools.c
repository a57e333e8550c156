/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulation of pools: sub-volumes are made, copied, resized, renamed and removed
 * while others write, and power fails anywhere. A seed decides everything.
 *
 *	./pools              some runs of known seeds, then some of new ones
 *	./pools N            N runs from a new seed on
 *	SIM_SECONDS=n ./pools N  no more once so much time has passed
 *	SEED=n ./pools [N]   from that seed on; one if N is not given
 *	VERBOSE=1            what happens
 *
 * What each sub-volume may hold is a model of its own (tests/lib/model.h). A snapshot
 * may hold, of each block, what its source held when the call began, and what was
 * submitted meanwhile. After a crash a change was made or not, and all that was
 * flushed is there; a volume that was closed is audited by the image reader.
 *
 * Runs on: one thread; the volume on the executor of tests/lib/sim_exec.h.
 */
#include "build.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vdo/sub.h>

#include "api/handle.h"
#include "api/host_config.h"
#include "tests/lib/image.h"
#include "tests/lib/model.h"
#include "tests/lib/pattern.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"
#include "tests/sim/sim.h"

#define RUNS_KNOWN 20
#define RUNS_NEW   40

#define SUBS_MAX     6u
#define BLOCKS_MAX   700u /* of a sub-volume; pieces are of 256 */
#define OP_BLOCKS    24u
#define CONTENTS_MAX 64u
#define CALLED_MAX   20u /* operations that begin while a call changes the pool */

struct part {
	char name[8]; /* empty: there is none */
	uint64_t blocks;
	bool read_only;
	struct model *model;
	struct vdo_volume *handle; /* or NULL */
};

enum change_kind { NOTHING, CREATE, SNAPSHOT, CLONE, RESIZE, RENAME, REMOVE };

/* The call that is under way, or during which power failed. */
struct change {
	enum change_kind kind;
	struct part *sub; /* of the model: what it is about, or the source */
	struct part made; /* what is made, with all that it may hold */
	char name[8];	  /* the new one */
	uint64_t blocks;  /* the new size */
	struct model_version **versions; /* of made */
	size_t version_count;
};

struct pool_run {
	uint64_t random;
	bool verbose;
	struct sim_device *sd;
	struct vdo_device *device;
	struct vdo_volume *v;
	uint64_t block_count;
	struct part subs[SUBS_MAX];
	struct change change;
	unsigned under_way;
	unsigned called; /* operations that may still begin during a call */
	char doomed
		[8]; /* its removal was interrupted, and is for the next one */
};

enum op_kind { OP_READ, OP_WRITE, OP_ZERO, OP_DISCARD, OP_FLUSH };

struct op {
	struct pool_run *run;
	struct part *sub;
	enum op_kind kind;
	uint64_t lbn, count, since[SUBS_MAX];
	bool fua;
	struct model_version *versions[OP_BLOCKS];
	uint8_t *buf;
};

static struct {
	uint64_t runs, crashes, in_change, changes[REMOVE + 1], made, gone,
		closed;
} did;

static char again[100];

static uint64_t below(struct pool_run *r, uint64_t limit)
{
	return pattern_random(&r->random, limit);
}

static bool chance(struct pool_run *r, unsigned n)
{
	return below(r, 100) < n;
}

static bool crashed(const struct pool_run *r)
{
	return sim_device_crashed(r->sd);
}

/* A sub-volume that is there, or NULL. */
static struct part *any_sub(struct pool_run *r)
{
	struct part *s = &r->subs[below(r, SUBS_MAX)];

	return s->name[0] != '\0' ? s : NULL;
}

static struct part *find_sub(struct pool_run *r, const char *name)
{
	for (unsigned i = 0; i < SUBS_MAX; i++)
		if (name[0] != '\0' && strcmp(r->subs[i].name, name) == 0)
			return &r->subs[i];
	return NULL;
}

/* A place for one more, or NULL. */
static struct part *free_sub(struct pool_run *r)
{
	for (unsigned i = 0; i < SUBS_MAX; i++)
		if (r->subs[i].name[0] == '\0')
			return &r->subs[i];
	return NULL;
}

static void forget(struct part *s)
{
	model_destroy(s->model);
	memset(s, 0, sizeof(*s));
}

/* --------------------------------------------------------------- operations */

/* What is on its way to a sub-volume may be in the copy that is being made of it. */
static void note_for_copy(struct pool_run *r, const struct part *s,
			  uint64_t lbn, const void *block)
{
	struct change *c = &r->change;

	if (c->made.model == NULL || c->sub != s || lbn >= c->made.blocks)
		return;
	c->versions =
		realloc(c->versions, (c->version_count + 1) *
					     sizeof(struct model_version *));
	if (c->versions == NULL)
		abort();
	c->versions[c->version_count++] =
		model_submit_at(c->made.model, lbn, block, 0);
}

static void end_read(struct op *op)
{
	struct part *s = op->sub;

	for (uint64_t i = 0; i < op->count; i++) {
		const uint8_t *block = op->buf + i * BLOCK_SIZE;
		uint64_t number = model_number(s->model, block);

		if (model_may_read(s->model, op->lbn + i,
				   op->since[s - op->run->subs], number))
			continue;
		model_print(s->model, op->lbn + i, block);
		die(op->run, "%s: block %" PRIu64 " was read wrongly", s->name,
		    op->lbn + i);
	}
}

static void end_change(struct op *op, int result)
{
	for (uint64_t i = 0; i < op->count; i++) {
		if (result == 0)
			model_ack(op->sub->model, op->versions[i], op->fua);
		else
			model_maybe(op->sub->model, op->versions[i]);
	}
}

static void start_op(struct pool_run *r);

static void op_done(void *arg, int result)
{
	struct op *op = arg;
	struct pool_run *r = op->run;

	if (result != 0 && !crashed(r))
		die(r, "%s: operation %d: %s", op->sub->name, (int)op->kind,
		    vdo_error_name(result));
	if (op->kind == OP_READ && result == 0)
		end_read(op);
	/* A flush is one of the whole volume. */
	for (unsigned i = 0;
	     i < SUBS_MAX && op->kind == OP_FLUSH && result == 0; i++)
		if (r->subs[i].name[0] != '\0')
			model_flushed(r->subs[i].model, op->since[i]);
	if (op->kind != OP_READ && op->kind != OP_FLUSH)
		end_change(op, result);
	free(op->buf);
	free(op);
	r->under_way--;
	if (r->called > 0 && !crashed(r)) {
		r->called--;
		start_op(r);
	}
}

static void fill(struct pool_run *r, struct op *op)
{
	value_t v = chance(r, 20)   ? V_UNIQUE(below(r, 20))
		    : chance(r, 20) ? V_SQUEEZE(below(r, 500), 300)
				    : V_UNIQUE(100 + below(r, 4000));
	bool same = chance(r, 40);

	op->buf = malloc(op->count * BLOCK_SIZE);
	for (uint64_t i = 0; i < op->count; i++)
		pattern_fill(same ? v : v + i, op->buf + i * BLOCK_SIZE);
}

static void begin_change(struct op *op)
{
	struct pool_run *r = op->run;

	for (uint64_t i = 0; i < op->count; i++) {
		const void *block =
			op->kind == OP_WRITE ? op->buf + i * BLOCK_SIZE : NULL;

		op->versions[i] =
			model_submit(op->sub->model, op->lbn + i, block);
		note_for_copy(r, op->sub, op->lbn + i, block);
	}
}

static int submit(struct op *op, uint64_t lbn)
{
	struct vdo_volume *v = op->sub->handle;
	uint64_t at = lbn * BLOCK_SIZE, length = op->count * BLOCK_SIZE;
	unsigned flags = op->fua ? VDO_IO_FUA : 0;

	switch (op->kind) {
	case OP_READ:
		return vdo_aio_pread(v, op->buf, length, at, op_done, op, 0);
	case OP_WRITE:
		return vdo_aio_pwrite(v, op->buf, length, at, op_done, op,
				      flags);
	case OP_ZERO:
		return vdo_aio_write_zeroes(v, length, at, op_done, op, flags);
	case OP_DISCARD:
		return vdo_aio_discard(v, length, at, op_done, op, flags);
	default:
		return vdo_aio_flush(v, op_done, op, 0);
	}
}

static void start_op(struct pool_run *r)
{
	static const uint8_t kinds[] = {OP_READ,    OP_READ,  OP_WRITE,
					OP_WRITE,   OP_WRITE, OP_ZERO,
					OP_DISCARD, OP_FLUSH};
	struct part *s = any_sub(r);
	struct op *op;
	int result;

	if (s == NULL || s->handle == NULL)
		return;
	op = calloc(1, sizeof(*op));
	op->run = r;
	op->sub = s;
	op->kind = kinds[below(r, ARRAY_SIZE(kinds))];
	if (s->read_only && op->kind != OP_FLUSH)
		op->kind = OP_READ;
	op->lbn = below(r, s->blocks);
	op->count = 1 + below(r, MIN(OP_BLOCKS, s->blocks - op->lbn));
	op->fua = op->kind != OP_READ && chance(r, 15);
	for (unsigned i = 0; i < SUBS_MAX; i++)
		if (r->subs[i].name[0] != '\0')
			op->since[i] = model_now(r->subs[i].model);
	if (op->kind == OP_READ)
		op->buf = malloc(op->count * BLOCK_SIZE);
	if (op->kind == OP_WRITE)
		fill(r, op);
	if (op->kind != OP_READ && op->kind != OP_FLUSH)
		begin_change(op);
	r->under_way++;
	result = submit(op, op->lbn);
	if (result != 0)
		die(r, "submission: %s", vdo_error_name(result));
}

static void wait_all(struct pool_run *r)
{
	while (r->under_way > 0)
		if (sim_executor_run(r->v->executor, 1000) == 0 &&
		    r->under_way > 0)
			die(r, "%u operations hang", r->under_way);
}

/* ------------------------------------------------------------------ changes */

static void open_sub(struct pool_run *r, struct part *s)
{
	struct vdo_error error;
	int result = vdo_sub_open(r->v, s->name, 0, &s->handle, &error);

	if (result != 0 && !crashed(r))
		die(r, "%s cannot be opened: %s", s->name, error.message);
	if (result != 0)
		s->handle = NULL;
	else if (vdo_volume_size(s->handle) != s->blocks * BLOCK_SIZE)
		die(r, "%s has %" PRIu64 " bytes", s->name,
		    vdo_volume_size(s->handle));
}

static void close_sub(struct pool_run *r, struct part *s)
{
	if (s->handle != NULL && vdo_close(s->handle) != 0)
		die(r, "%s cannot be closed", s->name);
	s->handle = NULL;
}

/* All that it may hold, from now on. */
static void begin_copy(struct pool_run *r)
{
	struct change *c = &r->change;
	const struct part *s = c->sub;
	const void *found[CONTENTS_MAX];

	c->made.blocks = s->blocks;
	c->made.read_only = c->kind == SNAPSHOT;
	c->made.model = model_create(BLOCKS_MAX);
	for (uint64_t i = 0; i < s->blocks; i++) {
		if (!model_contents(s->model, i, model_now(s->model), found,
				    CONTENTS_MAX))
			die(r, "too much is under way");
		for (unsigned k = 0; found[k] != NULL; k++)
			note_for_copy(r, s, i, found[k]);
	}
}

static void end_copy(struct change *c)
{
	for (size_t i = 0; i < c->version_count; i++)
		model_ack(c->made.model, c->versions[i], true);
	free(c->versions);
	c->versions = NULL;
	c->version_count = 0;
}

static bool choose_change(struct pool_run *r)
{
	struct change *c = &r->change;

	memset(c, 0, sizeof(*c));
	c->kind = (enum change_kind)(CREATE + below(r, REMOVE));
	c->sub = any_sub(r);
	snprintf(c->name, sizeof(c->name), "%c", (char)('a' + below(r, 9)));
	c->blocks = 1 + below(r, BLOCKS_MAX);
	if (c->sub == NULL)
		c->kind = CREATE;
	if (c->kind <= CLONE && free_sub(r) == NULL)
		c->kind = REMOVE;
	if (c->sub == NULL && c->kind == REMOVE)
		return false;
	if ((c->kind <= CLONE || c->kind == RENAME) &&
	    find_sub(r, c->name) != NULL)
		return false;
	if (c->kind == CREATE) {
		c->sub = NULL;
		c->made.blocks = c->blocks;
		c->made.model = model_create(BLOCKS_MAX);
	} else if (c->kind <= CLONE) {
		begin_copy(r);
	}
	if (c->made.model != NULL)
		snprintf(c->made.name, sizeof(c->made.name), "%s", c->name);
	return true;
}

static int call(struct pool_run *r)
{
	const struct change *c = &r->change;

	switch (c->kind) {
	case CREATE:
		return vdo_sub_create(r->v, c->name, c->blocks * BLOCK_SIZE,
				      NULL);
	case SNAPSHOT:
		return vdo_sub_snapshot(r->v, c->sub->name, c->name, NULL);
	case CLONE:
		return vdo_sub_clone(r->v, c->sub->name, c->name, NULL);
	case RESIZE:
		return vdo_sub_resize(r->v, c->sub->name,
				      c->blocks * BLOCK_SIZE, NULL);
	case RENAME:
		return vdo_sub_rename(r->v, c->sub->name, c->name, NULL);
	default:
		return vdo_sub_remove(r->v, c->sub->name, NULL);
	}
}

/* It was made: the model has it, too. */
static void take_change(struct pool_run *r)
{
	static const uint8_t zeroes[BLOCK_SIZE];
	struct change *c = &r->change;

	did.changes[c->kind]++;
	switch (c->kind) {
	case CREATE:
	case SNAPSHOT:
	case CLONE:
		*free_sub(r) = c->made;
		c->made.model = NULL;
		break;
	case RESIZE:
		for (uint64_t i = c->blocks; i < c->sub->blocks; i++) {
			if (!model_may_hold(c->sub->model, i, MODEL_ZEROES))
				die(r, "%s: what was cut off was in use",
				    c->sub->name);
			model_adopt(c->sub->model, i, zeroes);
		}
		c->sub->blocks = c->blocks;
		break;
	case RENAME:
		snprintf(c->sub->name, sizeof(c->sub->name), "%s", c->name);
		break;
	case REMOVE:
		forget(c->sub);
		break;
	case NOTHING:
		break;
	}
}

static void drop_change(struct change *c)
{
	if (c->made.model != NULL)
		model_destroy(c->made.model);
	free(c->versions);
	memset(c, 0, sizeof(*c));
}

static bool is_fine(struct pool_run *r, int result)
{
	enum change_kind kind = r->change.kind;

	/* There is storage for all, but not always logical space. */
	return result == 0 || result == -ENOSPC || crashed(r) ||
	       (result == -ENOTEMPTY && kind == RESIZE) ||
	       (result == -VDO_EREADONLY && kind == RESIZE &&
		r->change.sub->read_only);
}

/* One change, while others write; power may fail meanwhile. */
static void change_something(struct pool_run *r)
{
	struct change *c = &r->change;
	bool closes, fails = chance(r, 30);
	struct part *s;
	int result;

	if (crashed(r) || !choose_change(r))
		return;
	s = c->sub;
	closes = c->kind == REMOVE ||
		 (c->kind == RESIZE && c->blocks < s->blocks);
	if (closes)
		close_sub(r, s);
	if (crashed(r)) {
		c->kind = NOTHING;
		drop_change(c);
		return;
	}
	if (fails)
		sim_device_crash_at(r->sd,
				    1 + below(r, UINT64_C(1) << below(r, 9)));
	r->called = (unsigned)below(r, CALLED_MAX);
	result = call(r);
	r->called = 0;
	end_copy(c);
	if (fails && !crashed(r))
		sim_device_crash_at(r->sd, 0);
	if (r->verbose)
		printf("  change %d of %s, %s, %" PRIu64 ": %s%s\n",
		       (int)c->kind, s == NULL ? "" : s->name, c->name,
		       c->blocks, vdo_error_name(result),
		       crashed(r) ? ", power failed" : "");
	if (!is_fine(r, result))
		die(r, "change %d: %s", (int)c->kind, vdo_error_name(result));
	if (result != 0 && crashed(r)) {
		did.in_change++;
		return; /* later we know whether it was made */
	}
	if (result == 0) {
		take_change(r);
		r->doomed[0] = '\0';
	}
	drop_change(c);
	for (unsigned i = 0; i < SUBS_MAX && !crashed(r); i++)
		if (r->subs[i].name[0] != '\0' && r->subs[i].handle == NULL)
			open_sub(r, &r->subs[i]);
}

/* ------------------------------------------------------------ opening, ends */

static void format(struct pool_run *r, uint64_t seed)
{
	struct sim_device_config d = {.seed = seed,
				      .block_count = 7000 + below(r, 2000),
				      .volatile_cache = chance(r, 90)};
	struct vdo_error error;
	struct vdo_config *c;
	struct vdo_device *device;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set(c, "profile", "small", NULL);
	vdo_config_set(c, "logical-size", chance(r, 50) ? "40M" : "1T", NULL);
	vdo_config_set(c, "slab-bits", "9", NULL);
	vdo_config_set(c, "index-memory", "none", NULL);
	r->block_count = d.block_count;
	r->sd = sim_device_create(&d);
	device = sim_device_open(r->sd, NULL);
	if (vdo_format_device(device, c, &error) != 0)
		die(r, "format: %s", error.message);
	vdo_device_close(device);
	vdo_config_free(c);
}

static void set_number(struct vdo_config *c, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	if (vdo_config_set(c, name, text, NULL) != 0)
		abort();
}

/* False: power failed. */
static bool open_volume(struct pool_run *r)
{
	struct executor *x = sim_executor_create(below(r, UINT64_MAX));
	struct vdo_error error = {0};
	struct vdo_config *c;
	struct settings s;

	if (vdo_config_new(&c) != 0)
		abort();
	set_number(c, "threads", 1 + below(r, 4));
	set_number(c, "depth", 16 + below(r, 200));
	set_number(c, "era", 1 + below(r, 8));
	if (host_config_apply(c, &s, NULL) != 0)
		abort();
	vdo_config_free(c);
	s.open.executor = EXECUTOR_INLINE;
	s.open.cache_bytes = (8 + below(r, 100)) * BLOCK_SIZE;
	r->device = crashed(r) ? sim_device_reopen(r->sd, x)
			       : sim_device_open(r->sd, x);
	if (chance(r, 20))
		sim_device_crash_at(r->sd,
				    1 + below(r, UINT64_C(1) << below(r, 9)));
	if (handle_open(r->device, x, &s, &r->v, &error) == 0)
		return true;
	if (!crashed(r))
		die(r, "open: %s", error.message);
	vdo_device_close(r->device);
	r->v = NULL;
	return false;
}

struct listing {
	struct pool_run *r;
	bool seen[SUBS_MAX];
	bool change_seen; /* what the change made, or its old name */
};

/* @s is in the directory, as it must be. */
static void compare(struct pool_run *r, const struct part *s,
		    const struct vdo_sub *is, uint64_t or_blocks)
{
	if ((is->size != s->blocks * BLOCK_SIZE &&
	     is->size != or_blocks * BLOCK_SIZE) ||
	    is->read_only != s->read_only)
		die(r, "%s has %" PRIu64 " bytes, not %" PRIu64 " blocks",
		    is->name, is->size, s->blocks);
}

static int take_entry(void *arg, const struct vdo_sub *is)
{
	struct listing *l = arg;
	struct pool_run *r = l->r;
	struct change *c = &r->change;
	struct part *s = find_sub(r, is->name);

	if (is->removing) {
		if (strcmp(r->doomed, is->name) != 0 &&
		    (c->kind != REMOVE || c->sub != s))
			die(r, "%s is being removed", is->name);
		snprintf(r->doomed, sizeof(r->doomed), "%s", is->name);
		return 0; /* as if it was not there */
	}
	if (s == NULL && c->kind == RENAME && strcmp(is->name, c->name) == 0) {
		s = c->sub;
		take_change(r);
		c->kind = NOTHING;
	}
	if (s == NULL && c->made.model != NULL &&
	    strcmp(is->name, c->name) == 0) {
		compare(r, &c->made, is, c->made.blocks);
		l->change_seen = true;
		return 0;
	}
	if (s == NULL)
		die(r, "there is %s, which nobody made", is->name);
	l->seen[s - r->subs] = true;
	if (c->kind == RESIZE && c->sub == s) {
		compare(r, s, is, c->blocks);
		if (is->size == c->blocks * BLOCK_SIZE) {
			take_change(r);
			c->kind = NOTHING;
		}
		return 0;
	}
	compare(r, s, is, s->blocks);
	return 0;
}

/* What there is, is what the model knows; of a change that was interrupted it
 * learns what became of it. */
static void look_at_directory(struct pool_run *r)
{
	struct listing l = {.r = r};
	struct change *c = &r->change;
	int result = vdo_sub_list(r->v, take_entry, &l, NULL);
	bool empty = true;

	if (crashed(r))
		return;
	for (unsigned i = 0; i < SUBS_MAX; i++) {
		struct part *s = &r->subs[i];

		if (s->name[0] == '\0')
			continue;
		empty = false;
		if (l.seen[i])
			continue;
		if (c->kind != REMOVE || c->sub != s)
			die(r, "%s is gone: %s", s->name,
			    vdo_error_name(result));
		did.gone++;
		take_change(r);
		c->kind = NOTHING;
	}
	if (result != 0 && !(result == -ENOENT && empty))
		die(r, "the directory: %s", vdo_error_name(result));
	if (l.change_seen) {
		did.made++;
		take_change(r);
	}
	drop_change(c);
}

/* All blocks are what they may be; and then are that for certain. */
static void look_at_blocks(struct pool_run *r, struct part *s)
{
	static uint8_t buf[BLOCKS_MAX * BLOCK_SIZE];
	int result = vdo_pread(s->handle, buf, s->blocks * BLOCK_SIZE, 0, 0);

	if (crashed(r))
		return;
	if (result != 0)
		die(r, "%s: %s", s->name, vdo_error_name(result));
	for (uint64_t i = 0; i < s->blocks; i++) {
		const uint8_t *block = buf + i * BLOCK_SIZE;

		if (!model_may_survive(s->model, i,
				       model_number(s->model, block))) {
			model_print(s->model, i, block);
			die(r, "%s: block %" PRIu64 " is wrong", s->name, i);
		}
		model_adopt(s->model, i, block);
	}
}

static void look_at_all(struct pool_run *r)
{
	look_at_directory(r);
	for (unsigned i = 0; i < SUBS_MAX && !crashed(r); i++) {
		struct part *s = &r->subs[i];

		if (s->name[0] == '\0')
			continue;
		open_sub(r, s);
		if (s->handle != NULL)
			look_at_blocks(r, s);
	}
}

static void work(struct pool_run *r)
{
	for (uint64_t n = 5 + below(r, 120); n > 0 && !crashed(r); n--) {
		if (chance(r, 15))
			change_something(r);
		if (crashed(r))
			return;
		if (r->under_way < 30)
			start_op(r);
		(void)sim_executor_run(r->v->executor, below(r, 60));
	}
}

/* What is closed is whole, and its metadata agree. */
static void audit(struct pool_run *r)
{
	struct image im;

	image_open_sim(&im, r->sd, r->block_count);
	if (im.sb.state != VOLUME_CLEAN)
		die(r, "closed, it is in state %u", im.sb.state);
	image_recover(&im);
	image_check(&im);
	if (im.problems != 0)
		die(r, "%u problems", im.problems);
	image_close(&im);
}

static void end(struct pool_run *r)
{
	bool closes = !crashed(r) && chance(r, 40);
	int result = 0;

	if (!crashed(r) && !closes)
		sim_device_crash(r->sd);
	if (closes)
		wait_all(r);
	for (unsigned i = 0; i < SUBS_MAX; i++)
		close_sub(r, &r->subs[i]);
	if (closes)
		result = vdo_close(r->v);
	else
		vdo_abandon(r->v);
	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	vdo_device_close(r->device);
	r->v = NULL;
	did.crashes += crashed(r);
	if (!closes)
		return;
	if (result != 0 && !crashed(r))
		die(r, "close: %s", vdo_error_name(result));
	if (crashed(r))
		return;
	did.closed++;
	for (unsigned i = 0; i < SUBS_MAX; i++)
		if (r->subs[i].name[0] != '\0')
			model_flushed(r->subs[i].model,
				      model_now(r->subs[i].model));
	audit(r);
}

static void run_pool(uint64_t seed, bool verbose)
{
	struct pool_run r = {.random = seed, .verbose = verbose};

	clock_begin(seed);
	format(&r, seed);
	for (uint64_t cycles = 2 + below(&r, 8); cycles > 0; cycles--) {
		if (!open_volume(&r)) {
			did.crashes++;
			continue;
		}
		look_at_all(&r);
		sim_device_crash_at(r.sd, chance(&r, 30) && !crashed(&r)
						  ? 1 + below(&r, 3000)
						  : 0);
		work(&r);
		end(&r);
	}
	drop_change(&r.change);
	for (unsigned i = 0; i < SUBS_MAX; i++)
		if (r.subs[i].name[0] != '\0')
			forget(&r.subs[i]);
	sim_device_destroy(r.sd);
	did.runs++;
}

/* --------------------------------------------------------------------- main */

static void died(int sig)
{
	ssize_t n = write(STDERR_FILENO, again, strlen(again));

	(void)n;
	signal(sig, SIG_DFL);
	raise(sig);
}

static void run_many(uint64_t seed, uint64_t runs)
{
	const char *limit = getenv("SIM_SECONDS");
	time_t begin = time(NULL);

	printf("pools: %" PRIu64 " runs from SEED=%" PRIu64 " on\n", runs,
	       seed);
	for (uint64_t i = 0; i < runs; i++) {
		if (limit != NULL && time(NULL) - begin >= atoll(limit))
			break;
		snprintf(again, sizeof(again),
			 "pools: again: SEED=%" PRIu64 " tests/sim/pools\n",
			 seed + i);
		run_pool(seed + i, getenv("VERBOSE") != NULL);
	}
	printf("pools: %" PRIu64 " runs, %" PRIu64 " crashes, %" PRIu64
	       " of them in a change, of which %" PRIu64 " made and %" PRIu64
	       " removed something; %" PRIu64 " closed\n",
	       did.runs, did.crashes, did.in_change, did.made, did.gone,
	       did.closed);
	printf("pools: %" PRIu64 " made, %" PRIu64 " snapshots, %" PRIu64
	       " clones, %" PRIu64 " resized, %" PRIu64 " renamed, %" PRIu64
	       " removed\n",
	       did.changes[CREATE], did.changes[SNAPSHOT], did.changes[CLONE],
	       did.changes[RESIZE], did.changes[RENAME], did.changes[REMOVE]);
}

int main(int argc, char **argv)
{
	uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	const char *seed = getenv("SEED");

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, died);
	signal(SIGSEGV, died);
	signal(SIGBUS, died);
	if (seed != NULL) {
		run_many(strtoull(seed, NULL, 10), runs == 0 ? 1 : runs);
		return 0;
	}
	if (runs == 0) {
		run_many(1, unit_share(RUNS_KNOWN));
		runs = unit_share(RUNS_NEW);
	}
	run_many((uint64_t)time(NULL) * 1000003u % 1000000007u, runs);
	return 0;
}
