/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdo_volume_fd(): one epoll holds a pipe and a volume that has no threads, on
 * each kind of storage. Requests are submitted by the loop and by another
 * thread, and all of them end though nothing but the loop runs the volume.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

#define B     4096
#define COUNT 400

/* For a fault: then a wake-up was lost. */
#define NEVER_MS 60000

static const struct {
	const char *name;
	bool file;
	const char *options;
} kinds[] = {
	{"memory", false, "executor=inline"},
	{"file", true, "executor=inline"},
	{"file, small index wait", true, "executor=inline index-wait=off"},
	{"file, threads", true, "executor=inline io-engine=threads"},
	{"file, direct", true, "executor=inline direct=on"},
	{"file, writes direct", true, "executor=inline direct=writes"},
};

static char path[64];
static struct vdo_device *device;

static struct vdo_volume *open_volume(int kind, const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_config *f = fixture_config("size=32M");
	struct vdo_volume *v;
	struct vdo_error error;

	if (kinds[kind].file) {
		int fd;

		snprintf(path, sizeof(path), "/tmp/vdo-fd-XXXXXX");
		fd = mkstemp(path);
		ck_assert_int_ge(fd, 0);
		close(fd);
		ck_assert_msg(vdo_format(path, f, &error) == 0, "%s",
			      error.message);
		ck_assert_msg(vdo_device_open_config(path, c, &device,
						     &error) == 0,
			      "%s", error.message);
	} else {
		ck_assert_int_eq(vdo_device_open_memory(32 << 20, &device), 0);
		ck_assert_int_eq(vdo_format_device(device, NULL, NULL), 0);
	}
	ck_assert_msg(vdo_open_device(device, c, &v, &error) == 0, "%s",
		      error.message);
	vdo_config_free(c);
	vdo_config_free(f);
	return v;
}

static void close_volume(int kind, struct vdo_volume *v)
{
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_device_close(device);
	if (kinds[kind].file)
		unlink(path);
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r;

	do
		r = poll(&p, 1, 0);
	while (r < 0 && errno == EINTR);
	return r == 1;
}

static atomic_uint ended;

static void written(void *arg, int result)
{
	ck_assert_int_eq(result, 0);
	atomic_fetch_add(&ended, 1);
}

static char *blocks;

/* Half of the requests, from another thread; then a word through the pipe. */
struct submitter {
	struct vdo_volume *volume;
	int pipe;
};

static void submit(struct vdo_volume *v, unsigned i)
{
	snprintf(blocks + (size_t)i * B, B, "block %u", i);
	ck_assert_int_eq(vdo_aio_pwrite(v, blocks + (size_t)i * B, B,
					(uint64_t)i * B, written, NULL,
					i % 16 == 0 ? VDO_IO_FUA : 0),
			 0);
}

static void *submit_half(void *arg)
{
	struct submitter *s = arg;

	for (unsigned i = 0; i < COUNT; i += 2)
		submit(s->volume, i);
	ck_assert_int_eq(write(s->pipe, "!", 1), 1);
	return NULL;
}

static void watch(int epoll, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};

	ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e), 0);
}

/* The kernel interrupts it to end I/O of io_uring. */
static int wait_for(int epoll)
{
	struct epoll_event e;
	int r;

	do
		r = epoll_wait(epoll, &e, 1, NEVER_MS);
	while (r < 0 && errno == EINTR);
	ck_assert_msg(r == 1, "%u ended", atomic_load(&ended));
	return e.data.fd;
}

/* Until both are over: what was submitted, and the other thread. */
static void loop(struct vdo_volume *v, int epoll, int fd, int pipe)
{
	unsigned submitted = 1;
	bool told = false;

	while (atomic_load(&ended) < COUNT || !told) {
		char c;

		if (submitted < COUNT) {
			submit(v, submitted);
			submitted += 2;
		}
		if (wait_for(epoll) == fd) {
			ck_assert_int_ge(vdo_poll(v, 0), 0);
		} else {
			ck_assert_int_eq(read(pipe, &c, 1), 1);
			told = true;
		}
	}
}

START_TEST(test_loop)
{
	struct submitter s;
	pthread_t thread;
	int epoll = epoll_create1(EPOLL_CLOEXEC), pipes[2], fd;
	char *back = aligned_alloc(B, (size_t)COUNT * B);

	blocks = aligned_alloc(B, (size_t)COUNT * B);
	memset(blocks, 7, (size_t)COUNT * B);
	atomic_init(&ended, 0);
	ck_assert_int_eq(pipe(pipes), 0);
	s.volume = open_volume(_i, kinds[_i].options);
	s.pipe = pipes[1];
	fd = vdo_volume_fd(s.volume);
	ck_assert_msg(fd >= 3, "%s: %d", kinds[_i].name, fd);
	watch(epoll, fd);
	watch(epoll, pipes[0]);
	ck_assert_int_eq(pthread_create(&thread, NULL, submit_half, &s), 0);
	loop(s.volume, epoll, fd, pipes[0]);
	pthread_join(thread, NULL);
	/* Synchronous calls have not lost anything, either. */
	ck_assert_int_eq(vdo_flush(s.volume, 0), 0);
	ck_assert_int_eq(vdo_pread(s.volume, back, (size_t)COUNT * B, 0, 0),
			 0);
	ck_assert_int_eq(memcmp(back, blocks, (size_t)COUNT * B), 0);
	atomic_store(&ended, 0);
	submit(s.volume, 1);
	while (atomic_load(&ended) == 0) {
		ck_assert_int_eq(wait_for(epoll), fd);
		ck_assert_int_ge(vdo_poll(s.volume, 0), 0);
	}
	close_volume(_i, s.volume);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	free(back);
	free(blocks);
	close(epoll);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* Who does not ask has no descriptor more; who does, sleeps when all is over. */
START_TEST(test_quiet)
{
	unsigned before = descriptors(), without;
	struct vdo_volume *v = open_volume(_i, kinds[_i].options);
	int fd;

	blocks = aligned_alloc(B, B * 2);
	memset(blocks, 7, B * 2);
	ck_assert_int_eq(vdo_pwrite(v, blocks, B, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	without = descriptors();
	fd = vdo_volume_fd(v);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_uint_eq(descriptors(), without + 3);
	ck_assert_int_eq(vdo_volume_fd(v), fd);
	ck_assert_uint_eq(descriptors(), without + 3);
	atomic_init(&ended, 0);
	submit(v, 1);
	ck_assert(readable(fd));
	while (atomic_load(&ended) == 0)
		ck_assert_int_ge(vdo_poll(v, -1), 0);
	/* What goes on after the answer ends, too. */
	do {
		while (vdo_poll(v, 0) != 0)
			;
	} while (readable(fd));
	close_volume(_i, v);
	ck_assert_uint_eq(descriptors(), before);
	free(blocks);
}
END_TEST

START_TEST(test_refused)
{
	struct vdo_volume *v = open_volume(0, "");
	struct fixture f;

	ck_assert_int_eq(vdo_volume_fd(v), -ENOTSUP);
	close_volume(0, v);
	fixture_init(&f, 1, ""); /* a pool */
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_volume_fd(f.volume), -ENOTSUP);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("volume_fd");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_loop, 0, (int)ARRAY_SIZE(kinds));
	tcase_add_loop_test(tc, test_quiet, 0, (int)ARRAY_SIZE(kinds));
	tcase_add_test(tc, test_refused);
	return unit_run();
}
