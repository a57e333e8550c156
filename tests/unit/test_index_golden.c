/*
 * The golden indexes: those that the reference wrote are opened and answer as
 * listed; the same requests given to us lead to the same answers, statistics
 * and records. Without the files there is nothing to do.
 */
#include "config.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <vdo/error.h>

#include "exec/executor.h"
#include "tests/unit/golden.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"
#include "tests/unit/index_shared.h"

static struct rig rig;

static const struct image {
	const char *name;
	int32_t memory;
	bool sparse;
	uint64_t nonce, blocks;
} images[] = {
	{"tiny-dense", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-dense-expired", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-dense-dirty", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-3zones", -1, false, 0x2233, 1879},
	{"tiny-sparse", -1, true, 0x3344, 11959},
};

static struct vdo_device *memory_device(uint64_t blocks)
{
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &d), 0);
	return d;
}

/* The image in memory, or NULL. */
static struct vdo_device *load_image(const struct image *i)
{
	char name[64], path[1024], command[1100];
	static uint8_t buf[1 << 20];
	struct vdo_device *d;
	uint64_t at = 0;
	size_t n;
	FILE *f;

	snprintf(name, sizeof(name), "golden/index/%s.img.xz", i->name);
	if (!shared_path(name, path))
		return NULL;
	d = memory_device(i->blocks);
	snprintf(command, sizeof(command), "xz -dc '%s'", path);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0) {
		ck_assert_int_eq(device_write(d, at, buf, n), 0);
		at += n;
	}
	pclose(f);
	ck_assert_uint_eq(at, i->blocks * BLOCK_SIZE);
	return d;
}

static void start(const struct image *i, struct vdo_device *d, unsigned zones)
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

/* Ask for a name given in hexadecimal. */
static void ask_hex(enum index_request request, const char *name,
		    const char *data, struct index_op *op)
{
	*op = (struct index_op){.request = request};
	ck_assert_uint_eq(golden(op->name.bytes, name), 16);
	if (data != NULL)
		golden(op->data, data);
	ck_assert_int_eq(rig_ask(&rig, op), 0);
}

/* Compare with the .expect file, each @step-th number. */
static void check_expect(const char *image, unsigned step)
{
	char name[64], path[1024], line[256];
	unsigned checks = 0;
	FILE *f;

	snprintf(name, sizeof(name), "golden/index/%s.expect", image);
	ck_assert(shared_path(name, path));
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		char hex[40], verdict[16], data[40] = "";
		unsigned long low, high;
		int generation = -1;

		if (sscanf(line, "range %lu %lu %15s %d", &low, &high, verdict,
			   &generation) >= 3) {
			for (unsigned long i = low; i < high; i += step)
				ck_assert_msg(rig_generation(&rig, i) ==
						      generation,
					      "%lu is not %s", i, verdict);
			checks++;
		} else if (sscanf(line, "name %39s %15s %39s", hex, verdict,
				  data) >= 2) {
			struct index_op op;
			uint8_t want[16] = {0};

			ask_hex(INDEX_QUERY_NO_UPDATE, hex, NULL, &op);
			ck_assert_int_eq(op.found,
					 strcmp(verdict, "found") == 0);
			golden(want, data);
			if (op.found)
				ck_assert_mem_eq(op.data, want, 16);
			checks++;
		}
	}
	ck_assert_uint_gt(checks, 0);
	fclose(f);
}

/* Image and number of zones. */
static const struct {
	unsigned image, zones;
} loads[] = {
	{0, 1}, {0, 2}, {0, 4}, {1, 1}, {1, 3}, {2, 1}, {2, 4}, {3, 3}, {3, 1},
	{3, 16},
};

