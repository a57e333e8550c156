/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage that somebody cuts short, overwrites or removes while a volume on it
 * is open: no close says that all is well.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "index/reindex.h"
#include "tests/lib/fixture.h"
#include "volume/reindex.h"
#include "volume/settings.h"

#define B     BLOCK_SIZE
#define BYTES (64u << 20)

static char dir[] = "/tmp/vdo-gone-XXXXXX";
static char path[64], other[64];

/* Leaf pages that are made ahead of a writer go on after its last write. What is
 * written to a file that was cut makes it longer. */
static void wait_for_rest(struct vdo_volume *v)
{
	struct fixture f = {.volume = v};

	while (fixture_stat(&f, "currentVIOsInProgress") > 0)
		sched_yield();
}

static struct vdo_volume *open_volume(const char *engine)
{
	struct vdo_config *c =
		fixture_config("size=64M profile=small logical-size=32M");
	struct vdo_volume *v;
	struct vdo_error error;
	uint8_t *data = pattern_blocks(V_UNIQUE(1), 1000);

	strcpy(dir, "/tmp/vdo-gone-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	fixture_log[0] = '\0';
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	vdo_config_set_log(c, fixture_keep_line, NULL);
	ck_assert_int_eq(vdo_config_set(c, "io-engine", engine, &error), 0);
	ck_assert_int_eq(vdo_open(path, c, &v, &error), 0);
	vdo_config_free(c);
	ck_assert_int_eq(vdo_pwrite(v, data, 1000 * B, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	wait_for_rest(v);
	free(data);
	return v;
}

static void clean_up(void)
{
	unlink(path);
	unlink(other);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void expect_not_clean(void)
{
	struct vdo_info info;
	struct vdo_error error;

	if (vdo_inspect(path, &info, sizeof(info), &error) == 0)
		ck_assert_str_ne(info.state_name, "clean");
}

static const char *const engines[] = {"uring", "threads"};

static const off_t sizes[] = {0, B, BYTES / 2, BYTES - B};

/* What is written after the file was cut makes it longer again, with a hole. */
START_TEST(test_cut)
{
	struct vdo_volume *v = open_volume(engines[_i % 2]);
	uint8_t *data = pattern_blocks(V_UNIQUE(5000), 1000);
	int result;

	ck_assert_int_eq(truncate(path, sizes[_i / 2]), 0);
	result = vdo_pwrite(v, data, 1000 * B, 1000 * B, 0);
	if (result == 0)
		result = vdo_flush(v, 0);
	ck_assert_int_ne(result, 0);
	ck_assert(vdo_volume_is_read_only(v));
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	ck_assert_msg(strstr(fixture_log, "became shorter") != NULL, "%s",
		      fixture_log);
	expect_not_clean();
	clean_up();
	free(data);
}
END_TEST

/* Nothing was written in between. */
START_TEST(test_cut_before_closing)
{
	struct vdo_volume *v = open_volume(engines[_i % 2]);

	ck_assert_int_eq(truncate(path, sizes[_i / 2]), 0);
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	ck_assert_ptr_nonnull(strstr(fixture_log, "became shorter"));
	expect_not_clean();
	clean_up();
}
END_TEST

/* It has its size again, but not what was in it. */
START_TEST(test_cut_and_long_again)
{
	struct vdo_volume *v = open_volume(engines[_i % 2]);

	ck_assert_int_eq(truncate(path, sizes[_i / 2]), 0);
	ck_assert_int_eq(truncate(path, BYTES), 0);
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	ck_assert_ptr_nonnull(strstr(fixture_log, "restore it from a copy"));
	expect_not_clean();
	clean_up();
}
END_TEST

/* Reads beyond the end say so at once, and nothing is written any more. */
START_TEST(test_read_after_cut)
{
	struct vdo_volume *v = open_volume(engines[_i]);
	uint8_t block[B];

	ck_assert_int_eq(truncate(path, B), 0);
	ck_assert_int_eq(vdo_pread(v, block, B, 0, 0), -EIO);
	ck_assert(vdo_volume_is_read_only(v));
	ck_assert_ptr_nonnull(strstr(fixture_log, "became shorter"));
	ck_assert_int_eq(vdo_pwrite(v, block, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	expect_not_clean();
	clean_up();
}
END_TEST

/* Somebody formats another volume over it, without asking for the lock. */
START_TEST(test_overwritten)
{
	struct vdo_volume *v = open_volume(engines[_i]);
	struct vdo_config *c =
		fixture_config("size=64M profile=small logical-size=32M");
	struct vdo_error error;
	char block[B];
	int from, to;

	ck_assert_int_eq(vdo_format(other, c, &error), 0);
	vdo_config_free(c);
	from = open(other, O_RDONLY | O_CLOEXEC);
	to = open(path, O_RDWR | O_CLOEXEC);
	for (off_t at = 0; at < BYTES; at += B) {
		ck_assert_int_eq(pread(from, block, B, at), B);
		ck_assert_int_eq(pwrite(to, block, B, at), B);
	}
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	ck_assert_ptr_nonnull(strstr(fixture_log, "overwritten"));
	/* The other one is as it was. */
	for (off_t at = 0; at < BYTES; at += B) {
		char now[B];

		ck_assert_int_eq(pread(from, block, B, at), B);
		ck_assert_int_eq(pread(to, now, B, at), B);
		ck_assert_mem_eq(block, now, B);
	}
	close(from);
	close(to);
	clean_up();
}
END_TEST

/* All is saved, but in a file that nobody finds. */
START_TEST(test_removed)
{
	struct vdo_volume *v = open_volume(engines[_i % 2]);

	if (_i / 2 == 0) {
		ck_assert_int_eq(unlink(path), 0);
	} else {
		close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		ck_assert_int_eq(rename(other, path), 0);
	}
	ck_assert_int_eq(vdo_close(v), -VDO_EGONE);
	ck_assert_ptr_nonnull(strstr(fixture_log, "removed or replaced"));
	clean_up();
}
END_TEST

/* Another name will do, and so does none from the beginning. */
START_TEST(test_renamed)
{
	struct vdo_volume *v = open_volume(engines[_i]);
	struct vdo_error error;
	char name[32];
	int fd;

	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	fd = open(other, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(unlink(other), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(vdo_open(name, NULL, &v, &error), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	close(fd);
	clean_up();
}
END_TEST

/* Rebuilding the index of a volume that is closed writes to it as well. */
START_TEST(test_cut_while_reindexing)
{
	struct settings settings = {.log = {.fn = fixture_keep_line}};
	struct vdo_volume *v = open_volume(engines[0]);
	struct vdo_device *device;
	struct vdo_error error;
	struct reindex *r;

	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(vdo_device_open(path, 0, &device, &error), 0);
	ck_assert_int_eq(volume_reindex_create(device, NULL, &settings, true, &r,
					       &error), 0);
	ck_assert_int_eq(truncate(path, sizes[_i]), 0);
	ck_assert_int_ne(reindex_rebuild(r, &error), 0);
	reindex_destroy(r);
	vdo_device_close(device);
	clean_up();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("gone");

	tcase_add_loop_test(tc, test_cut, 0, 2 * ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, test_cut_before_closing, 0,
			    2 * ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, test_cut_and_long_again, 0,
			    2 * ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, test_read_after_cut, 0, 2);
	tcase_add_loop_test(tc, test_overwritten, 0, 2);
	tcase_add_loop_test(tc, test_cut_while_reindexing, 0,
			    ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, test_removed, 0, 4);
	tcase_add_loop_test(tc, test_renamed, 0, 2);
	return unit_run();
}
