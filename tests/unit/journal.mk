# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_journal
TESTS += tests/unit/test_journal
tests_unit_test_journal_SOURCES = tests/unit/test_journal.c \
	tests/unit/journal_rig.c tests/unit/journal_rig.h
tests_unit_test_journal_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_journal_sane
TESTS += tests/unit/test_journal_sane
tests_unit_test_journal_sane_SOURCES = tests/unit/test_journal_sane.c \
	tests/unit/journal_rig.c tests/unit/journal_rig.h
tests_unit_test_journal_sane_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_journal_threads
TESTS += tests/unit/test_journal_threads
tests_unit_test_journal_threads_SOURCES = tests/unit/test_journal_threads.c
tests_unit_test_journal_threads_LDADD = $(UNIT_LIBS)
