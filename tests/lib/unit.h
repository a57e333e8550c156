/* SPDX-License-Identifier: BSD-2-Clause */
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
#include <stddef.h>

/* Built with a sanitizer that has memory of its own. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED
#endif

#if defined(__SANITIZE_THREAD__)
#define UNIT_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNIT_THREAD_SANITIZED 1
#endif
#endif
#ifndef UNIT_THREAD_SANITIZED
#define UNIT_THREAD_SANITIZED 0
#endif

/* A test may take so long, or CK_TIMEOUT_MULTIPLIER times that. */
#define UNIT_SECONDS 120

/* Add a test case to the program's suite. */
TCase *unit_case(const char *name);

/*
 * How much of @n seeds, rounds or the like to go through: all, or with
 * VDO_TEST_PART=p in the environment a p-th of it, but 1 at least. For tools
 * that make everything slow; what is enumerated is never cut.
 */
unsigned unit_share(unsigned n);

/* Bytes of this process that are in memory now. */
size_t unit_resident_bytes(void);

/* With @value in @field, does the walk @sane see it? Puts back what was there. */
#define UNIT_DAMAGE(sane, field, value)                                        \
	do {                                                                   \
		__typeof__(field) was_ = (field);                              \
		ck_assert(sane);                                               \
		(field) = (value);                                             \
		ck_assert_msg(!(sane), "not seen: %s = %s", #field, #value);   \
		(field) = was_;                                                \
		ck_assert(sane);                                               \
	} while (0)

/* With @w in the queue @q, does the walk @sane see it? */
#define UNIT_DAMAGE_QUEUE(sane, q, w)                                          \
	do {                                                                   \
		__typeof__(*(q)) was_ = *(q);                                  \
		ck_assert(sane);                                               \
		*(q) = (__typeof__(was_)){(w), &(w)->next, 1};                 \
		ck_assert_msg(!(sane), "not seen: %s in %s", #w, #q);          \
		*(q) = was_;                                                   \
		ck_assert(sane);                                               \
	} while (0)

/* Run all cases; the value for main() to return. */
int unit_run(void);

#endif
