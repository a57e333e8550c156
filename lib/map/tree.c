/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From LBN to leaf page.
 *
 * Climb from level 1 to the lowest page in memory, then descend:
 *
 *	[find_step] --> entry leads to a leaf: over
 *	   ^  |-------> page not in memory: read it, wait      [load_child]
 *	   |  '-------> no entry: over, or create the child    [create_page]
 *	   |                                  |
 *	   '--------- [tree_resume] <---------'
 *
 * Pages in memory are made from spare ones [make_page]. More of these are had in
 * a message of its own [refill], so that a request does not ask for memory; if
 * none is left it waits for that message.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* ------------------------------------------------------------ spare pages */

/* Add spare pages until there are SPARES_MAX, or -ENOMEM. */
static int add_spares(struct map_zone *z)
{
	VDO_ASSERT(z->spare_count <= SPARES_MAX);
	while (z->spare_count < SPARES_MAX) {
		struct tree_page *t = forest_page();

		if (t == NULL)
			return -ENOMEM;
		list_push_back(&z->spares, &t->page.link);
		z->spare_count++;
	}
	return 0;
}

static void refill(struct completion *c)
{
	struct map_zone *z = container_of(c, struct map_zone, refill);
	struct waitq taken;
	struct waiter *w;
	int r;

	VDO_ASSERT(z->refilling);
	z->refilling = false;
	r = add_spares(z);
	waitq_take_all(&z->spareless, &taken);
	while ((w = waitq_pop(&taken)) != NULL) {
		struct map_op *op = container_of(w, struct map_op, link);

		if (r != 0 && z->spare_count == 0)
			op_finish(op, r);
		else
			tree_resume(z, op);
	}
	gate_leave(&z->gate);
}

static void refill_soon(struct map_zone *z)
{
	VDO_CHECK(queue_is_current(z->queue));
	if (z->refilling)
		return;
	z->refilling = true;
	gate_enter(&z->gate);
	completion_post(&z->refill);
}

/* Page number place.page[@level] of @op; NULL: there is no spare one now. */
static struct page *make_page(struct map_zone *z, const struct map_op *op,
			      unsigned level)
{
	struct forest *f = &z->map->forest;
	const struct tree_place *at = &op->place;
	struct page *p = forest_get(f, at->root, level, at->page[level]);
	struct list_node *spare;

	VDO_CHECK(level > 0 && level < MAP_LEVELS);
	if (p != NULL)
		return p;
	spare = list_pop(&z->spares);
	if (spare == NULL)
		return NULL;
	z->spare_count--;
	if (z->spare_count <= SPARES_MAX / 2)
		refill_soon(z);
	p = list_entry(spare, struct page, link);
	forest_put(f, at->root, level, at->page[level], p);
	return p;
}

static int await_spare(struct map_zone *z, struct map_op *op)
{
	VDO_ASSERT(z->spare_count == 0);
	waitq_push(&z->spareless, &op->link);
	refill_soon(z);
	return 1;
}

int tree_init(struct map_zone *z)
{
	waitq_init(&z->spareless);
	list_init(&z->spares);
	completion_init(&z->refill, z->queue, refill);
	return add_spares(z);
}

void tree_fini(struct map_zone *z)
{
	struct list_node *n;

	while (z->spare_count > 0) {
		n = list_pop(&z->spares);
		alloc_free(list_entry(n, struct tree_page, page.link));
		z->spare_count--;
	}
}

/* ---------------------------------------------------------------- finding */

/*
 * An interior entry leads nowhere, or to a data block. 1, 0 for no entry,
 * or -VDO_EMAPPING.
 */
static int read_child(const struct map *m, const struct page *p, unsigned slot,
		      pbn_t *child)
{
	struct mapping e = mapping_page_get(p->bytes, slot);

	VDO_CHECK(p->level > 0 && slot < MAP_PAGE_ENTRIES);
	*child = e.pbn;
	if (likely(e.state == STATE_UNCOMPRESSED &&
		   is_data_block(m->slabs, e.pbn)))
		return 1;
	return e.state == STATE_UNMAPPED && e.pbn == 0 ? 0 : -VDO_EMAPPING;
}

