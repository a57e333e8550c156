/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host does before a volume is full: thresholds. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE
#define TOLD_MAX 64

/* What was told; in any thread, one at a time, but looked at in another. */
struct told {
	pthread_mutex_t lock;
	unsigned count;
	struct vdo_space all[TOLD_MAX];
};

static void note(void *arg, const struct vdo_space *space)
{
	struct told *t = arg;

	pthread_mutex_lock(&t->lock);
	ck_assert_uint_lt(t->count, TOLD_MAX);
	t->all[t->count++] = *space;
	pthread_mutex_unlock(&t->lock);
}

static struct vdo_space told_at(struct told *t, unsigned i)
{
	struct vdo_space s = {0};

	pthread_mutex_lock(&t->lock);
	if (i < t->count)
		s = t->all[i];
	pthread_mutex_unlock(&t->lock);
	return s;
}

static unsigned told_count(struct told *t)
{
	unsigned n;

	pthread_mutex_lock(&t->lock);
	n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static void told_init(struct told *t)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
}

static void expect(struct fixture *f, struct told *t, unsigned i,
		   enum vdo_space_event event, unsigned percent)
{
	struct vdo_space s;

	fixture_until(f, told_count(t) > i);
	s = told_at(t, i);
	ck_assert_int_eq(s.event, event);
	ck_assert_uint_eq(s.percent, percent);
	ck_assert_uint_eq(s.total, fixture_stat(f, "path.spaceTotal"));
	if (event == VDO_SPACE_ROSE)
		ck_assert_uint_ge(s.used * 100, s.total * percent);
	else
		ck_assert_uint_lt(s.used * 100, s.total * percent);
}

/* A volume of 6 MiB on a device of 16. */
static void init_small(struct fixture *f, int kind)
{
	struct sim_device_config config = {
		.block_count = 4096, .volatile_cache = true, .seed = 5};

	fixture_init_raw(f, kind, &config);
	ck_assert_int_eq(fixture_format(f, "size=6M profile=small "
					   "index-memory=none slab-bits=9 "
					   "slab-journal-blocks=8 "
					   "logical-size=8M journal-blocks=32"),
			 0);
}

/* Each threshold once on the way up, and once on the way down. */
START_TEST(test_thresholds)
{
	static const unsigned percents[] = {60, 30, 90};
	struct told t;
	struct fixture f;
	uint64_t total, n;

	told_init(&t);
	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "compression=off space-warn=0");
	total = fixture_stat(&f, "path.spaceTotal");
	ck_assert_uint_gt(total, 200);
	ck_assert_int_eq(vdo_space_watch(f.volume, percents, 3, note, &t), 0);
	for (n = 0; fixture_stat(&f, "path.spaceUsed") * 100 < total * 95; n++) {
		fixture_write(&f, n, 1, V_UNIQUE(1 + n), 0);
		fixture_flush(&f);
	}
	expect(&f, &t, 0, VDO_SPACE_ROSE, 30);
	expect(&f, &t, 1, VDO_SPACE_ROSE, 60);
	expect(&f, &t, 2, VDO_SPACE_ROSE, 90);
	ck_assert_uint_le(told_at(&t, 0).used, total * 40 / 100);
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceRises"), 3);
	/* To and fro about one of them tells nothing. */
	while (fixture_stat(&f, "path.spaceUsed") * 100 > total * 90) {
		fixture_discard(&f, --n, 1);
		fixture_flush(&f);
	}
	for (unsigned i = 0; i < 5; i++) {
		fixture_write(&f, n, 2, V_UNIQUE(5000 + 2 * i), 0);
		fixture_flush(&f);
		fixture_discard(&f, n, 2);
		fixture_flush(&f);
	}
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceRises"), 3);
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceFalls"), 0);
	for (; n > 0; n--) {
		fixture_discard(&f, n - 1, 1);
		fixture_flush(&f);
	}
	expect(&f, &t, 3, VDO_SPACE_FELL, 90);
	expect(&f, &t, 4, VDO_SPACE_FELL, 60);
	expect(&f, &t, 5, VDO_SPACE_FELL, 30);
	/* And again. */
	fixture_write(&f, 0, total * 45 / 100, V_UNIQUE(9000), 0);
	expect(&f, &t, 6, VDO_SPACE_ROSE, 30);
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceRises"), 4);
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceFalls"), 3);
	ck_assert_uint_eq(told_count(&t), 7);
	fixture_fini(&f);
}
END_TEST

/* A new watch is told what is so already, and the old one nothing any more; that is
 * so when it is opened, too, and when it grows. */
