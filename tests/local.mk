# Tests: tests/lib is linked by all; each folder registers its programs.
AM_CPPFLAGS += -I$(top_srcdir)
if HAVE_CHECK
check_LTLIBRARIES += tests/lib/libtest.la
tests_lib_libtest_la_SOURCES = %D%/lib/unit.c %D%/lib/unit.h
tests_lib_libtest_la_SOURCES += %D%/lib/sim_exec.c %D%/lib/sim_exec.h
tests_lib_libtest_la_SOURCES += %D%/lib/test_pool.c %D%/lib/test_pool.h
tests_lib_libtest_la_SOURCES += %D%/lib/sim_device.c %D%/lib/sim_device.h
tests_lib_libtest_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
UNIT_LIBS = tests/lib/libtest.la lib/libcore.la $(CHECK_LIBS)

endif
