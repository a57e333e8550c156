/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each public call without what it needs: NULL in each place, one at a time.
 * Calls with a result say -EINVAL, or -EFAULT where data would be; the others
 * do nothing, or return what stands for nothing. Where a struct vdo_error is
 * taken, it names the argument. tests/sh/symbols.sh looks that no call of the
 * headers is missing here.
 */
#include "build.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

#define REFUSED(call) ck_assert_int_eq(call, -EINVAL)
/* With a text that says what is missing, and without room for one. */
#define REFUSED_SAYING(what, call)                                             \
	do {                                                                   \
		struct vdo_error *e = &said;                                   \
                                                                               \
		memset(&said, 0, sizeof(said));                                \
		ck_assert_int_eq(call, -EINVAL);                               \
		ck_assert_int_eq(said.code, -EINVAL);                          \
		ck_assert_ptr_nonnull(strstr(said.message, what));             \
		e = NULL;                                                      \
		ck_assert_int_eq(call, -EINVAL);                               \
	} while (0)

static struct vdo_error said;

static void callback(void *arg, int result)
{
}

START_TEST(test_config)
{
	const struct vdo_pool_ops no_submit = {.size = sizeof(no_submit)};
	struct vdo_config *c;
	uint64_t bytes;

	REFUSED(vdo_config_new(NULL));
	ck_assert_int_eq(vdo_config_new(&c), 0);
	REFUSED_SAYING("config", vdo_config_set(NULL, "depth", "16", e));
	ck_assert_int_eq(vdo_config_set(c, NULL, "16", &said), -VDO_EOPTION);
	ck_assert_int_eq(vdo_config_set(c, "depth", NULL, &said), -VDO_EVALUE);
	ck_assert_ptr_null(vdo_config_get(NULL, "depth"));
	ck_assert_ptr_null(vdo_config_get(c, NULL));
	ck_assert_ptr_null(vdo_config_describe(SIZE_MAX));
	vdo_config_set_log(NULL, NULL, NULL);
	vdo_config_set_log(c, NULL, NULL);
	REFUSED(vdo_config_set_pool(NULL, &no_submit, NULL));
	REFUSED(vdo_config_set_pool(c, NULL, NULL));
	REFUSED(vdo_config_set_pool(c, &no_submit, NULL));
	REFUSED(vdo_size_parse(NULL, &bytes));
	REFUSED(vdo_size_parse("1", NULL));
	vdo_config_free(c);
	vdo_config_free(NULL);
	ck_assert_str_ne(vdo_strerror(INT_MIN), "");
	ck_assert_str_ne(vdo_error_name(INT_MIN), "");
	ck_assert_ptr_nonnull(vdo_version());
}
END_TEST

START_TEST(test_device)
{
	struct vdo_device *d = (struct vdo_device *)&said;
	struct vdo_device_ops ops = {.size = sizeof(ops)};

	REFUSED_SAYING("path", vdo_device_open(NULL, 0, &d, e));
	ck_assert_ptr_null(d);
	REFUSED_SAYING("flags 0x8 ", vdo_device_open("/dev/null", 9, &d, e));
	ck_assert_ptr_null(d);
	REFUSED_SAYING("device", vdo_device_open("/dev/null", 0, NULL, e));
	d = (struct vdo_device *)&said;
	REFUSED_SAYING("path", vdo_device_open_config(NULL, NULL, &d, e));
	ck_assert_ptr_null(d);
	REFUSED_SAYING("device",
		       vdo_device_open_config("/dev/null", NULL, NULL, e));
	REFUSED(vdo_device_open_memory(B, NULL));
	REFUSED(vdo_device_open_custom(NULL, NULL, &d));
	REFUSED(vdo_device_open_custom(&ops, NULL, &d));
	REFUSED(vdo_device_open_custom(&ops, NULL, NULL));
	ck_assert_uint_eq(vdo_device_size(NULL), 0);
	vdo_device_close(NULL);
}
END_TEST

static int no_extent(void *arg, const struct vdo_extent *e)
{
	return 0;
}

static int no_change(void *arg, const struct vdo_change *c)
{
	return 0;
}

