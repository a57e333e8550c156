/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Option direct: which writes go around the page cache, and that reads by way
 * of it see all that was over before, whatever is read beside what is being
 * written.
 *
 * Each slot writes a block of its own, reads it back along with its neighbours,
 * which others write at the same time, and checks all of them; and so on.
 * Meanwhile other programs, as it were, read the whole file by way of the page
 * cache, so that the kernel reads ahead into what is being written, and have it
 * forget that again.
 *
 * VDO_TEST_FILE in the environment is a file for that instead of one in /tmp,
 * VDO_TEST_ROUNDS how many blocks each slot writes. With a block device
 * direct=on fails, for those others: asynchronous writes leave old pages behind
 * there.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#undef BLOCK_SIZE

#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"
#include "io/file.h"
#include "io/file_priv.h"

#define BLOCKS	2048u
#define SLOTS	32u
#define SPAN	8u /* blocks that are read at a time */
#define READERS 3u
#define WORDS	(BLOCK_SIZE / sizeof(uint64_t))

static char path[256];
static struct vdo_device *device;
static struct executor *executor;

/* ------------------------------------------------------------------ content */

/* The version of each block whose write is over. */
static _Atomic(uint32_t) floors[BLOCKS];
static atomic_bool is_stale;

static void fill(uint64_t *buf, unsigned block, uint32_t version)
{
	for (unsigned i = 0; i < WORDS; i++)
		buf[i] = (uint64_t)block << 32 | version;
}

static void note_floors(uint32_t *now, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		now[i] = atomic_load(&floors[first + i]);
}

/* @n blocks from @first on are not older than @than. */
static void check(const uint64_t *buf, unsigned first, unsigned n,
		  const uint32_t *than)
{
	for (unsigned i = 0; i < n; i++, buf += WORDS) {
		for (unsigned k = 0; k < WORDS; k++) {
			if (buf[k] >> 32 == first + i &&
			    (uint32_t)buf[k] >= than[i])
				continue;
			if (!atomic_exchange(&is_stale, true))
				printf("block %u: %llx, not version %u\n",
				       first + i, (unsigned long long)buf[k],
				       than[i]);
			return;
		}
	}
}

/* -------------------------------------------------------------------- slots */

struct slot {
	struct vdo_device_io io;
	struct iovec vec;
	struct completion done;
	struct queue *queue;
	uint64_t *buf;
	unsigned number, block, left, first;
	uint32_t version, than[SPAN];
	uint64_t random;
	int result;
};

static struct slot slots[SLOTS];
static atomic_uint live;
static struct event over;

static void io_done(struct vdo_device_io *io, int result)
{
	struct slot *s = container_of(io, struct slot, io);

	s->result = result;
	completion_post(&s->done);
}

static void transfer(struct slot *s, enum vdo_device_op op, unsigned first,
		     unsigned n, completion_fn then)
{
	completion_init(&s->done, s->queue, then);
	s->vec = (struct iovec){s->buf, n * BLOCK_SIZE};
	s->io = (struct vdo_device_io){
		.op = op,
		.offset = (uint64_t)first * BLOCK_SIZE,
		.length = n * BLOCK_SIZE,
		.iov = &s->vec,
		.iov_count = 1,
		.complete = io_done,
	};
	device->submit(device->ctx, &s->io);
}

static void next(struct completion *c);

static void was_read(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, done);

	VDO_ASSERT(s->result == 0);
	check(s->buf, s->first, SPAN, s->than);
	next(c);
}

static void was_written(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, done);

	VDO_ASSERT(s->result == 0);
	atomic_store(&floors[s->block], s->version);
	s->first = MIN(s->block - s->block % SPAN, BLOCKS - SPAN);
	note_floors(s->than, s->first, SPAN);
	transfer(s, VDO_DEVICE_READ, s->first, SPAN, was_read);
}

static void next(struct completion *c)
{
	struct slot *s = container_of(c, struct slot, done);

	if (s->left-- == 0 || atomic_load(&is_stale)) {
		if (atomic_fetch_sub(&live, 1) == 1)
			executor_signal(executor, &over);
		return;
	}
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	s->block = (unsigned)(s->random >> 33) % (BLOCKS / SLOTS) * SLOTS +
		   s->number;
	s->version = atomic_load(&floors[s->block]) + 1;
	fill(s->buf, s->block, s->version);
	transfer(s, VDO_DEVICE_WRITE, s->block, 1, was_written);
}

/* ----------------------------------------------------------- other programs */

static atomic_bool enough;

