/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The work of a cycle: random operations, many at once, watched by the model.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

#include "volume/volume_priv.h"

#define OP_BLOCKS_MAX 80
#define DISCARD_MAX   4000
#define WALK_EACH     32 /* operations */
#define PATIENCE      300u /* operations, until a trap in a slab is sprung */

enum op_kind { OP_READ, OP_WRITE, OP_DISCARD, OP_ZERO, OP_COPY, OP_FLUSH };

struct op {
	struct run *run;
	enum op_kind kind;
	uint64_t lbn, count, since;
	uint64_t source;	 /* of a copy */
	struct copying *copying; /* the same, for the model */
	bool fua, is_partial;
	unsigned calls;
	void *memory;
	uint8_t *buf;
	struct model_version **versions;
};

/* ------------------------------------------------------------------ results */

/* Errors that may come to the one who asked. */
static bool error_is_fine(struct run *r, const struct op *op, int result)
{
	if (sim_device_crashed(r->sd))
		return true;
	if (result == -ENOSPC)
		return op->kind == OP_WRITE || op->kind == OP_ZERO ||
		       op->kind == OP_COPY || op->is_partial;
	if (result == -ECANCELED)
		return r->closing && op->count > 1 &&
		       (op->kind == OP_DISCARD || op->kind == OP_ZERO ||
			op->kind == OP_COPY);
	if (result == -EIO)
		return r->faulty;
	return result == -VDO_EREADONLY && r->lossy && run_read_only(r);
}

static void check_read(struct op *op)
{
	struct run *r = op->run;

	for (uint64_t i = 0; i < op->count; i++) {
		const uint8_t *block = op->buf + i * BLOCK_SIZE;
		uint64_t number = model_number(r->model, block);
		uint64_t lbn = op->lbn + i;

		if (model_may_read(r->model, lbn, op->since, number))
			continue;
		/* What was acknowledged and is lost makes it read-only. */
		if (run_read_only(r) && model_may_hold(r->model, lbn, number))
			continue;
		model_print(r->model, lbn, block);
		die(r, "lbn %" PRIu64 " was read wrongly", lbn);
	}
}

static void end_writes(struct op *op, int result)
{
	struct run *r = op->run;

	if (op->copying != NULL)
		copies_end(r, op->copying, result, op->fua && !r->fua_lies);
	for (uint64_t i = 0; i < op->count; i++) {
		uint64_t lbn = op->lbn + i;

		r->writes[lbn]--;
		if (op->copying != NULL)
			continue;
		r->partial[lbn] = false;
		if (result == 0)
			model_ack(r->model, op->versions[i],
				  op->fua && !r->fua_lies);
		else if (result == -ENOSPC && op->count == 1)
			model_never(r->model, op->versions[i]);
		else
			model_maybe(r->model, op->versions[i]);
	}
}

static void op_free(struct op *op)
{
	op->run->under_way--;
	free(op->versions);
	free(op->memory);
	free(op);
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
	switch (op->kind) {
	case OP_READ:
		if (result == 0)
			check_read(op);
		r->retry_lbn = op->lbn;
		r->retry_count = result == -EIO ? op->count : 0;
		break;
	case OP_FLUSH:
		if (result == 0)
			check_note_flush(r, op->since);
		break;
	default:
		end_writes(op, result);
		break;
	}
	if (result == 0 && (op->kind == OP_FLUSH || op->fua))
		fault_kept(r);
	op_free(op);
}

/* --------------------------------------------------------------- operations */

static value_t mixed_value(struct run *r)
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

static value_t random_value(struct run *r)
{
	if (r->flavour == ALL_UNIQUE && percent(r, 80))
		return V_UNIQUE(1000 + r->ops * 100);
	if (r->flavour == FEW_VALUES && percent(r, 90))
		return percent(r, 80) ? V_UNIQUE(dice(r, 2))
				      : V_SQUEEZE(dice(r, 3), 300);
	if (r->flavour == MANY_ENTRIES && percent(r, 90))
		return V_UNIQUE(dice(r, 40));
	return mixed_value(r);
}

static uint64_t random_count(struct run *r)
{
	uint64_t n = dice(r, 100);

	if ((r->wide || r->many) && n < 70)
		return 1 + dice(r, 5 * OP_BLOCKS_MAX);
	if (r->flavour != MIXED && n < (r->tight ? 80 : 40))
		return 1 + dice(r, OP_BLOCKS_MAX);
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
		const void *block =
			op->buf == NULL ? NULL : op->buf + i * BLOCK_SIZE;

		r->writes[op->lbn + i]++;
		op->versions[i] = model_submit(r->model, op->lbn + i, block);
		copies_note(r, op->lbn + i, block);
	}
}

