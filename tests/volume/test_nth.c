/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything fails once: the Nth allocation and the Nth I/O of formatting,
 * opening, using and closing a volume, N = 1 ... until nothing fails any more.
 *
 * Nothing may leak (the sanitizers watch), hang or crash; and whatever happens,
 * data that was flushed is there.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* The executor is one without threads, so that N means the same each time. */
#define SMALL_DEVICE                                                           \
	"profile=small index-memory=none slab-bits=9 slab-journal-blocks=4 "   \
	"journal-blocks=8 logical-size=2M force=on"

static void init(struct fixture *f, int kind)
{
	struct sim_device_config config = {.block_count = 2000, .seed = 1,
					   .volatile_cache = true};

	fixture_init_raw(f, kind, &config);
}

START_TEST(test_allocations_of_format)
{
	struct fixture f;
	unsigned long n;

	init(&f, KIND_INLINE);
	for (n = 1;; n++) {
		struct vdo_config *c = fixture_config(SMALL_DEVICE);
		struct vdo_device *d = sim_device_open(f.sd, NULL);
		struct vdo_error error;
		int result;

		alloc_fail_at(n);
		result = vdo_format_device(d, c, &error);
		alloc_fail_at(0);
		vdo_device_close(d);
		vdo_config_free(c);
		if (result == 0)
			break;
		ck_assert_int_eq(result, -ENOMEM);
		ck_assert_int_eq(error.code, -ENOMEM);
	}
	ck_assert_uint_gt(n, 1);
	fixture_fini(&f);
}
END_TEST

