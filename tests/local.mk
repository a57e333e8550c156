# SPDX-License-Identifier: BSD-2-Clause
# Tests: tests/lib is linked by all; each folder registers its programs.
AM_CPPFLAGS += -I$(top_srcdir)
AM_TESTS_ENVIRONMENT = srcdir='$(srcdir)'; top_srcdir='$(abs_top_srcdir)'; \
	top_builddir='$(abs_top_builddir)'; CC='$(CC)'; \
	export srcdir top_srcdir top_builddir CC;

# libvdo on simulated storage, which is installed. Shared only: it is for tests.
lib_LTLIBRARIES += tests/lib/libvdo-sim.la
tests_lib_libvdo_sim_la_SOURCES = %D%/lib/vdo_sim.c \
	%D%/lib/pattern.c %D%/lib/pattern.h \
	%D%/lib/sim_device.c %D%/lib/sim_device.h \
	%D%/lib/sim_exec.c %D%/lib/sim_exec.h
tests_lib_libvdo_sim_la_LIBADD = lib/libcore.la
tests_lib_libvdo_sim_la_LDFLAGS = -version-info 0:0:0 -no-undefined -shared \
	-Wl,--version-script=$(top_srcdir)/lib/libvdo.map
EXTRA_tests_lib_libvdo_sim_la_DEPENDENCIES = lib/libvdo.map
if HAVE_CHECK
check_LTLIBRARIES += tests/lib/libtest.la
tests_lib_libtest_la_SOURCES = %D%/lib/unit.c %D%/lib/unit.h
tests_lib_libtest_la_SOURCES += %D%/lib/sim_exec.c %D%/lib/sim_exec.h
tests_lib_libtest_la_SOURCES += %D%/lib/histogram.c %D%/lib/histogram.h
tests_lib_libtest_la_SOURCES += %D%/lib/test_pool.c %D%/lib/test_pool.h
tests_lib_libtest_la_SOURCES += %D%/lib/sim_device.c %D%/lib/sim_device.h
tests_lib_libtest_la_SOURCES += %D%/lib/index_ask.h
tests_lib_libtest_la_SOURCES += %D%/lib/golden_files.h
tests_lib_libtest_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
UNIT_LIBS = tests/lib/libtest.la lib/libcore.la $(CHECK_LIBS)

include tests/unit/local.mk
endif
include tests/volume/local.mk
include tests/sim/local.mk
include tests/fuzz/local.mk
include tests/sh/local.mk
include tests/crash/local.mk
include tests/kernel/local.mk
include tests/bench/local.mk
EXTRA_DIST += tests/golden tests/inspect
