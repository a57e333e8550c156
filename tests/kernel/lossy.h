/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file as a disk with a volatile cache, whose power can fail.
 *
 * Requests are done one at a time, in random order. A block that was written
 * and not flushed since holds, after a power failure, one of its contents since
 * the last flush, or sectors of two of them. A write with VDO_DEVICE_FUA is
 * durable by itself, but says nothing about others. A write that was under way
 * happened or did not.
 *
 * Invariants
 *  (1) A flush makes durable what was done when it was submitted, not more.
 *  (2) After the power failure, nothing else reaches the file: the process
 *      ends in it, with exit code LOSSY_EXIT.
 *
 * Runs on: any thread; requests complete on a thread of its own.
 * Lifetime: lossy_open() to vdo_device_close().
 */
#ifndef TESTS_LOSSY_H
#define TESTS_LOSSY_H

#include <stdint.h>

#include <vdo/vdo.h>

#define LOSSY_EXIT 99

struct lossy_config {
	uint64_t seed;
	uint64_t writes; /* the power fails with this one; 0: never */
};

/* 0 or -errno. */
int lossy_open(const char *path, const struct lossy_config *config,
	       struct vdo_device **device);

#endif
