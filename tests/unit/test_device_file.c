/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files as devices: both engines, under executors with and without threads.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#undef BLOCK_SIZE

#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "io/file.h"

#define BLOCKS 1024u

static char dir[] = "/tmp/vdo-file-XXXXXX";
static char path[64];

static void make_dir(void)
{
	strcpy(dir, "/tmp/vdo-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);
}

static void remove_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void make_file(off_t size)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

/* Many operations, and somebody who waits for all of them. */
struct group {
	struct executor *x;
	struct event all_done;
	atomic_uint pending;
};

struct op {
	struct vdo_device_io io;
	struct iovec vec;
	struct group *group;
	int result;
	int calls;
};

static void op_done(struct vdo_device_io *io, int result)
{
	struct op *op = container_of(io, struct op, io);

	op->result = result;
	op->calls++;
	if (atomic_fetch_sub(&op->group->pending, 1) == 1)
		executor_signal(op->group->x, &op->group->all_done);
}

static void group_init(struct group *g, struct executor *x, unsigned count)
{
	g->x = x;
	event_init(&g->all_done);
	atomic_init(&g->pending, count);
}

static void op_start(struct vdo_device *d, struct group *g, struct op *op,
		     enum vdo_device_op what, uint64_t block, void *buf,
		     size_t blocks)
{
	memset(op, 0, sizeof(*op));
	op->group = g;
	op->vec.iov_base = buf;
	op->vec.iov_len = blocks * BLOCK_SIZE;
	op->io.op = what;
	op->io.offset = block * BLOCK_SIZE;
	op->io.length = blocks * BLOCK_SIZE;
	if (buf != NULL) {
		op->io.iov = &op->vec;
		op->io.iov_count = 1;
	}
	op->io.complete = op_done;
	d->submit(d->ctx, &op->io);
}

static int run_one(struct vdo_device *d, struct executor *x,
		   enum vdo_device_op what, uint64_t block, void *buf,
		   size_t blocks)
{
	struct group g;
	struct op op;

	group_init(&g, x, 1);
	op_start(d, &g, &op, what, block, buf, blocks);
	executor_wait(x, &g.all_done);
	ck_assert_int_eq(op.calls, 1);
	return op.result;
}

/* Ways to run a device. */

static const struct {
	enum device_engine engine;
	bool threads; /* of the executor */
	enum device_direct direct;
} ways[] = {
	{DEVICE_THREADS, false, DIRECT_OFF}, {DEVICE_THREADS, true, DIRECT_WRITES},
	{DEVICE_URING, false, DIRECT_OFF},   {DEVICE_URING, true, DIRECT_WRITES},
	{DEVICE_AUTO, false, DIRECT_WRITES},   {DEVICE_AUTO, true, DIRECT_ON},
	{DEVICE_THREADS, true, DIRECT_ON},   {DEVICE_AUTO, true, DIRECT_OFF},
};

struct fixture {
	struct executor *x;
	struct vdo_device *d;
};

/* False: io_uring is not to be had here. */
static bool start(struct fixture *fx, unsigned way, unsigned flags)
{
	struct device_options options = {
		.engine = ways[way].engine,
		.direct = ways[way].direct,
	};
	struct native_config native = {.threads = 1, .name_prefix = "t"};
	struct vdo_error error;
	int r;

	r = ways[way].threads ? executor_native_create(&native, &fx->x)
			      : executor_inline_create(&fx->x);
	ck_assert_int_eq(r, 0);
	r = file_open(path, flags, &options, &fx->d, &error);
	ck_assert_msg(r == 0, "%s", error.message);
	r = device_claim(fx->d, fx->x);
	if (ways[way].engine == DEVICE_URING && r != 0) {
		vdo_device_close(fx->d);
		executor_destroy(fx->x);
		return false;
	}
	ck_assert_int_eq(r, 0);
	return true;
}

static void stop(struct fixture *fx)
{
	device_release(fx->d);
	executor_destroy(fx->x);
	vdo_device_close(fx->d);
}

static void fill(unsigned char *buf, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)(seed * 37 + i / 64 + i * 11);
}

