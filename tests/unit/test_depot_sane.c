/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walks over slabs, their journals and zones see each kind of damage.
 *
 * The other tests of the depot run the same walks over depots that are well,
 * through fx_run().
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;
static struct depot_zone *z;
static struct slab *s;
static struct slab_journal *sj;

#define DAMAGE(field, value) UNIT_DAMAGE(depot_sane(f->d), field, value)
#define DAMAGE_QUEUE(q, w)   UNIT_DAMAGE_QUEUE(depot_sane(f->d), q, w)

static void commit_all(void)
{
	depot_commit_tails(f->d, SEQ_MAX);
	fx_run(f);
}

/*
 * Slab 0 has one block of its journal that is in the summary, one that is being
 * written, and entries in the tail. One block is locked and provisional.
 */
static void setup(void)
{
	f = fx_create((struct fx_config){13, 3, 8, 1, 16});
	ck_assert_int_eq(fx_load(f, true), 0);
	z = &f->d->zones[0];
	s = &f->d->slabs[0];
	fx_write(f, 0);
	fx_write(f, 0);
	sj = s->journal;
	commit_all();
	fx_write(f, 0);
	fx_allocate(f, 0, NULL);
}

static void hold_journal(void)
{
	f->dev.hold_from = slabjournal_start(s);
	f->dev.hold_to = slabjournal_start(s) + 8;
	commit_all();
	ck_assert(!list_empty(&sj->writing));
}

static void teardown(void)
{
	fx_release(f);
	fx_destroy(f);
}

START_TEST(counters)
{
	uint32_t free_count = s->free_count;

	DAMAGE(s->free_count, free_count - 1);
	DAMAGE(s->counts[2], 0);
	DAMAGE(s->counts[5000], 1);
	DAMAGE(s->counts[2], COUNT_PROVISIONAL); /* without a lock */
	DAMAGE(s->counts[3], 1); /* its lock owns a reference */
	DAMAGE(s->blocks[0].allocated, 5);
	DAMAGE(s->blocks[1].allocated, 1);
	DAMAGE(z->stats.allocated, 3);
	DAMAGE(s->cursor, 8200);
	/* A slab that was never used. */
	DAMAGE(f->d->slabs[2].free_count, 1);
	DAMAGE(f->d->slabs[2].counts, s->counts);
}
END_TEST

START_TEST(places)
{
	struct slab *other = &f->d->slabs[1];

	ck_assert_ptr_eq(z->open, s);
	DAMAGE(z->open, NULL);
	DAMAGE(z->open, other);
	DAMAGE(s->open, false);
	DAMAGE(other->open, true);
	DAMAGE(other->node.priority, 3);
	DAMAGE(z->slabs.used, 0);
	DAMAGE(z->slabs.used, z->slabs.used | 1);
	/* It has left the table, and nobody allocates from it. */
	prioq_remove(&z->slabs, &other->node);
	ck_assert(!depot_sane(f->d));
	alloc_enlist(other);
	ck_assert(depot_sane(f->d));
}
END_TEST

START_TEST(dirty_blocks)
{
	struct ref_block *b = &s->blocks[0], *next = &s->blocks[1];

	ck_assert(b->dirty && next->dirty);
	ck_assert_uint_eq(s->dirty.count, f->d->ref_blocks);
	DAMAGE(b->dirty, false);
	DAMAGE(b->writing, true);
	DAMAGE(s->writing, 1);
	DAMAGE(s->dirty.count, 0);
	DAMAGE(next->link.next, &b->link);
	DAMAGE(s->wanted, f->d->ref_blocks + 1);
	DAMAGE(s->waiting, true);
	DAMAGE(b->lock, 0);
	DAMAGE(b->lock, 2);
	DAMAGE(b->lock, 9);
}
END_TEST

