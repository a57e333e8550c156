/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of options, and configs.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/host_config.h"
#include "api/options.h"
#include "base/alloc.h"
#include "tests/lib/unit.h"

/* One option: what settings say after it was set; refused: want is -1. */
#define F(f) offsetof(struct settings, f), sizeof(((struct settings *)0)->f)
static const struct {
	const char *name, *value;
	size_t offset, size;
	int64_t want;
} values[] = {
	{"profile", "auto", F(format.profile), PROFILE_AUTO},
	{"profile", "kernel", F(format.profile), PROFILE_KERNEL},
	{"profile", "small", F(format.profile), PROFILE_SMALL},
	{"profile", "Small", F(format.profile), -1},
	{"profile", "sma", F(format.profile), -1},
	{"profile", "auto|kernel", F(format.profile), -1},
	{"profile", "", F(format.profile), -1},
	{"profile", NULL, F(format.profile), -1},
	{"size", "64M", F(format.size_bytes), 64 << 20},
	{"size", "67108864", F(format.size_bytes), 64 << 20},
	{"size", "1g", F(format.size_bytes), 1 << 30},
	{"size", "auto", F(format.size_bytes), 0},
	{"size", "0", F(format.size_bytes), -1},
	{"size", "0G", F(format.size_bytes), -1},
	{"size", "64MiB", F(format.size_bytes), 64 << 20},
	{"size", "1.00 GiB", F(format.size_bytes), 1 << 30},
	{"size", "1.3G", F(format.size_bytes), 1395863552},
	{"size", "64MB", F(format.size_bytes), -1},
	{"size", "256T", F(format.size_bytes), INT64_C(1) << 48},
	{"size", "257T", F(format.size_bytes), -1},
	{"size", "1023K", F(format.size_bytes), -1},
	{"size", "1025K", F(format.size_bytes), -1},
	{"size", "1.5G", F(format.size_bytes), 3 << 29},
	{"size", "-1G", F(format.size_bytes), -1},
	{"size", "+1G", F(format.size_bytes), -1},
	{"size", " 1G", F(format.size_bytes), -1},
	{"size", "1G ", F(format.size_bytes), -1},
	{"size", "1GG", F(format.size_bytes), -1},
	{"size", "G", F(format.size_bytes), -1},
	{"size", "0x1000000", F(format.size_bytes), -1},
	{"size", "18446744073709551616", F(format.size_bytes), -1},
	{"size", "16777216P", F(format.size_bytes), -1},
	{"logical-size", "4P", F(format.logical_size_bytes), INT64_C(1) << 52},
	{"logical-size", "4k", F(format.logical_size_bytes), 4096},
	{"logical-size", "5000", F(format.logical_size_bytes), -1},
	{"slab-bits", "9", F(format.slab_bits), 9},
	{"slab-bits", "1K", F(format.slab_bits), -1},
	{"journal-blocks", "4", F(format.recovery_journal_blocks), 4},
	{"journal-blocks", "32768", F(format.recovery_journal_blocks), 32768},
	{"journal-blocks", "48", F(format.recovery_journal_blocks), -1},
	{"journal-blocks", "2", F(format.recovery_journal_blocks), -1},
	{"sparse", "yes", F(format.index_sparse), 1},
	{"force", "1", F(format.force), 1},
	{"force", "2", F(format.force), -1},
	{"read-only", "true", F(open.read_only), 1},
	{"executor", "inline", F(open.executor), EXECUTOR_INLINE},
	{"topology", "classic", F(open.topology), TOPOLOGY_CLASSIC},
	{"threads", "4", F(open.threads), 4},
	{"threads", "auto", F(open.threads), 0},
	{"threads", "0", F(open.threads), -1},
	{"logical-zones", "60", F(open.logical_zones), 60},
	{"physical-zones", "3", F(open.physical_zones), 3},
	{"hash-zones", "7", F(open.hash_zones), 7},
	{"pin", "on", F(open.pin), 1},
	{"spin", "50", F(open.spin_us), 50},
	{"depth", "2048", F(open.depth), 2048},
	{"depth", "auto", F(open.depth), -1},
	{"depth", "0", F(open.depth), -1},
	{"cache", "128M", F(open.cache_bytes), 128 << 20},
	{"era", "16380", F(open.maximum_age), 16380},
	{"alignment", "512", F(open.alignment), 512},
	{"alignment", "4096", F(open.alignment), 4096},
	{"alignment", "1024", F(open.alignment), -1},
	{"io-engine", "threads", F(device.engine), DEVICE_THREADS},
	{"io-threads", "8", F(device.threads), 8},
	{"io-merge", "64K", F(open.io_merge), 64 << 10},
	{"block-cache", "0", F(open.block_cache), 0},
	{"block-cache", "64M", F(open.block_cache), 64 << 20},
	{"direct", "off", F(device.direct), DIRECT_OFF},
	{"direct", "on", F(device.direct), DIRECT_ON},
	{"direct", "writes", F(device.direct), DIRECT_WRITES},
	{"direct", "reads", F(device.direct), -1},
	{"advice-entries", "100000", F(open.advice_entries), 100000},
	{"deduplication", "no", F(open.deduplication), 0},
	{"compression", "false", F(open.compression), 0},
	{"index-memory", "0.25", F(format.index_memory), -256},
	{"index-memory", "256M", F(format.index_memory), -256},
	{"index-memory", "0.5", F(format.index_memory), -512},
	{"index-memory", "0.75", F(format.index_memory), -768},
	{"index-memory", "1", F(format.index_memory), 1},
	{"index-memory", "1024G", F(format.index_memory), 1024},
	{"index-memory", "8M", F(format.index_memory), -8},
	{"index-memory", "255M", F(format.index_memory), -255},
	{"index-memory", "none", F(format.no_index), 1},
	{"index-memory", "1M", F(format.index_memory), -1},
	{"index-memory", "257M", F(format.index_memory), -1},
	{"index-memory", "M", F(format.index_memory), -1},
	{"index-memory", "0", F(format.index_memory), -1},
	{"index-memory", "1025", F(format.index_memory), -1},
	{"index-memory", "4294967297", F(format.index_memory), -1},
	{"index-memory", "0.3", F(format.index_memory), -1},
	{"index-memory", "0.25GiB", F(format.index_memory), -256},
	{"index-memory", "2 MiB", F(format.index_memory), -2},
	{"index-memory", "512MiB", F(format.index_memory), -512},
	{"index-memory", "2048M", F(format.index_memory), 2},
	{"index-memory", "1.5", F(format.index_memory), -1},
	{"index-memory", "1048577", F(format.index_memory), -1},
	{"index-memory", "", F(format.index_memory), -1},
};

