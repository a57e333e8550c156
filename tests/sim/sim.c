/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulation: whole volumes, a seed decides everything.
 *
 * A run formats a volume of random shape and opens it a few times with random
 * options. Each time random operations go on at once, watched by the model, and
 * the volume is suspended now and then; then it is closed, abandoned, or loses
 * power in the middle, and the image that is left is recovered and checked
 * independently of the engine (image.h): every block must hold what the model
 * allows (I1, I14, I24), and counts, journals, summary and totals must agree
 * (I16).
 *
 *	./sim             a few runs, from seed 1 on
 *	./sim N           N runs from a random seed on
 *	SEED=n ./sim      one run
 *	VERBOSE=1         what happens in it
 *
 * What a run does depends on its seed alone. The seed is printed first.
 */
#include "build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/handle.h"
#include "api/host_config.h"
#include "tests/lib/image.h"
#include "tests/lib/model.h"
#include "tests/lib/pattern.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"
#include "volume/volume_priv.h"

#define RUNS_DEFAULT 40
#define OP_BLOCKS_MAX 80
#define DISCARD_MAX   4000
#define WALK_EACH     32 /* operations */

enum op_kind { OP_READ, OP_WRITE, OP_DISCARD, OP_ZERO, OP_FLUSH, OP_KINDS };

struct run {
	uint64_t seed, random;
	bool verbose;
	struct sim_device *sd;
	uint64_t block_count;
	struct model *model;
	uint64_t lbns;
	uint32_t *writes; /* under way, by LBN */
	bool *partial;	  /* one of them is partial: no others */

	struct vdo_device *device;
	struct vdo_volume *v; /* NULL: closed */
	unsigned under_way, under_way_max;
	bool faulty;	/* errors may come */
	bool lossy;	/* a write or flush may fail: read-only mode is fine */
	uint64_t ops;
	bool is_long;
	/* Power fails soon after the Nth write to some part of the storage. */
	pbn_t trap_first, trap_last;
	uint64_t trap_in;
	bool trap_sprung;
	pbn_t super_block;
	bool super_written; /* since the volume was opened, in read-only mode */
	bool dense;  /* few LBNs are used: much contention */
	bool narrow; /* few of each leaf page */
};

struct op {
	struct run *run;
	enum op_kind kind;
	uint64_t lbn, count, since;
	bool fua, is_partial;
	unsigned calls;
	uint8_t *buf;
	struct model_version **versions;
};

static uint64_t dice(struct run *r, uint64_t limit)
{
	return pattern_random(&r->random, limit);
}

static bool percent(struct run *r, unsigned n)
{
	return dice(r, 100) < n;
}

#define CHOOSE(r, array) ((array)[dice((r), ARRAY_SIZE(array))])

#define die(r, ...)                                                            \
	do {                                                                   \
		fprintf(stderr, "sim: " __VA_ARGS__);                          \
		fprintf(stderr, "; SEED=%" PRIu64 "\n", (r)->seed);            \
		abort();                                                       \
	} while (0)

#define say(r, ...)                                                            \
	do {                                                                   \
		if ((r)->verbose) {                                            \
			printf(__VA_ARGS__);                                   \
			printf("\n");                                          \
		}                                                              \
	} while (0)

static void print_log(void *arg, enum vdo_log_level level, const char *message)
{
	struct run *r = arg;

	(void)level;
	say(r, "  log: %s", message);
}

/* --------------------------------------------------------------- operations */

static bool read_only(struct run *r)
{
	return r->v != NULL && vdo_volume_is_read_only(r->v);
}

/* Errors that may come to the one who asked. */
static bool error_is_fine(struct run *r, const struct op *op, int result)
{
	if (sim_device_crashed(r->sd))
		return true;
	if (result == -ENOSPC)
		return op->kind == OP_WRITE || op->kind == OP_ZERO ||
		       op->is_partial;
	if (result == -EIO)
		return r->faulty;
	return result == -VDO_EREADONLY && r->lossy && read_only(r);
}

