/*
 * The suite of a unit test program.
 */
#include "config.h"

#include "tests/lib/unit.h"

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

int unit_run(void)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