/* want 0: refused */
static const struct {
	const char *text;
	uint64_t want;
} sizes[] = {
	{"1", 1},
	{"512B", 512},
	{"1K", 1024},
	{"1k", 1024},
	{"1Ki", 0},
	{"1KiB", 1024},
	{"1kib", 1024},
	{"1KB", 0},
	{"1 K", 1024},
	{"1  K", 0},
	{"1K ", 0},
	{"1.5", 0},
	{"1.5B", 0},
	{"1.", 0},
	{"1.G", 0},
	{".5G", 0},
	{"1,5G", 0},
	{"1.5.5G", 0},
	{"0.5K", 512},
	{"1.5G", UINT64_C(3) << 29},
	{"1.50 GiB", UINT64_C(3) << 29},
	{"1.5T", UINT64_C(3) << 39},
	{"2.25PiB", UINT64_C(9) << 48},
	{"1.0009765625K", 1025},
	{"0.001K", 1},
	{"1.999999999999999999999999999999K", 2047},
	{"15.9E", UINT64_C(18331451923248866918)},
	{"16E", 0},
	{"18446744073709551615", UINT64_MAX},
	{"18446744073709551616", 0},
	{"16777215.99P", 0},
	{"1e3", 0},
	{"1KK", 0},
	{"K", 0},
	{"", 0},
	{" ", 0},
	{"-1", 0},
	{"0x10", 0},
};

