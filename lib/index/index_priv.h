/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of an index.
 *
 *	make.c	 put together and taken apart
 *	index.c	 requests, and the flows that open and stop it
 *	stats.c	 statistics
 *
 * verify.c, and tests, look at it through the calls at the end.
 *
 * Those run on: whoever knows that the zones stand still, or that nobody asks them
 * anything.
 */
#ifndef INDEX_INDEX_PRIV_H
#define INDEX_INDEX_PRIV_H

#include <stdatomic.h>

#include "exec/fanout.h"
#include "index/index.h"
#include "index/media.h"
#include "index/opener.h"
#include "index/range.h"
#include "index/saver.h"
#include "index/sparse.h"
#include "index/writer.h"
#include "index/zone.h"
#include "index_format/contents.h"

/* Where rows run. */
enum { ON_MAIN = 1 };

struct index {
	struct index_config c;
	struct index_geometry geometry;
	struct index_media media;
	struct index_failure failure;
	atomic_int state;
	atomic_bool stop;

	/* What it knows. */
	struct page_map page_map;
	struct chapter_range range;
	struct index_zone *zones;
	struct index_contents contents; /* the above, for those who fill it */

	/* Who works on it. */
	struct index_saves saves;
	struct stream stream; /* lent to one of them at a time, as pages */
	uint8_t *pages;	      /* of a chapter */
	struct index_opener opener;
	struct index_saver saver;
	struct sparse_cache sparse;
	struct chapter_writer writer;

	/* An operation that takes its time, as index.h says. */
	struct flow flow;
	struct completion *done; /* NULL: none is under way */
	struct completion idle;	 /* the writer is */
	struct fanout fanout;
	struct fanout_part parts[INDEX_ZONES_MAX];
	enum index_open how;
	bool resume;	       /* rather than open */
	bool save;	       /* when it stops */
	enum index_state then; /* after a stop */
	bool unsaved;	       /* more is known than the newest save says */
};

static inline enum index_state index_state_of(const struct index *index)
{
	return (enum index_state)atomic_load_explicit(&index->state,
						      memory_order_relaxed);
}

const struct index_media *index_media_of(const struct index *index);
struct index_contents *index_contents_of(struct index *index);
const struct chapter_range *index_range_of(const struct index *index);

#endif
