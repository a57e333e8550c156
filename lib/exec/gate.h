/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A gate counts what is inside of a component and tells when it is empty.
 *
 * gate_close() asks for the "drained" completion to be finished once, as soon
 * as the count is zero; each gate_leave() re-checks. While it is closed,
 * gate_enter() still works: what is inside may need to start more to end; who
 * may not enter is the owner's decision (gate_closed()).
 *
 * Runs on: its owner's queue; no locks.
 */
#ifndef EXEC_GATE_H
#define EXEC_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "exec/completion.h"

struct gate {
	size_t inside;
	struct completion *drained; /* not NULL: closed, and to be told */
	bool closed;
};

static inline void gate_init(struct gate *g)
{
	g->inside = 0;
	g->drained = NULL;
	g->closed = false;
}

static inline bool gate_closed(const struct gate *g)
{
	return g->closed;
}

static inline void gate_check(struct gate *g)
{
	struct completion *c = g->drained;

	VDO_CHECK(c == NULL || g->closed);
	if (c == NULL || g->inside != 0)
		return;
	g->drained = NULL;
	completion_post(c);
}

static inline void gate_enter(struct gate *g)
{
	g->inside++;
}

static inline void gate_leave(struct gate *g)
{
	VDO_CHECK(g->inside > 0);
	g->inside--;
	gate_check(g);
}

static inline void gate_close(struct gate *g, struct completion *drained)
{
	VDO_ASSERT(g->drained == NULL);
	g->closed = true;
	g->drained = drained;
	gate_check(g);
}

static inline void gate_open(struct gate *g)
{
	VDO_ASSERT(g->drained == NULL);
	g->closed = false;
}

#endif