/* On executors without a random number of allocations of their own. */
START_TEST(test_allocations_of_open)
{
	struct fixture f;
	unsigned long n;

	init(&f, _i);
	ck_assert_int_eq(fixture_format(&f, SMALL_DEVICE), 0);
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_close(&f);
	for (n = 1;; n++) {
		struct vdo_config *c = fixture_config(
			_i == KIND_INLINE
				? "executor=inline"
				: "topology=classic threads=2 logical-zones=2 "
				  "physical-zones=2 hash-zones=2");
		struct vdo_device *d = sim_device_open(f.sd, NULL);
		struct vdo_volume *v;
		struct vdo_error error;
		int result;

		alloc_fail_at(n);
		result = vdo_open_device(d, c, &v, &error);
		alloc_fail_at(0);
		if (result == 0)
			ck_assert_int_eq(vdo_close(v), 0);
		vdo_device_close(d);
		vdo_config_free(c);
		if (result == 0)
			break;
		ck_assert_msg(result == -ENOMEM, "allocation %lu: %s", n,
			      vdo_error_name(result));
		ck_assert_ptr_null(v);
		ck_assert_str_ne(error.message, "");
		ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	}
	ck_assert_uint_gt(n, 20);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A volume that was not closed, with a journal that is in use everywhere. */
static void make_crashed(struct fixture *f, int kind)
{
	init(f, kind);
	ck_assert_int_eq(fixture_format(f, SMALL_DEVICE), 0);
	fixture_open(f, "depth=16");
	fixture_write(f, 0, 100, V_UNIQUE(1), 0);
	fixture_repeat(f, 50, 100, V_UNIQUE(7), 0);
	fixture_discard(f, 0, 20);
	fixture_write(f, 300, 30, V_SQUEEZE(1, 500), VDO_IO_FUA);
	fixture_flush(f);
	fixture_abandon(f);
}

/* Memory is short while a volume is recovered: nothing comes of it. */
START_TEST(test_allocations_of_recovery)
{
	struct fixture f;
	unsigned long n;
	int result = -ENOMEM;

	make_crashed(&f, KIND_INLINE);
	for (n = 1; result != 0; n++) {
		struct vdo_config *c = fixture_config("executor=inline");
		struct vdo_device *d = sim_device_open(f.sd, NULL);
		struct vdo_error error;
		struct vdo_volume *v;

		alloc_fail_at(n);
		result = vdo_open_device(d, c, &v, &error);
		alloc_fail_at(0);
		ck_assert_msg(result == 0 || result == -ENOMEM,
			      "allocation %lu: %s", n, vdo_error_name(result));
		ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		if (result == 0)
			vdo_abandon(v);
		vdo_device_close(d);
		vdo_config_free(c);
	}
	ck_assert_uint_gt(n, 30);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* While it is in use memory is short: calls may say so, nothing else. */
START_TEST(test_allocations_of_use)
{
	struct fixture f;
	unsigned failed = 0;

	init(&f, KIND_INLINE);
	ck_assert_int_eq(fixture_format(&f, SMALL_DEVICE), 0);
	fixture_open(&f, "depth=16");
	for (unsigned long n = 1; n < 60; n++) {
		struct pending p[30];
		uint8_t *buf = pattern_blocks(V_UNIQUE(1), 8);
		struct iovec iov[8];

		for (unsigned i = 0; i < 8; i++)
			iov[i] = (struct iovec){buf + i * B, B};
		alloc_fail_at(n);
		for (unsigned i = 0; i < 30; i++) {
			int result;

			pending_init(&p[i], &f);
			result = vdo_aio_pwritev(f.volume, iov, 8, 0,
						 pending_done, &p[i], 0);
			ck_assert(result == 0 || result == -ENOMEM);
			failed += result != 0;
			if (result != 0)
				pending_done(&p[i], 0);
		}
		for (unsigned i = 0; i < 30; i++)
			ck_assert_int_eq(pending_wait(&p[i]), 0);
		alloc_fail_at(n);
		ck_assert_int_eq(vdo_discard(f.volume, 8 * B, 0, 0), 0);
		fixture_flush(&f);
		alloc_fail_at(0);
		free(buf);
	}
	ck_assert_uint_gt(failed, 5);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* ----------------------------------------------------------------- the Nth I/O */

/* What is merged and fails once is done again, and nobody hears of it. */
#define EACH_ALONE "depth=16 io-merge=0"

static void fail_nth(struct fixture *f, unsigned ops, uint64_t n)
{
	struct sim_fault sf = {.ops = ops, .skip = n, .times = 1};

	sim_device_clear_faults(f->sd);
	sim_device_fault(f->sd, &sf);
}

START_TEST(test_io_of_format)
{
	unsigned n, complete = 0;
	int result = -EIO;

	for (n = 0; result != 0; n++) {
		struct vdo_config *c = fixture_config(SMALL_DEVICE);
		struct vdo_device *d;
		struct vdo_info info;
		struct fixture f;

		init(&f, KIND_INLINE);
		fail_nth(&f, SIM_OPS_ALL, n);
		d = sim_device_open(f.sd, NULL);
		result = vdo_format_device(d, c, NULL);
		ck_assert(result == 0 || result == -EIO);
		sim_device_clear_faults(f.sd);
		/* What could not be made to the end is no volume. */
		if (vdo_inspect_device(d, &info, sizeof(info), NULL) == 0)
			complete++;
		vdo_device_close(d);
		vdo_config_free(c);
		fixture_fini(&f);
	}
	ck_assert_uint_gt(n, 4);
	ck_assert_uint_eq(complete, 1);
}
END_TEST

/* Opening fails on each I/O in turn: an error, and it can be opened after. A
 * summary that was half written is still good. */
START_TEST(test_io_of_open)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_WRITE),
				       SIM_OP(VDO_DEVICE_FLUSH)};

	for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
		struct fixture f;
		unsigned n;

		init(&f, _i);
		ck_assert_int_eq(fixture_format(&f, SMALL_DEVICE), 0);
		fixture_open(&f, "");
		fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
		fixture_close(&f);
		for (n = 0; n < 300; n++) {
			int result;

			fail_nth(&f, ops[k], n);
			result = fixture_try_open(&f, "");
			sim_device_clear_faults(f.sd);
			if (result == 0)
				break;
			ck_assert_msg(result == -EIO ||
					      result == -VDO_ECORRUPT ||
					      result == -VDO_EREADONLY,
				      "I/O %u: %s", n, vdo_error_name(result));
			/* The last one makes it dirty, or may have. */
			if (fixture_state(&f) != VOLUME_CLEAN)
				break;
			fixture_open(&f, "");
			fixture_verify(&f, 0, 100);
			fixture_close(&f);
		}
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_lt(n, 300);
		if (f.volume == NULL)
			ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_fini(&f);
	}
}
END_TEST

