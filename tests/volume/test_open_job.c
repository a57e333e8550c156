/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a volume as a job: who gets the volume, what is found out at once, and
 * that it can be cancelled anywhere without a trace.
 */
#include "build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static const char *const executors[] = {"threads=2", "executor=inline"};

static struct vdo_device *device;
static struct vdo_error error;

/* A closed volume with data, compressed blocks, an index, and used slabs. */
static void make(struct fixture *f)
{
	fixture_init(f, KIND_INLINE, "");
	fixture_open(f, "index-wait=on");
	fixture_write(f, 0, 700, V_UNIQUE(1), 0);
	fixture_write(f, 900, 100, V_SQUEEZE(1, 500), 0);
	fixture_close(f);
	device = sim_device_open(f->sd, NULL);
}

static void unmake(struct fixture *f)
{
	vdo_device_close(device);
	fixture_open(f, "");
	fixture_verify_all(f);
	fixture_fini(f);
}

static struct vdo_job *start(const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_job *job;
	int r = vdo_open_device_start(device, c, &job, &error);

	ck_assert_msg(r == 0, "%s", error.message);
	vdo_config_free(c);
	return job;
}

static void check_reads(struct vdo_volume *v)
{
	uint8_t in[B], out[B];

	for (uint64_t i = 0; i < 700; i += 50) {
		pattern_fill(V_UNIQUE(1 + i), in);
		ck_assert_int_eq(vdo_pread(v, out, B, i * B, 0), 0);
		ck_assert_mem_eq(in, out, B);
	}
}

START_TEST(test_handed_out)
{
	struct vdo_volume *v = NULL, *other;
	struct vdo_job_progress p;
	struct vdo_job *job;
	struct fixture f;

	make(&f);
	job = start(executors[_i]);
	if (_i == 1) {
		ck_assert_int_eq(vdo_opened_get(job, &v), -EAGAIN);
		ck_assert_int_eq(vdo_job_wait(job, 0, &error), -ETIMEDOUT);
	}
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_opened_get(job, &v), 0);
	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(vdo_opened_get(job, &other), -EINVAL);
	ck_assert_ptr_null(other);
	check_reads(v);
	/* What the job is told now is nothing of the volume's. */
	vdo_job_cancel(job);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over);
	ck_assert_ptr_nonnull(p.phase);
	if (_i == 0)
		vdo_job_free(job);
	check_reads(v);
	ck_assert_int_eq(vdo_close(v), 0);
	if (_i == 1) {
		vdo_job_cancel(job);
		vdo_job_progress(job, &p, sizeof(p));
		ck_assert_int_eq(vdo_job_wait(job, -1, NULL), 0);
		vdo_job_free(job);
	}
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	unmake(&f);
}
END_TEST

/* Nobody asks for it: it is closed, or was never opened. */
START_TEST(test_not_wanted)
{
	struct vdo_job *job;
	struct fixture f;

	make(&f);
	job = start(executors[_i]);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	vdo_job_free(job);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	vdo_job_free(start(executors[_i]));
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	unmake(&f);
}
END_TEST

/* What can be known at once is; and the storage is in use until the end. */
START_TEST(test_found_out_at_once)
{
	struct vdo_config *bad = fixture_config("executor=inline threads=2");
	struct vdo_volume *v;
	struct vdo_job *job, *other;
	struct fixture f;

	make(&f);
	ck_assert_int_eq(vdo_open_device_start(device, bad, &job, &error),
			 -VDO_ECONFLICT);
	ck_assert_ptr_null(job);
	vdo_config_free(bad);
	job = start(executors[_i]);
	ck_assert_int_eq(vdo_open_device_start(device, NULL, &other, &error),
			 -VDO_EINUSE);
	ck_assert_str_ne(error.message, "");
	ck_assert_int_eq(vdo_open_device(device, NULL, &v, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_opened_get(job, &v), 0);
	vdo_job_free(job);
	ck_assert_int_eq(vdo_open_device_start(device, NULL, &other, &error),
			 -VDO_EINUSE);
	vdo_abandon(v);
	bad = fixture_config("recover=off");
	ck_assert_int_eq(vdo_open_device_start(device, bad, &job, &error),
			 -VDO_EDIRTY);
	vdo_config_free(bad);
	ck_assert_ptr_null(job);
	ck_assert_int_eq(vdo_open_start("/nowhere/at/all", NULL, &job, &error),
			 -ENOENT);
	f.no_check = true;
	vdo_device_close(device);
	fixture_fini(&f);
}
END_TEST

/* An error of the job is that of vdo_open(), text and all. */
START_TEST(test_fails)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ), .skip = 2};
	struct vdo_volume *v;
	struct vdo_job *job;
	struct fixture f;

	make(&f);
	sim_device_fault(f.sd, &fault);
	job = start(executors[_i]);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -EIO);
	ck_assert_int_eq(error.code, -EIO);
	ck_assert_str_ne(error.message, "");
	ck_assert_int_eq(vdo_opened_get(job, &v), -EAGAIN);
	ck_assert_ptr_null(v);
	vdo_job_free(job);
	sim_device_clear_faults(f.sd);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	unmake(&f);
}
END_TEST

