/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Free blocks go back to the storage, and nothing else does.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static struct vdo_error error;

/* Trim by a job on the executor @options; its result. */
static int trim_device(struct vdo_device *d, const char *options,
		       struct vdo_trimmed *t)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_job_progress p;
	struct vdo_job *job;
	int result = vdo_trim_device(d, c, &job, &error);

	if (result == 0) {
		ck_assert_int_eq(vdo_trimmed_get(job, t, sizeof(*t) + 8),
				 -EAGAIN);
		result = vdo_job_wait(job, -1, &error);
		vdo_job_progress(job, &p, sizeof(p));
		ck_assert(result != 0 || (p.over && p.done == p.total));
		ck_assert_int_eq(vdo_trimmed_get(job, t, sizeof(*t)),
				 result == 0 ? 0 : -EAGAIN);
		vdo_job_free(job);
	}
	vdo_config_free(c);
	if (result != 0)
		ck_assert_str_ne(error.message, "");
	return result;
}

static int trim(struct fixture *f, struct vdo_trimmed *t)
{
	struct vdo_device *d = sim_device_open(f->sd, NULL);
	int result = trim_device(d, "executor=inline", t);

	vdo_device_close(d);
	return result;
}

static struct vdo_usage usage_of(struct vdo_device *d)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_usage u;
	struct vdo_job *job;

	ck_assert_int_eq(vdo_usage_count_device(d, c, VDO_USAGE_MAP, &job,
						&error),
			 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_usage_get(job, &u, sizeof(u)), 0);
	vdo_job_free(job);
	vdo_config_free(c);
	return u;
}

/* Shared, squeezed, zero and discarded blocks; most of them go again. */
static void fill(struct fixture *f)
{
	fixture_write(f, 0, 900, V_UNIQUE(1), 0);
	fixture_flush(f);
	fixture_write(f, 1000, 100, V_UNIQUE(31), 0);
	fixture_write(f, 1200, 84, V_SQUEEZE(1, 200), 0);
	fixture_write(f, 1400, 20, V_ZERO, 0);
	fixture_discard(f, 20, 500);
	for (unsigned i = 600; i < 700; i += 3)
		fixture_discard(f, i, 2);
	fixture_flush(f);
}

START_TEST(all_that_is_free_and_nothing_else)
{
	struct vdo_trimmed t;
	struct vdo_device *d;
	struct vdo_usage u;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_close(&f);
	d = sim_device_open(f.sd, NULL);
	u = usage_of(d);
	vdo_device_close(d);
	ck_assert_int_eq(trim(&f, &t), 0);
	ck_assert_uint_eq(t.free_blocks, u.free_blocks);
	ck_assert_uint_eq(t.slabs_left, 0);
	ck_assert_uint_eq(t.freed_bytes, 0);
	ck_assert_uint_ge(t.ranges, 30);
	ck_assert_uint_ge(sim_device_count(f.sd, VDO_DEVICE_DISCARD), t.ranges);
	/* Again is no harm, and the volume is as it was, and of use. */
	ck_assert_int_eq(trim(&f, &t), 0);
	ck_assert_uint_eq(t.free_blocks, u.free_blocks);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_write(&f, 30, 300, V_UNIQUE(5000), 0);
	fixture_fini(&f);
}
END_TEST

/* A host's storage that loses what it may, and knows what that was. */
struct lossy {
	uint8_t *bytes;
	uint64_t blocks;
	bool *gone;
	unsigned flags;
	int result; /* of discards, after @good of them */
	unsigned good;
};

static uint64_t lossy_size(void *ctx)
{
	return ((struct lossy *)ctx)->blocks * B;
}

static unsigned lossy_flags(void *ctx)
{
	return ((struct lossy *)ctx)->flags;
}

