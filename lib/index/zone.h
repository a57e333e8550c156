/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A zone: the names of its share, and the requests for them (X 9.3).
 *
 * Invariants
 *  (1) open has room for one record, or close_pending is set, or it is being
 *      handed over; newest is its chapter, and writing_valid says whether
 *      writing has the records of newest - 1.
 *  (2) writing_busy: the writer has a chapter of ours. Only then may
 *      close_pending be set, and only then does anything wait in full.
 *  (3) Whoever waits is inside of the gate.
 *
 * Runs on: its queue; prefetching and counts on any thread. What index.c calls
 * while the zones stand still runs on the main queue.
 * Lifetime: of the index.
 */
#ifndef INDEX_ZONE_H
#define INDEX_ZONE_H

#include "index/failure.h"
#include "index/index.h"
#include "index/page_cache.h"
#include "index/sparse.h"
#include "index/writer.h"

struct zone_config {
	const struct index_media *media;
	const struct page_map *page_map;
	struct index_failure *failure;
	struct sparse_cache *sparse;
	struct chapter_writer *writer;
	struct queue *queue;
	unsigned number, zone_count;
};

/* By counter.h. */
struct zone_counts {
	counter_t found[INDEX_DELETE + 1];
	counter_t not_found[INDEX_DELETE + 1];
	counter_t posts_in[INDEX_SPARSE + 1];
};

struct index_zone {
	_Alignas(CACHE_LINE) struct zone_config c;
	const struct index_geometry *geometry;
	bool accepting;
	bool touched;	    /* asked since the last save or load */
	bool writing_valid;
	bool writing_busy;
	bool close_pending; /* open is full, and waits for the writer */
	bool gate_empty;    /* and the main queue wants to know */
	uint64_t oldest, newest;
	struct volume_index volume;
	struct open_chapter chapters[2];
	struct open_chapter *open, *writing;
	struct page_cache cache;
	struct sparse_view sparse;
	struct chapter_source source;
	struct gate gate;
	struct waitq full; /* requests for room in open */
	struct zone_counts counts;

	/* Of stopping. */
	struct completion drained;
	struct fanout_part *stopping;
};

int index_zone_init(struct index_zone *z, const struct zone_config *c)
	MUST_CHECK;
void index_zone_fini(struct index_zone *z);

/* Forget everything, as if new. Nothing is going on. */
void index_zone_reset(struct index_zone *z);

/* The chapters that there are, while the zone stands still. */
void index_zone_set_range(struct index_zone *z, uint64_t oldest,
			  uint64_t newest);

/* Begin to serve requests. */
void index_zone_accept(struct index_zone *z);
/* Refuse requests; @part is done when all that were inside are over. */
void index_zone_stop(struct index_zone *z, struct fanout_part *part);

/* An op's run: serve it. */
void index_zone_receive(struct completion *c);
/* True: the op is over; done is not run. */
bool index_zone_serve(struct index_zone *z, struct index_op *op) MUST_CHECK;

/* Any thread. */
void index_zone_prefetch(const struct index_zone *z,
			 const struct index_name *name);

/* For serve.c: the open chapter is full. For zone.c: an op has what it waited for,
 * so it is served from the start; @zone is its zone. */
void index_zone_chapter_full(struct index_zone *z);
void index_zone_serve_again(void *zone, struct waiter *w);

/* Do its parts agree? Takes its time. On its queue, between requests. */
bool index_zone_sane(const struct index_zone *z);

#endif
