#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"
#include "tests/unit/map_fixture.h"

/* ------------------------------------------- puts and gets against a model */

#define MODEL_LEAVES 150u
#define MODEL_SLOTS  6u
#define MODEL_SIZE   (MODEL_LEAVES * MODEL_SLOTS)
#define BATCH        40u

static lbn_t model_lbn(unsigned i)
{
	/* Leaves of all trees, and second level 1 pages. */
	uint64_t leaf = i / MODEL_SLOTS;

	if (leaf >= 100)
		leaf += UINT64_C(60) * 812;
	return leaf * MAP_PAGE_ENTRIES + i % MODEL_SLOTS * 160;
}

static void check_model(struct fx *fx, const struct mapping *model)
{
	static struct fx_req reqs[MODEL_SIZE];

	memset(reqs, 0, sizeof(reqs));
	for (unsigned i = 0; i < MODEL_SIZE; i++)
		fx_start(fx, &reqs[i], model_lbn(i));
	fx_run(fx);
	for (unsigned i = 0; i < MODEL_SIZE; i++) {
		ck_assert(reqs[i].done);
		ck_assert_int_eq(reqs[i].result, 0);
		ck_assert(mapping_equal(reqs[i].value, model[i]));
	}
}

static void random_batch(struct fx *fx, struct mapping *model)
{
	static struct fx_req reqs[BATCH];
	bool taken[MODEL_SIZE] = {false};
	unsigned which[BATCH];

	memset(reqs, 0, sizeof(reqs));
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned n = (unsigned)sim_executor_random(fx->x, MODEL_SIZE);

		which[i] = n;
		if (taken[n]) {
			reqs[i].done = true;
			continue;
		}
		taken[n] = true;
		reqs[i].write = sim_executor_random(fx->x, 2);
		reqs[i].value =
			fx_mapping(sim_executor_random(fx->x, 1000000));
		if (reqs[i].write)
			model[n] = reqs[i].value;
		fx_start(fx, &reqs[i], model_lbn(n));
		taken[n] = true;
	}
	fx_run(fx);
	for (unsigned i = 0; i < BATCH; i++) {
		ck_assert(reqs[i].done);
		ck_assert_int_eq(reqs[i].result, 0);
		if (reqs[i].op.page != 0 && !reqs[i].write)
			ck_assert(mapping_equal(reqs[i].value,
						model[which[i]]));
	}
}

static const struct {
	uint64_t seed;
	unsigned zones;
	uint64_t cache_pages;
	uint64_t maximum_age;
} model_cases[] = {
	{1, 1, 0, 1000}, {2, 1, 0, 1},	 {3, 3, 0, 7},
	{4, 4, 1000, 3}, {5, 2, 100, 20}, {6, 1, 24, 2},
};

START_TEST(random_operations)
{
	struct fx_options o = {
		.seed = model_cases[_i].seed,
		.zones = model_cases[_i].zones,
		.cache_pages = model_cases[_i].cache_pages,
		.maximum_age = model_cases[_i].maximum_age,
	};
	struct fx *fx = fx_create(&o);
	struct mapping model[MODEL_SIZE] = {{0, 0}};

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 20; i++)
			random_batch(fx, model);
		check_model(fx, model);
		ck_assert_int_eq(fx_drain(fx, true), 0);
		ck_assert_uint_eq(fx_map_holds(fx), 0);
		ck_assert_uint_eq(fx_entry_holds(fx), 0);
		ck_assert_uint_eq(fx->depot.locks, 0);
		if (round % 2 == 0) {
			check_model(fx, model);
			fx_reopen(fx);
		}
		check_model(fx, model);
	}
	ck_assert(!readonly_entered(&fx->readonly));
	fx_destroy(fx);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("map");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, random_operations, 0, ARRAY_SIZE(model_cases));
	return unit_run();
}
