# SPDX-License-Identifier: BSD-2-Clause
# Processes that are killed while they use a volume. `make check` does some ten
# kills, `make crash` about CRASH_KILLS.
check_PROGRAMS += tests/crash/crash-writer
tests_crash_crash_writer_SOURCES = %D%/crash-writer.c %D%/crash.h \
	%D%/content.c %D%/model.c %D%/nbd.c %D%/work.c \
	tests/kernel/blocks.c tests/kernel/blocks.h
tests_crash_crash_writer_LDADD = lib/libvdo.la -lpthread
TESTS += %D%/crash.sh
EXTRA_DIST += %D%/crash.sh

CRASH_KILLS = 1000
crash: tests/crash/crash-writer$(EXEEXT) tests/bench/vdo-bench$(EXEEXT) all
	$(AM_TESTS_ENVIRONMENT) CRASH_KILLS=$(CRASH_KILLS) \
		$(SHELL) $(srcdir)/%D%/crash.sh
.PHONY: crash
