/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing a volume that is in use: nothing is lost, all of the new space can be
 * used, and whenever power fails it has grown or it has not.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/handle.h"
#include "tests/lib/fixture.h"
#include "volume/volume_priv.h"

#define B	 BLOCK_SIZE
#define SMALL	 (UINT64_C(16) << 20)
#define LARGE	 (UINT64_C(32) << 20)
#define SLAB_DATA 256u /* blocks of a slab of 512 */
#define LOGICAL	 3000u
#define MORE	 9000u
#define HUGE	 (UINT64_C(100) << 20) /* blocks: more interior pages of each tree */

/* A volume of 16 MiB on a device of 32. */
static void init_on(struct fixture *f, int kind, const char *options,
		    uint64_t seed, bool fua_lies)
{
	struct sim_device_config config = {.block_count = LARGE / B,
					   .volatile_cache = true,
					   .fua_lies = fua_lies,
					   .seed = seed};

	fixture_init_raw(f, kind, &config);
	ck_assert_int_eq(fixture_format(f, "size=16M profile=small "
					   "index-memory=none slab-bits=9 "
					   "slab-journal-blocks=8 "
					   "logical-size=12288000 "
					   "journal-blocks=64"),
			 0);
	fixture_open(f, options);
}

static void init(struct fixture *f, int kind, const char *options)
{
	init_on(f, kind, options, 5, false);
}

static void expect_more(struct fixture *f, uint64_t blocks)
{
	value_t *expect = calloc(blocks, sizeof(*expect));
	bool *unknown = calloc(blocks, sizeof(*unknown));

	ck_assert(expect != NULL && unknown != NULL);
	memcpy(expect, f->expect, f->logical_blocks * sizeof(*expect));
	memcpy(unknown, f->unknown, f->logical_blocks * sizeof(*unknown));
	free(f->expect);
	free(f->unknown);
	f->expect = expect;
	f->unknown = unknown;
	f->logical_blocks = blocks;
}

static void grow(struct fixture *f, uint64_t physical, uint64_t blocks)
{
	int result = vdo_grow(f->volume, physical, blocks * B, &f->error);

	ck_assert_msg(result == 0, "%s", f->error.message);
	if (blocks != 0)
		expect_more(f, blocks);
	ck_assert_uint_eq(vdo_volume_size(f->volume), f->logical_blocks * B);
}

/* Write until there is no space; returns how many blocks there were. */
static uint64_t fill(struct fixture *f, uint64_t from)
{
	uint64_t i = from;
	int result = 0;

	while (i < f->logical_blocks) {
		result = fixture_try_write(f, i, V_UNIQUE(100000 + i), 0);
		if (result != 0)
			break;
		f->expect[i] = V_UNIQUE(100000 + i);
		i++;
	}
	ck_assert(result == 0 || result == -ENOSPC);
	return i;
}

