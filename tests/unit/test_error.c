/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and texts of results, and filling in struct vdo_error.
 */
#include "build.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "tests/lib/unit.h"

static const struct {
	int result;
	const char *name;
	const char *text;
} cases[] = {
	{0, "OK", "success"},
	{-VDO_ENOTVDO, "VDO_ENOTVDO", "not a VDO volume"},
	{VDO_EDIRTY, "VDO_EDIRTY", "volume was not closed and needs recovery"},
	{-ENOSPC, "ENOSPC", "no space left"},
	{ENOMEM, "ENOMEM", "out of memory"},
	{-EDEADLK, "EDEADLK", "would wait for itself: called from a callback"},
	{INT_MIN, "UNKNOWN", "unknown error"},
	{INT_MAX, "UNKNOWN", "unknown error"},
	{-12345, "UNKNOWN", "unknown error"},
};

START_TEST(texts)
{
	ck_assert_str_eq(vdo_error_name(cases[_i].result), cases[_i].name);
	ck_assert_str_eq(vdo_strerror(cases[_i].result), cases[_i].text);
}
END_TEST

START_TEST(every_code_has_its_own_name)
{
	static const char *const names[] = {
#define X(code, name, text) "VDO_E" #name,
		VDO_ERRORS(X)
#undef X
	};
	static const int codes[] = {
#define X(code, name, text) VDO_E##name,
		VDO_ERRORS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		ck_assert_str_eq(vdo_error_name(-codes[i]), names[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_int_ne(codes[i], codes[k]);
	}
}
END_TEST

/* Each errno that io.h and volume.h promise must have a name. */
START_TEST(documented_errnos)
{
	static const int codes[] = {EINVAL,  ERANGE,	ENOSPC,	 EIO,
				    ENOMEM,  EAGAIN,	EDEADLK, EMFILE,
				    ENOTBLK, ENOTEMPTY, EISDIR,	 ENOENT,
				    EACCES,  EROFS,	ENOTSUP, EBUSY};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		ck_assert_str_ne(vdo_error_name(-codes[i]), "UNKNOWN");
		ck_assert_str_ne(vdo_strerror(-codes[i]), "unknown error");
	}
}
END_TEST

START_TEST(set_cuts_long_messages)
{
	struct vdo_error e;
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(error_set(&e, -EIO, "%s", text), -EIO);
	ck_assert_int_eq(e.code, -EIO);
	ck_assert_uint_eq(strlen(e.message), sizeof(e.message) - 1);
	ck_assert_int_eq(error_set(NULL, -EIO, "%s", text), -EIO);
}
END_TEST

START_TEST(finish)
{
	struct vdo_error e;

	error_clear(&e);
	ck_assert_int_eq(error_finish(&e, -ENOMEM), -ENOMEM);
	ck_assert_int_eq(e.code, -ENOMEM);
	ck_assert_str_eq(e.message, "out of memory");

	error_set(&e, -VDO_ESIZE, "file is short");
	ck_assert_int_eq(error_finish(&e, -VDO_ESIZE), -VDO_ESIZE);
	ck_assert_str_eq(e.message, "file is short");

	ck_assert_int_eq(error_finish(&e, 0), 0);
	ck_assert_int_eq(e.code, 0);
	ck_assert_str_eq(e.message, "");

	ck_assert_int_eq(error_finish(NULL, -EIO), -EIO);
	error_clear(NULL);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("errors");

	tcase_add_loop_test(tc, texts, 0, ARRAY_SIZE(cases));
	tcase_add_test(tc, every_code_has_its_own_name);
	tcase_add_test(tc, documented_errnos);
	tcase_add_test(tc, set_cuts_long_messages);
	tcase_add_test(tc, finish);
	return unit_run();
}
