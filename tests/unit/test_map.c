/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <errno.h>
#include <stdlib.h>

#include <vdo/error.h>

#include "base/alloc.h"
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

/* ---------------------------------------------------------------- crashes */

#define CRASH_SEEDS 120

/* What a recovery would do, and what it must come to. */
static void replay_and_compare(struct fx *fx)
{
	const struct journal *j = &fx->journal;
	uint8_t **want = calloc(FX_BLOCKS, sizeof(*want));

	for (size_t i = 0; i < j->log_count; i++) {
		const struct journal_entry *e = &j->log[i].entry;
		uint8_t *image = fx->durable + e->page * BLOCK_SIZE;

		if (want[e->page] == NULL) {
			want[e->page] = malloc(BLOCK_SIZE);
			mapping_page_format(want[e->page], FX_NONCE, e->page,
					    true);
			ck_assert_int_ne(
				mapping_page_check(image, FX_NONCE, e->page),
				MAP_PAGE_BAD);
			if (mapping_page_check(image, FX_NONCE, e->page) !=
			    MAP_PAGE_VALID)
				mapping_page_format(image, FX_NONCE, e->page,
						    true);
		}
		mapping_page_put(want[e->page], e->slot, e->new_mapping);
		if (j->log[i].seq >= j->durable_head)
			mapping_page_put(image, e->slot, e->new_mapping);
	}
	for (pbn_t pbn = 0; pbn < FX_BLOCKS; pbn++) {
		if (want[pbn] != NULL)
			ck_assert_mem_eq(want[pbn],
					 fx->durable + pbn * BLOCK_SIZE,
					 BLOCK_SIZE);
		free(want[pbn]);
	}
	free(want);
}

struct crash_req {
	struct fx_req req;
	struct journal_change changes[MODEL_SLOTS];
	struct mapping news[MODEL_SLOTS];
};

/* A single entry or a run from block @n of the model on; false: one of its blocks
 * has a writer, and there is one at a time, as by the LBN lock. */
static bool choose_entries(struct fx *fx, struct crash_req *r, unsigned n,
			   struct crash_req **last)
{
	unsigned most = MODEL_SLOTS - n % MODEL_SLOTS;
	unsigned run = (unsigned)sim_executor_random(fx->x, most + 1);

	for (unsigned i = 0; i < MAX(run, 1); i++)
		if (last[n + i] != NULL && !last[n + i]->req.done)
			return false;
	for (unsigned i = 0; i < MAX(run, 1); i++)
		last[n + i] = r;
	for (unsigned i = 0; i < run; i++) {
		r->changes[i].slot =
			(uint16_t)(model_lbn(n + i) % MAP_PAGE_ENTRIES);
		r->news[i] = fx_mapping(r->req.value.pbn + i);
	}
	r->req.write = true;
	r->req.run = run;
	r->req.changes = r->changes;
	r->req.news = n % 4 != 0 ? r->news : NULL;
	return true;
}

START_TEST(crash)
{
	static struct crash_req reqs[20][30];
	struct crash_req *last[MODEL_SIZE] = {NULL};
	struct fx_options o = {
		.seed = 1000 + (uint64_t)_i,
		.zones = 1 + (unsigned)_i % 3,
		.maximum_age = 1 + (unsigned)_i % 5,
	};
	struct fx *fx = fx_create(&o);

	fx_fill_garbage(fx);
	memset(reqs, 0, sizeof(reqs));
	fx->stop_at = 1 + sim_executor_random(fx->x, 1200);
	for (unsigned b = 0; b < 20; b++) {
		for (unsigned i = 0; i < 30; i++) {
			unsigned n = (unsigned)sim_executor_random(fx->x,
								   MODEL_SIZE);

			reqs[b][i].req.value = fx_mapping(b * 100 + i);
			if (choose_entries(fx, &reqs[b][i], n, last))
				fx_start(fx, &reqs[b][i].req, model_lbn(n));
		}
		fx_run(fx);
	}
	fx_crash(fx);
	replay_and_compare(fx);
	fx_destroy(fx);
}
END_TEST

