/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps at random times: of blocks of which only one thing can be read, whatever is
 * under way, it is told whether they are zeroes; and of those that surely differ, that they do.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

#include "base/zero.h"

enum truth { UNSURE, ZEROES, DATA };

struct look {
	struct run *r;
	uint64_t lbn, count;
	uint64_t next; /* byte of the volume that is to be told next */
	unsigned extents, stop_at;
	enum truth *truth; /* of each block, before the call */
};

static enum truth truth_of(struct run *r, uint64_t lbn)
{
	const void *only = model_only(r->model, lbn);

	/* What was acknowledged and is lost makes it read-only. */
	if (only == NULL || r->writes[lbn] > 0 || r->rotten ||
	    run_read_only(r))
		return UNSURE;
	/* Where FUA lies a block that had data may have been given back before the
	 * entry that let go of it was durable, and read as zeroes. */
	if (zero_test(only, BLOCK_SIZE))
		return r->fua_lies ? UNSURE : ZEROES;
	return DATA;
}

static int tell(void *arg, const struct vdo_extent *e)
{
	struct look *l = arg;
	struct run *r = l->r;
	uint64_t first = place_of(r, l->lbn) * BLOCK_SIZE;
	uint64_t i = (e->offset - first) / BLOCK_SIZE;
	enum truth told = e->kind >= VDO_MAP_DATA ? DATA : ZEROES;

	if (e->offset != l->next || e->length == 0 ||
	    e->length > l->count * BLOCK_SIZE - (e->offset - first))
		die(r, "a map tells of %" PRIu64 "+%" PRIu64, e->offset,
		    e->length);
	l->next += e->length;
	if (percent(r, 2)) {
		rest_grow(r);
		pool_hold(false); /* the map waits */
	}
	for (; i < (l->next - first) / BLOCK_SIZE; i++)
		if (l->truth[i] != UNSURE && l->truth[i] != told &&
		    !run_read_only(r))
			die(r, "lbn %" PRIu64 " is said to be %s", l->lbn + i,
			    vdo_map_kind_name(e->kind));
	return ++l->extents == l->stop_at;
}

static bool error_is_fine(struct run *r, int result)
{
	if (sim_device_crashed(r->sd) || r->rotten)
		return true;
	if (result == -EIO)
		return r->faulty;
	return result == -VDO_EREADONLY && r->lossy && run_read_only(r);
}

static void look_at(struct run *r, uint64_t lbn, uint64_t count,
		    unsigned stop_at)
{
	struct look l = {.r = r, .lbn = lbn, .count = count,
			 .stop_at = stop_at};
	uint64_t at = place_of(r, lbn) * BLOCK_SIZE;
	int result;

	l.next = at;
	l.truth = calloc(count, sizeof(*l.truth));
	for (uint64_t i = 0; i < count; i++)
		l.truth[i] = truth_of(r, lbn + i);
	/* Whether counts are loaded or scrubbed meanwhile changes nothing. */
	result = vdo_map_extents(r->v, at, count * BLOCK_SIZE,
				 at % 3 == 0 ? VDO_MAP_REFERENCES : 0, tell, &l);
	say(r, "  map of %" PRIu64 "+%" PRIu64 ": %u extents, %s", lbn, count,
	    l.extents, result == 1 ? "enough" : vdo_error_name(result));
	if (result < 0 && !error_is_fine(r, result))
		die(r, "map of %" PRIu64 "+%" PRIu64 ": %s", lbn, count,
		    vdo_error_name(result));
	if (result == 0 && l.next != at + count * BLOCK_SIZE)
		die(r, "a map ends at %" PRIu64, l.next);
	totals.maps++;
	free(l.truth);
}

/* ----------------------------------------------------------------- changes */

struct pair {
	struct run *r;
	uint64_t a, b, count;
	uint64_t next; /* block that was not told of yet */
	bool *differ;  /* for certain, before the call */
};

static void not_told(const struct pair *p, uint64_t end)
{
	for (uint64_t i = p->next; i < end; i++)
		if (p->differ[i] && !run_read_only(p->r))
			die(p->r,
			    "lbns %" PRIu64 " and %" PRIu64
			    " are said to be equal",
			    p->a + i, p->b + i);
}

static int note_change(void *arg, const struct vdo_change *c)
{
	struct pair *p = arg;
	uint64_t first = c->offset / BLOCK_SIZE;
	uint64_t end = first + c->length / BLOCK_SIZE;

	if (first < p->next || end <= first || end > p->count)
		die(p->r, "a change of %" PRIu64 "+%" PRIu64, c->offset,
		    c->length);
	not_told(p, first);
	p->next = end;
	return 0;
}

/* What is surely different is told. */
static void compare(struct run *r)
{
	struct pair p = {.r = r, .a = dice(r, r->lbns), .b = dice(r, r->lbns)};
	int result;

	p.count = 1 + dice(r, MIN(in_a_row(r, p.a), in_a_row(r, p.b)));
	p.differ = calloc(p.count, sizeof(*p.differ));
	for (uint64_t i = 0; i < p.count; i++)
		p.differ[i] = truth_of(r, p.a + i) != UNSURE &&
			      truth_of(r, p.b + i) != UNSURE &&
			      memcmp(model_only(r->model, p.a + i),
				     model_only(r->model, p.b + i),
				     BLOCK_SIZE) != 0;
	result = vdo_map_changes(r->v, place_of(r, p.a) * BLOCK_SIZE,
				 place_of(r, p.b) * BLOCK_SIZE,
				 p.count * BLOCK_SIZE, 0, note_change, &p);
	if (result != 0 && !error_is_fine(r, result))
		die(r, "changes: %s", vdo_error_name(result));
	if (result == 0)
		not_told(&p, p.count);
	free(p.differ);
}

void maps_look(struct run *r)
{
	uint64_t lbn = percent(r, 30) ? 0 : dice(r, r->lbns);
	uint64_t room = in_a_row(r, lbn);
	uint64_t count = percent(r, 50) ? room : 1 + dice(r, room);

	look_at(r, lbn, count, percent(r, 20) ? 1 + (unsigned)dice(r, 5) : 0);
	if (percent(r, 40))
		compare(r);
}
