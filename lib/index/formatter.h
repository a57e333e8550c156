/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a new, empty index, whatever is there (X 3.8).
 *
 * Runs on: the main queue, while the zones stand still.
 * Lifetime: what the configuration points to is the index's.
 */
#ifndef INDEX_FORMATTER_H
#define INDEX_FORMATTER_H

#include "exec/flow.h"
#include "index/media.h"

struct formatter_config {
	struct index_media *media; /* gets its layout */
	struct queue *queue;
	/* Milliseconds since 1970, or NULL: something else that is unique. */
	uint64_t (*wall_ms)(void *arg);
	void *wall_arg;
};

struct index_formatter {
	struct completion done; /* set up by the caller, each time */

	/* private */
	struct formatter_config c;
	struct flow flow;
	struct media_op io;
	unsigned slot; /* the next save's */
};

void formatter_init(struct index_formatter *m,
		    const struct formatter_config *c);
void formatter_start(struct index_formatter *m);

#endif
