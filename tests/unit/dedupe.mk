# SPDX-License-Identifier: BSD-2-Clause
check_PROGRAMS += tests/unit/test_advice
TESTS += tests/unit/test_advice
tests_unit_test_advice_SOURCES = tests/unit/test_advice.c
tests_unit_test_advice_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_compress
TESTS += tests/unit/test_compress
tests_unit_test_compress_SOURCES = tests/unit/test_compress.c
tests_unit_test_compress_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_packer
TESTS += tests/unit/test_packer
tests_unit_test_packer_SOURCES = tests/unit/test_packer.c \
	tests/unit/hand_queue.h
tests_unit_test_packer_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_hash_lock
TESTS += tests/unit/test_hash_lock
tests_unit_test_hash_lock_SOURCES = tests/unit/test_hash_lock.c \
	tests/unit/dedupe_rig.c tests/unit/dedupe_rig.h \
	tests/unit/hand_queue.h
tests_unit_test_hash_lock_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_hash_lock_stress
TESTS += tests/unit/test_hash_lock_stress
tests_unit_test_hash_lock_stress_SOURCES = tests/unit/test_hash_lock_stress.c \
	tests/unit/dedupe_rig.c tests/unit/dedupe_rig.h \
	tests/unit/hand_queue.h
tests_unit_test_hash_lock_stress_LDADD = $(UNIT_LIBS)
