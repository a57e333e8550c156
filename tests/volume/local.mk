# SPDX-License-Identifier: BSD-2-Clause
# Whole volumes on the simulated device, on each executor.
if HAVE_CHECK
tests_lib_libtest_la_SOURCES += \
	tests/lib/fixture.c tests/lib/fixture.h \
	tests/lib/image.c tests/lib/image.h tests/lib/image_check.c \
	tests/lib/model.c tests/lib/model.h \
	tests/lib/pattern.c tests/lib/pattern.h

VOLUME_TESTS = \
	tests/volume/test_advice \
	tests/volume/test_async \
	tests/volume/test_bounds \
	tests/volume/test_budget \
	tests/volume/test_check \
	tests/volume/test_compress \
	tests/volume/test_copy \
	tests/volume/test_dedupe \
	tests/volume/test_descriptors \
	tests/volume/test_device_thread \
	tests/volume/test_errors \
	tests/volume/test_fill \
	tests/volume/test_format \
	tests/volume/test_full \
	tests/volume/test_gone \
	tests/volume/test_help \
	tests/volume/test_index \
	tests/volume/test_io \
	tests/volume/test_lies \
	tests/volume/test_map \
	tests/volume/test_memory \
	tests/volume/test_nth \
	tests/volume/test_null \
	tests/volume/test_open \
	tests/volume/test_open_job \
	tests/volume/test_read_only \
	tests/volume/test_rebuild \
	tests/volume/test_reclaim \
	tests/volume/test_recovery \
	tests/volume/test_recovery_journal \
	tests/volume/test_short_threads \
	tests/volume/test_signals \
	tests/volume/test_sub \
	tests/volume/test_ahead \
	tests/volume/test_range tests/volume/test_space \
	tests/volume/test_submit \
	tests/volume/test_grow \
	tests/volume/test_suspend \
	tests/volume/test_trim \
	tests/volume/test_savings \
	tests/volume/test_usage \
	tests/volume/test_threads \
	tests/volume/test_volume_fd \
	tests/volume/test_zones
check_PROGRAMS += $(VOLUME_TESTS)
TESTS += $(VOLUME_TESTS)
tests_volume_test_budget_SOURCES = %D%/test_budget.c
tests_volume_test_budget_LDADD = $(UNIT_LIBS)
tests_volume_test_reclaim_SOURCES = %D%/test_reclaim.c
tests_volume_test_reclaim_LDADD = $(UNIT_LIBS)
tests_volume_test_help_SOURCES = %D%/test_help.c
tests_volume_test_help_LDADD = $(UNIT_LIBS)
tests_volume_test_io_SOURCES = %D%/test_io.c
tests_volume_test_io_LDADD = $(UNIT_LIBS)
tests_volume_test_async_SOURCES = %D%/test_async.c
tests_volume_test_async_LDADD = $(UNIT_LIBS)
tests_volume_test_submit_SOURCES = %D%/test_submit.c
tests_volume_test_submit_LDADD = $(UNIT_LIBS)
tests_volume_test_dedupe_SOURCES = %D%/test_dedupe.c
tests_volume_test_dedupe_LDADD = $(UNIT_LIBS)
tests_volume_test_lies_SOURCES = %D%/test_lies.c
tests_volume_test_lies_LDADD = $(UNIT_LIBS)
tests_volume_test_map_SOURCES = %D%/test_map.c
tests_volume_test_map_LDADD = $(UNIT_LIBS)
tests_volume_test_check_SOURCES = %D%/test_check.c
tests_volume_test_check_LDADD = $(UNIT_LIBS)
tests_volume_test_compress_SOURCES = %D%/test_compress.c
tests_volume_test_compress_LDADD = $(UNIT_LIBS)
tests_volume_test_sub_SOURCES = %D%/test_sub.c
tests_volume_test_sub_LDADD = $(UNIT_LIBS)
tests_volume_test_copy_SOURCES = %D%/test_copy.c
tests_volume_test_copy_LDADD = $(UNIT_LIBS)
tests_volume_test_range_SOURCES = %D%/test_range.c
tests_volume_test_range_LDADD = $(UNIT_LIBS)
tests_volume_test_ahead_SOURCES = %D%/test_ahead.c
tests_volume_test_ahead_LDADD = $(UNIT_LIBS)
tests_volume_test_fill_SOURCES = %D%/test_fill.c
tests_volume_test_fill_LDADD = $(UNIT_LIBS)
tests_volume_test_space_SOURCES = %D%/test_space.c
tests_volume_test_space_LDADD = $(UNIT_LIBS)
tests_volume_test_errors_SOURCES = %D%/test_errors.c
tests_volume_test_errors_LDADD = $(UNIT_LIBS)
tests_volume_test_descriptors_SOURCES = %D%/test_descriptors.c
tests_volume_test_descriptors_LDADD = $(UNIT_LIBS)
tests_volume_test_signals_SOURCES = %D%/test_signals.c
tests_volume_test_signals_LDADD = $(UNIT_LIBS)
tests_volume_test_short_threads_SOURCES = %D%/test_short_threads.c
tests_volume_test_short_threads_LDADD = $(UNIT_LIBS)
tests_volume_test_threads_SOURCES = %D%/test_threads.c
tests_volume_test_threads_LDADD = $(UNIT_LIBS)
tests_volume_test_volume_fd_SOURCES = %D%/test_volume_fd.c
tests_volume_test_volume_fd_LDADD = $(UNIT_LIBS)
tests_volume_test_zones_SOURCES = %D%/test_zones.c
tests_volume_test_zones_LDADD = $(UNIT_LIBS)
tests_volume_test_open_SOURCES = %D%/test_open.c
tests_volume_test_open_LDADD = $(UNIT_LIBS)
tests_volume_test_open_job_SOURCES = %D%/test_open_job.c
tests_volume_test_open_job_LDADD = $(UNIT_LIBS)
tests_volume_test_read_only_SOURCES = %D%/test_read_only.c
tests_volume_test_read_only_LDADD = $(UNIT_LIBS)
tests_volume_test_rebuild_SOURCES = %D%/test_rebuild.c
tests_volume_test_rebuild_LDADD = $(UNIT_LIBS)
tests_volume_test_bounds_SOURCES = %D%/test_bounds.c \
	tests/fuzz/fuzz.h tests/fuzz/overlay.c tests/fuzz/overlay.h