static void fill_blocks(struct run *r, uint8_t *buf, uint64_t count)
{
	value_t v = random_value(r);
	bool same = percent(r, r->flavour == FEW_VALUES ? 90 : 30);

	pattern_fill(v, buf);
	for (uint64_t i = 1; i < count; i++) {
		if (v == V_ZERO || same)
			memcpy(buf + i * BLOCK_SIZE, buf, BLOCK_SIZE);
		else
			pattern_fill(v + i, buf + i * BLOCK_SIZE);
	}
}

static uint64_t offset_of(const struct op *op)
{
	return place_of(op->run, op->lbn) * BLOCK_SIZE;
}

/* Buffers that are aligned to blocks go another way than others: so where they are
 * is not left to the allocator. */
static void get_buffer(struct op *op)
{
	uint8_t *p = malloc((op->count + 1) * BLOCK_SIZE + UNALIGNED);

	if (p == NULL)
		abort();
	op->memory = p;
	op->buf = p + BLOCK_SIZE - (uintptr_t)p % BLOCK_SIZE +
		  (op->run->ops % 4 == 0 ? 0 : UNALIGNED);
}

static int submit_write(struct op *op)
{
	struct run *r = op->run;
	unsigned flags = random_flags(r);

	if (!can_write(r, op->lbn, op->count))
		return 1;
	get_buffer(op);
	fill_blocks(r, op->buf, op->count);
	op->fua = flags & VDO_IO_FUA;
	begin_writes(op);
	return vdo_aio_pwrite(r->v, op->buf, op->count * BLOCK_SIZE,
			      offset_of(op), op_done, op, flags);
}

/* Some sectors of a block whose content is known. */
static int submit_sectors(struct op *op)
{
	struct run *r = op->run;
	const void *old = model_only(r->model, op->lbn);
	size_t first = dice(r, 8), n = 1 + dice(r, 8 - first);
	unsigned flags = random_flags(r);

	if (old == NULL || r->writes[op->lbn] > 0 || run_read_only(r))
		return 1;
	op->count = 1;
	op->is_partial = true;
	op->fua = flags & VDO_IO_FUA;
	get_buffer(op);
	memcpy(op->buf, old, BLOCK_SIZE);
	r->partial[op->lbn] = true;
	if (percent(r, 30)) {
		memset(op->buf + first * 512, 0, n * 512);
		begin_writes(op);
		return (op->kind == OP_DISCARD ? vdo_aio_discard
					       : vdo_aio_write_zeroes)(
			r->v, n * 512, offset_of(op) + first * 512,
			op_done, op, flags);
	}
	memset(op->buf + first * 512, (int)dice(r, 256), n * 512);
	begin_writes(op);
	return vdo_aio_pwrite(r->v, op->buf + first * 512, n * 512,
			      offset_of(op) + first * 512, op_done, op, flags);
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
		r->v, op->count * BLOCK_SIZE, offset_of(op), op_done, op,
		flags);
}

/* Ranges that overlap as often as not. */
static int submit_copy(struct op *op)
{
	struct run *r = op->run;
	uint64_t room = r->dense ? MIN(r->lbns, 30) : r->lbns;
	uint64_t src = dice(r, room);
	unsigned flags = random_flags(r);

	if (percent(r, 50))
		src = percent(r, 50) ? op->lbn + dice(r, op->count + 1)
				     : op->lbn - MIN(dice(r, op->count + 1),
						     op->lbn);
	if (src >= r->lbns)
		return 1;
	op->count = MIN(op->count, in_a_row(r, src));
	if (src == op->lbn || !can_write(r, op->lbn, op->count))
		return 1;
	op->source = src;
	op->fua = flags & VDO_IO_FUA;
	op->copying = copies_begin(r, op->lbn, src, op->count);
	if (op->copying == NULL)
		return 1;
	for (uint64_t i = 0; i < op->count; i++)
		r->writes[op->lbn + i]++;
	return vdo_aio_copy_range(r->v, offset_of(op),
				  place_of(r, src) * BLOCK_SIZE,
				  op->count * BLOCK_SIZE, op_done, op, flags);
}

static int submit(struct op *op)
{
	struct run *r = op->run;

	op->since = model_now(r->model);
	switch (op->kind) {
	case OP_READ:
		get_buffer(op);
		return vdo_aio_pread(r->v, op->buf, op->count * BLOCK_SIZE,
				     offset_of(op), op_done, op, 0);
	case OP_WRITE:
		if (vdo_volume_alignment(r->v) == 512 && percent(r, 20))
			return submit_sectors(op);
		return submit_write(op);
	case OP_FLUSH:
		return vdo_aio_flush(r->v, op_done, op, 0);
	case OP_COPY:
		return submit_copy(op);
	default:
		if (vdo_volume_alignment(r->v) == 512 && percent(r, 20))
			return submit_sectors(op);
		return submit_zeroes(op);
	}
}