START_TEST(golden_images)
{
	const struct image *i = &images[loads[_i].image];
	struct vdo_device *d = load_image(i);

	if (d == NULL)
		return;
	start(i, d, loads[_i].zones);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	check_expect(i->name, 7);
	if (loads[_i].image == 2) {
		ck_assert_uint_eq(rig_stats(&rig).entries_indexed, 98301);
		ck_assert_uint_eq(rig_stats(&rig).collisions, 9);
	}
	ck_assert_int_eq(rig_close(&rig, true), 0);
	/* What we save is as good. */
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	check_expect(i->name, 97);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(dirty_image_has_no_save)
{
	struct vdo_device *d = load_image(&images[2]);

	if (d == NULL)
		return;
	start(&images[2], d, 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	stop(d);
}
END_TEST

static const char *const requests[] = {
	[INDEX_POST] = "post",
	[INDEX_UPDATE] = "update",
	[INDEX_QUERY] = "query",
	[INDEX_QUERY_NO_UPDATE] = "query-no-update",
	[INDEX_DELETE] = "delete",
};

static const char *const regions[] = {"", "open", "dense", "sparse"};

static uint64_t stat(const char *line, const char *name)
{
	const char *p = strstr(line, name);

	ck_assert_ptr_nonnull(p);
	return strtoull(p + strlen(name), NULL, 10);
}

static void check_stats(const char *line)
{
	struct index_stats s = rig_stats(&rig);

	ck_assert_uint_eq(s.entries_indexed, stat(line, "entries="));
	ck_assert_uint_eq(s.collisions, stat(line, "collisions="));
	ck_assert_uint_eq(s.entries_discarded, stat(line, "discarded="));
	ck_assert_uint_eq(s.posts_found, stat(line, "posts_found="));
	ck_assert_uint_eq(s.posts_not_found, stat(line, "posts_not_found="));
	ck_assert_uint_eq(s.in_memory_posts_found, stat(line, "in_memory="));
	ck_assert_uint_eq(s.dense_posts_found, stat(line, "dense="));
	ck_assert_uint_eq(s.sparse_posts_found, stat(line, "sparse="));
	ck_assert_uint_eq(s.requests, stat(line, " requests="));
}

/* "post num I [G]" or "post hex NAME [DATA]", and what must come of it. */
static void run_request(const char *line)
{
	char verb[20], kind[8], what[40], more[40] = "", answer[16] = "",
	     region[10] = "", data[40] = "";
	struct index_op op = {.request = INDEX_POST};
	const char *result = strstr(line, "=> ");
	uint8_t want[16] = {0};
	int n = sscanf(line, "%19s %7s %39s %39s", verb, kind, what, more);

	ck_assert_int_ge(n, 3);
	ck_assert_ptr_nonnull(result);
	if (strcmp(more, "=>") == 0)
		more[0] = '\0';
	while (strcmp(requests[op.request], verb) != 0)
		op.request++;
	if (strcmp(kind, "num") == 0) {
		uint64_t i = strtoull(what, NULL, 10);

		op.name = golden_name(i);
		golden_data(i, (unsigned)strtoul(more, NULL, 10), op.data);
	} else {
		golden(op.name.bytes, what);
		golden(op.data, more);
	}
	ck_assert_int_eq(rig_ask(&rig, &op), 0);
	sscanf(result, "=> %15s %9s %39s", answer, region, data);
	ck_assert_msg(op.found == (strcmp(answer, "found") == 0), "%s", line);
	if (!op.found)
		return;
	ck_assert_msg(strcmp(regions[op.region], region) == 0, "%s", line);
	golden(want, data);
	if (data[0] != '\0' && op.request != INDEX_DELETE)
		ck_assert_mem_eq(op.data, want, 16);
}

/* Carry out a log of requests. */
static void run_log(const char *name, unsigned depth)
{
	char path[1024], line[256], file[64];
	unsigned long low, high;
	FILE *f;

	snprintf(file, sizeof(file), "golden/index/%s.ops", name);
	ck_assert(shared_path(file, path));
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		if (strncmp(line, "create", 6) == 0)
			ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
		else if (strncmp(line, "load", 4) == 0)
			ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
		else if (sscanf(line, "post-range %lu %lu", &low, &high) == 2)
			ck_assert_int_eq(rig_post_range(&rig, low, high, depth),
					 0);
		else if (strncmp(line, "stats", 5) == 0)
			check_stats(line);
		else if (strncmp(line, "close", 5) == 0)
			ck_assert_int_eq(rig_close(&rig, true), 0);
		else if (strncmp(line, "crash", 5) == 0)
			ck_assert_int_eq(rig_close(&rig, false), 0);
		else if (strncmp(line, "flush", 5) == 0) {
			ck_assert_int_eq(rig_suspend(&rig, false), 0);
			ck_assert_int_eq(rig_resume(&rig), 0);
		} else {
			run_request(line);
		}
	}
	fclose(f);
}

/* The last chapter before the "crash" is complete as that of the reference. */
static bool shared_missing(void)
{
	char path[1024];

	return !shared_path("golden/index/tiny-dense.ops", path);
}

START_TEST(same_requests_dense)
{
	struct vdo_device *d = memory_device(images[0].blocks);

	if (shared_missing()) {
		vdo_device_close(d);
		return;
	}
	start(&images[0], d, 1);
	run_log("tiny-dense", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	check_expect("tiny-dense", 5);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	run_log("tiny-dense-expired", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	check_expect("tiny-dense-expired", 5);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_crashed)
{
	struct vdo_device *d = load_image(&images[0]);

	if (d == NULL)
		return;
	start(&images[0], d, 1);
	run_log("tiny-dense-dirty", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), -VDO_EDIRTY);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD), 0);
	check_expect("tiny-dense-dirty", 5);
	ck_assert_uint_eq(rig_stats(&rig).entries_indexed, 98301);
	ck_assert_uint_eq(rig_stats(&rig).collisions, 9);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_three_zones)
{
	struct vdo_device *d = memory_device(images[3].blocks);

	if (shared_missing()) {
		vdo_device_close(d);
		return;
	}
	start(&images[3], d, 3);
	run_log("tiny-3zones", 1);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	check_expect("tiny-3zones", 5);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	stop(d);
}
END_TEST