static void lossy_submit(void *ctx, struct vdo_device_io *io)
{
	struct lossy *l = ctx;
	int result = 0;

	ck_assert_uint_eq((io->offset | io->length) % B, 0);
	ck_assert_uint_le(io->offset + io->length, l->blocks * B);
	if (io->op == VDO_DEVICE_DISCARD) {
		ck_assert(l->flags & VDO_DEVICE_CAN_DISCARD);
		ck_assert_uint_gt(io->length, 0);
		if (l->result != 0 && l->good-- == 0) {
			result = l->result;
			l->good = 0;
		} else {
			memset(l->bytes + io->offset, 0xa5, io->length);
			for (uint64_t i = 0; i < io->length / B; i++)
				l->gone[io->offset / B + i] = true;
		}
	} else if (io->op != VDO_DEVICE_FLUSH) {
		fixture_transfer(io, l->bytes);
	}
	io->complete(io, result);
}

static const struct vdo_device_ops lossy_ops = {
	.size = sizeof(lossy_ops),
	.get_size = lossy_size,
	.get_flags = lossy_flags,
	.submit = lossy_submit,
};

static struct vdo_device *lossy_open(struct lossy *l, unsigned flags)
{
	struct vdo_device *d;

	l->blocks = 8192;
	l->flags = flags;
	l->bytes = calloc(l->blocks, B);
	l->gone = calloc(l->blocks, sizeof(*l->gone));
	ck_assert_int_eq(vdo_device_open_custom(&lossy_ops, l, &d), 0);
	return d;
}

static void lossy_free(struct lossy *l, struct vdo_device *d)
{
	vdo_device_close(d);
	free(l->bytes);
	free(l->gone);
}

#define DATA_BLOCKS 2000u

static void block_of(uint64_t lbn, uint8_t *block)
{
	memset(block, (int)(lbn % 251), B);
	put_u64(block, lbn + 1);
}

/* Every third block is written and then every seventh of these discarded. */
static bool is_stored(uint64_t lbn)
{
	return lbn % 3 == 0 && lbn % 7 != 0;
}

static void lossy_fill(struct vdo_device *d)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_volume *v;
	uint8_t block[B];

	ck_assert_int_eq(vdo_format_device(d, c, &error), 0);
	ck_assert_int_eq(vdo_open_device(d, c, &v, &error), 0);
	for (uint64_t i = 0; i < DATA_BLOCKS; i += 3) {
		block_of(i, block);
		ck_assert_int_eq(vdo_pwrite(v, block, B, i * B,
					    VDO_IO_NO_COMPRESS),
				 0);
	}
	for (uint64_t i = 0; i < DATA_BLOCKS; i += 21)
		ck_assert_int_eq(vdo_discard(v, B, i * B, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_config_free(c);
}

static void lossy_verify(struct vdo_device *d)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_check_report report;
	struct vdo_volume *v;
	struct vdo_job *job;
	uint8_t block[B], expected[B];

	ck_assert_int_eq(vdo_check_device(d, c, VDO_CHECK_DATA, NULL, NULL,
					  NULL, &job, &error),
			 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_check_report_get(job, &report, sizeof(report)),
			 0);
	ck_assert_uint_eq(report.findings, 0);
	vdo_job_free(job);
	ck_assert_int_eq(vdo_open_device(d, c, &v, &error), 0);
	for (uint64_t i = 0; i < DATA_BLOCKS; i++) {
		memset(expected, 0, B);
		if (is_stored(i))
			block_of(i, expected);
		ck_assert_int_eq(vdo_pread(v, block, B, i * B, 0), 0);
		ck_assert_mem_eq(block, expected, B);
	}
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_config_free(c);
}

START_TEST(what_is_given_up_is_lost)
{
	struct lossy l = {0};
	struct vdo_device *d = lossy_open(&l, VDO_DEVICE_CAN_DISCARD |
						      VDO_DEVICE_VOLATILE_CACHE);
	uint64_t gone = 0;
	struct vdo_trimmed t;

	lossy_fill(d);
	ck_assert_int_eq(trim_device(d, "executor=native", &t), 0);
	for (uint64_t i = 0; i < l.blocks; i++)
		gone += l.gone[i];
	ck_assert_uint_eq(gone, t.free_blocks);
	ck_assert_uint_eq(gone, usage_of(d).free_blocks);
	lossy_verify(d);
	lossy_free(&l, d);
}
END_TEST

