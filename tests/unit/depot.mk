# SPDX-License-Identifier: BSD-2-Clause
# The depot's tests share a fixture, which stands in for the journal below it.
DEPOT_FIXTURE = tests/unit/depot_fixture.c tests/unit/depot_fixture.h

check_PROGRAMS += tests/unit/test_pbnlock
TESTS += tests/unit/test_pbnlock
tests_unit_test_pbnlock_SOURCES = tests/unit/test_pbnlock.c $(DEPOT_FIXTURE)
tests_unit_test_pbnlock_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_reclaim
TESTS += tests/unit/test_depot_reclaim
tests_unit_test_depot_reclaim_SOURCES = \
	tests/unit/test_depot_reclaim.c $(DEPOT_FIXTURE)
tests_unit_test_depot_reclaim_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_refs
TESTS += tests/unit/test_refs
tests_unit_test_refs_SOURCES = tests/unit/test_refs.c $(DEPOT_FIXTURE)
tests_unit_test_refs_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_slabjournal
TESTS += tests/unit/test_slabjournal
tests_unit_test_slabjournal_SOURCES = \
	tests/unit/test_slabjournal.c $(DEPOT_FIXTURE)
tests_unit_test_slabjournal_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_summary
TESTS += tests/unit/test_summary
tests_unit_test_summary_SOURCES = tests/unit/test_summary.c $(DEPOT_FIXTURE)
tests_unit_test_summary_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot
TESTS += tests/unit/test_depot
tests_unit_test_depot_SOURCES = tests/unit/test_depot.c $(DEPOT_FIXTURE)
tests_unit_test_depot_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_runs
TESTS += tests/unit/test_depot_runs
tests_unit_test_depot_runs_SOURCES = tests/unit/test_depot_runs.c \
	$(DEPOT_FIXTURE)
tests_unit_test_depot_runs_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_threads
TESTS += tests/unit/test_depot_threads
tests_unit_test_depot_threads_SOURCES = tests/unit/test_depot_threads.c
tests_unit_test_depot_threads_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_sane
TESTS += tests/unit/test_depot_sane
tests_unit_test_depot_sane_SOURCES = tests/unit/test_depot_sane.c \
	$(DEPOT_FIXTURE)
tests_unit_test_depot_sane_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_replay
TESTS += tests/unit/test_depot_replay
tests_unit_test_depot_replay_SOURCES = tests/unit/test_depot_replay.c \
	$(DEPOT_FIXTURE)
tests_unit_test_depot_replay_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_scrub
TESTS += tests/unit/test_depot_scrub
tests_unit_test_depot_scrub_SOURCES = tests/unit/test_depot_scrub.c \
	$(DEPOT_FIXTURE)
tests_unit_test_depot_scrub_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_depot_counts
TESTS += tests/unit/test_depot_counts
tests_unit_test_depot_counts_SOURCES = tests/unit/test_depot_counts.c \
	$(DEPOT_FIXTURE)
tests_unit_test_depot_counts_LDADD = $(UNIT_LIBS)