static unsigned char *pages(size_t blocks)
{
	void *p;

	ck_assert_int_eq(posix_memalign(&p, BLOCK_SIZE, blocks * BLOCK_SIZE),
			 0);
	return p;
}

/* Transfers. */

START_TEST(many_at_once)
{
	unsigned char *image = pages(BLOCKS);
	unsigned char *back = pages(BLOCKS);
	struct op *ops = calloc(BLOCKS, sizeof(*ops));
	struct fixture fx;
	struct group g;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0))
		goto out;
	fill(image, BLOCKS * BLOCK_SIZE, (unsigned)_i);
	group_init(&g, fx.x, BLOCKS);
	for (unsigned i = 0; i < BLOCKS; i++) {
		unsigned at = i * 517 % BLOCKS;

		op_start(fx.d, &g, &ops[i], VDO_DEVICE_WRITE, at,
			 image + at * BLOCK_SIZE, 1);
	}
	executor_wait(fx.x, &g.all_done);
	for (unsigned i = 0; i < BLOCKS; i++) {
		ck_assert_int_eq(ops[i].result, 0);
		ck_assert_int_eq(ops[i].calls, 1);
	}
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_FLUSH, 0, NULL, 0), 0);
	group_init(&g, fx.x, BLOCKS);
	for (unsigned i = 0; i < BLOCKS; i++)
		op_start(fx.d, &g, &ops[i], VDO_DEVICE_READ, i,
			 back + i * BLOCK_SIZE, 1);
	executor_wait(fx.x, &g.all_done);
	ck_assert_int_eq(memcmp(image, back, BLOCKS * BLOCK_SIZE), 0);
	stop(&fx);
out:
	free(ops);
	free(back);
	free(image);
}
END_TEST

/* More vectors than one system call takes, at odd places in memory. */
START_TEST(long_vectors)
{
	enum { PIECES = 3000, PIECE = 1024, TOTAL = PIECES * PIECE };
	unsigned char *image = malloc(TOTAL + 1);
	unsigned char *back = calloc(1, TOTAL);
	struct iovec *iov = calloc(PIECES, sizeof(*iov));
	struct fixture fx;
	struct group g;
	struct op op = {.group = &g};

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0))
		goto out;
	fill(image, TOTAL + 1, 3);
	for (unsigned i = 0; i < PIECES; i++) {
		iov[i].iov_base = image + 1 + i * PIECE;
		iov[i].iov_len = PIECE;
	}
	group_init(&g, fx.x, 1);
	op.io = (struct vdo_device_io){
		.op = VDO_DEVICE_WRITE,
		.flags = VDO_DEVICE_FUA,
		.offset = 3 * BLOCK_SIZE,
		.length = TOTAL,
		.iov = iov,
		.iov_count = PIECES,
		.complete = op_done,
	};
	fx.d->submit(fx.d->ctx, &op.io);
	executor_wait(fx.x, &g.all_done);
	ck_assert_int_eq(op.result, 0);
	ck_assert_int_eq(device_read(fx.d, 3 * BLOCK_SIZE, back, TOTAL), 0);
	ck_assert_int_eq(memcmp(image + 1, back, TOTAL), 0);

	group_init(&g, fx.x, 1);
	memset(image, 0, TOTAL + 1);
	op.io.op = VDO_DEVICE_READ;
	op.io.flags = 0;
	fx.d->submit(fx.d->ctx, &op.io);
	executor_wait(fx.x, &g.all_done);
	ck_assert_int_eq(op.result, 0);
	ck_assert_int_eq(memcmp(image + 1, back, TOTAL), 0);
	stop(&fx);
out:
	free(iov);
	free(back);
	free(image);
}
END_TEST

START_TEST(end_of_file_is_an_error)
{
	unsigned char *buf = pages(4);
	struct fixture fx;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0)) {
		free(buf);
		return;
	}
	ck_assert_int_eq(truncate(path, 2 * BLOCK_SIZE + 100), 0);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 0, buf, 2), 0);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 1, buf, 3), -EIO);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 9, buf, 1), -EIO);
	ck_assert_int_eq(device_read(fx.d, 9 * BLOCK_SIZE, buf, BLOCK_SIZE),
			 -EIO);
	stop(&fx);
	free(buf);
}
END_TEST

