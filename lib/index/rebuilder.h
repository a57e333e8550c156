/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills an index from the chapters on disk (X 10.3), which may take minutes.
 *
 * Runs on: the main queue, while the zones stand still; progress is for any
 * thread.
 * Lifetime: what the configuration points to is the index's. Its own memory is
 * allocated at the start and freed at the end.
 */
#ifndef INDEX_REBUILDER_H
#define INDEX_REBUILDER_H

#include <stdatomic.h>

#include "exec/flow.h"
#include "index/media.h"
#include "index/page_cache.h"
#include "index/range.h"
#include "index_format/contents.h"

struct rebuilder_config {
	const struct index_media *media;
	const struct index_contents *contents; /* empty */
	struct chapter_range *range;
	uint8_t *pages;		 /* a buffer for a chapter */
	const atomic_bool *stop; /* end with -ECANCELED */
	struct queue *queue;
};

struct index_rebuilder {
	struct completion done; /* set up by the caller, each time */
	/* Chapters, by counter.h; the first two are 0 when none is under way.
	 * What was left out stays until the next opening. */
	counter_t chapters_done, chapters_total, left_out;

	/* private */
	struct rebuilder_config c;
	struct flow flow;
	struct media_op io;
	uint64_t *vcns;	 /* by slot; CHAPTER_NONE: nothing of use */
	uint64_t slot;	 /* at hand */
	uint64_t vcn;	 /* chapter that is being checked or replayed */
	uint32_t record; /* next of it */
	struct page_cache cache;
	uint64_t oldest;      /* for the cache: all chapters are alive */
	struct waiter waiter; /* for a page: */
	uint64_t wanted_vcn;
	uint32_t wanted_page;
	int page_result; /* its error, met while this record was replayed */
};

void rebuilder_init(struct index_rebuilder *r,
		    const struct rebuilder_config *c);

/* -ECANCELED, -ENOMEM, -EIO ... */
void rebuilder_start(struct index_rebuilder *r);

#endif
