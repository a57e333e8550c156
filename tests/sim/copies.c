/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies under way, for the model. A copy takes what its source holds at some time
 * while it is under way: so its destination may get all that the source may hold
 * when it begins, and whatever somebody writes there meanwhile, by another copy as
 * well. But never what it wrote itself, as overlapping ranges are copied as if
 * nothing was written before all of it was read.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>

/* No more are begun where there are so many, as each adds to the others. */
#define CONTENTS_MAX 16u
#define COPIES_MAX   8u

/* What one block of the destination may get. */
struct target {
	struct model_version **versions;
	uint64_t *numbers;
	size_t n;
};

struct copying {
	struct list_node link;
	uint64_t dst, src, count, since;
	struct target *targets;
};

static bool has(const struct target *t, uint64_t number)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->numbers[i] == number)
			return true;
	return false;
}

static void note(struct run *r, const struct copying *by, uint64_t lbn,
		 const void *block);

static void add(struct run *r, struct copying *c, uint64_t i, const void *block)
{
	struct target *t = &c->targets[i];
	uint64_t number = block == NULL ? MODEL_ZEROES
					: model_number(r->model, block);

	if (has(t, number))
		return;
	t->versions = realloc(t->versions, (t->n + 1) * sizeof(*t->versions));
	t->numbers = realloc(t->numbers, (t->n + 1) * sizeof(*t->numbers));
	if (t->versions == NULL || t->numbers == NULL)
		abort();
	t->versions[t->n] =
		model_submit_at(r->model, c->dst + i, block, c->since);
	t->numbers[t->n++] = number;
	note(r, c, c->dst + i, block);
}

/* @block is on its way to @lbn, maybe by a copy: others may see it there. */
static void note(struct run *r, const struct copying *by, uint64_t lbn,
		 const void *block)
{
	list_for_each (n, &r->copies) {
		struct copying *c = list_entry(n, struct copying, link);

		if (c != by && lbn - c->src < c->count)
			add(r, c, lbn - c->src, block);
	}
}

void copies_note(struct run *r, uint64_t lbn, const void *block)
{
	note(r, NULL, lbn, block);
}

struct copying *copies_begin(struct run *r, uint64_t dst, uint64_t src,
			     uint64_t count)
{
	struct copying *c;
	const void **found;
	unsigned under_way = 0;

	list_for_each (n, &r->copies)
		under_way++;
	if (under_way >= COPIES_MAX)
		return NULL;
	found = calloc(count * CONTENTS_MAX, sizeof(*found));
	for (uint64_t i = 0; i < count; i++)
		if (!model_contents(r->model, src + i, model_now(r->model),
				    found + i * CONTENTS_MAX, CONTENTS_MAX)) {
			free(found);
			return NULL;
		}
	c = calloc(1, sizeof(*c));
	c->targets = calloc(count, sizeof(*c->targets));
	c->dst = dst;
	c->src = src;
	c->count = count;
	c->since = model_now(r->model);
	list_push_back(&r->copies, &c->link);
	for (uint64_t i = 0; i < count; i++)
		for (unsigned k = 0; found[i * CONTENTS_MAX + k] != NULL; k++)
			add(r, c, i, found[i * CONTENTS_MAX + k]);
	free(found);
	return c;
}

void copies_end(struct run *r, struct copying *c, int result, bool durable)
{
	list_remove(&c->link);
	for (uint64_t i = 0; i < c->count; i++) {
		struct target *t = &c->targets[i];

		for (size_t k = 0; k < t->n; k++) {
			if (result == 0)
				model_ack(r->model, t->versions[k], durable);
			else if (result == -ENOSPC && c->count == 1)
				model_never(r->model, t->versions[k]);
			else
				model_maybe(r->model, t->versions[k]);
		}
		free(t->versions);
		free(t->numbers);
	}
	free(c->targets);
	free(c);
}
