/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a chapter in the making: first all names, then the lists.
 *
 *	clear -> add * -> go_on * until done -> chapter_index_pack(&lists)
 *
 * Names are collected by list as they come, in a chain of pieces for each. Then
 * every list is sorted and written at once, which is a small part of what
 * putting its names one by one costs. A list that is unusual (names collide, or
 * there are very many) is put one by one all the same. Lists are bit for bit as
 * if chapter_index_put() had been called in the order of the records, as long
 * as the memory of the lists suffices.
 *
 * Runs on: whoever owns it; no locks.
 * Lifetime: init allocates, nothing else does.
 */
#ifndef INDEX_FORMAT_CHAPTER_BUILDER_H
#define INDEX_FORMAT_CHAPTER_BUILDER_H

#include "base/assert.h"
#include "index_format/chapter_index.h"

#define PIECE_NAMES 8u

/* Some names of one list, in a cache line. */
struct builder_piece {
	uint64_t names[PIECE_NAMES]; /* key << 32 | record */
};

struct builder_list {
	uint32_t count;
	uint32_t last; /* piece + 1, 0: none */
};

struct chapter_builder {
	const struct index_geometry *geometry;
	struct delta_lists lists;
	struct builder_list *heads;
	struct builder_piece *pieces;
	uint32_t *before; /* of a piece: the one before it + 1, or 0 */
	uint32_t used;	  /* pieces */
	uint32_t next;	  /* list to be written */

	/* An unusual list, next - 1: what is still to be put one by one. */
	uint32_t rest; /* names */
	uint32_t rest_piece;

	/* Gives the name of a record that was added. It is rarely called. */
	const struct hash128 *(*name_of)(void *arg, uint32_t record);
	void *arg;
};

typedef const struct hash128 *(*chapter_builder_name)(void *arg,
						      uint32_t record);

/* Allocates what fini frees, also after an error. */
int chapter_builder_init(struct chapter_builder *b,
			 const struct index_geometry *g,
			 chapter_builder_name name_of, void *arg) MUST_CHECK;
void chapter_builder_fini(struct chapter_builder *b);
uint64_t chapter_builder_bytes(const struct chapter_builder *b);
void chapter_builder_clear(struct chapter_builder *b);

/* Add a name. Records ascend, and are below g->records. */
void chapter_builder_add(struct chapter_builder *b, uint32_t record,
			 const struct hash128 *name);

/* Write lists until they have @names names, or all. */
int chapter_builder_go_on(struct chapter_builder *b, uint32_t names) MUST_CHECK;

static inline bool chapter_builder_done(const struct chapter_builder *b)
{
	VDO_CHECK(b->next <= b->geometry->lists);
	return b->next == b->geometry->lists && b->rest == 0;
}

#endif
