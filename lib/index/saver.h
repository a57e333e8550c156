/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes saves (X 3.7), and makes the newest one unusable when the chapters go
 * on without it.
 *
 * Runs on: the main queue. One operation at a time: saving while the zones
 * stand still and no chapter is being written, discarding also for the chapter
 * writer before it writes the first chapter after a save. Lifetime: what the
 * configuration points to is the index's.
 */
#ifndef INDEX_SAVER_H
#define INDEX_SAVER_H

#include "exec/flow.h"
#include "index/range.h"
#include "index/saves.h"
#include "index/stream.h"
#include "index_format/saved.h"

struct saver_config {
	const struct index_media *media;
	struct index_saves *saves;
	const struct index_contents *contents;
	const struct chapter_range *range;
	struct stream *stream;
	struct queue *queue;
	/* Milliseconds since 1970, or NULL: no clock. */
	uint64_t (*wall_ms)(void *arg);
	void *wall_arg;
};

struct index_saver {
	struct completion done; /* set up by the caller, each time */

	/* private */
	struct saver_config c;
	struct flow flow;
	struct media_op io;
	struct save_writer writer;
	unsigned slot, zone;
};

void saver_init(struct index_saver *s, const struct saver_config *c);

/* Save everything; the newest save is then this one. */
void saver_save(struct index_saver *s);

/* True: over at once, there is no save that could be used. */
bool saver_discard(struct index_saver *s) MUST_CHECK;

#endif
