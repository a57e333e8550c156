/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume takes of memory and storage, before it is made or opened.
 *
 * Option memory is what one volume has at most (vdo-options(7)).
 */
#ifndef VDO_MEMORY_H
#define VDO_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* All in bytes, but for the last two. */
struct vdo_estimate {
	uint64_t memory_idle;  /* open, new, and nobody uses it */
	uint64_t memory_most;  /* in use, and full: the sum of the parts */
	uint64_t memory_least; /* that option memory must have, with this depth */
	/* The parts, each at most. */
	uint64_t requests;     /* and their buffers and locks, by option depth */
	uint64_t cache;	       /* leaf pages of the map */
	uint64_t counts;       /* reference counts */
	uint64_t blocks;       /* option block-cache */
	uint64_t index;	       /* or names in memory */
	uint64_t map;	       /* interior pages */
	uint64_t slabs;	       /* journals and summary */
	uint64_t journal;
	uint64_t threads;      /* stacks, and what files need */
	uint64_t engine;       /* queues, and all else */
	/* Storage. */
	uint64_t storage;      /* of the volume */
	uint64_t data;	       /* of that, for data that save nothing */
	uint64_t index_storage, metadata;
	uint64_t logical;      /* that can be addressed */
	unsigned depth;	       /* requests; option memory may lower it */
	unsigned thread_count; /* of its own, but for files' */
};

/*
 * What the volume at @path takes when it is opened with @config; if there is
 * none, or option force is on, the one that vdo_format() would make there. @path
 * may be NULL: a new file of option size. Nothing is changed. @size is
 * sizeof(struct vdo_estimate).
 *
 * Errors: -ENOMEM if option memory has too little, and those of vdo_format() or
 * vdo_open().
 */
int vdo_estimate(const char *path, const struct vdo_config *config,
		 struct vdo_estimate *estimate, size_t size,
		 struct vdo_error *error);
int vdo_estimate_device(struct vdo_device *device,
			const struct vdo_config *config,
			struct vdo_estimate *estimate, size_t size,
			struct vdo_error *error);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
