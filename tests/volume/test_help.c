/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Synchronous calls on an idle volume run its queues themselves: no thread is
 * woken, and callbacks of others still run on threads of the volume only.
 */
#include "build.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#include "api/handle.h"
#include "exec/executor.h"
#include "exec/help.h"
#include "tests/lib/fixture.h"

#define STORE_BYTES (64u << 20)
#define ROUNDS	    2000u

/* Storage in memory that holds back a read, when it is told to, until another
 * one comes. */
static uint8_t *bytes;
static atomic_bool holds;
static _Atomic(struct vdo_device_io *) held;

static void store_submit(void *ctx, struct vdo_device_io *io)
{
	struct vdo_device_io *before;

	if (io->op == VDO_DEVICE_READ && atomic_exchange(&holds, false)) {
		atomic_store(&held, io);
		return;
	}
	before = atomic_exchange(&held, NULL);
	if (before != NULL) {
		fixture_transfer(before, bytes);
		before->complete(before, 0);
	}
	fixture_transfer(io, bytes);
	io->complete(io, 0);
}

static uint64_t store_size(void *ctx)
{
	return STORE_BYTES;
}

static unsigned store_flags(void *ctx)
{
	return 0;
}

static const struct vdo_device_ops store_ops = {
	.size = sizeof(store_ops),
	.get_size = store_size,
	.get_flags = store_flags,
	.submit = store_submit,
};

static const struct {
	const char *options;
	struct test_pool_config pool;
} kinds[] = {
	{"threads=1 compression=off", {0}},
	{"threads=2 compression=off", {0}},
	{"threads=3 topology=classic compression=on", {0}},
	{"compression=off", {.threads = 2}},
};

static struct vdo_device *device;
static struct test_pool *pool;
static struct vdo_volume *volume;

static void begin(unsigned kind)
{
	struct vdo_config *c = fixture_config(
		"profile=small index-memory=none");
	struct vdo_error e;
	int r;

	bytes = calloc(1, STORE_BYTES);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(vdo_device_open_custom(&store_ops, NULL, &device), 0);
	r = vdo_format_device(device, c, &e);
	ck_assert_msg(r == 0, "%s", e.message);
	vdo_config_free(c);
	c = fixture_config(kinds[kind].options);
	pool = NULL;
	if (kinds[kind].pool.threads != 0) {
		pool = test_pool_create(&kinds[kind].pool);
		ck_assert_int_eq(vdo_config_set_pool(c, test_pool_ops(pool),
						     pool), 0);
	}
	r = vdo_open_device(device, c, &volume, &e);
	ck_assert_msg(r == 0, "%s", e.message);
	vdo_config_free(c);
}

static void end(void)
{
	ck_assert_int_eq(vdo_close(volume), 0);
	vdo_device_close(device);
	if (pool != NULL)
		test_pool_destroy(pool);
	free(bytes);
}

static void write_block(uint64_t lbn, uint64_t value)
{
	uint8_t *block = pattern_blocks(V_UNIQUE(value), 1);

	ck_assert_int_eq(vdo_pwrite(volume, block, BLOCK_SIZE,
				    lbn * BLOCK_SIZE, 0), 0);
	free(block);
}

static void read_block(uint64_t lbn, uint64_t value)
{
	static _Thread_local uint8_t block[BLOCK_SIZE];
	uint8_t *expected = pattern_blocks(V_UNIQUE(value), 1);

	ck_assert_int_eq(vdo_pread(volume, block, BLOCK_SIZE,
				   lbn * BLOCK_SIZE, 0), 0);
	ck_assert_mem_eq(block, expected, BLOCK_SIZE);
	free(expected);
}

/*
 * Threads go to sleep at some time, and stay asleep then: in the end no call
 * wakes anybody. Not counted: what writes leave for later.
 */
