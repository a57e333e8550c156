/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated device keeps its promises, and breaks only those it may.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"

#define SEEDS 100

struct op {
	struct vdo_device_io io;
	struct iovec vec;
	int result;
	int calls;
	uint64_t order; /* of completion */
};

static uint64_t completions;

static void op_done(struct vdo_device_io *io, int result)
{
	struct op *op = container_of(io, struct op, io);

	op->result = result;
	op->calls++;
	op->order = ++completions;
}

static void op_start(struct vdo_device *d, struct op *op,
		     enum vdo_device_op what, unsigned flags, uint64_t block,
		     void *buf, uint64_t blocks)
{
	memset(op, 0, sizeof(*op));
	op->vec.iov_base = buf;
	op->vec.iov_len = blocks * BLOCK_SIZE;
	op->io.op = what;
	op->io.flags = flags;
	op->io.offset = block * BLOCK_SIZE;
	op->io.length = blocks * BLOCK_SIZE;
	op->io.iov = buf == NULL ? NULL : &op->vec;
	op->io.iov_count = buf != NULL;
	op->io.complete = op_done;
	d->submit(d->ctx, &op->io);
}

static int run(struct vdo_device *d, enum vdo_device_op what, unsigned flags,
	       uint64_t block, void *buf, uint64_t blocks)
{
	struct op op;

	op_start(d, &op, what, flags, block, buf, blocks);
	ck_assert_int_eq(op.calls, 1);
	return op.result;
}

static int put(struct vdo_device *d, uint64_t block, int value, unsigned flags)
{
	unsigned char buf[BLOCK_SIZE];

	memset(buf, value, sizeof(buf));
	return run(d, VDO_DEVICE_WRITE, flags, block, buf, 1);
}

static int flush(struct vdo_device *d)
{
	return run(d, VDO_DEVICE_FLUSH, 0, 0, NULL, 0);
}

/* The value a block is full of, or -1 if it is torn. */
static int value_of(struct sim_device *sd, uint64_t block)
{
	unsigned char buf[BLOCK_SIZE];

	sim_device_peek(sd, block, buf);
	return memcmp(buf, buf + 1, sizeof(buf) - 1) == 0 ? buf[0] : -1;
}

/* Every sector is whole, whatever the block is. */
static void check_sectors(struct sim_device *sd, uint64_t block)
{
	unsigned char buf[BLOCK_SIZE];

	sim_device_peek(sd, block, buf);
	for (unsigned s = 0; s < BLOCK_SIZE; s += SECTOR_SIZE)
		ck_assert_int_eq(memcmp(buf + s, buf + s + 1, SECTOR_SIZE - 1),
				 0);
}

static struct sim_device *make(uint64_t seed)
{
	const struct sim_device_config config = {
		.seed = seed,
		.block_count = UINT64_C(1) << 20,
		.volatile_cache = true,
	};

	return sim_device_create(&config);
}

START_TEST(durable_survives)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, 0), 0);
		ck_assert_int_eq(flush(d), 0);
		ck_assert_int_eq(put(d, 2, 1, 0), 0);
		ck_assert_int_eq(put(d, 2, 2, VDO_DEVICE_FUA), 0);
		ck_assert_int_eq(put(d, 3, 3, VDO_DEVICE_FUA), 0);
		sim_device_crash(sd);
		ck_assert(sim_device_crashed(sd));
		ck_assert_int_eq(put(d, 1, 9, 0), -EIO);
		ck_assert_int_eq(flush(d), -EIO);
		vdo_device_close(d);
		d = sim_device_reopen(sd, NULL);
		ck_assert(!sim_device_crashed(sd));
		for (int i = 1; i <= 3; i++)
			ck_assert_int_eq(value_of(sd, (uint64_t)i), i);
		ck_assert_int_eq(put(d, 1, 9, 0), 0);
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
}
END_TEST

/* Over many seeds a block that is not durable meets each fate. */
START_TEST(cached_meets_all_fates)
{
	unsigned kept = 0;
	unsigned dropped = 0;
	unsigned older = 0;
	unsigned torn = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, VDO_DEVICE_FUA), 0);
		ck_assert_int_eq(put(d, 1, 2, 0), 0);
		ck_assert_int_eq(put(d, 1, 3, 0), 0);
		ck_assert_int_eq(value_of(sd, 1), 3);
		sim_device_crash(sd);
		check_sectors(sd, 1);
		kept += value_of(sd, 1) == 3;
		dropped += value_of(sd, 1) == 1;
		older += value_of(sd, 1) == 2;
		torn += value_of(sd, 1) == -1;
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(kept, 0);
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_gt(older, 0);
	ck_assert_uint_gt(torn, 0);
	ck_assert_uint_eq(kept + dropped + older + torn, SEEDS);
}
END_TEST