static void check_read(struct op *op)
{
	struct run *r = op->run;

	for (uint64_t i = 0; i < op->count; i++) {
		const uint8_t *block = op->buf + i * BLOCK_SIZE;
		uint64_t lbn = op->lbn + i;

		if (model_may_read(r->model, lbn, op->since, block))
			continue;
		/* What was acknowledged and is lost makes it read-only. */
		if (read_only(r) && model_may_hold(r->model, lbn, block))
			continue;
		model_print(r->model, lbn, block);
		die(r, "lbn %" PRIu64 " was read wrongly", lbn);
	}
}

static void end_writes(struct op *op, int result)
{
	struct run *r = op->run;

	for (uint64_t i = 0; i < op->count; i++) {
		uint64_t lbn = op->lbn + i;

		r->writes[lbn]--;
		r->partial[lbn] = false;
		if (result == 0)
			model_ack(r->model, op->versions[i], op->fua);
		else if (result == -ENOSPC && op->count == 1)
			model_never(r->model, op->versions[i]);
		else
			model_maybe(r->model, op->versions[i]);
	}
}

static void op_done(void *arg, int result)
{
	struct op *op = arg;
	struct run *r = op->run;

	if (++op->calls != 1)
		die(r, "a callback ran twice");
	if (result != 0 && !error_is_fine(r, op, result))
		die(r, "operation %d of %" PRIu64 "+%" PRIu64 ": %s",
		    (int)op->kind, op->lbn, op->count, vdo_error_name(result));
	if (op->kind == OP_READ && result == 0)
		check_read(op);
	else if (op->kind == OP_FLUSH && result == 0)
		model_flushed(r->model, op->since);
	else if (op->kind == OP_WRITE || op->kind == OP_ZERO ||
		 op->kind == OP_DISCARD)
		end_writes(op, result);
	r->under_way--;
	free(op->versions);
	free(op->buf);
	free(op);
}

static value_t random_value(struct run *r)
{
	static const uint16_t sizes[] = {16,   100,  250,  700,
					 1300, 2000, 3000, 4000};

	switch (dice(r, 8)) {
	case 0:
		return V_ZERO;
	case 1:
	case 2:
		return V_UNIQUE(dice(r, 20));
	case 3:
		return V_SQUEEZE(dice(r, 10), 300);
	case 4:
	case 5:
		return V_SQUEEZE(r->ops * 100 + 1000, CHOOSE(r, sizes));
	case 6:
		return V_SALT(dice(r, 1000));
	default:
		return V_UNIQUE(1000 + r->ops * 100);
	}
}

static uint64_t random_count(struct run *r)
{
	uint64_t n = dice(r, 100);

	return n < 60 ? 1 : n < 95 ? 1 + dice(r, 8)
				   : 1 + dice(r, OP_BLOCKS_MAX);
}

static bool can_write(struct run *r, uint64_t lbn, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (r->partial[lbn + i])
			return false;
	return true;
}

static unsigned random_flags(struct run *r)
{
	unsigned flags = 0;

	if (percent(r, 10))
		flags |= VDO_IO_FUA;
	if (percent(r, 10))
		flags |= VDO_IO_NO_DEDUPE;
	if (percent(r, 10))
		flags |= VDO_IO_NO_COMPRESS;
	return flags;
}

/* Tell the model about what is in op->buf, or of zeroes. */
static void begin_writes(struct op *op)
{
	struct run *r = op->run;

	op->versions = calloc(op->count, sizeof(struct model_version *));
	for (uint64_t i = 0; i < op->count; i++) {
		r->writes[op->lbn + i]++;
		op->versions[i] = model_submit(
			r->model, op->lbn + i,
			op->buf == NULL ? NULL : op->buf + i * BLOCK_SIZE);
	}
}

