/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The golden indexes: those that the reference wrote are opened and answer as
 * listed; the same requests given to us lead to the same answers, statistics
 * and records. Without the files there is nothing to do.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <vdo/error.h>

#include "exec/executor.h"
#include "tests/lib/golden_files.h"
#include "tests/unit/golden.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_play.h"
#include "tests/unit/index_rig.h"

static struct rig rig;

static struct vdo_device *memory_device(uint64_t blocks)
{
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &d), 0);
	return d;
}

/* The image in memory. */
static struct vdo_device *load_image(const struct golden_image *i)
{
	struct vdo_device *d = memory_device(i->blocks);
	static uint8_t buf[1 << 20];
	FILE *f = golden_index(i->name);
	uint64_t at = 0;
	size_t n;

	ck_assert_ptr_nonnull(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0) {
		ck_assert_int_eq(device_write(d, at, buf, n), 0);
		at += n;
	}
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_uint_eq(at, i->blocks * BLOCK_SIZE);
	return d;
}

static void start(const struct golden_image *i, struct vdo_device *d,
		  unsigned zones)
{
	struct executor *x;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, d, i->memory, i->sparse, zones, i->nonce, 0);
}

static void stop(struct vdo_device *d)
{
	rig_fini(&rig);
	vdo_device_close(d);
}

/* Image and number of zones. */
static const struct {
	unsigned image, zones;
} loads[] = {
	{0, 1}, {0, 2}, {0, 4}, {1, 1}, {1, 3}, {2, 1}, {2, 4}, {3, 3}, {3, 1},
	{3, 16},
};

START_TEST(answers_as_listed)
{
	const struct golden_image *i = &golden_images[loads[_i].image];
	struct vdo_device *d = load_image(i);

	start(i, d, loads[_i].zones);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	play_expect(&rig, i->name, 1);
	if (loads[_i].image == 2) {
		ck_assert_uint_eq(rig_stats(&rig).entries_indexed, 98301);
		ck_assert_uint_eq(rig_stats(&rig).collisions, 9);
	}
	ck_assert_int_eq(rig_close(&rig, true), 0);
	/* What we save is as good. */
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	play_expect(&rig, i->name, 97);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(dirty_image_has_no_save)
{
	struct vdo_device *d = load_image(&golden_images[2]);

	start(&golden_images[2], d, 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	stop(d);
}
END_TEST

/* The last chapter before the "crash" is complete as that of the reference. */
START_TEST(same_requests_dense)
{
	struct vdo_device *d = memory_device(golden_images[0].blocks);

	start(&golden_images[0], d, 1);
	play_log(&rig, "tiny-dense", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	play_expect(&rig, "tiny-dense", 1);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	play_log(&rig, "tiny-dense-expired", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	play_expect(&rig, "tiny-dense-expired", 1);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_crashed)
{
	struct vdo_device *d = load_image(&golden_images[0]);

	start(&golden_images[0], d, 1);
	play_log(&rig, "tiny-dense-dirty", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	play_expect(&rig, "tiny-dense-dirty", 1);
	ck_assert_uint_eq(rig_stats(&rig).entries_indexed, 98301);
	ck_assert_uint_eq(rig_stats(&rig).collisions, 9);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_three_zones)
{
	struct vdo_device *d = memory_device(golden_images[3].blocks);

	start(&golden_images[3], d, 3);
	play_log(&rig, "tiny-3zones", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	play_expect(&rig, "tiny-3zones", 1);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_sparse)
{
	struct vdo_device *d = memory_device(golden_images[4].blocks);

	start(&golden_images[4], d, 1);
	play_log(&rig, "tiny-sparse", 1);
	play_log(&rig, "tiny-sparse-queries", 1);
	stop(d);
}
END_TEST

START_TEST(golden_sparse_queries)
{
	struct vdo_device *d = load_image(&golden_images[4]);

	start(&golden_images[4], d, 1);
	play_log(&rig, "tiny-sparse-queries", 1);
	stop(d);
}
END_TEST

/* What Linux wrote: a volume in a sparse file; the index begins at block 1. */
static const struct {
	const char *name;
	bool sparse;
	unsigned zones;
} kernels[] = {
	{"kernel-dense256", false, 3}, {"kernel-dense256", false, 2},
	{"kernel-sparse256", true, 2}, {"kernel-sparse256", true, 1},
};

/* "blocks LO HI PBN" */
static void check_blocks(const char *name)
{
	char file[64], path[1024], line[256];
	unsigned long low, high, pbn;
	unsigned checks = 0;
	FILE *f;

	snprintf(file, sizeof(file), "index/%s.expect", name);
	golden_path(file, path);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "blocks %lu %lu %lu", &low, &high, &pbn) != 3)
			continue;
		for (unsigned long k = low; k < high; k++) {
			struct index_op op = {.request = INDEX_QUERY_NO_UPDATE};
			uint8_t block[BLOCK_SIZE], want[16] = {2, 1};

			for (unsigned i = 0; i < BLOCK_SIZE; i += 8)
				put_u64(block + i, 1000000 + k);
			op.name.hash = hash128(block, BLOCK_SIZE, BLOCK_NAME_SEED);
			put_u64(want + 2, pbn + k - low);
			ck_assert_int_eq(rig_ask(&rig, &op), 0);
			ck_assert_msg(op.found, "block %lu", k);
			ck_assert_mem_eq(op.data, want, 16);
			checks++;
		}
	}
	ck_assert_uint_gt(checks, 1000);
	fclose(f);
}

START_TEST(kernel_images)
{
	char dir[] = "/tmp/index-golden-XXXXXX", image[256];
	struct vdo_device *d;
	struct executor *x;
	uint8_t block[BLOCK_SIZE];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert(golden_index_unpack(kernels[_i].name, dir));
	snprintf(image, sizeof(image), "%s/%s.img", dir, kernels[_i].name);
	ck_assert_int_eq(vdo_device_open(image, 0, &d, NULL), 0);
	unlink(image);
	ck_assert_int_eq(executor_inline_create(&x), 0);
	/* The nonce of the volume, from the config block. */
	ck_assert_int_eq(device_read(d, 2 * BLOCK_SIZE, block,
				     BLOCK_SIZE), 0);
	rig_init(&rig, x, d, -256, kernels[_i].sparse,
		 kernels[_i].zones, get_u64(block + 42), 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	check_blocks(kernels[_i].name);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("golden");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, answers_as_listed, 0, ARRAY_SIZE(loads));
	tcase_add_test(tc, dirty_image_has_no_save);
	tcase_add_test(tc, same_requests_dense);
	tcase_add_test(tc, same_requests_crashed);
	tcase_add_test(tc, same_requests_three_zones);
	tcase_add_test(tc, same_requests_sparse);
	tcase_add_test(tc, golden_sparse_queries);
	tcase_add_loop_test(tc, kernel_images, 0, ARRAY_SIZE(kernels));
	return unit_run();
}
