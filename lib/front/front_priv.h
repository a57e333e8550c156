/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of front/: the front itself.
 */
#ifndef FRONT_FRONT_PRIV_H
#define FRONT_FRONT_PRIV_H

#include <pthread.h>

#include "base/counter.h"
#include "exec/freelist.h"
#include "front/io.h"

struct front {
	struct front_config config;
	const struct front_engine *ops;
	void *engine;
	struct io *ios;
	struct freelist free_ios;
	/* What is under way; see LOAD_* in front.c. */
	_Alignas(CACHE_LINE) _Atomic uint64_t load;
	_Atomic(struct completion *) drained; /* to be told, once */
	/* Mostly read. */
	_Alignas(CACHE_LINE) atomic_uint waiting; /* ios in line */
	atomic_uint holds_max;
	pthread_mutex_t lock; /* guards line, and the taking from it */
	struct waitq line;

	struct {
		pthread_mutex_t lock; /* guards these */
		bool on, closed;
		unsigned count;	  /* calls that found no space and are not over */
		unsigned wakes;	  /* front_wake(), so far */
		uint16_t retries; /* of these, those with @storage */
		struct waitq line; /* of these, those that are parked */
		atomic_uint parked;
		atomic_bool seen; /* since count was 0 */
		counter_t total;
	} park;
};

/* A new io for @q, with its vectors kept. NULL: no memory. */
struct io *io_create(struct front *f, const struct io_request *q);
void io_destroy(struct io *io);

/* A call that waited is over. */
void front_forget(struct front *f);

/* @io, which has a hold, may be without one from now on. */
void front_count(struct io *io);

/* False: the front is stopped, or its engine has gone. */
bool front_hold(struct front *f) MUST_CHECK;

/* Put io->iov where byte @n of the call is. */
void io_seek(struct io *io, uint64_t n);

/* Tell the user of @io, which is counted; both may be gone then. */
void io_tell(struct io *io);

/* ------------------------------------------------------------------ park.c */

void park_init(struct front *f);
void park_fini(struct front *f);

/* There is an engine. */
void park_started(struct front *f);

/* All blocks of @io are over, with an error or not the first time. True: it goes on. */
bool front_park(struct io *io);

#endif
