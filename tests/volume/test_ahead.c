/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaf pages that are made ahead of a writer: which, and that nothing depends on
 * them. On all executors.
 */
#include "build.h"

#include "tests/lib/fixture.h"

#define LEAF  812u
#define SMALL "logical-size=64M" /* 20 leaf pages */
#define LARGE "logical-size=256M"

/* Entries of a write: its own, and those of a leaf page and the three above it,
 * as each of the first 60 leaf pages has a tree of its own. */
#define FOUND 1u
#define MADE  5u

static struct fixture f;
static value_t value;

static void open_fx(int kind, const char *options)
{
	value = 1;
	fixture_init(&f, kind, options);
	fixture_open(&f, "compression=off");
}

/* Write a block, and wait until nothing is under way. */
static void put(uint64_t leaf, unsigned slot)
{
	fixture_write(&f, leaf * LEAF + slot, 1, V_UNIQUE(value++), 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
}

/* The same, and what it took. */
static uint64_t entries_of(uint64_t leaf, unsigned slot)
{
	uint64_t before = fixture_stat(&f, "journal.entries.started");

	put(leaf, slot);
	return fixture_stat(&f, "journal.entries.started") - before;
}

static void go_on(uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(first + i, 0);
}

/* After four pages in a row the next three are there, and no more. */
START_TEST(as_many_as_were_filled)
{
	open_fx(_i, SMALL);
	go_on(10, 4);
	for (unsigned i = 14; i < 17; i++)
		ck_assert_uint_eq(entries_of(i, 5), FOUND);
	ck_assert_uint_eq(entries_of(17, 5), MADE);
	fixture_fini(&f);
}
END_TEST

/* There is a bound, and the end of the volume is one. */
START_TEST(bounded)
{
	open_fx(_i == 0 ? KIND_NATIVE : KIND_SIM, LARGE);
	go_on(2, 30);
	ck_assert_uint_eq(entries_of(47, 5), FOUND);
	ck_assert_uint_eq(entries_of(48, 5), MADE);
	go_on(60, (unsigned)(f.logical_blocks / LEAF) - 60);
	fixture_fini(&f);
}
END_TEST

/* Who writes here and there, or always the same, gets what he needs. */
START_TEST(not_for_others)
{
	static const unsigned places[] = {14, 8, 17, 2, 2, 11, 11};

	open_fx(_i, SMALL);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		put(places[i], 0);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(entries_of(places[i] + 1, 5), MADE);
	fixture_fini(&f);
}
END_TEST

/* With little space there are no pages but those that are needed. */
START_TEST(little_space)
{
	open_fx(_i, SMALL);
	for (unsigned leaf = 1; leaf < 5; leaf++) {
		fixture_write(&f, leaf * LEAF + 1, LEAF - 1, V_UNIQUE(value),
			      0);
		value += LEAF;
	}
	go_on(10, 4);
	ck_assert_uint_eq(entries_of(14, 5), MADE);
	fixture_fini(&f);
}
END_TEST

/* Closed while pages are being made, and opened again. */
START_TEST(closed_meanwhile)
{
	open_fx(_i, SMALL);
	for (unsigned i = 0; i < 5; i++)
		fixture_write(&f, i * LEAF, 1, V_UNIQUE(value++), 0);
	fixture_close(&f);
	fixture_open(&f, "compression=off");
	fixture_verify_all(&f);
	fixture_write(&f, 5 * LEAF, 3, V_UNIQUE(value), 0);
	fixture_fini(&f);
}
END_TEST

/* The power fails while pages are being made, or after that. */
START_TEST(crashed_meanwhile)
{
	open_fx(KIND_SIM, SMALL);
	for (unsigned i = 0; i < 6; i++)
		fixture_write(&f, i * LEAF, 1, V_UNIQUE(value++), 0);
	fixture_flush(&f);
	if (_i % 2 == 0)
		fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") ==
					  0);
	fixture_lose_power(&f);
	fixture_open(&f, "compression=off");
	fixture_verify_all(&f);
	for (unsigned i = 6; i < 12; i++)
		fixture_write(&f, i * LEAF + 5, 2, V_UNIQUE(value++), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("ahead");

	tcase_add_loop_test(tc, as_many_as_were_filled, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, bounded, 0, 2);
	tcase_add_loop_test(tc, not_for_others, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, little_space, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, closed_meanwhile, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, crashed_meanwhile, 0, 8);
	return unit_run();
}
