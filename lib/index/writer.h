/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chapter writer (X 6, 9.2): collects what the zones have of a chapter and
 * writes it to the disk.
 *
 * A zone has a source. Messages between it and the writer, in the order in
 * which a chapter passes through them:
 *
 *	handover	zone -> writer	my chapter is full (or announced)
 *	announce	writer -> zone	somebody's is: hand yours over too
 *	written		writer -> zone	it is on disk: the next may follow
 *
 * Nothing is allocated for them and each is under way at most once: a zone
 * hands over the next chapter only after "written". An announcement can
 * overtake that by one chapter, hence there are two.
 *
 * Invariants
 *  (1) A chapter is on disk if all its index pages are. They are written after
 *      all its records are durable, so a rebuild never meets a chapter without
 *      its records.
 *  (2) Each chapter that was handed over comes back with "written", also after
 *      an error, unwritten; so nobody waits for ever.
 *
 * Runs on: the main queue; what it calculates on the queues of the zones in
 * turn, where each zone's share is about the same.
 * Lifetime: of the index; sources are parts of zones.
 */
#ifndef INDEX_WRITER_H
#define INDEX_WRITER_H

#include <stdatomic.h>

#include "exec/flow.h"
#include "index/failure.h"
#include "index/media.h"
#include "index/range.h"
#include "index/saver.h"
#include "index_format/chapter_builder.h"
#include "index_format/contents.h"

struct chapter_writer;

struct chapter_announce {
	struct completion go; /* to the zone, set up by it */
	uint64_t vcn;
};

/* What the writer knows of a zone. */
struct chapter_source {
	struct chapter_writer *writer;
	struct completion handover;
	struct completion written; /* to the zone, set up by it */
	struct chapter_announce announces[2];
	/* What the zone has handed over: the writer's until "written". */
	const struct open_chapter *full;
	/* What it is filling meanwhile; any thread may see how full that is. */
	_Atomic(const struct open_chapter *) filling;
};

struct writer_config {
	const struct index_media *media;
	struct page_map *page_map;
	struct chapter_range *range;
	struct index_failure *failure;
	struct index_saver *saver;
	uint8_t *pages; /* a buffer for a chapter */
	struct queue *queue;
	struct queue *const *zones;
	unsigned zone_count;
};

struct chapter_writer {
	struct writer_config c;
	struct chapter_source *sources[INDEX_ZONES_MAX];
	unsigned handed_over; /* zones */
	struct completion *idle; /* to be told when nothing is handed over */
	counter_t chapters_written;

	/* The chapter that is being written. */
	uint64_t vcn;
	struct flow flow;
	uint32_t record;	  /* next to be encoded */
	uint32_t page;		  /* next to be packed */
	uint32_t next_list, lost; /* of those */
	const struct index_record *fill;
	struct index_record *records; /* of a page */
	const struct index_record **scratch;
	struct chapter_builder builder;
	struct media_op io;
};

/* Allocates what fini frees, also after an error. */
int writer_init(struct chapter_writer *w, const struct writer_config *c)
	MUST_CHECK;
void writer_fini(struct chapter_writer *w);

/* The source of zone @zone. */
void writer_add_source(struct chapter_writer *w, struct chapter_source *s,
		       unsigned zone);

/* On the zone's queue: its chapter @full is over, and it fills @next. */
void writer_hand_over(struct chapter_source *s,
		      const struct open_chapter *full,
		      const struct open_chapter *next);

/* Finish @idle when no chapter is being written. Main queue. */
void writer_wait_idle(struct chapter_writer *w, struct completion *idle);

#endif
