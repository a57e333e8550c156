# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_forest
TESTS += tests/unit/test_forest
tests_unit_test_forest_SOURCES = tests/unit/test_forest.c
tests_unit_test_forest_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_map
TESTS += tests/unit/test_map
tests_unit_test_map_SOURCES = tests/unit/test_map.c \
	tests/unit/map_fixture.c tests/unit/map_fixture.h
tests_unit_test_map_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_map_cache
TESTS += tests/unit/test_map_cache
tests_unit_test_map_cache_SOURCES = tests/unit/test_map_cache.c \
	tests/unit/map_fixture.c tests/unit/map_fixture.h
tests_unit_test_map_cache_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_tree
TESTS += tests/unit/test_tree
tests_unit_test_tree_SOURCES = tests/unit/test_tree.c \
	tests/unit/map_fixture.c tests/unit/map_fixture.h
tests_unit_test_tree_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_map_threads
TESTS += tests/unit/test_map_threads
tests_unit_test_map_threads_SOURCES = tests/unit/test_map_threads.c
tests_unit_test_map_threads_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_map_sane
TESTS += tests/unit/test_map_sane
tests_unit_test_map_sane_SOURCES = tests/unit/test_map_sane.c \
	tests/unit/map_fixture.c tests/unit/map_fixture.h
tests_unit_test_map_sane_LDADD = $(UNIT_LIBS)
