# Whole volumes on the simulated device, on each executor.
if HAVE_CHECK
tests_lib_libtest_la_SOURCES += \
	tests/lib/fixture.c tests/lib/fixture.h \
	tests/lib/image.c tests/lib/image.h tests/lib/image_check.c \
	tests/lib/model.c tests/lib/model.h \
	tests/lib/pattern.c tests/lib/pattern.h

VOLUME_TESTS = tests/volume/test_io
check_PROGRAMS += $(VOLUME_TESTS)
TESTS += $(VOLUME_TESTS)
tests_volume_test_io_SOURCES = %D%/test_io.c
tests_volume_test_io_LDADD = $(UNIT_LIBS)
endif