START_TEST(test_wakes_nobody)
{
	uint64_t woken;
	unsigned calm = 0;

	begin(_i);
	for (unsigned i = 0; i < 50; i++)
		write_block(i, i);
	while (calm < 100) {
		woken = executor_wakeups(volume->executor);
		read_block(calm % 50, calm % 50);
		calm = executor_wakeups(volume->executor) == woken ? calm + 1
								   : 0;
		sched_yield();
	}
	end();
}
END_TEST

static _Thread_local bool in_call;
static atomic_uint called;

static void callback(void *arg, int result)
{
	ck_assert_int_eq(result, 0);
	VDO_ASSERT(!in_call && help_given() == NULL);
	VDO_ASSERT(queue_running != NULL);
	atomic_fetch_add(&called, 1);
}

static void submit_read(void *buffer, uint64_t lbn)
{
	ck_assert_int_eq(vdo_aio_pread(volume, buffer, BLOCK_SIZE,
				       lbn * BLOCK_SIZE, callback, NULL, 0), 0);
}

/*
 * A read waits for the storage while all threads sleep. What ends it arrives in
 * the middle of a synchronous call, on the thread of that: the callback is for
 * a thread of the volume all the same.
 */
START_TEST(test_callback_of_others)
{
	static uint8_t buffer[BLOCK_SIZE];

	begin(_i);
	for (unsigned i = 0; i < 50; i++)
		write_block(i, i);
	ck_assert_int_eq(vdo_flush(volume, 0), 0);
	for (unsigned i = 0; i < unit_share(ROUNDS); i++) {
		atomic_store(&called, 0);
		atomic_store(&holds, true);
		submit_read(buffer, i % 50);
		while (atomic_load(&held) == NULL)
			sched_yield();
		for (unsigned k = 0; k < i % 5; k++)
			sched_yield();
		in_call = true;
		read_block((i + 1) % 50, (i + 1) % 50);
		in_call = false;
		while (atomic_load(&called) != 1)
			sched_yield();
	}
	end();
}
END_TEST

/* Threads that read, write and flush, each its own blocks, beside a load that
 * is not synchronous; and the volume is closed right after. */
#define HOSTS 3u

static atomic_bool over;

static void *host(void *arg)
{
	uint64_t first = *(unsigned *)arg * 100;

	in_call = true;
	for (unsigned i = 0; i < unit_share(ROUNDS) / 4; i++) {
		uint64_t lbn = first + i % 50;

		write_block(lbn, lbn + i);
		read_block(lbn, lbn + i);
		if (i % 40 == 0)
			ck_assert_int_eq(vdo_flush(volume, 0), 0);
		if (i % 30 == 0)
			ck_assert_int_eq(
				vdo_discard(volume, 2 * BLOCK_SIZE,
					    (first + 60) * BLOCK_SIZE, 0), 0);
	}
	return NULL;
}

static void *load(void *arg)
{
	static uint8_t buffer[BLOCK_SIZE];
	unsigned n = 0;

	while (!atomic_load(&over)) {
		submit_read(buffer, 1000 + n++ % 50);
		while (atomic_load(&called) != n)
			sched_yield();
	}
	return NULL;
}

START_TEST(test_many_callers)
{
	pthread_t threads[HOSTS], loader;
	unsigned numbers[HOSTS];

	begin(_i);
	for (unsigned hosts = 1; hosts <= HOSTS; hosts++) {
		atomic_store(&called, 0);
		atomic_store(&over, false);
		ck_assert_int_eq(pthread_create(&loader, NULL, load, NULL), 0);
		for (unsigned i = 0; i < hosts; i++) {
			numbers[i] = i;
			ck_assert_int_eq(pthread_create(&threads[i], NULL, host,
							&numbers[i]), 0);
		}
		for (unsigned i = 0; i < hosts; i++)
			pthread_join(threads[i], NULL);
		atomic_store(&over, true);
		pthread_join(loader, NULL);
	}
	end();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("help");

	tcase_add_loop_test(tc, test_wakes_nobody, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tc, test_callback_of_others, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tc, test_many_callers, 0, ARRAY_SIZE(kinds));
	return unit_run();
}
