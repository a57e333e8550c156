/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of bytes to a volume, with many writes in flight.
 *
 * The caller fills the room it is given and says how much it put there; full
 * buffers are written while the next ones are being filled. The number of
 * buffers bounds the memory: who is too fast waits in writer_room().
 *
 * Without a volume (--dry-run) each buffer goes to a function instead.
 *
 * Invariants
 *  (1) A buffer is free, current, or the library's.
 *  (2) Writes start and end at multiples of 4096 bytes.
 *  (3) After the first failed write nothing more is written.
 *
 * Runs on: one thread; the library's threads bring buffers back.
 * Lifetime: writer_init() to writer_fini(), which waits for all writes.
 */
#ifndef DEDUP_COPY_WRITER_H
#define DEDUP_COPY_WRITER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "flight.h"

#define BLOCK	4096u
#define CHUNK	(128u << 10) /* bytes of a write */
#define BUFFERS 128u

/* The stream has no addresses left; unlike -ENOSPC, which is about space. */
#define NO_ADDRESSES (-ENOBUFS)

/* What a dry run does with data. 0 or -errno. */
typedef int (*writer_sink)(void *arg, const uint8_t *data, size_t bytes);

/* May the stream go on up to @end? *limit: how far it may go. 0 or -errno. */
typedef int (*writer_reserve)(void *arg, uint64_t end, uint64_t *limit);

struct buffer {
	struct writer *writer;
	struct buffer *next; /* free */
	uint8_t *data;	     /* CHUNK bytes */
};

struct writer {
	struct flight flight;
	struct vdo_volume *volume;
	writer_sink sink;
	void *sink_arg;
	writer_reserve reserve;
	void *reserve_arg;
	uint64_t limit;	   /* the volume ends here; a multiple of 4096 */
	uint64_t position; /* on the volume, of the next byte */
	struct buffer *current;
	size_t used;	  /* bytes of current */
	uint64_t written; /* bytes handed to the volume or the sink */
	uint8_t *memory;
	/* guarded by flight */
	struct buffer *free;
	unsigned free_count;
	int result; /* the first error */
	struct buffer buffers[BUFFERS];
};

/* -ENOMEM */
int writer_init(struct writer *w, struct vdo_volume *volume, bool polled);
void writer_set_sink(struct writer *w, writer_sink sink, void *arg);
void writer_set_reserve(struct writer *w, writer_reserve reserve, void *arg);

/* Wait for all writes, and free. NULL-safe for a writer that was zeroed. */
void writer_fini(struct writer *w);

/* Room for at least one byte, *room bytes; NULL after an error,
 * NO_ADDRESSES among them. */
uint8_t *writer_room(struct writer *w, size_t *room);
void writer_advance(struct writer *w, size_t bytes);

/* Copy bytes into the stream. */
int writer_put(struct writer *w, const void *data, size_t bytes);

/* Fill up with zeroes to the next block. */
int writer_align(struct writer *w);

/* Go on at @position, a multiple of 4096. The stream must be aligned. */
void writer_seek(struct writer *w, uint64_t position);

/* Write what is there and wait for everything; the first error, or 0. */
int writer_drain(struct writer *w);

int writer_result(struct writer *w);

#endif
