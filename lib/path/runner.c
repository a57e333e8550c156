/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runner: moves a request from row to row of its table.
 *
 * A row runs on the queue of its place. As long as the next row's queue is the
 * one we are on, the request goes on at once; else it is posted there. A row
 * that hands an embedded op to a component sets r->at first (another thread may
 * run the request before the row returns) and returns WAIT.
 */
#include "build.h"

#include "path/path_priv.h"

void request_place(struct request *r, enum place place, pbn_t pbn)
{
	const struct depot *depot = r->path->config.depot;

	r->queues[place] = depot_queue(depot, depot_zone_of(depot, pbn));
}

void request_run(struct request *r)
{
	for (;;) {
		const struct step *s = &r->table[r->at];
		struct queue *q = r->queues[s->place];
		int next;

		/* None is known for ANYWHERE. */
		if (q != NULL && !queue_is_current(q)) {
			queue_post(q, &r->go);
			return;
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
	queue_post(r->queues[place], &r->go);
}

int request_fail(struct request *r, int error)
{
	VDO_ASSERT(error < 0);
	if (r->error == 0)
		r->error = error;
	return r->failed;
}