static int submit_write(struct op *op)
{
	struct run *r = op->run;
	unsigned flags = random_flags(r);
	value_t v = random_value(r);
	bool same = percent(r, 30);

	if (!can_write(r, op->lbn, op->count))
		return 1;
	op->buf = malloc(op->count * BLOCK_SIZE);
	for (uint64_t i = 0; i < op->count; i++)
		pattern_fill(v == V_ZERO || same ? v : v + i,
			     op->buf + i * BLOCK_SIZE);
	op->fua = flags & VDO_IO_FUA;
	begin_writes(op);
	return vdo_aio_pwrite(r->v, op->buf, op->count * BLOCK_SIZE,
			      op->lbn * BLOCK_SIZE, op_done, op, flags);
}

/* Some sectors of a block whose content is known. */
static int submit_sectors(struct op *op)
{
	struct run *r = op->run;
	const void *old = model_only(r->model, op->lbn);
	size_t first = dice(r, 8), n = 1 + dice(r, 8 - first);
	unsigned flags = random_flags(r);

	if (old == NULL || r->writes[op->lbn] > 0 || read_only(r))
		return 1;
	op->count = 1;
	op->is_partial = true;
	op->fua = flags & VDO_IO_FUA;
	op->buf = malloc(BLOCK_SIZE);
	memcpy(op->buf, old, BLOCK_SIZE);
	r->partial[op->lbn] = true;
	if (percent(r, 30)) {
		memset(op->buf + first * 512, 0, n * 512);
		begin_writes(op);
		return (op->kind == OP_DISCARD ? vdo_aio_discard
					       : vdo_aio_write_zeroes)(
			r->v, n * 512, op->lbn * BLOCK_SIZE + first * 512,
			op_done, op, flags);
	}
	memset(op->buf + first * 512, (int)dice(r, 256), n * 512);
	begin_writes(op);
	return vdo_aio_pwrite(r->v, op->buf + first * 512, n * 512,
			      op->lbn * BLOCK_SIZE + first * 512, op_done, op,
			      flags);
}

static int submit_zeroes(struct op *op)
{
	struct run *r = op->run;
	unsigned flags = random_flags(r);

	if (!can_write(r, op->lbn, op->count))
		return 1;
	op->fua = flags & VDO_IO_FUA;
	begin_writes(op);
	return (op->kind == OP_DISCARD ? vdo_aio_discard
				       : vdo_aio_write_zeroes)(
		r->v, op->count * BLOCK_SIZE, op->lbn * BLOCK_SIZE, op_done, op,
		flags);
}

static int submit(struct op *op)
{
	struct run *r = op->run;

	op->since = model_now(r->model);
	switch (op->kind) {
	case OP_READ:
		op->buf = malloc(op->count * BLOCK_SIZE);
		return vdo_aio_pread(r->v, op->buf, op->count * BLOCK_SIZE,
				     op->lbn * BLOCK_SIZE, op_done, op, 0);
	case OP_WRITE:
		if (vdo_volume_alignment(r->v) == 512 && percent(r, 20))
			return submit_sectors(op);
		return submit_write(op);
	case OP_FLUSH:
		return vdo_aio_flush(r->v, op_done, op, 0);
	default:
		if (vdo_volume_alignment(r->v) == 512 && percent(r, 20))
			return submit_sectors(op);
		return submit_zeroes(op);
	}
}

static void start_op(struct run *r)
{
	static const uint8_t kinds[] = {OP_READ,  OP_READ,  OP_READ,
					OP_WRITE, OP_WRITE, OP_WRITE,
					OP_WRITE, OP_WRITE, OP_WRITE,
					OP_ZERO,  OP_DISCARD, OP_FLUSH};
	struct op *op = calloc(1, sizeof(*op));
	uint64_t room = r->dense ? MIN(r->lbns, 30) : r->lbns;
	uint64_t count = random_count(r);
	int result;

	op->run = r;
	op->kind = CHOOSE(r, kinds);
	op->lbn = dice(r, room);
	if (r->narrow) /* few blocks of many leaf pages */
		op->lbn -= op->lbn % MAP_PAGE_ENTRIES % 700;
	if (op->kind == OP_DISCARD && percent(r, 10))
		count = 1 + dice(r, DISCARD_MAX);
	op->count = MIN(count, room - op->lbn);
	r->ops++;
	r->under_way++;
	result = submit(op);
	if (result == 0)
		return;
	if (result < 0)
		die(r, "submission: %s", vdo_error_name(result));
	r->under_way--;
	free(op->versions);
	free(op->buf);
	free(op);
}