tests_volume_test_bounds_LDADD = $(UNIT_LIBS)
tests_volume_test_nth_SOURCES = %D%/test_nth.c
tests_volume_test_nth_LDADD = $(UNIT_LIBS)
tests_volume_test_null_SOURCES = %D%/test_null.c
tests_volume_test_null_LDADD = $(UNIT_LIBS)
tests_volume_test_index_SOURCES = %D%/test_index.c
tests_volume_test_index_LDADD = $(UNIT_LIBS)
tests_volume_test_advice_SOURCES = %D%/test_advice.c \
	tests/unit/index_rig.c tests/unit/index_rig.h \
	tests/unit/index_names.h
tests_volume_test_advice_LDADD = $(UNIT_LIBS)
tests_volume_test_device_thread_SOURCES = %D%/test_device_thread.c
tests_volume_test_device_thread_LDADD = $(UNIT_LIBS)
tests_volume_test_memory_SOURCES = %D%/test_memory.c
tests_volume_test_memory_LDADD = $(UNIT_LIBS)
tests_volume_test_format_SOURCES = %D%/test_format.c
tests_volume_test_format_LDADD = $(UNIT_LIBS)
tests_volume_test_gone_SOURCES = %D%/test_gone.c
tests_volume_test_gone_LDADD = $(UNIT_LIBS)
tests_volume_test_recovery_SOURCES = %D%/test_recovery.c
tests_volume_test_recovery_LDADD = $(UNIT_LIBS)
tests_volume_test_recovery_journal_SOURCES = %D%/test_recovery_journal.c
tests_volume_test_recovery_journal_LDADD = $(UNIT_LIBS)
tests_volume_test_trim_SOURCES = %D%/test_trim.c
tests_volume_test_trim_LDADD = $(UNIT_LIBS)
tests_volume_test_savings_SOURCES = %D%/test_savings.c
tests_volume_test_savings_LDADD = $(UNIT_LIBS)
tests_volume_test_usage_SOURCES = %D%/test_usage.c
tests_volume_test_usage_LDADD = $(UNIT_LIBS)
tests_volume_test_full_SOURCES = %D%/test_full.c
tests_volume_test_full_LDADD = $(UNIT_LIBS)
tests_volume_test_grow_SOURCES = %D%/test_grow.c
tests_volume_test_grow_LDADD = $(UNIT_LIBS)
tests_volume_test_suspend_SOURCES = %D%/test_suspend.c
tests_volume_test_suspend_LDADD = $(UNIT_LIBS)
endif
