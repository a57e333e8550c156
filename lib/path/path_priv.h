/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of path/: logical zones, the flusher, the path itself.
 */
#ifndef PATH_PATH_PRIV_H
#define PATH_PATH_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
#include "base/log.h"
#include "exec/fanout.h"
#include "exec/executor.h"
#include "exec/freelist.h"
#include "io/readonly.h"
#include "path/path.h"
#include "path/request.h"

/* What struct path_stats is summed up from. */
struct path_counters {
	counter_t reads, writes, discards, zeroes;
	counter_t copies, copies_same, copies_written;
	counter_t partial, fua;
	counter_t fates[FATES];
	counter_t incompressible, packed_alone;
	counter_t no_space, read_only_errors;
};

#define RANGE_CHAINS 64u

struct logical_zone {
	struct path *path;
	struct queue *queue;
	unsigned number;
	struct mpsc arrivals;    /* requests that have not begun */
	atomic_bool pumping;     /* somebody will look at them */
	struct completion pump;
	unsigned alloc_zone;  /* physical zone to ask first */
	unsigned alloc_count; /* allocations until the next one is asked */
	/* LBN locks: holders by LBN, chained. */
	struct request **locks;
	unsigned locks_mask;
	/* Ranges that are locked, by leaf page, chained. */
	unsigned range_count;
	struct request *ranges[RANGE_CHAINS];
	/* Flushes: writes under way by parity of their generation. */
	uint32_t generation;
	uint64_t active[2];
	struct fanout_part *drained; /* waits for the old parity to end */
	struct path_counters stats;
} __attribute__((aligned(CACHE_LINE)));

struct flusher {
	struct waitq waiting; /* flushes that came since the round began */
	struct waitq covered; /* flushes of this round */
	bool busy;
	uint32_t generation;
	struct flow flow; /* a round */
	struct fanout fanout;
	struct fanout_part *parts; /* one a logical zone */
	counter_t count;
};

/* Writers that go on from leaf page to leaf page; a guess, see ahead.c. */
struct ahead {
	_Atomic(uint64_t) last; /* leaf page that was begun */
	_Atomic(uint64_t) run;	/* how many were, one after the other */
	_Atomic(uint64_t) made; /* before this one they were asked for */
};

struct path {
	struct path_config config;
	struct queue **queues; /* its two arrays of queues */
	struct logical_zone *zones;
	unsigned zone_count;
	atomic_bool deduplication;
	atomic_bool closing;
	/* The error, once acknowledged data found no space in the storage. */
	atomic_int full;
	struct flusher flusher;
	struct ahead ahead;
	struct compressor **compressors; /* one a hash zone */

	struct request *requests;
	void *buffers;
	struct freelist free_requests;
	/* Those from number "depth" on: requests.c. */
	struct freelist spare_requests;
};

/* Rows ON_PHYSICAL, ON_CANDIDATE and ON_SHARED run where @pbn belongs. */
static inline void request_place(struct request *r, enum place place, pbn_t pbn)
{
	const struct depot *depot = r->path->config.depot;

	VDO_CHECK(is_data_block(depot_geometry(depot), pbn));
	r->flow.queues[place] = depot_queue(depot, depot_zone_of(depot, pbn));
}

static inline struct request *request_of(struct flow *f)
{
	return container_of(f, struct request, flow);
}

static inline struct logical_zone *request_zone(const struct request *r)
{
	VDO_CHECK(r->zone < r->path->zone_count);
	return &r->path->zones[r->zone];
}

/* Find the logical zone of r->what. */
static inline struct logical_zone *request_set_zone(struct request *r)
{
	r->zone = map_zone_of(r->path->config.map, r->what.lbn);
	r->flow.queues[ON_LOGICAL] = request_zone(r)->queue;
	return request_zone(r);
}

/* --------------------------------------------------------------- tables */

/* Have @r begin the table of its kind. */
void write_start(struct request *r);
void read_start(struct request *r);

/* ------------------------------------------------------------- range.c */

/* Are the next blocks of @io enough of a discard or zeroes to be a range? */
static inline bool range_suits(const struct io *io)
{
	return (io->kind == IO_DISCARD || io->kind == IO_ZERO) &&
	       io->reserved == NULL && io->next % BLOCK_SIZE == 0 &&
	       io->end - io->next >= 2 * BLOCK_SIZE;
}

/* Have @r go on with the walk of @io, with up to @max entries. */
void range_start(struct request *r, struct io *io, unsigned max);

/* -------------------------------------------------------------- copy.c */

/* Have @r go on with the walk of the copy @io, with up to @max blocks. */
void copy_start(struct request *r, struct io *io, unsigned max);

/* ------------------------------------------------------------- ahead.c */

