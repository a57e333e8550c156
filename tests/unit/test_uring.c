/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring that stops working after it was set up: whatever the kernel answers,
 * all operations are carried out, and each once.
 *
 * A filter makes io_uring_enter() fail, for the calling thread or for all, with
 * operations under way or not. libcheck runs each test in a process of its own,
 * so that the filter is gone with it.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "io/file.h"

#define COUNT 400u

static const struct {
	bool inline_executor, all_threads, under_way;
} ways[] = {
	{false, false, false}, {false, false, true}, {false, true, false},
	{false, true, true},   {true, false, false}, {true, false, true},
};

/* 0: a system call that does nothing, and says so. */
static const int answers[] = {
	EPERM, ENOSYS, EINVAL, EFAULT, ENOMEM, EAGAIN,	   EBUSY,
	EINTR, EBADF,  ENXIO,  EACCES, EEXIST, ECANCELED, 0,
};

static bool refuse(unsigned number, int error, bool all_threads)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_SIZE(filter), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		       all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0,
		       &program) == 0;
}

struct op {
	struct vdo_device_io io;
	struct iovec vec;
	struct rig *rig;
	int result;
	atomic_int calls;
};

struct rig {
	char path[64];
	struct executor *x;
	struct vdo_device *d;
	struct event over;
	atomic_uint pending;
	unsigned char *image, *back;
	struct op ops[COUNT + 1];
};

static void op_done(struct vdo_device_io *io, int result)
{
	struct op *op = container_of(io, struct op, io);
	struct rig *r = op->rig;

	op->result = result;
	atomic_fetch_add(&op->calls, 1);
	if (atomic_fetch_sub(&r->pending, 1) == 1)
		executor_signal(r->x, &r->over);
}

static void op_start(struct rig *r, unsigned n, enum vdo_device_op what,
		     unsigned char *buf)
{
	struct op *op = &r->ops[n];

	memset(op, 0, sizeof(*op));
	op->rig = r;
	op->vec.iov_base = buf + (size_t)n * BLOCK_SIZE;
	op->vec.iov_len = BLOCK_SIZE;
	op->io.op = what;
	op->io.offset = (uint64_t)n * BLOCK_SIZE;
	op->io.length = what == VDO_DEVICE_FLUSH ? 0 : BLOCK_SIZE;
	op->io.iov = what == VDO_DEVICE_FLUSH ? NULL : &op->vec;
	op->io.iov_count = what == VDO_DEVICE_FLUSH ? 0 : 1;
	op->io.complete = op_done;
	r->d->submit(r->d->ctx, &op->io);
}

/* False: there is no ring here. */
static bool begin(struct rig *r, bool inline_executor)
{
	struct device_options options = {.engine = DEVICE_URING};
	struct native_config native = {.threads = 1, .name_prefix = "t"};
	struct vdo_error error;
	int fd;

	strcpy(r->path, "/tmp/vdo-uring-XXXXXX");
	fd = mkstemp(r->path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, COUNT * BLOCK_SIZE), 0);
	close(fd);
	ck_assert_int_eq(inline_executor
				 ? executor_inline_create(&r->x)
				 : executor_native_create(&native, &r->x),
			 0);
	ck_assert_int_eq(file_open(r->path, 0, &options, &r->d, &error),
			 0);
	r->image = aligned_alloc(BLOCK_SIZE, COUNT * BLOCK_SIZE);
	r->back = aligned_alloc(BLOCK_SIZE, COUNT * BLOCK_SIZE);
	for (size_t i = 0; i < COUNT * BLOCK_SIZE; i++)
		r->image[i] = (unsigned char)(i * 7 + i / 4096);
	if (device_claim(r->d, r->x) == 0)
		return true;
	unlink(r->path);
	return false;
}

static void end(struct rig *r)
{
	device_release(r->d);
	executor_destroy(r->x);
	vdo_device_close(r->d);
	unlink(r->path);
	free(r->image);
	free(r->back);
}

