/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ask an index once, and wait for the answer.
 */
#ifndef TESTS_INDEX_ASK_H
#define TESTS_INDEX_ASK_H

#include "index/index.h"
#include "tests/lib/wait.h"

struct index_asking {
	struct index_op op;
	struct wait wait;
};

static inline void index_answered(struct completion *c)
{
	struct index_asking *a = container_of(c, struct index_asking, op.done);

	wait_done(&a->wait.done);
}

/* @op has all but the completion, which runs on @q, and of its name the hash.
 * Returns its result. */
static inline int index_ask(struct index *index, struct queue *q,
			    struct index_op *op)
{
	struct index_asking a = {.op = *op};

	index_set_name(index, &a.op.name, &op->name.hash);
	wait_init(&a.wait, q);
	completion_init(&a.op.done, q, index_answered);
	index_start(index, &a.op);
	(void)wait_for(&a.wait);
	*op = a.op;
	return op->done.result;
}

#endif
