/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What formatting leaves: of others' files, of what was there when it fails, and
 * of files that two make at a time. Between two system calls of a format, this
 * program does what another process might do there.
 */
#include "build.h"

#include "base/bytes.h"
#include "format/types.h"
#include "io/device.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define B BLOCK_SIZE
#define MIB (UINT64_C(1) << 20)

static char dir[40];
static struct vdo_config *good, *tiny;
static struct vdo_error error;

/* Called once by the next attempt to lock a file, before it. */
static void (*before_lock)(void);
static int lock_error;
/* The write to fail, counting down to 1; 0: none. */
static unsigned write_to_fail;
static int write_error;

int fcntl(int fd, int command, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (command == F_OFD_SETLK &&
	    ((struct flock *)arg)->l_type != F_UNLCK) {
		void (*hook)(void) = before_lock;

		before_lock = NULL;
		if (hook != NULL)
			hook();
		if (lock_error != 0) {
			errno = lock_error;
			return -1;
		}
	}
	return (int)syscall(SYS_fcntl, fd, command, arg);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset,
		 int flags)
{
	if (write_to_fail > 0 && --write_to_fail == 0) {
		errno = write_error;
		return -1;
	}
	return syscall(SYS_pwritev2, fd, iov, count, offset, 0, flags);
}

