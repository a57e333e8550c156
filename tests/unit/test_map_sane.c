/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk over the block map sees each kind of damage.
 *
 * The other tests of the map run the same walk over maps that are well, through
 * fx_run().
 */
#include "build.h"

#include <check.h>
#include <stdlib.h>

#include "tests/lib/unit.h"
#include "tests/unit/map_fixture.h"

#define ROOTS 60u

static struct fx *fx;
static struct map_zone *z;
static struct page *dirty, *clean, *incoming;
static struct fx_req read_req, more[3];

#define DAMAGE(field, value) UNIT_DAMAGE(map_sane(fx->map), field, value)
#define DAMAGE_QUEUE(q, w)   UNIT_DAMAGE_QUEUE(map_sane(fx->map), q, w)

static bool reads(struct fx *f, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_READ;
}

/* The LBN that begins the leaf page @n of tree 0. */
static lbn_t leaf(unsigned n)
{
	return (lbn_t)n * ROOTS * MAP_PAGE_ENTRIES;
}

static struct page *cached(pbn_t pbn)
{
	struct page *p = intmap_get(&z->leaves, pbn);

	ck_assert_ptr_nonnull(p);
	return p;
}

/*
 * Three leaf pages: the first is dirty, the second clean, and a third is being
 * read, which two operations wait for.
 */
static void setup(void)
{
	struct fx_options o = {.cache_pages = 32};
	pbn_t pages[3];

	fx = fx_create(&o);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(fx_make(fx, leaf(i), &pages[i]), 0);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	z = &fx->map->zones[0];
	ck_assert_int_eq(fx_write(fx, leaf(0), fx_mapping(1)), 0);
	ck_assert_int_eq(fx_read(fx, leaf(1), &(struct mapping){0}), 0);
	dirty = cached(pages[0]);
	clean = cached(pages[1]);
	fx->hold = reads;
	fx_start(fx, &read_req, leaf(2));
	fx_start(fx, &more[0], leaf(2) + 1);
	fx_run(fx);
	incoming = cached(pages[2]);
}

static void teardown(void)
{
	fx->hold = NULL;
	fx_release(fx, NULL);
	fx_run(fx);
	fx_destroy(fx);
}

START_TEST(states)
{
	ck_assert_int_eq(dirty->state, PAGE_DIRTY);
	ck_assert_int_eq(clean->state, PAGE_RESIDENT);
	ck_assert_int_eq(incoming->state, PAGE_INCOMING);
	DAMAGE(dirty->state, PAGE_RESIDENT);
	DAMAGE(dirty->state, PAGE_FREE);
	DAMAGE(dirty->state, PAGE_FAILED);
	DAMAGE(clean->state, PAGE_DIRTY);
	DAMAGE(clean->state, PAGE_STATES);
	DAMAGE(incoming->state, PAGE_RESIDENT);
	DAMAGE(clean->level, 1);
	DAMAGE(clean->pbn, clean->pbn + 1);
	DAMAGE(clean->evict, true);
	DAMAGE(z->evicting, 1);
	DAMAGE(z->leaves.count, 2);
	DAMAGE(z->cache_used, 2);
	DAMAGE(z->cache_size, z->cache_size + 1);
}
END_TEST

START_TEST(lists)
{
	DAMAGE(z->lru_count, 1);
	DAMAGE(clean->queued, true);
	DAMAGE(clean->again, true);
	DAMAGE(dirty->again, true);
	list_remove(&dirty->link);
	ck_assert(!map_sane(fx->map));
	list_push_back(&z->pending, &dirty->link);
	ck_assert(!map_sane(fx->map));
	list_remove(&dirty->link);
	list_push_back(&z->eras[dirty->era % z->era_count], &dirty->link);
	ck_assert(map_sane(fx->map));
	list_remove(&clean->lru);
	ck_assert(!map_sane(fx->map));
	list_push_back(&z->free, &clean->lru);
	ck_assert(!map_sane(fx->map));
	list_remove(&clean->lru);
	list_push_back(&z->lru, &clean->lru);
	ck_assert(map_sane(fx->map));
}
END_TEST

START_TEST(eras)
{
	DAMAGE(dirty->era, 0);
	DAMAGE(dirty->era, dirty->era + 1);
	DAMAGE(dirty->hold, dirty->era - 1);
	DAMAGE(clean->era, 1);
	DAMAGE(clean->hold, 1);
	DAMAGE(z->era_low, z->era_now + 1);
	DAMAGE(z->era_low, dirty->era + 1);
	DAMAGE(z->era_now, z->era_low + z->era_count);
}
END_TEST

START_TEST(operations)
{
	ck_assert_uint_eq(incoming->waiters.count, 2);
	DAMAGE(incoming->waiters.count, 1);
	DAMAGE_QUEUE(&clean->waiters, &read_req.op.link);
	DAMAGE(z->gate.inside, z->gate.inside - 1);
	DAMAGE(z->gate.inside, z->gate.inside + 1);
	DAMAGE_QUEUE(&z->wanting, &read_req.op.link);
	DAMAGE_QUEUE(&z->creators, &read_req.op.link);
	DAMAGE(z->free_io, z->free_io->next_free);
	DAMAGE(z->free_io->page, clean);
}
END_TEST

START_TEST(tree_pages)
{
	struct page *p = forest_get(&fx->map->forest, 0, 1, 0);
	struct page *root =
		forest_get(&fx->map->forest, 0, MAP_LEVELS - 1, 0);

	ck_assert_ptr_nonnull(p);
	DAMAGE(p->level, 2);
	DAMAGE(p->state, PAGE_FAILED);
	DAMAGE(p->state, PAGE_DIRTY);
	DAMAGE(p->era, 1);
	DAMAGE(p->evict, true);
	DAMAGE(root->bytes, NULL);
	DAMAGE_QUEUE(&root->waiters, &read_req.op.link);
}
END_TEST

START_TEST(creations)
{
	struct map_op *first = &more[1].op;

	/* Two need the same new page, while the journal's queue stands still. */
	more[1].create = more[2].create = true;
	fx_start(fx, &more[1], leaf(5));
	fx_start(fx, &more[2], leaf(5) + 1);
	while (z->creating.count == 0 || first->link.next == NULL)
		ck_assert_uint_eq(sim_executor_run(fx->x, 1), 1);
	DAMAGE(first->link.next, NULL);
	DAMAGE(first->zone, NULL);
	DAMAGE(z->creating.count, 0);
	DAMAGE(z->creations_used, z->creations_used + 1);
	DAMAGE(z->spare_count, z->spare_count - 1);
	DAMAGE_QUEUE(&z->spareless, &read_req.op.link);
	fx_run(fx);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("walk");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, states);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, eras);
	tcase_add_test(tc, operations);
	tcase_add_test(tc, tree_pages);
	tcase_add_test(tc, creations);
	return unit_run();
}
