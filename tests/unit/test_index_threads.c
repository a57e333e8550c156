/*
 * The index on real threads and on none of its own: several zones, many
 * requests at a time, chapters that close, sparse chapters, saving. What is
 * posted must be found again.
 */
#include "config.h"

#include "tests/lib/unit.h"

#include "exec/executor.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"

static const struct {
	bool native, sparse;
	unsigned zones;
} cases[] = {
	{true, false, 1}, {true, false, 3}, {true, true, 3},
	{false, false, 2}, {false, true, 4},
};

static struct executor *make_executor(bool native)
{
	struct native_config c = {.threads = 3, .spin_us = 1,
				  .name_prefix = "t"};
	struct executor *x;

	if (native)
		ck_assert_int_eq(executor_native_create(&c, &x), 0);
	else
		ck_assert_int_eq(executor_inline_create(&x), 0);
	return x;
}

START_TEST(posts_are_found_again)
{
	uint64_t blocks = cases[_i].sparse ? 800 : 190, end = 9000;
	struct vdo_device *d;
	struct rig r;
	const struct index_geometry *g;
	struct index_stats s;
	uint64_t sure;

	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &d), 0);
	rig_init(&r, make_executor(cases[_i].native), d, -2, cases[_i].sparse,
		 cases[_i].zones, 5, 0);
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
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("threads");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, posts_are_found_again, 0, ARRAY_SIZE(cases));
	return unit_run();
}
