/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over a zone of the block map, for VDO_CHECK, tests and the simulation:
 * do pages, lists, eras and counts agree with each other, and with the
 * invariants in map_priv.h?
 *
 * It wants to be on the zone's queue, between two messages. It follows the tree
 * pages of the zone as well, which are found from above, as forest_fini() does:
 * directories are large, and pages lie at few places of them.
 */
#include "build.h"

#include "map/map_priv.h"

/* What the walk adds up. */
struct tally {
	uint64_t states[PAGE_STATES]; /* of leaf pages */
	uint64_t waiting;	      /* operations */
	uint64_t queued;
	uint64_t in_buckets;
	uint64_t with_content; /* leaf pages that have a name */
	uint64_t in_lru, evicting;
};

/* The list that page.link is in follows from the state. */
static bool link_sane(const struct page *p, struct tally *t, bool read_only)
{
	bool linked = !list_empty(&p->link);
	bool bucket = p->era != 0 && !p->queued && !p->again;

	t->queued += p->queued;
	if (p->queued) {
		/* The page is to be read, or to be written. */
		return linked && !p->again &&
		       (p->state == PAGE_INCOMING || p->state == PAGE_DIRTY);
	}
	if (p->again && p->state != PAGE_OUTGOING)
		return false;
	t->in_buckets += linked;
	/* A page that could not be written is in no list. */
	return linked == bucket || (bucket && read_only);
}

/* Invariant 2. */
static bool era_sane(const struct page *p)
{
	if (p->hold != 0 && (p->era == 0 || p->hold < p->era))
		return false;
	if (p->again && p->era == 0)
		return false;
	switch (p->state) {
	case PAGE_DIRTY:
		return p->era != 0;
	case PAGE_OUTGOING:
		return true;
	default:
		return p->era == 0;
	}
}

static bool page_sane(const struct map_zone *z, const struct page *p,
		      struct tally *t)
{
	if (!waitq_empty(&p->waiters) && p->state != PAGE_INCOMING)
		return false;
	t->waiting += p->waiters.count;
	return p->state < PAGE_STATES && era_sane(p) &&
	       link_sane(p, t, readonly_entered(z->map->readonly));
}

/* ------------------------------------------------------------- leaf pages */

static bool leaf_sane(const struct map_zone *z, const struct page *p,
		      struct tally *t)
{
	bool in_list = !list_empty(&p->lru);

	if (p->level != 0 || !page_sane(z, p, t))
		return false;
	t->states[p->state]++;
	t->evicting += p->evict;
	switch (p->state) {
	case PAGE_FREE:
		return in_list && !p->evict;
	case PAGE_FAILED:
		return false; /* only in passing */
	case PAGE_INCOMING:
		t->with_content++;
		return !in_list && !p->evict &&
		       intmap_get(&z->leaves, p->pbn) == p;
	default:
		t->with_content++;
		t->in_lru++;
		return in_list && intmap_get(&z->leaves, p->pbn) == p;
	}
}

/* Has @list @n pages, each of them with content or each of them without? */
static bool lru_sane(const struct list_node *list, uint64_t n, bool loaded)
{
	list_for_each (node, list) {
		const struct page *p = list_entry(node, struct page, lru);

		if (page_loaded(p) != loaded || n-- == 0)
			return false;
	}
	return n == 0;
}

static bool leaves_sane(const struct map_zone *z, struct tally *t)
{
	uint64_t unused = z->cache_size - z->cache_used;

	for (uint64_t i = 0; i < z->cache_used; i++)
		if (!leaf_sane(z, &z->cache[i], t))
			return false;
	if (!lru_sane(&z->free, t->states[PAGE_FREE], false) ||
	    !lru_sane(&z->lru, t->in_lru, true) || z->lru_count != t->in_lru)
		return false;
	t->states[PAGE_FREE] += unused;
	for (unsigned i = 0; i < PAGE_STATES; i++)
		if (counter_get(&z->stats.states[i]) != t->states[i])
			return false;
	/* Invariant 4. */
	if (!waitq_empty(&z->wanting) && t->states[PAGE_FREE] != 0)
		return false;
	t->waiting += z->wanting.count;
	return intmap_sane(&z->leaves) && z->leaves.count == t->with_content &&
	       z->evicting == t->evicting;
}

