/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory devices, the host's own devices, and blocking I/O.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/types.h"
#include "io/device.h"

static int last_result;
static int calls;

static void op_done(struct vdo_device_io *io, int result)
{
	last_result = result;
	calls++;
}

static int run(struct vdo_device *d, enum vdo_device_op op, uint64_t offset,
	       const struct iovec *iov, unsigned iov_count, uint64_t length)
{
	struct vdo_device_io io = {
		.op = op,
		.offset = offset,
		.length = length,
		.iov = iov,
		.iov_count = iov_count,
		.complete = op_done,
	};
	int before = calls;

	d->submit(d->ctx, &io);
	ck_assert_int_eq(calls, before + 1);
	return last_result;
}

START_TEST(huge_and_sparse)
{
	unsigned char *buf = malloc(3 * BLOCK_SIZE);
	struct vdo_device *d;
	uint64_t size = (uint64_t)unit_share(64) << 30;
	struct iovec iov[2] = {{buf, 100}, {buf + 100, 2 * BLOCK_SIZE - 100}};

	ck_assert_int_eq(vdo_device_open_memory(size, &d), 0);
	ck_assert_uint_eq(vdo_device_size(d), size);
	ck_assert_uint_eq(d->flags, VDO_DEVICE_CAN_DISCARD);
	for (unsigned i = 0; i < 2 * BLOCK_SIZE; i++)
		buf[i] = (unsigned char)(i * 7);
	ck_assert_int_eq(run(d, VDO_DEVICE_WRITE, size - 2 * BLOCK_SIZE, iov, 2,
			     2 * BLOCK_SIZE),
			 0);
	memset(buf, 0, 3 * BLOCK_SIZE);
	ck_assert_int_eq(device_read(d, size - 3 * BLOCK_SIZE, buf,
				     3 * BLOCK_SIZE),
			 0);
	ck_assert_uint_eq(buf[BLOCK_SIZE - 1], 0);
	for (unsigned i = 0; i < 2 * BLOCK_SIZE; i++)
		ck_assert_uint_eq(buf[BLOCK_SIZE + i], (unsigned char)(i * 7));
	ck_assert_int_eq(run(d, VDO_DEVICE_READ, size - BLOCK_SIZE, iov, 2,
			     2 * BLOCK_SIZE),
			 -ERANGE);
	ck_assert_int_eq(device_discard(d, size - BLOCK_SIZE, 2 * BLOCK_SIZE),
			 -ERANGE);
	ck_assert_int_eq(device_discard(d, size - BLOCK_SIZE, BLOCK_SIZE), 0);
	ck_assert_int_eq(device_read(d, size - 2 * BLOCK_SIZE, buf,
				     2 * BLOCK_SIZE),
			 0);
	for (unsigned i = 0; i < BLOCK_SIZE; i++) {
		ck_assert_uint_eq(buf[i], (unsigned char)(i * 7));
		ck_assert_uint_eq(buf[BLOCK_SIZE + i], 0);
	}
	ck_assert_int_eq(run(d, VDO_DEVICE_FLUSH, 0, NULL, 0, 0), 0);
	ck_assert_int_eq(device_grow(d, 2 * size), -ENOTSUP);
	vdo_device_close(d);
	free(buf);
}
END_TEST

/* "Untouched parts cost nothing", whatever pages the system prefers. */
START_TEST(a_block_does_not_take_its_surroundings)
{
	const uint64_t parts = 64, apart = UINT64_C(2) << 20;
	/* aligned: nothing is copied to memory of its own first */
	static _Alignas(BLOCK_SIZE) unsigned char buf[BLOCK_SIZE];
	struct vdo_device *d;
	uint64_t before;

	memset(buf, 0x5a, sizeof(buf));
	ck_assert_int_eq(vdo_device_open_memory(parts * apart, &d), 0);
	before = unit_resident_bytes();
	for (unsigned k = 0; k < 200; k++)
		for (uint64_t i = 0; i < parts; i++)
			ck_assert_int_eq(device_write(d, i * apart + 8192, buf,
						      BLOCK_SIZE),
					 0);
	ck_assert_uint_lt(unit_resident_bytes(), before + parts * apart / 16);
	vdo_device_close(d);
}
END_TEST

/* Parts that fill up change their pages while they are in use. */
START_TEST(full_parts_keep_what_they_hold)
{
	const uint64_t blocks = 20000; /* a part of 64 MiB, and some */
	uint64_t block[BLOCK_SIZE / 8], at = 1;
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &d), 0);
	for (uint64_t i = 0; i < blocks; i++) {
		at = (at + 1009) % blocks;
		for (unsigned k = 0; k < ARRAY_SIZE(block); k++)
			block[k] = at * 512 + k;
		ck_assert_int_eq(device_write(d, at * BLOCK_SIZE, block,
					      BLOCK_SIZE),
				 0);
	}
	for (at = 0; at < blocks; at++) {
		ck_assert_int_eq(device_read(d, at * BLOCK_SIZE, block,
					     BLOCK_SIZE),
				 0);
		for (unsigned k = 0; k < ARRAY_SIZE(block); k++)
			ck_assert_uint_eq(block[k], at * 512 + k);
	}
	vdo_device_close(d);
}
END_TEST