/* FUA that lies is a write like any other: only a flush makes it durable. */
START_TEST(fua_lies)
{
	unsigned kept = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device_config config = {.seed = seed,
						   .block_count = 16,
						   .volatile_cache = true,
						   .fua_lies = true};
		struct sim_device *sd = sim_device_create(&config);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, VDO_DEVICE_FUA), 0);
		ck_assert_int_eq(flush(d), 0);
		ck_assert_uint_eq(sim_device_settled(sd), 1);
		ck_assert_int_eq(put(d, 2, 2, VDO_DEVICE_FUA), 0);
		ck_assert_uint_eq(sim_device_settled(sd), 1);
		ck_assert_uint_eq(sim_device_written(sd), 2);
		sim_device_crash(sd);
		ck_assert_int_eq(value_of(sd, 1), 1);
		kept += value_of(sd, 2) == 2;
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(kept, 0);
	ck_assert_uint_lt(kept, SEEDS);
}
END_TEST

/* What a failed flush should have covered may be lost, whatever is flushed later,
 * but not from a device that has settled. */
START_TEST(failed_flush_loses)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_FLUSH), .times = 1};
	unsigned kept = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, 0), 0);
		sim_device_fault(sd, &fault);
		ck_assert_int_eq(flush(d), -EIO);
		ck_assert_int_eq(flush(d), 0);
		ck_assert_int_eq(value_of(sd, 1), 1);
		if (_i == 1)
			sim_device_settle(sd);
		sim_device_crash(sd);
		kept += value_of(sd, 1) == 1;
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(kept, 0);
	if (_i == 1)
		ck_assert_uint_eq(kept, SEEDS);
	else
		ck_assert_uint_lt(kept, SEEDS);
}
END_TEST

/* Where only the process dies, its last write is there or not, even with FUA not
 * for certain, and what was there stays until the power fails. */
START_TEST(killed_process)
{
	unsigned happened = 0, lost = 0, lost_before = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, VDO_DEVICE_FUA), 0);
		ck_assert_int_eq(put(d, 2, 2, 0), 0);
		sim_device_kill_only(sd, true);
		sim_device_crash_at(sd, 1);
		ck_assert_int_eq(put(d, 3, 3, VDO_DEVICE_FUA), -EIO);
		ck_assert_int_eq(put(d, 4, 4, 0), -EIO);
		ck_assert(sim_device_crashed(sd));
		ck_assert_int_eq(value_of(sd, 1), 1);
		ck_assert_int_eq(value_of(sd, 2), 2);
		ck_assert_int_eq(value_of(sd, 4), 0);
		happened += value_of(sd, 3) == 3;
		vdo_device_close(d);
		d = sim_device_reopen(sd, NULL);
		sim_device_kill_only(sd, false);
		if (value_of(sd, 3) == 3 && seed % 2 == 0) {
			ck_assert_int_eq(flush(d), 0);
			sim_device_crash(sd);
			ck_assert_int_eq(value_of(sd, 2), 2);
			ck_assert_int_eq(value_of(sd, 3), 3);
		} else {
			lost += value_of(sd, 3) == 3;
			sim_device_crash(sd);
			lost -= value_of(sd, 3) == 3;
			lost_before += value_of(sd, 2) != 2;
		}
		ck_assert_int_eq(value_of(sd, 1), 1);
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(happened, 0);
	ck_assert_uint_lt(happened, SEEDS);
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_gt(lost_before, 0);
}
END_TEST

static unsigned even_or_odd(void *arg, uint64_t block, const void *bytes)
{
	ck_assert_uint_eq(block, *(const unsigned char *)bytes);
	ck_assert_ptr_null(arg);
	return block % 2;
}

