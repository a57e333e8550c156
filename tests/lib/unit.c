/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The suite of a unit test program.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <stdlib.h>

static Suite *suite;

TCase *unit_case(const char *name)
{
	TCase *tc = tcase_create(name);

	if (suite == NULL)
		suite = suite_create("libvdo");
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 120);
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

int unit_run(void)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
