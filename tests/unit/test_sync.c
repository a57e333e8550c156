/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The durability service, invariant by invariant.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>

#include "exec/executor.h"
#include "io/device.h"
#include "io/sync.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"

#define OPS 16

static struct sim_device *sd;
static struct vdo_device *device;
static struct executor *x;
static struct queue *service;
static struct queue *home;
static struct storage storage;
static struct sync sync_service;
static unsigned failures;
static int failure;

struct op {
	struct sync_op sync;
	int calls;
	unsigned failures_seen; /* upcalls before this one finished */
};

static struct op ops[OPS];

static void op_done(struct completion *c)
{
	struct op *op = container_of(c, struct op, sync.done);

	ck_assert(queue_is_current(home));
	op->calls++;
	op->failures_seen = failures;
}

static void failed(void *arg, int result)
{
	ck_assert_ptr_eq(arg, &failures);
	ck_assert(queue_is_current(service));
	failures++;
	failure = result;
}

static void open_seed(uint64_t seed, bool volatile_cache)
{
	const struct sim_device_config config = {
		.seed = seed,
		.block_count = 64,
		.volatile_cache = volatile_cache,
	};

	x = sim_executor_create(seed);
	ck_assert_int_eq(executor_queue(x, "service", 0, &service), 0);
	ck_assert_int_eq(executor_queue(x, "home", 0, &home), 0);
	sd = sim_device_create(&config);
	device = sim_device_open(sd, x);
	storage_init(&storage, device, 0);
	failures = 0;
	sync_init(&sync_service, service, &storage, failed, &failures);
	memset(ops, 0, sizeof(ops));
}

static void close_all(void)
{
	executor_destroy(x);
	vdo_device_close(device);
	sim_device_destroy(sd);
}

static void ask(struct op *op)
{
	op->calls = 0;
	completion_init(&op->sync.done, home, op_done);
	sync_request(&sync_service, &op->sync);
}

static void run_all(void)
{
	while (sim_executor_run(x, 100) == 100)
		continue;
}

static bool any_flush(void *arg, const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_FLUSH;
}

static uint64_t flushes(void)
{
	return sim_device_count(sd, VDO_DEVICE_FLUSH);
}

/* All that ask before a flush begins share it; later ones share the next. */
START_TEST(coalesces)
{
	open_seed((uint64_t)_i, true);
	sim_device_hold(sd, any_flush, NULL);
	ask(&ops[0]);
	run_all();
	ck_assert_uint_eq(flushes(), 1);
	for (unsigned i = 1; i < OPS; i++)
		ask(&ops[i]);
	run_all();
	ck_assert_uint_eq(flushes(), 1);
	ck_assert_uint_eq(sim_device_held(sd), 1);
	ck_assert_int_eq(ops[0].calls, 0);

	sim_device_release(sd);
	run_all();
	ck_assert_int_eq(ops[0].calls, 1);
	ck_assert_int_eq(ops[0].sync.done.result, 0);
	ck_assert_uint_eq(flushes(), 2);
	for (unsigned i = 1; i < OPS; i++)
		ck_assert_int_eq(ops[i].calls, 0); /* invariant 1 */

	sim_device_release(sd);
	run_all();
	for (unsigned i = 1; i < OPS; i++) {
		ck_assert_int_eq(ops[i].calls, 1);
		ck_assert_int_eq(ops[i].sync.done.result, 0);
	}
	ck_assert_uint_eq(flushes(), 2);
	ck_assert_uint_eq(failures, 0);
	close_all();
}
END_TEST

/* Invariant 1, from outside: what was written before asking is durable. */
struct writer {
	struct mio mio;
	struct sync_op sync;
	unsigned char data[BLOCK_SIZE];
	pbn_t pbn;
	int calls;
};

static void writer_synced(struct completion *c)
{
	struct writer *w = container_of(c, struct writer, sync.done);
	unsigned char got[BLOCK_SIZE];

	ck_assert_int_eq(c->result, 0);
	sim_device_peek_durable(sd, w->pbn, got);
	ck_assert_int_eq(memcmp(got, w->data, sizeof(got)), 0);
	w->calls++;
}

static void writer_written(struct completion *c)
{
	struct writer *w = container_of(c, struct writer, mio.done);

	ck_assert_int_eq(c->result, 0);
	completion_init(&w->sync.done, home, writer_synced);
	sync_request(&sync_service, &w->sync);
}

START_TEST(durable_when_done)
{
	static struct writer writers[32];

	open_seed((uint64_t)_i, true);
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++) {
		struct writer *w = &writers[i];

		w->pbn = i;
		w->calls = 0;
		memset(w->data, (int)i + 1, sizeof(w->data));
		completion_init(&w->mio.done, home, writer_written);
		mio_write(&w->mio, &storage, MIO_DATA, i, 1, w->data, false);
	}
	run_all();
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++)
		ck_assert_int_eq(writers[i].calls, 1);
	ck_assert_uint_lt(flushes(), ARRAY_SIZE(writers));
	close_all();
}
END_TEST

/* Invariant 2: everybody learns of a failure, nobody tries again. */
START_TEST(failure_is_for_ever)
{
	const struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_FLUSH),
					.skip = 1,
					.times = 1,
					.result = -ENOLINK};

	open_seed((uint64_t)_i, true);
	sim_device_fault(sd, &fault);
	ask(&ops[0]);
	run_all();
	ck_assert_int_eq(ops[0].calls, 1);
	ck_assert_int_eq(ops[0].sync.done.result, 0);

	sim_device_hold(sd, any_flush, NULL);
	ask(&ops[1]);
	run_all();
	ask(&ops[2]); /* would be covered by the next flush */
	run_all();
	sim_device_hold(sd, NULL, NULL);
	sim_device_release(sd);
	run_all();
	ask(&ops[3]);
	run_all();
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(ops[i].calls, 1);
		ck_assert_int_eq(ops[i].sync.done.result, -ENOLINK);
		ck_assert_uint_eq(ops[i].failures_seen, 1);
	}
	ck_assert_uint_eq(failures, 1);
	ck_assert_int_eq(failure, -ENOLINK);
	ck_assert_uint_eq(flushes(), 2);
	close_all();
}
END_TEST

