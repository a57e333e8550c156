/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one writer of the super block, invariant by invariant.
 */
#include "build.h"

#include "volume/super_writer.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "exec/executor.h"
#include "io/device.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"

#define SUPER 7u /* its block */
#define OPS   6u

static struct executor *x;
static struct queue *queue;
static struct sim_device *sd;
static struct vdo_device *device;
static struct storage storage;
static struct sync sync_service;
static struct log quiet;
static struct readonly readonly;
static struct super_writer writer;

struct op {
	struct super_op super;
	struct completion go;
	uint32_t state;
	uint64_t mark; /* journal_start */
	unsigned changes;
	int calls;
};

static struct op ops[OPS];
static unsigned order;

static void flush_failed(void *arg, int result)
{
	(void)arg;
	readonly_enter(&readonly, result, "a flush failed");
}

static void setup(uint64_t seed)
{
	const struct sim_device_config config = {
		.seed = seed, .block_count = 16, .volatile_cache = true};
	struct superblock sb = {.state = VOLUME_CLEAN, .nonce = 5};
	uint8_t block[BLOCK_SIZE];

	x = sim_executor_create(seed);
	ck_assert_int_eq(executor_queue(x, "journal", 0, &queue), 0);
	sd = sim_device_create(&config);
	device = sim_device_open(sd, x);
	storage_init(&storage, device, 0);
	readonly_init(&readonly, &storage, &quiet, NULL, NULL);
	sync_init(&sync_service, queue, &storage, flush_failed, NULL);
	superblock_encode(&sb, block);
	sim_device_poke(sd, SUPER, block);
	memset(&writer, 0, sizeof(writer));
	ck_assert_int_eq(super_writer_init(&writer,
					   &(struct super_writer_config){
						   .queue = queue,
						   .storage = &storage,
						   .sync = &sync_service,
						   .readonly = &readonly,
						   .pbn = SUPER,
						   .sb = &sb,
					   }),
			 0);
	memset(ops, 0, sizeof(ops));
	order = 0;
}

static void teardown(void)
{
	super_writer_fini(&writer);
	executor_destroy(x);
	vdo_device_close(device);
	sim_device_destroy(sd);
}

static bool change(struct super_op *s, struct superblock *sb)
{
	struct op *op = container_of(s, struct op, super);

	ck_assert(queue_is_current(queue));
	op->changes++;
	if (op->state == UINT32_MAX)
		return false;
	sb->state = op->state;
	sb->journal_start = op->mark;
	sb->block_map_data_blocks++; /* each sees what the one before said */
	return true;
}

static void op_done(struct completion *c)
{
	struct op *op = container_of(c, struct op, super.done);

	/* In the order in which they were asked for. */
	ck_assert_ptr_eq(op, &ops[order]);
	order++;
	op->calls++;
}

static void op_go(struct completion *c)
{
	struct op *op = container_of(c, struct op, go);

	completion_init(&op->super.done, queue, op_done);
	op->super.change = change;
	super_writer_write(&writer, &op->super);
}

static void ask(unsigned n, uint32_t state)
{
	ops[n].state = state;
	ops[n].mark = 100 + n;
	completion_init(&ops[n].go, queue, op_go);
	completion_post(&ops[n].go);
}

static void run_all(void)
{
	while (sim_executor_run(x, 100) == 100)
		continue;
}

/* What the writer believes is there for good, and has @state. */
static void check_storage(uint32_t state)
{
	uint8_t block[BLOCK_SIZE], want[BLOCK_SIZE];

	ck_assert_uint_eq(writer.sb.state, state);
	superblock_encode(&writer.sb, want);
	sim_device_peek_durable(sd, SUPER, block);
	ck_assert_mem_eq(block, want, BLOCK_SIZE);
}

static bool writes(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_WRITE;
}

static bool flushes(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_FLUSH;
}

/* One at a time, in order, each after a flush; what stays is the last. */
START_TEST(in_order)
{
	setup((uint64_t)_i);
	sim_device_hold(sd, writes, NULL);
	for (unsigned i = 0; i < OPS; i++)
		ask(i, i % 2 == 0 ? VOLUME_DIRTY : VOLUME_CLEAN);
	for (unsigned i = 0; i < OPS; i++) {
		run_all();
		ck_assert_uint_eq(order, i);
		ck_assert_uint_eq(sim_device_held(sd), 1);
		ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_FLUSH),
				  i + 1);
		ck_assert_uint_eq(ops[MIN(i + 1, OPS - 1)].changes,
				  i + 1 == OPS);
		sim_device_release(sd);
	}
	run_all();
	ck_assert_uint_eq(order, OPS);
	for (unsigned i = 0; i < OPS; i++)
		ck_assert_int_eq(ops[i].super.done.result, 0);
	ck_assert_uint_eq(sim_device_count_fua(sd), OPS);
	check_storage(VOLUME_CLEAN);
	ck_assert_uint_eq(writer.sb.block_map_data_blocks, OPS);
	ck_assert_uint_eq(writer.sb.journal_start, 100 + OPS - 1);
	teardown();
}
END_TEST

