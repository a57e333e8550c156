/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <errno.h>
#include <stdlib.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"
#include "tests/unit/map_fixture.h"

/* Leaf pages of one tree follow at this distance. */
#define TREE_STEP ((lbn_t)ROOT_COUNT * MAP_PAGE_ENTRIES)

static struct page *interior(struct fx *fx, lbn_t lbn, unsigned level)
{
	struct tree_place place;

	mapping_tree_place(lbn, ROOT_COUNT, &place);
	return forest_get(&fx->map->forest, place.root, level,
			  place.page[level]);
}

START_TEST(nothing_without_allocate)
{
	struct fx_options o = {.seed = 1};
	struct fx *fx = fx_create(&o);
	struct mapping m = {1, 1};

	ck_assert_int_eq(fx_read(fx, 1234567, &m), 0);
	ck_assert_uint_eq(m.pbn, 0);
	/* And a second time, with the root in memory. */
	ck_assert_int_eq(fx_read(fx, 1234567, &m), 0);
	ck_assert_uint_eq(fx->journal.log_count, 0);
	ck_assert_uint_eq(fx->reads, 1);
	fx_destroy(fx);
}
END_TEST

static struct fx_req reqs[700];

static void start_all(struct fx *fx, unsigned count, lbn_t step)
{
	memset(reqs, 0, sizeof(reqs));
	for (unsigned i = 0; i < count; i++) {
		reqs[i].create = true;
		fx_start(fx, &reqs[i], i * step);
	}
	fx_run(fx);
	for (unsigned i = 0; i < count; i++)
		ck_assert(reqs[i].done);
	ck_assert_uint_eq(fx->depot.locks, 0);
	ck_assert_uint_eq(fx_entry_holds(fx), 0);
}

/* Each journal entry of type 1 is a page; parents come first. */
static void check_log(struct fx *fx, unsigned pages)
{
	const struct journal *j = &fx->journal;
	bool known[FX_BLOCKS] = {false};

	ck_assert_uint_eq(j->log_count, pages);
	ck_assert_uint_eq(fx->depot.adjusted, pages);
	for (size_t i = 0; i < j->log_count; i++) {
		const struct journal_entry *e = &j->log[i].entry;

		ck_assert_int_eq(e->operation, JOURNAL_BLOCK_MAP);
		ck_assert(known[e->page] ||
			  (e->page >= FX_ROOT_ORIGIN &&
			   e->page < FX_ROOT_ORIGIN + ROOT_COUNT));
		ck_assert_uint_eq(e->new_mapping.state, STATE_UNCOMPRESSED);
		ck_assert_uint_eq(e->old_mapping.pbn, 0);
		ck_assert(!known[e->new_mapping.pbn]);
		known[e->new_mapping.pbn] = true;
	}
}

static const struct {
	unsigned count;
	lbn_t step;
	unsigned zones;
	unsigned pages;
} creations[] = {
	{50, 1, 1, 4},			   /* one leaf */
	{50, MAP_PAGE_ENTRIES, 3, 50 * 4}, /* a leaf in each of 50 trees */
	{600, TREE_STEP, 1, 3 + 600},	   /* one tree, > CREATING_MAX */
	{4, TREE_STEP * 812, 1, 2 + 2 * 4}, /* a level 1 page each */
	{60, TREE_STEP * 20, 1, 2 + 2 + 60},
};

/* Many at once, each page is made once. */
START_TEST(created_once)
{
	struct fx_options o = {.seed = 10 + (uint64_t)_i,
			       .zones = creations[_i].zones};
	struct fx *fx = fx_create(&o);
	struct mapping m;

	start_all(fx, creations[_i].count, creations[_i].step);
	for (unsigned i = 0; i < creations[_i].count; i++) {
		ck_assert_int_eq(reqs[i].result, 0);
		ck_assert_uint_ne(reqs[i].op.page, 0);
		ck_assert_uint_eq(reqs[i].op.slot,
				  i * creations[_i].step % MAP_PAGE_ENTRIES);
	}
	check_log(fx, creations[_i].pages);
	/* The same pages after a restart. */
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	for (unsigned i = 0; i < creations[_i].count; i += 10) {
		pbn_t page;

		ck_assert_int_eq(fx_make(fx, i * creations[_i].step, &page),
				 0);
		ck_assert_uint_eq(page, reqs[i].op.page);
	}
	ck_assert_int_eq(fx_read(fx, 0, &m), 0);
	check_log(fx, creations[_i].pages);
	fx_destroy(fx);
}
END_TEST