/* Read-only storage flushes no more, so nothing more becomes durable. */
START_TEST(read_only_storage)
{
	open_seed(1, true);
	storage_set_read_only(&storage);
	ask(&ops[0]);
	run_all();
	ck_assert_int_eq(ops[0].calls, 1);
	ck_assert_int_eq(ops[0].sync.done.result, -VDO_EREADONLY);
	ck_assert_uint_eq(flushes(), 0);
	close_all();
}
END_TEST

/* Invariant 3. */
START_TEST(no_cache_no_flush)
{
	open_seed((uint64_t)_i, false);
	for (unsigned i = 0; i < OPS; i++)
		ask(&ops[i]);
	run_all();
	for (unsigned i = 0; i < OPS; i++) {
		ck_assert_int_eq(ops[i].calls, 1);
		ck_assert_int_eq(ops[i].sync.done.result, 0);
	}
	ck_assert_uint_eq(flushes(), 0);
	close_all();
}
END_TEST

/* An op may be used again from inside of its own completion. */
static unsigned rounds;

static void again(struct completion *c)
{
	struct op *op = container_of(c, struct op, sync.done);

	ck_assert_int_eq(c->result, 0);
	if (++rounds < 10) {
		completion_init(&op->sync.done, home, again);
		sync_request(&sync_service, &op->sync);
	}
}

START_TEST(op_is_reusable)
{
	open_seed((uint64_t)_i, true);
	rounds = 0;
	completion_init(&ops[0].sync.done, home, again);
	sync_request(&sync_service, &ops[0].sync);
	run_all();
	ck_assert_uint_eq(rounds, 10);
	ck_assert_uint_eq(flushes(), 10);
	close_all();
}
END_TEST

/* Who asks while an op is expected shares its flush, or has one of his own if it
 * does not come. */
START_TEST(expected)
{
	bool comes = _i % 2 == 0;

	open_seed((uint64_t)_i, true);
	sync_expect(&sync_service);
	for (unsigned i = 1; i < OPS; i++)
		ask(&ops[i]);
	run_all();
	ck_assert_uint_eq(flushes(), 0);
	if (comes) {
		completion_init(&ops[0].sync.done, home, op_done);
		sync_request_expected(&sync_service, &ops[0].sync);
	} else {
		sync_unexpect(&sync_service);
	}
	run_all();
	ck_assert_uint_eq(flushes(), 1);
	ck_assert_int_eq(ops[0].calls, comes);
	for (unsigned i = 1; i < OPS; i++)
		ck_assert_int_eq(ops[i].calls, 1);
	/* That was it: the next one is nobody's to wait for. */
	ask(&ops[1]);
	run_all();
	ck_assert_uint_eq(flushes(), 2);
	ck_assert_int_eq(ops[1].calls, 1);
	close_all();
}
END_TEST

static void served(struct completion *c)
{
	op_done(c);
	sync_expect(&sync_service);
}

/* Whom a flush served, on the service's queue, can say that he will ask again,
 * before one begins for those who came meanwhile. */
START_TEST(expected_by_who_was_served)
{
	open_seed((uint64_t)_i, true);
	home = service;
	sim_device_hold(sd, any_flush, NULL);
	completion_init(&ops[0].sync.done, home, served);
	sync_request(&sync_service, &ops[0].sync);
	run_all();
	ask(&ops[1]);
	run_all();
	sim_device_release(sd);
	run_all();
	ck_assert_int_eq(ops[0].calls, 1);
	ck_assert_int_eq(ops[1].calls, 0);
	ask(&ops[2]);
	completion_init(&ops[0].sync.done, home, op_done);
	sync_request_expected(&sync_service, &ops[0].sync);
	run_all();
	sim_device_release(sd);
	run_all();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(ops[i].calls, i == 0 ? 2 : 1);
	ck_assert_uint_eq(flushes(), 2);
	close_all();
}
END_TEST

/* A failure is told to those who wait for an op that is expected. */
START_TEST(expected_and_failed)
{
	const struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_FLUSH),
					.times = 1,
					.result = -ENOLINK};

	open_seed((uint64_t)_i, true);
	sync_expect(&sync_service);
	ask(&ops[1]);
	run_all();
	sim_device_fault(sd, &fault);
	sync_unexpect(&sync_service);
	run_all();
	ck_assert_int_eq(ops[1].calls, 1);
	ck_assert_int_eq(ops[1].sync.done.result, -ENOLINK);
	ck_assert_uint_eq(failures, 1);
	close_all();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("sync");

	tcase_add_loop_test(tc, coalesces, 0, 10);
	tcase_add_loop_test(tc, durable_when_done, 0, 20);
	tcase_add_loop_test(tc, failure_is_for_ever, 0, 10);
	tcase_add_test(tc, read_only_storage);
	tcase_add_loop_test(tc, no_cache_no_flush, 0, 3);
	tcase_add_loop_test(tc, op_is_reusable, 0, 5);
	tcase_add_loop_test(tc, expected, 0, 10);
	tcase_add_loop_test(tc, expected_by_who_was_served, 0, 5);
	tcase_add_loop_test(tc, expected_and_failed, 0, 3);
	return unit_run();
}
