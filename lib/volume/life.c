/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What opening, closing, suspending and resuming have in common: a flow, whose
 * rows ask one component after the other and wait for it, and somebody who
 * waits for the end.
 *
 *	load.c   open, resume
 *	save.c   suspend
 *	close.c  close
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>

void life_init(struct life *l, struct volume *v, const struct flow_table *table)
{
	const struct topology *t = &v->topology;

	VDO_ASSERT(t->journal != NULL && t->packer != NULL);
	flow_init(&l->flow, table);
	l->flow.queues[ON_JOURNAL] = t->journal;
	l->flow.queues[ON_PACKER] = t->packer;
	/* Without an index the rows that ask it do nothing, on any queue. */
	l->flow.queues[ON_INDEX] = t->index != NULL ? t->index : t->journal;
	l->volume = v;
	l->done = NULL;
	atomic_init(&l->does, NULL);
}

void life_start(struct life *l, struct completion *done)
{
	VDO_ASSERT(l->done == NULL && done != NULL);
	l->done = done;
	life_does(l, NULL);
	flow_start(&l->flow);
}

int life_run(struct life *l)
{
	struct await a;

	VDO_ASSERT(queue_running == NULL);
	life_start(l, await_on(&a, l->volume->topology.journal));
	return await_end(&a);
}

struct life *life_of(struct flow *f)
{
	struct life *l = container_of(f, struct life, flow);

	VDO_ASSERT(l->done != NULL);
	return l;
}

void life_does(struct life *l, const char *text)
{
	atomic_store_explicit(&l->does, text, memory_order_relaxed);
}

struct completion *life_await(struct life *l, int next)
{
	flow_await(&l->flow, &l->step, next);
	return &l->step;
}

int life_end(struct life *l)
{
	struct completion *done = l->done;

	VDO_ASSERT(done != NULL && l->flow.result <= 0);
	l->done = NULL;
	completion_finish(done, l->flow.result);
	return FLOW_END;
}

void life_log(struct life *l)
{
	const char *text =
		atomic_load_explicit(&l->does, memory_order_relaxed);

	VDO_ASSERT(l->flow.result < 0);
	if (text != NULL && l->flow.result != -ECANCELED)
		log_error(&l->volume->log, "volume: %s failed, result=%d",
			  text, l->flow.result);
}