/* Read-only mode comes while CLEAN is being written, and another waits: the
 * record is the last word, and nothing follows it. */
START_TEST(read_only_is_not_overtaken)
{
	setup((uint64_t)_i);
	ask(0, VOLUME_DIRTY);
	run_all();
	sim_device_hold(sd, writes, NULL);
	ask(1, VOLUME_CLEAN);
	ask(2, VOLUME_CLEAN);
	run_all();
	ck_assert_uint_eq(sim_device_held(sd), 1);
	readonly_enter(&readonly, -EIO, "test");
	ask(3, VOLUME_READ_ONLY);
	ask(4, VOLUME_CLEAN);
	ask(5, VOLUME_DIRTY);
	for (unsigned i = 0; i < OPS; i++) {
		sim_device_release(sd);
		run_all();
	}
	ck_assert_uint_eq(order, OPS);
	ck_assert_int_eq(ops[1].super.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(ops[2].super.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(ops[3].super.done.result, 0);
	ck_assert_int_eq(ops[4].super.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(ops[5].super.done.result, -VDO_EREADONLY);
	check_storage(VOLUME_READ_ONLY);
	teardown();
}
END_TEST

/* It comes while the flush before CLEAN is under way: CLEAN is not written. */
START_TEST(read_only_during_the_flush)
{
	setup((uint64_t)_i);
	ask(0, VOLUME_DIRTY);
	run_all();
	sim_device_hold(sd, flushes, NULL);
	ask(1, VOLUME_CLEAN);
	run_all();
	ck_assert_uint_eq(sim_device_held(sd), 1);
	readonly_enter(&readonly, -EIO, "test");
	sim_device_release(sd);
	run_all();
	ck_assert_int_eq(ops[1].super.done.result, -VDO_EREADONLY);
	check_storage(VOLUME_DIRTY);
	/* And the record needs no flush. */
	ask(2, VOLUME_READ_ONLY);
	run_all();
	ck_assert_int_eq(ops[2].super.done.result, 0);
	ck_assert_uint_eq(sim_device_held(sd), 0);
	check_storage(VOLUME_READ_ONLY);
	teardown();
}
END_TEST

/* With nobody to record it: a CLEAN that was too late is not trusted, a DIRTY is
 * what the next record begins with. */
START_TEST(too_late)
{
	uint32_t state = _i % 2 == 0 ? VOLUME_CLEAN : VOLUME_DIRTY;

	setup((uint64_t)_i);
	if (state == VOLUME_CLEAN)
		ask(0, VOLUME_DIRTY);
	else
		ask(0, VOLUME_CLEAN);
	run_all();
	sim_device_hold(sd, writes, NULL);
	ask(1, state);
	run_all();
	readonly_enter(&readonly, -EIO, "test");
	sim_device_release(sd);
	run_all();
	ck_assert_int_eq(ops[1].super.done.result, -VDO_EREADONLY);
	ck_assert_uint_eq(writer.sb.state, VOLUME_DIRTY);
	ck_assert(writer.unsure == (state == VOLUME_CLEAN));
	teardown();
}
END_TEST

/* What was not written is not what the next one begins with; but it may be
 * there, until something else is for sure. */
START_TEST(failures)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE), .times = 1};

	setup((uint64_t)_i);
	ask(0, VOLUME_DIRTY);
	run_all();
	ck_assert(!writer.unsure);
	sim_device_fault(sd, &fault);
	ask(1, VOLUME_CLEAN);
	run_all();
	ck_assert_int_eq(ops[1].super.done.result, -EIO);
	ck_assert_uint_eq(writer.sb.state, VOLUME_DIRTY);
	ck_assert_uint_eq(writer.sb.journal_start, 100);
	ck_assert(writer.unsure);
	sim_device_clear_faults(sd);
	ask(2, VOLUME_DIRTY);
	run_all();
	ck_assert_int_eq(ops[2].super.done.result, 0);
	ck_assert(!writer.unsure);
	/* A flush that failed is final. */
	fault.ops = SIM_OP(VDO_DEVICE_FLUSH);
	sim_device_fault(sd, &fault);
	ask(3, VOLUME_CLEAN);
	ask(4, VOLUME_CLEAN);
	ask(5, UINT32_MAX); /* thinks better of it */
	run_all();
	ck_assert_int_eq(ops[3].super.done.result, -EIO);
	ck_assert_int_eq(ops[4].super.done.result, -VDO_EREADONLY);
	ck_assert_int_eq(ops[5].super.done.result, 0);
	check_storage(VOLUME_DIRTY);
	teardown();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("super_writer");

	tcase_add_loop_test(tc, in_order, 1, 6);
	tcase_add_loop_test(tc, read_only_is_not_overtaken, 1, 6);
	tcase_add_loop_test(tc, read_only_during_the_flush, 1, 6);
	tcase_add_loop_test(tc, too_late, 1, 7);
	tcase_add_loop_test(tc, failures, 1, 6);
	return unit_run();
}
