/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From LBN to leaf page.
 *
 * Climb from level 1 to the lowest page in memory, then descend:
 *
 *	[find_step] --> entry leads to a leaf: over
 *	   ^  |-------> page not in memory: read it, wait      [load_child]
 *	   |  '-------> no entry: over, or create the child    [create_child]
 *	   |                                  |
 *	   '--------- [find_resume] <---------'
 *
 * Creating a child; one operation leads, others that need the same page are
 * chained to it (leader.link first, leader.wanted last):
 *
 *	physical zone  [create_allocate]  a block, with a MAP_WRITE lock
 *	journal        [create_append]    entry: parent, slot := block
 *	journal        [create_durable]   in the order of entries ...
 *	physical zone  [create_adjust]    ... count := 254
 *	physical zone  [create_unlock]
 *	logical zone   [create_done]      parent's entry, in memory; the child
 *
 * create_durable() posts to the physical zone itself: FIFO delivery keeps the
 * references in journal order (I11). After a failure the hold of a finished
 * entry is kept: the volume is read-only, and nothing may be reaped.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include <vdo/error.h>

int tree_init(struct map_zone *z)
{
	waitq_init(&z->creators);
	return intmap_init(&z->creating, CREATING_MAX);
}

void tree_fini(struct map_zone *z)
{
	intmap_fini(&z->creating);
}

static void create_child(struct map_zone *z, struct map_op *op,
			 struct page *parent);

/*
 * An interior entry leads nowhere, or to a data block. 1, 0 for no entry,
 * or -VDO_EMAPPING.
 */
static int read_child(const struct map *m, const struct page *p, unsigned slot,
		      pbn_t *child)
{
	struct mapping e = map_page_get(p->bytes, slot);

	*child = e.pbn;
	if (likely(e.state == STATE_UNCOMPRESSED &&
		   is_data_block(m->slabs, e.pbn)))
		return 1;
	return e.state == STATE_UNMAPPED && e.pbn == 0 ? 0 : -VDO_EMAPPING;
}

