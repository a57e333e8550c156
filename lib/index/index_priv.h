/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of an index and who owns them.
 *
 *	zone.c	    requests		each zone on its queue
 *	sparse.c    sparse cache	main queue; views of it: the zones
 *	writer.c    closed chapters	main queue; parts of it: the zones
 *	load.c save.c rebuild.c
 *		    the index on disk	main queue, while the zones stand still
 *	index.c	    states		main queue
 *
 * Messages between a zone and the main queue, in the order in which a chapter
 * passes through them:
 *
 *	handover	zone -> main	my chapter is full (or announced)
 *	announce	main -> zone	somebody's is: hand yours over too
 *	written		main -> zone	it is on disk: the next may follow
 *
 * Each is a completion of the zone's, so nothing is allocated and each is under
 * way at most once: a zone hands over the next chapter only after "written".
 * Announcements can overtake that by one chapter, hence there are two.
 */
#ifndef INDEX_INDEX_PRIV_H
#define INDEX_INDEX_PRIV_H

#include "exec/executor.h"
#include "exec/fanout.h"
#include "exec/gate.h"
#include "index/index.h"
#include "index/page_cache.h"
#include "index/stream.h"
#include "index_format/chapter_builder.h"
#include "index_format/layout.h"
#include "index_format/open_chapter.h"
#include "index_format/page_map.h"
#include "index_format/record_page.h"
#include "index_format/saved.h"
#include "index_format/volume_index.h"

#define SPARSE_SLOTS CACHE_CHAPTERS

/* What a zone knows of the sparse cache. */
struct sparse_view {
	struct {
		uint64_t vcn; /* CHAPTER_NONE: not in use */
		unsigned misses;
		bool skip; /* until a sample is found in it again */
	} slots[SPARSE_SLOTS];
	uint8_t order[SPARSE_SLOTS]; /* most recently used first */
	unsigned loading;	     /* chapters on their way in */
	struct waitq waiting;	     /* requests */

	/* A chapter that the zone has asked for. */
	struct completion want;	 /* to the main queue */
	struct completion reply; /* and back */
	struct waiter link;
	uint64_t vcn;
	unsigned victim;
	bool wanting;
};

struct zone_counts {
	uint64_t found[INDEX_DELETE + 1];
	uint64_t not_found[INDEX_DELETE + 1];
	uint64_t posts_in[INDEX_SPARSE + 1];
};

struct announce {
	struct completion go;
	struct index_zone *zone;
	uint64_t vcn;
};

struct index_zone {
	_Alignas(CACHE_LINE) struct index *index;
	struct queue *queue;
	unsigned number;
	bool accepting;
	bool touched;	    /* asked since the last save or load */
	bool writing_valid; /* writing has the records of newest - 1 */
	bool writing_busy;  /* the writer has it */
	bool close_pending; /* open is full, and waits for that */
	bool gate_empty;    /* and the main queue wants to know */
	uint64_t oldest, newest;
	struct volume_index volume;
	struct open_chapter chapters[2];
	struct open_chapter *open, *writing;
	struct page_cache cache;
	struct sparse_view sparse;
	struct gate gate;
	struct waitq full; /* requests for room in open */
	struct zone_counts counts;

	struct completion handover;
	struct completion written;
	struct announce announces[2];
	struct completion drained;
};

struct sparse_slot {
	uint64_t vcn;
	uint8_t *pages; /* index_pages of them */
};

struct sparse_cache {
	struct sparse_slot slots[SPARSE_SLOTS];
	uint8_t *pages; /* of all slots */
	struct waitq wants;
	struct index_zone *asking; /* whose want is being served */
	struct fanout fanout;
	struct fanout_part parts[INDEX_ZONES_MAX]; /* one a zone */
	struct mio mio;
};

struct chapter_writer {
	uint64_t vcn;
	unsigned handed_over;	 /* zones */
	uint32_t record;	 /* next to be encoded */
	uint32_t page;		 /* next to be packed */
	uint32_t next_list, lost;
	const struct index_record *fill;
	struct chapter_builder builder;
	uint8_t *pages; /* of a chapter */
	struct index_record *records; /* of a page */
	const struct index_record **scratch;
	struct completion step;
	int result; /* of writing the lists */
	struct mio mio;
	struct sync_op sync;
	void (*then)(struct index *index);
	uint64_t chapters_written;
	struct completion *idle; /* to be told when nothing is handed over */
};

