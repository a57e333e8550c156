/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device under the volume that is measured: memory or a file, watched where
 * somebody wants to know what it was asked for, and with flushes as slow as one
 * likes.
 *
 * Watching puts a function of ours in the place of the device's submit(), so
 * that what is counted is what the device gets, whatever was merged before. It
 * costs an atomic addition an operation; who measures the processor goes without.
 *
 * Runs on: the main thread; counts any. Lifetime: one device a process.
 */
#ifndef TESTS_BENCH_MEDIUM_H
#define TESTS_BENCH_MEDIUM_H

#include "io/device.h"
#include "tests/bench/arguments.h"

/*
 * Open, and make as large as is wanted, the device of @o: room for twice the
 * data that is written, metadata, and pages of the block map. Sets the option
 * "size". Memory is touched, and with --raw a file that has holes is filled, so
 * that nobody measures the kernel looking for space.
 */
int medium_open(const struct arguments *o, struct vdo_device **device,
		struct vdo_error *error);

/* With --raw, --flush-delay and --crossings. */
struct medium_counts {
	uint64_t reads, writes, fua, flushes;
	uint64_t read_bytes, write_bytes;
};

bool medium_is_watched(void);
void medium_get_counts(struct medium_counts *counts);

/*
 * From now on a flush, or a write with FUA, lies in a queue and is begun
 * @ns after the one before it was done. 0: no more.
 */
void medium_set_delay(uint64_t ns);

/* Before the device is closed. */
void medium_end(void);

#endif
