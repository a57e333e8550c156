/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block I/O: what reaches the device, what is refused, what is counted.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>

#include "exec/executor.h"
#include "io/device.h"
#include "io/mio.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"

#define BLOCKS 64u

static struct sim_device *sd;
static struct vdo_device *device;
static struct executor *x;
static struct queue *queue;
static struct storage storage;
static unsigned char buf[4 * BLOCK_SIZE];

struct wait {
	struct mio mio;
	struct event event;
	int calls;
};

static void wait_done(struct completion *c)
{
	struct wait *w = container_of(c, struct wait, mio.done);

	ck_assert(queue_is_current(queue));
	w->calls++;
	executor_signal(x, &w->event);
}

static void wait_init(struct wait *w)
{
	memset(w, 0, sizeof(*w));
	event_init(&w->event);
	completion_init(&w->mio.done, queue, wait_done);
}

static int wait_for(struct wait *w)
{
	executor_wait(x, &w->event);
	ck_assert_int_eq(w->calls, 1);
	return w->mio.done.result;
}

static void open_with(const struct sim_device_config *config,
		      uint64_t bio_offset)
{
	x = sim_executor_create(1);
	ck_assert_int_eq(executor_queue(x, "q", 0, &queue), 0);
	sd = sim_device_create(config);
	device = sim_device_open(sd, x);
	storage_init(&storage, device, bio_offset);
	memset(buf, 1, sizeof(buf));
}

static void close_all(void)
{
	executor_destroy(x);
	vdo_device_close(device);
	sim_device_destroy(sd);
}

static const struct sim_device_config with_cache = {
	.seed = 1, .block_count = BLOCKS, .volatile_cache = true};
static const struct sim_device_config no_cache = {
	.seed = 1, .block_count = BLOCKS};
static const struct sim_device_config read_only = {
	.seed = 1, .block_count = BLOCKS, .volatile_cache = true,
	.read_only = true};

static int do_write(enum mio_kind kind, pbn_t pbn, uint64_t count, bool fua)
{
	struct wait w;

	wait_init(&w);
	mio_write(&w.mio, &storage, kind, pbn, count, buf, fua);
	return wait_for(&w);
}

static int do_read(enum mio_kind kind, pbn_t pbn, uint64_t count)
{
	struct wait w;

	wait_init(&w);
	mio_read(&w.mio, &storage, kind, pbn, count, buf);
	return wait_for(&w);
}

static int do_flush(void)
{
	struct wait w;

	wait_init(&w);
	mio_flush(&w.mio, &storage);
	return wait_for(&w);
}

static const struct {
	uint64_t bio_offset;
	pbn_t pbn;
	uint64_t count;
	int want;
} ranges[] = {
	{0, 0, 1, 0},
	{0, BLOCKS - 1, 1, 0},
	{0, BLOCKS, 1, -ERANGE},
	{0, BLOCKS - 1, 2, -ERANGE},
	{0, BLOCKS - 4, 4, 0},
	{0, UINT64_MAX, 1, -ERANGE},
	{10, 9, 1, -ERANGE},
	{10, 10, 1, 0},
	{10, BLOCKS + 9, 1, 0},
	{10, BLOCKS + 10, 1, -ERANGE},
	{10, 8, 4, -ERANGE},
	{10, 0, 1, -ERANGE},
};

START_TEST(bounds)
{
	open_with(&with_cache, ranges[_i].bio_offset);
	ck_assert_int_eq(do_write(MIO_DATA, ranges[_i].pbn, ranges[_i].count,
				  false),
			 ranges[_i].want);
	ck_assert_int_eq(do_read(MIO_DATA, ranges[_i].pbn, ranges[_i].count),
			 ranges[_i].want);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_WRITE),
			  ranges[_i].want == 0);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_READ),
			  ranges[_i].want == 0);
	close_all();
}
END_TEST

START_TEST(offset_is_subtracted)
{
	open_with(&with_cache, 10);
	memset(buf, 0x42, sizeof(buf));
	ck_assert_int_eq(do_write(MIO_MAP, 13, 1, false), 0);
	memset(buf, 0, sizeof(buf));
	sim_device_peek(sd, 3, buf);
	ck_assert_uint_eq(buf[0], 0x42);
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(do_read(MIO_MAP, 13, 1), 0);
	ck_assert_uint_eq(buf[BLOCK_SIZE - 1], 0x42);
	close_all();
}
END_TEST

