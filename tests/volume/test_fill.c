/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host does before a volume is full, and when it is: thresholds, calls that are
 * held. On all executors.
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

/* ------------------------------------------------------------ held when full */

#define HOLD "compression=off on-full=hold space-warn=0 "

/* Write until there is no space, without holding; the block that did not fit. */
static uint64_t fill(struct fixture *f, value_t v)
{
	uint64_t lbn;

	ck_assert_int_eq(vdo_volume_set(f->volume, "on-full", "fail", NULL), 0);
	for (lbn = 0; lbn < f->logical_blocks; lbn++) {
		int result = fixture_try_write(f, lbn, v + lbn, 0);

		if (result == -ENOSPC)
			break;
		ck_assert_int_eq(result, 0);
	}
	fixture_flush(f);
	while (fixture_try_write(f, lbn, v + lbn, 0) == 0)
		lbn++;
	ck_assert_uint_lt(lbn, f->logical_blocks - 100);
	ck_assert_int_eq(vdo_volume_set(f->volume, "on-full", "hold", NULL), 0);
	return lbn;
}

static void until_held(struct fixture *f, uint64_t n)
{
	fixture_until(f, fixture_stat(f, "path.held") == n);
}

/* Many blocks in one call, of vectors that end within blocks. */
struct large {
	struct pending p;
	uint8_t *bytes;
};

static void large_write(struct large *l, struct fixture *f, uint64_t lbn,
			unsigned count, value_t v, unsigned flags)
{
	struct iovec iov[3];

	pending_init(&l->p, f);
	l->bytes = pattern_blocks(v, count);
	for (unsigned i = 0; i < count; i++)
		f->expect[lbn + i] = v + i;
	iov[0] = (struct iovec){l->bytes, B + 1000};
	iov[1] = (struct iovec){l->bytes + B + 1000, 0};
	iov[2] = (struct iovec){l->bytes + B + 1000, (count - 1) * B - 1000};
	ck_assert_int_eq(vdo_aio_pwritev(f->volume, iov, 3, lbn * B,
					 pending_done, &l->p, flags),
			 0);
}

static int large_wait(struct large *l)
{
	int result = pending_wait(&l->p);

	free(l->bytes);
	return result;
}

