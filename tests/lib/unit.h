/*
 * Glue for unit tests: one suite a program, run by libcheck.
 *
 *	int main(void)
 *	{
 *		TCase *tc = unit_case("what");
 *
 *		tcase_add_test(tc, some_test);
 *		return unit_run();
 *	}
 *
 * Results go to standard output in libcheck's normal form; the exit status is
 * 0 when all passed. CK_FORK=no in the environment helps debuggers.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

/* Add a test case to the program's suite. */
TCase *unit_case(const char *name);

/* Run all cases; the value for main() to return. */
int unit_run(void);

#endif