/* Leaf pages more than so many apart are not of one writer. */
#define AHEAD_STEP 2u

/* The first block of leaf page @leaf is written. The caller is a request. */
void ahead_note(struct path *p, uint64_t leaf);

/* ---------------------------------------------------------- arrivals.c */

void arrivals_init(struct logical_zone *z);
/* Have @r run from row 0 of its table in the logical zone of r->what, after what
 * is under way. */
void arrivals_put(struct request *r);

/* --------------------------------------------------------------- lbn.c */

/* Lock r->lbn. False: @r, which is parked, goes on when it is its turn. */
bool lbn_lock(struct logical_zone *z, struct request *r);
void lbn_unlock(struct logical_zone *z, struct request *r);
/*
 * Lock the blocks from r->what.lbn on, within a page and before @end, up to one
 * that is busy: r->blocks says how many; 0: the first one is busy. False: the
 * first one is in another range; @r, which is parked, goes on when that ends,
 * and tries again.
 */
bool lbn_lock_range(struct logical_zone *z, struct request *r, lbn_t end);
void lbn_unlock_range(struct logical_zone *z, struct request *r);
/* @r holds a block: if nobody waits for it, exchange that for a range up to @end,
 * as lbn_lock_range(). */
bool lbn_widen(struct logical_zone *z, struct request *r, lbn_t end);
/* How many blocks before @end, up to @max and of its page, nobody has. */
unsigned lbn_free_before(struct logical_zone *z, lbn_t end, unsigned max);
/* The write that holds r->lbn and can be read from; NULL: none. */
struct request *lbn_readable(struct logical_zone *z, lbn_t lbn);

/* ------------------------------------------------------------- data.c */

/* Read the block of @m to r->block; row @next goes on. */
void data_fetch(struct request *r, struct mapping m, int next);
/* Read the block of @m straight into the user's memory; row @next goes on. */
void data_fetch_user(struct request *r, struct mapping m, int next);
/* Copy the block of @m to r->block if it is at hand. Both this and data_keep():
 * while a lock keeps the block as it is (io/blockcache.h). */
bool data_is_cached(struct request *r, struct mapping m) MUST_CHECK;
/* The block of @m is in r->block, and likely to be needed again. */
void data_keep(struct request *r, struct mapping m);
/* Unpack the 4096 bytes of @m, whose block is in r->block, to @to. */
int data_unpack(struct request *r, struct mapping m, uint8_t *to);
/* Copy between r->data (or @from) and the user's memory. */
void data_to_user(struct request *r, const uint8_t *from);
void data_from_user(struct request *r);
/* The same for a whole block in one piece; the list of vectors may be gone. */
void data_from_piece(struct request *r);
/* Name the data of @n requests, HASH128_LANES at most; none of them is zero. */
void data_name(struct request *const *requests, unsigned n);

/* ---------------------------------------------------------- requests.c */

/* Acknowledge @r's block to its io, once. */
void request_acknowledge(struct request *r, int result);
/* A request went to the journal, so one less is worked on: a call in line may go
 * on with a spare one. */
void request_waits(struct path *p);

/* @r goes back to the pool. */
static inline void request_free(struct request *r)
{
	struct path *p = r->path;

	freelist_push(likely(r->number < p->config.depth) ? &p->free_requests
							  : &p->spare_requests,
		      r->number);
}

/* Those that were never used are no memory: the first use is their beginning. */
void request_init(struct path *p, uint32_t number);

static inline struct request *request_at(struct path *p, uint32_t number)
{
	if (unlikely(p->requests[number].path == NULL))
		request_init(p, number);
	return &p->requests[number];
}

/* A request that only waits for the journal: a spare one, if there is any.
 * FREELIST_NONE: no request is free. */
static inline uint32_t request_take_spare(struct path *p)
{
	uint32_t n = freelist_pop(&p->spare_requests);

	return n != FREELIST_NONE ? n : freelist_pop(&p->free_requests);
}

/* Give back what was set aside for @io. */
void request_give_back(struct path *p, struct io *io);

/* @r is over; it goes to whoever waits, or to the pool. */
void request_recycle(struct request *r);

/* -------------------------------------------------------------- flush.c */

int flush_init(struct path *p) MUST_CHECK;
void flush_fini(struct path *p);
void flush_submit(struct path *p, struct io *io);
/* Count @r among the writes that a flush waits for. */
void flush_enter(struct logical_zone *z, struct request *r);
/* Count @r no more: what it wrote is durable, or it failed. */
void flush_leave(struct logical_zone *z, struct request *r);

/*
 * A request failed with @result: storage that is found to have been cut short
 * is not written to any more.
 */
void path_note_error(struct path *p, int result);

#endif