static void bad_entry(struct map *m, const struct page *p, unsigned slot)
{
	struct mapping e = map_page_get(p->bytes, slot);

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
	struct page *p = forest_make(&z->map->forest, op->place.root, level,
				     op->place.page[level]);

	if (p == NULL)
		return -ENOMEM;
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
	struct page *p = NULL;
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
	if (level > 1 && forest_make(&m->forest, op->place.root, level - 1,
				     op->place.page[level - 1]) == NULL)
		return -ENOMEM;
	create_child(z, op, p);
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
	tree_place_of(op->lbn, m->forest.root_count, &op->place);
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

static void find_resume(struct map_zone *z, struct map_op *op)
{
	int r = find_step(z, op);

	if (r != 1)
		op_finish(op, r);
}

/* What was read becomes the page; what was never written is an empty one. */
static int take_image(struct map_zone *z, struct page *p, const uint8_t *image)
{
	struct map *m = z->map;
	enum map_page_validity validity =
		p->level == MAP_LEVELS - 1
			? map_root_check(image, m->nonce, p->pbn)
			: map_page_check(image, m->nonce, p->pbn);

	if (validity == MAP_PAGE_BAD)
		return pageio_damaged(z, p, image);
	if (validity == MAP_PAGE_VALID)
		memcpy(p->bytes, image, BLOCK_SIZE);
	else
		map_page_format(p->bytes, m->nonce, p->pbn, false);
	return 0;
}

void tree_load_done(struct map_zone *z, struct page *p, const uint8_t *image,
		    int result)
{
	struct waitq taken;
	struct waiter *w;

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
		find_resume(z, container_of(w, struct map_op, link));
}

/* ------------------------------------------------------- creating a page */

static uint64_t child_key(const struct map *m, const struct map_op *op)
{
	unsigned level = op->level - 1;
	uint64_t page = op->place.page[level];

	page = page * m->forest.root_count + op->place.root;
	return page * MAP_LEVELS + level;
}

static void follow(struct map_op *leader, struct map_op *op)
{
	struct waiter *last = leader->wanted;

	op->link.next = NULL;
	last->next = &op->link;
	leader->wanted = &op->link;
}

/* Hop to @queue; op->refs.done is the vehicle, and carries the result. */
static void hop(struct map_op *op, struct queue *queue, completion_fn fn)
{
	op->refs.done.fn = fn;
	op->refs.done.home = queue;
	completion_post(&op->refs.done);
}

static struct map_op *op_of(struct completion *c)
{
	return container_of(c, struct map_op, refs.done);
}

static void create_allocate(struct completion *c);

static void create_child(struct map_zone *z, struct map_op *op,
			 struct page *parent)
{
	struct map *m = z->map;
	uint64_t key = child_key(m, op);
	struct map_op *leader = intmap_get(&z->creating, key);

	if (leader != NULL) {
		follow(leader, op);
		return;
	}
	if (z->creating.count == CREATING_MAX) {
		waitq_push(&z->creators, &op->link);
		return;
	}
	VDO_ASSERT(op->alloc_zone < depot_zone_count(m->depot));
	(void)intmap_put_new(&z->creating, key, op);
	op->link.next = NULL;
	op->wanted = &op->link;
	op->entry.entry = (struct journal_entry){
		.operation = JOURNAL_BLOCK_MAP,
		.page = parent->pbn,
		.slot = op->place.slot[op->level],
	};
	completion_init(&op->refs.done, NULL, NULL);
	hop(op, depot_queue(m->depot, op->alloc_zone), create_allocate);
}

static void create_append(struct completion *c);
static void create_durable(struct completion *c);
static void create_adjust(struct completion *c);
static void create_unlock(struct completion *c);
static void create_done(struct completion *c);

static void create_allocate(struct completion *c)
{
	struct map_op *op = op_of(c);
	struct map *m = op->zone->map;

	completion_init(&op->alloc.done, m->journal_queue, create_append);
	op->alloc.type = PBN_LOCK_MAP_WRITE;
	op->alloc.zone = op->alloc_zone;
	op->alloc.lock = NULL;
	if (depot_allocate(m->depot, &op->alloc))
		completion_post(&op->alloc.done);
}

static void create_append(struct completion *c)
{
	struct map_op *op = container_of(c, struct map_op, alloc.done);
	struct map *m = op->zone->map;

	if (c->result != 0) {
		completion_fail(&op->refs.done, c->result);
		hop(op, op->zone->queue, create_done);
		return;
	}
	op->entry.entry.new_mapping = (struct mapping){
		.pbn = pbn_lock_pbn(op->alloc.lock),
		.state = STATE_UNCOMPRESSED,
	};
	completion_init(&op->entry.done, m->journal_queue, create_durable);
	journal_append(m->journal, &op->entry);
}

static void create_durable(struct completion *c)
{
	struct map_op *op = container_of(c, struct map_op, entry.done);
	struct queue *q = depot_queue(op->zone->map->depot, op->alloc.zone);

	completion_fail(&op->refs.done, c->result);
	hop(op, q, c->result == 0 ? create_adjust : create_unlock);
}

static void create_adjust(struct completion *c)
{
	struct map_op *op = op_of(c);

	op->refs.done.fn = create_unlock;
	op->refs.kind = REFS_MAP_INCREMENT;
	op->refs.pbn = pbn_lock_pbn(op->alloc.lock);
	op->refs.point = op->entry.point;
	if (depot_adjust(op->zone->map->depot, &op->refs))
		create_unlock(&op->refs.done);
}

static void create_unlock(struct completion *c)
{
	struct map_op *op = op_of(c);

	depot_unlock(op->zone->map->depot, op->alloc.zone, op->alloc.lock);
	op->alloc.lock = NULL;
	hop(op, op->zone->queue, create_done);
}

/* Enter the child in its parent and make it ready for use. */
static void attach_child(struct map_zone *z, struct map_op *op)
{
	struct page *parent = place_page(z, op, op->level);
	struct mapping to = op->entry.entry.new_mapping;
	seq_t seq = op->entry.point.seq;
	struct page *p;

	VDO_ASSERT(parent != NULL);
	map_page_put(parent->bytes, op->place.slot[op->level], to);
	eras_add_entry(z, parent, seq);
	if (op->level == 1) {
		op->page = to.pbn;
		return;
	}
	p = forest_get(&z->map->forest, op->place.root, op->level - 1,
		       op->place.page[op->level - 1]);
	VDO_ASSERT(p != NULL && p->state == PAGE_FREE);
	p->pbn = to.pbn;
	map_page_format(p->bytes, z->map->nonce, to.pbn, false);
	page_set_state(z, p, PAGE_RESIDENT);
}

static void create_done(struct completion *c)
{
	struct map_op *op = op_of(c);
	struct map_zone *z = op->zone;
	int result = c->result;
	struct waiter *w = op->link.next;

	VDO_ASSERT(queue_is_current(z->queue));
	(void)intmap_remove(&z->creating, child_key(z->map, op));
	if (result == 0) {
		attach_child(z, op);
		if (op->level == 1)
			leaves_make(z, op);
		else
			find_resume(z, op);
	} else {
		op_finish(op, result);
	}
	/* The chain is detached: who follows may wait anew, or be gone. */
	while (w != NULL) {
		struct map_op *next = container_of(w, struct map_op, link);

		w = w->next;
		if (result == 0)
			find_resume(z, next);
		else
			op_finish(next, result);
	}
	/* One has ended; those in line may find the page, fail, or begin. */
	while (z->creating.count < CREATING_MAX &&
	       (w = waitq_pop(&z->creators)) != NULL)
		find_resume(z, container_of(w, struct map_op, link));
}