/* ---------------------------------------------------------------- cancelling */

struct trap {
	_Atomic(struct vdo_job *) job;
	atomic_ulong left; /* operations until it is cancelled */
	atomic_bool sprung;
	atomic_uint after; /* operations since */
	char phase[64];
};

static bool spring(void *arg, const struct vdo_device_io *io)
{
	struct trap *t = arg;
	struct vdo_job *job = atomic_load(&t->job);
	struct vdo_job_progress p;

	(void)io;
	if (job == NULL)
		return false;
	if (atomic_load(&t->sprung)) {
		atomic_fetch_add(&t->after, 1);
		return false;
	}
	if (atomic_fetch_sub(&t->left, 1) != 1)
		return false;
	vdo_job_progress(job, &p, sizeof(p));
	snprintf(t->phase, sizeof(t->phase), "%s", p.phase);
	ck_assert(!p.over && p.done <= p.total);
	atomic_store(&t->sprung, true);
	vdo_job_cancel(job);
	return false;
}

static uint8_t *snapshot(struct fixture *f)
{
	uint8_t *all = malloc(f->block_count * B);

	ck_assert_ptr_nonnull(all);
	for (uint64_t i = 0; i < f->block_count; i++)
		sim_device_peek(f->sd, i, all + i * B);
	return all;
}

/* The copies of the slab summary are made equal, which says nothing new. */
static void check_same(const struct vdo_info *info, const uint8_t *before,
		       const uint8_t *after, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (i >= info->summary_start &&
		    i < info->summary_start + info->summary_count)
			continue;
		ck_assert_msg(memcmp(before + i * B, after + i * B, B) == 0,
			      "block %llu changed", (unsigned long long)i);
	}
}

/* At each operation of the storage, and so in each row: nothing is left of it
 * until the volume is being marked as in use, when it is too late. */
START_TEST(test_cancelled_anywhere)
{
	unsigned cancelled = 0, depot = 0, index = 0;
	struct vdo_info info;
	uint8_t *before, *after;
	struct fixture f;
	int r = -ECANCELED;
	bool late;

	make(&f);
	ck_assert_int_eq(vdo_inspect_device(device, &info, sizeof(info), NULL),
			 0);
	before = snapshot(&f);
	for (unsigned long n = 1; r != 0; n++) {
		struct trap t = {.sprung = false};
		struct vdo_config *c =
			fixture_config("executor=inline index-wait=on");
		struct vdo_job *job;

		ck_assert_int_eq(vdo_open_device_start(device, c, &job, NULL),
				 0);
		vdo_config_free(c);
		atomic_init(&t.left, n);
		atomic_init(&t.job, job);
		sim_device_hold(f.sd, spring, &t);
		r = vdo_job_wait(job, -1, &error);
		sim_device_hold(f.sd, NULL, NULL);
		ck_assert(atomic_load(&t.sprung));
		/* While the summary is read: that is written, and made durable,
		 * but no slab is read. */
		if (n == 1)
			ck_assert_uint_le(atomic_load(&t.after), 2);
		late = strcmp(t.phase, "marking the volume as in use") == 0;
		ck_assert_int_eq(r, late ? 0 : -ECANCELED);
		depot += strcmp(t.phase, "loading the slab depot") == 0;
		index += strcmp(t.phase, "opening the index") == 0;
		vdo_job_free(job);
		if (r != 0) {
			cancelled++;
			after = snapshot(&f);
			check_same(&info, before, after, f.block_count);
			free(after);
		}
	}
	ck_assert_uint_gt(cancelled, 10);
	ck_assert_uint_gt(depot, 5);
	ck_assert_uint_gt(index, 3);
	free(before);
	unmake(&f);
}
END_TEST

