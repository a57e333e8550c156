/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Table of FIFO lists by priority, 0..63; a bitmap finds the highest.
 *
 * Runs on: whoever owns the table; no locks.
 */
#ifndef BASE_PRIOQ_H
#define BASE_PRIOQ_H

#include <stdint.h>

#include "base/list.h"

#define PRIOQ_LEVELS 64

struct prioq_node {
	struct list_node link;
	unsigned priority;
};

struct prioq {
	uint64_t used; /* bit p: list p is not empty */
	struct list_node lists[PRIOQ_LEVELS];
};

void prioq_init(struct prioq *q);
void prioq_node_init(struct prioq_node *n);

/* Put @n, which is in no table, at the end of list @priority. */
void prioq_put(struct prioq *q, struct prioq_node *n, unsigned priority);

/* The same, at the beginning of that list. */
void prioq_put_first(struct prioq *q, struct prioq_node *n, unsigned priority);

/* The first of the highest priority below @limit, which stays; or NULL. */
struct prioq_node *prioq_best(const struct prioq *q, unsigned limit);

/* Remove @n if it is in the table. */
void prioq_remove(struct prioq *q, struct prioq_node *n);

#endif