static void choose_op(struct run *r, struct op *op)
{
	static const uint8_t kinds[] = {OP_READ,  OP_READ,    OP_READ,
					OP_WRITE, OP_WRITE,   OP_WRITE,
					OP_WRITE, OP_WRITE,   OP_WRITE,
					OP_ZERO,  OP_DISCARD, OP_FLUSH,
					OP_COPY,  OP_COPY};
	uint64_t room = r->dense ? MIN(r->lbns, r->careful ? 6 : 30) : r->lbns;
	uint64_t count = random_count(r);

	op->kind = CHOOSE(r, kinds);
	if (r->flushy && percent(r, 20))
		op->kind = OP_FLUSH;
	if (r->careful)
		op->kind = percent(r, 50)	 ? OP_FLUSH
			   : op->kind == OP_READ ? OP_ZERO
						 : op->kind;
	/* Pages come and go, and nothing is committed meanwhile. */
	if (r->reading > 0 && r->reading--)
		op->kind = OP_READ;
	else if (r->sparse && percent(r, 4))
		r->reading = 1 + (unsigned)dice(r, 30);
	if (r->burst && r->clearing)
		op->kind = percent(r, 50) ? OP_ZERO : OP_DISCARD;
	op->lbn = dice(r, room);
	if (r->narrow && !r->sparse) /* few blocks of many leaf pages */
		op->lbn -= op->lbn % MAP_PAGE_ENTRIES % 700;
	if (op->kind == OP_DISCARD && percent(r, 10))
		count = 1 + dice(r, DISCARD_MAX);
	op->count = MIN(count, MIN(room - op->lbn, in_a_row(r, op->lbn)));
	if (r->retry_count == 0)
		return;
	/* Whoever meets an error tries it again. */
	op->kind = OP_READ;
	op->lbn = r->retry_lbn;
	op->count = r->retry_count;
	r->retry_count = 0;
}

void work_start(struct run *r)
{
	struct op *op = calloc(1, sizeof(*op));
	int result;

	op->run = r;
	choose_op(r, op);
	r->ops++;
	r->under_way++;
	result = submit(op);
	if (result == 0)
		return;
	if (result < 0)
		die(r, "submission: %s", vdo_error_name(result));
	op_free(op);
}

#define FILL_BLOCKS 64u

/* One write of so many blocks that are like no others, and what follows. */
static void write_some(struct run *r, uint64_t lbn, uint64_t count)
{
	struct op *op = calloc(1, sizeof(*op));

	op->run = r;
	op->kind = OP_WRITE;
	op->lbn = lbn;
	op->count = count;
	op->since = model_now(r->model);
	r->ops++;
	r->under_way++;
	if (submit_write(op) != 0)
		die(r, "submission");
}

/* ---------------------------------------------------------------- the whole */

static uint64_t run_freely(struct run *r, uint64_t steps)
{
	return r->how == OPEN_POOL
		       ? pool_run(steps)
		       : sim_executor_run(r->v->executor, steps);
}

bool work_run(struct run *r, uint64_t steps)
{
	for (; steps > 0; steps--) {
		if (run_freely(r, 1) == 0)
			return false;
		fault_spring(r);
	}
	return true;
}

static void set_on_full(struct run *r, bool hold)
{
	pool_hold(false); /* it waits */
	if (vdo_volume_set(r->v, "on-full", hold ? "hold" : "fail", NULL) != 0)
		die(r, "switching on-full");
	pool_hold(r->how == OPEN_POOL);
}

/* Nothing goes on: if calls are held for want of space, a host makes some, or does
 * without them. */
static bool make_room(struct run *r)
{
	uint64_t parked, total;
	struct op *op;

	front_get_parked(r->v->front, &parked, &total);
	if (parked == 0)
		return false;
	totals.held += parked;
	/* A block for data, and new pages that lead to it. */
	if (depot_used(r->v->volume->depot) + 10 <=
	    depot_size(r->v->volume->depot))
		die(r, "calls are held, but there is space");
	if (percent(r, 30)) {
		set_on_full(r, false);
		return true;
	}
	op = calloc(1, sizeof(*op));
	op->run = r;
	op->kind = OP_DISCARD;
	op->lbn = dice(r, r->lbns);
	op->count = MIN(1 + any_size(r, 9), in_a_row(r, op->lbn));
	op->count = MIN(op->count, r->lbns - op->lbn);
	op->since = model_now(r->model);
	r->ops++;
	r->under_way++;
	if (submit_zeroes(op) == 0)
		return true;
	op_free(op);
	set_on_full(r, false); /* it is in the way of a part of a block */
	return true;
}

