/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that are files or block devices, opened with the choices of the
 * options.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdbool.h>

#include <vdo/device.h>

#include "base/compiler.h"

enum device_engine {
	DEVICE_AUTO,    /* io_uring, or threads where it is missing */
	DEVICE_URING,
	DEVICE_THREADS,
};

/* What goes around the page cache, if the file can (io/direct.c). */
enum device_direct {
	DIRECT_OFF,    /* nothing */
	DIRECT_ON,     /* all */
	DIRECT_WRITES, /* what a volume writes, where reads see it */
};

/* Worker threads of DEVICE_THREADS, by default. */
#define FILE_THREADS 4u

struct device_options {
	enum device_engine engine;
	unsigned threads; /* worker threads of DEVICE_THREADS; 0: default */
	enum device_direct direct;
};

/* vdo_device_open() with choices. */
int file_open(const char *path, unsigned flags,
	      const struct device_options *options, struct vdo_device **device,
	      struct vdo_error *error) MUST_CHECK;

#endif