/* --------------------------------------------------------------- the volume */

static void config_set(struct run *r, struct vdo_config *c, const char *name,
		       uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	say(r, "  %s=%s", name, text);
	if (vdo_config_set(c, name, text, NULL) != 0)
		die(r, "%s=%s", name, text);
}

/* Blocks that were never written hold anything. */
static void fill_with_rubbish(struct run *r)
{
	uint8_t block[BLOCK_SIZE];

	pattern_fill(V_UNIQUE(dice(r, 1000)), block);
	for (uint64_t i = 0; i < r->block_count; i++) {
		block[i % BLOCK_SIZE]++;
		sim_device_poke(r->sd, i, block);
	}
}

static void run_format(struct run *r)
{
	static const unsigned rings[] = {4, 8, 16, 32, 64, 256};
	static const unsigned slab_rings[] = {3, 4, 8, 16};
	static const unsigned logical[] = {500, 500, 6000, 6000, 80000};
	struct sim_device_config device = {
		.seed = r->seed,
		.block_count = 1500 + dice(r, 4000),
		.volatile_cache = percent(r, 80),
	};
	struct vdo_error error;
	struct vdo_config *c;
	struct vdo_info info;
	struct vdo_device *d;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set(c, "profile", "small", NULL);
	vdo_config_set(c, "index-memory", percent(r, 50) ? "none" : "2M", NULL);
	say(r, "seed %" PRIu64, r->seed);
	config_set(r, c, "slab-bits", 9 + dice(r, 2));
	config_set(r, c, "slab-journal-blocks", CHOOSE(r, slab_rings));
	config_set(r, c, "journal-blocks", CHOOSE(r, rings));
	r->lbns = 10 + dice(r, CHOOSE(r, logical));
	config_set(r, c, "logical-size", r->lbns * BLOCK_SIZE);
	r->block_count = device.block_count;
	r->sd = sim_device_create(&device);
	if (percent(r, 50))
		fill_with_rubbish(r);
	vdo_config_set(c, "force", "on", NULL);
	d = sim_device_open(r->sd, NULL);
	if (vdo_format_device(d, c, &error) != 0)
		die(r, "format: %s", error.message);
	if (vdo_inspect_device(d, &info, sizeof(info), &error) != 0)
		die(r, "inspect: %s", error.message);
	r->super_block = info.data_start - (uint64_t)info.bio_offset;
	vdo_device_close(d);
	vdo_config_free(c);
	r->model = model_create(r->lbns);
	r->writes = calloc(r->lbns, sizeof(*r->writes));
	r->partial = calloc(r->lbns, sizeof(*r->partial));
}

static void random_settings(struct run *r, struct settings *s)
{
	static const unsigned depths[] = {16, 17, 32, 64, 200, 1024};
	struct vdo_config *c;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set_log(c, print_log, r);
	config_set(r, c, "depth", CHOOSE(r, depths));
	if (percent(r, 50)) {
		vdo_config_set(c, "topology", "classic", NULL);
		config_set(r, c, "logical-zones", 1 + dice(r, 4));
		config_set(r, c, "physical-zones", 1 + dice(r, 4));
		config_set(r, c, "hash-zones", 1 + dice(r, 4));
	} else {
		config_set(r, c, "threads", 1 + dice(r, 4));
	}
	config_set(r, c, "era", 1 + dice(r, 8));
	vdo_config_set(c, "alignment", percent(r, 40) ? "512" : "4096", NULL);
	config_set(r, c, "deduplication", percent(r, 85));
	config_set(r, c, "compression", percent(r, 75));
	if (host_config_apply(c, s, NULL) != 0)
		die(r, "options");
	s->open.executor = EXECUTOR_INLINE;
	/* Smaller than the options allow, so that pages come and go. */
	s->open.cache_bytes = (4 + dice(r, percent(r, 50) ? 10 : 200)) *
			      BLOCK_SIZE;
	say(r, "  cache %" PRIu64, s->open.cache_bytes / BLOCK_SIZE);
	vdo_config_free(c);
}

