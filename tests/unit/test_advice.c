/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Advice in memory: what the three requests do, what is forgotten, a model.
 */
#include "build.h"

#include "advice/advice.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/lib/unit.h"

#define NAMES 64
#define STEPS 20000

static struct advice *create(unsigned zones, uint64_t entries)
{
	struct advice_config c = {.zone_count = zones, .entries_max = entries};
	struct advice *a;

	ck_assert_int_eq(advice_create(&c, &a), 0);
	return a;
}

/* Name number @i of bucket @bucket (of 2^32). */
static struct hash128 name_of(uint32_t bucket, unsigned i)
{
	struct hash128 name = {{0}};

	put_u32(name.bytes + 1, bucket);
	name.bytes[5] = (uint8_t)i;
	put_u64(name.bytes + 8, i * 0x123456789abcdefu);
	return name;
}

struct ask {
	bool found;
	pbn_t pbn;
	uint8_t state;
};

static struct ask ask(struct advice *a, unsigned zone, struct hash128 name,
		      enum advice_request request, pbn_t pbn, uint8_t state)
{
	struct index_name whole;
	struct advice_op op = {
		.request = request,
		.name = &whole,
		.location = {.pbn = pbn, .state = state},
	};

	advice_set_name(a, &whole, &name);
	ck_assert(advice_start(a, zone, &op));
	ck_assert_int_eq(op.done.result, 0);
	return (struct ask){op.found, op.location.pbn, op.location.state};
}

/* Before: unknown, or known at (100, 3). */
static const struct {
	const char *name;
	enum advice_request request;
	bool known;
	struct ask want;
	struct ask after; /* what a query then says */
} cases[] = {
	{"post, new", ADVICE_POST, false, {false, 7, 1}, {true, 7, 1}},
	{"post, known", ADVICE_POST, true, {true, 100, 3}, {true, 100, 3}},
	{"query, new", ADVICE_QUERY, false, {false, 7, 1}, {false, 9, 9}},
	{"query, known", ADVICE_QUERY, true, {true, 100, 3}, {true, 100, 3}},
	{"update, new", ADVICE_UPDATE, false, {false, 7, 1}, {true, 7, 1}},
	{"update, known", ADVICE_UPDATE, true, {true, 7, 1}, {true, 7, 1}},
};

static void check(const char *name, struct ask got, struct ask want)
{
	ck_assert_msg(got.found == want.found && got.pbn == want.pbn &&
			      got.state == want.state,
		      "%s: found %d (%d), pbn %lu, state %u", name, got.found,
		      want.found, (unsigned long)got.pbn, got.state);
}

START_TEST(requests)
{
	struct advice *a = create(3, 1000);
	struct hash128 n = name_of(0x80000000, 1);

	if (cases[_i].known)
		ask(a, 1, n, ADVICE_UPDATE, 100, 3);
	check(cases[_i].name, ask(a, 1, n, cases[_i].request, 7, 1),
	      cases[_i].want);
	check(cases[_i].name, ask(a, 1, n, ADVICE_QUERY, 9, 9),
	      cases[_i].after);
	/* Zones know nothing of each other. */
	ck_assert(!ask(a, 0, n, ADVICE_QUERY, 0, 0).found);
	ck_assert(!ask(a, 2, n, ADVICE_QUERY, 0, 0).found);
	advice_destroy(a);
}
END_TEST

/* Any byte of the name but the zone's makes it another one. */
START_TEST(names_differ)
{
	struct advice *a = create(1, 4);
	struct hash128 n = name_of(0x12345678, 5);
	struct hash128 other = n;

	ask(a, 0, n, ADVICE_POST, 5, 1);
	other.bytes[_i] ^= 0x10;
	/* Of one bucket; only a bigger table looks at bytes 1 to 4. */
	ck_assert_int_eq(ask(a, 0, other, ADVICE_QUERY, 0, 0).found, _i < 5);
	advice_destroy(a);
}
END_TEST

START_TEST(locations)
{
	static const struct mapping ms[] = {
		{1, 1},
		{1, 15},
		{UINT64_C(0xfffffffff), 1},
		{UINT64_C(0x800000000), 2},
		{UINT64_C(0x100000000), 0}, /* nonsense is kept as it is */
	};
	struct advice *a = create(1, 64);

	for (unsigned i = 0; i < ARRAY_SIZE(ms); i++) {
		struct hash128 n = name_of(i << 28, i);
		struct ask got;

		ask(a, 0, n, ADVICE_POST, ms[i].pbn, ms[i].state);
		got = ask(a, 0, n, ADVICE_QUERY, 0, 0);
		ck_assert(got.found);
		ck_assert_uint_eq(got.pbn, ms[i].pbn);
		ck_assert_uint_eq(got.state, ms[i].state);
	}
	advice_destroy(a);
}
END_TEST