/* All kinds of calls wait, others go on; a discard makes room for them. */
START_TEST(test_hold_discard)
{
	struct fixture f;
	struct pending p[5], zero;
	struct large l;
	uint64_t n, leaf;
	struct told t;

	told_init(&t);
	fixture_init(&f, _i, "size=6M logical-size=100M");
	fixture_open(&f, HOLD "depth=16");
	ck_assert_int_eq(vdo_space_watch(f.volume, NULL, 0, note, &t), 0);
	n = fill(&f, V_UNIQUE(1));
	leaf = 20 * 812;
	for (unsigned i = 0; i < 5; i++)
		pending_write(&p[i], &f, n + i, V_UNIQUE(20000 + i),
			      i % 2 == 0 ? VDO_IO_FUA : VDO_IO_NO_DEDUPE);
	large_write(&l, &f, n + 10, 40, V_UNIQUE(30000), 0);
	pending_init(&zero, &f);
	ck_assert_int_eq(vdo_aio_write_zeroes(f.volume, 10 * B, leaf * B,
					      pending_done, &zero, 0),
			 0);
	until_held(&f, 7);
	fixture_until(&f, told_count(&t) >= 1);
	ck_assert_int_eq(told_at(&t, 0).event, VDO_SPACE_HELD);
	/* Whatever needs no space goes on, and the held ones have no request. */
	fixture_verify(&f, 0, n);
	fixture_flush(&f);
	fixture_write(&f, 7, 1, V_UNIQUE(2), 0); /* a duplicate */
	fixture_flush(&f);
	for (unsigned i = 0; i < 5; i++)
		ck_assert(!pending_is_done(&p[i]) || fixture_stat(&f, "path.held") < 7);
	fixture_discard(&f, 20, 100);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	ck_assert_int_eq(large_wait(&l), 0);
	ck_assert_int_eq(pending_wait(&zero), 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.held"), 0);
	fixture_until(&f, told_count(&t) >= 2 &&
				  told_at(&t, told_count(&t) - 1).event ==
					  VDO_SPACE_GOES_ON);
	fixture_verify_all(&f);
	fixture_close(&f);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Growing makes room, too. */
START_TEST(test_hold_grow)
{
	struct fixture f;
	struct large l[4];
	uint64_t n;

	init_small(&f, _i);
	fixture_open(&f, HOLD "depth=16");
	n = fill(&f, V_UNIQUE(1));
	for (unsigned i = 0; i < 4; i++)
		large_write(&l[i], &f, n + 20 * i, 20,
			    V_UNIQUE(20000 + 100 * i), 0);
	until_held(&f, 4);
	/* A suspended volume goes on with them when it is resumed. */
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	until_held(&f, 4);
	ck_assert_int_eq(vdo_grow(f.volume, VDO_GROW_ALL, 0, &f.error), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(large_wait(&l[i]), 0);
	fixture_verify_all(&f);
	fixture_flush(&f);
	fixture_fini(&f);
}
END_TEST

/* Another engine goes on with them, and tells what becomes free. */
START_TEST(test_hold_renew)
{
	struct fixture f;
	struct large l[4];
	struct told t;
	uint64_t n;

	if (_i == KIND_SIM)
		return; /* it has threads=3, which is no option of the caller's */
	told_init(&t);
	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, HOLD "depth=16");
	ck_assert_int_eq(vdo_space_watch(f.volume, NULL, 0, note, &t), 0);
	n = fill(&f, V_UNIQUE(1));
	for (unsigned i = 0; i < 4; i++)
		large_write(&l[i], &f, n + 20 * i, 5,
			    V_UNIQUE(20000 + 100 * i), 0);
	until_held(&f, 4);
	ck_assert_int_eq(vdo_volume_set(f.volume, "physical-zones", "3",
					&f.error),
			 0);
	until_held(&f, 4);
	fixture_discard(&f, 20, 20);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(large_wait(&l[i]), 0);
	fixture_until(&f, told_count(&t) >= 2 &&
				  told_at(&t, told_count(&t) - 1).event ==
					  VDO_SPACE_GOES_ON);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* They end with the error when the policy changes, and when the volume is closed or
 * abandoned. */
START_TEST(test_hold_ends)
{
	struct fixture f;
	struct pending p[3];
	struct large l;
	uint64_t n;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	for (unsigned how = 0; how < 3; how++) {
		fixture_open(&f, HOLD);
		fixture_discard(&f, 0, f.logical_blocks);
		fixture_flush(&f);
		n = fill(&f, V_UNIQUE(1));
		for (unsigned i = 0; i < 3; i++)
			pending_write(&p[i], &f, n + i, V_UNIQUE(20000 + i),
				      0);
		large_write(&l, &f, n + 10, 5, V_UNIQUE(30000), 0);
		until_held(&f, 4);
		memset(&f.expect[n], 0, 20 * sizeof(value_t));
		if (how == 0)
			ck_assert_int_eq(vdo_volume_set(f.volume, "on-full",
							"fail", NULL),
					 0);
		else if (how == 1)
			fixture_close(&f);
		else
			fixture_lose_power(&f);
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(pending_wait(&p[i]), -ENOSPC);
		ck_assert_int_eq(large_wait(&l), -ENOSPC);
		if (how == 0) {
			ck_assert_int_eq(fixture_try_write(&f, n, V_UNIQUE(1)
								  + n, 0),
					 -ENOSPC);
			fixture_verify_all(&f);
			fixture_close(&f);
		}
	}
	fixture_fini(&f);
}
END_TEST

/* What is never held. */
START_TEST(test_hold_not)
{
	struct fixture f;
	struct pending p;
	uint8_t *bytes = pattern_blocks(V_UNIQUE(50000), 1);
	uint64_t n;

	fixture_init(&f, _i, "size=6M logical-size=100M");
	fixture_open(&f, HOLD "alignment=512");
	n = fill(&f, V_UNIQUE(1));
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_pwrite(f.volume, bytes, B, n * B, pending_done,
					&p, VDO_IO_NOWAIT),
			 0);
	ck_assert_int_eq(pending_wait(&p), -ENOSPC);
	/* A copy to where there is no page, and a discard of a part of a block. */
	ck_assert_int_eq(vdo_copy_range(f.volume, 20 * 812 * B, 0, B, 0),
			 -ENOSPC);
	ck_assert_int_eq(vdo_discard(f.volume, 512, 5 * B, 0), -ENOSPC);
	ck_assert_uint_eq(fixture_stat(&f, "path.heldTotal"), 0);
	/* Parts of blocks that are written are. */
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_pwrite(f.volume, bytes, 1024, 5 * B + 3584,
					pending_done, &p, 0),
			 0);
	until_held(&f, 1);
	fixture_discard(&f, 50, 10);
	ck_assert_int_eq(pending_wait(&p), 0);
	f.unknown[5] = f.unknown[6] = true;
	fixture_verify_all(&f);
	free(bytes);
	fixture_fini(&f);
}
END_TEST

/* Space that the storage lacks is known to it alone: FUA was not acknowledged. Then
 * the volume becomes read-only, and nothing waits any more. */
START_TEST(test_hold_storage)
{
	struct sim_fault no_space = {.ops = SIM_OP(VDO_DEVICE_WRITE),
				     .times = 3, .result = -ENOSPC};
	struct fixture f;
	struct pending p;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, HOLD);
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_flush(&f);
	/* The data is the first that is written. */
	sim_device_fault(f.sd, &no_space);
	pending_write(&p, &f, 20, V_UNIQUE(500), VDO_IO_FUA);
	until_held(&f, 1);
	ck_assert_int_eq(vdo_space_retry(f.volume), 0);
	fixture_until(&f, fixture_stat(&f, "path.heldTotal") == 2);
	ck_assert_int_eq(vdo_space_retry(f.volume), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A volume that becomes read-only has nothing to wait for. */
START_TEST(test_hold_read_only)
{
	struct sim_fault flushes = {.ops = SIM_OP(VDO_DEVICE_FLUSH),
				    .result = -EIO};
	struct fixture f;
	struct pending p;
	uint64_t n;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, HOLD);
	n = fill(&f, V_UNIQUE(1));
	pending_write(&p, &f, n, V_UNIQUE(50000), 0);
	until_held(&f, 1);
	sim_device_fault(f.sd, &flushes);
	(void)vdo_discard(f.volume, B, 5 * B, VDO_IO_FUA);
	ck_assert_int_eq(pending_wait(&p), -VDO_EREADONLY);
	f.no_check = true;
	(void)fixture_try_close(&f);
	sim_device_clear_faults(f.sd);
	fixture_fini(&f);
}
END_TEST

/* The handle of a sub-volume is closed while its calls are held. */
START_TEST(test_hold_sub)
{
	struct fixture f;
	struct vdo_volume *sub;
	struct pending p[3];
	uint8_t *bytes = pattern_blocks(V_UNIQUE(50000), 300);
	int result = 0;
	uint64_t i;

	fixture_init(&f, _i, "size=6M logical-size=100M");
	fixture_open(&f, HOLD);
	f.no_check = true;
	ck_assert_int_eq(vdo_sub_create(f.volume, "a", 50 << 20, &f.error), 0);
	ck_assert_int_eq(vdo_sub_open(f.volume, "a", 0, &sub, &f.error), 0);
	ck_assert_int_eq(vdo_volume_set(f.volume, "on-full", "fail", NULL), 0);
	for (i = 0; result == 0; i++) {
		pattern_fill(V_UNIQUE(i + 1), bytes);
		result = vdo_pwrite(sub, bytes, B, i * B, 0);
	}
	ck_assert_int_eq(vdo_volume_set(f.volume, "on-full", "hold", NULL), 0);
	for (unsigned k = 0; k < 3; k++) {
		pending_init(&p[k], &f);
		pattern_fill(V_UNIQUE(60000 + k), bytes + k * B);
		ck_assert_int_eq(vdo_aio_pwrite(sub, bytes + k * B, B,
						(i + k) * B, pending_done,
						&p[k], 0),
				 0);
	}
	until_held(&f, 3);
	ck_assert_int_eq(vdo_close(sub), 0);
	for (unsigned k = 0; k < 3; k++)
		ck_assert_int_eq(pending_wait(&p[k]), -ENOSPC);
	/* Changes of a pool are not held, as nobody could make room meanwhile. */
	ck_assert_int_eq(vdo_sub_remove(f.volume, "a", &f.error), 0);
	free(bytes);
	fixture_fini(&f);
}
END_TEST

/* Many calls, large and small, new and over what is there, and discards of a few
 * blocks at a time: all of them end, and what they said is there. */
START_TEST(test_hold_many)
{
	struct fixture f;
	struct large l[24];
	uint64_t n, next = 0;
	unsigned left = 24;

	fixture_init(&f, _i, "size=6M logical-size=8M");
	fixture_open(&f, HOLD "depth=16 physical-zones=2");
	n = fill(&f, V_UNIQUE(1));
	for (unsigned i = 0; i < 24; i++)
		large_write(&l[i], &f,
			    i % 2 == 0 ? n - 240 + 10 * i : n + 5 * i, 2 + i % 7,
			    V_UNIQUE(20000 + 100 * i),
			    i % 3 == 0 ? VDO_IO_FUA | VDO_IO_NO_DEDUPE : 0);
	fixture_until(&f, fixture_stat(&f, "path.held") > 0);
	while (left > 0) {
		ck_assert_uint_lt(next, n - 240);
		fixture_discard(&f, next, 3);
		fixture_flush(&f);
		next += 3;
		left = 0;
		for (unsigned i = 0; i < 24; i++)
			left += !pending_is_done(&l[i].p);
	}
	for (unsigned i = 0; i < 24; i++)
		ck_assert_int_eq(large_wait(&l[i]), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* What is discarded in a slab whose counts were dropped is not known to be free: a
 * held call has it loaded. */
START_TEST(test_hold_dropped)
{
	struct fixture f;
	struct pending p;

	fixture_init(&f, KIND_SIM, "size=32M logical-size=100M");
	f.counts_memory = 1;
	fixture_open(&f, HOLD "depth=16");
	pending_write(&p, &f, fill(&f, V_UNIQUE(1)), V_UNIQUE(20000), 0);
	until_held(&f, 1);
	ck_assert_uint_gt(fixture_stat(&f, "path.slabsDropped"), 3);
	fixture_discard(&f, 20, 5);
	fixture_discard(&f, 320, 5);
	fixture_flush(&f);
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_fini(&f);
}
END_TEST

/* The last block of a volume is told of, whatever its size. */
START_TEST(test_full_is_told)
{
	static const unsigned percents[] = {100};
	struct fixture f;
	struct told t;

	told_init(&t);
	fixture_init(&f, KIND_INLINE,
		     "size=64M slab-bits=11 logical-size=128M");
	fixture_open(&f, "compression=off space-warn=0");
	ck_assert_int_eq(vdo_space_watch(f.volume, percents, 1, note, &t), 0);
	for (uint64_t n = 0;
	     fixture_try_write(&f, n, V_UNIQUE(1 + n), 0) != -ENOSPC; n++)
		ck_assert_uint_lt(n, f.logical_blocks - 1);
	expect(&f, &t, 0, VDO_SPACE_ROSE, 100);
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
	tc = unit_case("hold");
	tcase_add_loop_test(tc, test_hold_discard, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_hold_dropped);
	tcase_add_test(tc, test_full_is_told);
	tcase_add_loop_test(tc, test_hold_grow, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_renew, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_ends, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_not, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_storage, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_read_only, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_sub, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_hold_many, 0, FIXTURE_KINDS);
	return unit_run();
}