/* -------------------------------------------------------------------- runs */

#define RUN_LEAVES 40u /* more than are in memory */
#define RUN_BATCH  10u

/* What a leaf holds, and a request of it. */
struct run_leaf {
	struct mapping model[MAP_PAGE_ENTRIES];
	struct journal_change changes[MAP_PAGE_ENTRIES];
	struct mapping news[FX_BLOCK_ENTRIES];
	struct fx_req req;
	unsigned first; /* slot */
	bool busy;
};

static struct mapping random_mapping(struct fx *fx)
{
	uint64_t n = sim_executor_random(fx->x, 1000000);

	if (n % 4 == 0)
		return (struct mapping){ZERO_BLOCK, (uint8_t)(n / 4 % 2)};
	return fx_mapping(n);
}

/* A few slots, with gaps as often as not. */
static void choose_write(struct fx *fx, struct run_leaf *l)
{
	unsigned gap = 1 + (unsigned)sim_executor_random(fx->x, 2) * 50;
	unsigned n = 1 + (unsigned)sim_executor_random(fx->x, FX_BLOCK_ENTRIES);

	l->req.write = true;
	l->req.run = n;
	l->req.value = random_mapping(fx);
	l->req.changes = l->changes;
	if (sim_executor_random(fx->x, 4) != 0)
		l->req.news = l->news;
	l->first = (unsigned)sim_executor_random(
		fx->x, MAP_PAGE_ENTRIES - (n - 1) * gap);
	for (unsigned i = 0; i < n; i++) {
		l->news[i] = random_mapping(fx);
		l->changes[i].slot = (uint16_t)(l->first + i * gap);
		l->model[l->changes[i].slot] =
			l->req.news != NULL ? l->news[i] : l->req.value;
	}
}

static void choose_read(struct fx *fx, struct run_leaf *l)
{
	l->first = (unsigned)sim_executor_random(fx->x, MAP_PAGE_ENTRIES);
	l->req.run = 1 + (unsigned)sim_executor_random(
				 fx->x, MAP_PAGE_ENTRIES - l->first);
	l->req.changes = l->changes;
}

static void check_run(const struct run_leaf *l)
{
	ck_assert(l->req.done);
	ck_assert_int_eq(l->req.result, 0);
	if (l->req.write || l->req.op.page == 0)
		return;
	ck_assert_uint_eq(l->req.op.run.count, l->req.run);
	for (unsigned i = 0; i < l->req.run; i++) {
		ck_assert_uint_eq(l->changes[i].slot, l->first + i);
		ck_assert(mapping_equal(l->changes[i].old,
					l->model[l->first + i]));
	}
}

/* Runs of new mappings, read in runs, while leaves come and go. */
START_TEST(runs)
{
	static struct run_leaf leaves[RUN_LEAVES];
	struct fx_options o = {
		.seed = 20 + (uint64_t)_i,
		.maximum_age = 1 + (uint64_t)_i % 3,
	};
	struct fx *fx = fx_create(&o);

	memset(leaves, 0, sizeof(leaves));
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < RUN_BATCH; i++) {
			unsigned n = (unsigned)sim_executor_random(fx->x,
								   RUN_LEAVES);
			struct run_leaf *l = &leaves[n];

			if (l->busy)
				continue;
			l->busy = true;
			l->req = (struct fx_req){.write = false};
			if (sim_executor_random(fx->x, 2))
				choose_write(fx, l);
			else
				choose_read(fx, l);
			fx_start(fx, &l->req,
				 (lbn_t)n * MAP_PAGE_ENTRIES + l->first);
		}
		fx_run(fx);
		for (unsigned i = 0; i < RUN_LEAVES; i++) {
			if (leaves[i].busy)
				check_run(&leaves[i]);
			leaves[i].busy = false;
		}
	}
	ck_assert_uint_eq(fx_entry_holds(fx), 0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	ck_assert_uint_eq(fx_map_holds(fx), 0);
	fx_reopen(fx);
	for (unsigned n = 0; n < RUN_LEAVES; n++) {
		struct run_leaf *l = &leaves[n];

		l->first = 0;
		l->req = (struct fx_req){.run = MAP_PAGE_ENTRIES,
					 .changes = l->changes};
		fx_start(fx, &l->req, (lbn_t)n * MAP_PAGE_ENTRIES);
		fx_run(fx);
		check_run(l);
	}
	fx_destroy(fx);
}
END_TEST

