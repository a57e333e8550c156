/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What we write, read by a program of others: the inspector of indexes decodes
 * every list and page, finds no fault, and finds each name. What the golden
 * requests led to must, by its account, be what the reference wrote.
 *
 * Skipped without python3.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/executor.h"
#include "tests/lib/golden_files.h"
#include "tests/unit/index_play.h"
#include "tests/unit/index_rig.h"

#define INSPECTOR "tests/inspect/uds_inspect.py"
#define REPORT	  (256 << 10)

static struct rig rig;
static char dir[64], image[128], expect[128];

static void make_dir(void)
{
	strcpy(dir, "/tmp/index-inspect-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(expect, sizeof(expect), "%s/expect", dir);
}

static void remove_dir(void)
{
	unlink(image);
	unlink(expect);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct vdo_device *open_image(uint64_t blocks)
{
	struct vdo_device *d;
	FILE *f = fopen(image, "w");

	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_eq(truncate(image, (off_t)(blocks * BLOCK_SIZE)), 0);
	ck_assert_int_eq(vdo_device_open(image, 0, &d, NULL), 0);
	return d;
}

static struct vdo_device *start(int32_t memory, bool sparse, unsigned zones,
				uint64_t nonce, uint64_t blocks)
{
	struct vdo_device *d = open_image(blocks);
	struct executor *x;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, d, memory, sparse, zones, nonce, 0);
	return d;
}

static void stop(struct vdo_device *d)
{
	rig_fini(&rig);
	vdo_device_close(d);
}

/* What the inspector says; its exit status must be 0. */
static char *inspect(const char *file, const char *options)
{
	char path[1024], command[2400];
	char *report = calloc(1, REPORT);
	size_t n;
	FILE *f;

	source_path(INSPECTOR, path);
	snprintf(command, sizeof(command), "python3 '%s' '%s' %s 2>&1", path,
		 file, options);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(report, 1, REPORT - 1, f);
	report[n] = '\0';
	ck_assert_msg(pclose(f) == 0, "%s: %s", file, report);
	return report;
}

/*
 * The records by the inspector's account; nonces and times are before. How many
 * bytes the lists of a save take depends on where they lay in memory.
 */
static const char *records_of(char *report)
{
	char *records = strstr(report, "\nopen chapter:");
	char *bytes = strstr(report, "volume index stream bytes"), *end;

	ck_assert_msg(records != NULL && bytes > records, "%s", report);
	end = strchr(bytes, '\n');
	memmove(bytes, end, strlen(end) + 1);
	return records;
}

/* Image, logs of requests up to it, and how many numbers to look up. */
static const struct {
	unsigned image, zones;
	const char *logs[2];
	unsigned step;
} golden_cases[] = {
	{TINY_EXPIRED, 1, {"tiny-dense", "tiny-dense-expired"}, 31},
	{TINY_3ZONES, 3, {"tiny-3zones", NULL}, 11},
	{TINY_SPARSE, 1, {"tiny-sparse", NULL}, 0},
};

START_TEST(same_records)
{
	const struct golden_image *i = &golden_images[golden_cases[_i].image];
	char name[64], path[GOLDEN_PATH], options[1200];
	char *ours, *theirs;
	struct vdo_device *d;

	make_dir();
	d = start(i->memory, i->sparse, golden_cases[_i].zones, i->nonce,
		  i->blocks);
	for (unsigned n = 0; n < 2 && golden_cases[_i].logs[n] != NULL; n++)
		play_log(&rig, golden_cases[_i].logs[n], 1);
	stop(d);
	ours = inspect(image, "--deep");
	ck_assert(golden_index_unpack(i->name, dir));
	snprintf(path, sizeof(path), "%s/%s.img", dir, i->name);
	theirs = inspect(path, "--deep");
	unlink(path);
	ck_assert_str_eq(records_of(ours), records_of(theirs));
	free(ours);
	free(theirs);
	if (golden_cases[_i].step != 0) {
		snprintf(name, sizeof(name), "index/%s.expect", i->name);
		golden_path(name, path);
		snprintf(options, sizeof(options), "--expect '%s' --step %u",
			 path, golden_cases[_i].step);
		free(inspect(image, options));
	}
	remove_dir();
}
END_TEST

/* Geometries that the golden indexes do not have. */
static const struct {
	int32_t memory;
	bool sparse;
	unsigned zones;
	uint64_t blocks, posts;
	unsigned step;
} made_cases[] = {
	{-2, false, 1, 190, 20000, 7},
	{-3, true, 2, 4000, 30000, 7},
	{-256, false, 2, 0, 150000, 101},
	{-1280, false, 1, 0, 70000, 101},
};

static void write_expect(uint64_t low, uint64_t high)
{
	FILE *f = fopen(expect, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "range %llu %llu found 0\nrange 1000000 1001000 notfound\n",
		(unsigned long long)low, (unsigned long long)high);
	fclose(f);
}

START_TEST(others_find_it)
{
	uint64_t posts = made_cases[_i].posts, blocks = made_cases[_i].blocks;
	struct index_geometry g;
	char options[300];
	uint64_t sure;
	char *report;
	struct vdo_device *d;

	ck_assert_int_eq(index_geometry_init(&g, made_cases[_i].memory,
					     made_cases[_i].sparse, blocks),
			 0);
	make_dir();
	d = start(made_cases[_i].memory, made_cases[_i].sparse,
		  made_cases[_i].zones, 77, g.total_blocks);
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_post_range(&rig, 0, posts, 64), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	stop(d);
	/* Chapters close early in other zones, hence the half. */
	sure = MIN((uint64_t)g.records * (g.dense_chapters - 1) / 2, posts);
	write_expect(posts - sure, posts);
	snprintf(options, sizeof(options), "--deep --expect '%s' --step %u",
		 expect, made_cases[_i].step);
	report = inspect(image, options);
	ck_assert_msg(strstr(report, " 0 failed") != NULL, "%s", report);
	free(report);
	remove_dir();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("inspect");

	if (system("python3 -c 'import lzma' 2>/dev/null") != 0) {
		puts("skipped: no python3");
		return 77;
	}
	tcase_add_loop_test(tc, same_records, 0, ARRAY_SIZE(golden_cases));
	tcase_add_loop_test(tc, others_find_it, 0, ARRAY_SIZE(made_cases));
	return unit_run();
}
