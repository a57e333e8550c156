/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walks over the recovery journal see each kind of damage.
 *
 * test_journal.c runs the same walks over journals that are well, through
 * rig_run().
 */
#include "build.h"

#include "journal/journal_priv.h"

#include <string.h>

#include "tests/lib/unit.h"
#include "tests/unit/journal_rig.h"

#define PER_BLOCK JOURNAL_ENTRIES_PER_BLOCK
#define SIZE	  64u

static struct rig rig;
static struct rig *const r = &rig;
static struct journal *j;

#define DAMAGE(field, value) UNIT_DAMAGE(journal_sane(j), field, value)

static struct holds *holds_at(seq_t seq)
{
	return &j->holds[seq % SIZE];
}

/*
 * Blocks 100 and 101 are durable and full, of which 100 is let go; 102 is durable
 * in part. The operation that is under way after that is left at the device.
 */
static void setup(void)
{
	rig_open(r, SIZE, 100, VDO_DEVICE_VOLATILE_CACHE);
	j = r->journal;
	rig_append(r, 2 * PER_BLOCK + 50);
	rig_release_entries(r, 100, PER_BLOCK);
	r->hold = true;
	rig_append(r, 300);
}

static void teardown(void)
{
	r->hold = false;
	rig_complete_all(r);
	rig_close(r);
}

START_TEST(positions)
{
	ck_assert_uint_eq(j->map_head, 101);
	ck_assert_uint_eq(j->durable, 102);
	ck_assert_uint_eq(j->tail, 104);
	DAMAGE(j->map_head, 0);
	DAMAGE(j->map_head, 104);
	DAMAGE(j->slab_head, 104);
	DAMAGE(j->map_head, 102); /* 101 is held */
	DAMAGE(j->durable, 101);
	DAMAGE(j->durable, 103);
	DAMAGE(j->tail, 105);
	DAMAGE(j->tail, 103);
	DAMAGE(j->usable, SIZE);
	DAMAGE(j->usable, 2);
	DAMAGE(j->active, 1);
	DAMAGE(j->active, 3);
	DAMAGE(j->oldest, j->reserved);
	DAMAGE(j->oldest, j->oldest + 1);
}
END_TEST

START_TEST(blocks)
{
	struct block *first = ring_block(j, 0), *second = ring_block(j, 1);

	DAMAGE(first->seq, 101);
	DAMAGE(second->seq, 102);
	DAMAGE(first->written, 0);
	DAMAGE(first->written, first->encoded + 1);
	DAMAGE(second->written, 1);
	DAMAGE(first->sent, 0);
	DAMAGE(first->sent, first->encoded + 1);
	DAMAGE(second->sent, 1);
	DAMAGE(first->encoded, 0);
	DAMAGE(second->encoded, second->assigned + 1);
	DAMAGE(first->assigned, PER_BLOCK - 1);
	DAMAGE(second->assigned, PER_BLOCK + 1);
	DAMAGE(second->assigned, second->assigned + 1);
	DAMAGE(j->open, first);
	DAMAGE(j->open, NULL);
}
END_TEST

START_TEST(ops_and_round)
{
	struct journal_op *op;

	ck_assert_int_eq(j->round, ROUND_FLUSH);
	op = op_of(j->committing.first);
	DAMAGE(op->point.seq, 103);
	DAMAGE(op->point.entry, 49);
	DAMAGE(j->committing.count, 1);
	DAMAGE(op->link.next, op->link.next->next);
	DAMAGE(j->assigned.count, 1);
	DAMAGE(j->round, ROUND_IDLE);
	DAMAGE(j->round, ROUND_ASKED);
	DAMAGE(j->round, ROUND_WRITE);
	DAMAGE(j->batch, 3);
	DAMAGE(j->next_map_head, 100);
	DAMAGE(j->runs_pending, 1);
	DAMAGE(j->sent_blocks, 1);
	DAMAGE(ring_block(j, 0)->sent, ring_block(j, 0)->encoded);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_int_eq(j->round, ROUND_WRITE);
	ck_assert_uint_eq(j->sent_blocks, 2);
	DAMAGE(j->runs_pending, 0);
	DAMAGE(j->batch, 1);
	DAMAGE(j->sent_blocks, 0);
	DAMAGE(j->sent_blocks, 1);
	DAMAGE(j->sent_blocks, 3);
	DAMAGE(j->sent.count, 1);
	DAMAGE(ring_block(j, 1)->sent, 0);
	/* A place is free, and somebody waits for one. */
	UNIT_DAMAGE_QUEUE(journal_sane(j), &j->waiting, &op->link);
}
END_TEST

START_TEST(holds)
{
	DAMAGE(holds_at(100)->entries, 1);
	DAMAGE(holds_at(100)->map, 1);
	DAMAGE(holds_at(100)->slab, 1);
	DAMAGE(holds_at(99)->slab, 1); /* was never opened */
	DAMAGE(holds_at(101)->entries, PER_BLOCK + 1);
	DAMAGE(holds_at(102)->entries, PER_BLOCK + 2);
	DAMAGE(holds_at(102)->entries, PER_BLOCK - 50);
	DAMAGE(holds_at(103)->entries, PER_BLOCK);
	DAMAGE(holds_at(103)->entries, 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("walks");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, positions);
	tcase_add_test(tc, blocks);
	tcase_add_test(tc, ops_and_round);
	tcase_add_test(tc, holds);
	return unit_run();
}