/* --------------------------------------------------------- the Nth failure */

/* Whatever fails, everything ends, and the volume is read-only. */
START_TEST(io_fails)
{
	static struct fx_req reqs[300];
	unsigned failures = 0;

	for (uint64_t n = 1;; n += 1 + n / 6) {
		struct fx_options o = {.seed = n, .zones = 2, .maximum_age = 2};
		struct fx *fx = fx_create(&o);
		int r;

		memset(reqs, 0, sizeof(reqs));
		for (unsigned i = 0; i < 60; i++)
			ck_assert_int_eq(fx_write(fx, model_lbn(3 * i),
						  fx_mapping(i)), 0);
		ck_assert_int_eq(fx_drain(fx, true), 0);
		fx_reopen(fx);
		fx->fail_at = fx->io_count + n;
		for (unsigned i = 0; i < ARRAY_SIZE(reqs); i++) {
			reqs[i].write = i % 2;
			reqs[i].value = fx_mapping(i);
			fx_start(fx, &reqs[i], model_lbn(i));
		}
		fx_run(fx);
		for (unsigned i = 0; i < ARRAY_SIZE(reqs); i++)
			ck_assert(reqs[i].done);
		r = fx_drain(fx, true);
		ck_assert_int_eq(fx_drain(fx, false), 0);
		ck_assert_uint_eq(fx->depot.locks, 0);
		if (!readonly_entered(&fx->readonly)) {
			ck_assert_int_eq(r, 0);
			fx_destroy(fx);
			break;
		}
		failures++;
		ck_assert_int_eq(r, -VDO_EREADONLY);
		fx_destroy(fx);
	}
	ck_assert_uint_gt(failures, 20);
}
END_TEST

/* A device that is gone for good: what is in memory is still served. */
START_TEST(reads_go_on)
{
	struct fx_options o = {.seed = 3};
	struct fx *fx = fx_create(&o);
	struct map_stats s;
	struct mapping m;
	int errors;

	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(fx_write(fx, model_lbn(6 * i), fx_mapping(i)),
				 0);
	fx->fail_all = true;
	ck_assert_int_eq(fx_drain(fx, true), -VDO_EREADONLY);
	errors = fx->errors;
	ck_assert_int_gt(errors, 0);
	ck_assert(readonly_entered(&fx->readonly));
	map_get_stats(fx->map, &s);
	ck_assert_uint_eq(s.dirty_pages, 10);
	ck_assert_uint_gt(s.failed_writes, 0);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_int_eq(fx_read(fx, model_lbn(6 * i), &m), 0);
		ck_assert(mapping_equal(m, fx_mapping(i)));
	}
	ck_assert_int_eq(fx_write(fx, 60 * MAP_PAGE_ENTRIES, fx_mapping(1)),
			 -VDO_EREADONLY);
	/* A second attempt ends as well, and has nothing new to say. */
	ck_assert_int_eq(fx_drain(fx, true), -VDO_EREADONLY);
	ck_assert_int_eq(fx->errors, errors);
	fx_destroy(fx);
}
END_TEST

/* ----------------------------------------------------------------- drains */

static pbn_t held_pbn[2];

static bool hold_pages(struct fx *fx, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_WRITE && pbn != 0 &&
	       (pbn == held_pbn[0] || pbn == held_pbn[1]);
}