START_TEST(one_size)
{
	uint64_t n = 0;
	int r = vdo_size_parse(sizes[_i].text, &n);

	if (sizes[_i].want == 0) {
		ck_assert_msg(r == -EINVAL || r == -ERANGE, "%s: %d",
			      sizes[_i].text, r);
		ck_assert_uint_eq(n, 0);
	} else {
		ck_assert_int_eq(r, 0);
		ck_assert_uint_eq(n, sizes[_i].want);
	}
	ck_assert_int_eq(vdo_size_parse(NULL, &n), -EINVAL);
	ck_assert_int_eq(vdo_size_parse("1", NULL), -EINVAL);
}
END_TEST

static int64_t field(const struct settings *s, size_t offset, size_t size)
{
	const char *p = (const char *)s + offset;
	int64_t wide;
	int32_t narrow;

	if (size == sizeof(wide)) {
		memcpy(&wide, p, sizeof(wide));
		return wide;
	}
	if (size == sizeof(narrow)) {
		memcpy(&narrow, p, sizeof(narrow));
		return narrow;
	}
	ck_assert_uint_eq(size, sizeof(bool));
	return *p;
}

static void submit(void *pool, struct vdo_task *task)
{
}

START_TEST(set_one)
{
	const struct vdo_pool_ops pool = {
		.size = sizeof(pool),
		.submit = submit,
	};
	const char *name = values[_i].name;
	bool refused = values[_i].want == -1;
	struct vdo_config *c;
	struct vdo_error e;
	struct settings s;
	int r;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_eq(vdo_config_set_pool(c, &pool, NULL), 0);
	r = vdo_config_set(c, name, values[_i].value, &e);
	ck_assert_int_eq(r, refused ? -VDO_EVALUE : 0);
	ck_assert_int_eq(e.code, r);
	if (refused) {
		const char *range = options_at((size_t)options_find(
						       name, NULL))->range;

		ck_assert_ptr_nonnull(strstr(e.message, name));
		ck_assert_ptr_nonnull(strstr(e.message, range));
	} else {
		ck_assert_str_eq(vdo_config_get(c, name), values[_i].value);
		/* Pins belong to threads of our own. */
		if (strcmp(name, "executor") != 0)
			r = vdo_config_set(c, "executor", "native", NULL);
		ck_assert_int_eq(r, 0);
		r = host_config_apply(c, &s, &e);
		ck_assert_msg(r == 0, "%s", e.message);
		ck_assert_int_eq(field(&s, values[_i].offset, values[_i].size),
				 values[_i].want);
	}
	vdo_config_free(c);
}
END_TEST

START_TEST(defaults)
{
	struct vdo_config *c;
	struct settings none, empty;

	memset(&none, 0xff, sizeof(none));
	memset(&empty, 0, sizeof(empty));
	ck_assert_int_eq(host_config_apply(NULL, &none, NULL), 0);
	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_eq(host_config_apply(c, &empty, NULL), 0);
	ck_assert_mem_eq(&none, &empty, sizeof(none));
	vdo_config_free(c);

	ck_assert_uint_eq(none.format.size_bytes, 0);
	ck_assert_int_eq(none.format.index_memory, 0);
	ck_assert(!none.format.no_index);
	ck_assert_uint_eq(none.open.depth, 512);
	ck_assert_uint_eq(none.open.alignment, 4096);
	ck_assert_uint_eq(none.open.cache_bytes, 0);
	ck_assert(none.open.deduplication && none.open.compression);
	ck_assert_ptr_null(none.pool.submit);
}
END_TEST

