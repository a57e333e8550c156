/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that may go to a terminal, whatever names are in them.
 */
#include "build.h"

#include <string.h>
#include <vdo/vdo.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/lib/unit.h"

static const struct {
	const char *from, *want;
} escapes[] = {
	{"", ""},
	{"plain, 100 %", "plain, 100 %"},
	{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
	 "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
	{"a\nb\tc\\d", "a\\nb\\tc\\\\d"},
	{"\x1b[31m\x07\x7f\x01", "\\033[31m\\007\\177\\001"},
	{"\xc2\x9b" "1m", "\\302\\2331m"},	      /* C1: CSI */
	{"\x9b" "1m\xff", "\\2331m\\377"},	      /* no UTF-8 */
	{"caf\xe9", "caf\\351"},
	{"caf\xe9t", "caf\\351t"},
	{"\xc3", "\\303"},			      /* cut off */
	{"\xe2\x82", "\\342\\202"},
	{"\xc0\xaf", "\\300\\257"},		      /* overlong */
	{"\xc1\x9b", "\\301\\233"},
	{"\xe0\x80\x9b", "\\340\\200\\233"},
	{"\xf0\x80\x80\x9b", "\\360\\200\\200\\233"},
	{"\xed\xa0\x80", "\\355\\240\\200"},	      /* a surrogate */
	{"\xf4\x90\x80\x80", "\\364\\220\\200\\200"}, /* beyond the last */
	{"\xf8\x88\x80\x80\x80", "\\370\\210\\200\\200\\200"},
	{"a\xe2\x80\xae" "b", "a\\342\\200\\256b"},   /* right to left */
	{"a\xe2\x80\xa8" "b", "a\\342\\200\\250b"},   /* line separator */
	{"a\xe2\x81\xa6" "b", "a\\342\\201\\246b"},
};

START_TEST(escape)
{
	char text[100];

	text_escape(text, sizeof(text), escapes[_i].from);
	ck_assert_str_eq(text, escapes[_i].want);
}
END_TEST

/* It ends after a whole character or escape, wherever the room ends. */
START_TEST(cut)
{
	static const char from[] = "\x1b\xe2\x82\xac\n";
	static const char *const want[] = {
		"",
		"",
		"",
		"",
		"\\033",
		"\\033",
		"\\033",
		"\\033\xe2\x82\xac",
		"\\033\xe2\x82\xac",
		"\\033\xe2\x82\xac\\n",
	};

	for (size_t size = 1; size <= ARRAY_SIZE(want); size++) {
		char text[16];

		memset(text, 'x', sizeof(text));
		text_escape(text, size, from);
		ck_assert_str_eq(text, want[size - 1]);
		ck_assert_int_eq(text[size], 'x');
	}
}
END_TEST

static void keep_line(void *arg, enum vdo_log_level level, const char *line)
{
	strcpy(arg, line);
}

/* Whatever goes into a message or a line of the log comes out escaped. */
START_TEST(messages)
{
	char name[600], line[600];
	struct vdo_config *c;
	struct vdo_error e;
	const struct log log = {.fn = keep_line, .arg = line};
	struct vdo_info info;

	error_set(&e, -1, "a%sb", "\x1b[2J");
	ck_assert_str_eq(e.message, "a\\033[2Jb");
	log_line(&log, VDO_LOG_INFO, "a%sb", "\x1b[2J");
	ck_assert_str_eq(line, "a\\033[2Jb");

	ck_assert_int_ne(vdo_inspect("no/\x1b[2J", &info, sizeof(info), &e), 0);
	ck_assert_ptr_nonnull(strstr(e.message, "no/\\033[2J"));
	ck_assert_int_eq(vdo_config_new(&c), 0);
	ck_assert_int_ne(vdo_config_set(c, "\x1b]0;", "1", &e), 0);
	ck_assert_ptr_nonnull(strstr(e.message, "\\033]0;"));
	ck_assert_int_ne(vdo_config_set(c, "size", "\n", &e), 0);
	ck_assert_ptr_nonnull(strstr(e.message, "\"\\n\""));
	vdo_config_free(c);

	memset(name, 0x1b, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	error_set(&e, -1, "%s", name);
	ck_assert_uint_le(strlen(e.message), sizeof(e.message) - 1);
	ck_assert_ptr_null(strchr(e.message, 0x1b));
	log_line(&log, VDO_LOG_INFO, "%s", name);
	ck_assert_ptr_null(strchr(line, 0x1b));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("text");

	tcase_add_loop_test(tc, escape, 0, ARRAY_SIZE(escapes));
	tcase_add_test(tc, cut);
	tcase_add_test(tc, messages);
	return unit_run();
}