static bool of_nobody(enum vdo_device_op op, pbn_t pbn)
{
	return pbn != held_pbn[0] && pbn != held_pbn[1];
}

/* A leaf and an interior write held back: both orders, save or not. */
START_TEST(drain_waits)
{
	bool save = _i & 1;
	unsigned first = (unsigned)_i >> 1;
	struct fx_options o = {.seed = 7 + (uint64_t)_i};
	struct fx *fx = fx_create(&o);
	struct fx_drain drain;
	struct page *parent;

	ck_assert_int_eq(fx_make(fx, 5, &held_pbn[0]), 0);
	parent = forest_get(&fx->map->forest, 0, 1, 0);
	held_pbn[1] = parent->pbn;
	ck_assert_int_eq(fx_write(fx, 5, fx_mapping(1)), 0);
	fx->hold = hold_pages;
	if (!save) {
		fx_tail(fx, 5000);
		fx_run(fx);
		ck_assert(!list_empty(&fx->held));
	}
	fx_drain_start(fx, save, &drain);
	fx_run(fx);
	ck_assert(!drain.ended);
	held_pbn[first] = 0;
	ck_assert_uint_eq(fx_release(fx, of_nobody), 1);
	fx_run(fx);
	ck_assert(!drain.ended);
	held_pbn[!first] = 0;
	ck_assert_uint_eq(fx_release(fx, of_nobody), 1);
	fx_run(fx);
	ck_assert(drain.ended);
	ck_assert_int_eq(drain.done.result, 0);
	ck_assert_uint_eq(fx_map_holds(fx), 0);
	/* And again, with nothing to do. */
	ck_assert_int_eq(fx_drain(fx, save), 0);
	fx_destroy(fx);
}
END_TEST

static bool hold_reads(struct fx *fx, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_READ;
}

/* Lookups count as well; and what they change is saved. */
START_TEST(drain_waits_for_lookups)
{
	struct fx_options o = {.seed = 11};
	struct fx *fx = fx_create(&o);
	struct fx_req req = {.create = true};
	struct fx_drain drain;

	fx->hold = hold_reads;
	fx_start(fx, &req, 77);
	fx_run(fx);
	fx_drain_start(fx, true, &drain);
	fx_run(fx);
	ck_assert(!drain.ended && !req.done);
	fx->hold = NULL;
	ck_assert_uint_eq(fx_release(fx, NULL), 1);
	fx_run(fx);
	ck_assert(drain.ended && req.done);
	ck_assert_int_eq(req.result, 0);
	ck_assert_uint_eq(fx_map_holds(fx), 0);
	ck_assert(mapping_page_initialised(fx_block(fx, FX_ROOT_ORIGIN)));
	fx_destroy(fx);
}
END_TEST

/* Fresh region, stop, start, change the same tree pages; many times. */
START_TEST(restarts)
{
	struct fx_options o = {.seed = 12, .zones = 3};
	struct fx *fx = fx_create(&o);
	struct mapping m;

	for (unsigned i = 0; i < 30; i++) {
		lbn_t lbn = (lbn_t)i * 60 * MAP_PAGE_ENTRIES + i;

		ck_assert_int_eq(fx_write(fx, lbn, fx_mapping(i)), 0);
		ck_assert_int_eq(fx_drain(fx, true), 0);
		fx_reopen(fx);
		for (unsigned k = 0; k <= i; k++) {
			lbn = (lbn_t)k * 60 * MAP_PAGE_ENTRIES + k;
			ck_assert_int_eq(fx_read(fx, lbn, &m), 0);
			ck_assert(mapping_equal(m, fx_mapping(k)));
		}
	}
	fx_destroy(fx);
}
END_TEST

/* ---------------------------------------------------------- bytes on disk */

