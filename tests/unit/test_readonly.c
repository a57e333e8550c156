/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-only mode: the first reason wins, the log says what to do, and hears of
 * later errors, too.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/readonly.h"

static char text[512];
static unsigned lines, entered;

static void log_line_is(void *arg, enum vdo_log_level level, const char *line)
{
	ck_assert_int_eq(level, VDO_LOG_ERROR);
	snprintf(text, sizeof(text), "%s", line);
	lines++;
}

static void enter(void *arg)
{
	/* Nothing more may be written by now. */
	ck_assert(storage_is_read_only(arg));
	entered++;
}

static const struct {
	int reason;
	const char *advice; /* NULL: none */
} reasons[] = {
	{-EIO, NULL},
	{-VDO_ECORRUPT, NULL},
	{-ENOSPC, "the file system that holds the volume is full"},
	{-EDQUOT, "quota"},
	{-EFBIG, "the volume's file may not become so large"},
};

START_TEST(first_reason)
{
	const struct log log = {.fn = log_line_is};
	struct storage storage = {.device = NULL};
	struct readonly r;

	readonly_init(&r, &storage, &log, enter, &storage);
	ck_assert(!readonly_entered(&r) && !readonly_by_error(&r));
	readonly_enter(&r, reasons[_i].reason, "test: page=%u", 7u);
	ck_assert(readonly_entered(&r) && readonly_by_error(&r));
	ck_assert_ptr_nonnull(strstr(text, "test: page=7"));
	if (reasons[_i].advice != NULL)
		ck_assert_ptr_nonnull(strstr(text, reasons[_i].advice));
	else
		ck_assert_ptr_null(strstr(text, "full"));
	readonly_enter(&r, -ENOMEM, "another");
	ck_assert_int_eq(atomic_load(&r.reason), reasons[_i].reason);
	ck_assert_uint_eq(entered, 1);
}
END_TEST

/* Errors that come later, or in a volume that was opened read-only, are told,
 * but not for ever; their consequences are not. */
START_TEST(later_errors)
{
	const struct log log = {.fn = log_line_is};
	struct storage storage = {.device = NULL};
	struct readonly r;

	readonly_init(&r, &storage, &log, enter, &storage);
	if (_i == 0)
		atomic_store(&r.reason, -VDO_EREADONLY);
	else
		readonly_enter(&r, -EIO, "first");
	lines = 0;
	readonly_enter(&r, -VDO_EREADONLY, "a consequence");
	ck_assert_uint_eq(lines, 0);
	readonly_enter(&r, -VDO_ECORRUPT, "test: page=%u", 8u);
	ck_assert_uint_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(text, "test: page=8"));
	ck_assert_ptr_null(strstr(text, "entering"));
	readonly_enter(&r, -VDO_ECORRUPT, "test: page=%u", 8u);
	ck_assert_uint_eq(lines, 1);
	for (unsigned i = 0; i < 1000; i++)
		readonly_enter(&r, -EIO, "page=%u", i);
	ck_assert_uint_eq(lines, READONLY_LINES_MAX + 1 - (unsigned)_i);
	ck_assert_ptr_nonnull(strstr(text, "not logged"));
	ck_assert_uint_eq(entered, (unsigned)_i);
	ck_assert_int_eq(atomic_load(&r.reason),
			 _i == 0 ? -VDO_EREADONLY : -EIO);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("readonly");

	tcase_add_loop_test(tc, first_reason, 0, ARRAY_SIZE(reasons));
	tcase_add_loop_test(tc, later_errors, 0, 2);
	return unit_run();
}