static void setup(void)
{
	strcpy(dir, "/tmp/libvdo-format-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	good = fixture_config("size=32M profile=small");
	tiny = fixture_config("size=1M profile=small");
}

static void teardown(void)
{
	vdo_config_free(good);
	vdo_config_free(tiny);
	ck_assert_int_eq(system("rm -rf \"$PWD\""), 0);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void put(const char *path, uint64_t size, uint64_t offset,
		const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	ck_assert_int_eq(pwrite(fd, text, strlen(text), (off_t)offset),
			 (ssize_t)strlen(text));
	close(fd);
}

static void expect_volume(const char *path)
{
	struct vdo_info info;

	ck_assert_int_eq(vdo_inspect(path, &info, sizeof(info), &error), 0);
}

/* Any byte that is not zero is data. */
static const struct {
	uint64_t size, offset;
} bytes[] = {
	{1, 0},
	{13, 12},
	{4095, 4094},
	{4097, 4096},
	{8 * MIB, 8 * MIB - 1},
	{8 * MIB + 1, 8 * MIB},
	{200 * MIB, 99 * MIB + 4321},
};

START_TEST(a_byte_is_data)
{
	struct stat st;

	put("file", bytes[_i].size, bytes[_i].offset, "x");
	ck_assert_int_eq(vdo_format("file", good, &error), -VDO_ESIGNATURE);
	ck_assert_int_eq(stat("file", &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, bytes[_i].size);
	ck_assert_int_eq(vdo_config_set(good, "force", "on", &error), 0);
	ck_assert_int_eq(vdo_format("file", good, &error), 0);
	expect_volume("file");
}
END_TEST

/* Other storage is looked at where something may be. */
static const struct {
	uint64_t size, offset;
	const char *text;
	const char *says;
} places[] = {
	{64 * MIB, 0, "x", "holds data"},
	{64 * MIB, MIB - B, "x", "holds data"},
	{64 * MIB, 64 * MIB - B, "x", "holds data"},
	{64 * MIB, 64 * MIB - MIB, "x", "holds data"},
	{128 * MIB, 64 * MIB + 64, "_BHRfS_M", "btrfs"},
	{160 * MIB, 128 * MIB + 56, "\x53\xef", "ext4"},
	{160 * MIB, 4096, "\xfc\x4e\x2b\xa9", "RAID"},
};

START_TEST(places_are_looked_at)
{
	struct vdo_device *d;
	char block[B] = {0};
	uint64_t in_block = places[_i].offset % B;

	ck_assert_int_eq(vdo_device_open_memory(places[_i].size, &d), 0);
	memcpy(block + in_block, places[_i].text, strlen(places[_i].text));
	ck_assert_int_eq(device_write(d, places[_i].offset - in_block, block,
				      B),
			 0);
	ck_assert_int_eq(vdo_format_device(d, NULL, &error), -VDO_ESIGNATURE);
	ck_assert_ptr_nonnull(strstr(error.message, places[_i].says));
	vdo_device_close(d);
}
END_TEST

/* The last bytes of a device that is no whole number of blocks. */
START_TEST(odd_end_is_looked_at)
{
	uint64_t size = 64 * MIB + 100;
	char x[] = "x";
	struct iovec vec = {.iov_base = x, .iov_len = 1};
	struct vdo_device_io io = {.op = VDO_DEVICE_WRITE, .offset = size - 1,
				   .length = 1, .iov = &vec, .iov_count = 1};
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(size, &d), 0);
	ck_assert_int_eq(d->blocking(d->ctx, &io), 0);
	ck_assert_int_eq(vdo_format_device(d, NULL, &error), -VDO_ESIGNATURE);
	vdo_device_close(d);
}
END_TEST

START_TEST(refused_leaves_links)
{
	struct stat st;

	ck_assert_int_eq(mkdir("sub", 0700), 0);
	ck_assert_int_eq(symlink("sub/second", "first"), 0);
	ck_assert_int_eq(symlink("target", "sub/second"), 0);
	ck_assert_int_eq(vdo_format("first", tiny, &error), -ENOSPC);
	ck_assert(is_there("first") && is_there("sub/second"));
	ck_assert(!is_there("sub/target") && !is_there("target"));
	put("sub/target", 0, 0, "");
	ck_assert_int_eq(vdo_format("first", tiny, &error), -ENOSPC);
	ck_assert_int_eq(stat("sub/target", &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(unlink("sub/target"), 0);
	ck_assert_int_eq(vdo_format("first", good, &error), 0);
	expect_volume("sub/target");
	ck_assert_int_eq(symlink("circle", "circle"), 0);
	ck_assert_int_eq(vdo_format("circle", good, &error), -ELOOP);
}
END_TEST

enum before { MISSING, LINK, EMPTY, ZEROES, BEFORES };

static void prepare(enum before before)
{
	if (before == LINK)
		ck_assert_int_eq(symlink("real", "file"), 0);
	if (before == EMPTY || before == ZEROES)
		put("file", before == EMPTY ? 0 : 33 * MIB + 5, 0, "");
}

static void expect_as_before(enum before before)
{
	struct vdo_device *d;
	struct stat st;
	uint64_t at = 0;

	ck_assert(is_there("file") == (before != MISSING));
	ck_assert(!is_there("real"));
	if (before == MISSING || before == LINK)
		return;
	ck_assert_int_eq(stat("file", &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size,
			  before == EMPTY ? 0 : 33 * MIB + 5);
	ck_assert_int_eq(vdo_device_open("file", 0, &d, &error), 0);
	for (char block[B]; at + B <= (uint64_t)st.st_size; at += B) {
		ck_assert_int_eq(device_find_data(d, &at), 0);
		if (at + B > (uint64_t)st.st_size)
			break;
		ck_assert_int_eq(device_read(d, at, block, B), 0);
		ck_assert(is_zero(block, B));
	}
	vdo_device_close(d);
}

/* The Nth write fails, until there is none that could. */
START_TEST(failed_leaves_all_as_it_was)
{
	int result = -1;

	for (unsigned n = 1; result != 0; n++) {
		prepare(_i);
		write_to_fail = n;
		write_error = n % 2 != 0 ? ENOSPC : EIO;
		result = vdo_format("file", good, &error);
		write_to_fail = 0;
		if (result == 0)
			break;
		ck_assert_int_eq(result, n % 2 != 0 ? -ENOSPC : -EIO);
		ck_assert_uint_lt(n, 10);
		expect_as_before(_i);
		unlink("file");
	}
	expect_volume("file");
}
END_TEST

/* Where files cannot be locked. */
START_TEST(unlockable_leaves_nothing)
{
	prepare(_i);
	lock_error = ENOLCK;
	ck_assert_int_eq(vdo_format("file", good, &error), -ENOLCK);
	lock_error = 0;
	expect_as_before(_i);
}
END_TEST

static void other_formats(void)
{
	ck_assert_int_eq(vdo_format("file", good, NULL), 0);
}

/* Another format finds the file that was just made, and is done first. */
START_TEST(loser_keeps_the_winners_volume)
{
	prepare(_i);
	before_lock = other_formats;
	ck_assert_int_eq(vdo_format("file", good, &error), -VDO_ESIGNATURE);
	expect_volume("file");
}
END_TEST

static struct vdo_device *others;

static void other_locks(void)
{
	ck_assert_int_eq(vdo_device_open("file", 0, &others, NULL), 0);
}

/* Another one has it open when the lock is asked for. */
START_TEST(loser_keeps_what_others_have_open)
{
	prepare(_i);
	before_lock = other_locks;
	ck_assert_int_eq(vdo_format("file", good, &error), -VDO_EINUSE);
	vdo_device_close(others);
	ck_assert(is_there("file"));
}
END_TEST

static void other_removes(void)
{
	ck_assert_int_eq(unlink("file"), 0);
}

static void other_replaces(void)
{
	put("new", 0, 0, "");
	ck_assert_int_eq(rename("new", "file"), 0);
}

/* What was opened is not what the name leads to once it is locked. */
START_TEST(name_and_inode_are_one)
{
	prepare(EMPTY);
	before_lock = _i == 0 ? other_removes : other_replaces;
	ck_assert_int_eq(vdo_format("file", good, &error), 0);
	expect_volume("file");
}
END_TEST

/* And what was replaced meanwhile is not for who made its forerunner. */
START_TEST(replaced_is_not_removed)
{
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open("file", VDO_OPEN_CREATE, &d, &error),
			 0);
	other_replaces();
	device_remove_created(d);
	ck_assert(is_there("file"));
	vdo_device_close(d);
	other_removes();
	ck_assert_int_eq(vdo_device_open("file", VDO_OPEN_CREATE, &d, &error),
			 0);
	device_remove_created(d);
	ck_assert(!is_there("file"));
	vdo_device_close(d);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("format");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_byte_is_data, 0, ARRAY_SIZE(bytes));
	tcase_add_loop_test(tc, places_are_looked_at, 0, ARRAY_SIZE(places));
	tcase_add_test(tc, odd_end_is_looked_at);
	tcase_add_test(tc, refused_leaves_links);
	tcase_add_loop_test(tc, failed_leaves_all_as_it_was, 0, BEFORES);
	tcase_add_loop_test(tc, unlockable_leaves_nothing, 0, BEFORES);
	tcase_add_loop_test(tc, loser_keeps_the_winners_volume, MISSING,
			    EMPTY + 1);
	tcase_add_loop_test(tc, loser_keeps_what_others_have_open, MISSING,
			    EMPTY + 1);
	tcase_add_loop_test(tc, name_and_inode_are_one, 0, 2);
	tcase_add_test(tc, replaced_is_not_removed);
	return unit_run();
}
