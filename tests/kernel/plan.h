/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans: what to write where.
 *
 * A text, one operation a line, counted from 1; "#" starts a comment. All
 * places and counts are in blocks of 4096 bytes.
 *
 *	write LBN COUNT KIND SEED [STEP [PER_IO]]
 *		block i of them gets the seed SEED + i * STEP (STEP is 1);
 *		PER_IO (32) blocks a request
 *	fua ...	the same, each request durable when it is done
 *	part LBN OFFSET LENGTH KIND SEED
 *		LENGTH bytes from OFFSET on of the block, of those of KIND
 *	discard LBN COUNT
 *	zeroout LBN COUNT
 *	flush
 *
 * Runs on: one thread. Lifetime: plan_read() to plan_free().
 */
#ifndef TESTS_PLAN_H
#define TESTS_PLAN_H

#include <stdint.h>
#include <stdio.h>

#include "tests/kernel/blocks.h"

#define PER_IO_MAX 256u

enum action { ACT_WRITE, ACT_FUA, ACT_PART, ACT_DISCARD, ACT_ZEROOUT,
	      ACT_FLUSH };

struct operation {
	enum action action;
	uint64_t lbn, count, seed, step;
	int kind;
	unsigned per_io, offset, length;
};

struct plan {
	struct operation *operations;
	uint64_t count;
};

/* A message on standard error, and exit code 2. */
_Noreturn void die(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* Or die. */
FILE *text_open(const char *path);
uint64_t number_parse(const char *text);
/* The words of a line (which is changed), at most @limit; their number. */
int line_split(char *line, char **words, int limit);
struct plan plan_read(const char *path);
void plan_free(struct plan *plan);

struct plan_request {
	uint64_t seed;
	uint64_t operations;
	uint64_t blocks; /* of the volume */
	int parts;	 /* with parts of blocks */
};

/*
 * Print a plan of all kinds of operations, on a few stretches at the begin, at
 * the end and in the middle of the volume. Different seeds share no data, but
 * most of their stretches.
 */
void plan_invent(const struct plan_request *request);

#endif