/* The same of a volume that was not closed: it stays one that recovers. */
START_TEST(test_recovery_cancelled)
{
	unsigned cancelled = 0, reading = 0, pages = 0, slabs = 0;
	struct vdo_volume *v;
	struct fixture f;
	int r = -ECANCELED;

	make(&f);
	ck_assert_int_eq(vdo_open_device(device, NULL, &v, &error), 0);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(vdo_discard(v, B, 7 * i * B, 0), 0);
	vdo_abandon(v);
	for (uint64_t i = 0; i < 100; i++)
		f.expect[7 * i] = V_ZERO;
	for (unsigned long n = 1; r != 0; n++) {
		struct trap t = {.sprung = false};
		struct vdo_job *job = start("executor=inline");

		atomic_init(&t.left, n);
		atomic_init(&t.job, job);
		sim_device_hold(f.sd, spring, &t);
		r = vdo_job_wait(job, -1, &error);
		sim_device_hold(f.sd, NULL, NULL);
		ck_assert(r == 0 || r == -ECANCELED);
		reading += strcmp(t.phase, "reading the recovery journal") == 0;
		pages += strcmp(t.phase, "replaying the block map") == 0;
		slabs += strcmp(t.phase, "replaying the slab journals") == 0;
		if (r != 0) {
			cancelled++;
			ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
			ck_assert_uint_eq(fixture_check_image(&f), 0);
		}
		vdo_job_free(job);
	}
	ck_assert_uint_gt(cancelled, 10);
	ck_assert_uint_gt(reading, 0);
	ck_assert_uint_gt(pages, 0);
	ck_assert_uint_gt(slabs, 0);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	unmake(&f);
}
END_TEST

/* Before anything was done; and of the two threads, whenever that is. */
START_TEST(test_cancelled_early)
{
	uint8_t *before, *after;
	struct fixture f;

	make(&f);
	before = snapshot(&f);
	for (unsigned i = 0; i < 20; i++) {
		struct vdo_job *job = start(executors[_i]);
		int r;

		vdo_job_cancel(job);
		r = vdo_job_wait(job, -1, &error);
		if (_i == 1)
			ck_assert_int_eq(r, -ECANCELED);
		ck_assert(r == 0 || r == -ECANCELED);
		vdo_job_free(job);
		ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
		if (_i == 0)
			continue;
		after = snapshot(&f);
		ck_assert_mem_eq(before, after, f.block_count * B);
		free(after);
	}
	free(before);
	unmake(&f);
}
END_TEST

/* Out of memory leaves no trace either. */
START_TEST(test_short_of_memory)
{
	struct vdo_volume *v;
	struct fixture f;
	unsigned failed = 0;
	int r = -ENOMEM;

	make(&f);
	for (unsigned long n = 1; r != 0; n++) {
		struct vdo_config *c = fixture_config("executor=inline");
		struct vdo_job *job;

		alloc_fail_at(n);
		r = vdo_open_device_start(device, c, &job, &error);
		if (r == 0) {
			r = vdo_job_wait(job, -1, &error);
			alloc_fail_at(0);
			if (r == 0)
				ck_assert_int_eq(vdo_opened_get(job, &v), 0);
			vdo_job_free(job);
		}
		alloc_fail_at(0);
		vdo_config_free(c);
		failed += r != 0;
		ck_assert(r == 0 || r == -ENOMEM);
		if (r != 0)
			ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	}
	ck_assert_uint_gt(failed, 20);
	check_reads(v);
	ck_assert_int_eq(vdo_close(v), 0);
	unmake(&f);
}
END_TEST

/* In a child the job is nobody's. */
START_TEST(test_after_fork)
{
	struct vdo_volume *v;
	struct vdo_job *job;
	struct fixture f;
	int status;
	pid_t pid;

	make(&f);
	job = start("executor=inline");
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	pid = fork();
	if (pid == 0)
		_exit(vdo_opened_get(job, &v) != -VDO_EFORKED);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(vdo_opened_get(job, &v), 0);
	vdo_job_free(job);
	ck_assert_int_eq(vdo_close(v), 0);
	unmake(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("open_job");

	tcase_add_loop_test(tc, test_handed_out, 0, 2);
	tcase_add_loop_test(tc, test_not_wanted, 0, 2);
	tcase_add_loop_test(tc, test_found_out_at_once, 0, 2);
	tcase_add_loop_test(tc, test_fails, 0, 2);
	tcase_add_test(tc, test_cancelled_anywhere);
	tcase_add_test(tc, test_recovery_cancelled);
	tcase_add_loop_test(tc, test_cancelled_early, 0, 2);
	tcase_add_test(tc, test_short_of_memory);
	tcase_add_test(tc, test_after_fork);
	return unit_run();
}