START_TEST(vectors)
{
	unsigned char a[BLOCK_SIZE];
	struct iovec out[2] = {{buf, 1000}, {buf + 2000, BLOCK_SIZE - 1000}};
	struct wait w;

	open_with(&with_cache, 0);
	memset(buf, 9, 1000);
	wait_init(&w);
	mio_writev(&w.mio, &storage, MIO_DATA, 5, out, 2, false);
	ck_assert_int_eq(wait_for(&w), 0);
	wait_init(&w);
	mio_read(&w.mio, &storage, MIO_DATA, 5, 1, a);
	ck_assert_int_eq(wait_for(&w), 0);
	ck_assert_uint_eq(a[999], 9);
	ck_assert_uint_eq(a[1000], 1);
	close_all();
}
END_TEST

/* Invariant 1: after storage_set_read_only(), and on read-only devices. */
START_TEST(read_only_refuses)
{
	bool by_device = _i == 1;
	uint64_t writes = 0;

	open_with(by_device ? &read_only : &with_cache, 0);
	if (!by_device) {
		ck_assert(!storage_is_read_only(&storage));
		ck_assert_int_eq(do_write(MIO_JOURNAL, 1, 1, true), 0);
		writes++;
		storage_set_read_only(&storage);
	}
	ck_assert(storage_is_read_only(&storage));
	for (unsigned kind = 0; kind < MIO_KINDS; kind++) {
		int want = kind != MIO_SUPER ? -VDO_EREADONLY
			   : by_device	     ? -EROFS
					     : 0;

		ck_assert_int_eq(do_write(kind, 1, 1, true), want);
		ck_assert_int_eq(do_read(kind, 1, 1), 0);
	}
	ck_assert_int_eq(do_flush(), -VDO_EREADONLY);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_WRITE), writes + 1);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_FLUSH), 0);
	close_all();
}
END_TEST

START_TEST(cache_or_not)
{
	bool cache = _i == 1;
	struct mio_counts counts;

	open_with(cache ? &with_cache : &no_cache, 0);
	ck_assert_int_eq(do_write(MIO_DATA, 1, 1, true), 0);
	ck_assert_int_eq(do_flush(), 0);
	ck_assert_uint_eq(sim_device_count_fua(sd), cache);
	ck_assert_uint_eq(sim_device_count(sd, VDO_DEVICE_FLUSH), cache);
	storage_counts(&storage, MIO_DATA, &counts);
	ck_assert_uint_eq(counts.fua, cache);
	ck_assert_uint_eq(atomic_load(&storage.flushes), cache);
	close_all();
}
END_TEST

static unsigned long long total(enum mio_kind kind)
{
	struct mio_counts c;

	storage_counts(&storage, kind, &c);
	return c.read + 10 * c.write + 100 * c.fua + 1000 * c.completed;
}

START_TEST(counts_by_kind)
{
	const struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ),
					.times = 1};

	open_with(&with_cache, 0);
	ck_assert_int_eq(do_write(MIO_DATA, 1, 2, false), 0);
	ck_assert_int_eq(do_write(MIO_JOURNAL, 4, 1, true), 0);
	ck_assert_int_eq(do_write(MIO_JOURNAL, 4, 1, false), 0);
	sim_device_fault(sd, &fault);
	ck_assert_int_eq(do_read(MIO_SLAB, 4, 1), -EIO);
	ck_assert_int_eq(do_read(MIO_SLAB, 4, 1), 0);
	ck_assert_int_eq(do_read(MIO_SLAB, BLOCKS, 1), -ERANGE);
	ck_assert_int_eq(do_flush(), 0);
	ck_assert_uint_eq(total(MIO_DATA), 1010);
	ck_assert_uint_eq(total(MIO_JOURNAL), 2120);
	ck_assert_uint_eq(total(MIO_SLAB), 2002);
	ck_assert_uint_eq(total(MIO_MAP), 0);
	ck_assert_uint_eq(total(MIO_SUPER), 0);
	close_all();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("mio");

	tcase_add_loop_test(tc, bounds, 0, ARRAY_SIZE(ranges));
	tcase_add_test(tc, offset_is_subtracted);
	tcase_add_test(tc, vectors);
	tcase_add_loop_test(tc, read_only_refuses, 0, 2);
	tcase_add_loop_test(tc, cache_or_not, 0, 2);
	tcase_add_test(tc, counts_by_kind);
	return unit_run();
}