/* A hole reads as zeroes; its neighbours and the size stay. */
START_TEST(discards_make_holes)
{
	unsigned char *buf = pages(3);
	struct fixture fx;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0)) {
		free(buf);
		return;
	}
	memset(buf, 7, 3 * BLOCK_SIZE);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_WRITE, 5, buf, 3), 0);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_DISCARD, 6, NULL, 1),
			 0);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 5, buf, 3), 0);
	for (unsigned i = 0; i < 3 * BLOCK_SIZE; i++)
		ck_assert_uint_eq(buf[i], i / BLOCK_SIZE == 1 ? 0 : 7);
	memset(buf, 7, 3 * BLOCK_SIZE);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_WRITE, 5, buf, 3), 0);
	ck_assert_int_eq(device_discard(fx.d, 6 * BLOCK_SIZE, BLOCK_SIZE), 0);
	ck_assert_int_eq(device_discard(fx.d, BLOCKS * BLOCK_SIZE, BLOCK_SIZE),
			 -ERANGE);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 5, buf, 3), 0);
	for (unsigned i = 0; i < 3 * BLOCK_SIZE; i++)
		ck_assert_uint_eq(buf[i], i / BLOCK_SIZE == 1 ? 0 : 7);
	ck_assert_uint_eq(vdo_device_size(fx.d), BLOCKS * BLOCK_SIZE);
	stop(&fx);
	free(buf);
}
END_TEST

START_TEST(read_only_refuses)
{
	unsigned char *buf = pages(1);
	struct fixture fx;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, VDO_OPEN_READ_ONLY)) {
		free(buf);
		return;
	}
	memset(buf, 1, BLOCK_SIZE);
	ck_assert_uint_eq(fx.d->flags & VDO_DEVICE_READ_ONLY,
			  VDO_DEVICE_READ_ONLY);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_WRITE, 0, buf, 1),
			 -EROFS);
	ck_assert_int_eq(device_write(fx.d, 0, buf, BLOCK_SIZE), -EROFS);
	ck_assert_int_eq(device_discard(fx.d, 0, BLOCK_SIZE), -EROFS);
	ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_READ, 0, buf, 1), 0);
	ck_assert_uint_eq(buf[0], 0);
	stop(&fx);
	free(buf);
}
END_TEST

/* The kernel may cancel what a thread that exits has submitted. */
struct leaver {
	struct fixture *fx;
	struct group *g;
	struct op *ops;
	unsigned char *image;
	unsigned count;
};

static void *submit_and_leave(void *arg)
{
	struct leaver *l = arg;

	for (unsigned i = 0; i < l->count; i++)
		op_start(l->fx->d, l->g, &l->ops[i], VDO_DEVICE_WRITE, i,
			 l->image + i * BLOCK_SIZE, 1);
	op_start(l->fx->d, l->g, &l->ops[l->count], VDO_DEVICE_FLUSH, 0, NULL,
		 0);
	return NULL;
}

START_TEST(submitter_exits)
{
	enum { COUNT = 64 };
	unsigned char *image = pages(COUNT);
	unsigned char *back = pages(COUNT);
	struct op ops[COUNT + 1];
	struct fixture fx;
	struct group g;
	struct leaver l = {&fx, &g, ops, image, COUNT};
	pthread_t t;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0))
		goto out;
	fill(image, COUNT * BLOCK_SIZE, 5);
	group_init(&g, fx.x, COUNT + 1);
	ck_assert_int_eq(pthread_create(&t, NULL, submit_and_leave, &l), 0);
	executor_wait(fx.x, &g.all_done);
	pthread_join(t, NULL);
	for (unsigned i = 0; i <= COUNT; i++)
		ck_assert_int_eq(ops[i].result, 0);
	ck_assert_int_eq(device_read(fx.d, 0, back, COUNT * BLOCK_SIZE), 0);
	ck_assert_int_eq(memcmp(image, back, COUNT * BLOCK_SIZE), 0);
	stop(&fx);
out:
	free(back);
	free(image);
}
END_TEST