START_TEST(none)
{
	struct advice *a = create(2, 0);
	struct advice_stats s;

	ask(a, 1, name_of(1, 1), ADVICE_POST, 5, 1);
	ask(a, 1, name_of(1, 1), ADVICE_UPDATE, 5, 1);
	ck_assert(!ask(a, 1, name_of(1, 1), ADVICE_QUERY, 5, 1).found);
	advice_get_stats(a, &s);
	ck_assert_uint_eq(s.entries_indexed, 0);
	ck_assert_uint_eq(s.posts_not_found, 1);
	ck_assert_uint_eq(s.updates_not_found, 1);
	ck_assert_uint_eq(s.queries_not_found, 1);
	advice_destroy(a);
}
END_TEST

/* Against a list of one bucket, newest first. */
START_TEST(oldest_forgotten)
{
	struct advice *a = create(1, 4);
	unsigned list[4], used = 0;
	pbn_t at[NAMES] = {0};
	uint64_t discarded = 0, found = 0, rng = 88172645463325252u;
	struct advice_stats s;

	for (unsigned step = 0; step < STEPS; step++) {
		unsigned name, i;
		enum advice_request request;
		struct ask got;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		name = (unsigned)(rng >> 8) % 7;
		request = (enum advice_request)((rng >> 20) % 3);
		got = ask(a, 0, name_of(0, name), request, step + 1, 1);
		for (i = 0; i < used && list[i] != name; i++)
			;
		ck_assert_int_eq(got.found, i < used);
		found += got.found;
		if (got.found && request != ADVICE_UPDATE)
			ck_assert_uint_eq(got.pbn, at[name]);
		if (i == used && request == ADVICE_QUERY)
			continue;
		if (i == used || request == ADVICE_UPDATE)
			at[name] = step + 1;
		if (i == used && used < 4)
			used++;
		else if (i == used)
			discarded++, i--;
		memmove(&list[1], &list[0], i * sizeof(list[0]));
		list[0] = name;
	}
	advice_get_stats(a, &s);
	ck_assert_uint_eq(s.entries_indexed, 4);
	ck_assert_uint_eq(s.entries_discarded, discarded);
	ck_assert_uint_eq(s.posts_found + s.queries_found + s.updates_found,
			  found);
	ck_assert_uint_eq(s.posts_not_found + s.queries_not_found +
				  s.updates_not_found,
			  STEPS - found);
	advice_destroy(a);
}
END_TEST

/* Spread names fill a table well before any is forgotten twice over. */
START_TEST(fills_up)
{
	struct advice *a = create(1, 4096);
	struct advice_stats s;

	for (unsigned i = 0; i < 4096; i++)
		ask(a, 0, name_of(i << 20, i), ADVICE_POST, i + 1, 1);
	for (unsigned i = 0; i < 4096; i++)
		ck_assert(ask(a, 0, name_of(i << 20, i), ADVICE_QUERY, 0, 0)
				  .found);
	advice_get_stats(a, &s);
	ck_assert_uint_eq(s.entries_indexed, 4096);
	ck_assert_uint_eq(s.entries_discarded, 0);
	advice_destroy(a);
}
END_TEST

/* Each zone gets its share of the names, and all are in range. */
START_TEST(zones)
{
	unsigned count = (unsigned)_i;
	struct advice *a = create(count, 0);
	unsigned hits[HASH_ZONES_MAX] = {0}, last = 0;

	for (unsigned i = 0; i < 256; i++) {
		struct hash128 hash = {{(uint8_t)i, 0xff, 0xff}};
		struct index_name name;
		unsigned zone = advice_set_name(a, &name, &hash);

		ck_assert_uint_lt(zone, count);
		ck_assert_uint_eq(zone, i * count / 256);
		ck_assert_uint_ge(zone, last);
		last = zone;
		hits[zone]++;
	}
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_ge(hits[i], 256 / count);
		ck_assert_uint_le(hits[i], 256 / count + 1);
	}
	advice_destroy(a);
}
END_TEST

START_TEST(allocation_fails)
{
	struct advice_config c = {.zone_count = 2, .entries_max = 100};
	struct advice *a;
	unsigned long n = 1;

	for (;; n++) {
		int result;

		alloc_fail_at(n);
		result = advice_create(&c, &a);
		alloc_fail_at(0);
		if (result == 0)
			break;
		ck_assert_int_eq(result, -ENOMEM);
	}
	ck_assert_uint_eq(n, 6);
	advice_destroy(a);
	advice_destroy(NULL);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("advice");

	tcase_add_loop_test(tc, requests, 0, ARRAY_SIZE(cases));
	tcase_add_loop_test(tc, names_differ, 1, 16);
	tcase_add_test(tc, locations);
	tcase_add_test(tc, none);
	tcase_add_test(tc, oldest_forgotten);
	tcase_add_test(tc, fills_up);
	tcase_add_loop_test(tc, zones, 1, HASH_ZONES_MAX + 1);
	tcase_add_test(tc, allocation_fails);
	return unit_run();
}