START_TEST(sequence_numbers)
{
	hold_journal();
	fx_release(f);
	fx_write(f, 0);
	hold_journal();
	ck_assert_uint_eq(sj->tail, 4);
	ck_assert_uint_eq(sj->next_commit, 3);
	DAMAGE(sj->head, 0);
	DAMAGE(sj->head, 2); /* block 1 is held */
	DAMAGE(sj->reap_to, 2);
	DAMAGE(sj->summarized, 2);
	DAMAGE(sj->summarized, 4);
	DAMAGE(sj->updating_to, 2);
	DAMAGE(sj->updating_to, 4);
	DAMAGE(sj->next_commit, 2);
	DAMAGE(sj->next_commit, 4);
	DAMAGE(sj->tail, 3);
	DAMAGE(sj->tail, 10);
	DAMAGE(sj->done.tail, 4);
	DAMAGE(sj->flushed.tail, 4);
	DAMAGE(sj->partial, 4);
	DAMAGE(sj->partial, 2);
	DAMAGE(s->applied, point_pack((struct journal_point){4, 0}));
}
END_TEST

START_TEST(tail)
{
	struct list_node *list = &z->open_tails;

	ck_assert_uint_eq(sj->entries, 1);
	DAMAGE(sj->entries, 0);
	DAMAGE(sj->entries, SLAB_ENTRIES_MAX);
	DAMAGE(sj->entries, SLAB_ENTRIES_MAX + 1);
	DAMAGE(sj->stops, STOP_IO);
	DAMAGE(sj->tail_lock, NULL);
	DAMAGE(sj->held, sj->held + 1);
	list_remove(&sj->by_held);
	ck_assert(!depot_sane(f->d));
	list_push_back(list, &sj->by_held);
	ck_assert(depot_sane(f->d));
	/* An entry waits, and nothing says why. */
	DAMAGE_QUEUE(&sj->waiting, &s->metaio_wait.link);
}
END_TEST

START_TEST(locks_of_blocks)
{
	struct sj_lock *first = &sj->locks[1], *open = &sj->locks[2];

	/* All reference blocks hang on the first. */
	ck_assert_uint_eq(first->count, f->d->ref_blocks);
	ck_assert_uint_eq(open->count, 1);
	DAMAGE(first->count, 1);
	DAMAGE(first->count, first->count + 1);
	DAMAGE(first->held, 7);
	DAMAGE(open->count, 0);
	DAMAGE(open->held, 0);
	DAMAGE(sj->locks[3].count, 1);
	DAMAGE(sj->locks[0].held, 1);
}
END_TEST

START_TEST(writes)
{
	struct meta_io *io;

	hold_journal();
	io = list_entry(sj->writing.next, struct meta_io, link);
	DAMAGE(io->seq, 3);
	DAMAGE(io->slab, &f->d->slabs[1]);
	DAMAGE(z->pending, 0);
	/* As if it wrote counts. */
	list_remove(&io->link);
	ck_assert(!depot_sane(f->d));
	list_push_back(&sj->writing, &io->link);
	ck_assert(depot_sane(f->d));
}
END_TEST

START_TEST(zones)
{
	struct pbn_lock *lock = intmap_get(&z->locks, s->start + 3);

	ck_assert_ptr_nonnull(lock);
	DAMAGE(lock->pbn, lock->pbn + 1);
	DAMAGE(lock->holders, 0);
	DAMAGE(lock->provisional, false);
	DAMAGE(lock->claims, 1);
	DAMAGE(lock->next_free, lock);
	DAMAGE(z->locks.count, 0);
	DAMAGE(z->locks_free, lock);
	DAMAGE(z->locks_used, z->locks_used + 1);
	DAMAGE(z->runs[0].at, z->runs[0].end + 1);
	DAMAGE(z->runs[0].end, s->cursor + 1);
	DAMAGE(z->runs[1], z->runs[0]);
	DAMAGE(z->preparing, true);
	DAMAGE(z->summary.blocks[0].writing, true);
	DAMAGE_QUEUE(&z->summary.blocks[0].waiting, &s->clean_op.link);
	DAMAGE_QUEUE(&z->pool.waiting, &s->metaio_wait.link);
	DAMAGE_QUEUE(&z->waiting, &s->metaio_wait.link);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("walks");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, counters);
	tcase_add_test(tc, places);
	tcase_add_test(tc, dirty_blocks);
	tcase_add_test(tc, sequence_numbers);
	tcase_add_test(tc, tail);
	tcase_add_test(tc, locks_of_blocks);
	tcase_add_test(tc, writes);
	tcase_add_test(tc, zones);
	return unit_run();
}