/* Several threads submit to one device. */
START_TEST(many_submitters)
{
	enum { THREADS = 4, COUNT = 200 };
	unsigned char *image = pages(COUNT);
	struct op *ops = calloc(THREADS * (COUNT + 1), sizeof(*ops));
	pthread_t threads[THREADS];
	struct leaver l[THREADS];
	struct fixture fx;
	struct group g;

	make_file(BLOCKS * BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0))
		goto out;
	fill(image, COUNT * BLOCK_SIZE, 6);
	group_init(&g, fx.x, THREADS * (COUNT + 1));
	for (unsigned i = 0; i < THREADS; i++) {
		l[i] = (struct leaver){&fx, &g, ops + i * (COUNT + 1), image,
				       COUNT};
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						submit_and_leave, &l[i]),
				 0);
	}
	executor_wait(fx.x, &g.all_done);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < THREADS * (COUNT + 1); i++) {
		ck_assert_int_eq(ops[i].result, 0);
		ck_assert_int_eq(ops[i].calls, 1);
	}
	stop(&fx);
out:
	free(ops);
	free(image);
}
END_TEST

static bool mount_small(void)
{
	if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL);
	return mount("vdo", dir, "tmpfs", 0, "size=64k") == 0;
}

START_TEST(full_file_system)
{
	unsigned char *buf = pages(64);
	struct fixture fx;

	if (!mount_small()) {
		free(buf);
		return;
	}
	make_file(BLOCKS * BLOCK_SIZE);
	if (start(&fx, (unsigned)_i, 0)) {
		fill(buf, 64 * BLOCK_SIZE, 1);
		ck_assert_int_eq(run_one(fx.d, fx.x, VDO_DEVICE_WRITE, 0, buf,
					 64),
				 -ENOSPC);
		ck_assert_int_eq(device_write(fx.d, 0, buf, 64 * BLOCK_SIZE),
				 -ENOSPC);
		stop(&fx);
	}
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
	free(buf);
}
END_TEST

/* Opening. */