/* Scrubbing failed in service: what is in the volume can still be read. */
static void check_read_only(struct fixture *f)
{
	fixture_open(f, "read-only=on");
	fixture_verify_all(f);
	ck_assert_int_eq(fixture_try_close(f), 0);
}

/* The same of a volume that was not closed: it is recovered by the next one, if
 * the recovery failed, and read-only, if what follows in service did. */
START_TEST(test_io_of_recovery)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_WRITE),
				       SIM_OP(VDO_DEVICE_FLUSH)};

	for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
		int result = -EIO;
		struct fixture f;
		unsigned n;

		make_crashed(&f, _i);
		for (n = 0; result != 0 && n < 300; n++) {
			fail_nth(&f, ops[k], n);
			result = fixture_try_open(&f, EACH_ALONE);
			sim_device_clear_faults(f.sd);
			ck_assert_msg(result == 0 || result == -EIO ||
					      result == -VDO_ECORRUPT ||
					      result == -VDO_EREADONLY,
				      "I/O %u: %s", n, vdo_error_name(result));
			if (result == 0) {
				fixture_verify_all(&f);
				result = fixture_try_close(&f);
			}
			if (fixture_state(&f) == VOLUME_READ_ONLY) {
				check_read_only(&f);
				fixture_fini(&f);
				make_crashed(&f, _i);
			} else if (result != 0) {
				ck_assert_int_eq(fixture_state(&f),
						 VOLUME_DIRTY);
			}
			ck_assert_uint_eq(fixture_check_image(&f), 0);
		}
		ck_assert_uint_gt(n, 1);
		ck_assert_int_eq(result, 0);
		fixture_fini(&f);
	}
}
END_TEST

static unsigned forgotten;

static int count_forget(void *ctx)
{
	(void)ctx;
	forgotten++;
	return 0;
}

/* How often a cache was to forget while a volume was opened and abandoned. */
static unsigned forgets(struct fixture *f, bool fail)
{
	struct vdo_config *c = fixture_config("executor=inline depth=16");
	struct vdo_device *d = sim_device_open(f->sd, NULL);
	struct vdo_volume *v;
	struct vdo_error error;
	uint8_t block[B] = {(uint8_t)(1 + fail)};
	int result;

	forgotten = 0;
	d->forget = count_forget;
	ck_assert_int_eq(vdo_open_device(d, c, &v, &error), 0);
	if (fail)
		fail_nth(f, SIM_OP(VDO_DEVICE_FLUSH), 0);
	result = vdo_pwrite(v, block, B, 0, 0);
	if (result == 0)
		result = vdo_flush(v, 0);
	ck_assert_int_eq(result != 0, fail);
	sim_device_clear_faults(f->sd);
	vdo_abandon(v);
	vdo_device_close(d);
	vdo_config_free(c);
	return forgotten;
}

/*
 * What a failed flush should have covered is never written by a later one, though
 * a cache may show it: whoever opens the volume next must not build on it. Nor on
 * what somebody left behind who may have met that.
 */