START_TEST(test_watch_again)
{
	static const unsigned low[] = {20}, high[] = {40, 80};
	struct told t, u;
	struct fixture f;
	uint64_t total;

	told_init(&t);
	told_init(&u);
	init_small(&f, _i);
	fixture_open(&f, "compression=off");
	total = fixture_stat(&f, "path.spaceTotal");
	fixture_write(&f, 0, total / 2, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_int_eq(vdo_space_watch(f.volume, low, 1, note, &t), 0);
	expect(&f, &t, 0, VDO_SPACE_ROSE, 20);
	ck_assert_int_eq(vdo_space_watch(f.volume, high, 2, note, &u), 0);
	expect(&f, &u, 0, VDO_SPACE_ROSE, 40);
	/* While it is suspended nothing is; then it is. */
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	ck_assert_int_eq(vdo_space_watch(f.volume, high, 2, note, &u), 0);
	ck_assert_uint_eq(told_count(&u), 1);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	expect(&f, &u, 1, VDO_SPACE_ROSE, 40);
	/* Twice the space: less than that is in use. */
	ck_assert_int_eq(vdo_grow(f.volume, VDO_GROW_ALL, 0, &f.error), 0);
	expect(&f, &u, 2, VDO_SPACE_FELL, 40);
	ck_assert_uint_gt(fixture_stat(&f, "path.spaceTotal"), 2 * total);
	fixture_discard(&f, 0, total / 2);
	fixture_flush(&f);
	ck_assert_int_eq(vdo_space_watch(f.volume, NULL, 0, NULL, NULL), 0);
	fixture_write(&f, 0, total, V_UNIQUE(7000), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(told_count(&t), 1);
	ck_assert_uint_eq(told_count(&u), 3);
	fixture_close(&f);
	f.no_check = true;
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_space_watch(f.volume, low, 1, note, &t), 0);
	expect(&f, &t, 1, VDO_SPACE_ROSE, 20);
	fixture_fini(&f);
}
END_TEST

/* Lines that say that it is, or is not any more. */
static atomic_uint lines_full, lines_less;

static void count_line(void *arg, enum vdo_log_level level, const char *line)
{
	if (strstr(line, ": 50 % of the blocks are in use") != NULL) {
		ck_assert_int_eq(level, VDO_LOG_WARNING);
		lines_full++;
	}
	if (strstr(line, "less than 50 % of the blocks are in use") != NULL)
		lines_less++;
}

/* The log has a line when it fills, when it is opened full, and none of 0. */
START_TEST(test_log)
{
	struct fixture f;
	uint64_t total;

	lines_full = lines_less = 0;
	fixture_init(&f, _i, "size=6M logical-size=8M");
	f.log = count_line;
	fixture_open(&f, "compression=off space-warn=50");
	total = fixture_stat(&f, "path.spaceTotal");
	ck_assert_uint_eq(lines_full, 0);
	fixture_write(&f, 0, total * 6 / 10, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_until(&f, lines_full == 1);
	fixture_reopen(&f, "space-warn=50");
	fixture_until(&f, lines_full == 2);
	ck_assert_uint_eq(fixture_stat(&f, "path.spaceRises"), 1);
	fixture_discard(&f, 0, total);
	fixture_until(&f, lines_less == 1);
	fixture_reopen(&f, "space-warn=0");
	fixture_write(&f, 0, total * 9 / 10, V_UNIQUE(1), 0);
	fixture_close(&f);
	ck_assert_uint_eq(lines_full, 2);
	ck_assert_uint_eq(lines_less, 1);
	fixture_fini(&f);
}
END_TEST

static void from_callback(void *arg, const struct vdo_space *space)
{
	struct told *t = arg;
	static const unsigned percents[] = {50};
	struct vdo_volume *v = *(struct vdo_volume **)(t + 1);

	ck_assert_int_eq(vdo_space_watch(v, percents, 1, note, t), -EDEADLK);
	note(t, space);
}

/* What is refused. */
START_TEST(test_refused)
{
	static const unsigned good[] = {1, 100}, none[] = {0}, high[] = {101};
	struct {
		struct told t;
		struct vdo_volume *v;
	} t;
	struct fixture f;

	told_init(&t.t);
	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, "");
	t.v = f.volume;
	ck_assert_int_eq(vdo_space_watch(NULL, good, 2, note, &t), -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, NULL, 1, note, &t), -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, good, 2, NULL, &t), -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, none, 1, note, &t), -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, high, 1, note, &t), -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, good,
					 VDO_SPACE_THRESHOLDS_MAX + 1, note, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_space_watch(f.volume, good, 2, from_callback, &t),
			 0);
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	expect(&f, &t.t, 0, VDO_SPACE_ROSE, 1);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("fill");

	tcase_add_loop_test(tc, test_thresholds, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_watch_again, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_log, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	return unit_run();
}
