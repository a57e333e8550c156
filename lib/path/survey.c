/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Surveys: see survey.h.
 *
 * Only a tree can tell what it lacks, so each is asked for its next page, and the
 * first of all these is the next one of the range. A tree is asked when the walk
 * comes to where its next page could be, no earlier: so a short range needs few
 * of them. Neighbouring pages are of neighbouring trees.
 *
 * The first time one page is looked for, as that may be all that is wanted, then
 * twice as many each time.
 *
 * A survey needs no request and no memory but its owner's.
 */
#include "build.h"

#include "path/survey.h"

#include <string.h>

#include "front/io.h"
#include "path/path_priv.h"

/* Row, function, where it runs; what it does. */
#define SURVEY_ROWS(X)							       \
	/* which tree has the next page, or could have it? */		       \
	X(S_TURN, survey_turn, ON_LOGICAL)				       \
	/* its next page */						       \
	X(S_LOOK, survey_look, ON_LOGICAL)				       \
	X(S_FOUND, survey_found, ON_LOGICAL)				       \
	/* a copy of that */						       \
	X(S_COPY, survey_copy, ON_LOGICAL)				       \
	X(S_COPIED, survey_copied, ON_LOGICAL)				       \
	/* references of what is in the copies, zone after zone */	       \
	X(S_COUNT, survey_count, ON_CANDIDATE)				       \
	X(S_COUNTED, survey_counted, ON_CANDIDATE)			       \
	/* the callback, also after errors */				       \
	X(S_END, survey_end, ANYWHERE)

enum { SURVEY_ROWS(FLOW_ROW) };
SURVEY_ROWS(FLOW_FUNCTION)
FLOW_TABLE(survey_table, S_END, SURVEY_ROWS);

static struct survey *survey_of(struct flow *f)
{
	return container_of(f, struct survey, flow);
}

static struct survey_tree *tree_of(struct survey *s)
{
	VDO_CHECK(s->tree < ROOT_COUNT);
	return &s->trees[s->tree];
}

/* No page of the trees has been looked for. */
static void begin(struct survey *s, struct path *p)
{
	unsigned roots = map_tree_count(p->config.map);
	uint64_t leaf = s->first / MAP_PAGE_ENTRIES;

	VDO_ASSERT(s->first < s->end && roots <= ROOT_COUNT);
	for (unsigned i = 0; i < ROOT_COUNT; i++)
		s->trees[i].lbn = s->end;
	for (unsigned i = 0; i < roots; i++) {
		lbn_t lbn = MAX((leaf + i) * MAP_PAGE_ENTRIES, s->first);

		s->trees[(leaf + i) % roots].lbn = MIN(lbn, s->end);
	}
	s->begun = true;
	s->done = s->first;
	s->origin = p->config.storage->bio_offset;
	flow_init(&s->flow, NULL);
}

void survey_start(struct path *p, struct io *io)
{
	struct survey *s = io->survey;

	VDO_CHECK(io->kind == IO_SURVEY);
	if (!s->begun)
		begin(s, p);
	VDO_ASSERT(s->done < s->end);
	s->path = p; /* the engine may be another one than before */
	s->io = io;
	s->count = 0;
	/* It may grow between two calls, and while the pages are looked at. */
	s->slabs = *depot_geometry(p->config.depot);
	s->max = s->max == 0 ? 1 : MIN(2 * s->max, SURVEY_PAGES);
	flow_set_table(&s->flow, &survey_table);
	s->flow.queues[ON_LOGICAL] =
		p->zones[map_zone_of(p->config.map, s->done)].queue;
	flow_start(&s->flow);
}

/* The block of the slot that is looked at, if it has one of its own. */
static bool slot_block(const struct survey *s, pbn_t *pbn)
{
	const struct survey_page *page = &s->pages[s->page];
	lbn_t lbn = page->lbn + s->slot;
	struct mapping m;

	if (lbn < s->first || lbn >= s->end)
		return false;
	m = mapping_page_get(page->bytes, s->slot);
	*pbn = m.pbn;
	return m.pbn != ZERO_BLOCK && mapping_plausible(&s->slabs, m);
}

/* On to the next slot. False: there is none. */
static bool next_slot(struct survey *s)
{
	if (++s->slot == MAP_PAGE_ENTRIES) {
		s->slot = 0;
		s->page++;
	}
	return s->page < s->count;
}