/* Some crashes lose all blocks of a kind, and no others. */
START_TEST(one_kind_is_lost)
{
	unsigned odd_lost = 0, even_lost = 0;

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);
		unsigned kept[2] = {0};

		sim_device_kinds(sd, even_or_odd, NULL);
		for (int i = 1; i <= 20; i++)
			ck_assert_int_eq(put(d, (uint64_t)i, i, 0), 0);
		sim_device_crash(sd);
		for (int i = 1; i <= 20; i++)
			kept[i % 2] += value_of(sd, (uint64_t)i) == i;
		odd_lost += kept[0] == 10 && kept[1] == 0;
		even_lost += kept[0] == 0 && kept[1] == 10;
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(odd_lost, SEEDS / 10);
	ck_assert_uint_gt(even_lost, SEEDS / 10);
}
END_TEST

/* The same crash ends in other ways, each of which the first might have been. */
START_TEST(crash_otherwise)
{
	unsigned ends[4] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_int_eq(put(d, 1, 1, 0), 0);
		ck_assert_int_eq(flush(d), 0);
		ck_assert_int_eq(put(d, 2, 2, 0), 0);
		ck_assert_int_eq(put(d, 3, 3, 0), 0);
		sim_device_crash(sd);
		for (unsigned i = 0; i < 10; i++) {
			sim_device_crash_otherwise(sd);
			ck_assert_int_eq(value_of(sd, 1), 1);
			ends[2 * (value_of(sd, 2) == 2) +
			     (value_of(sd, 3) == 3)]++;
		}
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
		ck_assert_uint_gt(ends[i], SEEDS);
}
END_TEST

/* A crash that is only thought of shows what it would leave, and changes nothing. */
START_TEST(pretend_crash)
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct executor *x = sim_executor_create(seed);
		struct vdo_device *d = sim_device_open(sd, x);
		unsigned char block[BLOCK_SIZE];
		struct op one, two;

		memset(block, 1, sizeof(block));
		op_start(d, &one, VDO_DEVICE_WRITE, 0, 1, block, 1);
		while (one.calls == 0)
			sim_executor_run(x, 1);
		op_start(d, &two, VDO_DEVICE_WRITE, 0, 2, block, 1);
		sim_device_pretend_crash(sd);
		lost += value_of(sd, 1) != 1;
		sim_device_crash_otherwise(sd);
		sim_device_did_not_crash(sd);
		ck_assert_int_eq(value_of(sd, 1), 1);
		ck_assert_int_eq(value_of(sd, 2), 0);
		while (two.calls == 0)
			sim_executor_run(x, 1);
		ck_assert_int_eq(two.result, 0);
		ck_assert_int_eq(value_of(sd, 2), 1);
		ck_assert(!sim_device_crashed(sd));
		vdo_device_close(d);
		executor_destroy(x);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_lt(lost, SEEDS);
}
END_TEST

#define LOOKED 8u

/* The bytes that each stamp was seen with. */
struct looks {
	uint64_t stamps[4096];
	unsigned char bytes[4096][BLOCK_SIZE];
	unsigned count;
};

/* Each block has the bytes that its stamp had before, and a peek copies them. */
static void look_at_all(struct sim_device *sd, struct looks *seen)
{
	for (uint64_t b = 0; b < LOOKED; b++) {
		unsigned char copy[BLOCK_SIZE];
		uint64_t stamp;
		const void *at = sim_device_look(sd, b, &stamp);
		unsigned i = 0;

		sim_device_peek(sd, b, copy);
		ck_assert_mem_eq(copy, at, BLOCK_SIZE);
		while (i < seen->count && seen->stamps[i] != stamp)
			i++;
		if (i < seen->count) {
			ck_assert_mem_eq(seen->bytes[i], at, BLOCK_SIZE);
			continue;
		}
		ck_assert_uint_lt(i, ARRAY_SIZE(seen->stamps));
		seen->stamps[seen->count] = stamp;
		memcpy(seen->bytes[seen->count++], at, BLOCK_SIZE);
	}
}

/* Some of what may happen to a device. */
static void do_something(struct sim_device *sd, struct executor *x,
			 struct vdo_device *d, unsigned i)
{
	unsigned char block[BLOCK_SIZE];
	struct op write, flush;

	for (unsigned s = 0; s < BLOCK_SIZE; s += SECTOR_SIZE)
		memset(block + s, (int)(i * 8 + s / SECTOR_SIZE), SECTOR_SIZE);
	op_start(d, &write, VDO_DEVICE_WRITE, i % 5 == 0 ? VDO_DEVICE_FUA : 0,
		 i * 7 % LOOKED, block, 1);
	if (i % 4 == 1)
		op_start(d, &flush, VDO_DEVICE_FLUSH, 0, 0, NULL, 0);
	(void)sim_executor_run(x, i % 3);
	if (i % 6 == 5)
		sim_device_rot(sd, i % LOOKED * BLOCK_SIZE + i, 1, 4);
	sim_device_pretend_crash(sd);
	sim_device_crash_otherwise(sd);
	sim_device_did_not_crash(sd);
	while (sim_device_pending(sd) > 0)
		(void)sim_executor_run(x, 1);
}

