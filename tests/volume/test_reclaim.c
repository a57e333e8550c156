/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free blocks go back to the storage while a volume is open, and nothing else does
 * (option reclaim).
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

#include "base/bytes.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static struct vdo_error error;

static uint64_t reclaimed(struct fixture *f)
{
	return fixture_stat(f, "allocator.blocksReclaimed");
}

static uint64_t discards(struct fixture *f)
{
	return sim_device_count(f->sd, VDO_DEVICE_DISCARD);
}

/* All that is freed goes back, once much of it was, and the rest when it is saved. */
START_TEST(all_goes_back)
{
	struct fixture f;
	uint64_t n;

	fixture_init(&f, _i, "");
	fixture_open(&f, "reclaim=on compression=off physical-zones=2");
	fixture_write(&f, 0, 1600, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(discards(&f), 0);
	fixture_discard(&f, 10, 1500);
	fixture_flush(&f);
	fixture_until(&f, reclaimed(&f) >= 1400);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 100);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	n = reclaimed(&f);
	ck_assert_uint_ge(n, 1500);
	ck_assert_uint_eq(fixture_stat(&f, "allocator.reclaimFailed"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "allocator.reclaimOperations"),
			  discards(&f));
	/* Once is enough. */
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	ck_assert_uint_eq(reclaimed(&f), n);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	fixture_verify_all(&f);
	fixture_write(&f, 0, 1600, V_UNIQUE(5000), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static void live(struct fixture *f, uint64_t seed, unsigned steps)
{
	uint64_t random = seed;

	for (unsigned i = 0; i < steps; i++) {
		uint64_t lbn = pattern_random(&random, 1500);
		uint64_t n = 1 + pattern_random(&random, 400);
		uint64_t dst = pattern_random(&random, 1500);

		switch (pattern_random(&random, 8)) {
		case 0:
			fixture_write(f, lbn, n, V_SQUEEZE(random, 900), 0);
			break;
		case 1:
			fixture_repeat(f, lbn, n, V_UNIQUE(seed), 0);
			break;
		case 2:
		case 3:
			fixture_discard(f, lbn, n);
			fixture_flush(f);
			break;
		case 4:
			ck_assert_int_eq(vdo_copy_range(f->volume, dst * B,
							lbn * B, n * B, 0),
					 0);
			memmove(f->expect + dst, f->expect + lbn,
				n * sizeof(value_t));
			break;
		case 5:
			fixture_verify(f, lbn, n);
			break;
		default:
			fixture_write(f, lbn, n, V_UNIQUE(random >> 8 << 1), 0);
			break;
		}
	}
}

/* Duplicates, copies, fragments, overwrites: what is in use stays, also if the
 * storage loses whatever it was given. */
START_TEST(nothing_else_goes_back)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	f.reclaim_blocks = 8;
	fixture_open(&f, "reclaim=on");
	for (unsigned i = 0; i < 4; i++) {
		live(&f, 100 * (unsigned)_i + i, 60);
		fixture_verify_all(&f);
		fixture_reopen(&f, i % 2 == 0 ? "reclaim=on" : "reclaim=close");
		fixture_verify_all(&f);
	}
	ck_assert_uint_gt(discards(&f), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(modes)
{
	static const struct {
		const char *options;
		bool open, closing;
	} rows[] = {
		{"reclaim=off", false, false},
		{"reclaim=auto", false, false}, /* no file */
		{"reclaim=close", false, true},
		{"reclaim=on", true, true},
	};
	const unsigned i = (unsigned)_i % ARRAY_SIZE(rows);
	char options[64];
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	snprintf(options, sizeof(options), "physical-zones=1 %s",
		 rows[i].options);
	fixture_open(&f, options);
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_discard(&f, 100, 800);
	fixture_flush(&f);
	if (rows[i].open)
		fixture_until(&f, discards(&f) > 0);
	fixture_verify_all(&f);
	ck_assert_uint_eq(discards(&f) > 0, rows[i].open);
	fixture_close(&f);
	ck_assert_uint_eq(discards(&f) > 0, rows[i].closing);
	fixture_open(&f, "read-only=on reclaim=on");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static bool is_discard(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_DISCARD;
}

/* A write that finds nothing but what is on its way back waits for that. */
START_TEST(allocation_waits)
{
	struct fixture f;
	struct pending *p;
	uint64_t n = 0;
	unsigned over = 0;

	fixture_init(&f, _i, "size=10M logical-size=8M slab-bits=10");
	fixture_open(&f, "reclaim=on compression=off physical-zones=1 depth=64");
	while (fixture_try_write(&f, n, V_UNIQUE(n + 1), 0) == 0)
		n++;
	f.expect[n] = V_ZERO;
	ck_assert_uint_gt(n, 900);
	sim_device_hold(f.sd, is_discard, NULL);
	fixture_discard(&f, 100, 600);
	fixture_flush(&f);
	fixture_until(&f, sim_device_held(f.sd) == 1);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), n - 600);
	p = calloc(600, sizeof(*p));
	for (unsigned i = 0; i < 600; i++)
		pending_write(&p[i], &f, 100 + i, V_UNIQUE(5000 + i), 0);
	for (unsigned i = 0; i < 2000; i++)
		fixture_poll(&f);
	for (unsigned i = 0; i < 600; i++) {
		over += pending_is_done(&p[i]);
		ck_assert(!pending_is_done(&p[i]) || p[i].result == 0);
	}
	ck_assert_uint_lt(over, 600);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	for (unsigned i = 0; i < 600; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_flush(&f);
	ck_assert_int_eq(fixture_try_write(&f, n, V_UNIQUE(9999), 0), -ENOSPC);
	fixture_verify_all(&f);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* While blocks are on their way back nobody gets one of them, or shares it. */
START_TEST(held_blocks_are_nobodys)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "reclaim=on compression=off physical-zones=1");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_discard, NULL);
	fixture_discard(&f, 0, 1000);
	fixture_flush(&f);
	fixture_until(&f, sim_device_held(f.sd) == 1);
	/* The same again: the index knows where it was. */
	fixture_write(&f, 1000, 1000, V_UNIQUE(1), 0);
	fixture_write(&f, 0, 700, V_UNIQUE(4000), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	fixture_until(&f, reclaimed(&f) > 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A failure is no failure of the volume, and said once. */
START_TEST(failing_discards)
{
	static const int errors[] = {-EIO, -EOPNOTSUPP, -EIO};
	const unsigned i = (unsigned)_i % 3;
	struct sim_fault fault = {
		.ops = SIM_OP(VDO_DEVICE_DISCARD),
		.result = errors[i],
		.skip = i == 2 ? 2 : 0,
	};
	const char *first;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	f.log = fixture_keep_line;
	fixture_log[0] = '\0';
	fixture_open(&f, "reclaim=on physical-zones=1");
	fixture_write(&f, 0, 1500, V_UNIQUE(1), 0);
	sim_device_fault(f.sd, &fault);
	fixture_discard(&f, 0, 1400);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "allocator.reclaimFailed") == 1);
	fixture_discard(&f, 1400, 50);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	ck_assert_uint_eq(discards(&f), 1 + fault.skip);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	first = strstr(fixture_log, "were not given back");
	ck_assert_uint_eq(first != NULL, errors[i] == -EIO);
	ck_assert(first == NULL || strstr(first + 1, "were not given") == NULL);
	fixture_write(&f, 0, 1000, V_UNIQUE(3000), 0);
	sim_device_clear_faults(f.sd);
	fixture_reopen(&f, "reclaim=on");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(storage_that_cannot)
{
	struct sim_device_config config = {
		.seed = 1, .block_count = 8192, .no_discard = true,
	};
	struct fixture f;

	fixture_init_raw(&f, KIND_INLINE, &config);
	f.log = fixture_keep_line;
	fixture_log[0] = '\0';
	ck_assert_int_eq(fixture_format(&f, ""), 0);
	fixture_open(&f, "");
	ck_assert_ptr_null(strstr(fixture_log, "reclaim"));
	fixture_reopen(&f, "reclaim=on");
	ck_assert_ptr_nonnull(strstr(fixture_log, "option reclaim does nothing"));
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_discard(&f, 0, 1000);
	fixture_flush(&f);
	fixture_close(&f);
	ck_assert_uint_eq(discards(&f), 0);
	fixture_fini(&f);
}
END_TEST

/* What counts that were dropped, or never loaded, say was freed goes back, too. */
START_TEST(dropped_counts)
{
	struct fixture f;

	fixture_init(&f, KIND_SIM + _i % 3, "");
	f.counts_memory = 1200;
	fixture_open(&f, "reclaim=close compression=off");
	for (unsigned i = 0; i < 3; i++) {
		fixture_write(&f, 0, 2000, V_UNIQUE(5000 * i + 1), 0);
		fixture_flush(&f);
		fixture_discard(&f, 0, 2000);
		fixture_flush(&f);
	}
	ck_assert_uint_gt(fixture_stat(&f, "path.slabsDropped"), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	ck_assert_uint_ge(reclaimed(&f), 2000);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	fixture_write(&f, 0, 2000, V_UNIQUE(70000), 0);
	fixture_reopen(&f, "");
	fixture_fini(&f);
}
END_TEST

#define STAYS 300u

/* Power fails at the @n-th operation from then on that is about what goes; the
 * next recovery may meet the same. */
static bool crash_in_reclaim(struct fixture *f, unsigned n)
{
	bool over;
	int result;

	fixture_open(f, "reclaim=on compression=off physical-zones=2");
	fixture_write(f, 0, 1500, V_UNIQUE(2000 * n + 1), 0);
	fixture_flush(f);
	sim_device_crash_at(f->sd, n);
	(void)vdo_discard(f->volume, (1500 - STAYS) * B, STAYS * B, 0);
	result = vdo_flush(f->volume, 0);
	for (uint64_t i = STAYS; i < 1500; i++) {
		f->unknown[i] = result != 0;
		if (result == 0)
			f->expect[i] = V_ZERO;
	}
	for (unsigned i = 0; i < 200 && !sim_device_crashed(f->sd); i++) {
		f->unknown[1600 + i] = true;
		(void)fixture_try_write(f, 1600 + i, V_UNIQUE(9000 + i), 0);
		fixture_poll(f);
	}
	over = !sim_device_crashed(f->sd);
	sim_device_crash_at(f->sd, 0);
	fixture_lose_power(f);
	fixture_open(f, "reclaim=on compression=off physical-zones=2");
	fixture_verify_all(f);
	if (result != 0) { /* it is as it was, or discarded */
		uint8_t block[B], old[B], none[B] = {0};

		for (uint64_t i = STAYS; i < 1500; i++) {
			ck_assert_int_eq(vdo_pread(f->volume, block, B, i * B,
						   0),
					 0);
			pattern_fill(V_UNIQUE(2000 * n + 1) + i, old);
			ck_assert(memcmp(block, old, B) == 0 ||
				  memcmp(block, none, B) == 0);
		}
	}
	fixture_discard(f, STAYS, f->logical_blocks - STAYS);
	memset(f->unknown, 0, f->logical_blocks * sizeof(*f->unknown));
	fixture_close(f);
	return over;
}

START_TEST(power_cuts)
{
	unsigned n = (unsigned)_i;
	struct fixture f;

	fixture_init(&f, KIND_SIM + _i % 3, "");
	f.reclaim_blocks = 16;
	do
		n += 4 + n / 4;
	while (!crash_in_reclaim(&f, n) && n < 2000);
	ck_assert_uint_gt(n, 30);
	ck_assert_uint_gt(discards(&f), 20);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- files */

static uint64_t bytes_taken(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static uint64_t stat_of(struct vdo_volume *v, const char *name)
{
	struct vdo_stats *stats;
	uint64_t value;

	ck_assert_int_eq(vdo_stats_get(v, &stats), 0);
	value = vdo_stats_value(stats, name);
	vdo_stats_free(stats);
	return value;
}

static const char *const engines[] = {
	"executor=native io-engine=threads",
	"executor=native io-engine=auto",
	"executor=native io-engine=auto direct=on",
	"executor=inline",
};

#define SIZE (UINT64_C(20) << 20)

static uint8_t *rubbish(void)
{
	uint8_t *data = malloc(SIZE);

	ck_assert_ptr_nonnull(data);
	for (uint64_t i = 0; i < SIZE / 8; i++)
		put_u64(data + i * 8, i * UINT64_C(0x9e3779b97f4a7c15));
	return data;
}

/* After all was deleted a file takes its metadata again, while it is open. */
START_TEST(of_a_file)
{
	char path[] = "libvdo-reclaim-XXXXXX";
	struct vdo_config *c = fixture_config("size=64M force=on");
	struct vdo_config *e = fixture_config(engines[_i]);
	uint64_t empty, full, open;
	uint8_t *data = rubbish();
	struct vdo_volume *v;
	unsigned rounds = 0;

	close(mkstemp(path));
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, e, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, SIZE, 0, 0), 0);
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	full = bytes_taken(path);
	ck_assert_int_eq(vdo_discard(v, SIZE, 0, 0), 0);
	/* A flush runs what an executor has to run, if it is no thread's. */
	do {
		ck_assert_int_eq(vdo_flush(v, 0), 0);
		sched_yield();
		ck_assert_uint_lt(rounds++, 1000000);
	} while (stat_of(v, "allocator.blocksReclaimed") < SIZE / B * 15 / 16);
	open = bytes_taken(path);
	ck_assert_uint_lt(open, full - SIZE * 7 / 8);
	ck_assert_int_eq(vdo_close(v), 0);
	empty = bytes_taken(path);
	ck_assert_uint_lt(empty, full - SIZE * 15 / 16);
	/* It is of use, and the same again leaves no more. */
	ck_assert_int_eq(vdo_open(path, e, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, SIZE, 0, 0), 0);
	ck_assert_int_eq(vdo_pread(v, data, SIZE / 2, SIZE / 2, 0), 0);
	ck_assert_uint_eq(get_u64(data), SIZE / 16 * UINT64_C(0x9e3779b97f4a7c15));
	ck_assert_int_eq(vdo_discard(v, SIZE, 0, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_uint_le(bytes_taken(path), empty + (SIZE >> 5));
	unlink(path);
	vdo_config_free(c);
	vdo_config_free(e);
	free(data);
}
END_TEST

/* Storage that somebody has set aside is kept, unless he says otherwise. */
START_TEST(of_a_file_with_all_its_storage)
{
	char path[] = "libvdo-reclaim-XXXXXX";
	struct vdo_config *c = fixture_config("size=64M force=on");
	struct vdo_config *e = fixture_config("executor=inline");
	struct vdo_config *on = fixture_config("executor=inline reclaim=on");
	uint8_t *data = rubbish();
	struct vdo_volume *v;
	uint64_t all;
	int fd = mkstemp(path);

	fixture_log[0] = '\0';
	vdo_config_set_log(e, fixture_keep_line, NULL);
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, 64 << 20), 0);
	close(fd);
	all = bytes_taken(path);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(vdo_open(path, i == 0 ? e : on, &v, &error),
				 0);
		ck_assert_int_eq(vdo_pwrite(v, data, SIZE, 0, 0), 0);
		ck_assert_int_eq(vdo_discard(v, SIZE, 0, 0), 0);
		ck_assert_int_eq(vdo_close(v), 0);
		if (i == 0)
			ck_assert_uint_ge(bytes_taken(path), all);
		else
			ck_assert_uint_le(bytes_taken(path),
					  all - SIZE * 15 / 16);
	}
	ck_assert_ptr_nonnull(strstr(fixture_log, "had all of its storage"));
	unlink(path);
	vdo_config_free(c);
	vdo_config_free(e);
	vdo_config_free(on);
	free(data);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("reclaim");

	tcase_add_loop_test(tc, all_goes_back, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, nothing_else_goes_back, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, modes, 0, 4);
	tcase_add_loop_test(tc, allocation_waits, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, held_blocks_are_nobodys, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, failing_discards, 0, 3);
	tcase_add_test(tc, storage_that_cannot);
	tcase_add_loop_test(tc, dropped_counts, 0, 3);
	tcase_add_loop_test(tc, power_cuts, 0, 3);
	tcase_add_loop_test(tc, of_a_file, 0, 4);
	tcase_add_test(tc, of_a_file_with_all_its_storage);
	return unit_run();
}
