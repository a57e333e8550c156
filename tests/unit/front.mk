# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_front
TESTS += tests/unit/test_front
tests_unit_test_front_SOURCES = tests/unit/test_front.c \
	tests/unit/hand_queue.h
tests_unit_test_front_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_stages
TESTS += tests/unit/test_stages
tests_unit_test_stages_SOURCES = tests/unit/test_stages.c
tests_unit_test_stages_LDADD = $(UNIT_LIBS)