struct rebuild_state;

/* What runs on the main queue when something is over. */
typedef void (*index_then)(struct index *index, int result);

enum index_command {
	COMMAND_OPEN,
	COMMAND_SUSPEND,
	COMMAND_RESUME,
	COMMAND_CLOSE,
};

struct index {
	struct index_config c;
	struct index_geometry geometry;
	struct index_layout layout;
	uint64_t volume_block;
	atomic_int state;
	atomic_int error;
	atomic_bool stop;
	uint64_t newest, oldest; /* of the whole index; main queue */
	struct index_save saves[SAVES];
	int save_slot; /* the newest that agrees with the volume, or -1 */
	bool unreadable; /* a header is: nobody knows which is the newest */
	struct page_map page_map;
	struct index_zone *zones;
	struct sparse_cache sparse;
	struct chapter_writer writer;
	struct stream stream;
	uint8_t *block; /* for single ones */

	/* What index.h calls an operation that takes its time. */
	struct completion *done;
	struct completion run;
	enum index_command command;
	enum index_open how;
	bool save;
	bool need_save;
	int result;
	struct fanout fanout;
	struct fanout_part parts[INDEX_ZONES_MAX]; /* one a zone */
	struct completion step;
	struct mio mio;
	struct sync_op sync;
	index_then then;
	unsigned at; /* of several: slot, zone */
	index_then outer; /* of the whole that consists of steps */
	struct saver saver;
	struct loader loader;
	unsigned saver_slot, saver_step;
	struct rebuild_state *rebuild;
	uint64_t rebuild_done, rebuild_total, left_out;
};

/* The first error counts; requests are refused from now on. Any thread. */
void index_fail(struct index *index, int error, const char *what);

static inline int index_error(const struct index *index)
{
	return atomic_load_explicit(&index->error, memory_order_relaxed);
}

/* Small steps on the main queue; @then runs there. A block that was written is
 * durable then. */
void index_read_block(struct index *index, uint64_t block, index_then then);
void index_write_block(struct index *index, uint64_t block, index_then then);
void index_sync(struct index *index, index_then then);
void index_again(struct index *index, index_then then);

/* zone.c */
int zone_init(struct index *index, unsigned number) MUST_CHECK;
void zone_fini(struct index_zone *z);
void zone_reset(struct index_zone *z);
void zone_receive(struct completion *c); /* an op's run */
/* True: the op is over; done is not run. */
bool zone_serve(struct index_zone *z, struct index_op *op) MUST_CHECK;
void zone_written(struct completion *c);
void zone_announced(struct completion *c);
void zone_go_on(struct waitq *q, struct index_zone *z);
void zone_accept(struct index_zone *z, bool accept);

/* sparse.c */
int sparse_init(struct index *index) MUST_CHECK;
void sparse_fini(struct index *index);
void sparse_reset(struct index *index);
/* The slot of @vcn in the zone's view, or -1. */
int sparse_slot_of(const struct index_zone *z, uint64_t vcn);
/* @found: a name in it. */
void sparse_note(struct index_zone *z, unsigned slot, bool found);
/* Have @vcn brought in; @op is served again afterwards. */
void sparse_want(struct index_zone *z, uint64_t vcn);
const uint8_t *sparse_page(const struct index_zone *z, unsigned slot,
			   uint32_t page);

/* writer.c */
int writer_init(struct index *index) MUST_CHECK;
void writer_fini(struct index *index);
void writer_handover(struct completion *c);
/* Finish @idle when no chapter is being written. */
void writer_wait_idle(struct index *index, struct completion *idle);

/* Each runs @then on the main queue when it is over. */
void index_load(struct index *index, index_then then);
void index_save(struct index *index, index_then then);
void index_rebuild(struct index *index, index_then then);
/* Make the newest save unusable, if there is one. */
void index_discard_save(struct index *index, index_then then);

/* Newest and oldest chapter for all zones, which stand still. */
void index_set_chapters(struct index *index, uint64_t oldest, uint64_t newest);

#endif
