check_PROGRAMS += tests/unit/test_map
TESTS += tests/unit/test_map
tests_unit_test_map_SOURCES = tests/unit/test_map.c \
	tests/unit/map_fixture.c tests/unit/map_fixture.h
tests_unit_test_map_LDADD = $(UNIT_LIBS)
