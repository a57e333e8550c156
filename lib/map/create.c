/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creating a page, leaf or interior: it gets a block, a reference, and an entry
 * in its parent.
 *
 * All operations that need the same page wait for one creation, the one that
 * came first being served first. A zone has a fixed number of creations; those
 * beyond wait in line.
 *
 * References are made in the order of entries (I11): the entries of the journal
 * end in their order, on its queue, and each is followed by one message to the
 * physical zone, also where both share a queue. After a failure the hold of an
 * entry that is in the journal is kept: the volume is read-only, and nothing may
 * be reaped.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "exec/flow.h"

enum { ON_LOGICAL = ANYWHERE + 1, ON_PHYSICAL, ON_JOURNAL };

/* Row, function, where it runs; what it does. */
#define CREATE_ROWS(X)							       \
	/* a block, with a lock of its own kind */			       \
	X(N_ALLOCATE, create_allocate, ON_PHYSICAL)			       \
	/* the entry: parent, slot := block */				       \
	X(N_APPEND, create_append, ON_JOURNAL)				       \
	/* it is durable; counts change in the order of entries */	       \
	X(N_DURABLE, create_durable, ON_JOURNAL)			       \
	/* count := 254 */						       \
	X(N_ADJUST, create_adjust, ON_PHYSICAL)				       \
	/* the lock goes back, if there is one; errors lead here */	       \
	X(N_UNLOCK, create_unlock, ON_PHYSICAL)				       \
	/* the parent's entry, in memory; who waited goes on */		       \
	X(N_ATTACH, create_attach, ON_LOGICAL)

enum { CREATE_ROWS(FLOW_ROW) };
CREATE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(create_table, N_UNLOCK, CREATE_ROWS);

struct creation {
	struct flow flow;
	struct map_zone *zone;
	struct creation *next_free;
	uint64_t key;
	struct page *parent;
	struct page *child; /* NULL: a leaf */
	unsigned slot;      /* in the parent */
	struct waitq waiting; /* operations, at least one */
	struct alloc_op alloc;
	struct journal_op entry;
	struct refs_op refs;
};

/* --------------------------------------------------------------------- life */

int create_init(struct map_zone *z)
{
	waitq_init(&z->creators);
	/* Creations that are never used take no memory. */
	z->creations = alloc_spare(CACHE_LINE, CREATING_MAX,
				   sizeof(*z->creations));
	if (z->creations == NULL)
		return -ENOMEM;
	return intmap_init(&z->creating, CREATING_MAX);
}

void create_fini(struct map_zone *z)
{
	intmap_fini(&z->creating);
	alloc_free(z->creations);
}

static struct creation *take(struct map_zone *z)
{
	struct creation *c = z->free_creation;

	VDO_ASSERT(z->creating.count < CREATING_MAX);
	if (c != NULL)
		z->free_creation = c->next_free;
	else
		c = &z->creations[z->creations_used++];
	return c;
}

static void give_back(struct map_zone *z, struct creation *c)
{
	VDO_ASSERT(waitq_empty(&c->waiting) && c->alloc.lock == NULL);
	c->next_free = z->free_creation;
	z->free_creation = c;
}

/* ---------------------------------------------------------------- beginning */

static uint64_t child_key(const struct map *m, const struct map_op *op)
{
	unsigned level = op->level - 1;
	uint64_t page = op->place.page[level];

	VDO_CHECK(op->level >= 1 && op->level < MAP_LEVELS);
	page = page * m->forest.root_count + op->place.root;
	return page * MAP_LEVELS + level;
}

static void begin(struct creation *c, const struct map_op *op)
{
	struct map *m = c->zone->map;
	struct flow *f = &c->flow;

	VDO_ASSERT(op->alloc_zone < depot_zone_count(m->depot));
	c->slot = op->place.slot[op->level];
	c->entry.entry = (struct journal_entry){
		.operation = JOURNAL_BLOCK_MAP,
		.page = c->parent->pbn,
		.slot = (uint16_t)c->slot,
	};
	c->alloc.type = PBN_LOCK_MAP_WRITE;
	c->alloc.zone = op->alloc_zone;
	c->alloc.lock = NULL;
	flow_init(f, &create_table);
	f->queues[ON_LOGICAL] = c->zone->queue;
	f->queues[ON_PHYSICAL] = depot_queue(m->depot, op->alloc_zone);
	f->queues[ON_JOURNAL] = m->journal_queue;
	flow_start(f);
}

void create_page(struct map_zone *z, struct map_op *op, struct page *parent,
		 struct page *child)
{
	uint64_t key = child_key(z->map, op);
	struct creation *c = intmap_get(&z->creating, key);

	VDO_ASSERT(page_loaded(parent));
	VDO_ASSERT(child == NULL || child->state == PAGE_FREE);
	if (c != NULL) {
		waitq_push(&c->waiting, &op->link);
		return;
	}
	if (z->creating.count == CREATING_MAX) {
		waitq_push(&z->creators, &op->link);
		return;
	}
	c = take(z);
	c->zone = z;
	c->key = key;
	c->parent = parent;
	c->child = child;
	waitq_init(&c->waiting);
	waitq_push(&c->waiting, &op->link);
	(void)intmap_put_new(&z->creating, key, c);
	begin(c, op);
}

/* --------------------------------------------------------------------- rows */

static struct creation *creation_of(struct flow *f)
{
	return container_of(f, struct creation, flow);
}

static int create_allocate(struct flow *f)
{
	struct creation *c = creation_of(f);

	flow_await(f, &c->alloc.done, N_APPEND);
	return flow_over(f, &c->alloc.done,
			 depot_allocate(c->zone->map->depot, &c->alloc));
}