/* The range is written twice, for people and for the check: do they agree? */
START_TEST(table)
{
	const struct vdo_option *o;
	struct vdo_config *c;
	size_t count = 0;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	for (; (o = vdo_config_describe(count)) != NULL; count++) {
		char low[32], high[32];
		const char *dots = strstr(o->range, "..");

		ck_assert_int_eq(options_find(o->name, NULL), (int)count);
		ck_assert_uint_gt(strlen(o->help), 10);
		ck_assert_uint_le(strlen(o->help), 60);
		ck_assert_str_eq(vdo_config_get(c, o->name), o->default_value);
		ck_assert_int_eq(vdo_config_set(c, o->name, o->default_value,
						NULL),
				 0);
		ck_assert_int_eq(vdo_config_set(c, o->name, "auto", NULL) == 0,
				 strstr(o->range, "auto") != NULL);
		if (dots == NULL || o->type == VDO_OPTION_STRING)
			continue;
		ck_assert_int_eq(sscanf(dots + 2, "%31[0-9KMGTP]", high), 1);
		while (dots > o->range && dots[-1] != ' ')
			dots--;
		ck_assert_int_eq(sscanf(dots, "%31[0-9KMGTP]", low), 1);
		ck_assert_int_eq(vdo_config_set(c, o->name, low, NULL), 0);
		ck_assert_int_eq(vdo_config_set(c, o->name, high, NULL), 0);
		if (o->type == VDO_OPTION_NUMBER && atoi(low) > 1) {
			snprintf(low, sizeof(low), "%d", atoi(low) - 1);
			ck_assert_int_eq(vdo_config_set(c, o->name, low, NULL),
					 -VDO_EVALUE);
		}
		strcat(high, "0");
		ck_assert_int_eq(vdo_config_set(c, o->name, high, NULL),
				 -VDO_EVALUE);
	}
	ck_assert_uint_ge(count, 27);
	ck_assert_ptr_null(vdo_config_describe(count + 1));
	ck_assert_ptr_null(vdo_config_describe(SIZE_MAX));
	vdo_config_free(c);
}
END_TEST

static const struct {
	const char *set[5]; /* name, value, name, value, NULL */
	const char *named[2];
} conflicts[] = {
	{{"sparse", "on", "index-memory", "none"}, {"sparse", "index-memory"}},
	{{"profile", "kernel", "index-memory", "8M"},
	 {"profile", "index-memory"}},
	{{"executor", "inline", "threads", "2"}, {"executor", "threads"}},
	{{"executor", "inline", "pin", "on"}, {"executor", "pin"}},
	{{"io-engine", "uring", "io-threads", "2"},
	 {"io-engine", "io-threads"}},
	{{"executor", "pool"}, {"executor", "vdo_config_set_pool"}},
};

START_TEST(conflict)
{
	struct vdo_config *c;
	struct vdo_error e;
	struct settings s;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	for (const char *const *set = conflicts[_i].set; *set != NULL; set += 2)
		ck_assert_int_eq(vdo_config_set(c, set[0], set[1], NULL), 0);
	ck_assert_int_eq(host_config_apply(c, &s, &e), -VDO_ECONFLICT);
	ck_assert_int_eq(e.code, -VDO_ECONFLICT);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_ptr_nonnull(strstr(e.message, conflicts[_i].named[i]));
	vdo_config_free(c);
}
END_TEST

START_TEST(unknown_option)
{
	struct vdo_config *c;
	struct vdo_error e;
	struct settings s;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_eq(vdo_config_set(c, "sizes", "1G", &e), -VDO_EOPTION);
	ck_assert_int_eq(e.code, -VDO_EOPTION);
	ck_assert_ptr_nonnull(strstr(e.message, "sizes"));
	ck_assert_int_eq(vdo_config_set(c, NULL, "1G", NULL), -VDO_EOPTION);
	ck_assert_ptr_null(vdo_config_get(c, "sizes"));
	vdo_config_free(c);
	vdo_config_free(NULL);

	ck_assert_int_eq(host_config_apply(NULL, &s, NULL), 0);
}
END_TEST