static void make_fifo(void)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void make_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_lt(snprintf(a.sun_path, sizeof(a.sun_path), "%s", path),
			 (int)sizeof(a.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
}

static void make_directory(void)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void make_character(void)
{
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
}

static void make_nothing(void)
{
}

static const struct {
	const char *name;
	void (*make)(void);
	unsigned flags;
	int want;
	const char *text;
} refused[] = {
	{"fifo", make_fifo, 0, -ENOTBLK, "FIFO"},
	{"fifo, reading", make_fifo, VDO_OPEN_READ_ONLY, -ENOTBLK, "FIFO"},
	{"socket", make_socket, 0, -ENOTBLK, "socket"},
	{"directory", make_directory, 0, -EISDIR, "directory"},
	{"character device", make_character, 0, -ENOTBLK, "character"},
	{"nothing", make_nothing, 0, -ENOENT, "no such file"},
	{"nothing, reading", make_nothing, VDO_OPEN_READ_ONLY, -ENOENT, "no"},
	{"nothing to create when reading", make_nothing,
	 VDO_OPEN_READ_ONLY | VDO_OPEN_CREATE, -ENOENT, "no such file"},
};

START_TEST(not_a_device)
{
	struct vdo_device *d;
	struct vdo_error error = {0};

	refused[_i].make();
	ck_assert_int_eq(vdo_device_open(path, refused[_i].flags, &d, &error),
			 refused[_i].want);
	ck_assert_ptr_null(d);
	ck_assert_int_eq(error.code, refused[_i].want);
	ck_assert_ptr_nonnull(strstr(error.message, refused[_i].text));
	ck_assert_ptr_nonnull(strstr(error.message, path));
	ck_assert_int_eq(vdo_device_open(path, refused[_i].flags, &d, NULL),
			 refused[_i].want);
	if (refused[_i].want == -EISDIR)
		ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

static const struct {
	unsigned first;
	unsigned second;
	int want;
} locks[] = {
	{0, 0, -VDO_EINUSE},
	{0, VDO_OPEN_READ_ONLY, -VDO_EINUSE},
	{VDO_OPEN_READ_ONLY, 0, -VDO_EINUSE},
	{VDO_OPEN_READ_ONLY, VDO_OPEN_READ_ONLY, 0},
};

START_TEST(locked)
{
	struct vdo_device *first;
	struct vdo_device *second;
	struct vdo_error error = {0};

	make_file(BLOCK_SIZE);
	ck_assert_int_eq(vdo_device_open(path, locks[_i].first, &first, &error),
			 0);
	ck_assert_int_eq(vdo_device_open(path, locks[_i].second, &second,
					 &error),
			 locks[_i].want);
	if (locks[_i].want != 0)
		ck_assert_ptr_nonnull(strstr(error.message, "in use"));
	vdo_device_close(second);
	vdo_device_close(first);
	ck_assert_int_eq(vdo_device_open(path, locks[_i].second, &second,
					 &error),
			 0);
	vdo_device_close(second);
}
END_TEST

START_TEST(create_and_grow)
{
	unsigned char *buf = pages(1);
	struct vdo_device *d;
	struct vdo_error error;
	struct stat st;

	ck_assert_int_eq(vdo_device_open(path, VDO_OPEN_CREATE, &d, &error), 0);
	ck_assert_uint_eq(vdo_device_size(d), 0);
	ck_assert_int_eq(device_read(d, 0, buf, BLOCK_SIZE), -ERANGE);
	ck_assert_int_eq(device_grow(d, 100), -EINVAL);
	ck_assert_int_eq(device_grow(d, UINT64_C(1) << 33), 0);
	ck_assert_uint_eq(vdo_device_size(d), UINT64_C(1) << 33);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, INT64_C(1) << 33);
	ck_assert_int_eq(device_grow(d, BLOCK_SIZE), -EINVAL);
	memset(buf, 7, BLOCK_SIZE);
	ck_assert_int_eq(device_write(d, (UINT64_C(1) << 33) - BLOCK_SIZE, buf,
				      BLOCK_SIZE),
			 0);
	ck_assert_int_eq(device_write(d, UINT64_C(1) << 33, buf, BLOCK_SIZE),
			 -ERANGE);
	ck_assert_int_eq(device_flush(d), 0);
	vdo_device_close(d);
	ck_assert_int_eq(vdo_device_open(path, VDO_OPEN_CREATE, &d, &error), 0);
	ck_assert_uint_eq(vdo_device_size(d), UINT64_C(1) << 33);
	vdo_device_close(d);
	free(buf);
}
END_TEST

START_TEST(one_claim)
{
	struct fixture fx;

	make_file(BLOCK_SIZE);
	if (!start(&fx, (unsigned)_i, 0))
		return;
	ck_assert_int_eq(device_claim(fx.d, fx.x), -VDO_EINUSE);
	device_release(fx.d);
	ck_assert_int_eq(device_claim(fx.d, fx.x), 0);
	stop(&fx);
	/* And the file is free at once. */
	ck_assert(start(&fx, (unsigned)_i, 0));
	stop(&fx);
}
END_TEST

/* A child that has the file open and writes without end. */
static pid_t start_writer(unsigned way)
{
	enum { COUNT = 200 };
	struct op ops[COUNT];
	unsigned char *buf;
	struct fixture fx;
	struct group g;
	int ready[2];
	char c = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid > 0) {
		close(ready[1]);
		ck_assert_int_eq(read(ready[0], &c, 1), 1);
		close(ready[0]);
		if (c != 0)
			return pid;
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		return -1;
	}
	buf = pages(COUNT);
	memset(buf, 1, COUNT * BLOCK_SIZE);
	if (!start(&fx, way, 0)) {
		c = (char)write(ready[1], &c, 1);
		_exit(0);
	}
	for (c = 1;; c = 2) {
		group_init(&g, fx.x, COUNT);
		for (unsigned i = 0; i < COUNT; i++)
			op_start(fx.d, &g, &ops[i],
				 i % 50 == 49 ? VDO_DEVICE_FLUSH
					      : VDO_DEVICE_WRITE,
				 i * 4, buf, 4);
		if (c == 1 && write(ready[1], &c, 1) != 1)
			_exit(1);
		executor_wait(fx.x, &g.all_done);
	}
}