static int create_append(struct flow *f)
{
	struct creation *c = creation_of(f);
	struct map *m = c->zone->map;

	VDO_ASSERT(c->alloc.lock != NULL && c->parent != NULL);
	f->queues[ON_PHYSICAL] = depot_queue(m->depot, c->alloc.zone);
	c->entry.entry.new_mapping = (struct mapping){
		.pbn = pbnlock_pbn(c->alloc.lock),
		.state = STATE_UNCOMPRESSED,
	};
	flow_await(f, &c->entry.done, N_DURABLE);
	journal_append(m->journal, &c->entry);
	return FLOW_WAIT;
}

static int create_durable(struct flow *f)
{
	return flow_turn(f, N_ADJUST);
}

static int create_adjust(struct flow *f)
{
	struct creation *c = creation_of(f);

	VDO_ASSERT(c->entry.point.seq > 0);
	flow_await(f, &c->refs.done, N_UNLOCK);
	c->refs.kind = REFS_MAP_INCREMENT;
	c->refs.pbn = pbnlock_pbn(c->alloc.lock);
	c->refs.point = c->entry.point;
	c->refs.more_count = 0;
	return flow_over(f, &c->refs.done,
			 depot_adjust(c->zone->map->depot, &c->refs));
}

static int create_unlock(struct flow *f)
{
	struct creation *c = creation_of(f);

	if (c->alloc.lock != NULL)
		depot_unlock(c->zone->map->depot, c->alloc.zone, c->alloc.lock);
	c->alloc.lock = NULL;
	return N_ATTACH;
}

/*
 * Enter the child in its parent and make it ready for use. The child holds the
 * entry, too, until it is written: replay makes an empty page of what its block
 * holds, which may look like a page. The hold for a leaf is leaves_make()'s.
 */
static void attach_child(struct creation *c)
{
	struct map_zone *z = c->zone;
	struct mapping to = c->entry.entry.new_mapping;
	seq_t seq = c->entry.point.seq;

	journal_hold_map(z->map->journal, seq);
	mapping_page_put(c->parent->bytes, c->slot, to);
	eras_add_entry(z, c->parent, seq);
	if (c->child == NULL)
		return;
	VDO_ASSERT(c->child->state == PAGE_FREE && c->child->hold == 0);
	c->child->pbn = to.pbn;
	mapping_page_format(c->child->bytes, z->map->nonce, to.pbn, false);
	page_set_state(z, c->child, PAGE_RESIDENT);
	c->child->hold = seq;
	eras_add(z, c->child, seq);
}

/* The first one makes the leaf in memory; the others find it there. */
static void go_on(struct map_zone *z, struct map_op *op, pbn_t leaf, seq_t seq)
{
	VDO_CHECK(op->zone == z);
	if (leaf == 0) {
		tree_resume(z, op);
		return;
	}
	op->page = leaf;
	op->seq = seq;
	leaves_make(z, op);
}

static int create_attach(struct flow *f)
{
	struct creation *c = creation_of(f);
	struct map_zone *z = c->zone;
	int result = f->result;
	seq_t seq = c->entry.point.seq;
	pbn_t leaf = 0;
	struct waitq taken;
	struct waiter *w;

	VDO_ASSERT(queue_is_current(z->queue) && c->alloc.lock == NULL);
	(void)intmap_remove(&z->creating, c->key);
	if (result == 0) {
		attach_child(c);
		if (c->child == NULL)
			leaf = c->entry.entry.new_mapping.pbn;
	}
	/* Who goes on may wait anew, for a creation, or be gone. */
	waitq_take_all(&c->waiting, &taken);
	give_back(z, c);
	for (; (w = waitq_pop(&taken)) != NULL; leaf = 0) {
		struct map_op *op = container_of(w, struct map_op, link);

		if (result == 0)
			go_on(z, op, leaf, seq);
		else
			op_finish(op, result);
	}
	/* Those in line may find the page, fail, or begin. */
	while (z->creating.count < CREATING_MAX &&
	       (w = waitq_pop(&z->creators)) != NULL)
		tree_resume(z, container_of(w, struct map_op, link));
	return FLOW_END;
}

/* --------------------------------------------------------------------- walk */

/* A creation is found by its key, and somebody waits for it. */
static bool creation_sane(const struct creation *c, const struct map_zone *z,
			  uint64_t key)
{
	size_t n = 0;

	for (const struct waiter *w = c->waiting.first; w != NULL; w = w->next)
		if (container_of(w, struct map_op, link)->zone != z ||
		    ++n > c->waiting.count)
			return false;
	return c->zone == z && c->key == key && n > 0 &&
	       n == c->waiting.count && page_loaded(c->parent);
}

bool create_sane(const struct map_zone *z, uint64_t *waiting)
{
	uint64_t busy = 0;

	for (uint64_t i = 0; i <= z->creating.mask; i++) {
		const struct creation *c = z->creating.slots[i].value;

		if (c == NULL)
			continue;
		if (!creation_sane(c, z, z->creating.slots[i].key))
			return false;
		busy++;
		*waiting += c->waiting.count;
	}
	for (const struct creation *c = z->free_creation; c != NULL;
	     c = c->next_free)
		if (++busy > z->creations_used)
			return false;
	*waiting += z->creators.count;
	/* Who waits in line does so because too many are under way. */
	return intmap_sane(&z->creating) && busy == z->creations_used &&
	       (waitq_empty(&z->creators) ||
		z->creating.count == CREATING_MAX);
}
