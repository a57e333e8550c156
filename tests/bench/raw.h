/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast is the device without a volume: the same engine of the library, as
 * many operations of the same size at a time, on as many threads.
 *
 * Runs on: the main thread, before the volume is made: what is on the device is
 * lost when it is written. Lifetime: one call.
 */
#ifndef TESTS_BENCH_RAW_H
#define TESTS_BENCH_RAW_H

#include "io/device.h"
#include "tests/bench/arguments.h"

struct raw_result {
	double iops;
	double p50_us, p99_us;
};

/* On the first --size bytes of the device, or all if it has less. */
int raw_measure(const struct arguments *o, struct vdo_device *device,
		size_t bs, unsigned depth, struct raw_result *r);

#endif