START_TEST(options_of_an_open_volume)
{
	struct vdo_error e;
	struct settings s;
	bool pause;

	ck_assert_int_eq(host_config_apply(NULL, &s, NULL), 0);
	ck_assert_int_eq(options_change("compression", "off", &s, &pause, &e),
			 0);
	ck_assert(!s.open.compression && !pause);
	ck_assert_int_eq(options_change("compression", "of", &s, &pause, &e),
			 -VDO_EVALUE);
	ck_assert_int_eq(options_change("depth", "64", &s, &pause, &e), 0);
	ck_assert(s.open.depth == 64 && pause);
	ck_assert_int_eq(options_change("alignment", "512", &s, &pause, &e),
			 -VDO_EOPTION);
	ck_assert_uint_eq(s.open.alignment, 4096);
	ck_assert_int_eq(options_change("executor-width", "2", &s, &pause, &e),
			 -VDO_ECONFLICT);
}
END_TEST

/* A refused or failed set leaves the value before it. */
START_TEST(failed_set_changes_nothing)
{
	struct vdo_config *c;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_eq(vdo_config_set(c, "depth", "64", NULL), 0);
	ck_assert_int_eq(vdo_config_set(c, "depth", "15", NULL), -VDO_EVALUE);
	ck_assert_str_eq(vdo_config_get(c, "depth"), "64");
	alloc_fail_at(1);
	ck_assert_int_eq(vdo_config_set(c, "depth", "65", NULL), -ENOMEM);
	alloc_fail_at(0);
	ck_assert_str_eq(vdo_config_get(c, "depth"), "64");
	vdo_config_free(c);

	alloc_fail_at(1);
	ck_assert_int_eq(vdo_config_new(&c), -ENOMEM);
	alloc_fail_at(0);
	ck_assert_ptr_null(c);
}
END_TEST

static unsigned concurrency(void *pool)
{
	return 3;
}

START_TEST(pool)
{
	struct vdo_pool_ops ops = {.size = sizeof(ops),
				   .submit = submit,
				   .concurrency = concurrency};
	struct vdo_config *c;
	struct settings s;
	int mine;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_eq(vdo_config_set_pool(c, &ops, &mine), 0);
	ck_assert_str_eq(vdo_config_get(c, "executor"), "pool");
	ck_assert_int_eq(host_config_apply(c, &s, NULL), 0);
	ck_assert_ptr_eq(s.pool_arg, &mine);
	ck_assert(s.pool.submit == submit);
	ck_assert(s.pool.concurrency == concurrency);

	/* an older host, whose struct ends behind submit */
	ops.size = offsetof(struct vdo_pool_ops, concurrency);
	ck_assert_int_eq(vdo_config_set_pool(c, &ops, NULL), 0);
	ck_assert_int_eq(host_config_apply(c, &s, NULL), 0);
	ck_assert(s.pool.concurrency == NULL);
	ck_assert_uint_eq(s.pool.size, sizeof(ops));

	ops.size = 8;
	ck_assert_int_eq(vdo_config_set_pool(c, &ops, NULL), -EINVAL);
	ops.size = sizeof(ops);
	ops.submit = NULL;
	ck_assert_int_eq(vdo_config_set_pool(c, &ops, NULL), -EINVAL);
	vdo_config_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("config");

	tcase_add_loop_test(tc, set_one, 0, ARRAY_SIZE(values));
	tcase_add_loop_test(tc, one_size, 0, ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, conflict, 0, ARRAY_SIZE(conflicts));
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, table);
	tcase_add_test(tc, unknown_option);
	tcase_add_test(tc, options_of_an_open_volume);
	tcase_add_test(tc, failed_set_changes_nothing);
	tcase_add_test(tc, pool);
	return unit_run();
}
