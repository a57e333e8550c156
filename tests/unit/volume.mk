# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_super_writer
TESTS += tests/unit/test_super_writer
tests_unit_test_super_writer_SOURCES = tests/unit/test_super_writer.c
tests_unit_test_super_writer_LDADD = $(UNIT_LIBS)