/* No space after the Nth page: who needs more fails, and it is no harm. */
START_TEST(no_space)
{
	struct fx_options o = {.seed = 20 + (uint64_t)_i};
	struct fx *fx = fx_create(&o);
	unsigned done = 0;

	fx->depot.available = (unsigned)_i;
	start_all(fx, 10, TREE_STEP * 300);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert(reqs[i].result == 0 || reqs[i].result == -ENOSPC);
		done += reqs[i].result == 0;
	}
	check_log(fx, (unsigned)_i);
	ck_assert(!readonly_entered(&fx->readonly));
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	fx->depot.available = 100;
	start_all(fx, 10, TREE_STEP * 300);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(reqs[i].result, 0);
	/* Ten leaves under four level 1 pages, two above. */
	check_log(fx, 16);
	ck_assert_uint_lt(done, 10);
	fx_destroy(fx);
}
END_TEST

static const struct {
	const char *what;
	struct mapping entry;
} bad_entries[] = {
	{"unmapped with a block", {FX_FIRST_BLOCK, 0}},
	{"zero block", {0, 1}},
	{"compressed", {FX_FIRST_BLOCK, 2}},
	{"compressed zero", {0, 9}},
	{"before the slabs", {FX_FIRST_BLOCK - 1, 1}},
	{"not a data block", {FX_FIRST_BLOCK + FX_DATA_BLOCKS, 1}},
	{"behind the slabs", {UINT64_C(0xf00000000), 1}},
};

START_TEST(damaged_interior_entry)
{
	unsigned level = 1 + (unsigned)_i % 4;
	struct fx_options o = {.seed = 30 + (uint64_t)_i};
	struct fx *fx = fx_create(&o);
	struct mapping m;
	pbn_t page;

	ck_assert_int_eq(fx_make(fx, 9, &page), 0);
	page = interior(fx, 9, level)->pbn;
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	mapping_page_put(fx_block(fx, page), 0, bad_entries[_i / 4].entry);
	ck_assert_int_eq(fx_read(fx, 9, &m), -VDO_EMAPPING);
	ck_assert(readonly_entered(&fx->readonly));
	/* The same answer from memory. */
	ck_assert_int_eq(fx_read(fx, 9, &m), -VDO_EMAPPING);
	ck_assert_int_eq(fx->errors, 1);
	fx_destroy(fx);
}
END_TEST

/* Bytes of the header of an interior page, and what reading says then. */
static const struct {
	const char *what;
	unsigned offset;
	uint8_t value;
	int below, root;
} bad_pages[] = {
	{"version", 0, 9, -VDO_ECORRUPT, -VDO_ECORRUPT},
	{"minor version", 4, 9, -VDO_ECORRUPT, -VDO_ECORRUPT},
	{"nonce of an older volume", 8, 1, 0, -VDO_ECORRUPT},
	{"the first image", 32, 0, 0, 0},
	{"impossible flag", 32, 2, -VDO_ECORRUPT, -VDO_ECORRUPT},
	{"other place", 16, 1, -VDO_ECORRUPT, -VDO_ECORRUPT},
	{"other place, far away", 20, 9, -VDO_ECORRUPT, -VDO_ECORRUPT},
};

static struct fx *with_bad_page(int i, unsigned level, int *want)
{
	struct fx_options o = {.seed = 40 + (uint64_t)i};
	struct fx *fx = fx_create(&o);
	pbn_t page;

	ck_assert_int_eq(fx_write(fx, 9, fx_mapping(1)), 0);
	page = interior(fx, 9, level)->pbn;
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	fx_block(fx, page)[bad_pages[i].offset] = bad_pages[i].value;
	fx->durable[page * BLOCK_SIZE + bad_pages[i].offset] =
		bad_pages[i].value;
	*want = level == MAP_LEVELS - 1 ? bad_pages[i].root
					: bad_pages[i].below;
	return fx;
}

/* Pages that were never written are empty; damage is an error, at each level, to
 * readers and writers, and nothing is written over it. */