/* False: it needs what the library cannot do (yet). */
static bool run_open(struct run *r)
{
	struct vdo_error error = {0};
	struct executor *x;
	struct settings s;
	int result;

	random_settings(r, &s);
	x = sim_executor_create(dice(r, UINT64_MAX));
	r->device = sim_device_crashed(r->sd) ? sim_device_reopen(r->sd, x)
					      : sim_device_open(r->sd, x);
	result = handle_open(r->device, x, &s, &r->v, &error);
	if (result == 0)
		return true;
	if (result != -VDO_EDIRTY && result != -VDO_EREBUILD)
		die(r, "open: %s: %s", vdo_error_name(result), error.message);
	vdo_device_close(r->device);
	return false;
}

static void run_steps(struct run *r, uint64_t steps)
{
	sim_executor_run(r->v->executor, steps);
}

/* Between two steps each component agrees with itself. */
static void walk(struct run *r)
{
	const char *what = volume_insane(r->v->volume);

	if (what != NULL)
		die(r, "%s: its parts do not agree", what);
}

static void wait_all(struct run *r)
{
	uint64_t rounds = 0;

	while (r->under_way > 0) {
		if (sim_executor_run(r->v->executor, 10000) == 0)
			die(r, "%u operations hang", r->under_way);
		if (++rounds > 10000)
			die(r, "%u operations do not end", r->under_way);
	}
	walk(r);
}

typedef bool (*allowed_fn)(struct model *m, uint64_t lbn, const void *block);

static void check_blocks(struct run *r, const char *when, allowed_fn allowed)
{
	uint8_t block[BLOCK_SIZE];
	struct image im;

	image_open_sim(&im, r->sd, r->block_count);
	image_recover(&im);
	image_check(&im);
	if (im.problems != 0)
		die(r, "%u problems %s, state %u", im.problems, when,
		    im.sb.state);
	say(r, "  %s: state %u, replayed %" PRIu64 " entries of %" PRIu64
	       "..%" PRIu64,
	    when, im.sb.state, im.entries, im.first, im.last);
	for (uint64_t i = 0; i < r->lbns; i++) {
		if (!image_read(&im, i, block))
			die(r, "lbn %" PRIu64 " cannot be read %s", i, when);
		if (allowed(r->model, i, block))
			continue;
		model_print(r->model, i, block);
		die(r, "lbn %" PRIu64 " is wrong %s", i, when);
	}
	image_close(&im);
}

/* The volume is gone: what is there is the only thing that is. */
static void check_image(struct run *r, const char *when)
{
	check_blocks(r, when, model_may_survive);
}

static void drop_device(struct run *r)
{
	sim_device_hold(r->sd, NULL, NULL);
	vdo_device_close(r->device);
	r->v = NULL;
}

/* True: the volume is clean. */
static bool run_close(struct run *r)
{
	bool crashed = sim_device_crashed(r->sd);
	bool was_read_only = read_only(r);
	int result = vdo_close(r->v);

	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	crashed = crashed || sim_device_crashed(r->sd);
	drop_device(r);
	say(r, "  closed: %s", vdo_error_name(result));
	if (result != 0 && !crashed && !r->lossy && !r->faulty)
		die(r, "close: %s", vdo_error_name(result));
	if (result == 0 && (crashed || was_read_only))
		die(r, "close succeeded, which it cannot");
	if (result == 0)
		model_flushed(r->model, model_now(r->model));
	check_image(r, result == 0 ? "after close" : "after a failed close");
	return result == 0;
}

static void run_abandon(struct run *r, const char *when)
{
	vdo_abandon(r->v);
	if (r->under_way != 0)
		die(r, "%u operations outlive the volume", r->under_way);
	drop_device(r);
	check_image(r, when);
}