/* Number 0 reads what it has mapped, 1 in sequence, 2 anywhere, and forgets. */
static void *read_all(void *arg)
{
	unsigned number = *(unsigned *)arg;
	uint64_t *buf = aligned_alloc(BLOCK_SIZE, SPAN * BLOCK_SIZE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t *map =
		mmap(NULL, BLOCKS * BLOCK_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	uint32_t than[SPAN];
	unsigned first = 0;

	VDO_ASSERT(fd >= 0 && map != MAP_FAILED);
	while (!atomic_load(&enough)) {
		note_floors(than, first, SPAN);
		if (number == 0) {
			check(map + first * WORDS, first, SPAN, than);
		} else {
			VDO_ASSERT(pread(fd, buf, SPAN * BLOCK_SIZE,
					 first * BLOCK_SIZE) ==
				   SPAN * BLOCK_SIZE);
			check(buf, first, SPAN, than);
		}
		first = (first + (number == 2 ? 37 : 1) * SPAN) % BLOCKS;
		if (number == 2)
			posix_fadvise(fd, 0, BLOCKS * BLOCK_SIZE,
				      POSIX_FADV_DONTNEED);
	}
	munmap(map, BLOCKS * BLOCK_SIZE);
	close(fd);
	free(buf);
	return NULL;
}

/* ------------------------------------------------------------------ the file
 */

static void make(void)
{
	const char *given = getenv("VDO_TEST_FILE");
	uint64_t *buf = malloc(BLOCK_SIZE);
	int fd;

	strcpy(path, "/tmp/vdo-direct-XXXXXX");
	if (given != NULL)
		snprintf(path, sizeof(path), "%s", given);
	fd = given != NULL ? open(path, O_RDWR | O_CREAT, 0600) : mkstemp(path);
	ck_assert_int_ge(fd, 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		fill(buf, i, 0);
		ck_assert_int_eq(
			pwrite(fd, buf, BLOCK_SIZE, (off_t)i * BLOCK_SIZE),
			BLOCK_SIZE);
		atomic_store(&floors[i], 0);
	}
	close(fd);
	free(buf);
}

static void start(enum device_direct direct, enum device_engine engine)
{
	struct device_options options = {.engine = engine, .direct = direct};
	struct native_config native = {.threads = 2, .name_prefix = "t"};

	ck_assert_int_eq(executor_native_create(&native, &executor), 0);
	ck_assert_int_eq(file_open(path, 0, &options, &device, NULL), 0);
	ck_assert_int_eq(device_claim(device, executor), 0);
}

static void stop(void)
{
	device_release(device);
	executor_destroy(executor);
	vdo_device_close(device);
	if (getenv("VDO_TEST_FILE") == NULL)
		unlink(path);
}

/* -------------------------------------------------------------------- tests */

static const struct {
	enum device_direct direct;
	enum device_engine engine;
} ways[] = {
	{DIRECT_WRITES, DEVICE_AUTO}, {DIRECT_ON, DEVICE_AUTO},
	{DIRECT_OFF, DEVICE_AUTO},    {DIRECT_WRITES, DEVICE_THREADS},
	{DIRECT_ON, DEVICE_THREADS},
};

static void run_slots(unsigned rounds)
{
	event_init(&over);
	atomic_store(&live, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &slots[i];

		memset(s, 0, sizeof(*s));
		s->number = i;
		s->left = rounds;
		s->random = i;
		s->buf = aligned_alloc(BLOCK_SIZE, SPAN * BLOCK_SIZE);
		ck_assert_int_eq(
			executor_queue(executor, "t", i % 2, &s->queue), 0);
		completion_init(&s->done, s->queue, next);
		completion_post(&s->done);
	}
	executor_wait(executor, &over);
	for (unsigned i = 0; i < SLOTS; i++)
		free(slots[i].buf);
}

START_TEST(reads_see_writes)
{
	const char *rounds = getenv("VDO_TEST_ROUNDS");
	unsigned numbers[READERS];
	pthread_t threads[READERS];

	make();
	start(ways[_i].direct, ways[_i].engine);
	atomic_store(&enough, false);
	for (unsigned i = 0; i < READERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all,
						&numbers[i]),
				 0);
	}
	run_slots(rounds != NULL ? (unsigned)atoi(rounds) : unit_share(300));
	atomic_store(&enough, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!atomic_load(&is_stale));
	ck_assert_int_eq(device_flush(device), 0);
	stop();
}
END_TEST

/* ------------------------------------------------------------- what is chosen
 */

/* Does the page cache have the first block? */
static bool is_there(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *map = mmap(NULL, BLOCK_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	unsigned char there = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	ck_assert_int_eq(mincore(map, BLOCK_SIZE, &there), 0);
	munmap(map, BLOCK_SIZE);
	close(fd);
	return there & 1;
}

/* Is the file on a file system that takes O_DIRECT, and one that is known? */
static bool takes_direct(bool *known)
{
	struct statfs s;
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC), flags = 0;

	*known = false;
	if (fd < 0)
		return false;
	ck_assert_int_eq(fstatfs(fd, &s), 0);
#ifdef STATX_DIOALIGN
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) == 0 &&
	    (x.stx_mask & STATX_DIOALIGN) != 0 && x.stx_dio_mem_align != 0)
		*known = s.f_type == XFS_SUPER_MAGIC ||
			 (s.f_type == EXT4_SUPER_MAGIC &&
			  ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
			  (flags & FS_EXTENT_FL) != 0);