/* It may fail at any of them: nothing is lost, and the rest is done next time. */
START_TEST(failing_discards)
{
	static const int errors[] = {-EIO, -EOPNOTSUPP};
	struct lossy l = {0};
	struct vdo_device *d = lossy_open(&l, VDO_DEVICE_CAN_DISCARD);
	struct vdo_trimmed t, all;

	lossy_fill(d);
	ck_assert_int_eq(trim_device(d, "executor=inline", &all), 0);
	ck_assert_uint_gt(all.ranges, 20);
	for (unsigned n = 0; n < all.ranges; n += 7) {
		l.result = errors[n % 2];
		l.good = n;
		ck_assert_int_eq(trim_device(d, "executor=inline", &t),
				 l.result);
		lossy_verify(d);
	}
	l.result = 0;
	ck_assert_int_eq(trim_device(d, "executor=inline", &t), 0);
	ck_assert_uint_eq(t.free_blocks, all.free_blocks);
	lossy_verify(d);
	lossy_free(&l, d);
}
END_TEST

START_TEST(cannot_or_must_not)
{
	struct lossy l = {0};
	struct vdo_device *d = lossy_open(&l, 0);
	struct vdo_trimmed t;
	struct vdo_job *job;
	struct fixture f;

	lossy_fill(d);
	ck_assert_int_eq(trim_device(d, "", &t), -EOPNOTSUPP);
	l.flags = VDO_DEVICE_CAN_DISCARD | VDO_DEVICE_READ_ONLY;
	vdo_device_close(d);
	ck_assert_int_eq(vdo_device_open_custom(&lossy_ops, &l, &d), 0);
	ck_assert_int_eq(trim_device(d, "", &t), -EROFS);
	lossy_free(&l, d);

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	ck_assert_int_eq(vdo_trim_device(f.device, NULL, &job, &error),
			 -VDO_EINUSE);
	fixture_abandon(&f);
	ck_assert_int_eq(trim(&f, &t), -VDO_EDIRTY);
	fixture_open(&f, "");
	fixture_close(&f);
	fixture_set_state(&f, VOLUME_READ_ONLY);
	ck_assert_int_eq(trim(&f, &t), -VDO_EREBUILD);
	fixture_set_state(&f, VOLUME_FORCE_REBUILD);
	ck_assert_int_eq(trim(&f, &t), -VDO_EREBUILD);
	fixture_set_state(&f, VOLUME_CLEAN);
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_DISCARD), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(new_has_nothing_to_keep)
{
	struct vdo_trimmed t;
	struct vdo_device *d;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	ck_assert_int_eq(trim(&f, &t), 0);
	d = sim_device_open(f.sd, NULL);
	ck_assert_uint_eq(t.free_blocks, usage_of(d).free_blocks);
	ck_assert_uint_eq(t.ranges, t.slabs);
	vdo_device_close(d);
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_fini(&f);
}
END_TEST

/* Counts that wait for their journal, as Linux may leave some, are not asked. */
START_TEST(slabs_that_are_left)
{
	struct vdo_trimmed all, t;
	uint8_t summary[B];
	struct vdo_device *d;
	struct vdo_info info;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_close(&f);
	ck_assert_int_eq(trim(&f, &all), 0);
	d = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_inspect_device(d, &info, sizeof(info), &error), 0);
	vdo_device_close(d);
	sim_device_peek(f.sd, info.summary_start, summary);
	ck_assert_uint_eq(summary[1] & 0xc0, 0x40); /* in use, not dirty */
	summary[1] |= 0x80;
	sim_device_poke(f.sd, info.summary_start, summary);
	ck_assert_int_eq(trim(&f, &t), 0);
	ck_assert_uint_eq(t.slabs_left, 1);
	ck_assert_uint_lt(t.free_blocks, all.free_blocks);
	ck_assert_uint_ge(t.free_blocks + info.slab_data_blocks,
			  all.free_blocks);
	summary[1] &= 0x7f;
	sim_device_poke(f.sd, info.summary_start, summary);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(cancelled)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_trimmed t;
	struct vdo_device *d;
	struct vdo_usage u;
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_close(&f);
	d = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_trim_device(d, c, &job, &error), 0);
	ck_assert_int_eq(vdo_usage_get(job, &u, sizeof(u)), -EINVAL);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	ck_assert_int_eq(vdo_trimmed_get(job, &t, sizeof(t)), -EAGAIN);
	vdo_job_free(job);
	vdo_device_close(d);
	vdo_config_free(c);
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_DISCARD), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(without_memory)
{
	struct vdo_trimmed t;
	struct fixture f;
	int result = -ENOMEM;
	unsigned long n;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_close(&f);
	for (n = 1; result != 0; n++) {
		struct vdo_config *c = fixture_config("executor=inline");
		struct vdo_device *d = sim_device_open(f.sd, NULL);
		struct vdo_job *job;

		alloc_fail_at(n);
		result = vdo_trim_device(d, c, &job, &error);
		if (result == 0) {
			result = vdo_job_wait(job, -1, &error);
			vdo_job_free(job);
		}
		alloc_fail_at(0);
		vdo_device_close(d);
		vdo_config_free(c);
		ck_assert_msg(result == 0 || result == -ENOMEM,
			      "allocation %lu: %s", n, vdo_error_name(result));
	}
	ck_assert_uint_gt(n, 5);
	ck_assert_int_eq(trim(&f, &t), 0);
	fixture_fini(&f);
}
END_TEST