/* Blocks with equal stamps are equal, whatever happens in between, also in ends of
 * crashes that did not come, and of one that did. */
START_TEST(stamps)
{
	struct looks *seen = calloc(1, sizeof(*seen));

	for (uint64_t seed = 0; seed < 10; seed++) {
		struct sim_device *sd = make(seed);
		struct executor *x = sim_executor_create(seed);
		struct vdo_device *d = sim_device_open(sd, x);

		seen->count = 0;
		for (unsigned i = 0; i < 20; i++) {
			do_something(sd, x, d, i);
			look_at_all(sd, seen);
			sim_device_pretend_crash(sd);
			for (unsigned end = 0; end < 3; end++) {
				look_at_all(sd, seen);
				sim_device_crash_otherwise(sd);
			}
			sim_device_did_not_crash(sd);
			look_at_all(sd, seen);
		}
		sim_device_crash(sd);
		look_at_all(sd, seen);
		sim_device_crash_otherwise(sd);
		look_at_all(sd, seen);
		vdo_device_close(d);
		executor_destroy(x);
		sim_device_destroy(sd);
	}
	free(seen);
}
END_TEST

/* Without a cache a completed write stays; one under way may go. */
START_TEST(no_cache)
{
	unsigned happened = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		const struct sim_device_config config = {
			.seed = seed, .block_count = 8};
		struct sim_device *sd = sim_device_create(&config);
		struct vdo_device *d = sim_device_open(sd, NULL);

		ck_assert_uint_eq(d->flags, VDO_DEVICE_CAN_DISCARD);
		ck_assert_int_eq(put(d, 1, 1, 0), 0);
		sim_device_crash_at(sd, 2);
		ck_assert_int_eq(put(d, 2, 2, 0), 0);
		ck_assert_int_eq(put(d, 3, 3, 0), -EIO);
		ck_assert_int_eq(value_of(sd, 1), 1);
		ck_assert_int_eq(value_of(sd, 2), 2);
		happened += value_of(sd, 3) == 3;
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(happened, 0);
	ck_assert_uint_lt(happened, SEEDS);
}
END_TEST

/* A write that completes while a flush is under way is not covered by it. */
START_TEST(flush_covers_what_was_complete)
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct executor *x = sim_executor_create(seed);
		struct vdo_device *d = sim_device_open(sd, x);
		unsigned char buf[BLOCK_SIZE];
		struct op before;
		struct op during;
		struct op fl;

		memset(buf, 7, sizeof(buf));
		op_start(d, &before, VDO_DEVICE_WRITE, 0, 1, buf, 1);
		while (before.calls == 0)
			ck_assert_uint_eq(sim_executor_run(x, 1), 1);
		op_start(d, &fl, VDO_DEVICE_FLUSH, 0, 0, NULL, 0);
		op_start(d, &during, VDO_DEVICE_WRITE, 0, 2, buf, 1);
		while (fl.calls == 0 || during.calls == 0)
			ck_assert_uint_eq(sim_executor_run(x, 1), 1);
		ck_assert_int_eq(fl.result, 0);
		sim_device_crash(sd);
		ck_assert_int_eq(value_of(sd, 1), 7);
		lost += value_of(sd, 2) != 7;
		executor_destroy(x);
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(lost, 0);
}
END_TEST

