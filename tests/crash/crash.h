/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real crashes: a process that writes to a volume is killed, the volume is
 * opened again, and what it holds is compared with what was promised.
 *
 *	            records (a pipe)
 *	parent <------------------------ writer: 8 threads
 *	model.c                          work.c | the library, in this process
 *	  | kills                               | nbd.c, to a server
 *	  v
 *	the writer, or the server
 *
 * A writer's thread tells the parent of each request before it submits it and
 * after it was acknowledged. A record that is in the pipe outlives the writer,
 * so the parent knows exactly what was acknowledged when which flush began.
 *
 * Places are 0 to PLACES - 1: the first half of them are the first blocks of
 * the volume, the others its last. Each thread has an eighth of its own.
 *
 * Runs on: the parent is one thread. Lifetime: the program's.
 */
#ifndef TESTS_CRASH_H
#define TESTS_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/vdo.h>

#define BLOCK	      4096u
#define WORKERS	      8u
#define PLACES	      4096u
#define REQUEST_MAX   64u /* blocks */
#define WORKER_PLACES (PLACES / WORKERS)

/*
 * What a block holds: a kind (content.c) in the upper 8 bits and a seed. 0 is
 * the block of zeroes.
 */
typedef uint64_t content_t;

enum record_type {
	RECORD_BEGIN,	    /* a write, discard or zeroing, to be submitted */
	RECORD_END,	    /* that of this worker was acknowledged */
	RECORD_FLUSH_BEGIN, /* to be submitted */
	RECORD_FLUSH_END,   /* that of this worker was acknowledged */
};

/* Less than PIPE_BUF, so that the pipe keeps it whole. */
struct record {
	uint8_t type, worker;
	bool fua;
	uint8_t step; /* from the content of one block to the next */
	uint32_t count;
	uint64_t place;
	content_t content; /* of the first block */
};

/* content.c */

/* Any of the contents, by a random number. */
content_t content_pick(uint64_t random, uint8_t *step);
void content_fill(content_t content, uint8_t *block);

/* model.c */

void model_init(void);
void model_add(const struct record *r);
/*
 * What the volume holds is compared with what it may hold, and is from now on
 * what it must hold. The number of blocks that are wrong.
 */
unsigned model_verify(struct vdo_volume *volume);
/* Which requests are under way is forgotten, as those are that made them. */
void model_crashed(void);
/* The byte of the volume at which @place begins. */
uint64_t place_offset(uint64_t size, uint64_t place);

/* nbd.c: a client of one connection, and one request at a time */

enum nbd_command {
	NBD_WRITE = 1,
	NBD_FLUSH = 3,
	NBD_TRIM = 4,
	NBD_ZEROES = 6,
};

/* The descriptor, or -1. */
int nbd_connect(const char *path, uint64_t *size);
/* 0; a positive error of the server; or -1: there is no server anymore. */
int nbd_request(int fd, enum nbd_command command, bool fua, uint64_t offset,
		uint32_t length, const void *data);

/* work.c */

/* Write until killed; the exit status if it comes to an end by itself. */
int work_volume(const char *path, const struct vdo_config *config,
		uint64_t seed, int records);
int work_nbd(const char *path, uint64_t seed, int records);

#endif