#endif
	close(fd);
	return s.f_type == XFS_SUPER_MAGIC || s.f_type == EXT4_SUPER_MAGIC;
}

/* What was not written directly is in the page cache, until it is flushed. */
static void write_and_look(bool around)
{
	void *buf = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);

	memset(buf, 1, BLOCK_SIZE);
	slots[0].buf = buf;
	event_init(&over);
	atomic_store(&live, 1);
	slots[0].left = 0;
	ck_assert_int_eq(executor_queue(executor, "t", 0, &slots[0].queue), 0);
	transfer(&slots[0], VDO_DEVICE_WRITE, 0, 1, next);
	executor_wait(executor, &over);
	ck_assert_int_eq(slots[0].result, 0);
	ck_assert_int_eq(is_there(), !around);
	free(buf);
}

static const char *const places[] = {"/tmp", "/dev/shm"};

START_TEST(what_is_direct)
{
	bool direct, known, uring;
	int fd;

	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		snprintf(path, sizeof(path), "%s/vdo-direct-XXXXXX",
			 places[_i]);
		fd = mkstemp(path);
		if (fd < 0)
			return; /* no such place */
		ck_assert_int_eq(ftruncate(fd, BLOCKS * BLOCK_SIZE), 0);
		close(fd);
		direct = takes_direct(&known);
		start(ways[i].direct, ways[i].engine);
		uring = ((struct file *)device->ctx)->engine == &uring_engine;
		if (ways[i].direct == DIRECT_ON)
			write_and_look(direct);
		else
			write_and_look(ways[i].direct == DIRECT_WRITES &&
				       known && uring);
		stop();
		unlink(path);
	}
}
END_TEST

/* The rest of a transfer that ended in the middle of a sector. */
START_TEST(torn_goes_on)
{
	enum { DONE = BLOCK_SIZE + 100 };
	unsigned char *buf = aligned_alloc(BLOCK_SIZE, 2 * BLOCK_SIZE);
	unsigned char *back = aligned_alloc(BLOCK_SIZE, 2 * BLOCK_SIZE);
	struct iovec vec = {buf, 2 * BLOCK_SIZE};
	struct vdo_device_io io = {
		.op = VDO_DEVICE_WRITE,
		.length = 2 * BLOCK_SIZE,
		.iov = &vec,
		.iov_count = 1,
	};

	make();
	start(ways[_i].direct, ways[_i].engine);
	memset(buf, 7, 2 * BLOCK_SIZE);
	ck_assert_int_eq(file_run(device->ctx, &io, DONE), 0);
	ck_assert_int_eq(device_read(device, 0, back, 2 * BLOCK_SIZE), 0);
	ck_assert_int_ne(back[DONE - 1], 7);
	ck_assert_int_eq(memcmp(back + DONE, buf + DONE, 2 * BLOCK_SIZE - DONE),
			 0);
	io.op = VDO_DEVICE_READ;
	memset(buf, 9, 2 * BLOCK_SIZE);
	ck_assert_int_eq(file_run(device->ctx, &io, DONE), 0);
	ck_assert_int_eq(memcmp(back + DONE, buf + DONE, 2 * BLOCK_SIZE - DONE),
			 0);
	stop();
	free(back);
	free(buf);
}
END_TEST

/* The flags of the descriptor that has the lock of a file; -1: cannot be seen.
 */
static long flags_of_lock(void)
{
	long found = -1;

	for (int fd = 0; fd < 256; fd++) {
		char name[64], line[256];
		long flags = -1;
		FILE *info;

		snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
		info = fopen(name, "re");
		while (info != NULL &&
		       fgets(line, sizeof(line), info) != NULL) {
			sscanf(line, "flags: %lo", &flags);
			if (strncmp(line, "lock:", 5) == 0)
				found = flags;
		}
		if (info != NULL)
			fclose(info);
	}
	return found;
}

/* The lock belongs to what writes: it outlives a process as long as a write. */
START_TEST(lock_is_of_writes)
{
	bool known;
	long flags;

	make();
	start(ways[_i].direct, ways[_i].engine);
	flags = flags_of_lock();
	if (flags != -1 && takes_direct(&known) && known)
		ck_assert_int_eq((flags & O_DIRECT) != 0,
				 ways[_i].direct != DIRECT_OFF);
	stop();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("direct");

	tcase_add_loop_test(tc, what_is_direct, 0, ARRAY_SIZE(places));
	tcase_add_loop_test(tc, torn_goes_on, 0, ARRAY_SIZE(ways));
	tcase_add_loop_test(tc, lock_is_of_writes, 0, ARRAY_SIZE(ways));
	tcase_add_loop_test(tc, reads_see_writes, 0, ARRAY_SIZE(ways));
	return unit_run();
}
