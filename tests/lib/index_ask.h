/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ask an index once, and wait for the answer.
 */
#ifndef TESTS_INDEX_ASK_H
#define TESTS_INDEX_ASK_H

#include "exec/await.h"
#include "index/index.h"

/* @op has all but the completion, which runs on @q, and of its name the hash.
 * Returns its result. */
static inline int index_ask(struct index *index, struct queue *q,
			    struct index_op *op)
{
	struct await a;

	index_set_name(index, &op->name, &op->name.hash);
	await_arm(&a, &op->done, q);
	index_start(index, op);
	return await_end(&a);
}

#endif