START_TEST(same_requests_sparse)
{
	struct vdo_device *d = memory_device(images[4].blocks);

	if (shared_missing()) {
		vdo_device_close(d);
		return;
	}
	start(&images[4], d, 1);
	run_log("tiny-sparse", 1);
	run_log("tiny-sparse-queries", 1);
	stop(d);
}
END_TEST

START_TEST(golden_sparse_queries)
{
	struct vdo_device *d = load_image(&images[4]);

	if (d == NULL)
		return;
	start(&images[4], d, 1);
	run_log("tiny-sparse-queries", 1);
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

static bool unpack(const char *name, const char *dir, char *image)
{
	char file[64], path[1024], command[1400];

	snprintf(file, sizeof(file), "golden/index/%s.tar.xz", name);
	if (!shared_path(file, path))
		return false;
	snprintf(command, sizeof(command), "tar -C %s -xJSf '%s'", dir, path);
	ck_assert_int_eq(system(command), 0);
	snprintf(image, 256, "%s/%s.img", dir, name);
	return true;
}

/* "blocks LO HI PBN" */
static void check_blocks(const char *name)
{
	char file[64], path[1024], line[256];
	unsigned long low, high, pbn;
	unsigned checks = 0;
	FILE *f;

	snprintf(file, sizeof(file), "golden/index/%s.expect", name);
	ck_assert(shared_path(file, path));
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "blocks %lu %lu %lu", &low, &high, &pbn) != 3)
			continue;
		for (unsigned long k = low; k < high; k += 17) {
			struct index_op op = {.request = INDEX_QUERY_NO_UPDATE};
			uint8_t block[BLOCK_SIZE], want[16] = {2, 1};

			for (unsigned i = 0; i < BLOCK_SIZE; i += 8)
				put_u64(block + i, 1000000 + k);
			op.name = hash128(block, BLOCK_SIZE, BLOCK_NAME_SEED);
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
	if (unpack(kernels[_i].name, dir, image)) {
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
	}
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("golden");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, golden_images, 0, ARRAY_SIZE(loads));
	tcase_add_test(tc, dirty_image_has_no_save);
	tcase_add_test(tc, same_requests_dense);
	tcase_add_test(tc, same_requests_crashed);
	tcase_add_test(tc, same_requests_three_zones);
	tcase_add_test(tc, same_requests_sparse);
	tcase_add_test(tc, golden_sparse_queries);
	tcase_add_loop_test(tc, kernel_images, 0, ARRAY_SIZE(kernels));
	return unit_run();
}