static void bad_entry(struct map *m, const struct page *p, unsigned slot)
{
	struct mapping e = mapping_page_get(p->bytes, slot);

	VDO_ASSERT(p->level > 0 && page_loaded(p));
	readonly_enter(m->readonly, -VDO_EMAPPING,
		       "map: damaged entry of a tree page, pbn=%llu level=%u "
		       "slot=%u target=%llu state=%u",
		       (unsigned long long)p->pbn, p->level, slot,
		       (unsigned long long)e.pbn, e.state);
}

/* Read page number place.page[@level] from @pbn; @op waits. */
static int load_child(struct map_zone *z, struct map_op *op, unsigned level,
		      pbn_t pbn)
{
	struct page *p = make_page(z, op, level);

	VDO_ASSERT(pbn != 0 && level > 0);
	if (p == NULL)
		return await_spare(z, op);
	waitq_push(&p->waiters, &op->link);
	if (p->state != PAGE_INCOMING) {
		p->pbn = pbn;
		pageio_read(z, p);
	}
	return 1;
}

static struct page *place_page(const struct map_zone *z,
			       const struct map_op *op, unsigned level)
{
	struct page *p = forest_get(&z->map->forest, op->place.root, level,
				    op->place.page[level]);

	return p != NULL && page_loaded(p) ? p : NULL;
}

/* Go on from where memory leads. 0: found, 1: waiting, or an error. */
static int find_step(struct map_zone *z, struct map_op *op)
{
	struct map *m = z->map;
	struct page *p = NULL, *below = NULL;
	unsigned level = 1;
	pbn_t child;
	int r;

	while (level < MAP_LEVELS && (p = place_page(z, op, level)) == NULL)
		level++;
	if (p == NULL)
		return load_child(z, op, MAP_LEVELS - 1,
				  m->root_origin + op->place.root);
	for (;; level--, p = place_page(z, op, level)) {
		op->level = level;
		r = read_child(m, p, op->place.slot[level], &child);
		if (r < 0) {
			bad_entry(m, p, op->place.slot[level]);
			return r;
		}
		if (r == 0 && op->allocate)
			break;
		if (r == 0 || level == 1) {
			op->page = child; /* or 0 */
			return 0;
		}
		if (place_page(z, op, level - 1) == NULL)
			return load_child(z, op, level - 1, child);
	}
	if (readonly_entered(m->readonly))
		return -VDO_EREADONLY;
	if (level > 1) {
		below = make_page(z, op, level - 1);
		if (below == NULL)
			return await_spare(z, op);
	}
	create_page(z, op, p, below);
	return 1;
}

/* The answer if the level 1 page is in memory and all is well. */
static bool find_fast(const struct map *m, struct map_op *op)
{
	const struct forest *f = &m->forest;
	uint64_t leaf = op->lbn / MAP_PAGE_ENTRIES;
	uint64_t index = likely(f->root_count == ROOT_COUNT)
				 ? leaf / ROOT_COUNT
				 : leaf / f->root_count;
	unsigned root = (unsigned)(leaf - index * f->root_count);
	struct page *p = forest_get(f, root, 1, index / MAP_PAGE_ENTRIES);

	op->slot = (uint16_t)(op->lbn - leaf * MAP_PAGE_ENTRIES);
	return likely(p != NULL && page_loaded(p)) &&
	       read_child(m, p, index % MAP_PAGE_ENTRIES, &op->page) == 1;
}

bool map_find(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	int r;

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(op->lbn < m->forest.logical_blocks);
	if (likely(find_fast(m, op)))
		return true;
	mapping_tree_place(op->lbn, m->forest.root_count, &op->place);
	VDO_CHECK(op->place.root % m->zone_count == zone);
	op->page = 0;
	op_wait(z, op, MAP_FIND);
	r = find_step(z, op);
	if (r == 1)
		return false;
	completion_fail(&op->done, r);
	gate_leave(&z->gate);
	return true;
}

/* Where the children begin that slot @slot of page place.page[@level] leads to;
 * after the last slot, those of the next page. */
