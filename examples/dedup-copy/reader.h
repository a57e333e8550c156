/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a volume ahead.
 *
 * A window of chunks is kept in flight behind the place that was asked for
 * last. It doubles while the places follow each other, up to WINDOW chunks, and
 * starts with one chunk again after a jump.
 *
 * Runs on: one thread; the library's threads complete chunks.
 * Lifetime: reader_init() to reader_fini(), which waits for all reads.
 */
#ifndef DEDUP_COPY_READER_H
#define DEDUP_COPY_READER_H

#include <stddef.h>
#include <stdint.h>

#include "flight.h"
#include "writer.h"

#define WINDOW 64u

struct slot {
	struct reader *reader;
	uint8_t *data; /* CHUNK bytes */
	int result;
	bool pending; /* the library's */
};

struct reader {
	struct flight flight;
	struct vdo_volume *volume;
	uint64_t limit;	     /* nothing behind is read; a multiple of 4096 */
	uint64_t head, tail; /* chunks that are there or coming */
	unsigned window;
	uint8_t *memory;
	struct slot slots[WINDOW];
};

/* -ENOMEM */
int reader_init(struct reader *r, struct vdo_volume *volume, bool polled,
		uint64_t limit);
void reader_fini(struct reader *r);

/*
 * The bytes at @offset: at least one, *bytes at most (in: what is wanted). They
 * stay valid until the next call. -ERANGE behind the limit.
 */
int reader_get(struct reader *r, uint64_t offset, const uint8_t **data,
	       size_t *bytes);

/* Copy exactly @bytes. */
int reader_copy(struct reader *r, uint64_t offset, void *data, size_t bytes);

#endif