/* The lock of a process that was killed is gone, though the kernel may have
 * been busy with its I/O for longer than the process was there. */
START_TEST(killed_while_writing)
{
	for (unsigned i = 0; i < 10; i++) {
		struct vdo_error error = {0};
		struct vdo_device *d;
		pid_t pid;
		int r;

		make_file(BLOCKS * BLOCK_SIZE);
		pid = start_writer((unsigned)_i);
		if (pid < 0)
			return;
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		r = vdo_device_open(path, 0, &d, &error);
		ck_assert_msg(r == 0, "try %u: %s", i, error.message);
		vdo_device_close(d);
	}
}
END_TEST

/* Opening leaves no trace; what the file system cannot do shows later. */
START_TEST(opening_changes_nothing)
{
	struct vdo_device *d;
	struct vdo_error error;
	struct stat before, after;
	const struct timespec old[2] = {{1000, 1000}, {1000, 1000}};

	make_file(BLOCK_SIZE);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(vdo_device_open(path, 0, &d, &error), 0);
	vdo_device_close(d);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_eq(after.st_mtim.tv_sec, 1000);
	ck_assert_int_eq(after.st_mtim.tv_nsec, 1000);
	ck_assert_int_eq(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
	ck_assert_int_eq(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}
END_TEST

/* Where no ring can be had, threads do the work, unless a ring was asked for. */
START_TEST(falls_back_to_threads)
{
	struct device_options options = {.engine = DEVICE_URING};
	unsigned char *buf = pages(1);
	struct rlimit limit;
	struct executor *x;
	struct vdo_device *d;
	int fd;

	make_file(BLOCKS * BLOCK_SIZE);
	ck_assert_int_eq(executor_inline_create(&x), 0);
	for (int pass = 0; pass < 2; pass++) {
		options.engine = pass == 0 ? DEVICE_URING : DEVICE_AUTO;
		ck_assert_int_eq(file_open(path, 0, &options, &d, NULL),
				 0);
		/* A ring needs a descriptor: leave none. */
		ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
		fd = dup(0);
		ck_assert_int_ge(fd, 0);
		close(fd);
		limit.rlim_cur = (rlim_t)fd;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (pass == 0) {
			ck_assert_int_ne(device_claim(d, x), 0);
		} else {
			ck_assert_int_eq(device_claim(d, x), 0);
			memset(buf, 4, BLOCK_SIZE);
			ck_assert_int_eq(run_one(d, x, VDO_DEVICE_WRITE, 1, buf,
						 1),
					 0);
			device_release(d);
		}
		limit.rlim_cur = limit.rlim_max;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		vdo_device_close(d);
	}
	executor_destroy(x);
	free(buf);
}
END_TEST

int main(void)
{
	TCase *open_case = unit_case("open");
	TCase *io_case = unit_case("io");
	const int n = ARRAY_SIZE(ways);

	tcase_add_checked_fixture(open_case, make_dir, remove_dir);
	tcase_add_loop_test(open_case, not_a_device, 0, ARRAY_SIZE(refused));
	tcase_add_loop_test(open_case, locked, 0, ARRAY_SIZE(locks));
	tcase_add_test(open_case, create_and_grow);
	tcase_add_test(open_case, opening_changes_nothing);

	tcase_add_checked_fixture(io_case, make_dir, remove_dir);
	tcase_add_loop_test(io_case, many_at_once, 0, n);
	tcase_add_loop_test(io_case, long_vectors, 0, n);
	tcase_add_loop_test(io_case, end_of_file_is_an_error, 0, n);
	tcase_add_loop_test(io_case, read_only_refuses, 0, n);
	tcase_add_loop_test(io_case, discards_make_holes, 0, n);
	tcase_add_loop_test(io_case, submitter_exits, 0, n);
	tcase_add_loop_test(io_case, many_submitters, 0, n);
	tcase_add_loop_test(io_case, full_file_system, 0, n);
	tcase_add_loop_test(io_case, one_claim, 0, n);
	tcase_add_loop_test(io_case, killed_while_writing, 0, n);
	tcase_add_test(io_case, falls_back_to_threads);
	return unit_run();
}
