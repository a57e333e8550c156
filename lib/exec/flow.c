/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runner of flows.
 *
 * Each row is noted in the ring of its queue (trace.h) before it runs: that
 * takes a few instructions, and the last words of an assertion say how it came
 * to that.
 */
#include "build.h"

#include "exec/flow.h"

#include "exec/trace.h"

#ifdef VDO_DEBUG
/*
 * Run one row, and see that it armed an op or parked if and only if it says
 * that it waits. A row may run other flows, so what was armed before is kept.
 */
static int run_row(struct flow *f, const struct step *s, int at)
{
	struct queue *q = queue_running;
	const struct flow *outer = q->armed;
	int next;

	q->armed = NULL;
	if (flow_table_of(f)->entered != NULL)
		flow_table_of(f)->entered(f, at);
	next = s->run(f);
	VDO_ASSERT(queue_running == q);
	if (next == FLOW_WAIT)
		VDO_ASSERT(q->armed == f); /* not known where it goes on */
	else
		VDO_ASSERT(q->armed == NULL); /* would go on twice */
	q->armed = outer;
	return next;
}
#else
static inline int run_row(struct flow *f, const struct step *s, int at)
{
	return s->run(f);
}
#endif

void flow_run(struct flow *f)
{
	struct queue *here = queue_running;
	int next = f->at;

	VDO_CHECK(here != NULL && next >= 0);
	do {
		const struct step *s = flow_row(f, next);
		struct queue *q = f->queues[flow_place(next)];

		VDO_CHECK((int)flow_number(next) < flow_table_of(f)->count);
		VDO_CHECK(flow_place(next) == s->place);
		/* None is known for ANYWHERE. */
		if (q != here && q != NULL) {
			f->at = next;
			queue_post(q, &f->go);
			return;
		}
		trace_row(&here->trace, f, s);
		next = run_row(f, s, next);
	} while (next >= 0);
	VDO_CHECK(next == FLOW_WAIT || next == FLOW_END);
}

void flow_arrived(struct completion *c)
{
	VDO_CHECK(queue_is_current(c->home));
	flow_run(container_of(c, struct flow, go));
}

int flow_fail(struct flow *f, int error)
{
	VDO_ASSERT(error < 0);
	if (f->result == 0)
		f->result = error;
	return flow_table_of(f)->failed;
}

void flow_resume(struct completion *c)
{
	struct flow *f = c->owner;

	VDO_CHECK(queue_is_current(c->home) && c->result <= 0);
	if (unlikely(c->result != 0))
		f->at = flow_fail(f, c->result);
	flow_run(f);
}

void flow_resume_any(struct completion *c)
{
	VDO_CHECK(queue_is_current(c->home));
	flow_run(c->owner);
}
