/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that write 4 KiB at random places of the first 256 MB, each one block
 * after the other, while something else is done with the volume: how long do they
 * wait?
 */
#ifndef TESTS_BENCH_WRITERS_H
#define TESTS_BENCH_WRITERS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#include <vdo/vdo.h>

#define WRITERS_MAX 16u

struct writer {
	pthread_t thread;
	struct writers *all;
	uint64_t random;
	_Atomic uint64_t slowest;
	atomic_bool asked; /* for the end of the next write */
	sem_t written;	   /* it is */
};

struct writers {
	const char *program;
	struct vdo_volume *volume;
	unsigned count;
	atomic_bool stop;
	struct writer each[WRITERS_MAX];
};

void writers_start(struct writers *w, const char *program,
		   struct vdo_volume *volume, unsigned count);

/* Wait for one more write of each; the slowest one since the last time, in ms. */
double writers_slowest(struct writers *w);

/* The same after at least @ns of writing. */
double writers_slowest_in(struct writers *w, uint64_t ns);

void writers_stop(struct writers *w);

#endif
