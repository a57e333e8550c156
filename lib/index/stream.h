/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequential I/O for what is read or written as a whole: parts of saves.
 *
 * The reader hands bytes to consume() as they come, the writer gets them from
 * produce(); both keep what is left of a chunk for the next one, so that items
 * of up to STREAM_ITEM_MAX bytes are always in one piece.
 *
 * Runs on: the queue given. One operation at a time.
 * Lifetime: init allocates the buffer; fini frees it.
 */
#ifndef INDEX_STREAM_H
#define INDEX_STREAM_H

#include "io/mio.h"

#define STREAM_ITEM_MAX 16384u

struct stream;

/* Negative: failed. 0: that was all. 1: there is more. */
typedef int (*stream_consume)(void *arg, const uint8_t *p, size_t n,
			      size_t *taken);
typedef int (*stream_produce)(void *arg, uint8_t *p, size_t room, size_t *made);

struct stream {
	struct mio mio;
	struct queue *queue;
	struct storage *storage;
	enum mio_kind kind;
	uint8_t *buf;
	size_t used;
	uint64_t next, left; /* blocks */
	size_t under_way;    /* bytes at the device */
	bool last;	     /* chunk of a writer */
	stream_consume consume;
	stream_produce produce;
	void *arg;
	void (*done)(void *ctx, int result);
	void *ctx;
};

int stream_init(struct stream *s, struct storage *storage, enum mio_kind kind,
		struct queue *queue) MUST_CHECK;
void stream_fini(struct stream *s);

/* -VDO_ECORRUPT if the @blocks are over and consume() wants more. */
void stream_read(struct stream *s, uint64_t start, uint64_t blocks,
		 stream_consume consume, void *arg,
		 void (*done)(void *ctx, int result), void *ctx);

/* Ends with zeros up to a whole block. -ENOSPC if @blocks are too few. */
void stream_write(struct stream *s, uint64_t start, uint64_t blocks,
		  stream_produce produce, void *arg,
		  void (*done)(void *ctx, int result), void *ctx);

#endif
