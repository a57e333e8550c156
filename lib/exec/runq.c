/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a batch of completions, whose number is bounded so that the runner
 * looks at its timers in between.
 */
#include "build.h"

#include "exec/runq.h"

unsigned runq_take_in(struct runq *r, size_t max)
{
	struct mpsc_node *n;
	unsigned i;

	VDO_CHECK(r->first == NULL || r->last != NULL);
	for (i = 0; i < max; i++) {
		n = mpsc_poll(&r->inbox);
		if (n == NULL)
			break;
		runq_push(r, n);
	}
	return i;
}

/* Has the turn gone on for long enough, or is nothing left? */
static bool is_over(struct runq *r, unsigned ran)
{
	VDO_CHECK(turn_is_open(&r->turn));
	r->turn.ran += ran;
	return ran == 0 || r->turn.ran >= TURN_MAX ||
	       (r->first == NULL && !mpsc_ready(&r->inbox));
}

static inline unsigned run(struct runq *r, unsigned *left)
{
	struct completion *c;
	unsigned n = 0;

	VDO_ASSERT(queue_running == NULL);
	runq_take_in(r, RUN_BATCH);
	while (*left > 0 && (c = runq_pop(r)) != NULL) {
		n++;
		--*left;
		r->ran++;
		queue_run(c->home, c);
	}
	if (unlikely(turn_is_open(&r->turn)) && is_over(r, n))
		turn_close(&r->turn);
	return n;
}

unsigned runq_run(struct runq *r)
{
	unsigned left = RUN_BATCH;

	return run(r, &left);
}

unsigned runq_run_some(struct runq *r, unsigned *left)
{
	VDO_ASSERT(*left > 0);
	return run(r, left);
}
