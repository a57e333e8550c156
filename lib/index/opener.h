/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens an index: reads what it says of itself, then has it loaded, rebuilt or
 * made. It owns those who do that.
 *
 * Runs on: the main queue, while the zones stand still.
 * Lifetime: what the configuration points to is the index's.
 */
#ifndef INDEX_OPENER_H
#define INDEX_OPENER_H

#include "index/formatter.h"
#include "index/index.h"
#include "index/loader.h"
#include "index/rebuilder.h"

struct opener_config {
	struct index_media *media;
	struct index_saves *saves;
	const struct index_contents *contents; /* empty */
	struct chapter_range *range;
	struct stream *stream;
	uint8_t *pages; /* a buffer for a chapter */
	const atomic_bool *stop;
	struct queue *queue;
	uint64_t (*wall_ms)(void *arg);
	void *wall_arg;
};

struct index_opener {
	struct completion done; /* set up by the caller, each time */
	bool unsaved;		/* out: nothing on disk says what is known */

	/* private */
	struct opener_config c;
	enum index_open how;
	struct flow flow;
	struct media_op io;
	unsigned slot; /* save whose header is next */
	struct index_loader loader;
	struct index_rebuilder rebuilder;
	struct index_formatter formatter;
};

void opener_init(struct index_opener *o, const struct opener_config *c);

/* Errors are those of index_open(). */
void opener_start(struct index_opener *o, enum index_open how);

#endif