START_TEST(test_map)
{
	REFUSED(vdo_map_extents(NULL, 0, 0, 0, no_extent, NULL));
	REFUSED(vdo_map_changes(NULL, 0, 0, 0, 0, no_change, NULL));
	ck_assert_str_eq(vdo_map_kind_name((enum vdo_map_kind)-1), "unknown");
}
END_TEST

static int no_sub(void *arg, const struct vdo_sub *s)
{
	return 0;
}

static int no_place(void *arg, const struct vdo_sub_extent *e)
{
	return 0;
}

/* Also without a name, or a place for the result. */
START_TEST(test_sub)
{
	struct vdo_sub_usage usage;
	struct vdo_volume *v, *sub;
	struct fixture f;

	REFUSED_SAYING("volume", vdo_sub_create(NULL, "a", 4096, e));
	REFUSED_SAYING("volume", vdo_sub_open(NULL, "a", 0, &v, e));
	REFUSED_SAYING("volume", vdo_sub_resize(NULL, "a", 4096, e));
	REFUSED_SAYING("volume", vdo_sub_rename(NULL, "a", "b", e));
	REFUSED_SAYING("volume", vdo_sub_remove(NULL, "a", e));
	REFUSED_SAYING("volume", vdo_sub_snapshot(NULL, "a", "b", e));
	REFUSED_SAYING("volume", vdo_sub_clone(NULL, "a", "b", e));
	REFUSED_SAYING("volume", vdo_sub_list(NULL, no_sub, NULL, e));
	REFUSED_SAYING("volume",
		       vdo_sub_stat(NULL, "a", &usage, sizeof(usage), e));
	REFUSED_SAYING("volume", vdo_sub_places(NULL, "a", no_place, NULL, e));
	REFUSED(vdo_sub_copy(NULL, 0, NULL, 0, 0, 0));
	REFUSED(vdo_sub_changes(NULL, NULL, 0, no_change, NULL));
	fixture_init(&f, KIND_INLINE, "logical-size=32M");
	fixture_open(&f, "");
	v = f.volume;
	REFUSED_SAYING("name", vdo_sub_create(v, NULL, 4096, e));
	ck_assert_int_eq(vdo_sub_create(v, "a", 4096, NULL), 0);
	memset(f.unknown, true, f.logical_blocks);
	REFUSED_SAYING("name", vdo_sub_open(v, NULL, 0, &sub, e));
	REFUSED_SAYING("sub", vdo_sub_open(v, "a", 0, NULL, e));
	REFUSED_SAYING("name", vdo_sub_resize(v, NULL, 4096, e));
	REFUSED_SAYING("name", vdo_sub_rename(v, NULL, "b", e));
	REFUSED_SAYING("name", vdo_sub_rename(v, "a", NULL, e));
	REFUSED_SAYING("name", vdo_sub_remove(v, NULL, e));
	REFUSED_SAYING("name", vdo_sub_snapshot(v, NULL, "b", e));
	REFUSED_SAYING("name", vdo_sub_snapshot(v, "a", NULL, e));
	REFUSED_SAYING("name", vdo_sub_clone(v, NULL, "b", e));
	REFUSED_SAYING("callback", vdo_sub_list(v, NULL, NULL, e));
	REFUSED_SAYING("name", vdo_sub_stat(v, NULL, &usage, 0, e));
	REFUSED_SAYING("usage", vdo_sub_stat(v, "a", NULL, 0, e));
	REFUSED_SAYING("name", vdo_sub_places(v, NULL, no_place, NULL, e));
	REFUSED_SAYING("callback", vdo_sub_places(v, "a", NULL, NULL, e));
	ck_assert_int_eq(vdo_sub_open(v, "a", 0, &sub, NULL), 0);
	REFUSED(vdo_sub_copy(NULL, 0, sub, 0, 0, 0));
	REFUSED(vdo_sub_copy(sub, 0, NULL, 0, 0, 0));
	REFUSED(vdo_sub_changes(sub, NULL, 0, no_change, NULL));
	REFUSED(vdo_sub_changes(NULL, sub, 0, no_change, NULL));
	REFUSED(vdo_sub_changes(sub, sub, 0, NULL, NULL));
	ck_assert_int_eq(vdo_close(sub), 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_life)
{
	struct vdo_volume *v = (struct vdo_volume *)&said;
	struct vdo_info info;
	struct vdo_plan plan;
	struct vdo_check_report report;
	struct vdo_trimmed trimmed;
	struct vdo_usage usage;
	struct vdo_savings savings;
	struct vdo_rebuilt rebuilt;
	struct vdo_job *job;
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_memory(8 << 20, &d), 0);
	REFUSED_SAYING("path", vdo_format(NULL, NULL, e));
	REFUSED_SAYING("device", vdo_format_device(NULL, NULL, e));
	REFUSED_SAYING("plan", vdo_format_plan(NULL, NULL, NULL, 8, e));
	REFUSED_SAYING("device",
		       vdo_format_plan_device(NULL, NULL, &plan, 8, e));
	REFUSED_SAYING("plan", vdo_format_plan_device(d, NULL, NULL, 8, e));
	REFUSED_SAYING("estimate", vdo_estimate(NULL, NULL, NULL, 8, e));
	REFUSED_SAYING("device", vdo_estimate_device(NULL, NULL, NULL, 8, e));
	REFUSED_SAYING("estimate", vdo_estimate_device(d, NULL, NULL, 8, e));
	REFUSED_SAYING("path", vdo_open(NULL, NULL, &v, e));
	ck_assert_ptr_null(v);
	REFUSED_SAYING("volume", vdo_open("/dev/null", NULL, NULL, e));
	REFUSED_SAYING("device", vdo_open_device(NULL, NULL, &v, e));
	REFUSED_SAYING("volume", vdo_open_device(d, NULL, NULL, e));
	REFUSED_SAYING("job", vdo_open_start("/dev/null", NULL, NULL, e));
	REFUSED_SAYING("path", vdo_open_start(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_open_device_start(d, NULL, NULL, e));
	REFUSED_SAYING("device", vdo_open_device_start(NULL, NULL, &job, e));
	ck_assert_ptr_null(job);
	REFUSED(vdo_opened_get(NULL, &v));
	REFUSED(vdo_opened_get(NULL, NULL));
	REFUSED_SAYING("path", vdo_inspect(NULL, &info, sizeof(info), e));
	REFUSED_SAYING("info", vdo_inspect("/dev/null", NULL, 8, e));
	REFUSED_SAYING("device", vdo_inspect_device(NULL, &info, 8, e));
	REFUSED_SAYING("info", vdo_inspect_device(d, NULL, 8, e));
	REFUSED_SAYING("job", vdo_check("/dev/null", NULL, 0, NULL, NULL, NULL,
					NULL, e));
	REFUSED_SAYING("path", vdo_check(NULL, NULL, 0, NULL, NULL, NULL, &job,
					 e));
	REFUSED_SAYING("job", vdo_check_device(d, NULL, 0, NULL, NULL, NULL,
					       NULL, e));
	REFUSED_SAYING("device", vdo_check_device(NULL, NULL, 0, NULL, NULL,
						  NULL, &job, e));
	REFUSED_SAYING("undo", vdo_check_device(d, NULL, VDO_CHECK_REPAIR, NULL,
						NULL, NULL, &job, e));
	REFUSED(vdo_check_report_get(NULL, &report, sizeof(report)));
	REFUSED_SAYING("path", vdo_check_undo(NULL, NULL, "/dev/null", NULL,
					      e));
	REFUSED_SAYING("undo", vdo_check_undo("/dev/null", NULL, NULL, NULL,
					      e));
	REFUSED_SAYING("device", vdo_check_undo_device(NULL, d, NULL, e));
	REFUSED_SAYING("undo", vdo_check_undo_device(d, NULL, NULL, e));
	ck_assert_ptr_null(vdo_check_name((enum vdo_check_code)1000));
	ck_assert_ptr_null(vdo_check_structure((enum vdo_check_code)1000));
	ck_assert_ptr_null(vdo_check_text((enum vdo_check_code)1000));
	ck_assert_int_eq(vdo_check_severity((enum vdo_check_code)1000), 0);
	ck_assert_int_eq(vdo_check_mend((enum vdo_check_code)1000), 0);
	ck_assert_ptr_null(vdo_check_severity_name(
		(enum vdo_check_severity)1000));
	REFUSED_SAYING("job", vdo_trim("/dev/null", NULL, NULL, e));
	REFUSED_SAYING("path", vdo_trim(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_trim_device(d, NULL, NULL, e));
	REFUSED_SAYING("device", vdo_trim_device(NULL, NULL, &job, e));
	REFUSED(vdo_trimmed_get(NULL, &trimmed, sizeof(trimmed)));
	REFUSED_SAYING("path", vdo_usage_inspect(NULL, &usage, 8, e));
	REFUSED_SAYING("usage", vdo_usage_inspect("/dev/null", NULL, 8, e));
	REFUSED_SAYING("device", vdo_usage_inspect_device(NULL, &usage, 8, e));
	REFUSED_SAYING("usage", vdo_usage_inspect_device(d, NULL, 8, e));
	REFUSED_SAYING("job", vdo_usage_count("/dev/null", NULL, 0, NULL, e));
	REFUSED_SAYING("path", vdo_usage_count(NULL, NULL, 0, &job, e));
	REFUSED_SAYING("job", vdo_usage_count_device(d, NULL, 0, NULL, e));
	REFUSED_SAYING("device",
		       vdo_usage_count_device(NULL, NULL, 0, &job, e));
	REFUSED_SAYING("flags", vdo_usage_count_device(d, NULL, 2, &job, e));
	ck_assert_ptr_null(job);
	REFUSED(vdo_usage_get(NULL, &usage, sizeof(usage)));
	REFUSED_SAYING("job", vdo_savings("/dev/null", NULL, NULL, 0, NULL, e));
	REFUSED_SAYING("path", vdo_savings(NULL, NULL, NULL, 0, &job, e));
	REFUSED_SAYING("job", vdo_savings_device(d, NULL, NULL, 0, NULL, e));
	REFUSED_SAYING("device",
		       vdo_savings_device(NULL, NULL, NULL, 0, &job, e));
	REFUSED_SAYING("flags", vdo_savings_device(d, NULL, NULL, 4, &job, e));
	ck_assert_ptr_null(job);
	REFUSED(vdo_savings_get(NULL, &savings, sizeof(savings)));
	REFUSED_SAYING("job", vdo_rebuild("/dev/null", NULL, 0, NULL, e));
	REFUSED_SAYING("path", vdo_rebuild(NULL, NULL, 0, &job, e));
	REFUSED_SAYING("job", vdo_rebuild_device(d, NULL, 0, NULL, e));
	REFUSED_SAYING("device", vdo_rebuild_device(NULL, NULL, 0, &job, e));
	REFUSED_SAYING("flags", vdo_rebuild_device(d, NULL, 2, &job, e));
	ck_assert_ptr_null(job);
	REFUSED(vdo_rebuilt_get(NULL, &rebuilt, sizeof(rebuilt)));
	REFUSED_SAYING("path", vdo_mark_read_only(NULL, e));
	REFUSED_SAYING("device", vdo_mark_read_only_device(NULL, e));
	ck_assert_int_eq(vdo_close(NULL), 0);
	vdo_abandon(NULL);
	vdo_device_close(d);
}
END_TEST

START_TEST(test_volume)
{
	struct vdo_stats *stats;
	struct fixture f;

	REFUSED_SAYING("volume", vdo_volume_read_only_reason(NULL, e));
	ck_assert_uint_eq(vdo_volume_size(NULL), 0);
	ck_assert_uint_eq(vdo_volume_alignment(NULL), 0);
	ck_assert(vdo_volume_is_read_only(NULL));
	REFUSED(vdo_poll(NULL, 0));
	REFUSED(vdo_volume_fd(NULL));
	REFUSED_SAYING("volume", vdo_volume_set(NULL, "compression", "on", e));
	REFUSED(vdo_stats_get(NULL, &stats));
	REFUSED(vdo_space_retry(NULL));
	REFUSED(vdo_space_watch(NULL, NULL, 0, NULL, NULL));
	REFUSED(vdo_suspend(NULL, true));
	REFUSED(vdo_resume(NULL));
	REFUSED_SAYING("volume", vdo_grow(NULL, 0, 0, e));
	ck_assert_uint_eq(vdo_stats_count(NULL), 0);
	ck_assert_ptr_null(vdo_stats_at(NULL, 0));
	ck_assert_uint_eq(vdo_stats_value(NULL, "mode"), 0);
	vdo_stats_free(NULL);
	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	REFUSED(vdo_stats_get(f.volume, NULL));
	ck_assert_int_eq(vdo_stats_get(f.volume, &stats), 0);
	ck_assert_uint_eq(vdo_stats_value(stats, NULL), 0);
	vdo_stats_free(stats);
	ck_assert_int_eq(vdo_volume_set(f.volume, NULL, "on", &said),
			 -VDO_EOPTION);
	ck_assert_int_eq(vdo_volume_set(f.volume, "compression", NULL, &said),
			 -VDO_EVALUE);
	fixture_fini(&f);
}
END_TEST

static void without_a_volume(void)
{
	struct iovec iov = {&said, 0};
	char buf[1];

	REFUSED(vdo_pread(NULL, buf, 0, 0, 0));
	REFUSED(vdo_pwrite(NULL, buf, 0, 0, 0));
	REFUSED(vdo_preadv(NULL, &iov, 1, 0, 0));
	REFUSED(vdo_pwritev(NULL, &iov, 1, 0, 0));
	REFUSED(vdo_flush(NULL, 0));
	REFUSED(vdo_discard(NULL, 0, 0, 0));
	REFUSED(vdo_write_zeroes(NULL, 0, 0, 0));
	REFUSED(vdo_copy_range(NULL, 0, 0, 0, 0));
	REFUSED(vdo_aio_pread(NULL, buf, 0, 0, callback, NULL, 0));
	REFUSED(vdo_aio_pwrite(NULL, buf, 0, 0, callback, NULL, 0));
	REFUSED(vdo_aio_preadv(NULL, &iov, 1, 0, callback, NULL, 0));
	REFUSED(vdo_aio_pwritev(NULL, &iov, 1, 0, callback, NULL, 0));
	REFUSED(vdo_aio_flush(NULL, callback, NULL, 0));
	REFUSED(vdo_aio_discard(NULL, 0, 0, callback, NULL, 0));
	REFUSED(vdo_aio_write_zeroes(NULL, 0, 0, callback, NULL, 0));
	REFUSED(vdo_aio_copy_range(NULL, 0, 0, 0, callback, NULL, 0));
	REFUSED(vdo_aio_submit(NULL, &(struct vdo_op){0}, 1));
	REFUSED(vdo_aio_submit(NULL, NULL, 0));
}

static void without_a_callback(struct vdo_volume *v)
{
	struct iovec iov = {&said, 0};
	char buf[1];

	REFUSED(vdo_aio_pread(v, buf, 0, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_pwrite(v, buf, 0, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_preadv(v, &iov, 1, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_pwritev(v, &iov, 1, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_flush(v, NULL, NULL, 0));
	REFUSED(vdo_aio_discard(v, 0, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_write_zeroes(v, 0, 0, NULL, NULL, 0));
	REFUSED(vdo_aio_copy_range(v, 0, 0, 0, NULL, NULL, 0));
}

#define FAULT(call) ck_assert_int_eq(call, -EFAULT)

static void without_data(struct vdo_volume *v)
{
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 1);
	struct iovec iov[] = {{buf, B}, {NULL, B}};

	FAULT(vdo_pread(v, NULL, B, 0, 0));
	FAULT(vdo_pwrite(v, NULL, B, 0, 0));
	FAULT(vdo_preadv(v, iov, 2, 0, 0));
	FAULT(vdo_pwritev(v, iov, 2, 0, 0));
	FAULT(vdo_aio_pread(v, NULL, B, 0, callback, NULL, 0));
	FAULT(vdo_aio_pwrite(v, NULL, B, 0, callback, NULL, 0));
	FAULT(vdo_aio_preadv(v, iov, 2, 0, callback, NULL, 0));
	FAULT(vdo_aio_pwritev(v, iov, 2, 0, callback, NULL, 0));
	REFUSED(vdo_preadv(v, NULL, 1, 0, 0));
	REFUSED(vdo_pwritev(v, NULL, 1, 0, 0));
	/* Nothing is needed for nothing. */
	ck_assert_int_eq(vdo_pread(v, NULL, 0, 0, 0), 0);
	ck_assert_int_eq(vdo_pwritev(v, NULL, 0, 0, 0), 0);
	free(buf);
}

START_TEST(test_io)
{
	struct fixture f;

	without_a_volume();
	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	without_a_callback(f.volume);
	without_data(f.volume);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_cq)
{
	struct vdo_cq_entry *entry, none = {0};
	struct vdo_cq *q;

	REFUSED(vdo_cq_new(NULL));
	ck_assert_int_eq(vdo_cq_new(&q), 0);
	REFUSED(vdo_cq_fd(NULL));
	ck_assert_uint_eq(vdo_cq_reap(NULL, &entry, 1), 0);
	ck_assert_uint_eq(vdo_cq_reap(q, NULL, 1), 0);
	vdo_cq_complete(NULL, 0);
	vdo_cq_complete(&none, 0);
	vdo_cq_free(q);
	vdo_cq_free(NULL);
}
END_TEST

START_TEST(test_index)
{
	struct vdo_index_rebuilt rebuilt;
	struct vdo_job_progress progress;
	struct vdo_index_report report;
	struct vdo_index_info info;
	struct vdo_device *d;
	struct vdo_job *job;

	ck_assert_int_eq(vdo_device_open_memory(8 << 20, &d), 0);
	REFUSED_SAYING("path", vdo_index_inspect(NULL, &info, 8, e));
	REFUSED_SAYING("info", vdo_index_inspect("/dev/null", NULL, 8, e));
	REFUSED_SAYING("device", vdo_index_inspect_device(NULL, &info, 8, e));
	REFUSED_SAYING("info", vdo_index_inspect_device(d, NULL, 8, e));
	REFUSED_SAYING("path", vdo_index_verify(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_index_verify("/dev/null", NULL, NULL, e));
	REFUSED_SAYING("device", vdo_index_verify_device(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_index_verify_device(d, NULL, NULL, e));
	REFUSED_SAYING("path", vdo_index_rebuild(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_index_rebuild("/dev/null", NULL, NULL, e));
	REFUSED_SAYING("device", vdo_index_rebuild_device(NULL, NULL, &job, e));
	REFUSED_SAYING("job", vdo_index_rebuild_device(d, NULL, NULL, e));
	REFUSED(vdo_index_report_get(NULL, &report, sizeof(report)));
	REFUSED(vdo_index_rebuilt_get(NULL, &rebuilt, sizeof(rebuilt)));
	ck_assert_ptr_null(vdo_index_state_name((enum vdo_index_state)99));
	ck_assert_ptr_null(vdo_index_fault_name(VDO_INDEX_FAULT_KINDS));
	vdo_job_progress(NULL, &progress, sizeof(progress));
	ck_assert_uint_eq(progress.total, 0);
	vdo_job_progress(NULL, NULL, 0);
	REFUSED_SAYING("job", vdo_job_wait(NULL, 0, e));
	vdo_job_cancel(NULL);
	vdo_job_free(NULL);
	vdo_device_close(d);
}
END_TEST

START_TEST(test_results_of_jobs)
{
	struct vdo_job *verify, *rebuild;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "size=64M index-memory=2M");
	fixture_open(&f, "index-wait=on");
	fixture_close(&f);
	f.device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_index_verify_device(f.device, NULL, &verify, NULL),
			 0);
	ck_assert_int_eq(vdo_job_wait(verify, -1, NULL), 0);
	REFUSED(vdo_index_report_get(verify, NULL, 8));
	vdo_job_progress(verify, NULL, 8);
	vdo_job_free(verify);
	ck_assert_int_eq(vdo_index_rebuild_device(f.device, NULL, &rebuild,
						  NULL),
			 0);
	ck_assert_int_eq(vdo_job_wait(rebuild, -1, NULL), 0);
	REFUSED(vdo_index_rebuilt_get(rebuild, NULL, 8));
	vdo_job_free(rebuild);
	vdo_device_close(f.device);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("nothing where something is needed");

	tcase_add_test(tc, test_config);
	tcase_add_test(tc, test_device);
	tcase_add_test(tc, test_map);
	tcase_add_test(tc, test_sub);
	tcase_add_test(tc, test_life);
	tcase_add_test(tc, test_volume);
	tcase_add_test(tc, test_io);
	tcase_add_test(tc, test_cq);
	tcase_add_test(tc, test_index);
	tcase_add_test(tc, test_results_of_jobs);
	return unit_run();
}
