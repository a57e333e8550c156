/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hosts whose threads end while what they began is under way: a pool that makes
 * a thread for each task, and callers that end at once. The kernel answers
 * operations of a thread that has exited with EFAULT or ECANCELED; none of that
 * reaches the volume.
 *
 * The page cache forgets the file, so that reading takes its time.
 */
#include "build.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vdo/vdo.h>

#include "tests/lib/fixture.h"

#define B      4096u
#define BLOCKS 4000u
#define DEPTH  64u

static atomic_uint running;

static void *run_task(void *arg)
{
	struct vdo_task *task = arg;

	task->run(task);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void start_thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&running, 1);
	while (pthread_create(&t, &a, fn, arg) != 0)
		sched_yield();
	pthread_attr_destroy(&a);
}

static void submit(void *pool, struct vdo_task *task)
{
	start_thread(run_task, task);
}

static unsigned concurrency(void *pool)
{
	return 4;
}

static const struct vdo_pool_ops pool_ops = {
	.size = sizeof(pool_ops),
	.submit = submit,
	.concurrency = concurrency,
};

struct request {
	uint8_t data[B];
	unsigned lbn;
	int result;
	atomic_bool done;
};

static struct vdo_volume *volume;
static struct request requests[DEPTH];

static void request_done(void *arg, int result)
{
	struct request *r = arg;

	r->result = result;
	atomic_store(&r->done, true);
}

/* A caller that ends at once. */
static void *read_and_leave(void *arg)
{
	struct request *r = arg;
	int result = vdo_aio_pread(volume, r->data, B, (uint64_t)B * r->lbn,
				   request_done, r, 0);

	if (result != 0)
		request_done(r, result);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void forget(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fsync(fd), 0);
	ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
}

static void fill_volume(const char *path)
{
	struct vdo_config *c = fixture_config("size=128M force=on");
	uint8_t block[B];

	ck_assert_int_eq(vdo_format(path, c, NULL), 0);
	ck_assert_int_eq(vdo_open(path, NULL, &volume, NULL), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		pattern_fill(V_UNIQUE(i), block);
		ck_assert_int_eq(vdo_pwrite(volume, block, B, (uint64_t)B * i,
					    0),
				 0);
	}
	ck_assert_int_eq(vdo_close(volume), 0);
	vdo_config_free(c);
}

static void read_round(unsigned *seed, bool poll)
{
	uint8_t want[B];

	for (unsigned i = 0; i < DEPTH; i++) {
		struct request *r = &requests[i];

		*seed = *seed * 1103515245 + 12345;
		r->lbn = *seed / 65536 % BLOCKS;
		atomic_store(&r->done, false);
		start_thread(read_and_leave, r);
	}
	for (unsigned i = 0; i < DEPTH; i++) {
		struct request *r = &requests[i];

		while (!atomic_load(&r->done)) {
			if (poll)
				vdo_poll(volume, 10);
			else
				sched_yield();
		}
		ck_assert_int_eq(r->result, 0);
		pattern_fill(V_UNIQUE(r->lbn), want);
		ck_assert_int_eq(memcmp(want, r->data, B), 0);
	}
}

static const struct {
	bool pool, forget_when_open;
	const char *options;
} hosts[] = {
	{true, false, "io-engine=auto"},
	{true, true, "io-engine=auto direct=on"},
	{false, false, "executor=inline"},
	{false, true, "executor=inline direct=on"},
	{true, false, "io-engine=auto direct=writes"},
};

START_TEST(test_short_threads)
{
	char path[] = "/var/tmp/libvdo-test-XXXXXX";
	struct vdo_config *c = fixture_config(hosts[_i].options);
	unsigned seed = 1;
	uint8_t block[B];
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	fill_volume(path);
	if (hosts[_i].pool)
		ck_assert_int_eq(vdo_config_set_pool(c, &pool_ops, NULL), 0);
	if (!hosts[_i].forget_when_open)
		forget(path);
	ck_assert_int_eq(vdo_open(path, c, &volume, NULL), 0);
	if (hosts[_i].forget_when_open)
		forget(path);
	for (unsigned round = 0; round < unit_share(12); round++)
		read_round(&seed, !hosts[_i].pool);
	for (unsigned i = 0; i < 300; i++) {
		pattern_fill(V_UNIQUE(BLOCKS + i), block);
		ck_assert_int_eq(vdo_pwrite(volume, block, B,
					    (uint64_t)B * (i * 7 % BLOCKS),
					    i % 50 == 0 ? VDO_IO_FUA : 0),
				 0);
	}
	ck_assert_int_eq(vdo_flush(volume, 0), 0);
	ck_assert_int_eq(vdo_close(volume), 0);
	while (atomic_load(&running) != 0)
		sched_yield();
	vdo_config_free(c);
	unlink(path);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("short threads");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_short_threads, 0, ARRAY_SIZE(hosts));
	return unit_run();
}