/* Ask the next zone, if one is left. */
static int next_zone(struct survey *s)
{
	s->page = 0;
	s->slot = 0;
	if (s->zones == 0)
		return S_END;
	s->flow.queues[ON_CANDIDATE] = depot_queue(
		s->path->config.depot, (unsigned)__builtin_ctz(s->zones));
	return S_COUNT;
}

/* Which zones are to be asked? */
static int count_pages(struct survey *s)
{
	const struct depot *depot = s->path->config.depot;
	pbn_t pbn;

	s->zones = 0;
	s->page = 0;
	s->slot = 0;
	for (unsigned i = 0; i < s->count; i++)
		memset(s->pages[i].references, 0,
		       sizeof(s->pages[i].references));
	if (s->count == 0)
		return S_END;
	do {
		if (slot_block(s, &pbn))
			s->zones |= UINT32_C(1) << depot_zone_of(depot, pbn);
	} while (next_slot(s));
	return next_zone(s);
}

static void note_count(struct survey *s)
{
	s->pages[s->page].references[s->slot] = (uint8_t)s->count_op.references;
}

static int survey_count(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct depot *depot = s->path->config.depot;
	unsigned zone = (unsigned)__builtin_ctz(s->zones);

	while (s->page < s->count) {
		if (slot_block(s, &s->count_op.pbn) &&
		    depot_zone_of(depot, s->count_op.pbn) == zone) {
			flow_await_any(f, &s->count_op.done, S_COUNTED);
			if (!depot_count(depot, zone, &s->count_op))
				return FLOW_WAIT;
			flow_unpark(f);
			note_count(s);
		}
		(void)next_slot(s);
	}
	s->zones &= s->zones - 1;
	return next_zone(s);
}

static int survey_counted(struct flow *f)
{
	struct survey *s = survey_of(f);

	note_count(s);
	(void)next_slot(s);
	return S_COUNT;
}

static int survey_turn(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct path *p = s->path;

	for (unsigned i = 0; i < ROOT_COUNT; i++)
		if (s->trees[i].lbn < s->trees[s->tree].lbn)
			s->tree = i;
	s->done = tree_of(s)->lbn;
	VDO_CHECK(s->done <= s->end && s->count <= s->max);
	if (s->done == s->end || s->count == s->max)
		return s->references ? count_pages(s) : S_END;
	f->queues[ON_LOGICAL] =
		p->zones[map_zone_of(p->config.map, s->done)].queue;
	return tree_of(s)->page == ZERO_BLOCK ? S_LOOK : S_COPY;
}

static int survey_look(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct map *map = s->path->config.map;

	flow_await(f, &s->op.done, S_FOUND);
	s->op.lbn = tree_of(s)->lbn;
	s->op.end = s->end;
	return flow_over(f, &s->op.done,
			 map_next(map, map_zone_of(map, s->op.lbn), &s->op));
}

static int survey_found(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct survey_tree *t = tree_of(s);

	VDO_CHECK(s->op.page == ZERO_BLOCK || s->op.lbn >= t->lbn);
	t->page = s->op.page;
	t->lbn = t->page == ZERO_BLOCK ? s->end : s->op.lbn;
	return S_TURN;
}

static int survey_copy(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct map *map = s->path->config.map;

	VDO_CHECK(s->count < SURVEY_PAGES);
	flow_await(f, &s->op.done, S_COPIED);
	s->op.page = tree_of(s)->page;
	s->op.copy = s->pages[s->count].bytes;
	return flow_over(f, &s->op.done,
			 map_copy(map, map_zone_of(map, tree_of(s)->lbn),
				  &s->op));
}

static int survey_copied(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct survey_tree *t = tree_of(s);
	uint64_t leaf = t->lbn / MAP_PAGE_ENTRIES;

	s->pages[s->count++].lbn = leaf * MAP_PAGE_ENTRIES;
	leaf += map_tree_count(s->path->config.map);
	t->lbn = MIN(leaf * MAP_PAGE_ENTRIES, s->end);
	t->page = ZERO_BLOCK;
	return S_TURN;
}

/* Whoever waits goes on, and the survey may be gone. */
static int survey_end(struct flow *f)
{
	struct survey *s = survey_of(f);
	struct front *front = s->path->config.front;

	VDO_CHECK(s->done > s->first || f->result != 0);
	io_end_block(s->io, f->result);
	front_release(front);
	return FLOW_END;
}
