/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The suite of a unit test program.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static Suite *suite;

TCase *unit_case(const char *name)
{
	TCase *tc = tcase_create(name);

	if (suite == NULL)
		suite = suite_create("libvdo");
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, UNIT_SECONDS);
	return tc;
}

unsigned unit_share(unsigned n)
{
	const char *part = getenv("VDO_TEST_PART");
	unsigned long p = part == NULL ? 1 : strtoul(part, NULL, 10);

	if (p > n)
		p = n;
	return p > 1 ? n / (unsigned)p : n;
}

size_t unit_resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, resident;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

int unit_run(void)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
