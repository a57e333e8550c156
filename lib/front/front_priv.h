/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of front/: the front itself.
 */
#ifndef FRONT_FRONT_PRIV_H
#define FRONT_FRONT_PRIV_H

#include <pthread.h>

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
};

/* A new io for @q, with its vectors kept. NULL: no memory. */
struct io *io_create(struct front *f, const struct io_request *q);
void io_destroy(struct io *io);

/* A call that waited is over. */
void front_forget(struct front *f);

#endif