static lbn_t child_lbn(const struct map *m, const struct map_op *op,
		       unsigned level, unsigned slot)
{
	uint64_t leaf = op->place.page[level] * MAP_PAGE_ENTRIES + slot;

	VDO_CHECK(level > 0 && slot <= MAP_PAGE_ENTRIES);
	while (--level > 0)
		leaf *= MAP_PAGE_ENTRIES;
	return (leaf * m->forest.root_count + op->place.root) *
	       MAP_PAGE_ENTRIES;
}

/*
 * Descend to op->lbn. 0: there is a leaf, 1: waiting, or an error; 2: there is
 * none, and op->lbn is where the next one can be.
 */
static int descend(struct map_zone *z, struct map_op *op)
{
	struct map *m = z->map;
	pbn_t child = 0;

	mapping_tree_place(op->lbn, m->forest.root_count, &op->place);
	child = m->root_origin + op->place.root;
	for (unsigned level = MAP_LEVELS - 1; level > 0; level--) {
		struct page *p = place_page(z, op, level);
		unsigned slot = op->place.slot[level];
		int r = 0;

		if (p == NULL)
			return load_child(z, op, level, child);
		while (slot < MAP_PAGE_ENTRIES &&
		       (r = read_child(m, p, slot, &child)) == 0)
			slot++;
		if (r < 0) {
			bad_entry(m, p, slot);
			return r;
		}
		if (slot != op->place.slot[level]) {
			op->lbn = child_lbn(m, op, level, slot);
			return 2;
		}
	}
	op->page = child;
	op->slot = op->place.slot[0];
	return 0;
}

static int next_step(struct map_zone *z, struct map_op *op)
{
	int r = 2;

	VDO_CHECK(op->end <= z->map->forest.logical_blocks);
	op->page = 0;
	while (r == 2 && op->lbn < op->end)
		r = descend(z, op);
	return r == 2 ? 0 : r;
}

bool map_next(struct map *m, unsigned zone, struct map_op *op)
{
	struct map_zone *z = &m->zones[zone];
	int r;

	VDO_CHECK(queue_is_current(z->queue));
	VDO_CHECK(map_zone_of(m, op->lbn) == zone);
	op_wait(z, op, MAP_NEXT);
	r = next_step(z, op);
	if (r == 1)
		return false;
	completion_fail(&op->done, r);
	gate_leave(&z->gate);
	return true;
}

void tree_resume(struct map_zone *z, struct map_op *op)
{
	int r = op->operation == MAP_NEXT ? next_step(z, op)
					  : find_step(z, op);

	VDO_CHECK(op->zone == z);
	if (r != 1)
		op_finish(op, r);
}

/* What was read becomes the page; what was never written is an empty one. */
static int take_image(struct map_zone *z, struct page *p, const uint8_t *image)
{
	struct map *m = z->map;
	enum map_page_validity validity =
		p->level == MAP_LEVELS - 1
			? mapping_root_check(image, m->nonce, p->pbn)
			: mapping_page_check(image, m->nonce, p->pbn);

	VDO_ASSERT(p->level > 0 && p->pbn != 0);
	if (pageio_is_made(z, p))
		validity = MAP_PAGE_INVALID;
	if (validity == MAP_PAGE_BAD)
		return pageio_damaged(z, p, image);
	if (validity == MAP_PAGE_VALID)
		memcpy(p->bytes, image, BLOCK_SIZE);
	else
		mapping_page_format(p->bytes, m->nonce, p->pbn, false);
	pageio_overlay(z, p, p->bytes);
	return 0;
}

void tree_load_done(struct map_zone *z, struct page *p, const uint8_t *image,
		    int result)
{
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(p->state == PAGE_INCOMING && p->level > 0);
	if (result == 0)
		result = take_image(z, p, image);
	waitq_take_all(&p->waiters, &taken);
	if (result != 0) {
		counter_inc(&z->stats.failed_reads);
		page_set_state(z, p, PAGE_FREE);
		while ((w = waitq_pop(&taken)) != NULL)
			op_finish(container_of(w, struct map_op, link), result);
		return;
	}
	page_set_state(z, p, PAGE_RESIDENT);
	while ((w = waitq_pop(&taken)) != NULL)
		tree_resume(z, container_of(w, struct map_op, link));
}
