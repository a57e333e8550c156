check_PROGRAMS += tests/unit/test_device_file
TESTS += tests/unit/test_device_file
tests_unit_test_device_file_SOURCES = tests/unit/test_device_file.c
tests_unit_test_device_file_LDADD = $(UNIT_LIBS)
