/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stages of a request: what is written to one that is not valid is found.
 * Only with --enable-debug.
 */
#include "build.h"

#include "path/request.h"

#include <signal.h>
#include <stdlib.h>

#include "tests/lib/unit.h"

#ifdef VDO_DEBUG

#define ROW(n) FLOW_AT(n, ANYWHERE)

static const struct stage_rows rows[STAGES] = {
	[STAGE_LBN] = {ROW(0), ROW(3)},	   [STAGE_MAP] = {ROW(1), ROW(2)},
	[STAGE_COUNTS] = {ROW(2), ROW(2)}, [STAGE_MIO] = {ROW(1), ROW(3)},
	[STAGE_ALLOC] = STAGE_NEVER,
};

static struct request *request(void)
{
	struct request *r = aligned_alloc(CACHE_LINE, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	request_init_stages(r);
	return r;
}

/* Each stage is used while it is valid, also when the rows go back. */
START_TEST(in_time)
{
	static const int way[] = {0, 1, 2, 1, 2, 3, 4, 0, 2, 4};
	struct request *r = request();

	for (unsigned i = 0; i < ARRAY_SIZE(way); i++) {
		request_check_stages(r, rows, ROW(way[i]));
		if (way[i] < 4)
			r->lbn.chain = NULL;
		if (way[i] == 1 || way[i] == 2)
			r->map.op.lbn = i;
		if (way[i] == 2)
			r->counts.entry.point.seq = i;
	}
	free(r);
}
END_TEST

/* Written to before it begins, or after it ended. */
START_TEST(out_of_time)
{
	struct request *r = request();

	request_check_stages(r, rows, ROW(0));
	if (_i == 0)
		r->map.old.pbn = 1;
	request_check_stages(r, rows, ROW(1));
	request_check_stages(r, rows, ROW(3));
	if (_i == 1)
		r->map.old.pbn = 1;
	request_check_stages(r, rows, ROW(2));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("stages");

	tcase_add_test(tc, in_time);
	tcase_add_loop_test_raise_signal(tc, out_of_time, SIGABRT, 0, 2);
	return unit_run();
}

#else

int main(void)
{
	return 77;
}

#endif