/* Errors of the storage: one kind, from somewhere on. */
static void set_faults(struct run *r)
{
	static const unsigned ops[] = {
		SIM_OP(VDO_DEVICE_READ), SIM_OP(VDO_DEVICE_READ),
		SIM_OP(VDO_DEVICE_WRITE), SIM_OP(VDO_DEVICE_FLUSH)};
	struct sim_fault fault = {
		.ops = CHOOSE(r, ops),
		.skip = dice(r, 300),
		.times = percent(r, 50) ? 1 : dice(r, 20),
	};

	r->faulty = true;
	r->lossy = true; /* an unreadable map page is enough */
	say(r, "  faults of %x after %" PRIu64, fault.ops, fault.skip);
	sim_device_fault(r->sd, &fault);
}

static void switch_something(struct run *r)
{
	const char *name = percent(r, 50) ? "compression" : "deduplication";
	const char *value = percent(r, 50) ? "on" : "off";

	if (vdo_volume_set(r->v, name, value, NULL) != 0)
		die(r, "switching %s", name);
}

/* In read-only mode nothing is written but the super block, once (I42). */
static void check_read_only(struct run *r, const struct vdo_device_io *io)
{
	pbn_t pbn = io->offset / BLOCK_SIZE;

	if (io->op == VDO_DEVICE_READ || !read_only(r))
		return;
	if (io->op != VDO_DEVICE_WRITE || pbn != r->super_block ||
	    r->super_written)
		die(r, "operation %d of block %" PRIu64 " in read-only mode",
		    (int)io->op, pbn);
	r->super_written = true;
}

/* Called with each operation of the storage. */
static bool watch(void *arg, const struct vdo_device_io *io)
{
	struct run *r = arg;
	pbn_t pbn = io->offset / BLOCK_SIZE;

	check_read_only(r, io);
	if (io->op == VDO_DEVICE_WRITE && pbn >= r->trap_first &&
	    pbn <= r->trap_last && r->trap_in > 0 && --r->trap_in == 0)
		r->trap_sprung = true;
	return false;
}

/* Reference counts and slab journals of a slab, summary, or a block that might
 * become a map page. */
static void set_trap(struct run *r)
{
	struct image im;
	uint64_t slab;

	image_open_sim(&im, r->sd, r->block_count);
	slab = dice(r, im.slabs.slab_count);
	if (percent(r, 60))
		slab = dice(r, MIN(im.slabs.slab_count, 3));
	r->trap_first = slab_start(&im.slabs, slab);
	r->trap_last = r->trap_first + im.sb.slab.slab_blocks - 1;
	if (percent(r, 70))
		r->trap_first += im.slabs.data_blocks;
	if (percent(r, 30))
		r->trap_last = r->trap_first; /* a reference block */
	if (percent(r, 20)) {
		r->trap_first = im.sb.partitions[PARTITION_SUMMARY].start;
		r->trap_last = r->trap_first + 63;
	}
	r->trap_in = 1 + dice(r, r->is_long ? 20 : 4);
	r->trap_sprung = false;
	say(r, "  trap %" PRIu64 "..%" PRIu64 " after %" PRIu64,
	    r->trap_first, r->trap_last, r->trap_in);
	image_close(&im);
}

static void spring_trap(struct run *r)
{
	if (!r->trap_sprung)
		return;
	r->trap_sprung = false;
	sim_device_crash_at(r->sd, 1 + dice(r, 12));
}

/* All comes to rest, calls wait, and it goes on. */
static void suspend_and_resume(struct run *r)
{
	bool save = percent(r, 70);
	int result = volume_suspend(r->v->volume, save);

	say(r, "  suspended%s: %s", save ? ", saved" : "",
	    vdo_error_name(result));
	if (result != 0 && !sim_device_crashed(r->sd) && !read_only(r) &&
	    !r->faulty)
		die(r, "suspend: %s", vdo_error_name(result));
	if (result == 0 && save && !sim_device_crashed(r->sd)) {
		model_flushed(r->model, model_now(r->model));
		check_blocks(r, "suspended", model_may_hold);
	}
	for (uint64_t i = dice(r, 4); i > 0; i--)
		start_op(r);
	run_steps(r, dice(r, 40));
	result = volume_resume(r->v->volume);
	if (result != 0 && !sim_device_crashed(r->sd) && !r->faulty)
		die(r, "resume: %s", vdo_error_name(result));
}

