/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One call of the user, as the engine sees it.
 *
 * The engine takes blocks off an io in order, with io_next(), and says of each
 * when it is over, with io_end_block(). The last one runs the user's callback.
 *
 * Invariants
 *  (1) Only one thread takes blocks off an io at a time.
 *  (2) pending counts the blocks under way, plus one until all are taken.
 *
 * Runs on: any thread. Lifetime: from front_submit() to the callback.
 */
#ifndef FRONT_IO_H
#define FRONT_IO_H

#include <stdatomic.h>

#include "exec/completion.h"
#include "exec/waitq.h"
#include "format/types.h"
#include "front/front.h"

/* One block of an io. */
struct io_block {
	enum io_kind kind;
	unsigned flags; /* VDO_IO_* */
	lbn_t lbn;
	/* Which bytes of the block. */
	unsigned part_offset;
	unsigned part_length;
	struct io *io; /* NULL: its end has been told */
	/* Reads and writes: where the user's bytes are. */
	uint8_t *user; /* whole and contiguous; else NULL, and use iov */
	const struct iovec *iov;
	size_t iov_offset;
};

static inline bool io_block_is_partial(const struct io_block *b)
{
	return b->part_length < BLOCK_SIZE;
}

struct io {
	struct front *front;
	enum io_kind kind;
	unsigned flags;
	uint64_t next; /* byte offset of the next block to take */
	uint64_t end;
	/* Where the next block's bytes are. */
	const struct iovec *iov;
	size_t iov_offset;
	struct iovec own_iov[4]; /* a copy, where iov is needed for longer */
	void *heap_iov;
	struct front_group *group; /* or NULL */
	io_callback callback;
	void *arg;
	atomic_uint pending;
	atomic_int result;
	struct waiter link;   /* in the front's line, or the flusher's */
	struct completion go; /* travels to a queue: empty ios, flushes, ends */
	uint32_t number;      /* in the pool, or FREELIST_NONE */
	uint16_t turn;	  /* blocks left of it, in line; 0: at its end */
	uint16_t retries; /* as epoch, of those about the storage */
	bool counted;         /* among the calls that wait */
	bool held;            /* has a hold of its own */
	bool no_park;
	bool again; /* it found no space before: park.c */
	unsigned epoch; /* the last wake-up before it was begun again */

	/* The engine's, but for start, last, failed: park.c. */
	union {
		void *engine;	/* flushes: which one it is */
		uint64_t start; /* all others: as next, of the call */
	};
	union {
		lbn_t range_next; /* discards, zeroes: where their walk goes on;
				   * copies: not 0, it has begun */
		uint64_t last;	  /* writes, again: as end, of the call */
	};
	union {
		uint64_t distance; /* copies: from the source to next, modulo
				    * 2^64 */
		_Atomic(uint64_t) failed; /* all others: before this nothing did */
	};
	struct survey *survey; /* surveys: what goes on */
	void *reserved;  /* NOWAIT: requests for all blocks to come */
} __attribute__((aligned(CACHE_LINE)));

/* Put the next block of @io into *b. True: it was the last one. */
bool io_next(struct io *io, struct io_block *b);

/* One part more of @io is under way, which io_end_block() ends. By who takes
 * blocks off it. */
void io_share(struct io *io);

/* Block @lbn of @io, which is about to be over, has failed; @refused: as the storage had
 * no space for its data. */
void io_fail_block(struct io *io, lbn_t lbn, bool refused);

/* One block of @io is over. */
void io_end_block(struct io *io, int result);

/*
 * One hold more, by somebody who has one. False: the front is being stopped,
 * and what can wait should not begin.
 */
bool front_hold_more(struct front *f);

/* One hold less; the front may be gone when this returns. */
void front_release(struct front *f);

/* A request has become free, and its hold is over. */
void front_give_back(struct front *f);

/* A request has become free, or the engine can go on with @io. */
void front_feed(struct front *f);
void front_again(struct io *io);

#endif
