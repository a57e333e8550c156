/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads blocks of the recovery journal in order, several reads ahead of whoever
 * uses them.
 *
 *	reader_begin(r, first, count);
 *	row:	if (!reader_get(r, f, ROW, &chunk))
 *			return FLOW_WAIT;	it comes back to ROW
 *		if (chunk == NULL)
 *			...			no block is left, or r->result
 *		... chunk->bytes ...
 *		reader_drop(r);			done with this one
 *
 * Blocks have numbers: places of the ring or, as well, sequence numbers.
 *
 * Runs on: one queue. Lifetime: reader_init() to reader_fini(), with no read
 * under way [reader_rest].
 */
#ifndef RECOVERY_READER_H
#define RECOVERY_READER_H

#include "exec/flow.h"
#include "format/superblock.h"
#include "io/mio.h"

#define READER_CHUNK 256u /* blocks that are read at once: 1 MiB */
#define READER_AHEAD 4u	  /* chunks */

struct reader_chunk {
	struct journal_reader *reader;
	struct mio mio;
	uint8_t *bytes;
	uint64_t first; /* number of its first block */
	unsigned count; /* blocks */
	bool reading;
};

struct journal_reader {
	struct queue *queue;
	struct storage *storage;
	struct partition ring;
	uint8_t *buffers;
	unsigned chunk_blocks;
	uint64_t next, end;	 /* numbers of blocks that are not read yet */
	unsigned oldest, active; /* chunks that are read or being read */
	unsigned pending;	 /* of these being read */
	struct flow *waiting;	 /* for the oldest, or for all; or NULL */
	bool resting;
	int result; /* the first error; nothing is read after it */
	struct reader_chunk chunks[READER_AHEAD];
};

/* -ENOMEM; the fields are to be freed in any case. */
int reader_init(struct journal_reader *r, struct queue *queue,
		struct storage *storage, struct partition ring) MUST_CHECK;
void reader_fini(struct journal_reader *r);

/* Have @count blocks from number @first on read. Nothing else is under way. */
void reader_begin(struct journal_reader *r, uint64_t first, uint64_t count);

/*
 * The oldest chunk that was not dropped, or NULL after the last one or an error
 * (r->result). False: it is not there yet; @f was parked and goes on at @next.
 */
bool reader_get(struct journal_reader *r, struct flow *f, int next,
		struct reader_chunk **chunk) MUST_CHECK;
void reader_drop(struct journal_reader *r);

/* Read no more. False: @f was parked, and goes on at @next when nothing is under
 * way any more. */
bool reader_rest(struct journal_reader *r, struct flow *f, int next) MUST_CHECK;

#endif
