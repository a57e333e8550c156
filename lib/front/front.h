/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front of a volume: it takes calls in, and has an engine carry them out.
 *
 * The front outlives its engine. It can be stopped, which lets what is under
 * way end and makes new calls wait in line, and started again with the same
 * engine or with another one. Callers notice nothing but the delay.
 *
 *	            front_start()
 *	  stopped  ----------------->  running
 *	           <-----------------
 *	            front_stop(), then front_drain()
 *
 * Invariants
 *  (1) The engine is called only under a hold. front_drain() of a stopped front
 *      ends when there is none, so the engine may be dropped then.
 *  (2) A call that was taken in ends with exactly one callback; one that found no
 *      space may have to wait for some (park.c).
 *  (3) Calls that wait take turns: the first in line gets what becomes free, up
 *      to FRONT_TURN_BLOCKS, and goes to the end if that was not enough.
 *  (4) A call with VDO_IO_NOWAIT never waits: it has requests for all of its
 *      blocks before the first one begins, or it is refused.
 *
 * Runs on: any thread, also inside of queues; nothing here blocks.
 * Lifetime: front_create() to front_destroy(), drained in between.
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"

struct await;
struct completion;
struct executor;
struct front;
struct io;
struct queue;
struct survey;

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_DISCARD,
	IO_ZERO,
	IO_COPY,
	IO_FLUSH,
	IO_SURVEY,
};

/* Runs once, on some queue of the volume; where a thread helps that queue
 * (exec/help.h) front_call_over() alone. */
typedef void (*io_callback)(void *arg, int result);

/* The callback of a call that waits: ends the struct await @arg. */
void front_call_over(void *arg, int result);

/*
 * Calls that somebody wants to see the end of. The count begins with 1, which who
 * waits takes back; the last one tells @over, and the group may be gone.
 */
struct front_group {
	atomic_uint count;
	atomic_bool closing; /* none of them is parked any more */
	struct await *over;
};

void front_group_enter(struct front_group *g);
void front_group_leave(struct front_group *g);

/* Calls of @g that are parked end, and no more are. */
void front_group_end(struct front *f, struct front_group *g);

/* One call of the user. */
struct io_request {
	enum io_kind kind;
	unsigned flags;  /* VDO_IO_* */
	bool no_park;	 /* it fails for want of space at once */
	uint64_t offset; /* bytes */
	uint64_t source; /* copies: where from, bytes */
	uint64_t length; /* bytes; reads and writes: of all iov together */
	const struct iovec *iov;
	unsigned iov_count;
	struct survey *survey; /* the engine's, of an IO_SURVEY */
	struct front_group *group; /* or NULL: left after the callback */
	io_callback callback;
	void *arg;
};

/* What the engine is to do for calls that found no space, park.c. */
enum front_starving {
	FRONT_WANTS_NOTHING, /* there are none any more */
	FRONT_WANTS_SPACE,   /* front_wake() when something becomes free */
	FRONT_PARKS,	     /* the same, and calls are parked now */
};

/* What the front asks of an engine. Each call is made under a hold. */
struct front_engine {
	/*
	 * Start up to @max blocks of @io, which nobody else has, and take over
	 * the hold. False: blocks are left, and no request is free or the turn
	 * is over. True: the io needs nothing more from the front.
	 */
	bool (*run)(void *engine, struct io *io, unsigned max);
	/* Set requests aside for all blocks of @io, or -EAGAIN. */
	int (*reserve)(void *engine, struct io *io);
	/* Carry the flush @io out. */
	void (*flush)(void *engine, struct io *io);
	/* Is a request free? Sequentially consistent with the freeing. */
	bool (*ready)(void *engine);
	/* May a call that found no space be parked? NULL: never. */
	bool (*parks)(void *engine);
	/* Calls are parked, or not any more. It takes locks of its own at most. */
	void (*starving)(void *engine, enum front_starving what);
};

struct front_config {
	unsigned depth;        /* calls that need no memory of their own */
	struct executor *executor;
	struct queue *queue;   /* where calls without blocks end */
};

/* Stopped, without an engine. */
int front_create(const struct front_config *c, struct front **front)
	MUST_CHECK;
void front_destroy(struct front *f);

/* What it has allocated. */
uint64_t front_bytes(const struct front *f);

/* Let calls through to @engine, those that wait first. Stopped until now. */
void front_start(struct front *f, const struct front_engine *ops,
		 void *engine);

/* From now on calls wait in line. What is under way goes on. */
void front_stop(struct front *f);

/*
 * Finish @done when everything is over, also what was acknowledged early; of a
 * stopped front, everything but the calls in line. Only one drain at a time.
 * Of a front that runs: nothing may be submitted any more.
 */
void front_drain(struct front *f, struct completion *done);

/*
 * After the last drain: wait for calls of front_submit() or
 * front_submit_many() in other threads that have not returned, though their operations are over. They still touch the
 * front and its queues, and are about to return. Outside of the queues.
 */
void front_join(struct front *f);

/*
 * 0: the callback will run. -ENOMEM, -EAGAIN (NOWAIT): it will not. The caller
 * has checked the range.
 */
int front_submit(struct front *f, const struct io_request *q) MUST_CHECK;

/*
 * The same for @n of them, up to FRONT_SUBMIT_MAX. *@taken is how many of the
 * first ones were taken in; less than @n only with an error, that of the next.
 */
#define FRONT_SUBMIT_MAX 16
int front_submit_many(struct front *f, const struct io_request *q, unsigned n,
		      unsigned *taken) MUST_CHECK;

/* Are calls parked that find no space? If not any more, those that are end with the
 * error that they have. Any thread. */
void front_set_parking(struct front *f, bool on);

/* For good: the front is about to be drained and destroyed. */
void front_end_parking(struct front *f);

/* What is parked is carried out again; of what the storage had no space for only with
 * @storage. Any thread. */
void front_wake(struct front *f, bool storage);

/* Was a call parked since none wanted space? */
bool front_is_holding(const struct front *f);

/* Calls that are parked, and how often one was. */
void front_get_parked(const struct front *f, uint64_t *now, uint64_t *total);

/* Does anybody wait for a request? Sequentially consistent. Any thread. */
bool front_has_waiters(const struct front *f);

/* Where calls without blocks end. */
struct queue *front_queue(const struct front *f);

/* Holds: blocks, flushes and calls without blocks that are under way. */
unsigned front_holds(const struct front *f);

/* The most holds at a time, so far. */
unsigned front_holds_max(const struct front *f);

#endif