/* I/O overtakes other I/O, the same way each time. */
START_TEST(order_is_the_seeds)
{
	enum { COUNT = 32 };
	uint64_t first[COUNT];
	bool shuffled = false;

	for (int round = 0; round < 2; round++) {
		struct sim_device *sd = make(5);
		struct executor *x = sim_executor_create(5);
		struct vdo_device *d = sim_device_open(sd, x);
		unsigned char buf[BLOCK_SIZE] = {1};
		struct op ops[COUNT];

		completions = 0;
		for (unsigned i = 0; i < COUNT; i++)
			op_start(d, &ops[i], VDO_DEVICE_WRITE, 0, i, buf, 1);
		ck_assert_uint_eq(sim_device_pending(sd), COUNT);
		while (sim_device_pending(sd) > 0)
			sim_executor_run(x, 1);
		for (unsigned i = 0; i < COUNT; i++) {
			ck_assert_int_eq(ops[i].calls, 1);
			shuffled |= ops[i].order != i + 1;
			if (round == 0)
				first[i] = ops[i].order;
			else
				ck_assert_uint_eq(first[i], ops[i].order);
		}
		executor_destroy(x);
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert(shuffled);
}
END_TEST

/* A volume that is forgotten in the middle leaves nothing behind. */
START_TEST(abandoned)
{
	struct sim_device *sd = make(1);
	struct executor *x = sim_executor_create(1);
	struct vdo_device *d = sim_device_open(sd, x);
	unsigned char buf[BLOCK_SIZE] = {1};
	struct op ops[4];

	ck_assert_int_eq(device_claim(d, x), 0);
	for (unsigned i = 0; i < 4; i++)
		op_start(d, &ops[i], VDO_DEVICE_WRITE, 0, i, buf, 1);
	sim_device_crash(sd);
	sim_executor_drop(x);
	executor_destroy(x);
	x = sim_executor_create(2);
	d = sim_device_reopen(sd, x);
	ck_assert_int_eq(device_write(d, 0, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(sim_device_pending(sd), 0);
	ck_assert_int_eq(ops[0].calls, 0);
	executor_destroy(x);
	vdo_device_close(d);
	sim_device_destroy(sd);
}
END_TEST

static const struct {
	const char *name;
	struct sim_fault fault;
	int want[6]; /* write 1, read 1, flush, write 2, write 1, read 1 */
} faults[] = {
	{"none", {.ops = 0}, {0}},
	{"all", {.ops = SIM_OPS_ALL}, {-EIO, -EIO, -EIO, -EIO, -EIO, -EIO}},
	{"reads", {.ops = SIM_OP(VDO_DEVICE_READ)}, {0, -EIO, 0, 0, 0, -EIO}},
	{"second write, once",
	 {.ops = SIM_OP(VDO_DEVICE_WRITE), .skip = 1, .times = 1},
	 {0, 0, 0, -EIO, 0, 0}},
	{"place",
	 {.ops = SIM_OP(VDO_DEVICE_READ) | SIM_OP(VDO_DEVICE_WRITE),
	  .first_block = 2,
	  .block_count = 5,
	  .result = -ENOSPC},
	 {0, 0, 0, -ENOSPC, 0, 0}},
	{"flush once",
	 {.ops = SIM_OP(VDO_DEVICE_FLUSH), .times = 1},
	 {0, 0, -EIO, 0, 0, 0}},
};

START_TEST(failures)
{
	struct sim_device *sd = make(1);
	struct vdo_device *d = sim_device_open(sd, NULL);
	unsigned char buf[BLOCK_SIZE];
	const int *want = faults[_i].want;

	sim_device_fault(sd, &faults[_i].fault);
	ck_assert_int_eq(put(d, 1, 1, 0), want[0]);
	ck_assert_int_eq(value_of(sd, 1), want[0] == 0 ? 1 : 0);
	ck_assert_int_eq(run(d, VDO_DEVICE_READ, 0, 1, buf, 1), want[1]);
	ck_assert_int_eq(flush(d), want[2]);
	ck_assert_int_eq(put(d, 2, 1, 0), want[3]);
	ck_assert_int_eq(put(d, 1, 1, 0), want[4]);
	ck_assert_int_eq(run(d, VDO_DEVICE_READ, 0, 1, buf, 1), want[5]);
	sim_device_clear_faults(sd);
	ck_assert_int_eq(put(d, 1, 1, 0), 0);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_WRITE), 4);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_READ), 2);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_FLUSH), 1);
	vdo_device_close(d);
	sim_device_destroy(sd);
}
END_TEST

