/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sequential I/O for what is read or written as a whole: the parts of saves.
 *
 * The reader hands bytes to consume() as they come, the writer gets them from
 * produce(). Both keep what is left of a chunk for the next one, so that items
 * of up to STREAM_ITEM_MAX bytes are always in one piece.
 *
 * Runs on: done.home. One operation at a time.
 * Lifetime: init allocates the buffer; fini frees it.
 */
#ifndef INDEX_STREAM_H
#define INDEX_STREAM_H

#include "index/media.h"

#define STREAM_ITEM_MAX 16384u

/* Negative: failed. 0: that was all. 1: there is more. */
typedef int (*stream_consume)(void *arg, const uint8_t *p, size_t n,
			      size_t *taken);
typedef int (*stream_produce)(void *arg, uint8_t *p, size_t room, size_t *made);

struct stream {
	struct completion done; /* set up by the caller, each time */

	/* private */
	const struct index_media *media;
	struct media_op io;
	uint8_t *buf;
	size_t used;	     /* bytes kept from before */
	uint64_t next, left; /* blocks */
	size_t under_way;    /* bytes at the device */
	bool last;	     /* chunk of a writer */
	stream_consume consume;
	stream_produce produce;
	void *arg;
};

int stream_init(struct stream *s, const struct index_media *m) MUST_CHECK;
void stream_fini(struct stream *s);

/* -VDO_ECORRUPT if @from is over and consume() wants more. */
void stream_read(struct stream *s, struct extent from, stream_consume consume,
		 void *arg);

/* It ends with zeros up to a whole block, and is durable when it is done.
 * -ENOSPC if @to is too short. */
void stream_write(struct stream *s, struct extent to, stream_produce produce,
		  void *arg);

#endif
