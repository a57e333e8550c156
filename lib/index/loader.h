/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads the newest save (X 10.2), whatever number of zones wrote it.
 *
 * Runs on: the main queue, while the zones stand still. One load at a time.
 * Lifetime: what the configuration points to is the index's.
 */
#ifndef INDEX_LOADER_H
#define INDEX_LOADER_H

#include "exec/flow.h"
#include "index/range.h"
#include "index/saves.h"
#include "index/stream.h"
#include "index_format/saved.h"

struct loader_config {
	const struct index_media *media;
	const struct index_saves *saves;
	const struct index_contents *contents;
	struct chapter_range *range;
	struct stream *stream;
	struct queue *queue;
};

struct index_loader {
	struct completion done; /* set up by the caller, each time */

	/* private */
	struct loader_config c;
	struct flow flow;
	struct save_reader reader;
	unsigned stream; /* the next one */
};

void loader_init(struct index_loader *l, const struct loader_config *c);

/* After an error the contents are empty, and the save is not to be used. */
void loader_start(struct index_loader *l);

#endif