START_TEST(bad_sizes)
{
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(0, &d), -EINVAL);
	ck_assert_ptr_null(d);
	ck_assert_int_eq(vdo_device_open_memory(UINT64_MAX, &d), -EINVAL);
	ck_assert_int_eq(vdo_device_open_memory(UINT64_C(1) << 62, &d),
			 -ENOMEM);
	vdo_device_close(NULL);
}
END_TEST

START_TEST(no_memory)
{
	struct vdo_device *d;
	unsigned n = 1;

	for (;; n++) {
		int r;

		alloc_fail_at(n);
		r = vdo_device_open_memory(BLOCK_SIZE, &d);
		alloc_fail_at(0);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_ptr_null(d);
	}
	ck_assert_uint_gt(n, 1);
	vdo_device_close(d);
}
END_TEST

/* A host device whose completions come from a thread of its own. */
struct host {
	unsigned char data[4 * BLOCK_SIZE];
	pthread_t thread;
	bool running;
	int result; /* to be reported */
	unsigned closed;
	unsigned flushes;
};

static void *host_work(void *arg)
{
	struct vdo_device_io *io = arg;
	struct host *h = io->host_data[0];
	unsigned char *at = h->data + io->offset;

	for (unsigned i = 0; i < io->iov_count; i++) {
		if (io->op == VDO_DEVICE_READ)
			memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		else
			memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
	h->flushes += io->op == VDO_DEVICE_FLUSH;
	io->complete(io, h->result);
	return NULL;
}

static void host_join(struct host *h)
{
	if (h->running)
		pthread_join(h->thread, NULL);
	h->running = false;
}

static void host_submit(void *ctx, struct vdo_device_io *io)
{
	struct host *h = ctx;

	host_join(h);
	io->host_data[0] = h;
	h->running = pthread_create(&h->thread, NULL, host_work, io) == 0;
	ck_assert(h->running);
}

static uint64_t host_size(void *ctx)
{
	return sizeof(((struct host *)ctx)->data);
}

static unsigned host_flags(void *ctx)
{
	return VDO_DEVICE_VOLATILE_CACHE;
}

static void host_close(void *ctx)
{
	struct host *h = ctx;

	host_join(h);
	h->closed++;
}

static const struct vdo_device_ops host_ops = {
	.size = sizeof(host_ops),
	.get_size = host_size,
	.get_flags = host_flags,
	.submit = host_submit,
	.close = host_close,
};

START_TEST(host_device)
{
	struct host *h = calloc(1, sizeof(*h));
	unsigned char *buf = malloc(2 * BLOCK_SIZE + 1);
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_custom(&host_ops, h, &d), 0);
	ck_assert_uint_eq(vdo_device_size(d), 4 * BLOCK_SIZE);
	memset(buf, 3, 2 * BLOCK_SIZE + 1);
	/* At an odd place in memory. */
	ck_assert_int_eq(device_write(d, BLOCK_SIZE, buf + 1, 2 * BLOCK_SIZE),
			 0);
	ck_assert_int_eq(device_flush(d), 0);
	memset(buf, 0, 2 * BLOCK_SIZE + 1);
	ck_assert_int_eq(device_read(d, 2 * BLOCK_SIZE, buf + 1,
				     2 * BLOCK_SIZE),
			 0);
	ck_assert_uint_eq(buf[0], 0);
	ck_assert_uint_eq(buf[1], 3);
	ck_assert_uint_eq(buf[BLOCK_SIZE], 3);
	ck_assert_uint_eq(buf[BLOCK_SIZE + 1], 0);
	host_join(h);
	ck_assert_uint_eq(h->flushes, 1);

	h->result = -ENOLINK;
	ck_assert_int_eq(device_read(d, 0, buf, BLOCK_SIZE), -ENOLINK);
	host_join(h);
	h->result = 5; /* hosts make mistakes */
	ck_assert_int_eq(device_flush(d), -EIO);
	ck_assert_int_eq(device_read(d, 4 * BLOCK_SIZE, buf, BLOCK_SIZE),
			 -ERANGE);
	vdo_device_close(d);
	ck_assert_uint_eq(h->closed, 1);
	free(buf);
	free(h);
}
END_TEST

/* Tables of other versions. */
static const struct {
	const char *name;
	size_t size;
	int want;
	unsigned closed;
} sizes[] = {
	{"none", 0, -EINVAL, 0},
	{"cut", offsetof(struct vdo_device_ops, submit), -EINVAL, 0},
	{"old, without close", offsetof(struct vdo_device_ops, close), 0, 0},
	{"ours", sizeof(struct vdo_device_ops), 0, 1},
	{"newer", sizeof(struct vdo_device_ops) + 64, 0, 1},
};

START_TEST(host_versions)
{
	struct host *h = calloc(1, sizeof(*h));
	struct vdo_device_ops ops = host_ops;
	struct vdo_device *d;

	ops.size = sizes[_i].size;
	ck_assert_int_eq(vdo_device_open_custom(&ops, h, &d), sizes[_i].want);
	vdo_device_close(d);
	ck_assert_uint_eq(h->closed, sizes[_i].closed);
	free(h);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("device");

	tcase_add_test(tc, huge_and_sparse);
	tcase_add_test(tc, a_block_does_not_take_its_surroundings);
	tcase_add_test(tc, full_parts_keep_what_they_hold);
	tcase_add_test(tc, bad_sizes);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, host_device);
	tcase_add_loop_test(tc, host_versions, 0, ARRAY_SIZE(sizes));
	return unit_run();
}
