/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on a volume in a closed loop: as many at a time as the depth says,
 * each submitted again from inside of its callback, so that the load has no
 * thread of its own. Or the main thread reaps them from a completion queue, and
 * submits those that are next in batches.
 *
 * Runs on: the main thread, which waits; callbacks on threads of the volume.
 * Lifetime: load_new() to load_free(); the volume is open all the time.
 */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include "tests/bench/arguments.h"
#include "tests/lib/histogram.h"

struct load_work {
	enum bench_rw rw;
	size_t bs;
	unsigned depth;
	uint64_t size;	     /* bytes of the volume, from 0 on */
	uint64_t ops;
	uint64_t runtime_ns; /* 0: all of ops */
	uint64_t first;	     /* sequential operations begin with this one */
	uint64_t seed;	     /* number of the first block that is written */
	bool sync, zeroes, polled;
	unsigned batch;	     /* 0: callbacks submit */
	struct bench_data data;
};

struct load;

/* Memory that is missing ends the process. */
struct load *load_new(struct vdo_volume *volume, const struct load_work *work);
void load_free(struct load *load);

/* Until it is done, time is up, an operation fails, or a signal came. Returns
 * the first error. */
int load_run(struct load *load);

/* After that: operations, and what each took in nanoseconds. */
uint64_t load_done(const struct load *load);
void load_latencies(struct histogram *all);

#endif