static void run_ops(struct run *r)
{
	uint64_t n = dice(r, r->is_long ? 6000 : 600);

	r->dense = percent(r, 30);
	r->narrow = percent(r, 30);
	r->under_way_max = percent(r, 30) ? 1 : 1 + (unsigned)dice(r, 100);
	for (uint64_t i = 0; i < n; i++) {
		if (percent(r, 1))
			switch_something(r);
		if (dice(r, 300) == 0)
			suspend_and_resume(r);
		while (r->under_way >= r->under_way_max)
			if (sim_executor_run(r->v->executor,
					     1 + dice(r, 50)) == 0)
				die(r, "%u operations hang", r->under_way);
		start_op(r);
		run_steps(r, dice(r, 40));
		spring_trap(r);
		if (sim_device_crashed(r->sd) ||
		    (read_only(r) && percent(r, 3)))
			break;
		if (r->under_way == 0 && percent(r, 20))
			model_idle(r->model);
		if (i % WALK_EACH == 0)
			walk(r);
	}
	walk(r);
}

/* One life of the volume. False: there is no next one. */
static bool run_life(struct run *r)
{
	uint64_t end = dice(r, 100);
	bool clean;

	r->faulty = r->lossy = false;
	r->is_long = percent(r, 15);
	r->trap_in = 0;
	r->super_written = false;
	if (!run_open(r))
		return false;
	sim_device_hold(r->sd, watch, r);
	if (end < 15)
		sim_device_crash_at(r->sd,
				    1 + dice(r, r->is_long ? 20000 : 3000));
	else if (end < 35)
		set_trap(r);
	else if (end < 50)
		set_faults(r);
	run_ops(r);
	r->trap_in = 0;
	r->trap_sprung = false;
	if (percent(r, 60))
		wait_all(r);
	if (sim_device_crashed(r->sd) || (end < 35 && percent(r, 50))) {
		if (!sim_device_crashed(r->sd))
			sim_device_crash(r->sd);
		run_abandon(r, "after a crash");
		return true;
	}
	if (end >= 50 && end < 58) {
		sim_device_crash_at(r->sd, 0);
		run_abandon(r, "abandoned");
		return true;
	}
	if (end >= 58 && end < 68)
		sim_device_crash_at(r->sd, 1 + dice(r, 60));
	clean = run_close(r);
	sim_device_clear_faults(r->sd);
	if (!sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, 0);
	model_idle(r->model);
	return clean || sim_device_crashed(r->sd);
}

static void run(uint64_t seed, bool verbose)
{
	struct run r = {.seed = seed, .random = seed, .verbose = verbose};
	unsigned lives;

	run_format(&r);
	lives = 2 + (unsigned)dice(&r, 4);
	for (unsigned i = 0; i < lives; i++)
		if (!run_life(&r))
			break;
	model_destroy(r.model);
	sim_device_destroy(r.sd);
	free(r.writes);
	free(r.partial);
}

int main(int argc, char **argv)
{
	const char *one = getenv("SEED");
	bool verbose = getenv("VERBOSE") != NULL;
	uint64_t seed = 1, runs = unit_share(RUNS_DEFAULT);

	if (one != NULL) {
		seed = strtoull(one, NULL, 10);
		runs = 1;
	} else if (argc > 1) {
		runs = strtoull(argv[1], NULL, 10);
		seed = (uint64_t)time(NULL) * 1000003u % 1000000007u;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("sim: %" PRIu64 " runs from SEED=%" PRIu64 " on\n", runs, seed);
	for (uint64_t i = 0; i < runs; i++)
		run(seed + i, verbose);
	return 0;
}
