/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sparse file whose file system runs full: a tmpfs of our own. Skipped parts
 * mean that mounting is not permitted.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel's header has a macro of this name, too. */
#undef BLOCK_SIZE

#include "tests/lib/fixture.h"

#define B      BLOCK_SIZE
#define BLOCKS 4096u

static char dir[] = "/tmp/vdo-full-XXXXXX";
static char path[64], filler[64];

/* A file system with room for @size bytes; false: not permitted. */
static bool mount_small(const char *size)
{
	char options[32];

	strcpy(dir, "/tmp/vdo-full-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	snprintf(options, sizeof(options), "size=%s", size);
	if ((unshare(CLONE_NEWNS) == 0 ||
	     unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("vdo", dir, "tmpfs", 0, options) == 0)
		return true;
	rmdir(dir);
	return false;
}

static void unmount(void)
{
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Take all space but @left blocks. */
static void fill_up(uint64_t left)
{
	int fd = open(filler, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	static const char block[B];
	off_t size = 0;

	ck_assert_int_ge(fd, 0);
	while (write(fd, block, B) == B)
		size += B;
	ck_assert_int_eq(ftruncate(fd, size - (off_t)(left * B)), 0);
	close(fd);
}

static struct vdo_config *config(void)
{
	struct vdo_config *c =
		fixture_config("size=256M profile=small logical-size=128M");

	vdo_config_set_log(c, fixture_keep_line, NULL);
	return c;
}

static void expect_block(struct vdo_volume *v, uint64_t lbn, value_t value)
{
	uint8_t buf[B];

	ck_assert_int_eq(vdo_pread(v, buf, B, lbn * B, 0), 0);
	ck_assert(pattern_is(value, buf));
}

/* A new volume with 500 blocks of @data, flushed. */
static struct vdo_volume *open_with_data(struct vdo_config *c,
					 const uint8_t *data)
{
	struct vdo_volume *v;
	struct vdo_error error;

	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, 500 * B, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	return v;
}

/* The file system runs full below many writes. Then space is freed: the volume
 * can be saved, and after it was opened again all is as it should be. */
START_TEST(test_full_file_system)
{
	struct vdo_config *c = config();
	struct vdo_volume *v;
	struct vdo_error error;
	struct vdo_info info;
	uint8_t *data = pattern_blocks(V_UNIQUE(1), BLOCKS);
	uint64_t i;
	int result = 0;

	if (!mount_small("64M"))
		goto out;
	v = open_with_data(c, data);
	fill_up(600);
	for (i = 500; result == 0 && i < BLOCKS; i += 50)
		result = vdo_pwrite(v, data + i * B, MIN(50, BLOCKS - i) * B,
				    i * B, 0);
	ck_assert_int_eq(vdo_flush(v, 0), -ENOSPC);
	ck_assert(!vdo_volume_is_read_only(v));
	ck_assert_ptr_nonnull(strstr(fixture_log, "file system that holds the "
					       "volume is full"));
	for (i = 0; i < 500; i++)
		expect_block(v, i, V_UNIQUE(1 + i));
	ck_assert_int_eq(unlink(filler), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, B, 0, 0), -ENOSPC);
	ck_assert_int_eq(vdo_close(v), -ENOSPC);
	ck_assert_int_eq(vdo_inspect(path, &info, sizeof(info), &error), 0);
	ck_assert_str_eq(info.state_name, "clean");
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	for (i = 0; i < 500; i++)
		expect_block(v, i, V_UNIQUE(1 + i));
	ck_assert_int_eq(vdo_pwrite(v, data, BLOCKS * B, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	for (i = 0; i < BLOCKS; i++)
		expect_block(v, i, V_UNIQUE(1 + i));
	ck_assert_int_eq(vdo_close(v), 0);
	unmount();
out:
	free(data);
	vdo_config_free(c);
}
END_TEST

static void expect_state(const char *name)
{
	struct vdo_info info;
	struct vdo_error error;

	ck_assert_int_eq(vdo_inspect(path, &info, sizeof(info), &error), 0);
	ck_assert_str_eq(info.state_name, name);
}

/* It is still full when the volume is closed, and when it is opened again: what
 * is written then has its storage already. */
START_TEST(test_closed_while_full)
{
	struct vdo_config *c = config();
	struct vdo_volume *v;
	struct vdo_error error;
	uint8_t *data = pattern_blocks(V_UNIQUE(1), 500);

	if (!mount_small("64M"))
		goto out;
	v = open_with_data(c, data);
	fill_up(0);
	ck_assert_int_eq(vdo_close(v), 0);
	expect_state("clean");
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	for (uint64_t i = 0; i < 500; i++)
		expect_block(v, i, V_UNIQUE(1 + i));
	ck_assert_int_eq(vdo_close(v), 0);
	expect_state("clean");
	unmount();
out:
	free(data);
	vdo_config_free(c);
}
END_TEST

/* Each block is in a leaf page of its own, so there are as many pages as data,
 * and all slabs are taken into use: the file system runs full at any place. */
START_TEST(test_pages_while_full)
{
	static const char *const sizes[] = {"16M", "20M", "24M"};
	enum { PAGES = 4000, STRIDE = 812 };
	struct vdo_config *c = fixture_config(
		"size=256M profile=small slab-bits=10 logical-size=16G "
		"index=memory");
	struct vdo_volume *v;
	struct vdo_error error;
	uint8_t *data = pattern_blocks(V_UNIQUE(1), PAGES);
	uint64_t i, written, flushed = 0;
	int result = 0;

	vdo_config_set_log(c, fixture_keep_line, NULL);
	if (!mount_small(sizes[_i]))
		goto out;
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	for (i = 0; i < PAGES && result == 0; i++) {
		result = vdo_pwrite(v, data + i * B, B, i * STRIDE * B, 0);
		if (i % 50 == 0 && vdo_flush(v, 0) == 0)
			flushed = i;
	}
	written = i - 1;
	ck_assert_int_eq(result, -ENOSPC);
	ck_assert(!vdo_volume_is_read_only(v));
	result = vdo_close(v);
	ck_assert(result == 0 || result == -ENOSPC);
	if (result == 0)
		flushed = written;
	expect_state("clean");
	ck_assert_ptr_nonnull(strstr(fixture_log, "free space there"));
	ck_assert_int_eq(mount("vdo", dir, "tmpfs", MS_REMOUNT, "size=100M"),
			 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	for (i = 0; i < flushed; i++)
		expect_block(v, i * STRIDE, V_UNIQUE(1 + i));
	for (i = 0; i < PAGES; i++)
		ck_assert_int_eq(vdo_pwrite(v, data + i * B, B, i * STRIDE * B,
					    0),
				 0);
	ck_assert_int_eq(vdo_close(v), 0);
	unmount();
out:
	free(data);
	vdo_config_free(c);
}
END_TEST

/* Storage that was set aside for what is written later is a hole again, as in a
 * copy of the file. */
static void punch_holes(void)
{
	static const uint8_t zero[B];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t block[B];

	ck_assert_int_ge(fd, 0);
	for (off_t at = 0; pread(fd, block, B, at) == B; at += B)
		if (memcmp(block, zero, B) == 0)
			ck_assert_int_eq(
				fallocate(fd,
					  FALLOC_FL_PUNCH_HOLE |
						  FALLOC_FL_KEEP_SIZE,
					  at, B),
				0);
	close(fd);
}

/* The volume was not closed, and a recovery needs more space than there is: it
 * is not opened and stays as it is, until there is enough. */
START_TEST(test_recovered_when_there_is_space)
{
	enum { PAGES = 300, STRIDE = 812 };
	struct vdo_config *c = fixture_config(
		"size=256M profile=small slab-bits=10 logical-size=16G "
		"index=memory");
	uint8_t *data = pattern_blocks(V_UNIQUE(1), PAGES);
	unsigned refused = 0;
	struct vdo_volume *v;
	struct vdo_error error;
	int result = -ENOSPC;

	vdo_config_set_log(c, fixture_keep_line, NULL);
	if (!mount_small("64M"))
		goto out;
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		ck_assert_int_eq(vdo_pwrite(v, data + i * B, B, i * STRIDE * B,
					    0),
				 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	vdo_abandon(v);
	punch_holes();
	for (uint64_t left = 0; result != 0; left += 1 + left / 4) {
		expect_state("dirty");
		fill_up(left);
		result = vdo_open(path, c, &v, &error);
		ck_assert_int_eq(unlink(filler), 0);
		if (result == 0)
			break;
		ck_assert_int_eq(result, -ENOSPC);
		ck_assert_msg(strstr(error.message, "free space there"), "%s",
			      error.message);
		refused++;
	}
	ck_assert_uint_gt(refused, 10);
	for (uint64_t i = 0; i < PAGES; i++)
		expect_block(v, i * STRIDE, V_UNIQUE(1 + i));
	ck_assert_int_eq(vdo_close(v), 0);
	expect_state("clean");
	unmount();
out:
	free(data);
	vdo_config_free(c);
}
END_TEST

/* What can be known before: the volume may outgrow its file system, or does not
 * even fit as it is. */
START_TEST(test_space_when_formatting)
{
	struct vdo_config *c = config();
	struct vdo_error error;

	if (!mount_small("8M"))
		goto out;
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_msg(strstr(fixture_log, "may need 256 MiB more") &&
			      strstr(fixture_log, "only 8 MiB free"),
		      "%s", fixture_log);
	ck_assert_int_eq(unlink(path), 0);
	fixture_log[0] = '\0';
	fill_up(500);
	ck_assert_int_eq(vdo_format(path, c, &error), -ENOSPC);
	ck_assert_msg(strstr(error.message, "1 MiB free"), "%s", error.message);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(unlink(filler), 0);
	/* There is enough: nothing is said. */
	ck_assert_int_eq(mount("vdo", dir, "tmpfs", MS_REMOUNT, "size=260M"),
			 0);
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_str_eq(strstr(fixture_log, "may need") ? fixture_log : "", "");
	unmount();
out:
	vdo_config_free(c);
}
END_TEST

/* No space for the recovery journal: the volume is not opened for writing, but
 * stays as it is, and the message says what to do. */
START_TEST(test_no_space_for_the_journal)
{
	struct vdo_config *c = config();
	struct vdo_volume *v;
	struct vdo_error error;
	struct vdo_info info;

	if (!mount_small("8M"))
		goto out;
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	fill_up(16);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), -ENOSPC);
	ck_assert_msg(strstr(error.message, "free space there"), "%s",
		      error.message);
	ck_assert_int_eq(vdo_inspect(path, &info, sizeof(info), &error), 0);
	ck_assert_str_eq(info.state_name, "new");
	ck_assert_int_eq(unlink(filler), 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	unmount();
out:
	vdo_config_free(c);
}
END_TEST

/* A limit of file sizes, set while the volume is open, is hit by data and by
 * metadata: no damage, and beyond it all goes on. */
START_TEST(test_limit_of_file_sizes)
{
	char name[] = "/tmp/libvdo-limit-XXXXXX";
	struct rlimit limit = {20 << 20, RLIM_INFINITY}, none = limit;
	struct vdo_config *c = config();
	struct vdo_volume *v;
	struct vdo_error error;
	struct vdo_info info;
	uint8_t *data = pattern_blocks(V_UNIQUE(1), BLOCKS);
	int fd = mkstemp(name), result = 0;

	none.rlim_cur = RLIM_INFINITY;
	ck_assert_int_ge(fd, 0);
	close(fd);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(vdo_format(name, c, &error), 0);
	ck_assert_int_eq(vdo_open(name, c, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, 500 * B, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (uint64_t i = 500; result == 0 && i < BLOCKS; i += 50)
		result = vdo_pwrite(v, data + i * B, MIN(50, BLOCKS - i) * B,
				    i * B, 0);
	if (result == 0)
		result = vdo_flush(v, 0);
	ck_assert(result == -EFBIG || result == -VDO_EREADONLY);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	ck_assert_int_eq(vdo_close(v), -EFBIG);
	ck_assert_ptr_nonnull(strstr(fixture_log, "may not become so large"));
	ck_assert_int_eq(vdo_inspect(name, &info, sizeof(info), &error), 0);
	ck_assert_str_ne(info.state_name, "read-only");
	unlink(name);
	free(data);
	vdo_config_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("full");

	tcase_add_test(tc, test_full_file_system);
	tcase_add_test(tc, test_closed_while_full);
	tcase_add_loop_test(tc, test_pages_while_full, 0, 3);
	tcase_add_test(tc, test_recovered_when_there_is_space);
	tcase_add_test(tc, test_space_when_formatting);
	tcase_add_test(tc, test_no_space_for_the_journal);
	tcase_add_test(tc, test_limit_of_file_sizes);
	return unit_run();
}
