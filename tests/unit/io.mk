check_PROGRAMS += tests/unit/test_device_file
TESTS += tests/unit/test_device_file
tests_unit_test_device_file_SOURCES = tests/unit/test_device_file.c
tests_unit_test_device_file_LDADD = $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_sim_device
TESTS += tests/unit/test_sim_device
tests_unit_test_sim_device_SOURCES = tests/unit/test_sim_device.c
tests_unit_test_sim_device_LDADD = $(UNIT_LIBS)
