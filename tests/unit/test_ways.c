/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to pages: what a page on the storage tells of a block that was set
 * aside.
 */
#include "build.h"

#include "recovery/recovery_priv.h"

#include <string.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"

/* Of 4 PB, so that all slots lead somewhere. */
#define LOGICAL_BLOCKS (UINT64_C(1) << 40)
#define NONCE	       1234u
#define PARENT	       2000u
#define LEAF	       3000u

enum { WHOLE_SLOT = 401, TORN_SLOT = 402 }; /* the second is in two sectors */

static struct recovery r;
static struct page_worker worker;
static const struct log nobody;
static uint8_t page[BLOCK_SIZE];

/* An entry has data in LEAF, which is set aside. */
static void setup(void)
{
	struct journal_entry e = {
		.operation = JOURNAL_DATA,
		.page = LEAF,
		.slot = 1,
		.new_mapping = {5000, STATE_UNCOMPRESSED},
	};

	memset(&r, 0, sizeof(r));
	memset(&worker, 0, sizeof(worker));
	r.c.log = &nobody;
	r.sb.logical_blocks = LOGICAL_BLOCKS;
	r.facts.nonce = NONCE;
	r.facts.root_origin = 1;
	r.facts.root_count = ROOT_COUNT;
	r.facts.slabs = (struct slab_geometry){
		.first_block = 1000,
		.slab_shift = 16,
		.data_blocks = 60000,
		.slab_count = 1,
	};
	ck_assert_int_eq(replay_table_create(1, &r.table), 0);
	ck_assert(replay_table_add(r.table, &e));
	replay_table_sort(r.table);
	ways_set_aside(&r, LEAF, false);
	r.workers = &worker;
	worker.bytes = page;
}

static void teardown(void)
{
	ways_clear(&r);
	replay_table_destroy(r.table);
}

/* What comes of a page of @level whose slot @slot leads to LEAF. */
static int look(unsigned level, unsigned slot)
{
	mapping_page_format(page, NONCE, PARENT, true);
	mapping_page_put(page, slot,
			 (struct mapping){LEAF, STATE_UNCOMPRESSED});
	worker.way = (struct way){PARENT, 0, level};
	r.reading = 1;
	return ways_look(&r);
}

START_TEST(leads_to_it)
{
	unsigned slots[] = {WHOLE_SLOT, TORN_SLOT};

	ck_assert(!mapping_spans_sectors(WHOLE_SLOT));
	ck_assert(mapping_spans_sectors(TORN_SLOT));
	ck_assert_int_eq(look(1, slots[_i]), 0);
	ck_assert_uint_eq(r.aside_met, 1);
	ck_assert_int_eq(ways_end(&r), 0);
}
END_TEST

/* As to a page that leads to others: the entry is not true. */
START_TEST(at_another_level)
{
	ck_assert_int_eq(look(2, WHOLE_SLOT), -VDO_ECORRUPT);
	ck_assert_uint_eq(r.result.wrong_page, LEAF);
}
END_TEST

/* But what is left of a slot that was torn leads anywhere, and tells nothing.
 */
START_TEST(by_a_torn_slot)
{
	ck_assert_int_eq(look(2, TORN_SLOT), 0);
	ck_assert_uint_eq(r.aside_met, 0);
	ck_assert_uint_eq(r.way_count, 0);
	ck_assert_ptr_null(r.result.wrong);
	ck_assert_int_eq(ways_end(&r), -VDO_ECORRUPT);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("ways");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, leads_to_it, 0, 2);
	tcase_add_test(tc, at_another_level);
	tcase_add_test(tc, by_a_torn_slot);
	return unit_run();
}