static void wait_all(struct rig *r)
{
	executor_wait(r->x, &r->over);
	for (unsigned i = 0; i <= COUNT; i++) {
		ck_assert_int_eq(r->ops[i].result, 0);
		ck_assert_int_eq(atomic_load(&r->ops[i].calls), 1);
	}
}

static void start_all(struct rig *r)
{
	event_init(&r->over);
	atomic_init(&r->pending, COUNT + 1);
}

START_TEST(enter_is_refused)
{
	const unsigned way = (unsigned)_i % ARRAY_SIZE(ways);
	const int error = answers[(unsigned)_i / ARRAY_SIZE(ways)];
	static struct rig r;

	if (!begin(&r, ways[way].inline_executor))
		return;
	start_all(&r);
	for (unsigned i = 0; i <= COUNT; i++) {
		if (i == (ways[way].under_way ? COUNT / 3 : 0) &&
		    !refuse(SYS_io_uring_enter, error, ways[way].all_threads))
			return; /* not permitted here */
		op_start(&r, i, i == COUNT ? VDO_DEVICE_FLUSH : VDO_DEVICE_WRITE,
			 r.image);
	}
	wait_all(&r);
	start_all(&r);
	for (unsigned i = 0; i <= COUNT; i++)
		op_start(&r, i, i == COUNT ? VDO_DEVICE_FLUSH : VDO_DEVICE_READ,
			 r.back);
	wait_all(&r);
	ck_assert_int_eq(memcmp(r.image, r.back, COUNT * BLOCK_SIZE), 0);
	end(&r);
}
END_TEST

/* What is refused before shows when the ring is set up. */
START_TEST(setup_is_refused)
{
	static const unsigned numbers[] = {SYS_io_uring_setup,
					   SYS_io_uring_register,
					   SYS_io_uring_enter};
	const int error = answers[(unsigned)_i / ARRAY_SIZE(numbers)];
	const struct device_options automatic = {.engine = DEVICE_AUTO};
	struct vdo_error e;
	static struct rig r;

	if (!begin(&r, false))
		return;
	device_release(r.d);
	vdo_device_close(r.d);
	if (!refuse(numbers[(unsigned)_i % ARRAY_SIZE(numbers)], error, true))
		return;
	ck_assert_int_eq(file_open(r.path, 0, &automatic, &r.d, &e), 0);
	ck_assert_int_eq(device_claim(r.d, r.x), 0);
	start_all(&r);
	for (unsigned i = 0; i <= COUNT; i++)
		op_start(&r, i, i == COUNT ? VDO_DEVICE_FLUSH : VDO_DEVICE_WRITE,
			 r.image);
	wait_all(&r);
	end(&r);
}
END_TEST

#ifndef UNIT_SANITIZED
/* Nobody else can be had to do the work: the reaper does it. */
START_TEST(no_threads_either)
{
	static struct rig r;

	if (!begin(&r, false))
		return;
	if (!refuse(SYS_io_uring_enter, EPERM, true) ||
	    !refuse(SYS_clone, EAGAIN, true) ||
	    !refuse(SYS_clone3, EAGAIN, true))
		return;
	start_all(&r);
	for (unsigned i = 0; i <= COUNT; i++)
		op_start(&r, i, i == COUNT ? VDO_DEVICE_FLUSH : VDO_DEVICE_WRITE,
			 r.image);
	wait_all(&r);
	end(&r);
}
END_TEST
#endif

int main(void)
{
	TCase *tc = unit_case("uring");

	tcase_add_loop_test(tc, enter_is_refused, 0,
			    ARRAY_SIZE(ways) * ARRAY_SIZE(answers));
	tcase_add_loop_test(tc, setup_is_refused, 0, 3 * ARRAY_SIZE(answers));
#ifndef UNIT_SANITIZED /* the search for leaks needs a thread at the end */
	tcase_add_test(tc, no_threads_either);
#endif
	return unit_run();
}
