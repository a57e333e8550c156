# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_mpsc
TESTS += tests/unit/test_mpsc
tests_unit_test_mpsc_SOURCES = tests/unit/test_mpsc.c
tests_unit_test_mpsc_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_exec
TESTS += tests/unit/test_exec
tests_unit_test_exec_SOURCES = tests/unit/test_exec.c
tests_unit_test_exec_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_help
TESTS += tests/unit/test_help
tests_unit_test_help_SOURCES = tests/unit/test_help.c
tests_unit_test_help_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sim_exec
TESTS += tests/unit/test_sim_exec
tests_unit_test_sim_exec_SOURCES = tests/unit/test_sim_exec.c
tests_unit_test_sim_exec_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_gate_waitq_fanout
TESTS += tests/unit/test_gate_waitq_fanout
tests_unit_test_gate_waitq_fanout_SOURCES = tests/unit/test_gate_waitq_fanout.c
tests_unit_test_gate_waitq_fanout_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_flow
TESTS += tests/unit/test_flow
tests_unit_test_flow_SOURCES = tests/unit/test_flow.c
tests_unit_test_flow_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_system
TESTS += tests/unit/test_system
tests_unit_test_system_SOURCES = tests/unit/test_system.c
tests_unit_test_system_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_watch
TESTS += tests/unit/test_watch
tests_unit_test_watch_SOURCES = tests/unit/test_watch.c
tests_unit_test_watch_LDADD = $(UNIT_LIBS)