/* ------------------------------------------------------------- tree pages */

static bool tree_page_sane(const struct map_zone *z, const struct page *p,
			   unsigned level, struct tally *t)
{
	return p->level == level && p->bytes != NULL && list_empty(&p->lru) &&
	       !p->evict && p->state != PAGE_FAILED && page_sane(z, p, t);
}

/* A page exists only if its parent does. */
static bool children_sane(const struct map_zone *z, unsigned root,
			  unsigned level, uint64_t page, struct tally *t)
{
	const struct forest *f = &z->map->forest;
	uint64_t first = page * MAP_PAGE_ENTRIES;
	uint64_t last = MIN(first + MAP_PAGE_ENTRIES, f->page_count[level]);

	for (uint64_t i = first; i < last; i++) {
		const struct page *p = forest_get(f, root, level, i);

		if (p != NULL && !tree_page_sane(z, p, level, t))
			return false;
	}
	return true;
}

static bool tree_sane(const struct map_zone *z, unsigned root, struct tally *t)
{
	const struct forest *f = &z->map->forest;

	for (unsigned level = 1; level < MAP_LEVELS - 1; level++)
		for (uint64_t i = 0; i < f->page_count[level + 1]; i++)
			if (forest_get(f, root, level + 1, i) != NULL &&
			    !children_sane(z, root, level, i, t))
				return false;
	return children_sane(z, root, MAP_LEVELS - 1, 0, t);
}

static bool trees_sane(const struct map_zone *z, struct tally *t)
{
	for (unsigned root = z->number; root < z->map->forest.root_count;
	     root += z->map->zone_count)
		if (!tree_sane(z, root, t))
			return false;
	return true;
}

static bool spares_sane(const struct map_zone *z, struct tally *t)
{
	unsigned n = 0;

	list_for_each (node, &z->spares) {
		const struct page *p = list_entry(node, struct page, link);

		if (p->state != PAGE_FREE || ++n > z->spare_count)
			return false;
	}
	t->waiting += z->spareless.count;
	return n == z->spare_count && n <= SPARES_MAX &&
	       (z->refilling || waitq_empty(&z->spareless));
}

/* ------------------------------------------------------------ eras and I/O */

static bool eras_sane(const struct map_zone *z, struct tally *t)
{
	if (z->era_low > z->era_now || z->era_now - z->era_low >= z->era_count)
		return false;
	for (seq_t seq = z->era_low; seq <= z->era_now; seq++) {
		const struct list_node *bucket = &z->eras[seq % z->era_count];

		if (bucket->next == NULL)
			continue;
		list_for_each (n, bucket) {
			const struct page *p = list_entry(n, struct page, link);

			if (p->era != seq || t->in_buckets-- == 0)
				return false;
		}
	}
	return t->in_buckets == 0;
}

static bool io_sane(const struct map_zone *z, const struct tally *t)
{
	uint64_t idle = 0, busy = 0, pending = 0;

	for (const struct page_io *io = z->free_io; io != NULL;
	     io = io->next_free)
		if (io->page != NULL || ++idle > PAGE_IOS_MAX)
			return false;
	for (unsigned i = 0; i < PAGE_IOS_MAX; i++)
		busy += z->ios[i].page != NULL;
	list_for_each (n, &z->pending)
		if (!list_entry(n, struct page, link)->queued ||
		    ++pending > t->queued)
			return false;
	/* Nothing waits for what is there. Invariant 3. */
	return idle + busy == PAGE_IOS_MAX && pending == t->queued &&
	       (pending == 0 || idle == 0) &&
	       z->gate.inside ==
		       t->waiting + pending + busy + z->refilling;
}

bool map_zone_sane(const struct map_zone *z)
{
	struct tally t = {.waiting = 0};

	return leaves_sane(z, &t) && trees_sane(z, &t) &&
	       spares_sane(z, &t) && create_sane(z, &t.waiting) &&
	       eras_sane(z, &t) && io_sane(z, &t);
}

bool map_sane(const struct map *m)
{
	for (unsigned i = 0; i < m->zone_count; i++)
		if (!map_zone_sane(&m->zones[i]))
			return false;
	return true;
}