START_TEST(page_bytes)
{
	struct fx_options o = {.seed = 13};
	struct fx *fx = fx_create(&o);
	uint8_t want[BLOCK_SIZE];
	struct mapping m = {.pbn = UINT64_C(0x12c8), .state = 5};
	pbn_t leaf, child = 0;

	fx_fill_garbage(fx);
	ck_assert_int_eq(fx_make(fx, 3, &leaf), 0);
	ck_assert_int_eq(fx_write(fx, 3, m), 0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	memset(want, 0, sizeof(want));
	want[0] = 4;
	want[4] = 1;
	put_u64(want + 8, FX_NONCE);
	put_u64(want + 16, leaf);
	want[32] = 1;
	want[36 + 3 * 5] = 5;
	want[36 + 3 * 5 + 1] = 0xc8;
	want[36 + 3 * 5 + 2] = 0x12;
	ck_assert_mem_eq(fx_block(fx, leaf), want, BLOCK_SIZE);
	/* The way down from the root, on disk. */
	child = FX_ROOT_ORIGIN;
	for (unsigned level = 4; level > 0; level--) {
		const uint8_t *page = fx_block(fx, child);

		ck_assert_int_eq(mapping_page_check(page, FX_NONCE, child),
				 MAP_PAGE_VALID);
		m = mapping_page_get(page, 0);
		ck_assert_uint_eq(m.state, STATE_UNCOMPRESSED);
		ck_assert_uint_eq(fx->depot.refs[m.pbn], REFS_MAX);
		child = m.pbn;
	}
	ck_assert_uint_eq(child, leaf);
	ck_assert_uint_eq(fx->depot.adjusted, 4);
	fx_destroy(fx);
}
END_TEST

/* ------------------------------------------------------------- allocations */

START_TEST(memory_is_short)
{
	struct fx_options o = {.seed = 14, .zones = 3};
	struct fx *fx = fx_create(&o);
	struct map_config c = {
		.zone_count = 3,
		.queues = fx->zones,
		.depot = &fx->depot,
		.sb = &fx->sb,
		.cache_pages = 100,
		.maximum_age = 10,
		.journal_tail = 1,
	};
	struct map *m = NULL;
	int r = -ENOMEM;
	unsigned long n;

	for (n = 1; r != 0; n++) {
		alloc_fail_at(n);
		r = map_create(&c, &m);
		alloc_fail_at(0);
		ck_assert(r == 0 || r == -ENOMEM);
		ck_assert(r == 0 || m == NULL);
	}
	ck_assert_uint_gt(n, 20);
	map_destroy(m);
	map_destroy(NULL);
	/* A request does not ask for memory: it finds a page that is spare. When
	 * these are used up those fail, alone, that need one. */
	alloc_fail_from(1);
	for (n = 0; n < ROOT_COUNT; n++) {
		r = fx_write(fx, n * MAP_PAGE_ENTRIES, fx_mapping(1));
		ck_assert(r == 0 || (r == -ENOMEM && n >= o.zones));
	}
	ck_assert_int_eq(r, -ENOMEM);
	alloc_fail_from(0);
	for (n = 0; n < ROOT_COUNT; n++)
		ck_assert_int_eq(fx_write(fx, n * MAP_PAGE_ENTRIES,
					  fx_mapping(n)), 0);
	ck_assert_int_eq(fx_write(fx, 0, fx_mapping(1)), 0);
	ck_assert(!readonly_entered(&fx->readonly));
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_destroy(fx);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("map");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, random_operations, 0, ARRAY_SIZE(model_cases));
	tcase_add_loop_test(tc, crash, 0, (int)unit_share(CRASH_SEEDS));
	tcase_add_loop_test(tc, runs, 0, 6);
	tcase_add_test(tc, io_fails);
	tcase_add_test(tc, reads_go_on);
	tcase_add_loop_test(tc, drain_waits, 0, 4);
	tcase_add_test(tc, drain_waits_for_lookups);
	tcase_add_test(tc, restarts);
	tcase_add_test(tc, page_bytes);
	tcase_add_test(tc, memory_is_short);
	return unit_run();
}
