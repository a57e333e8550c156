/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first error of an index in service, after which it refuses requests.
 *
 * Runs on: any thread. Lifetime: the index's.
 */
#ifndef INDEX_FAILURE_H
#define INDEX_FAILURE_H

#include <stdatomic.h>

#include "base/assert.h"
#include "base/log.h"

struct index_failure {
	atomic_int error; /* 0: none */
	const struct log *log;
};

static inline int index_failure_get(const struct index_failure *f)
{
	return atomic_load_explicit(&f->error, memory_order_relaxed);
}

/* Forget it: the index is being opened. */
static inline void index_failure_clear(struct index_failure *f)
{
	atomic_store_explicit(&f->error, 0, memory_order_relaxed);
}

/* The first error counts, and is logged. */
static inline void index_failure_note(struct index_failure *f, int error,
				      const char *what)
{
	int none = 0;

	VDO_ASSERT(error < 0);
	if (atomic_compare_exchange_strong_explicit(&f->error, &none, error,
						    memory_order_relaxed,
						    memory_order_relaxed))
		log_error(f->log, "index: %s, error=%d", what, error);
}

#endif