static uint64_t bytes_taken(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* After all was deleted a file takes its metadata again. */
START_TEST(of_a_file)
{
	static const char *const engines[] = {
		"reclaim=off executor=native io-engine=threads",
		"reclaim=off executor=native io-engine=auto direct=on",
		"reclaim=off executor=inline",
	};
	char path[] = "libvdo-trim-XXXXXX";
	struct vdo_config *c = fixture_config("size=64M force=on");
	struct vdo_config *e = fixture_config(engines[_i]);
	uint64_t empty, full, size = 20 << 20;
	uint8_t *data = malloc(size);
	struct vdo_trimmed t;
	struct vdo_volume *v;
	struct vdo_job *job;

	ck_assert_ptr_nonnull(data);
	for (uint64_t i = 0; i < size / 8; i++)
		put_u64(data + i * 8, i * UINT64_C(0x9e3779b97f4a7c15));
	close(mkstemp(path));
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, e, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, data, 4096, 0, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(vdo_open(path, e, &v, &error), 0);
	empty = bytes_taken(path);
	ck_assert_int_eq(vdo_pwrite(v, data, size, 0, 0), 0);
	ck_assert_int_eq(vdo_discard(v, size - 4096, 4096, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	full = bytes_taken(path);
	ck_assert_uint_gt(full, empty + size / 2);
	ck_assert_int_eq(vdo_trim(path, e, &job, &error), 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_trimmed_get(job, &t, sizeof(t)), 0);
	vdo_job_free(job);
	ck_assert_uint_eq(full - bytes_taken(path), t.freed_bytes);
	/* Counts and journals of the slabs that were in use, and map pages. */
	ck_assert_uint_le(bytes_taken(path), empty + (size >> 3));
	ck_assert_int_eq(vdo_open(path, e, &v, &error), 0);
	ck_assert_int_eq(vdo_pread(v, data + 4096, 4096, 0, 0), 0);
	ck_assert_mem_eq(data, data + 4096, 4096);
	ck_assert_int_eq(vdo_close(v), 0);
	unlink(path);
	vdo_config_free(c);
	vdo_config_free(e);
	free(data);
}
END_TEST

START_TEST(of_memory)
{
	struct vdo_device *d;
	struct vdo_trimmed t;

	ck_assert_int_eq(vdo_device_open_memory(32 << 20, &d), 0);
	lossy_fill(d);
	ck_assert_int_eq(trim_device(d, "executor=inline", &t), 0);
	lossy_verify(d);
	vdo_device_close(d);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("trim");

	tcase_add_loop_test(tc, all_that_is_free_and_nothing_else, 0,
			    FIXTURE_KINDS);
	tcase_add_test(tc, what_is_given_up_is_lost);
	tcase_add_test(tc, failing_discards);
	tcase_add_test(tc, cannot_or_must_not);
	tcase_add_test(tc, new_has_nothing_to_keep);
	tcase_add_test(tc, slabs_that_are_left);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, without_memory);
	tcase_add_loop_test(tc, of_a_file, 0, 3);
	tcase_add_test(tc, of_memory);
	return unit_run();
}