START_TEST(test_grows)
{
	struct fixture f;
	uint64_t before, used, free_before;

	init(&f, _i, "depth=16 era=2");
	fixture_write(&f, 0, 500, V_UNIQUE(1), 0);
	before = fixture_stat(&f, "allocator.slabCount");
	free_before = fixture_stat(&f, "path.availableBytes");
	used = fixture_stat(&f, "dataBlocksUsed");
	grow(&f, LARGE, MORE);
	ck_assert_uint_gt(fixture_stat(&f, "allocator.slabCount"), before);
	ck_assert_uint_eq(fixture_stat(&f, "physicalBlocks"), LARGE / B);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocks"), MORE);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), used);
	ck_assert_uint_gt(fixture_stat(&f, "path.availableBytes"),
			  free_before + SMALL / 3);
	fixture_verify(&f, 0, 600);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	fixture_write(&f, MORE - 300, 300, V_UNIQUE(7000), 0);
	fixture_write(&f, 400, 300, V_UNIQUE(9000), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	fixture_reopen(&f, "depth=16 era=2");
	ck_assert_uint_eq(vdo_volume_size(f.volume), MORE * B);
	fixture_verify_all(&f);
	/* More than the small one had is written, and found after a crash. */
	used = fill(&f, 1000);
	ck_assert_uint_gt(used - 1000, before * SLAB_DATA);
	f.unknown[used] = true;
	fixture_flush(&f);
	fixture_lose_power(&f);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* One of the two; and so often that the journal is at all places. */
START_TEST(test_grows_often)
{
	struct fixture f;
	uint64_t physical = SMALL, blocks = LOGICAL;

	init(&f, _i, "depth=16 era=2");
	for (unsigned i = 0; i < 7; i++) {
		fixture_write(&f, 200 * i, 350, V_UNIQUE(1000 * i), 0);
		if (i % 2 == 0) {
			physical += (UINT64_C(2) << 20) + 4 * B;
			grow(&f, physical, 0);
		} else {
			blocks += 812 * 3 * i;
			grow(&f, 0, blocks);
		}
		fixture_write(&f, blocks - 100, 100, V_UNIQUE(50 * i), 0);
		if (i == 3) {
			fixture_flush(&f);
			fixture_lose_power(&f);
			fixture_open(&f, "depth=16 era=2");
		}
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_verify(&f, 0, 2000);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Interior pages there are more of in each level, and those that were there. */
START_TEST(test_huge_map)
{
	struct fixture f;
	uint8_t block[B], back[B];

	init(&f, _i, "depth=16 era=2");
	fixture_write(&f, 0, 500, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_grow(f.volume, LARGE, HUGE * B, &f.error), 0);
	for (unsigned i = 1; i <= 100; i++) {
		pattern_fill(V_UNIQUE(40000 + i), block);
		ck_assert_int_eq(vdo_pwrite(f.volume, block, B,
					    (HUGE / 100 * i - 1) * B, 0),
				 0);
	}
	fixture_verify(&f, 0, 1000);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	f.device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_open_device(f.device, NULL, &f.volume, &f.error),
			 0);
	ck_assert_uint_eq(vdo_volume_size(f.volume), HUGE * B);
	for (unsigned i = 1; i <= 100; i++) {
		pattern_fill(V_UNIQUE(40000 + i), block);
		ck_assert_int_eq(vdo_pread(f.volume, back, B,
					   (HUGE / 100 * i - 1) * B, 0),
				 0);
		ck_assert_mem_eq(block, back, B);
	}
	ck_assert_int_eq(vdo_close(f.volume), 0);
	vdo_device_close(f.device);
	f.volume = NULL;
	f.device = NULL;
	fixture_fini(&f);
}
END_TEST

static void refuse(struct fixture *f, int result, uint64_t physical,
		   uint64_t logical, const char *says)
{
	struct vdo_error e;

	ck_assert_int_eq(vdo_grow(f->volume, physical, logical, &e), result);
	ck_assert_int_eq(e.code, result);
	ck_assert_msg(strstr(e.message, says) != NULL, "%s", e.message);
}

START_TEST(test_refused)
{
	struct fixture f;
	uint64_t writes, slab = 512 * B;
	struct vdo_error e;
	char *end;

	init(&f, _i, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_stat(&f, "path.superWrite");
	writes = fixture_stat(&f, "path.superWrite");
	refuse(&f, -EINVAL, SMALL - B, 0, "smaller");
	refuse(&f, -EINVAL, 0, (LOGICAL - 1) * B, "smaller");
	refuse(&f, -EINVAL, SMALL + 100, 0, "4096");
	refuse(&f, -EINVAL, 0, 100, "4096");
	refuse(&f, -EINVAL, SMALL + B, 0, "next size");
	refuse(&f, -ENOSPC, LARGE + B, 0, "33554432 bytes");
	refuse(&f, -ERANGE, 0, UINT64_C(5) << 50, "4 PiB");
	refuse(&f, -ERANGE, UINT64_C(1) << 50, 0, "256 TiB");
	refuse(&f, -VDO_ECONFLICT, SMALL + 8192 * slab, 0, "8192 slabs");
	ck_assert_int_eq(vdo_grow(f.volume, 0, 0, &e), 0);
	ck_assert_int_eq(vdo_grow(f.volume, SMALL, LOGICAL * B, &e), 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.superWrite"), writes);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	refuse(&f, -VDO_EBUSY, LARGE, 0, "resume it");
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	/* What the message says is enough, and nothing less is. */
	ck_assert_int_eq(vdo_grow(f.volume, SMALL + B, 0, &e), -EINVAL);
	writes = strtoull(strstr(e.message, "will do is ") + 11, &end, 10);
	ck_assert_int_eq(vdo_grow(f.volume, writes - B, 0, &e), -EINVAL);
	ck_assert_int_eq(vdo_grow(f.volume, writes, 0, &e), 0);
	ck_assert_int_eq(vdo_grow(f.volume, VDO_GROW_ALL, 0, &e), 0);
	ck_assert_uint_eq(fixture_stat(&f, "physicalBlocks"), LARGE / B);
	fixture_reopen(&f, "read-only=on");
	refuse(&f, -VDO_EREADONLY, LARGE, MORE * B, "read-only");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The Nth operation after it began is the last one with power. */
START_TEST(test_power_fails)
{
	struct vdo_device *d;
	struct vdo_info info;
	struct fixture f;
	int result;

	init(&f, KIND_SIM, "depth=16 era=2");
	fixture_write(&f, 0, 400, V_UNIQUE(1), 0);
	fixture_write(&f, 200, 100, V_UNIQUE(2000), 0);
	fixture_flush(&f);
	sim_device_crash_at(f.sd, 1 + (uint64_t)_i);
	result = vdo_grow(f.volume, LARGE, MORE * B, &f.error);
	fixture_lose_power(&f);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	d = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_inspect_device(d, &info, sizeof(info), &f.error),
			 0);
	vdo_device_close(d);
	ck_assert(info.logical_blocks == MORE ||
		  (result != 0 && info.logical_blocks == LOGICAL));
	ck_assert((info.physical_blocks == LARGE / B) ==
		  (info.logical_blocks == MORE));
	if (info.logical_blocks == MORE)
		expect_more(&f, MORE);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	if (f.logical_blocks == LOGICAL)
		grow(&f, LARGE, MORE);
	fixture_write(&f, 0, 2000, V_UNIQUE(30000), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* What has grown stays so, also where FUA is worth nothing, before the old journal
 * is overwritten. */
START_TEST(test_durable)
{
	struct fixture f;

	init_on(&f, KIND_SIM, "depth=16 era=2", (uint64_t)_i, true);
	fixture_write(&f, 0, 400, V_UNIQUE(1), 0);
	fixture_flush(&f);
	grow(&f, LARGE, MORE);
	fixture_lose_power(&f);
	fixture_open(&f, "");
	ck_assert_uint_eq(vdo_volume_size(f.volume), MORE * B);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The Nth write, read or flush fails: it serves as before, or is read-only. */
START_TEST(test_storage_fails)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_WRITE),
				       SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_FLUSH)};
	struct sim_fault fault = {.skip = (uint64_t)_i / 6,
				  .times = 1,
				  .ops = ops[_i % 3]};
	struct fixture f;
	int result;

	init(&f, _i / 3 % 2 == 0 ? KIND_SIM : KIND_NATIVE,
	     "depth=16 era=2 topology=classic physical-zones=3");
	fixture_write(&f, 0, 400, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_fault(f.sd, &fault);
	result = vdo_grow(f.volume, LARGE, MORE * B, &f.error);
	sim_device_clear_faults(f.sd);
	if (vdo_volume_size(f.volume) == MORE * B)
		expect_more(&f, MORE);
	else
		ck_assert_int_ne(result, 0);
	fixture_verify_all(&f);
	if (vdo_volume_is_read_only(f.volume)) {
		ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
	} else {
		if (f.logical_blocks == LOGICAL)
			grow(&f, LARGE, MORE);
		fixture_write(&f, 0, 2000, V_UNIQUE(30000), 0);
		fixture_verify_all(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------ what else looks at a volume */

struct looking {
	struct fixture *f;
	uint64_t next;	 /* byte that is to be told next */
	uint64_t beyond; /* bytes told of storage that was not there before */
	bool grown;
};

/* Grow, and write where the walk has not been, more than there was space for. */
static void grow_inside_a_map(struct looking *l)
{
	l->grown = true;
	grow(l->f, LARGE, 2 * MORE);
	fixture_write(l->f, 4000, 3000, V_UNIQUE(50000), 0);
	fixture_flush(l->f);
}

static int told(void *arg, const struct vdo_extent *e)
{
	struct looking *l = arg;

	ck_assert_uint_eq(e->offset, l->next);
	l->next += e->length;
	if (!l->grown)
		grow_inside_a_map(l);
	for (uint64_t i = e->offset / B; i < l->next / B; i++)
		ck_assert_int_eq(e->kind, l->f->expect[i] == V_ZERO
						  ? VDO_MAP_HOLE
						  : VDO_MAP_DATA);
	if (e->physical >= SMALL)
		l->beyond += e->length;
	return 0;
}

static int told_change(void *arg, const struct vdo_change *c)
{
	struct looking *l = arg;

	ck_assert_uint_ge(c->offset, l->next);
	l->next = c->offset + c->length;
	if (!l->grown)
		grow_inside_a_map(l);
	if (c->b == VDO_MAP_DATA)
		l->beyond += c->length;
	return 0;
}

/* A map is under way: it goes on, and knows the blocks that were added. */
START_TEST(test_mapped_meanwhile)
{
	struct looking l;
	struct fixture f;

	init(&f, _i, "compression=off");
	grow(&f, 0, MORE);
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	l = (struct looking){.f = &f};
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, MORE * B, VDO_MAP_PLACES,
					 told, &l),
			 0);
	ck_assert_uint_eq(l.next, MORE * B);
	ck_assert_uint_gt(l.beyond, 200 * B);
	fixture_fini(&f);
	init(&f, _i, "compression=off");
	grow(&f, 0, MORE);
	fixture_write(&f, 0, 3, V_UNIQUE(1), 0);
	fixture_write(&f, 5, 3, V_UNIQUE(4), 0);
	fixture_write(&f, 2000, 100, V_UNIQUE(10), 0);
	fixture_write(&f, 3901, 1, V_UNIQUE(200), 0);
	l = (struct looking){.f = &f};
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, 3900 * B, 2200 * B, 0,
					 told_change, &l),
			 0);
	ck_assert_uint_eq(l.next, 2200 * B);
	ck_assert_uint_eq(l.beyond, 2041 * B);
	fixture_fini(&f);
}
END_TEST

/* A volume, on a copy of the storage of @f. */
static struct sim_device *copy_storage(struct fixture *f)
{
	struct sim_device_config config = {.block_count = LARGE / B, .seed = 6};
	struct sim_device *sd = sim_device_create(&config);
	uint8_t block[B];

	for (uint64_t i = 0; i < LARGE / B; i++) {
		sim_device_peek(f->sd, i, block);
		sim_device_poke(sd, i, block);
	}
	return sd;
}

/* What was copied while it was suspended has the size and the blocks that it had
 * then, and grows by itself. */
static void check_copy(struct sim_device *sd, uint64_t blocks, value_t first)
{
	struct vdo_device *d = sim_device_open(sd, NULL);
	uint8_t block[B], back[B];
	struct vdo_volume *v;
	struct vdo_error e;

	ck_assert_int_eq(vdo_open_device(d, NULL, &v, &e), 0);
	ck_assert_uint_eq(vdo_volume_size(v), blocks * B);
	ck_assert_int_eq(vdo_grow(v, LARGE, 2 * MORE * B, &e), 0);
	pattern_fill(V_UNIQUE(77), block);
	ck_assert_int_eq(vdo_pwrite(v, block, B, (2 * MORE - 1) * B, 0), 0);
	for (unsigned i = 0; i < 500; i++) {
		pattern_fill(first + i, block);
		ck_assert_int_eq(vdo_pread(v, back, B, i * B, 0), 0);
		ck_assert_mem_eq(block, back, B);
	}
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_device_close(d);
	sim_device_destroy(sd);
}

START_TEST(test_copied)
{
	struct sim_device *small, *large;
	struct fixture f;

	init(&f, _i, "depth=16 era=2");
	fixture_write(&f, 0, 500, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	small = copy_storage(&f);
	refuse(&f, -VDO_EBUSY, LARGE, 0, "resume it");
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	grow(&f, SMALL * 3 / 2, MORE);
	fixture_write(&f, 0, 1500, V_UNIQUE(5000), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	large = copy_storage(&f);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	grow(&f, LARGE, 0);
	fixture_write(&f, 100, 1500, V_UNIQUE(9000), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
	check_copy(small, LOGICAL, V_UNIQUE(1));
	check_copy(large, MORE, V_UNIQUE(5000));
}
END_TEST

static void wait_for(int result, struct vdo_job **job)
{
	struct vdo_error e;

	ck_assert_int_eq(result, 0);
	result = vdo_job_wait(*job, -1, &e);
	ck_assert_msg(result == 0, "%s", e.message);
}

/* What has grown is trimmed: slabs that were used, those that never were, and
 * what was journal before. */
START_TEST(test_trimmed)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_job *job = NULL;
	struct vdo_trimmed t;
	struct vdo_device *d;
	struct vdo_usage u;
	struct fixture f;

	for (unsigned all = 0; all < 2; all++) {
		init(&f, KIND_SIM, "depth=16 era=2");
		fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
		grow(&f, LARGE, MORE);
		fixture_write(&f, 1000, all ? 2400 : 100, V_UNIQUE(5000), 0);
		fixture_discard(&f, 300, all ? 3000 : 300);
		fixture_close(&f);
		d = sim_device_open(f.sd, NULL);
		wait_for(vdo_usage_count_device(d, c, 0, &job, NULL), &job);
		ck_assert_int_eq(vdo_usage_get(job, &u, sizeof(u)), 0);
		vdo_job_free(job);
		wait_for(vdo_trim_device(d, c, &job, NULL), &job);
		ck_assert_int_eq(vdo_trimmed_get(job, &t, sizeof(t)), 0);
		vdo_job_free(job);
		vdo_device_close(d);
		ck_assert_uint_eq(t.slabs_left, 0);
		ck_assert_uint_eq(t.free_blocks, u.free_blocks);
		ck_assert_uint_gt(t.free_blocks, SMALL / B / 4);
		fixture_open(&f, "depth=16 era=2");
		fixture_verify_all(&f);
		fixture_write(&f, 400, 3000, V_UNIQUE(20000), 0);
		fixture_fini(&f);
	}
	vdo_config_free(c);
}
END_TEST

/* ------------------------------------------------------------------- threads */

struct thread {
	struct fixture *f;
	uint64_t first;
	atomic_uint written;
	atomic_bool *stop;
	pthread_t thread;
};

static void *write_on(void *arg)
{
	struct thread *w = arg;
	uint64_t random = w->first + 1;

	while (!atomic_load(w->stop)) {
		uint64_t lbn = w->first + pattern_random(&random, 500);
		value_t v = V_UNIQUE(pattern_random(&random, UINT32_MAX));

		ck_assert_int_eq(fixture_try_write(w->f, lbn, v, 0), 0);
		w->f->expect[lbn] = v;
		if (atomic_fetch_add(&w->written, 1) % 16 == 0)
			fixture_flush(w->f);
	}
	return NULL;
}

static int in_a_row(void *arg, const struct vdo_extent *e)
{
	uint64_t *next = arg;

	ck_assert_uint_eq(e->offset, *next);
	*next += e->length;
	return 0;
}

static int any_change(void *arg, const struct vdo_change *c)
{
	ck_assert_uint_ge(c->offset, *(uint64_t *)arg);
	*(uint64_t *)arg = c->offset + c->length;
	return 0;
}

static void *map_on(void *arg)
{
	struct thread *w = arg;
	struct vdo_volume *v = w->f->volume;

	while (!atomic_load(w->stop)) {
		uint64_t size = vdo_volume_size(v), next = 0;

		ck_assert_int_eq(vdo_map_extents(v, 0, size, VDO_MAP_PLACES,
						 in_a_row, &next),
				 0);
		ck_assert_uint_eq(next, size);
		next = 0;
		ck_assert_int_eq(vdo_map_changes(v, 0, 500 * B, 1000 * B, 0,
						 any_change, &next),
				 0);
		atomic_fetch_add(&w->written, 1);
	}
	return NULL;
}

/* Writers and maps go on. */
START_TEST(test_under_load)
{
	struct thread w[4];
	atomic_bool stop = false;
	struct fixture f;
	uint64_t physical = SMALL, blocks = LOGICAL;

	init(&f, _i, "depth=16 era=2");
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i].f = &f;
		w[i].first = 500 * i;
		w[i].stop = &stop;
		atomic_init(&w[i].written, 0);
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL,
						i < 3 ? write_on : map_on,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < 5; i++) {
		unsigned before = atomic_load(&w[0].written);
		unsigned maps = atomic_load(&w[3].written);

		physical += UINT64_C(3) << 20;
		blocks += 1000;
		ck_assert_int_eq(vdo_grow(f.volume, physical, blocks * B,
					  &f.error),
				 0);
		(void)fixture_stat(&f, "physicalBlocks");
		while (atomic_load(&w[0].written) < before + 50 ||
		       atomic_load(&w[3].written) == maps)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	expect_more(&f, blocks);
	fixture_verify(&f, 0, LOGICAL);
	fixture_reopen(&f, "");
	fixture_verify(&f, 0, LOGICAL);
	fixture_fini(&f);
}
END_TEST

/* A file becomes longer with its volume, and only if that has grown. */
START_TEST(test_file)
{
	char path[] = "/tmp/vdo-grow-XXXXXX";
	int fd = mkstemp(path);
	struct vdo_config *c = fixture_config("size=16M force=on slab-bits=9");
	uint8_t block[B], back[B];
	struct vdo_volume *v;
	struct vdo_error e;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vdo_format(path, c, &e), 0);
	vdo_config_free(c);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &e), 0);
	pattern_fill(V_UNIQUE(5), block);
	ck_assert_int_eq(vdo_pwrite(v, block, B, 0, 0), 0);
	ck_assert_int_eq(vdo_grow(v, SMALL + B, 0, &e), -EINVAL);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), SMALL);
	ck_assert_int_eq(vdo_grow(v, LARGE, LARGE, &e), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), LARGE);
	ck_assert_int_eq(vdo_pwrite(v, block, B, LARGE - B, 0), 0);
	ck_assert_int_eq(ftruncate(fd, 2 * LARGE), 0);
	ck_assert_int_eq(vdo_grow(v, VDO_GROW_ALL, 0, &e), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 2 * LARGE);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &e), 0);
	ck_assert_uint_eq(vdo_volume_size(v), LARGE);
	ck_assert_int_eq(vdo_pread(v, back, B, LARGE - B, 0), 0);
	ck_assert_mem_eq(block, back, B);
	ck_assert_int_eq(vdo_close(v), 0);
	close(fd);
	unlink(path);
}
END_TEST

static void grow_inside(void *arg, int result)
{
	struct pending *p = arg;

	ck_assert_int_eq(result, 0);
	pending_done(p, vdo_grow(p->f->volume, LARGE, 0, NULL));
}

START_TEST(test_not_in_callbacks)
{
	struct fixture f;
	struct pending p;

	init(&f, _i, "");
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_flush(f.volume, grow_inside, &p, 0), 0);
	ck_assert_int_eq(pending_wait(&p), -EDEADLK);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("grow");

	tcase_add_loop_test(tc, test_grows, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_grows_often, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_huge_map, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_power_fails, 0, 40);
	tcase_add_loop_test(tc, test_durable, 0, 8);
	tcase_add_loop_test(tc, test_storage_fails, 0, 150);
	tcase_add_loop_test(tc, test_mapped_meanwhile, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_copied, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_trimmed);
	tcase_add_loop_test(tc, test_under_load, 0, KIND_INLINE);
	tcase_add_test(tc, test_file);
	tcase_add_loop_test(tc, test_not_in_callbacks, 0, FIXTURE_KINDS);
	return unit_run();
}
