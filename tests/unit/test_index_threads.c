/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index on all kinds of executors: its own threads, the caller's pool with
 * whatever habits it has, none at all, and one that a seed decides. Several
 * zones, many requests at a time, chapters that close, sparse chapters, saving.
 * What is posted must be found again.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include "exec/executor.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/test_pool.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"

enum kind { NATIVE, STRAND, INLINE, SIM };

static const struct executor_case {
	const char *name;
	enum kind kind;
	bool sparse;
	unsigned zones;
	unsigned threads; /* native */
	struct test_pool_config pool;
	uint64_t seed;
} cases[] = {
	{"native", NATIVE, false, 1, .threads = 3},
	{"native, zones", NATIVE, false, 3, .threads = 3},
	{"native, sparse", NATIVE, true, 3, .threads = 3},
	{"native, one thread", NATIVE, true, 2, .threads = 1},
	{"pool of one", STRAND, false, 2, .pool = {.threads = 1}},
	{"pool of three", STRAND, true, 3,
	 .pool = {.threads = 3, .later = true, .hint = true}},
	{"pool that runs tasks inside of submit", STRAND, false, 2,
	 .pool = {.threads = 0}},
	{"pool that runs some tasks at once", STRAND, true, 2,
	 .pool = {.threads = 2, .inline_percent = 30, .later = true}},
	{"pool that mixes up everything", STRAND, false, 4,
	 .pool = {.threads = 3, .inline_percent = 20, .reorder = true}},
	{"pool of one that mixes up everything", STRAND, true, 3,
	 .pool = {.threads = 1, .inline_percent = 70, .reorder = true}},
	{"inline", INLINE, false, 2, .threads = 0},
	{"inline, sparse", INLINE, true, 4, .threads = 0},
	{"sim 1", SIM, false, 3, .seed = 1},
	{"sim 2", SIM, true, 2, .seed = 2},
	{"sim 3", SIM, true, 4, .seed = 3},
};

static struct executor *make_executor(const struct executor_case *c,
				      struct test_pool **pool)
{
	struct native_config native = {.threads = c->threads, .spin_us = 1,
				       .name_prefix = "t"};
	struct executor *x = NULL;

	*pool = NULL;
	switch (c->kind) {
	case NATIVE:
		ck_assert_int_eq(executor_native_create(&native, &x), 0);
		break;
	case STRAND:
		*pool = test_pool_create(&c->pool);
		ck_assert_int_eq(executor_strand_create(test_pool_ops(*pool),
							*pool, &x),
				 0);
		break;
	case INLINE:
		ck_assert_int_eq(executor_inline_create(&x), 0);
		break;
	case SIM:
		x = sim_executor_create(c->seed);
		break;
	}
	return x;
}

START_TEST(posts_are_found_again)
{
	const struct executor_case *c = &cases[_i];
	uint64_t blocks = c->sparse ? 800 : 190, end = 9000;
	struct test_pool *pool;
	struct executor *x = make_executor(c, &pool);
	struct vdo_device *d;
	struct rig r;
	const struct index_geometry *g;
	struct index_stats s;
	uint64_t sure;

	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &d), 0);
	rig_init(&r, x, d, -2, c->sparse, c->zones, 5, 0);
	ck_assert_int_eq(rig_open(&r, INDEX_FORMAT), 0);
	g = index_geometry_of(r.index);
	ck_assert_int_eq(rig_post_range(&r, 0, end, 100), 0);
	/* Chapters close early in other zones, hence the half. */
	sure = g->records * (uint64_t)(g->dense_chapters - 1) / 2;
	ck_assert_int_eq(rig_post_range(&r, end - sure, end, 50), (long)sure);
	s = rig_stats(&r);
	ck_assert_uint_gt(s.chapters_written, 5);
	ck_assert_uint_eq(s.posts_found, sure);
	ck_assert_uint_eq(s.requests, end + sure);
	/* Samples bring their chapters in, while all goes on. */
	ck_assert_int_ge(rig_post_range(&r, 0, 4000, 30), 0);
	ck_assert_int_eq(rig_suspend(&r, true), 0);
	ck_assert_int_eq(rig_resume(&r), 0);
	ck_assert_int_ge(rig_post_range(&r, 2000, 9000, 64), 0);
	ck_assert_int_eq(rig_close(&r, true), 0);
	ck_assert_int_eq(rig_open(&r, INDEX_LOAD_SAVED), 0);
	ck_assert_int_eq(rig_generation(&r, 8999), 0);
	ck_assert_int_eq(rig_close(&r, true), 0);
	ck_assert_uint_eq(r.warnings, 0);
	rig_fini(&r);
	vdo_device_close(d);
	if (pool != NULL)
		test_pool_destroy(pool);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("threads");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, posts_are_found_again, 0, ARRAY_SIZE(cases));
	return unit_run();
}
