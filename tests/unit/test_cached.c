/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads that the page cache answers: at once, by the thread that asks. All others,
 * and all where the kernel refuses to say, are the engine's.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "io/file.h"
#include "io/file_priv.h"

#define COUNT 64u

struct rig;

struct op {
	struct vdo_device_io io;
	struct iovec vec;
	struct rig *rig;
	int result;
	int calls;
	pthread_t by;
};

struct rig {
	char path[64];
	int fd;
	struct executor *x;
	struct vdo_device *d;
	struct event over;
	atomic_uint pending;
	unsigned char *image, *back;
	struct op ops[COUNT];
};

static struct rig rig;

static void op_done(struct vdo_device_io *io, int result)
{
	struct op *op = container_of(io, struct op, io);
	struct rig *r = op->rig;

	op->result = result;
	op->calls++;
	op->by = pthread_self();
	if (atomic_fetch_sub(&r->pending, 1) == 1)
		executor_signal(r->x, &r->over);
}

static void set_up(void)
{
	struct device_options options = {.engine = DEVICE_THREADS};
	struct native_config native = {.threads = 1, .name_prefix = "t"};
	size_t size = (COUNT + 1) * BLOCK_SIZE;

	memset(&rig, 0, sizeof(rig));
	strcpy(rig.path, "/tmp/vdo-cached-XXXXXX");
	rig.fd = mkstemp(rig.path);
	ck_assert_int_ge(rig.fd, 0);
	rig.image = malloc(size);
	rig.back = calloc(1, size);
	for (size_t i = 0; i < size; i++)
		rig.image[i] = (unsigned char)(i / 512 + i * 7 + 1);
	ck_assert_int_eq(pwrite(rig.fd, rig.image, size - BLOCK_SIZE, 0),
			 size - BLOCK_SIZE);
	ck_assert_int_eq(fsync(rig.fd), 0);
	ck_assert_int_eq(executor_native_create(&native, &rig.x), 0);
	ck_assert_int_eq(file_open(rig.path, 0, &options, &rig.d, NULL), 0);
	ck_assert_int_eq(device_claim(rig.d, rig.x), 0);
}

static void tear_down(void)
{
	device_release(rig.d);
	executor_destroy(rig.x);
	vdo_device_close(rig.d);
	close(rig.fd);
	unlink(rig.path);
	free(rig.image);
	free(rig.back);
}

static void prepare(unsigned i, unsigned block)
{
	struct op *op = &rig.ops[i];

	memset(op, 0, sizeof(*op));
	op->rig = &rig;
	op->vec.iov_base = rig.back + (size_t)block * BLOCK_SIZE;
	op->vec.iov_len = BLOCK_SIZE;
	op->io.op = VDO_DEVICE_READ;
	op->io.offset = (uint64_t)block * BLOCK_SIZE;
	op->io.length = BLOCK_SIZE;
	op->io.iov = &op->vec;
	op->io.iov_count = 1;
	op->io.complete = op_done;
}

static void expect(unsigned n)
{
	event_init(&rig.over);
	atomic_store(&rig.pending, n);
}

/* Does the page cache have @block, and does the kernel say so? */
static bool is_there(unsigned block)
{
	char buf[BLOCK_SIZE];
	struct iovec vec = {buf, sizeof(buf)};

	return preadv2(rig.fd, &vec, 1, (off_t)block * BLOCK_SIZE,
		       RWF_NOWAIT) == BLOCK_SIZE;
}

/* All of it with one call; where the page cache knows, without the engine. */
static void read_all(bool forget)
{
	bool there[COUNT];

	if (forget) /* every other part of 16 blocks */
		for (unsigned i = 0; i < COUNT; i += 32)
			ck_assert_int_eq(posix_fadvise(rig.fd, i * BLOCK_SIZE,
						       16 * BLOCK_SIZE,
						       POSIX_FADV_DONTNEED),
					 0);
	for (unsigned i = 0; i < COUNT; i++) {
		there[i] = i % 32 >= 16 && is_there(i);
		prepare(i, i);
		if (i > 0)
			rig.ops[i - 1].io.host_data[0] = &rig.ops[i].io;
	}
	expect(COUNT);
	rig.d->submit_all(rig.d->ctx, &rig.ops[0].io, &rig.ops[COUNT - 1].io);
	executor_wait(rig.x, &rig.over);
	for (unsigned i = 0; i < COUNT; i++) {
		ck_assert_int_eq(rig.ops[i].result, 0);
		ck_assert_int_eq(rig.ops[i].calls, 1);
		ck_assert(!there[i] ||
			  pthread_equal(rig.ops[i].by, pthread_self()));
	}
	ck_assert_int_eq(memcmp(rig.image, rig.back, COUNT * BLOCK_SIZE), 0);
}

START_TEST(at_once)
{
	bool there = is_there(3);

	prepare(0, 3);
	expect(1);
	rig.d->submit(rig.d->ctx, &rig.ops[0].io);
	if (there) /* nobody else was needed */
		ck_assert_int_eq(rig.ops[0].calls, 1);
	executor_wait(rig.x, &rig.over);
	ck_assert_int_eq(rig.ops[0].result, 0);
	ck_assert_int_eq(memcmp(rig.image + 3 * BLOCK_SIZE,
				rig.back + 3 * BLOCK_SIZE, BLOCK_SIZE),
			 0);
}
END_TEST

START_TEST(some_are_there)
{
	read_all(false);
	memset(rig.back, 0, COUNT * BLOCK_SIZE);
	read_all(true);
}
END_TEST

/* Half a block before the end of the file is no block. */
START_TEST(beyond_the_end)
{
	prepare(0, COUNT);
	rig.ops[0].io.offset -= BLOCK_SIZE / 2;
	expect(1);
	rig.d->submit(rig.d->ctx, &rig.ops[0].io);
	executor_wait(rig.x, &rig.over);
	ck_assert_int_eq(rig.ops[0].result, -EIO);
	ck_assert_int_eq(rig.ops[0].calls, 1);
}
END_TEST

/* What the kernel may answer; is that its answer to every such read? */
static const struct {
	int error;
	bool for_good;
} answers[] = {
	{EOPNOTSUPP, true}, {ENOSYS, true},  {EPERM, true}, {EINVAL, true},
	{EAGAIN, false},    {ENOMEM, false}, {EIO, false},
};

START_TEST(refused)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (unsigned)answers[_i].error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_SIZE(filter), filter};
	const struct file *f = rig.d->ctx;

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				 SECCOMP_FILTER_FLAG_TSYNC, &program),
			 0);
	read_all(false);
	memset(rig.back, 0, COUNT * BLOCK_SIZE);
	read_all(true);
	ck_assert_int_eq(f->must_wait, answers[_i].for_good);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("cached");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, at_once);
	tcase_add_test(tc, some_are_there);
	tcase_add_test(tc, beyond_the_end);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(answers));
	return unit_run();
}
