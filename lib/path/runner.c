/*
 * The runner: moves a request from row to row of its table.
 *
 * A row runs on the queue of its place. As long as the next row's queue is the
 * one we are on, the request goes on at once; else it is posted there. A row
 * that hands an embedded op to a component sets r->at first (another thread may
 * run the request before the row returns) and returns WAIT.
 */
#include "config.h"

#include "path/path_priv.h"

struct queue *request_queue(const struct request *r, enum place place)
{
	const struct path *p = r->path;
	const struct path_config *c = &p->config;

	switch (place) {
	case ON_LOGICAL:
		return p->zones[r->zone].queue;
	case ON_PHYSICAL:
		return depot_queue(c->depot, r->alloc.zone);
	case ON_CANDIDATE:
		return depot_queue(c->depot,
				   depot_zone_of(c->depot,
						 r->dedupe.candidate.pbn));
	case ON_SHARED:
		return depot_queue(c->depot,
				   depot_zone_of(c->depot,
						 r->dedupe.lock->pbn));
	case ON_HASH:
		return c->hash_queues[r->hash_zone];
	case ON_PACKER:
		return c->packer_queue;
	case ON_JOURNAL:
		return c->journal_queue;
	case ANYWHERE:
		break;
	}
	return queue_running;
}

void request_run(struct request *r)
{
	for (;;) {
		const struct step *s = &r->table[r->at];
		int next;

		if (s->place != ANYWHERE) {
			struct queue *q = request_queue(r, s->place);

			if (!queue_is_current(q)) {
				queue_post(q, &r->go);
				return;
			}
		}
		next = s->run(r);
		if (next == WAIT)
			return;
		r->at = next;
	}
}

void request_post(struct request *r, int at)
{
	enum place place = r->table[at].place;

	VDO_ASSERT(place != ANYWHERE);
	r->at = at;
	queue_post(request_queue(r, place), &r->go);
}

int request_fail(struct request *r, int error)
{
	VDO_ASSERT(error < 0);
	if (r->error == 0)
		r->error = error;
	return r->failed;
}
