/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a step of a copy has counted: +1 for each new block, -1 for each old one, a
 * message for each slab. The first slabs have a place in the step, the others in
 * requests that it borrowed.
 */
#include "build.h"

#include "path/copy_priv.h"

static void counted(struct completion *c)
{
	write_counted(container_of(c, struct copy_count, op.done)->request,
		      c->result);
}

static void count(struct completion *c)
{
	struct copy_count *n = container_of(c, struct copy_count, go);

	if (depot_adjust(n->request->path->config.depot, &n->op))
		write_counted(n->request, n->op.done.result);
}

/* The slabs of a run, and where the next one has its place. */
struct slab_list {
	struct copy_count *all[2 * COPY_BLOCKS];
	unsigned n, last;
	struct request *lent;
	unsigned used; /* of this one's places */
};

static struct copy_count *new_count(struct copy *v, struct slab_list *l)
{
	if (l->n < COUNTS_OWN)
		return &v->counts[l->n];
	if (l->lent == NULL || l->used == COUNTS_LENT) {
		l->lent = l->lent == NULL ? v->lent : l->lent->spare;
		l->used = 0;
	}
	VDO_CHECK(l->lent != NULL);
	return (struct copy_count *)(void *)l->lent->data + l->used++;
}

static struct copy_count *find_slab(struct slab_list *l, uint64_t slab)
{
	if (l->n > 0 && l->all[l->last]->slab == slab)
		return l->all[l->last];
	for (unsigned i = 0; i < l->n; i++)
		if (l->all[i]->slab == slab) {
			l->last = i;
			return l->all[i];
		}
	return NULL;
}

/* Block @pbn is to be counted for entry @i of the run. */
static void add_count(struct request *r, struct slab_list *l, unsigned i,
		      enum refs_kind kind, pbn_t pbn)
{
	struct copy *v = copy_of(r);
	const struct slab_geometry *g = depot_geometry(r->path->config.depot);
	struct copy_count *n;

	if (pbn == ZERO_BLOCK)
		return;
	VDO_CHECK(is_data_block(g, pbn));
	n = find_slab(l, slab_of(g, pbn));
	if (likely(n != NULL)) {
		n->op.more_count++;
		return;
	}
	n = new_count(v, l);
	l->last = l->n;
	l->all[l->n++] = n;
	n->request = r;
	n->slab = slab_of(g, pbn);
	n->op.kind = kind;
	n->op.pbn = pbn;
	n->op.point = r->counts.entry.point;
	n->op.point.entry += (uint16_t)i;
	n->op.more = &v->changes[v->at + v->made + i];
	n->op.news = &v->news[v->at + v->made + i];
	n->op.more_count = 0;
}

/*
 * As with single entries, this runs in the order of entries, and the zones get
 * what they are to count in that order (I11): no other entry is within a run.
 */
bool copy_count(struct flow *f, int next)
{
	struct request *r = request_of(f);
	struct copy *v = copy_of(r);
	struct depot *depot = r->path->config.depot;
	struct slab_list l;

	l.n = 0;
	l.last = 0;
	l.lent = NULL;
	l.used = 0;
	for (unsigned i = 0; i < v->run; i++) {
		unsigned at = v->at + v->made + i;

		add_count(r, &l, i, REFS_INCREMENT, v->news[at].pbn);
		add_count(r, &l, i, REFS_DECREMENT, v->changes[at].old.pbn);
	}
	atomic_store_explicit(&r->counts.failed, 0, memory_order_relaxed);
	atomic_store_explicit(&r->counts.pending, l.n, memory_order_relaxed);
	if (l.n == 0)
		return false;
	flow_park(f, next);
	/* After the last one the flow may be elsewhere. */
	for (unsigned i = 0; i < l.n; i++) {
		struct copy_count *n = l.all[i];
		struct queue *q = depot_queue(
			depot, depot_zone_of(depot, n->op.pbn));

		completion_init(&n->op.done, q, counted);
		completion_init(&n->go, q, count);
		completion_post(&n->go);
	}
	return true;
}