void work_wait(struct run *r)
{
	uint64_t rounds = 0;

	while (r->under_way > 0 && !r->asleep) {
		if (!work_run(r, 10000) && r->under_way > 0 && !make_room(r))
			die(r, "%u operations hang", r->under_way);
		if (++rounds > 10000)
			die(r, "%u operations do not end", r->under_way);
	}
	check_walk(r);
}

void work_fill(struct run *r)
{
	r->flavour = ALL_UNIQUE;
	for (uint64_t i = 0; i < r->lbns && !sim_device_crashed(r->sd);
	     i += FILL_BLOCKS) {
		write_some(r, i, MIN(FILL_BLOCKS, r->lbns - i));
		if (r->under_way > 10)
			(void)work_run(r, 2000);
	}
	work_wait(r);
}

static void switch_something(struct run *r)
{
	const char *name = percent(r, 50) ? "compression" : "deduplication";
	const char *value = percent(r, 50) ? "on" : "off";

	if (percent(r, 40)) {
		set_on_full(r, percent(r, 70));
		return;
	}
	pool_hold(false); /* it waits */
	if (vdo_volume_set(r->v, name, value, NULL) != 0)
		die(r, "switching %s", name);
	pool_hold(r->how == OPEN_POOL);
}

static uint64_t choose_work(struct run *r)
{
	uint64_t n = dice(r, r->is_long ? 2000 : any_size(r, 8));

	r->flavour = (enum flavour)dice(r, FLAVOURS);
	r->dense = percent(r, 30);
	if (r->tight && percent(r, 75)) {
		r->flavour = MANY_ENTRIES;
		n = 30 + dice(r, 200);
		r->dense = false;
	}
	r->narrow = percent(r, 30);
	r->flushy = percent(r, 20);
	r->retry_count = 0;
	r->under_way_max = percent(r, 30) ? 1 : 1 + (unsigned)dice(r, 100);
	r->burst = r->wide && !r->deep && percent(r, 50);
	r->clearing = percent(r, 40);
	r->reading = 0;
	if (r->careful) {
		r->under_way_max = 1 + (unsigned)dice(r, 3);
		r->dense = true;
		n = 20 + dice(r, 60);
	}
	if (r->wide) {
		r->flavour = percent(r, 70) ? MANY_ENTRIES : r->flavour;
		r->under_way_max = 100;
		r->dense = false;
		n = r->burst ? 4 + dice(r, 20) : 20 + dice(r, 100);
		if (r->deep) { /* most of it under the eyes of the traps */
			n = 30 + dice(r, 50);
			r->under_way_max = 4 + (unsigned)dice(r, 12);
		}
		if (r->late) {
			r->flavour = MANY_ENTRIES;
			n = 60 + dice(r, 60);
			r->under_way_max = 20;
		}
	}
	if (r->many) {
		r->flavour = percent(r, 70) ? ALL_UNIQUE : r->flavour;
		r->dense = false;
		n = 15 + dice(r, 30);
	}
	if (r->limits.ops != 0)
		n = MIN(n, r->limits.ops);
	say(r, "  %" PRIu64 " operations of flavour %d", n, (int)r->flavour);
	return n;
}

void work_some(struct run *r)
{
	uint64_t n = choose_work(r);
	uint64_t patience = MIN(6 * n, PATIENCE);

	pool_hold(r->how == OPEN_POOL);
	for (uint64_t i = 0; i < n || (i < patience && r->trap_in > 0); i++) {
		if (percent(r, 1))
			switch_something(r);
		if (dice(r, 300) == 0)
			rest_suspend(r);
		if (r->asleep)
			return;
		if (percent(r, 2)) {
			pool_hold(false); /* it waits */
			maps_look(r);
			pool_hold(r->how == OPEN_POOL);
		}
		if (percent(r, 3))
			rest_grow(r);
		if (dice(r, 150) == 0)
			rest_change(r);
		while (r->under_way >= r->under_way_max)
			if (!work_run(r, 1 + dice(r, 50)) &&
			    r->under_way >= r->under_way_max && !make_room(r))
				die(r, "%u operations hang", r->under_way);
		work_start(r);
		if (!r->burst)
			(void)work_run(r, dice(r, 40));
		if (sim_device_crashed(r->sd) ||
		    (run_read_only(r) && percent(r, 3)))
			break;
		if (r->under_way == 0 && percent(r, 20))
			model_idle(r->model);
		if (i % WALK_EACH == 0)
			check_walk(r);
	}
	if (r->burst)
		(void)work_run(r, dice(r, 8000));
	check_walk(r);
}