START_TEST(rot_and_poke)
{
	struct sim_device *sd = make(1);
	struct vdo_device *d = sim_device_open(sd, NULL);
	unsigned char buf[BLOCK_SIZE];

	memset(buf, 6, sizeof(buf));
	sim_device_poke(sd, 3, buf);
	sim_device_rot(sd, 3 * BLOCK_SIZE + 10, 2, 0x81);
	ck_assert_int_eq(device_read(d, 3 * BLOCK_SIZE, buf, sizeof(buf)), 0);
	ck_assert_int_eq(buf[9], 6);
	ck_assert_int_eq(buf[10], 6 ^ 0x81);
	ck_assert_int_eq(buf[11], 6 ^ 0x81);
	ck_assert_int_eq(buf[12], 6);
	ck_assert_int_eq(put(d, 3, 1, 0), 0);
	sim_device_peek_durable(sd, 3, buf);
	ck_assert_int_eq(buf[0], 6);
	ck_assert_int_eq(flush(d), 0);
	sim_device_peek_durable(sd, 3, buf);
	ck_assert_int_eq(buf[0], 1);
	vdo_device_close(d);
	sim_device_destroy(sd);
}
END_TEST

static bool is_block_5(void *arg, const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_WRITE && io->offset == 5 * BLOCK_SIZE;
}

START_TEST(hold_and_release)
{
	struct sim_device *sd = make(1);
	struct vdo_device *d = sim_device_open(sd, NULL);
	unsigned char buf[BLOCK_SIZE];
	struct op held;

	memset(buf, 8, sizeof(buf));
	sim_device_hold(sd, is_block_5, NULL);
	op_start(d, &held, VDO_DEVICE_WRITE, 0, 5, buf, 1);
	ck_assert_int_eq(held.calls, 0);
	ck_assert_uint_eq(sim_device_held(sd), 1);
	ck_assert_uint_eq(sim_device_pending(sd), 1);
	ck_assert_int_eq(put(d, 6, 1, 0), 0);
	ck_assert_int_eq(value_of(sd, 5), 0);
	sim_device_hold(sd, NULL, NULL);
	ck_assert_int_eq(held.calls, 0);
	sim_device_release(sd);
	ck_assert_int_eq(held.calls, 1);
	ck_assert_int_eq(held.result, 0);
	ck_assert_int_eq(value_of(sd, 5), 8);
	ck_assert_uint_eq(sim_device_held(sd), 0);
	vdo_device_close(d);
	sim_device_destroy(sd);
}
END_TEST

START_TEST(discards)
{
	unsigned zeroed = 0, shown = 0, undone = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct sim_device *sd = make(seed);
		struct vdo_device *d = sim_device_open(sd, NULL);
		int value;

		ck_assert_int_eq(put(d, 1, 4, 0), 0);
		ck_assert_int_eq(run(d, VDO_DEVICE_DISCARD, 0, 1, NULL, 1), 0);
		value = value_of(sd, 1);
		ck_assert(value == 0 || value == 4);
		zeroed += value == 0;
		if (seed % 2 == 0)
			ck_assert_int_eq(run(d, VDO_DEVICE_FLUSH, 0, 0, NULL, 0),
					 0);
		ck_assert_int_eq(value_of(sd, 1), value);
		sim_device_crash(sd);
		/* What is shown may be gone; what is gone does not come back
		 * after a flush. */
		shown += seed % 2 == 0 && value == 4 && value_of(sd, 1) == 0;
		undone += value == 0 && value_of(sd, 1) == 4;
		ck_assert(seed % 2 != 0 || value != 0 || value_of(sd, 1) == 0);
		vdo_device_close(d);
		sim_device_destroy(sd);
	}
	ck_assert_uint_gt(zeroed, 0);
	ck_assert_uint_lt(zeroed, SEEDS);
	ck_assert_uint_gt(shown, 0);
	ck_assert_uint_gt(undone, 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("sim_device");

	tcase_add_test(tc, durable_survives);
	tcase_add_test(tc, cached_meets_all_fates);
	tcase_add_test(tc, fua_lies);
	tcase_add_loop_test(tc, failed_flush_loses, 0, 2);
	tcase_add_test(tc, killed_process);
	tcase_add_test(tc, one_kind_is_lost);
	tcase_add_test(tc, crash_otherwise);
	tcase_add_test(tc, pretend_crash);
	tcase_add_test(tc, stamps);
	tcase_add_test(tc, no_cache);
	tcase_add_test(tc, flush_covers_what_was_complete);
	tcase_add_test(tc, order_is_the_seeds);
	tcase_add_test(tc, abandoned);
	tcase_add_loop_test(tc, failures, 0, ARRAY_SIZE(faults));
	tcase_add_test(tc, rot_and_poke);
	tcase_add_test(tc, hold_and_release);
	tcase_add_test(tc, discards);
	return unit_run();
}
