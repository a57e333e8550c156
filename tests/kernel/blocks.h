/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The blocks of plans and manifests.
 *
 * A kind and a seed say everything about the 4096 bytes of a block:
 *
 *	zero	zeroes; the seed does not matter
 *	rand	512 numbers of splitmix64 from the seed on, little-endian
 *	rN	the first N bytes of rand, then "padding." over and over
 *	text	words of a list of 32, about 72 bytes a line
 *	salt	rand of the seed without its low 16 bits; the first two words
 *		are the seed and its complement: 65536 such blocks share the
 *		rest
 *	mixed	put together from parts; only known by its digest
 *
 * The same kinds are known to other players of such plans, for which any
 * change here would be a change of what they must write.
 *
 * Runs on: any thread. Lifetime: none.
 */
#ifndef TESTS_BLOCKS_H
#define TESTS_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096u

/* Kinds besides rN, which is N itself; rand is r4096. */
#define KIND_ZERO  (-1)
#define KIND_TEXT  (-2)
#define KIND_SALT  (-3)
#define KIND_MIXED (-4)
#define KIND_RAND  ((int)BLOCK)

#define KIND_NAME_MAX 8

uint64_t splitmix64(uint64_t *state);

/* A kind by its name; 0: there is none such. */
int kind_parse(const char *name);
/* The name, in @text. */
const char *kind_name(int kind, char text[KIND_NAME_MAX]);

/* Not for KIND_MIXED. */
void block_fill(uint8_t *block, int kind, uint64_t seed);
bool block_is_zero(const uint8_t *block);

#endif