START_TEST(test_nobody_builds_on_a_failed_flush)
{
	uint8_t seen[B], left[B];
	struct fixture f;

	init(&f, KIND_INLINE);
	ck_assert_int_eq(fixture_format(&f, SMALL_DEVICE), 0);
	f.no_check = true;
	ck_assert_uint_eq(forgets(&f, false), 0); /* it was new */
	ck_assert_uint_eq(forgets(&f, false), 1); /* it was not closed */
	ck_assert_uint_eq(forgets(&f, true), 2);  /* and a flush failed */

	/* The device itself then shows what power would leave. */
	for (unsigned i = 0; i < 20; i++) {
		struct vdo_device *d = sim_device_open(f.sd, NULL);

		memset(seen, (int)i + 1, B);
		ck_assert_int_eq(device_write(d, 1990 * B, seen, B), 0);
		fail_nth(&f, SIM_OP(VDO_DEVICE_FLUSH), 0);
		ck_assert_int_eq(device_flush(d), -EIO);
		sim_device_clear_faults(f.sd);
		vdo_device_close(d);
		d = sim_device_open(f.sd, NULL);
		ck_assert_int_eq(device_flush(d), 0);
		ck_assert_int_eq(device_read(d, 1990 * B, seen, B), 0);
		vdo_device_close(d);
		sim_device_crash(f.sd);
		fixture_restore_power(&f);
		sim_device_peek(f.sd, 1990, left);
		ck_assert_mem_eq(seen, left, B);
	}
	fixture_fini(&f);
}
END_TEST

/* A short life with everything in it. @result: of the last flush. */
static int live(struct fixture *f)
{
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 60);
	uint8_t block[B];
	int result = 0;

	for (unsigned i = 0; i < 60; i++)
		result |= vdo_pwrite(f->volume, buf + i * B, B, i * 8 * B, 0);
	for (unsigned i = 0; i < 20; i++) {
		pattern_fill(V_SQUEEZE(i, 200), block);
		result |= vdo_pwrite(f->volume, block, B, (100 + i) * B, 0);
		result |= vdo_pwrite(f->volume, block, B, (200 + i) * B, 0);
	}
	result |= vdo_pwrite(f->volume, buf, 30 * B, 300 * B, VDO_IO_FUA);
	result |= vdo_discard(f->volume, 30 * B, 0, 0);
	result |= vdo_pread(f->volume, block, B, 300 * B, 0);
	result |= vdo_flush(f->volume, 0);
	free(buf);
	return result;
}

START_TEST(test_io_of_use)
{
	static const unsigned ops[] = {SIM_OP(VDO_DEVICE_READ),
				       SIM_OP(VDO_DEVICE_WRITE),
				       SIM_OP(VDO_DEVICE_FLUSH)};

	for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
		unsigned n;

		for (n = 0; n < 500; n++) {
			struct fixture f;
			int lived, closed;

			init(&f, _i);
			ck_assert_int_eq(fixture_format(&f, SMALL_DEVICE), 0);
			fixture_open(&f, EACH_ALONE " era=1");
			fixture_write(&f, 500, 12, V_UNIQUE(900), 0);
			fixture_reopen(&f, EACH_ALONE " era=1");
			fail_nth(&f, ops[k], n);
			lived = live(&f);
			closed = fixture_try_close(&f);
			sim_device_clear_faults(f.sd);
			ck_assert_uint_eq(fixture_check_image(&f), 0);
			fixture_fini(&f);
			if (lived == 0 && closed == 0)
				break;
		}
		ck_assert_uint_lt(n, 500);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("nth");

	tcase_add_test(tc, test_allocations_of_format);
	tcase_add_test(tc, test_allocations_of_use);
	tcase_add_loop_test(tc, test_allocations_of_open, KIND_NATIVE,
			    KIND_NATIVE + 1);
	tcase_add_loop_test(tc, test_allocations_of_open, KIND_INLINE,
			    KIND_INLINE + 1);
	tcase_add_test(tc, test_allocations_of_recovery);
	tcase_add_test(tc, test_io_of_format);
	tcase_add_test(tc, test_nobody_builds_on_a_failed_flush);
	tcase_add_loop_test(tc, test_io_of_recovery, KIND_INLINE,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_io_of_open, KIND_INLINE, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_io_of_use, KIND_INLINE, FIXTURE_KINDS);
	return unit_run();
}