START_TEST(unusable_interior_page)
{
	unsigned level = 1 + (unsigned)_i % 4;
	struct mapping m;
	int want;
	struct fx *fx = with_bad_page(_i / 4, level, &want);

	ck_assert_int_eq(fx_read(fx, 9, &m), want);
	ck_assert_int_eq(readonly_entered(&fx->readonly), want != 0);
	ck_assert_int_eq(fx->errors, want != 0);
	if (want != 0) {
		/* And so it stays. */
		ck_assert_int_eq(fx_read(fx, 9, &m), want);
		ck_assert_int_ne(fx_write(fx, 9, fx_mapping(2)), 0);
		fx_destroy(fx);
		return;
	}
	ck_assert_uint_eq(m.pbn, 0);
	/* It can be used. */
	ck_assert_int_eq(fx_write(fx, 9, fx_mapping(2)), 0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	ck_assert_int_eq(fx_read(fx, 9, &m), 0);
	ck_assert(mapping_equal(m, fx_mapping(2)));
	fx_destroy(fx);
}
END_TEST

/* The first to see the damage is a writer. */
START_TEST(write_below_bad_page)
{
	unsigned level = 1 + (unsigned)_i % 4;
	int want;
	struct fx *fx = with_bad_page(_i / 4, level, &want);

	ck_assert_int_eq(fx_write(fx, 9, fx_mapping(2)), want);
	ck_assert_int_eq(readonly_entered(&fx->readonly), want != 0);
	fx_destroy(fx);
}
END_TEST

static bool hold_leaf_parent(struct fx *fx, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_WRITE && pbn == interior(fx, 0, 1)->pbn;
}

/* An interior page is changed while it is written: both reach the disk. */
START_TEST(changed_during_write)
{
	struct fx_options o = {.seed = 50};
	struct fx *fx = fx_create(&o);
	struct page *parent;
	pbn_t pages[3];

	ck_assert_int_eq(fx_make(fx, 0, &pages[0]), 0);
	ck_assert_uint_eq(fx_map_holds(fx), MAP_LEVELS);
	parent = interior(fx, 0, 1);
	fx->hold = hold_leaf_parent;
	fx_tail(fx, 9000);
	fx_run(fx);
	ck_assert_int_eq(parent->state, PAGE_OUTGOING);
	ck_assert_int_eq(fx_make(fx, TREE_STEP, &pages[1]), 0);
	ck_assert_int_eq(fx_make(fx, 2 * TREE_STEP, &pages[2]), 0);
	ck_assert_int_eq(parent->state, PAGE_OUTGOING);
	/* Of the parent, before and now, and of each page that is new. */
	ck_assert_uint_eq(fx_map_holds(fx), 2 + 2);
	fx->hold = NULL;
	(void)fx_release(fx, NULL);
	fx_run(fx);
	/* First write in two images; what came later is not yet due. */
	ck_assert_uint_eq(fx->writes[parent->pbn], 2);
	ck_assert_int_eq(parent->state, PAGE_DIRTY);
	ck_assert_uint_eq(mapping_page_get(fx_block(fx, parent->pbn), 1).pbn,
			  0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(
			mapping_page_get(fx_block(fx, parent->pbn), i).pbn,
			pages[i]);
	ck_assert_uint_eq(fx->writes[parent->pbn], 3);
	fx_destroy(fx);
}
END_TEST

/* The ends of the largest volume. */
START_TEST(largest_volume)
{
	static const lbn_t lbns[] = {0, LOGICAL_BLOCKS_MAX - 1,
				     LOGICAL_BLOCKS_MAX / 2};
	struct fx_options o = {.seed = 60,
			       .logical_blocks = LOGICAL_BLOCKS_MAX};
	struct fx *fx = fx_create(&o);
	struct mapping m;

	for (unsigned i = 0; i < ARRAY_SIZE(lbns); i++)
		ck_assert_int_eq(fx_write(fx, lbns[i], fx_mapping(i)), 0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	for (unsigned i = 0; i < ARRAY_SIZE(lbns); i++) {
		ck_assert_int_eq(fx_read(fx, lbns[i], &m), 0);
		ck_assert(mapping_equal(m, fx_mapping(i)));
		ck_assert_int_eq(fx_read(fx, lbns[i] ^ 1, &m), 0);
		ck_assert_uint_eq(m.pbn, 0);
	}
	fx_destroy(fx);
}
END_TEST

/* Read-only mode refuses new pages, wherever it begins on the way. */
START_TEST(read_only_on_the_way)
{
	struct fx_options o = {.seed = 70 + (uint64_t)_i};
	struct fx *fx = fx_create(&o);
	struct fx_req req = {.create = true};

	fx_start(fx, &req, 5);
	(void)sim_executor_run(fx->x, (uint64_t)_i);
	readonly_enter(&fx->readonly, -EIO, "test");
	fx_run(fx);
	ck_assert(req.done);
	ck_assert(req.result == -VDO_EREADONLY || req.result == 0);
	ck_assert_uint_eq(fx->depot.locks, 0);
	ck_assert_int_eq(fx_drain(fx, false), 0);
	fx_destroy(fx);
}
END_TEST

/* One map_next() on its zone's queue. */
struct next {
	struct map_op op;
	struct completion hop;
	struct fx *fx;
	bool over;
};

static void next_over(struct completion *c)
{
	container_of(c, struct next, op.done)->over = true;
}

static void next_run(struct completion *c)
{
	struct next *n = container_of(c, struct next, hop);

	n->over = map_next(n->fx->map, map_zone_of(n->fx->map, n->op.lbn),
			   &n->op);
}

static int find_next(struct fx *fx, lbn_t lbn, lbn_t end, struct next *n)
{
	struct queue *q = fx->zones[map_zone_of(fx->map, lbn)];

	*n = (struct next){.fx = fx, .op = {.lbn = lbn, .end = end}};
	completion_init(&n->op.done, q, next_over);
	completion_init(&n->hop, q, next_run);
	completion_post(&n->hop);
	fx_run(fx);
	ck_assert(n->over);
	return n->op.done.result;
}

/* Leaves of tree 7 that exist; they part at each level. */
static const uint64_t leaves[] = {3, 4, 811, 812, 2000, 811 * 812,
				  812 * 812 + 5};

/* The next leaf of the tree from each place, and none after the last or before
 * the end; with pages in memory and when they are to be read. */
START_TEST(next)
{
	struct fx_options o = {.seed = 9,
			       .zones = 1 + (unsigned)_i % 4,
			       .logical_blocks = UINT64_C(1) << 36};
	struct fx *fx = fx_create(&o);
	lbn_t tree = 7 * MAP_PAGE_ENTRIES;
	pbn_t pages[ARRAY_SIZE(leaves)];
	struct next n;

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
		ck_assert_int_eq(fx_make(fx, tree + leaves[i] * TREE_STEP,
					 &pages[i]),
				 0);
	for (unsigned round = 0; round < 2; round++) {
		lbn_t from = tree;

		for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
			lbn_t lbn = tree + leaves[i] * TREE_STEP;

			/* It begins at @lbn, or before the end of its page. */
			ck_assert_int_eq(find_next(fx, from, o.logical_blocks,
						   &n),
					 0);
			ck_assert_uint_eq(n.op.page, pages[i]);
			ck_assert_uint_eq(n.op.lbn, lbn);
			ck_assert_uint_eq(n.op.slot, 0);
			ck_assert_int_eq(find_next(fx, lbn + 811,
						   lbn + 812, &n),
					 0);
			ck_assert_uint_eq(n.op.page, pages[i]);
			ck_assert_uint_eq(n.op.lbn, lbn + 811);
			ck_assert_uint_eq(n.op.slot, 811);
			if (from < lbn) {
				ck_assert_int_eq(find_next(fx, from, lbn, &n),
						 0);
				ck_assert_uint_eq(n.op.page, 0);
			}
			from = lbn + TREE_STEP;
		}
		ck_assert_int_eq(find_next(fx, from, o.logical_blocks, &n), 0);
		ck_assert_uint_eq(n.op.page, 0);
		/* Another tree has nothing. */
		ck_assert_int_eq(find_next(fx, 0, o.logical_blocks, &n), 0);
		ck_assert_uint_eq(n.op.page, 0);
		ck_assert_int_eq(fx_drain(fx, true), 0);
		fx_reopen(fx);
	}
	fx_destroy(fx);
}
END_TEST

/* All leaves of a range, each once, tree by tree. */
START_TEST(walk)
{
	static const struct {
		lbn_t first, end;
	} ranges[] = {{0, 1},	    {811, 813},	     {5, TREE_STEP + 7},
		      {900, 5000},  {0, 1 << 17},    {1000, 61 * 812},
		      {811, 60 * 812 + 811}};
	struct fx_options o = {.seed = 9};
	struct fx *fx = fx_create(&o);

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		lbn_t first = ranges[i].first, end = ranges[i].end;
		uint64_t begin = first / 812, count = div_up(end, 812) - begin;
		bool *seen = calloc(count, sizeof(*seen));
		uint64_t n = 0;

		for (lbn_t lbn = first; lbn < end;
		     lbn = map_walk_leaf(fx->map, lbn, first, end)) {
			ck_assert(lbn == first || lbn % 812 == 0);
			ck_assert(!seen[lbn / 812 - begin]);
			seen[lbn / 812 - begin] = true;
			ck_assert_uint_le(++n, count);
		}
		ck_assert_uint_eq(n, count);
		free(seen);
	}
	fx_destroy(fx);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("tree");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, nothing_without_allocate);
	tcase_add_loop_test(tc, created_once, 0, ARRAY_SIZE(creations));
	tcase_add_loop_test(tc, no_space, 0, 16);
	tcase_add_loop_test(tc, damaged_interior_entry, 0,
			    4 * ARRAY_SIZE(bad_entries));
	tcase_add_loop_test(tc, unusable_interior_page, 0,
			    4 * ARRAY_SIZE(bad_pages));
	tcase_add_loop_test(tc, write_below_bad_page, 0,
			    4 * ARRAY_SIZE(bad_pages));
	tcase_add_loop_test(tc, next, 0, 4);
	tcase_add_test(tc, walk);
	tcase_add_test(tc, changed_during_write);
	tcase_add_test(tc, largest_volume);
	tcase_add_loop_test(tc, read_only_on_the_way, 0, 50);
	return unit_run();
}
