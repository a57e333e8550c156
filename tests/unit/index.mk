# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_index_geometry
TESTS += tests/unit/test_index_geometry
tests_unit_test_index_geometry_SOURCES = tests/unit/test_index_geometry.c
tests_unit_test_index_geometry_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_delta
TESTS += tests/unit/test_index_delta
tests_unit_test_index_delta_SOURCES = tests/unit/test_index_delta.c \
	tests/unit/golden.h tests/lib/golden_files.h
tests_unit_test_index_delta_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_chapter
TESTS += tests/unit/test_index_chapter
tests_unit_test_index_chapter_SOURCES = tests/unit/test_index_chapter.c \
	tests/unit/golden.h tests/unit/index_names.h
tests_unit_test_index_chapter_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_layout
TESTS += tests/unit/test_index_layout
tests_unit_test_index_layout_SOURCES = tests/unit/test_index_layout.c \
	tests/unit/golden.h
tests_unit_test_index_layout_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_golden
TESTS += tests/unit/test_index_golden
tests_unit_test_index_golden_SOURCES = tests/unit/test_index_golden.c \
	tests/unit/index_play.c tests/unit/index_play.h \
	tests/unit/index_rig.c tests/unit/index_rig.h tests/unit/golden.h \
	tests/unit/index_names.h tests/lib/golden_files.h
tests_unit_test_index_golden_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_model
TESTS += tests/unit/test_index_model
tests_unit_test_index_model_SOURCES = tests/unit/test_index_model.c \
	tests/unit/index_rig.c tests/unit/index_rig.h \
	tests/unit/index_names.h
tests_unit_test_index_model_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/bench/index-bench
tests_bench_index_bench_SOURCES = tests/bench/index-bench.c \
	tests/bench/bench.h tests/lib/histogram.c tests/lib/histogram.h
tests_bench_index_bench_LDADD = lib/libcore.la

check_PROGRAMS += tests/unit/test_index_threads
TESTS += tests/unit/test_index_threads
tests_unit_test_index_threads_SOURCES = tests/unit/test_index_threads.c \
	tests/unit/index_rig.c tests/unit/index_rig.h \
	tests/unit/index_names.h
tests_unit_test_index_threads_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_damage
TESTS += tests/unit/test_index_damage
tests_unit_test_index_damage_SOURCES = tests/unit/test_index_damage.c \
	tests/unit/index_rig.c tests/unit/index_rig.h \
	tests/unit/index_names.h
tests_unit_test_index_damage_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_verify
TESTS += tests/unit/test_index_verify
tests_unit_test_index_verify_SOURCES = tests/unit/test_index_verify.c \
	tests/unit/index_rig.c tests/unit/index_rig.h \
	tests/unit/index_names.h tests/lib/golden_files.h
tests_unit_test_index_verify_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_index_inspect
TESTS += tests/unit/test_index_inspect
tests_unit_test_index_inspect_SOURCES = tests/unit/test_index_inspect.c \
	tests/unit/index_play.c tests/unit/index_play.h \
	tests/unit/index_rig.c tests/unit/index_rig.h tests/unit/golden.h \
	tests/unit/index_names.h tests/lib/golden_files.h
tests_unit_test_index_inspect_LDADD = $(UNIT_LIBS)
